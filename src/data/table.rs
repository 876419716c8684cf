//! Tables on disk: maps, predictions, anything with one row per example.
//!
//! The extension decides the format: `.parquet`, `.csv`, `.tsv`, `.jsonl`, or `.pickle` (a
//! plain list of dicts). Numbers keep every digit that tells them apart. Bytes are the same
//! for the same table: no clock, no host, no order of a hash map.
//!
//! | a value | `.parquet`, `.pickle` | `.csv`, `.tsv` | `.jsonl` |
//! | --- | --- | --- | --- |
//! | text | text | as it is, quoted where it must be | string |
//! | NaN, which stands for "none" | NaN | empty cell | `null` |
//! | infinity | infinity | `inf`, `-inf` | the strings `"inf"`, `"-inf"`: JSON has no such numbers |
//! | list of numbers | list | a JSON list in one cell | list |

mod pickle;
mod read;
mod writer;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use serde_json::{Map, Value, json};

use crate::error::{Error, Problem, Result};

pub use read::at_row;
pub use writer::TableWriter;

/// A table: named columns of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<(String, Column)>,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Texts.
    Text(Vec<String>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// Numbers; NaN where there is none.
    Real(Vec<f64>),
    /// Lists of numbers, a JSON list where the format has no lists.
    RealList(Vec<Vec<f64>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Integer(v) => v.len(),
            Self::Real(v) => v.len(),
            Self::RealList(v) => v.len(),
        }
    }

    fn value(&self, row: usize) -> Value {
        match self {
            Self::Text(v) => json!(v[row]),
            Self::Integer(v) => json!(v[row]),
            Self::Real(v) => real_value(v[row]),
            Self::RealList(v) => v[row].iter().copied().map(real_value).collect(),
        }
    }

    fn cell(&self, row: usize) -> String {
        match self {
            Self::Text(v) => v[row].clone(),
            Self::Integer(v) => v[row].to_string(),
            Self::Real(v) if v[row].is_nan() => String::new(),
            // The form that writes 1e-300 with an exponent and 1.0 with its point.
            Self::Real(v) => format!("{:?}", v[row]),
            Self::RealList(_) => self.value(row).to_string(),
        }
    }

    fn arrow(&self) -> ArrayRef {
        match self {
            Self::Text(v) => Arc::new(StringArray::from_iter_values(v)),
            Self::Integer(v) => Arc::new(Int64Array::from(v.clone())),
            Self::Real(v) => Arc::new(Float64Array::from(v.clone())),
            Self::RealList(v) => {
                let rows = v.iter().map(|row| Some(row.iter().copied().map(Some)));
                Arc::new(ListArray::from_iter_primitive::<
                    arrow_array::types::Float64Type,
                    _,
                    _,
                >(rows))
            }
        }
    }
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table with one more column.
    ///
    /// # Panics
    /// If its length is not that of the other columns: a bug of ours.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Self {
        assert!(self.columns.is_empty() || column.len() == self.n_rows());
        self.columns.push((name.into(), column));
        self
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// The columns' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// A column's texts; whole numbers are written out. None for a column that is missing or
    /// holds other numbers.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.column(name)? {
            Column::Text(v) => Some(v.clone()),
            Column::Integer(v) => Some(v.iter().map(ToString::to_string).collect()),
            Column::Real(_) | Column::RealList(_) => None,
        }
    }

    /// A column's numbers, also where they are written as texts, of which an empty one is NaN.
    /// None for a column that is missing or holds anything that is not a number.
    pub fn reals(&self, name: &str) -> Option<Vec<f64>> {
        match self.column(name)? {
            Column::Real(v) => Some(v.clone()),
            Column::Integer(v) => Some(v.iter().map(|x| *x as f64).collect()),
            Column::Text(v) => v.iter().map(|text| real_of_text(text)).collect(),
            Column::RealList(_) => None,
        }
    }

    /// Whether a column holds whole numbers, and not texts that look like them.
    pub fn are_integers(&self, name: &str) -> bool {
        matches!(self.column(name), Some(Column::Integer(_)))
    }

    /// A column's lists of numbers. None for a column that is missing or holds anything else.
    pub fn lists(&self, name: &str) -> Option<Vec<Vec<f64>>> {
        match self.column(name)? {
            Column::RealList(v) => Some(v.clone()),
            _ => None,
        }
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, column)| column)
    }

    /// Takes the column `name` away, if there is one.
    pub fn remove(&mut self, name: &str) {
        self.columns.retain(|(other, _)| other != name);
    }

    /// Whether a table can be written under this name.
    ///
    /// # Errors
    /// An extension that names no format.
    pub fn check_format(path: &Path) -> Result<()> {
        Format::of(path).map(|_| ())
    }

    /// One row, as the formats that name every value have it.
    fn row(&self, row: usize) -> Map<String, Value> {
        self.columns
            .iter()
            .map(|(name, column)| (name.clone(), column.value(row)))
            .collect()
    }

    /// Writes the table, all or nothing, in the format of the extension.
    ///
    /// # Errors
    /// An extension that names no format, or a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        TableWriter::write_file(path, |writer| writer.write(self))
    }

    fn record_batch(&self) -> std::io::Result<RecordBatch> {
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|(_, c)| c.arrow()).collect();
        let fields: Vec<Field> = self
            .columns
            .iter()
            .zip(&arrays)
            .map(|((name, _), array)| Field::new(name, array.data_type().clone(), false))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        RecordBatch::try_new(schema, arrays).map_err(std::io::Error::other)
    }

    /// Puts the rows of `more`, which has the same columns, below the table's own.
    fn append(&mut self, more: &Self) {
        if self.columns.is_empty() {
            self.columns.clone_from(&more.columns);
            return;
        }
        for ((_, column), (_, more)) in self.columns.iter_mut().zip(&more.columns) {
            match (column, more) {
                (Column::Text(v), Column::Text(more)) => v.extend_from_slice(more),
                (Column::Integer(v), Column::Integer(more)) => v.extend_from_slice(more),
                (Column::Real(v), Column::Real(more)) => v.extend_from_slice(more),
                (Column::RealList(v), Column::RealList(more)) => v.extend_from_slice(more),
                _ => debug_assert!(false, "two tables of other columns"),
            }
        }
    }
}

/// A number as JSON has it.
fn real_value(x: f64) -> Value {
    if x.is_infinite() {
        json!(x.to_string())
    } else {
        // NaN becomes null.
        json!(x)
    }
}

fn real_of_text(text: &str) -> Option<f64> {
    match text.trim() {
        "" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}

/// A table's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
    Pickle,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        match extension.as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "parquet" => Ok(Self::Parquet),
            "pickle" | "pkl" => Ok(Self::Pickle),
            other => Err(bad(
                path,
                format!("`.{other}` is no table; allowed: .parquet, .csv, .tsv, .jsonl, .pickle"),
            )),
        }
    }
}

fn bad(path: &Path, message: String) -> Error {
    Error::data(Problem::new(message).in_file(path))
}
