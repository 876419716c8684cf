//! Data files to datasets, checked as a whole.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::config::DataConfig;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;

use super::delimited::{self, Rows};
use super::problems::{Problems, Row, listed, quoted};
use super::records::{self, Separator};
use super::{Dataset, Example, LabelSpace, jsonl};

/// A first row with a label of its own is suspected to be a header from so many rows on: of
/// two examples each may well have its own label.
const ROWS_TO_SUSPECT_A_HEADER: usize = 3;

/// Reads the training file and makes the label space of all its labels.
///
/// The format goes by the extension: `.csv`, `.tsv`, `.jsonl` (or `.ndjson`, `.json`); a file
/// of any other, such as `.txt`, has tabs between its cells if its first row has one, else
/// commas. `columns` says which columns hold what; without an id column the guid is the
/// example's index. `num_labels` may ask for more classes than the file has.
///
/// # Errors
/// [`ErrorKind::MissingInput`] where there is no such file; [`ErrorKind::Data`] with the lines
/// of everything in it that is wrong, or if all examples have one label;
/// [`ErrorKind::Config`] if there are more labels than `num_labels`.
pub fn read_training(
    path: &Path,
    columns: &DataConfig,
    num_labels: Option<usize>,
) -> Result<(Dataset, LabelSpace)> {
    let (read, mut problems) = read_rows(path, columns)?;
    let rows = read.rows;
    if read.first_may_be_header && first_label_is_unique(&rows) {
        problems.push_at(rows[0].line, suspected_header(&rows[0].label));
    }
    problems.into_result()?;

    let space = LabelSpace::from_labels(rows.iter().map(|row| row.label.as_str()));
    if space.len() == 1 {
        let message = format!(
            "every example has the label {}: a classifier needs at least two labels",
            quoted(space.name(0))
        );
        return Err(Error::data(Problem::new(message).in_file(path)));
    }
    let space = match num_labels {
        Some(num_labels) => space.extended_to(num_labels)?,
        None => space,
    };
    let classes: Option<Vec<u32>> = rows.iter().map(|row| space.index_of(&row.label)).collect();
    let classes = classes.ok_or_else(|| Error::internal("the label space lacks a label"))?;
    Ok((dataset(path, rows, &classes, &columns.extra_columns), space))
}

/// Reads a file of another stage (`validation`, `test`, ...), whose labels must be among
/// those of the training file; format and columns are found as in [`read_training`].
///
/// # Errors
/// As [`read_training`], and [`ErrorKind::Data`] for a label that `space` lacks.
pub fn read_evaluation(
    path: &Path,
    columns: &DataConfig,
    space: &LabelSpace,
    stage: &str,
) -> Result<Dataset> {
    let (read, mut problems) = read_rows(path, columns)?;
    let rows = read.rows;
    let mut classes = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        if let Some(class) = space.index_of(&row.label) {
            classes.push(class);
        } else if i == 0 && read.first_may_be_header && first_label_is_unique(&rows) {
            problems.push_at(row.line, suspected_header(&row.label));
        } else {
            problems.push_at(row.line, unknown_label(&row.label, space, stage));
        }
    }
    problems.into_result()?;
    Ok(dataset(path, rows, &classes, &columns.extra_columns))
}

/// The rows of the file at `path` and what is wrong with them, duplicate ids included.
fn read_rows<'a>(path: &'a Path, config: &DataConfig) -> Result<(Rows, Problems<'a>)> {
    if path.is_dir() {
        let problem = Problem::new("a folder, expected a data file").in_file(path);
        return Err(Error::new(ErrorKind::MissingInput, problem));
    }
    let bytes = fsio::read(path).map_err(|error| match error.kind() {
        ErrorKind::MissingInput => error.with_hint(
            "a relative path starts at the working directory, or at `data.data_dir` where that is set",
        ),
        _ => error,
    })?;
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut problems = Problems::new(path);
    let text = || text_of(path, &bytes);
    let rows = match extension.to_str() {
        Some("jsonl" | "ndjson" | "json") => Rows {
            rows: jsonl::read(text()?, config, &mut problems),
            first_may_be_header: false,
        },
        Some(other @ ("parquet" | "arrow" | "xlsx" | "gz" | "zip")) => {
            let message =
                format!("cannot read `.{other}` files, only .csv, .tsv, .txt, .jsonl and .ndjson");
            return Err(Error::data(Problem::new(message).in_file(path)));
        }
        Some("csv") => delimited::read(text()?, Separator::Comma, config, &mut problems),
        Some("tsv") => delimited::read(text()?, Separator::Tab, config, &mut problems),
        _ => {
            let text = text()?;
            delimited::read(text, records::sniff(path, text), config, &mut problems)
        }
    };
    check_guids(&rows.rows, &mut problems);
    Ok((rows, problems))
}

/// The file's text without a byte order mark.
fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let hint = "save the file as UTF-8";
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, byte) = place_of(bytes, error.valid_up_to());
        let message = format!(
            "invalid UTF-8: byte {byte} of the line is 0x{:02x}",
            bytes[error.valid_up_to()]
        );
        Error::data(Problem::new(message).at_line(path, line).hint(hint))
    })?;
    // A text with a zero byte is one in UTF-16, or no text at all.
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        let (line, byte) = place_of(bytes, at);
        let message = format!("not a text file: byte {byte} of the line is 0");
        return Err(Error::data(
            Problem::new(message).at_line(path, line).hint(hint),
        ));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The line of the byte at `at` and its position in that line, both counted from 1.
fn place_of(bytes: &[u8], at: usize) -> (u64, usize) {
    let before = &bytes[..at];
    let lines = before.split(|&byte| byte == b'\n').count();
    let in_line = before
        .iter()
        .rev()
        .take_while(|&&byte| byte != b'\n')
        .count();
    (lines as u64, in_line + 1)
}

fn check_guids(rows: &[Row], problems: &mut Problems) {
    let mut seen: HashMap<&str, u64> = HashMap::with_capacity(rows.len());
    for row in rows {
        let Some(guid) = &row.guid else { return };
        if let Some(first) = seen.get(guid.as_str()) {
            let message = format!("the id {} is that of line {first} too", quoted(guid));
            let hint = "ids are unique in a file; without an id column the row number is the id";
            problems.push_at(row.line, Problem::new(message).hint(hint));
        } else {
            seen.insert(guid, row.line);
        }
    }
}

fn first_label_is_unique(rows: &[Row]) -> bool {
    rows.len() >= ROWS_TO_SUSPECT_A_HEADER && rows[1..].iter().all(|row| row.label != rows[0].label)
}

fn suspected_header(label: &str) -> Problem {
    let label = quoted(label);
    let message = format!("is this row a header? Its label {label} occurs nowhere else");
    let hint = "set `data.has_header` to `true` if it names the columns (and `data.label_column` to the label column's name), to `false` if it is an example";
    Problem::new(message).hint(hint)
}

fn unknown_label(label: &str, space: &LabelSpace, stage: &str) -> Problem {
    let message = format!(
        "the {stage} set has the label {}, which the training set lacks; its labels are {}",
        quoted(label),
        listed(space.names())
    );
    Problem::new(message)
}

fn dataset(path: &Path, mut rows: Vec<Row>, classes: &[u32], extra: &[String]) -> Dataset {
    let warnings = empty_texts(path, &rows).into_iter().collect();
    let cells = |i: usize| rows.iter_mut().map(|row| row.extra[i].take()).collect();
    let extra = columns_of(extra, cells);
    let examples = rows
        .into_iter()
        .zip(classes)
        .enumerate()
        .map(|(index, (row, &label))| Example {
            guid: row.guid.unwrap_or_else(|| index.to_string()),
            text: row.text,
            text_pair: row.text_pair,
            label,
        })
        .collect();
    Dataset {
        path: path.to_owned(),
        examples,
        extra,
        warnings,
    }
}

/// The columns by name, but for those that no row has.
fn columns_of(
    names: &[String],
    mut cells: impl FnMut(usize) -> Vec<Option<String>>,
) -> BTreeMap<String, Vec<Option<String>>> {
    let columns = names.iter().enumerate();
    columns
        .map(|(i, name)| (name.clone(), cells(i)))
        .filter(|(_, cells)| cells.iter().any(Option::is_some))
        .collect()
}

fn empty_texts(path: &Path, rows: &[Row]) -> Option<Problem> {
    let mut empty = rows.iter().filter(|row| row.text.trim().is_empty());
    let first = empty.next()?;
    let message = match 1 + empty.count() {
        1 => String::from("the text is empty"),
        n => format!("the text is empty, and so are {} more", n - 1),
    };
    Some(Problem::new(message).at_line(path, first.line))
}
