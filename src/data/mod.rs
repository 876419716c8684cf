//! Files to examples and examples to batches: reading and checking data files, the label
//! space, the validation split, tokens, packed batches.
//!
//! A training file becomes a [`Dataset`], whose row order is the example index that the
//! dynamics, the map and the selectors use, and a [`LabelSpace`], which is the whole training
//! file's and stays the same for every other file of the run. All that is wrong with a file is
//! found here, before any model is loaded, and reported together.

mod batch;
mod caught;
mod columns;
mod delimited;
mod files;
mod format;
mod jsonl;
mod label_noise;
mod labels;
mod options;
mod parquet;
mod parquet_rows;
mod pieces;
mod problems;
mod protobuf;
mod raw_rows;
mod read;
mod records;
mod sentence_piece;
mod split;
mod table;
mod tokenize;
mod word_piece;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Problem;

pub use batch::{PackedBatch, Sequences, TokenizedExample};
pub use files::DataFiles;
pub use label_noise::add_label_noise;
pub use labels::LabelSpace;
pub(crate) use parquet::ParquetBatches;
pub use pieces::{read_in_pieces, read_unlabelled};
pub use raw_rows::RawRows;
pub use read::{read_evaluation, read_training};
pub use split::{stratified_folds, stratified_split};
pub use table::{Column, Table, TableWriter, at_row};
pub use tokenize::{TokenCache, TokenizedDataset, Tokenizer, Truncation};

/// The position of an example in its data set, counted from 0 over all files of the set,
/// headers and blank lines left out.
pub type ExampleIndex = u32;

/// A text, or a pair of texts, with its class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Example {
    /// The id column's text, or the example's index where the files have no ids; unique in its set.
    pub guid: String,
    /// The text, byte for byte as in the file; it may be empty.
    pub text: String,
    /// The second text of a pair, as with premise and hypothesis.
    pub text_pair: Option<String>,
    /// For multiple choice the pair of texts that the model reads for each option, in the order of
    /// the classes; else none.
    pub options: Vec<[String; 2]>,
    /// The class, an index into the [`LabelSpace`].
    pub label: u32,
    /// The true class, where `label` may be wrong and this is known; for reports alone.
    pub true_label: Option<u32>,
}

/// The examples of one data set in the order of its rows, so that `examples[i]` has index `i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The file or glob, as it was named, or `FIRST and N more`; see [`DataFiles::name`].
    pub path: PathBuf,
    /// At least one example.
    pub examples: Vec<Example>,
    /// The cells of the further columns that were asked for and are there, by the columns'
    /// names, one per example; none where a JSON object lacks the key or has null.
    pub extra: BTreeMap<String, Vec<Option<String>>>,
    /// What is odd about the file but does not stop a run.
    pub warnings: Vec<Problem>,
}

impl Example {
    /// What the model reads of it: a text or a pair, or a pair for each option.
    pub fn sequences(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let own = (self.text.as_str(), self.text_pair.as_deref());
        let options = self.options.iter();
        std::iter::once(own)
            .filter(|_| self.options.is_empty())
            .chain(options.map(|[first, second]| (first.as_str(), Some(second.as_str()))))
    }
}

impl Dataset {
    /// The number of examples.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there are no examples, which a file that was read never is.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The number of sequences that the model reads for an example: of options in a multiple
    /// choice, else 1.
    pub fn sequences_per_example(&self) -> usize {
        self.examples.first().map_or(1, |e| e.options.len().max(1))
    }

    /// The classes of all examples, in row order.
    pub fn labels(&self) -> Vec<u32> {
        self.examples.iter().map(|example| example.label).collect()
    }

    /// The names of the true classes of the examples at `indices`, empty where one is not
    /// known; none for a data set without true labels.
    ///
    /// # Panics
    /// If an index is not one of this data set's, or a class has no name.
    pub fn true_label_column(
        &self,
        indices: impl Iterator<Item = ExampleIndex>,
        names: &[String],
    ) -> Option<Column> {
        self.examples.iter().find_map(|e| e.true_label)?;
        let classes = indices.map(|index| self.examples[index as usize].true_label);
        let name = |class: u32| names[class as usize].clone();
        Some(Column::Text(
            classes
                .map(|class| class.map_or_else(String::new, name))
                .collect(),
        ))
    }

    /// The subset that holds every example.
    pub fn all(&self) -> Subset {
        Subset::from((0..self.len() as ExampleIndex).collect::<Vec<_>>())
    }
}

/// Some examples of a [`Dataset`], each at most once, in ascending order of their indices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subset {
    indices: Vec<ExampleIndex>,
}

impl Subset {
    /// The indices, ascending and without repeats.
    pub fn indices(&self) -> &[ExampleIndex] {
        &self.indices
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The examples with their indices, in ascending order.
    ///
    /// # Panics
    /// If an index is not one of `dataset`'s: the subset is then another dataset's.
    pub fn examples<'a>(
        &'a self,
        dataset: &'a Dataset,
    ) -> impl ExactSizeIterator<Item = (ExampleIndex, &'a Example)> {
        self.indices
            .iter()
            .map(|&index| (index, &dataset.examples[index as usize]))
    }
}

impl From<Vec<ExampleIndex>> for Subset {
    /// Takes indices in any order; a subset is a set, so repeats count once.
    fn from(mut indices: Vec<ExampleIndex>) -> Self {
        indices.sort_unstable();
        indices.dedup();
        Self { indices }
    }
}
