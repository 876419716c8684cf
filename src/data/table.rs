//! Tables on disk: maps, predictions, anything with one row per example.
//!
//! The extension decides the format: `.parquet`, `.csv`, `.tsv`, `.jsonl`, or `.pickle` (a
//! plain list of dicts). Numbers keep every digit that tells them apart. Bytes are the same
//! for the same table: no clock, no host, no order of a hash map.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

use crate::error::{Error, Problem, Result};
use crate::fsio;

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

    /// Adds the rows of a column of the same kind, as the parts of one file's column are.
    fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Text(v), Self::Text(more)) => v.extend(more),
            (Self::Integer(v), Self::Integer(more)) => v.extend(more),
            (Self::Real(v), Self::Real(more)) => v.extend(more),
            (Self::RealList(v), Self::RealList(more)) => v.extend(more),
            _ => unreachable!("a Parquet column has one type"),
        }
    }

    fn value(&self, row: usize) -> Value {
        match self {
            Self::Text(v) => json!(v[row]),
            Self::Integer(v) => json!(v[row]),
            Self::Real(v) => json!(v[row]),
            Self::RealList(v) => json!(v[row]),
        }
    }

    fn cell(&self, row: usize) -> String {
        match self {
            Self::Text(v) => v[row].clone(),
            Self::Integer(v) => v[row].to_string(),
            Self::Real(v) if v[row].is_nan() => String::new(),
            Self::Real(v) => v[row].to_string(),
            Self::RealList(v) => json!(v[row]).to_string(),
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

    /// A column's texts; whole numbers are written out.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.column(name)? {
            Column::Text(v) => Some(v.clone()),
            Column::Integer(v) => Some(v.iter().map(ToString::to_string).collect()),
            Column::Real(_) | Column::RealList(_) => None,
        }
    }

    /// A column's numbers.
    pub fn reals(&self, name: &str) -> Option<Vec<f64>> {
        match self.column(name)? {
            Column::Real(v) => Some(v.clone()),
            Column::Integer(v) => Some(v.iter().map(|x| *x as f64).collect()),
            Column::Text(_) | Column::RealList(_) => None,
        }
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, column)| column)
    }

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
        let format = Format::of(path)?;
        fsio::write_atomically(path, |file| {
            let written = match format {
                Format::Csv => self.write_delimited(file, b','),
                Format::Tsv => self.write_delimited(file, b'\t'),
                Format::Jsonl => (0..self.n_rows()).try_for_each(|row| {
                    serde_json::to_writer(&mut *file, &self.row(row))?;
                    file.write_all(b"\n")
                }),
                Format::Pickle => {
                    let rows: Vec<_> = (0..self.n_rows()).map(|row| self.row(row)).collect();
                    serde_pickle::to_writer(file, &rows, serde_pickle::SerOptions::default())
                        .map_err(std::io::Error::other)
                }
                Format::Parquet => self.write_parquet(file),
            };
            written.map_err(|e| Error::writing(path, &e))
        })
    }

    fn write_delimited(&self, file: impl Write, delimiter: u8) -> std::io::Result<()> {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .from_writer(file);
        writer.write_record(self.names())?;
        for row in 0..self.n_rows() {
            writer.write_record(self.columns.iter().map(|(_, column)| column.cell(row)))?;
        }
        writer.flush()
    }

    fn write_parquet(&self, file: impl Write + Send) -> std::io::Result<()> {
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|(_, c)| c.arrow()).collect();
        let fields: Vec<Field> = self
            .columns
            .iter()
            .zip(&arrays)
            .map(|((name, _), array)| Field::new(name, array.data_type().clone(), false))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(std::io::Error::other)?;
        let mut writer = ArrowWriter::try_new(file, schema, None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    }

    /// Reads a table that this program or another one wrote.
    ///
    /// A column of whole numbers is [`Column::Integer`], one of numbers [`Column::Real`],
    /// anything else [`Column::Text`]; lists are left out.
    ///
    /// # Errors
    /// A missing file, an extension that names no format, or content that is not a table.
    pub fn read(path: &Path) -> Result<Self> {
        let format = Format::of(path)?;
        let bytes = fsio::read(path)?;
        match format {
            Format::Csv => read_delimited(&bytes, b',', path),
            Format::Tsv => read_delimited(&bytes, b'\t', path),
            Format::Jsonl => read_jsonl(&bytes, path),
            Format::Pickle => read_pickle(&bytes, path),
            Format::Parquet => read_parquet(bytes, path),
        }
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

fn read_delimited(bytes: &[u8], delimiter: u8, path: &Path) -> Result<Table> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(bytes);
    let wrong = |e: csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        Error::data(Problem::new(format!("not a table: {e}")).at_line(path, line))
    };
    let names: Vec<String> = reader
        .headers()
        .map_err(wrong)?
        .iter()
        .map(str::to_owned)
        .collect();
    let mut cells: Vec<Vec<Value>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in cells.iter_mut().zip(record.map_err(wrong)?.iter()) {
            column.push(Value::String(cell.to_owned()));
        }
    }
    Ok(assemble(names, cells))
}

fn read_jsonl(bytes: &[u8], path: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row: Map<String, Value> = serde_json::from_slice(line).map_err(|e| {
            let problem = Problem::new(format!("not a JSON object: {e}"));
            Error::data(problem.at(path, i as u64 + 1, e.column() as u64))
        })?;
        rows.push(row);
    }
    from_rows(rows, path)
}

fn read_pickle(bytes: &[u8], path: &Path) -> Result<Table> {
    let rows: Vec<Map<String, Value>> =
        serde_pickle::from_slice(bytes, serde_pickle::DeOptions::default())
            .map_err(|e| bad(path, format!("not a pickled list of dicts: {e}")))?;
    from_rows(rows, path)
}

fn from_rows(rows: Vec<Map<String, Value>>, path: &Path) -> Result<Table> {
    let names: Vec<String> = rows
        .first()
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default();
    let mut cells: Vec<Vec<Value>> = vec![Vec::with_capacity(rows.len()); names.len()];
    for (i, mut row) in rows.into_iter().enumerate() {
        for (name, column) in names.iter().zip(&mut cells) {
            let value = row.remove(name).ok_or_else(|| {
                bad(
                    path,
                    format!("row {} lacks `{name}`, which row 1 has", i + 1),
                )
            })?;
            column.push(value);
        }
    }
    Ok(assemble(names, cells))
}

fn read_parquet(bytes: Vec<u8>, path: &Path) -> Result<Table> {
    let wrong = |e: &dyn std::fmt::Display| bad(path, format!("not a Parquet table: {e}"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|e| wrong(&e))?;
    let mut columns: Vec<(String, Column)> = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| wrong(&e))?;
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let Some(more) = column_of_array(array) else {
                continue;
            };
            match columns.iter_mut().find(|(name, _)| name == field.name()) {
                None => columns.push((field.name().clone(), more)),
                Some((_, column)) => column.append(more),
            }
        }
    }
    // A column of whole numbers with gaps is left out of the parts that have gaps, and so here.
    let n_rows = columns.iter().map(|(_, column)| column.len()).max();
    columns.retain(|(_, column)| Some(column.len()) == n_rows);
    Ok(Table { columns })
}

/// The values of an Arrow array of texts or numbers; none for other types.
fn column_of_array(array: &ArrayRef) -> Option<Column> {
    macro_rules! values {
        ($kind:ty, $none:expr) => {{
            let array = array.as_any().downcast_ref::<$kind>()?;
            array.iter().map(|x| x.map_or($none, Into::into)).collect()
        }};
    }
    match array.data_type() {
        DataType::Utf8 => Some(Column::Text(values!(StringArray, String::new()))),
        DataType::LargeUtf8 => Some(Column::Text(values!(
            arrow_array::LargeStringArray,
            String::new()
        ))),
        DataType::Int64 if array.null_count() == 0 => Some(Column::Integer(values!(Int64Array, 0))),
        DataType::Int32 if array.null_count() == 0 => {
            Some(Column::Integer(values!(arrow_array::Int32Array, 0)))
        }
        DataType::UInt32 if array.null_count() == 0 => {
            Some(Column::Integer(values!(arrow_array::UInt32Array, 0)))
        }
        DataType::Float64 => Some(Column::Real(values!(Float64Array, f64::NAN))),
        DataType::Float32 => Some(Column::Real(values!(arrow_array::Float32Array, f64::NAN))),
        _ => None,
    }
}

fn assemble(names: Vec<String>, cells: Vec<Vec<Value>>) -> Table {
    let columns = names
        .into_iter()
        .zip(cells)
        .filter_map(|(name, values)| Some((name, column_of(values)?)))
        .collect();
    Table { columns }
}

/// The narrowest column that holds all values; none for lists and objects.
fn column_of(values: Vec<Value>) -> Option<Column> {
    let integers: Option<Vec<i64>> = values.iter().map(whole_number).collect();
    if let Some(integers) = integers {
        return Some(Column::Integer(integers));
    }
    let reals: Option<Vec<f64>> = values.iter().map(number).collect();
    if let Some(reals) = reals {
        return Some(Column::Real(reals));
    }
    values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null => Some(String::new()),
            Value::Array(_) | Value::Object(_) => None,
        })
        .collect::<Option<_>>()
        .map(Column::Text)
}

/// A whole number, also as text if writing it out gives the same text again (so `007` stays one).
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse::<i64>().ok().filter(|n| n.to_string() == *text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.is_empty() => Some(f64::NAN),
        Value::String(text) => text.parse().ok(),
        Value::Null => Some(f64::NAN),
        _ => None,
    }
}

fn bad(path: &Path, message: String) -> Error {
    Error::data(Problem::new(message).in_file(path))
}
