//! Training dynamics in memory, however they were written.

use super::positions::Positions;
use crate::data::ExampleIndex;

/// What the values of dynamics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Logits: any finite numbers.
    Logits,
    /// Probabilities: in [0, 1], with the sum 1.
    Probabilities,
}

/// The values of N examples in E epochs, for C classes each.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingDynamics {
    /// What the values are.
    pub kind: ValueKind,
    /// C, at least 1.
    pub n_classes: usize,
    /// N examples, by ascending index.
    pub examples: Vec<RecordedExample>,
    /// E times (N, C).
    pub epochs: Vec<Vec<f64>>,
}

/// An example of which dynamics were recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedExample {
    /// Its id, as a text.
    pub guid: String,
    /// Whether the id was written as a whole number.
    pub guid_is_number: bool,
    /// Its row in the training file; in what other programs wrote, the order of first appearance.
    pub index: ExampleIndex,
    /// Its class index, below C.
    pub gold: u32,
    /// TrustAI's `noisy_label`: 0 ordinary, 1 hard, 2 mislabelled on purpose.
    pub noisy_label: u32,
}

impl TrainingDynamics {
    /// The values of an example in all epochs, (E) times (C).
    pub fn of_example(&self, position: usize) -> impl Iterator<Item = &[f64]> {
        let values = position * self.n_classes..(position + 1) * self.n_classes;
        self.epochs.iter().map(move |epoch| &epoch[values.clone()])
    }
}

/// One example in one epoch, as a file has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub guid: &'a str,
    pub guid_is_number: bool,
    pub gold: u32,
    pub noisy_label: u32,
    /// (C).
    pub values: &'a [f64],
}

/// Puts dynamics together from rows in any order.
#[derive(Debug)]
pub(super) struct Builder {
    kind: ValueKind,
    n_classes: Option<usize>,
    examples: Vec<RecordedExample>,
    /// Position and gold class by id.
    positions: Positions<(u32, u32)>,
    /// E of them.
    epochs: Vec<EpochValues>,
}

/// The values of an epoch, (N, C); NaN where nothing was put yet.
#[derive(Debug)]
pub(super) struct EpochValues(Vec<f64>);

impl EpochValues {
    /// Puts the row of the example at `position`, unless it is there already.
    pub fn put(&mut self, position: u32, row: &Row<'_>) -> Result<(), String> {
        let Self(values) = self;
        let start = position as usize * row.values.len();
        let end = start + row.values.len();
        if values.len() < end {
            values.resize(end, f64::NAN);
        }
        if self.has(start) {
            return Err(format!("`{}` is there twice in this epoch", row.guid));
        }
        self.0[start..end].copy_from_slice(row.values);
        Ok(())
    }

    /// Whether something was put at `start`.
    fn has(&self, start: usize) -> bool {
        self.0.get(start).is_some_and(|value| !value.is_nan())
    }
}

impl Builder {
    pub fn new(kind: ValueKind) -> Self {
        Self {
            kind,
            n_classes: None,
            examples: Vec::new(),
            positions: Positions::default(),
            epochs: Vec::new(),
        }
    }

    /// With a number of classes that does not depend on the first row.
    pub fn with_classes(self, n_classes: Option<usize>) -> Self {
        Self { n_classes, ..self }
    }

    /// The number of examples so far.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// The position of the row's example, which becomes known; what is wrong with the row, if
    /// anything is.
    pub fn position(&mut self, row: &Row<'_>) -> Result<u32, String> {
        if let Some(position) = self.known_position(row)? {
            return Ok(position);
        }
        if row.guid.is_empty() {
            return Err("the id is empty".to_owned());
        }
        let position = self.examples.len() as u32;
        self.n_classes.get_or_insert(row.values.len());
        self.check(row, row.gold)?;
        self.positions.insert(row.guid, (position, row.gold));
        self.examples.push(RecordedExample {
            guid: row.guid.to_owned(),
            guid_is_number: row.guid_is_number,
            index: position,
            gold: row.gold,
            noisy_label: row.noisy_label,
        });
        Ok(position)
    }

    /// The position of the row's example, if it is known; what is wrong with the row, if anything
    /// is.
    fn known_position(&self, row: &Row<'_>) -> Result<Option<u32>, String> {
        let Some((position, gold)) = self.positions.get(row.guid) else {
            return Ok(None);
        };
        self.check(row, gold).map(|()| Some(position))
    }

    /// The position of a row of an epoch that may not have new examples; what is wrong with the
    /// row, if anything is.
    pub fn position_in_later_epoch(&self, row: &Row<'_>) -> Result<u32, String> {
        let unknown = || format!("`{}` is not in the first epoch", row.guid);
        self.known_position(row)?.ok_or_else(unknown)
    }

    /// What is wrong with a row of an example whose gold label is known, if anything is.
    fn check(&self, row: &Row<'_>, known_gold: u32) -> Result<(), String> {
        let Row {
            guid, gold, values, ..
        } = *row;
        let n_classes = self.n_classes.unwrap_or(0);
        if values.len() != n_classes {
            return Err(format!(
                "`{guid}` has values for {} classes, the first example has {n_classes}",
                values.len()
            ));
        }
        if gold as usize >= n_classes {
            return Err(format!(
                "`{guid}` has the gold label {gold}, but values for {n_classes} classes (0 to {})",
                n_classes.saturating_sub(1)
            ));
        }
        if known_gold != gold {
            return Err(format!(
                "`{guid}` has the gold label {gold} here and {known_gold} before"
            ));
        }
        check_values(self.kind, guid, values)
    }

    /// Puts the row of the example at `position` into an epoch, unless it is there already.
    pub fn put(&mut self, epoch: usize, position: u32, row: &Row<'_>) -> Result<(), String> {
        while self.epochs.len() <= epoch {
            self.epochs.push(self.new_epoch());
        }
        self.epochs[epoch].put(position, row)
    }

    /// An epoch without any row.
    pub fn new_epoch(&self) -> EpochValues {
        EpochValues(vec![
            f64::NAN;
            self.examples.len() * self.n_classes.unwrap_or(0)
        ])
    }

    /// Adds an epoch after the others.
    pub fn push_epoch(&mut self, values: EpochValues) {
        self.epochs.push(values);
    }

    /// The position of the first example that an epoch lacks.
    pub fn gap(&self, epoch: usize) -> Option<usize> {
        // An epoch without any row is not there.
        let epoch = self.epochs.get(epoch);
        let n_classes = self.n_classes?;
        let lacks = |position: &usize| epoch.is_none_or(|epoch| !epoch.has(position * n_classes));
        (0..self.examples.len()).find(lacks)
    }

    /// The id of the example at a position.
    pub fn guid(&self, position: usize) -> &str {
        &self.examples[position].guid
    }

    /// About how many bytes the examples take, and their values in so many epochs.
    pub fn n_bytes(&self, n_epochs: usize) -> usize {
        /// What is known of an example, its id, and its slot in the table of ids.
        const PER_EXAMPLE: usize = size_of::<RecordedExample>() + 32 + 64;
        let n_values = n_epochs * self.n_classes.unwrap_or(0);
        self.examples.len() * (PER_EXAMPLE + n_values * size_of::<f64>())
    }

    /// The number of epochs so far.
    pub fn n_epochs(&self) -> usize {
        self.epochs.len()
    }

    /// Leaves out all epochs from this one on.
    pub fn truncate(&mut self, n_epochs: usize) {
        self.epochs.truncate(n_epochs);
    }

    /// The whole; every epoch must have every example.
    pub fn finish(self) -> TrainingDynamics {
        TrainingDynamics {
            kind: self.kind,
            n_classes: self.n_classes.unwrap_or(0),
            examples: self.examples,
            epochs: self.epochs.into_iter().map(|epoch| epoch.0).collect(),
        }
    }
}

/// What is wrong with the values of an example, if anything is.
pub(super) fn check_values(kind: ValueKind, guid: &str, values: &[f64]) -> Result<(), String> {
    /// How far the sum of printed probabilities may be from 1.
    const ROUNDING: f64 = 1e-3;
    if let Some(bad) = values.iter().find(|value| !value.is_finite()) {
        return Err(format!(
            "`{guid}` has the value `{bad}`, which is not a finite number"
        ));
    }
    if kind == ValueKind::Logits {
        return Ok(());
    }
    if let Some(bad) = values
        .iter()
        .find(|value| !(0.0..=1.0 + ROUNDING).contains(*value))
    {
        return Err(format!(
            "`{guid}` has the probability `{bad}`, which is not between 0 and 1"
        ));
    }
    let sum: f64 = values.iter().sum();
    if (sum - 1.0).abs() > ROUNDING {
        return Err(format!(
            "`{guid}` has probabilities with the sum {sum}, which is not 1"
        ));
    }
    Ok(())
}
