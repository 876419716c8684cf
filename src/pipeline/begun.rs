//! What a run was begun with, so that it goes on with nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{Config, LoadedConfig, Source};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio::{self, hexadecimal};
use crate::nn::Precision;
use crate::pipeline::input_files::{data_files, data_sets, hash_of, model_files};
use crate::pipeline::inputs::Inputs;
use crate::pipeline::ready_model::ModelStart;
use crate::pipeline::run_folder::RunFolder;
use crate::train::Origin;

/// The file that keeps it, with the checkpoints. Its first line is the SHA-256 of what follows.
const NAME: &str = "begun.json";

/// What the checkpoints of a training belong to that is part of something larger, and whose folder
/// has a name, `key`, with the hash of its config, its data and the program's version: beside that,
/// what products are computed in, and the examples.
pub fn origin_of_part(key: &str, inputs: &Inputs, start: &ModelStart) -> Origin {
    let others = format!("{} {}", start.products_in(), hash_of_selection(inputs));
    Origin {
        config_sha256: hexadecimal(&Sha256::digest(key)),
        data_sha256: hexadecimal(&Sha256::digest(others)),
    }
}

/// What follows the name of a key that one of two configs lacks.
const NOTHING: &str = "nothing";

/// Everything that decides what comes out of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The program's version, and what products are computed in.
    program: BTreeMap<String, String>,
    /// The resolved config.
    config: Value,
    /// Names to SHA-256: the data, and what the tokens come from.
    files: BTreeMap<String, String>,
    /// Of the examples that the selectors took, their texts, and what a curriculum goes by: they
    /// may come from a map or from a program.
    selection: String,
}

impl Begun {
    /// Reads and hashes all files.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(
        config: &Config,
        inputs: &Inputs,
        checkpoint: Option<&Path>,
        device: &Device,
    ) -> Result<Self> {
        let precision = Precision::of(config.training.precision, device).describe(device);
        let program = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("products in", precision),
        ];
        let mut files = BTreeMap::new();
        for set in data_sets(config) {
            for path in data_files(config, set)? {
                files.insert(path.display().to_string(), hexadecimal(&hash_of(&path)?));
            }
        }
        // The weights are only where a training starts from; a checkpoint has its own.
        let of_model = checkpoint.map(model_files).transpose()?.unwrap_or_default();
        for path in of_model {
            let is_weights = path
                .extension()
                .is_some_and(|e| e == "safetensors" || e == "bin");
            if !is_weights {
                files.insert(path.display().to_string(), hexadecimal(&hash_of(&path)?));
            }
        }
        let config = serde_json::to_value(config);
        Ok(Self {
            program: program.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            config: config.map_err(|e| Error::internal(format!("{NAME}: {e}")))?,
            files,
            selection: hash_of_selection(inputs),
        })
    }

    /// What the checkpoints of this run belong to.
    pub fn origin(&self) -> Origin {
        let others = (&self.program, &self.files, &self.selection);
        let hash = |text: String| hexadecimal(&Sha256::digest(text));
        Origin {
            config_sha256: hash(self.config.to_string()),
            data_sha256: hash(serde_json::to_string(&others).unwrap_or_default()),
        }
    }

    /// Writes it into the run's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::internal(format!("{NAME}: {e}")))?;
        let path = run.checkpoints_folder().join(NAME);
        fsio::write(&path, fsio::with_checksum(&text).as_bytes())
    }

    /// What the run was begun with; none where that was not written yet, or is damaged.
    pub fn read(run: &RunFolder) -> Option<Self> {
        let bytes = fsio::read(&run.checkpoints_folder().join(NAME)).ok()?;
        serde_json::from_str(fsio::without_checksum(&bytes)?).ok()
    }

    /// Sees that a run that was begun with `before` goes on with the same.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the keys that differ, [`ErrorKind::Integrity`] with the files.
    pub fn check(&self, before: &Self, loaded: &LoadedConfig, run: &RunFolder) -> Result<()> {
        let mut problems = Vec::new();
        differing_keys(
            &loaded.source,
            &before.config,
            &self.config,
            "",
            &mut problems,
        );
        if !problems.is_empty() {
            return Err(refused(ErrorKind::Config, problems, run));
        }
        for (name, hash) in &before.files {
            let said = match self.files.get(name) {
                Some(now) if now == hash => continue,
                Some(_) => "is not what it was when the run began",
                None => "was read when the run began, and is no more",
            };
            problems.push(Problem::new(said).in_file(name));
        }
        for name in self.files.keys().filter(|n| !before.files.contains_key(*n)) {
            problems.push(Problem::new("was not read when the run began").in_file(name));
        }
        for (what, was) in &before.program {
            let is = self.program.get(what).map_or(NOTHING, String::as_str);
            if was != is {
                let said = format!("the run was begun with {what} {was}; this is {is}");
                problems.push(Problem::new(said));
            }
        }
        if problems.is_empty() && self.selection != before.selection {
            let said = "the selectors take other examples than when the run began";
            problems.push(Problem::new(said));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(refused(ErrorKind::Integrity, problems, run))
    }
}

fn refused(kind: ErrorKind, problems: Vec<Problem>, run: &RunFolder) -> Error {
    Error::all(kind, problems).with_hint(format!(
        "the run {} can only go on with what it was begun with; put that back, or leave \
         `--resume` out to start a new run",
        run.path().display()
    ))
}

/// The keys whose values differ, each at its place in the config file.
fn differing_keys(
    source: &Source,
    before: &Value,
    now: &Value,
    key: &str,
    problems: &mut Vec<Problem>,
) {
    if let (Value::Object(before), Value::Object(now)) = (before, now) {
        let names = before
            .keys()
            .chain(now.keys().filter(|k| !before.contains_key(*k)));
        for name in names {
            let key = match key {
                "" => name.clone(),
                _ => format!("{key}.{name}"),
            };
            let of = |config: &serde_json::Map<String, Value>| {
                config.get(name).cloned().unwrap_or(Value::Null)
            };
            differing_keys(source, &of(before), &of(now), &key, problems);
        }
    } else if before != now {
        let shown = |value: &Value| match value {
            Value::Null => NOTHING.to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let message = format!(
            "`{key}` is {}; it was {} when the run began",
            shown(now),
            shown(before)
        );
        problems.push(source.problem(key, message));
    }
}

fn hash_of_selection(inputs: &Inputs) -> String {
    let mut hash = Sha256::new();
    let stages = inputs.stages.iter();
    let stages = stages.map(|set| (&set.dataset, &set.selection));
    let training = (&*inputs.training, &inputs.selection);
    for (dataset, selection) in std::iter::once(training).chain(stages) {
        let draws = selection.draws();
        hash.update((draws.len() as u64).to_le_bytes());
        for index in draws.iter().chain(selection.order.iter().flatten()) {
            hash.update(index.to_le_bytes());
        }
        for new in &selection.new_texts {
            let example = &dataset.examples[new.index as usize];
            hash.update(new.index.to_le_bytes());
            for text in std::iter::once(&example.text).chain(&example.text_pair) {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
    }
    for value in inputs.curriculum_values.iter().flat_map(|values| &**values) {
        hash.update(value.to_le_bytes());
    }
    hexadecimal(&hash.finalize())
}
