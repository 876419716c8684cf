//! The classes of a classifier and their names.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, ErrorKind, Problem, Result};

/// The names of the classes, in the order of their indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSpace {
    names: Vec<String>,
    are_integers: bool,
    /// The inverse of `names`; only ever looked up.
    indices: HashMap<String, u32>,
}

impl LabelSpace {
    /// The label space of a training file's labels.
    ///
    /// They are integers if every one is written as an integer is (`0`, `-3`, but not `01` or
    /// `+1`), or if every one is such an integer followed by `.0`, which is how pandas writes
    /// a column of integers that once had a gap; `1.0` is then the class `1`. Integers are
    /// sorted as numbers. Any other labels are texts and sorted by their bytes.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let distinct: BTreeSet<&str> = labels.into_iter().collect();
        let integers = all_integers(distinct.iter().copied()).or_else(|| {
            let cut: Option<Vec<&str>> = distinct
                .iter()
                .map(|label| label.strip_suffix(".0"))
                .collect();
            all_integers(cut?.into_iter())
        });
        match integers {
            Some(mut integers) => {
                integers.sort_unstable();
                Self::from_names(integers.iter().map(i64::to_string).collect())
            }
            None => Self::from_names(distinct.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The label space of known classes in their known order, as a saved model lists them.
    pub fn from_names(names: Vec<String>) -> Self {
        let are_integers = all_integers(names.iter().map(String::as_str)).is_some();
        let indices = names.iter().cloned().zip(0..).collect();
        Self {
            names,
            are_integers,
            indices,
        }
    }

    /// The same classes and further ones that training has no example of, `num_labels` in all.
    ///
    /// Where all labels are integers below `num_labels` and none is negative, the classes
    /// become the integers from 0 to `num_labels - 1`. Otherwise the new class of index `k` is
    /// called `LABEL_k`, as transformers does.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there are more than `num_labels` classes already.
    pub fn extended_to(self, num_labels: usize) -> Result<Self> {
        let observed = self.len();
        if num_labels < observed {
            let message = format!(
                "`model.num_labels: {num_labels}` is too few: the training set has {observed} labels"
            );
            let hint = format!("leave `model.num_labels` out, or set it to {observed} or more");
            return Err(Error::new(
                ErrorKind::Config,
                Problem::new(message).hint(hint),
            ));
        }
        let all_below = self.are_integers
            && self
                .names
                .iter()
                .all(|name| name.parse::<usize>().is_ok_and(|label| label < num_labels));
        let mut names = self.names;
        if all_below {
            names = (0..num_labels).map(|label| label.to_string()).collect();
        } else {
            names.extend((observed..num_labels).map(|k| format!("LABEL_{k}")));
        }
        Ok(Self::from_names(names))
    }

    /// The index of the class that a file writes as `label`, or `None` for one that training
    /// lacks. Where the classes are integers, `1.0` is the class `1`.
    pub fn index_of(&self, label: &str) -> Option<u32> {
        let as_integer = || {
            let integer = label.strip_suffix(".0").filter(|_| self.are_integers)?;
            self.indices.get(integer)
        };
        self.indices.get(label).or_else(as_integer).copied()
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of class `index`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn name(&self, index: u32) -> &str {
        &self.names[index as usize]
    }

    /// All names, in the order of their indices.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether every name is an integer.
    pub fn are_integers(&self) -> bool {
        self.are_integers
    }
}

/// The numbers that `labels` write, if each is an integer in the one way that integers are
/// usually written; so no two of them are the same number.
fn all_integers<'a>(labels: impl Iterator<Item = &'a str>) -> Option<Vec<i64>> {
    labels
        .map(|label| {
            let number: i64 = label.parse().ok()?;
            (number.to_string() == label).then_some(number)
        })
        .collect()
}
