//! The classes' probabilities over the epochs, as far as a page needs them.
//!
//! A probability is one byte, rounded to 1/255: a chart has fewer pixels than that. Of many
//! classes an example keeps the ones that say something: its own, and those that came highest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dynamics::{EpochReader, epoch_folders};
use crate::error::Result;
use crate::fsio;
use crate::metrics::{argmax, softmax_f64};
use crate::pipeline::report::map_blocks::MapOfPage;
use crate::report::page::Page;

/// With more classes than these an example keeps this many of them.
const MOST_CLASSES: usize = 6;

/// Of more epochs these are kept, evenly spread, with the first and the last.
const MOST_EPOCHS: usize = 32;

/// Adds the trajectories of the map's examples to a page, if the folder has training dynamics of
/// all of them; what the page is to know of them, or null.
///
/// # Errors
/// Dynamics that cannot be read.
pub fn facts(page: &mut Page, folder: &Path, map: &MapOfPage) -> Result<Value> {
    let dynamics = folder.join("training_dynamics");
    if !dynamics.is_dir() {
        return Ok(Value::Null);
    }
    let epochs = epoch_folders(&dynamics, None)?;
    let Some(read) = Epochs::read(&epochs, map)? else {
        tracing::warn!("the page has no trajectories: the training dynamics are not the map's");
        return Ok(Value::Null);
    };
    let classes = class_names(folder, map, &read);
    let n = map.guids.len();
    let (slots, ids) = read.slots(n);
    let mut probabilities = Vec::with_capacity(read.kept.len() * slots.len() * n);
    for epoch in 0..read.kept.len() {
        for slot in &slots {
            let value = |row: usize| read.value(row, epoch, slot.of(row));
            probabilities.extend((0..n).map(value));
        }
    }
    let ids = ids.then(|| {
        let of_slot = |slot: &Slot| (0..n).map(|row| slot.of(row) as u16).collect::<Vec<_>>();
        page.u16s(&slots.iter().flat_map(of_slot).collect::<Vec<_>>())
    });
    let right: Vec<u8> = read.right.iter().flatten().copied().collect();
    Ok(json!({
        "classes": classes,
        "n_epochs": epochs.len(),
        "epochs": read.kept.iter().map(|epoch| epoch + 1).collect::<Vec<_>>(),
        "n_slots": slots.len(),
        "slots": ids,
        "probabilities": page.bytes(probabilities),
        "right": page.bytes(right),
        "predicted": page.u16s(&read.predicted),
        "gold": page.u16s(&read.gold),
    }))
}

/// The classes of a place of the trajectories.
enum Slot {
    /// One for all examples.
    Class(usize),
    /// Each example's own.
    Own(Vec<u16>),
}

impl Slot {
    fn of(&self, row: usize) -> usize {
        match self {
            Self::Class(class) => *class,
            Self::Own(classes) => classes[row].into(),
        }
    }
}

/// What the epochs say of the examples of a map, in its order.
struct Epochs {
    n_classes: usize,
    /// The epochs whose probabilities are kept, from 0.
    kept: Vec<usize>,
    /// Rounded to 1/255: kept epoch, example, class.
    values: Vec<u8>,
    n: usize,
    /// For every eight epochs a byte per example, the first epoch in its lowest bit: whether the
    /// prediction was right.
    right: Vec<Vec<u8>>,
    /// In the last epoch.
    predicted: Vec<u16>,
    gold: Vec<u16>,
}

impl Epochs {
    /// Reads all epochs; none where they do not hold all examples.
    fn read(epochs: &[PathBuf], map: &MapOfPage) -> Result<Option<Self>> {
        let n = map.guids.len();
        let positions = map.positions();
        let mut read = Self {
            n_classes: 0,
            kept: kept_epochs(epochs.len()),
            values: Vec::new(),
            n,
            right: vec![vec![0; n]; epochs.len().div_ceil(8)],
            predicted: vec![0; n],
            gold: vec![0; n],
        };
        for (epoch, folder) in epochs.iter().enumerate() {
            let kept = read.kept.iter().position(|kept| *kept == epoch);
            let mut n_found = 0;
            let mut next = 0;
            for chunk in EpochReader::open(folder)? {
                let chunk = chunk?;
                for i in 0..chunk.len() {
                    let row = chunk.row(i);
                    // The map is most often in the order of the dynamics.
                    let expected = map.guids.get(next).filter(|guid| *guid == row.guid);
                    let position = match expected {
                        Some(_) => Some(next),
                        None => positions.get(row.guid).copied(),
                    };
                    let Some(position) = position else { continue };
                    next = position + 1;
                    n_found += 1;
                    if !read.put(epoch, kept, position, row.gold, row.logits) {
                        return Ok(None);
                    }
                }
            }
            if n_found != n {
                return Ok(None);
            }
        }
        Ok((read.n_classes > 0).then_some(read))
    }

    /// Whether the row fits to the others.
    fn put(
        &mut self,
        epoch: usize,
        kept: Option<usize>,
        position: usize,
        gold: u32,
        logits: &[f32],
    ) -> bool {
        if self.n_classes == 0 {
            self.n_classes = logits.len();
            self.values = vec![0; self.kept.len() * self.n * self.n_classes];
        }
        if logits.len() != self.n_classes || gold as usize >= self.n_classes {
            return false;
        }
        let best = argmax(logits);
        self.predicted[position] = best as u16;
        self.gold[position] = gold as u16;
        if best == gold as usize {
            self.right[epoch / 8][position] |= 1 << (epoch % 8);
        }
        if let Some(kept) = kept {
            let start = (kept * self.n + position) * self.n_classes;
            let values = &mut self.values[start..start + logits.len()];
            for (value, probability) in values.iter_mut().zip(softmax_f64(logits)) {
                *value = (probability * 255.0).round() as u8;
            }
        }
        true
    }

    fn value(&self, row: usize, kept: usize, class: usize) -> u8 {
        self.values[(kept * self.n + row) * self.n_classes + class]
    }

    /// Which classes are kept, and whether that differs from example to example.
    fn slots(&self, n: usize) -> (Vec<Slot>, bool) {
        if self.n_classes <= MOST_CLASSES {
            return ((0..self.n_classes).map(Slot::Class).collect(), false);
        }
        let mut slots = vec![vec![0_u16; n]; MOST_CLASSES];
        let mut order: Vec<usize> = Vec::new();
        for row in 0..n {
            let peak = |class: usize| {
                let values = (0..self.kept.len()).map(|kept| self.value(row, kept, class));
                values.max().unwrap_or(0)
            };
            let gold = usize::from(self.gold[row]);
            let peaks: Vec<u8> = (0..self.n_classes).map(peak).collect();
            order.clear();
            order.extend(0..self.n_classes);
            order.sort_by_key(|class| (*class != gold, u8::MAX - peaks[*class], *class));
            for (slot, class) in slots.iter_mut().zip(&order) {
                slot[row] = *class as u16;
            }
        }
        (slots.into_iter().map(Slot::Own).collect(), true)
    }
}

/// The epochs of `n` whose probabilities are kept.
fn kept_epochs(n: usize) -> Vec<usize> {
    if n <= MOST_EPOCHS {
        return (0..n).collect();
    }
    let last = MOST_EPOCHS - 1;
    (0..=last).map(|i| i * (n - 1) / last).collect()
}

/// The classes' names: what the map calls the examples of each, else what the model does.
fn class_names(folder: &Path, map: &MapOfPage, epochs: &Epochs) -> Vec<String> {
    let mut names: BTreeMap<u16, &str> = BTreeMap::new();
    for (gold, label) in epochs.gold.iter().zip(map.labels.iter().flatten()) {
        names.entry(*gold).or_insert(label);
    }
    let of_model = names_of_model(folder);
    (0..epochs.n_classes)
        .map(|class| match names.get(&(class as u16)) {
            Some(name) => (*name).to_owned(),
            None => of_model
                .get(class.to_string())
                .and_then(Value::as_str)
                .map_or_else(|| format!("LABEL_{class}"), str::to_owned),
        })
        .collect()
}

/// The names that the run's model has for its classes, if there is one.
fn names_of_model(folder: &Path) -> Value {
    let config = fsio::read(&folder.join("best_model/config.json")).ok();
    let config = config.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    config.map_or(Value::Null, |mut config| config["id2label"].take())
}
