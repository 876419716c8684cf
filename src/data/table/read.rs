//! Reading tables, whoever wrote them.
//!
//! Whatever a file holds, the result is a table or an error: sizes that a file claims are not
//! believed before the bytes are there, and nesting is limited.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use serde_json::{Map, Value};

use super::{Column, Format, Table, bad, pickle};
use crate::data::ParquetBatches;
use crate::error::{Error, Problem, Result, without_place};
use crate::fsio;

impl Table {
    /// Reads a table that this program or another one wrote.
    ///
    /// Values keep the type that they have in the file: JSON, pickle and Parquet tell the text
    /// `007` from a number. Cells of CSV and TSV are texts; [`Table::reals`] reads them as
    /// numbers. Whole numbers are [`Column::Integer`], numbers [`Column::Real`] with NaN where
    /// one is missing, lists of numbers [`Column::RealList`], everything else [`Column::Text`];
    /// columns of other lists and of objects are left out.
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
            Format::Pickle => from_rows(pickle::read(&bytes, path)?, path),
            Format::Parquet => read_parquet(bytes, path),
        }
    }
}

/// A problem of a row, counted from 0, of the table at `path`: at its line, for which a text file
/// is read once more, or with the row's number (from 1) in formats without lines.
pub fn at_row(mut problem: Problem, path: &Path, row: usize) -> Problem {
    let line = match Format::of(path) {
        Ok(Format::Csv) => line_of_record(path, b',', row),
        Ok(Format::Tsv) => line_of_record(path, b'\t', row),
        Ok(Format::Jsonl) => line_of_object(path, row),
        _ => None,
    };
    if let Some(line) = line {
        problem.at_line(path, line)
    } else {
        problem.message = format!("row {}: {}", row + 1, problem.message);
        problem.in_file(path)
    }
}

/// The line on which a record below the header starts; one record may have several.
fn line_of_record(path: &Path, delimiter: u8, row: usize) -> Option<u64> {
    let bytes = fsio::read(path).ok()?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(bytes.as_slice());
    let record = reader.byte_records().nth(row)?.ok()?;
    let start = record.position()?;
    // The reader passes over blank lines after it has noted where it is.
    let rest = bytes.get(start.byte() as usize..)?;
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    let n_blank = blank.filter(|byte| **byte == b'\n').count();
    Some(start.line() + n_blank as u64)
}

fn line_of_object(path: &Path, row: usize) -> Option<u64> {
    let bytes = fsio::read(path).ok()?;
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let mut objects = lines.filter(|(line, _)| !line.iter().all(u8::is_ascii_whitespace));
    objects.nth(row).map(|(_, number)| number)
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
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in cells.iter_mut().zip(record.map_err(wrong)?.iter()) {
            column.push(cell.to_owned());
        }
    }
    let columns = names.into_iter().zip(cells.into_iter().map(Column::Text));
    Ok(Table {
        columns: columns.collect(),
    })
}

fn read_jsonl(bytes: &[u8], path: &Path) -> Result<Table> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut rows = Vec::new();
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row: Map<String, Value> = serde_json::from_slice(line).map_err(|e| {
            let problem = Problem::new(format!("not a JSON object: {}", without_place(&e)));
            Error::data(problem.at(path, i as u64 + 1, e.column().max(1) as u64))
        })?;
        rows.push(row);
    }
    from_rows(rows, path)
}

/// The columns are those of the first row; every row has them all.
fn from_rows(rows: Vec<Map<String, Value>>, path: &Path) -> Result<Table> {
    let names: Vec<String> = rows
        .first()
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default();
    let mut cells: Vec<Vec<Value>> = vec![Vec::new(); names.len()];
    for (i, mut row) in rows.into_iter().enumerate() {
        for (name, column) in names.iter().zip(&mut cells) {
            let value = row.remove(name).ok_or_else(|| {
                let message = format!("row {} lacks `{name}`, which row 1 has", i + 1);
                bad(path, message)
            })?;
            column.push(value);
        }
    }
    let columns = names.into_iter().zip(cells);
    Ok(Table {
        columns: columns
            .filter_map(|(name, values)| Some((name, column_of_values(&values)?)))
            .collect(),
    })
}

/// The narrowest column that holds all values; none for objects and lists of other things than
/// numbers.
fn column_of_values(values: &[Value]) -> Option<Column> {
    let integers: Option<Vec<i64>> = values.iter().map(Value::as_i64).collect();
    if let Some(integers) = integers {
        return Some(Column::Integer(integers));
    }
    let reals: Option<Vec<f64>> = values.iter().map(real).collect();
    if let Some(reals) = reals {
        return Some(Column::Real(reals));
    }
    if matches!(values, [Value::Array(_), ..]) {
        let list = |value: &Value| value.as_array()?.iter().map(real).collect();
        let lists: Option<Vec<Vec<f64>>> = values.iter().map(list).collect();
        return lists.map(Column::RealList);
    }
    let texts: Option<Vec<String>> = values
        .iter()
        .map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null => Some(String::new()),
            Value::Array(_) | Value::Object(_) => None,
        })
        .collect();
    texts.map(Column::Text)
}

/// A number; none for a whole one that is too large for 64 bits, whose digits an id may need.
fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) if number.is_u64() && !number.is_i64() => None,
        Value::Number(number) => number.as_f64(),
        Value::Null => Some(f64::NAN),
        _ => None,
    }
}

fn read_parquet(bytes: Vec<u8>, path: &Path) -> Result<Table> {
    let wrong = |e: String| bad(path, format!("not a Parquet table: {e}"));
    let batches = ParquetBatches::open(bytes::Bytes::from(bytes), 1 << 16).map_err(wrong)?;
    let schema = batches.schema().clone();
    let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); schema.fields().len()];
    for batch in batches {
        for (part, array) in parts.iter_mut().zip(batch.map_err(wrong)?.columns()) {
            part.push(Arc::clone(array));
        }
    }
    let columns = schema.fields().iter().zip(&parts);
    Ok(Table {
        columns: columns
            .filter_map(|(field, parts)| {
                let column = column_of_arrays(field.data_type(), parts)?;
                Some((field.name().clone(), column))
            })
            .collect(),
    })
}

/// The values of one column's arrays; none for types that are neither texts nor numbers.
fn column_of_arrays(kind: &DataType, parts: &[ArrayRef]) -> Option<Column> {
    macro_rules! values {
        ($array:ty, $missing:expr, $convert:expr) => {{
            let mut values = Vec::new();
            for part in parts {
                let array = part.as_any().downcast_ref::<$array>()?;
                values.extend(array.iter().map(|x| x.map_or($missing, $convert)));
            }
            values
        }};
    }
    macro_rules! whole_numbers {
        ($array:ty, $to_real:expr) => {
            if parts.iter().all(|part| part.null_count() == 0) {
                Column::Integer(values!($array, 0, i64::from))
            } else {
                // Where one is missing, they are numbers with NaN, as in pandas.
                Column::Real(values!($array, f64::NAN, $to_real))
            }
        };
    }
    let column = match kind {
        DataType::Utf8 => Column::Text(values!(StringArray, String::new(), str::to_owned)),
        DataType::Int64 => whole_numbers!(Int64Array, |x| x as f64),
        DataType::Int32 => whole_numbers!(arrow_array::Int32Array, f64::from),
        DataType::Int16 => whole_numbers!(arrow_array::Int16Array, f64::from),
        DataType::Int8 => whole_numbers!(arrow_array::Int8Array, f64::from),
        DataType::UInt32 => whole_numbers!(arrow_array::UInt32Array, f64::from),
        DataType::UInt16 => whole_numbers!(arrow_array::UInt16Array, f64::from),
        DataType::UInt8 => whole_numbers!(arrow_array::UInt8Array, f64::from),
        // These need not fit into an `i64`; as texts they keep all digits.
        DataType::UInt64 => {
            Column::Text(values!(arrow_array::UInt64Array, String::new(), |x| x.to_string()))
        }
        DataType::Float64 => Column::Real(values!(Float64Array, f64::NAN, |x| x)),
        DataType::Float32 => Column::Real(values!(arrow_array::Float32Array, f64::NAN, f64::from)),
        DataType::Float16 => Column::Real(values!(arrow_array::Float16Array, f64::NAN, f64::from)),
        DataType::List(_) => Column::RealList(lists_of(parts)?),
        _ => return None,
    };
    Some(column)
}

/// Lists of numbers; none for lists of anything else, and where a list is missing.
fn lists_of(parts: &[ArrayRef]) -> Option<Vec<Vec<f64>>> {
    let mut lists = Vec::new();
    for part in parts {
        let array = part.as_any().downcast_ref::<arrow_array::ListArray>()?;
        for list in array {
            let list = list?;
            match column_of_arrays(list.data_type(), std::slice::from_ref(&list))? {
                Column::Real(numbers) => lists.push(numbers),
                Column::Integer(numbers) => lists.push(numbers.iter().map(|x| *x as f64).collect()),
                Column::Text(_) | Column::RealList(_) => return None,
            }
        }
    }
    Some(lists)
}
