//! The maps of several runs, example by example.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::data::{ExampleIndex, Table};
use crate::error::{Error, Problem, Result};

/// Columns of a map that say which example it is, and no signal.
const WHICH: [&str; 3] = ["guid", "index", "label"];

/// The signals of several runs; the examples are those of the first.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Runs {
    guids: Vec<String>,
    indices: Vec<ExampleIndex>,
    labels: Vec<String>,
    positions: HashMap<String, usize>,
    signal_names: Vec<String>,
    each: Vec<Run>,
    /// The positions of the examples that all runs have.
    common: Vec<usize>,
}

/// One run's map.
#[derive(Debug)]
pub(in crate::pipeline) struct Run {
    /// What it goes by.
    pub name: String,
    /// How many examples it has, also those that others lack.
    pub n_examples: usize,
    /// How many epochs it was made of.
    pub n_epochs: usize,
    /// For each signal a value for each example of the first run, NaN where this one lacks it.
    signals: Vec<Vec<f64>>,
}

impl Runs {
    /// Takes in a run's map, a table of ours.
    ///
    /// # Errors
    /// No example that all runs so far have; an example that has another gold label than in the
    /// first run.
    pub fn add(&mut self, name: String, n_epochs: usize, map: &Table) -> Result<()> {
        let wrong = |message: String, hint: &str| {
            Err(Error::data(Problem::new(message).in_file(&name).hint(hint)))
        };
        let guids = map.texts("guid").unwrap_or_default();
        let labels = map.texts("label").unwrap_or_default();
        if self.each.is_empty() {
            self.begin(map, &guids, &labels);
        }
        let mut rows: Vec<Option<usize>> = vec![None; self.guids.len()];
        // Class names may differ, as where one run has them and another has numbers.
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        let known: BTreeSet<&str> = self.labels.iter().map(String::as_str).collect();
        if labels.iter().all(|label| known.contains(label.as_str())) {
            names.extend(labels.iter().map(|label| (label.as_str(), label.as_str())));
        }
        for (row, guid) in guids.iter().enumerate() {
            let Some(position) = self.positions.get(guid).copied() else {
                continue;
            };
            rows[position] = Some(row);
            let first = self.labels[position].as_str();
            let known = *names.entry(&labels[row]).or_insert(first);
            if known != first {
                let here = &labels[row];
                let elsewhere = if known == here {
                    String::new()
                } else {
                    format!(", where `{here}` of other examples is `{known}`")
                };
                let message = format!(
                    "`{guid}` has the gold label `{here}` here and `{first}` in `{}`{elsewhere}",
                    self.each[0].name
                );
                return wrong(message, "compare runs that were trained on the same data");
            }
        }
        self.common.retain(|position| rows[*position].is_some());
        if self.common.is_empty() {
            let message = "no example is in all runs up to this one".to_owned();
            return wrong(message, "runs are compared by the examples' ids");
        }
        let signals = self.signal_names.iter().map(|name| {
            let values = map.reals(name).unwrap_or_default();
            let value = |row: &Option<usize>| row.and_then(|row| values.get(row)).copied();
            rows.iter()
                .map(|row| value(row).unwrap_or(f64::NAN))
                .collect()
        });
        let signals = signals.collect();
        self.each.push(Run {
            name,
            n_examples: guids.len(),
            n_epochs,
            signals,
        });
        Ok(())
    }

    /// Takes the examples of the first run.
    fn begin(&mut self, map: &Table, guids: &[String], labels: &[String]) {
        let indices = map.reals("index").unwrap_or_default();
        self.indices = indices.iter().map(|index| *index as ExampleIndex).collect();
        self.positions = guids.iter().cloned().zip(0..).collect();
        self.common = (0..guids.len()).collect();
        self.guids = guids.to_vec();
        self.labels = labels.to_vec();
        let names = map.names().filter(|name| !WHICH.contains(name));
        self.signal_names = names.map(str::to_owned).collect();
    }

    /// All runs.
    pub fn runs(&self) -> &[Run] {
        &self.each
    }

    /// The number of examples that all runs have.
    pub fn n_common(&self) -> usize {
        self.common.len()
    }

    /// The number of examples of the largest run that another one lacks.
    pub fn n_left_out(&self) -> usize {
        let most = self.each.iter().map(|run| run.n_examples).max();
        most.unwrap_or(0) - self.common.len()
    }

    /// The ids of the examples that all runs have, in the order of the first.
    pub fn guids(&self) -> Vec<String> {
        self.of_common(&self.guids)
    }

    /// These examples' rows in the training file of the first run.
    pub fn indices(&self) -> Vec<ExampleIndex> {
        self.of_common(&self.indices)
    }

    /// The names of these examples' labels.
    pub fn labels(&self) -> Vec<String> {
        self.of_common(&self.labels)
    }

    /// The names of the signals.
    pub fn signal_names(&self) -> impl Iterator<Item = &str> {
        self.signal_names.iter().map(String::as_str)
    }

    /// A signal of these examples in one run; NaN where it has no value.
    pub fn signal(&self, run: usize, name: &str) -> Vec<f64> {
        match self.signal_names.iter().position(|other| other == name) {
            Some(signal) => self.of_common(&self.each[run].signals[signal]),
            None => vec![f64::NAN; self.common.len()],
        }
    }

    fn of_common<T: Clone>(&self, values: &[T]) -> Vec<T> {
        self.common
            .iter()
            .map(|position| values[*position].clone())
            .collect()
    }
}
