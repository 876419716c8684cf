//! JSON Lines to rows: one object a line, blank lines skipped.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::DataConfig;
use crate::error::{Problem, without_place};

use super::columns::{self, Names};
use super::problems::{Content, Problems, Row, listed, quoted};

/// The keys of the objects.
struct Keys {
    id: Option<String>,
    text: String,
    text_pair: Option<String>,
    label: Option<String>,
    true_label: Option<String>,
}

/// Reads all rows of `text`; what is wrong goes to `problems`.
///
/// The keys are looked up in the first object and every other must have them too; column
/// positions in the config mean nothing here.
pub(super) fn read(text: &str, config: &DataConfig, problems: &mut Problems) -> Content {
    let mut result = Content::default();
    let mut keys = None;
    for (line, number) in text.split('\n').zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let object = match object(line, problems.path, number) {
            Ok(object) => object,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let keys = match &keys {
            Some(keys) => keys,
            None => match find_keys(&object, config) {
                Ok(found) => {
                    result.column_names = object.keys().cloned().collect();
                    result.has_true_labels = found.true_label.is_some();
                    keys.insert(found)
                }
                Err(found) => {
                    for problem in found {
                        problems.push_at(number, problem);
                    }
                    return result;
                }
            },
        };
        let row = row(object, number, keys, &config.extra_columns, problems);
        result.rows.extend(row);
    }
    if result.rows.is_empty() && problems.is_empty() {
        problems.push(Problem::new("the file is empty").in_file(problems.path));
    }
    result
}

pub(super) fn object(line: &str, path: &Path, number: u64) -> Result<Map<String, Value>, Problem> {
    let hint = "a JSON Lines file has one whole object on every line";
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => {
            let message = format!("expected a JSON object, got {}", quoted(&other.to_string()));
            Err(Problem::new(message).at_line(path, number).hint(hint))
        }
        Err(error) => {
            // serde_json counts columns in bytes, and from 1 the last byte that it has read.
            let before = line
                .char_indices()
                .take_while(|(at, _)| at + 1 < error.column());
            let column = before.count() as u64 + 1;
            Err(Problem::new(format!("not JSON: {}", without_place(&error)))
                .at(path, number, column)
                .hint(hint))
        }
    }
}

fn find_keys(object: &Map<String, Value>, config: &DataConfig) -> Result<Keys, Vec<Problem>> {
    let names: Vec<String> = object.keys().cloned().collect();
    let columns = columns::resolve(Names::Keys(&names), config)?;
    let name = |column: usize| names[column].clone();
    Ok(Keys {
        id: columns.id.map(name),
        text: name(columns.text),
        text_pair: columns.text_pair.map(name),
        label: columns.label.map(name),
        true_label: columns.true_label.map(name),
    })
}

/// The object's row, unless something is wrong with it.
fn row(
    mut object: Map<String, Value>,
    line: u64,
    keys: &Keys,
    extra: &[String],
    problems: &mut Problems,
) -> Option<Row> {
    let extra = extra.iter().map(|key| cell_of(object.get(key)?)).collect();
    let mut take = |key: &String, read: fn(Value) -> Result<String, Value>, expected| {
        take(&mut object, key, read, expected).map_err(|problem| problems.push_at(line, problem))
    };
    let guid = keys.id.as_ref().map(|key| take(key, name_of, NAME));
    let text = take(&keys.text, text_of, "a string");
    let text_pair = keys
        .text_pair
        .as_ref()
        .map(|key| take(key, text_of, "a string"));
    let label = keys.label.as_ref().map(|key| take(key, name_of, NAME));
    let true_label = keys.true_label.as_ref().map(|key| {
        let name = "a string, a whole number or null";
        take(key, name_or_nothing, name)
    });
    // All values have been looked at, so every problem of the row is known by now.
    Some(Row {
        line,
        guid: guid.transpose().ok()?,
        text: text.ok()?,
        text_pair: text_pair.transpose().ok()?,
        label: label
            .transpose()
            .ok()?
            .unwrap_or_default()
            .trim()
            .to_owned(),
        true_label: true_label
            .transpose()
            .ok()?
            .map(|label| label.trim().to_owned())
            .filter(|label| !label.is_empty()),
        extra,
    })
}

pub(super) fn take(
    object: &mut Map<String, Value>,
    key: &String,
    read: fn(Value) -> Result<String, Value>,
    expected: &str,
) -> Result<String, Problem> {
    let Some(value) = object.get_mut(key) else {
        let there: Vec<String> = object.keys().cloned().collect();
        let message = format!("no key {}; the keys are {}", quoted(key), listed(&there));
        return Err(Problem::new(message));
    };
    read(value.take()).map_err(|other| {
        let got = quoted(&other.to_string());
        Problem::new(format!("{} is {got}, expected {expected}", quoted(key)))
    })
}

fn text_of(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(other),
    }
}

/// A further column's value as a cell of a text file would have it.
fn cell_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// What an id or a label is, in words.
pub(super) const NAME: &str = "a string that is not empty, or a whole number";

/// An id or a label.
pub(super) fn name_of(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        other => Err(other),
    }
}

/// A true label, which may be unknown.
fn name_or_nothing(value: Value) -> Result<String, Value> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        other => name_of(other),
    }
}
