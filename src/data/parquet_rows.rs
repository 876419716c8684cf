//! Parquet files to rows, by the columns' names as in a CSV file with a header.

use std::collections::BTreeSet;
use std::fs::File;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_schema::DataType;
use serde_json::Value;

use crate::config::DataConfig;
use crate::error::{Error, Problem, Result};

use super::columns::{self, Names};
use super::parquet::ParquetFile;
use super::problems::{Content, Problems, Row, listed, quoted};

/// Rows that are decoded at a time.
pub(super) const ROWS_PER_CHUNK: usize = 8192;

/// The key under which Hugging Face's `datasets` notes its features in a file.
const FEATURES_NOTE: &str = "huggingface";

/// What a column is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Id,
    Text,
    TextPair,
    Label,
    TrueLabel,
}

/// A column that is used.
struct Used {
    role: Role,
    position: usize,
    name: String,
    /// The class names of a column of class numbers.
    classes: Option<Vec<String>>,
}

/// Reads all rows of the current file of `problems`, which is where what is wrong with them goes.
///
/// Texts are texts in any of Parquet's ways to store them; ids and labels may also be whole
/// numbers. Where `datasets` has noted the names of a label column's classes (its `ClassLabel`), a
/// label is its class's name.
///
/// # Errors
/// A file that is not there, cannot be read or is not a Parquet file.
pub(super) fn read(config: &DataConfig, problems: &mut Problems) -> Result<Content> {
    read_batches(config, problems, &mut |_, _| Ok(()))
}

/// As [`read`], and shows `each` the content after every chunk of rows, which it may take out.
///
/// # Errors
/// As [`read`]; those of `each`.
pub(super) fn read_batches<'a>(
    config: &DataConfig,
    problems: &mut Problems<'a>,
    each: &mut dyn FnMut(&mut Content, &mut Problems<'a>) -> Result<()>,
) -> Result<Content> {
    let path = problems.path;
    let damaged = |what: String| {
        let message = format!("not a readable Parquet file: {what}");
        Error::data(Problem::new(message).in_file(path))
    };
    let file = File::open(path).map_err(|e| Error::reading(path, &e))?;
    let file = ParquetFile::open(file).map_err(damaged)?;
    let fields = file.schema().fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let mut result = Content::default();
    let Some(used) = used_columns(&file, &names, config, problems) else {
        return Ok(result);
    };
    result.has_true_labels = used.iter().any(|column| column.role == Role::TrueLabel);
    let label = used.iter().find(|column| column.role == Role::Label);
    result.class_names = label.and_then(|column| column.classes.clone());
    result.column_names = names;
    let extra = columns::extra(Names::Header(&result.column_names), config);
    let positions = used.iter().map(|column| column.position);
    let positions: BTreeSet<usize> = positions.chain(extra.iter().flatten().copied()).collect();
    let positions = Vec::from_iter(positions);
    let batches = file
        .batches(ROWS_PER_CHUNK, Some(&positions))
        .map_err(damaged)?;
    let mut n_rows = 0;
    for batch in batches {
        let batch = batch.map_err(damaged)?;
        // The chunk has the columns that were asked for alone.
        let array = |position: &usize| {
            let place = positions.binary_search(position).ok()?;
            Some(batch.column(place).as_ref())
        };
        let arrays: Vec<&dyn Array> = used.iter().filter_map(|c| array(&c.position)).collect();
        let extra: Vec<Option<&dyn Array>> =
            extra.iter().map(|p| p.as_ref().and_then(array)).collect();
        for i in 0..batch.num_rows() {
            let line = n_rows + i as u64 + 1;
            let row = row(line, i, &used, &arrays, problems);
            result.rows.extend(row.map(|row| Row {
                extra: extra.iter().map(|array| cell_of((*array)?, i)).collect(),
                ..row
            }));
        }
        n_rows += batch.num_rows() as u64;
        each(&mut result, problems)?;
    }
    if n_rows == 0 {
        problems.push(Problem::new("the file has no rows").in_file(path));
    }
    Ok(result)
}

/// The columns that hold ids, texts and labels in the order of the file; none if something is
/// wrong with them.
fn used_columns(
    file: &ParquetFile<File>,
    names: &[String],
    config: &DataConfig,
    problems: &mut Problems,
) -> Option<Vec<Used>> {
    let path = problems.path;
    let columns = match columns::resolve(Names::Header(names), config) {
        Ok(columns) => columns,
        Err(found) => {
            for problem in found {
                problems.push(problem.in_file(path));
            }
            return None;
        }
    };
    let mut used: Vec<Used> = [
        (Role::Id, columns.id),
        (Role::Text, Some(columns.text)),
        (Role::TextPair, columns.text_pair),
        (Role::Label, columns.label),
        (Role::TrueLabel, columns.true_label),
    ]
    .into_iter()
    .filter_map(|(role, position)| {
        let position = position?;
        Some(Used {
            role,
            position,
            name: names[position].clone(),
            classes: None,
        })
    })
    .collect();
    used.sort_by_key(|column| column.position);
    let note = file.note(FEATURES_NOTE);
    let note: Option<Value> = note.and_then(|note| serde_json::from_str(note).ok());
    for column in &mut used {
        let kind = file.schema().field(column.position).data_type();
        let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8);
        let needs_text = matches!(column.role, Role::Text | Role::TextPair);
        if !is_text && (needs_text || !kind.is_integer()) {
            let expected = if needs_text {
                "texts"
            } else {
                "texts or whole numbers"
            };
            let name = quoted(&column.name);
            let message = format!("the column {name} holds {kind} values, expected {expected}");
            problems.push(Problem::new(message).in_file(path));
        }
        if kind.is_integer() && matches!(column.role, Role::Label | Role::TrueLabel) {
            column.classes = note.as_ref().and_then(|note| classes(note, &column.name));
        }
    }
    problems.is_empty().then_some(used)
}

/// The names of the classes of a `ClassLabel` column.
fn classes(note: &Value, column: &str) -> Option<Vec<String>> {
    let names = note["info"]["features"][column]["names"].as_array()?;
    names
        .iter()
        .map(|name| name.as_str().map(|name| name.trim().to_owned()))
        .collect()
}

/// Row `i` of a chunk, the file's row `line`, unless something is wrong with it.
fn row(
    line: u64,
    i: usize,
    used: &[Used],
    arrays: &[&dyn Array],
    problems: &mut Problems,
) -> Option<Row> {
    let mut row = Row {
        line,
        ..Row::default()
    };
    let mut is_good = true;
    for (column, array) in used.iter().zip(arrays) {
        match column.value(*array, i) {
            Ok(value) => column.put(value, &mut row),
            Err(problem) => {
                problems.push_at(line, problem);
                is_good = false;
            }
        }
    }
    is_good.then_some(row)
}

impl Used {
    /// The column's value in row `i` of `array`, as text; none only for a true label.
    fn value(&self, array: &dyn Array, i: usize) -> Result<Option<String>, Problem> {
        let is_optional = self.role == Role::TrueLabel;
        let Some(value) = text_of(array, i) else {
            return if is_optional {
                Ok(None)
            } else {
                let message = format!("{} is null", quoted(&self.name));
                Err(Problem::new(message))
            };
        };
        if matches!(self.role, Role::Text | Role::TextPair) {
            return Ok(Some(value));
        }
        if let Some(classes) = &self.classes {
            let class = value
                .parse()
                .ok()
                .and_then(|class: usize| classes.get(class));
            // `datasets` writes -1 where there is no label.
            return match class {
                Some(name) => Ok(Some(name.clone())),
                None if is_optional && value == "-1" => Ok(None),
                None => {
                    let (name, classes) = (quoted(&self.name), listed(classes));
                    let message = format!(
                        "{name} is `{value}`, which is none of the classes that the file names: {classes}"
                    );
                    Err(Problem::new(message))
                }
            };
        }
        if value.trim().is_empty() {
            return if is_optional {
                Ok(None)
            } else {
                Err(Problem::new(format!("{} is empty", quoted(&self.name))))
            };
        }
        Ok(Some(value))
    }

    fn put(&self, value: Option<String>, row: &mut Row) {
        let name = || value.as_deref().map(|name| name.trim().to_owned());
        match self.role {
            Role::Label => row.label = name().unwrap_or_default(),
            Role::TrueLabel => row.true_label = name(),
            Role::Id => row.guid = value,
            Role::Text => row.text = value.unwrap_or_default(),
            Role::TextPair => row.text_pair = value,
        }
    }
}

/// A further column's value as a cell of a text file would have it; none for lists and the like.
fn cell_of(array: &dyn Array, i: usize) -> Option<String> {
    if array.is_null(i) {
        return None;
    }
    match array.data_type() {
        DataType::Boolean => Some(array.as_boolean().value(i).to_string()),
        DataType::Float32 => Some(array.as_primitive::<Float32Type>().value(i).to_string()),
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(i).to_string()),
        _ => text_of(array, i),
    }
}

/// A text, or a whole number written out; none for null.
pub(super) fn text_of(array: &dyn Array, i: usize) -> Option<String> {
    macro_rules! number {
        ($kind:ty) => {
            array.as_primitive::<$kind>().value(i).to_string()
        };
    }
    if array.is_null(i) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(i).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(i).to_owned(),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        // Columns of other types were refused.
        _ => return None,
    })
}
