//! Data files to datasets, checked as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::config::DataConfig;
use crate::error::{Error, ErrorKind, Problem, Result};

use super::files::DataFiles;
use super::format::{Format, read_text};
use super::options::OptionColumns;
use super::problems::{Content, Place, Problems, Row, listed, quoted};
use super::records::{self, Separator};
use super::{Dataset, Example, LabelSpace, delimited, jsonl, parquet_rows};

/// A first row with a label of its own is suspected to be a header from so many rows on: of
/// two examples each may well have its own label.
const ROWS_TO_SUSPECT_A_HEADER: usize = 3;

/// Reads the training file, or the files that make the training set, and makes the label space
/// of all labels.
///
/// The format goes by the extension: `.csv`, `.tsv`, `.jsonl` (or `.ndjson`, `.json`),
/// `.parquet`; a file of any other, such as `.txt`, has tabs between its cells if its first row
/// has one, else commas. All but Parquet may be compressed with gzip, with `.gz` after the
/// extension or without. Every file has its own header, where it has one. `columns` says which
/// columns hold what; without an id column the guid is the example's index. `num_labels` may
/// ask for more classes than the set has.
///
/// # Errors
/// [`ErrorKind::MissingInput`] where there is no such file; [`ErrorKind::Data`] with the lines
/// of everything in the files that is wrong, or if all examples have one label;
/// [`ErrorKind::Config`] if there are more labels than `num_labels`.
pub fn read_training(
    files: impl Into<DataFiles>,
    columns: &DataConfig,
    num_labels: Option<usize>,
) -> Result<(Dataset, LabelSpace)> {
    let files = files.into();
    let mut problems = Problems::new(files.name());
    let read = read_files(&files, columns, &mut problems)?;
    for (file, path, rows) in &read {
        problems.go_to(*file, path);
        if rows.first_may_be_header && first_label_is_unique(rows, &read) {
            let first = &rows.rows[0];
            problems.push_at(first.line, suspected_header(&first.label));
        }
        if let Some(column) = &columns.true_label_column
            && !rows.has_true_labels
            && !rows.rows.is_empty()
        {
            problems.push(no_true_labels(column, &rows.column_names).in_file(*path));
        }
    }
    let class_names = class_names(&read, &mut problems);
    problems.check()?;

    let labels = || read.iter().flat_map(|(_, _, rows)| &rows.rows);
    let labels: BTreeSet<&str> = labels().map(|row| row.label.as_str()).collect();
    if labels.len() == 1 {
        let message = format!(
            "every example has the label {}: a classifier needs at least two labels",
            quoted(labels.first().unwrap_or(&""))
        );
        return Err(Error::data(Problem::new(message).in_file(files.name())));
    }
    let space = match class_names {
        Some(names) => LabelSpace::from_names(names),
        None => LabelSpace::from_labels(labels),
    };
    let space = match num_labels {
        Some(num_labels) => space.extended_to(num_labels)?,
        None => space,
    };
    check_options(columns, &space)?;
    let dataset = dataset(&files, read, &space, "training", columns, &mut problems)?;
    Ok((dataset, space))
}

/// Reads the files of another stage (`validation`, `test`, ...), whose labels must be among
/// those of the training set; formats and columns are found as in [`read_training`].
///
/// # Errors
/// As [`read_training`], and [`ErrorKind::Data`] for a label that `space` lacks.
pub fn read_evaluation(
    files: impl Into<DataFiles>,
    columns: &DataConfig,
    space: &LabelSpace,
    stage: &str,
) -> Result<Dataset> {
    let files = files.into();
    let mut problems = Problems::new(files.name());
    let read = read_files(&files, columns, &mut problems)?;
    dataset(&files, read, space, stage, columns, &mut problems)
}

/// The data set of one piece of an unlabelled file; `n_before` examples came before it.
///
/// # Errors
/// What was already wrong, and ids that are not unique.
pub(super) fn unlabelled_dataset<'a>(
    path: &'a Path,
    content: Content,
    config: &DataConfig,
    n_before: usize,
    problems: &mut Problems<'a>,
) -> Result<Dataset> {
    let classes = vec![(0, None); content.rows.len()];
    let read = vec![(0, path, content)];
    check_guids(&read, problems);
    let options = options(&read, config, problems);
    problems.check()?;
    let extra = &config.extra_columns;
    Ok(assembled(path, read, classes, options, extra, n_before))
}

/// The rows of one of a set's files, with the file's number.
pub(super) type FileRows<'a> = (usize, &'a Path, Content);

/// The rows of all files; what is wrong with them, ids that are not unique included, goes to
/// `problems`.
fn read_files<'a>(
    files: &'a DataFiles,
    config: &DataConfig,
    problems: &mut Problems<'a>,
) -> Result<Vec<FileRows<'a>>> {
    let mut read: Vec<FileRows<'a>> = Vec::with_capacity(files.paths().len());
    for (file, path) in files.paths().iter().enumerate() {
        problems.go_to(file, path);
        let rows = read_file(path, config, problems)?;
        if let Some((_, first_path, first)) = read.first() {
            check_same_columns(&rows, path, first, first_path, problems);
        }
        read.push((file, path, rows));
    }
    check_guids(&read, problems);
    Ok(read)
}

fn read_file(path: &Path, config: &DataConfig, problems: &mut Problems) -> Result<Content> {
    let format = file_kind(path)?;
    if format == Format::Parquet {
        return parquet_rows::read(config, problems).map_err(with_hint);
    }
    let text = read_text(path).map_err(with_hint)?;
    Ok(parsed(&text, path, format, config, problems))
}

/// The format of a data file, which must not be a folder.
pub(super) fn file_kind(path: &Path) -> Result<Format> {
    if path.is_dir() {
        let problem = Problem::new("a folder, expected a data file").in_file(path);
        return Err(Error::new(ErrorKind::MissingInput, problem));
    }
    Format::of(path)
}

fn with_hint(error: Error) -> Error {
    match error.kind() {
        ErrorKind::MissingInput => error.with_hint(
            "a relative path starts at the working directory, or at `data.data_dir` where that is set",
        ),
        _ => error,
    }
}

/// The rows of a text in one of the text formats.
pub(super) fn parsed(
    text: &str,
    path: &Path,
    format: Format,
    config: &DataConfig,
    problems: &mut Problems,
) -> Content {
    let separator = match format {
        Format::JsonLines => return jsonl::read(text, config, problems),
        Format::PlainLines => return plain_lines(text, problems),
        Format::Csv => Separator::Comma,
        Format::Tsv => Separator::Tab,
        Format::Delimited | Format::Parquet => records::sniff(path, text, config.quoting),
    };
    delimited::read(text, separator, config, problems)
}

/// A text on each line, in which commas and quotes are characters like any other.
fn plain_lines(text: &str, problems: &mut Problems) -> Content {
    if text.is_empty() {
        problems.push(Problem::new("the file is empty").in_file(problems.path));
    }
    let rows = text.lines().zip(1..).map(|(text, line)| Row {
        line,
        guid: None,
        text: text.to_owned(),
        text_pair: None,
        label: String::new(),
        true_label: None,
        extra: Vec::new(),
    });
    Content {
        rows: rows.collect(),
        ..Content::default()
    }
}

/// Whether a file of a set has the ids and second texts that the first one has, or has not.
fn check_same_columns(
    rows: &Content,
    path: &Path,
    first: &Content,
    first_path: &Path,
    problems: &mut Problems,
) {
    let (Some(row), Some(first)) = (rows.rows.first(), first.rows.first()) else {
        return;
    };
    for (what, has, first_has) in [
        ("ids", row.guid.is_some(), first.guid.is_some()),
        (
            "second texts",
            row.text_pair.is_some(),
            first.text_pair.is_some(),
        ),
    ] {
        if has != first_has {
            let first_path = first_path.display();
            let message = if has {
                format!("the file has {what}, which `{first_path}` has not")
            } else {
                format!("the file has no {what}, which `{first_path}` has")
            };
            let hint = "the files of one data set have the same columns";
            problems.push(Problem::new(message).in_file(path).hint(hint));
        }
    }
}

/// Whether every id is there once in all files.
pub(super) fn check_guids<'a>(read: &[FileRows<'a>], problems: &mut Problems<'a>) {
    let n_rows = read.iter().map(|(_, _, rows)| rows.rows.len()).sum();
    let mut seen: HashMap<&str, (usize, u64)> = HashMap::with_capacity(n_rows);
    for (file, path, rows) in read {
        problems.go_to(*file, path);
        for row in &rows.rows {
            let Some(guid) = &row.guid else { break };
            if let Some(&(first, line)) = seen.get(guid.as_str()) {
                let first_path = read[first].1;
                let other = (first != *file).then_some(first_path);
                let place = Place::of(first_path).shown(line, other);
                let message = format!("the id {} is that of {place} too", quoted(guid));
                let hint =
                    "ids are unique in a data set; without an id column the row number is the id";
                problems.push_at(row.line, Problem::new(message).hint(hint));
            } else {
                seen.insert(guid, (*file, row.line));
            }
        }
    }
}

/// The classes that the files list themselves, all in the same way.
fn class_names<'a>(read: &[FileRows<'a>], problems: &mut Problems<'a>) -> Option<Vec<String>> {
    let mut listing = read
        .iter()
        .filter_map(|(file, path, rows)| Some((*file, *path, rows.class_names.as_ref()?)));
    let (file, path, names) = listing.next()?;
    problems.go_to(file, path);
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        let message = format!(
            "two classes have one name; the classes are {}",
            listed(names)
        );
        problems.push(Problem::new(message).in_file(path));
    }
    for (file, other_path, other) in listing {
        if other != names {
            problems.go_to(file, other_path);
            let message = format!(
                "the file's classes are {}, those of `{}` are {}",
                listed(other),
                path.display(),
                listed(names)
            );
            problems.push(Problem::new(message).in_file(other_path));
        }
    }
    Some(names.clone())
}

/// The data set of all rows.
///
/// # Errors
/// What was already wrong, and labels that `space` lacks.
fn dataset<'a>(
    files: &'a DataFiles,
    read: Vec<FileRows<'a>>,
    space: &LabelSpace,
    stage: &str,
    config: &DataConfig,
    problems: &mut Problems<'a>,
) -> Result<Dataset> {
    let options = options(&read, config, problems);
    let mut classes = Vec::new();
    for (file, path, rows) in &read {
        problems.go_to(*file, path);
        for (i, row) in rows.rows.iter().enumerate() {
            let label = space.index_of(&row.label);
            if label.is_none() {
                let is_suspect =
                    i == 0 && rows.first_may_be_header && first_label_is_unique(rows, &read);
                let problem = if is_suspect {
                    suspected_header(&row.label)
                } else {
                    unknown_label("label", &row.label, space, stage)
                };
                problems.push_at(row.line, problem);
            }
            let true_label = row.true_label.as_ref().and_then(|name| {
                let class = space.index_of(name);
                if class.is_none() {
                    problems.push_at(row.line, unknown_label("true label", name, space, stage));
                }
                class
            });
            classes.extend(label.map(|label| (label, true_label)));
        }
    }
    problems.check()?;
    let extra = &config.extra_columns;
    Ok(assembled(files.name(), read, classes, options, extra, 0))
}

/// What the model reads of each row for every option, where there are options.
fn options<'a>(
    read: &[FileRows<'a>],
    config: &DataConfig,
    problems: &mut Problems<'a>,
) -> Vec<Vec<[String; 2]>> {
    let columns = OptionColumns::of(config);
    let mut options = Vec::new();
    for (file, path, rows) in read {
        problems.go_to(*file, path);
        if let Some(problem) = columns.missing_of(rows) {
            problems.push(problem.in_file(*path));
            continue;
        }
        for row in &rows.rows {
            match columns.pairs_of(row) {
                Ok(pairs) => options.push(pairs),
                Err(problem) => problems.push_at(row.line, problem),
            }
        }
    }
    options
}

/// Whether every option has a label: a label's place among the labels is its option's.
fn check_options(config: &DataConfig, space: &LabelSpace) -> Result<()> {
    let n_options = config.option_columns.len();
    if n_options == 0 || n_options == space.len() {
        return Ok(());
    }
    let message = format!(
        "`data.option_columns` has {n_options} columns, but the training set has {} labels: {}",
        space.len(),
        listed(space.names())
    );
    let hint = "each option has a label of its own, in their order";
    Err(Error::new(
        ErrorKind::Config,
        Problem::new(message).hint(hint),
    ))
}

/// The data set of rows and their classes; ids are the rows' own, or count on from `n_before`.
fn assembled(
    path: &Path,
    read: Vec<FileRows>,
    classes: Vec<(u32, Option<u32>)>,
    options: Vec<Vec<[String; 2]>>,
    extra: &[String],
    n_before: usize,
) -> Dataset {
    let warnings = empty_texts(&read).into_iter().collect();
    let rows = read.into_iter().flat_map(|(_, _, rows)| rows.rows);
    let mut rows: Vec<Row> = rows.collect();
    let cells = |i: usize| rows.iter_mut().map(|row| row.extra[i].take()).collect();
    let extra = columns_of(extra, cells);
    let examples = rows
        .into_iter()
        .zip(classes)
        .zip(options)
        .enumerate()
        .map(|(i, ((row, (label, true_label)), options))| Example {
            guid: row.guid.unwrap_or_else(|| (n_before + i).to_string()),
            text: row.text,
            text_pair: row.text_pair,
            options,
            label,
            true_label,
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

/// Whether no other row of the whole set has the label of a file's first one, but for the same
/// row at the top of another file.
fn first_label_is_unique(rows: &Content, read: &[FileRows]) -> bool {
    let Some(first) = rows.rows.first() else {
        return false;
    };
    let n_rows: usize = read.iter().map(|(_, _, rows)| rows.rows.len()).sum();
    let is_unique = read.iter().all(|(_, _, rows)| {
        let mut others = rows.rows.iter().enumerate();
        others.all(|(i, row)| row.label != first.label || (i == 0 && row.text == first.text))
    });
    n_rows >= ROWS_TO_SUSPECT_A_HEADER && is_unique
}

fn suspected_header(label: &str) -> Problem {
    let label = quoted(label);
    let message = format!("is this row a header? Its label {label} occurs nowhere else");
    let hint = "set `data.has_header` to `true` if it names the columns (and `data.label_column` to the label column's name), to `false` if it is an example";
    Problem::new(message).hint(hint)
}

fn unknown_label(what: &str, label: &str, space: &LabelSpace, stage: &str) -> Problem {
    let (label, labels) = (quoted(label), listed(space.names()));
    Problem::new(match stage {
        "training" => format!("the {what} {label} is none of the set's labels, {labels}"),
        "evaluation" => {
            format!("the {what} {label} is none that the model knows; its labels are {labels}")
        }
        _ => format!(
            "the {stage} set has the {what} {label}, which the training set lacks; its labels are {labels}"
        ),
    })
}

fn no_true_labels(column: &str, names: &[String]) -> Problem {
    let column = quoted(column);
    let message = format!("no column {column} for `data.true_label_column`");
    if names.is_empty() {
        let hint = "a column has a name only if the first row is a header (`data.has_header`)";
        return Problem::new(message).hint(hint);
    }
    Problem::new(format!("{message}; the columns are {}", listed(names)))
}

fn empty_texts(read: &[FileRows]) -> Option<Problem> {
    let mut empty = read.iter().flat_map(|(_, path, rows)| {
        let empty = |row: &&Row| row.text.trim().is_empty();
        rows.rows.iter().filter(empty).map(move |row| (path, row))
    });
    let (path, first) = empty.next()?;
    let message = match 1 + empty.count() {
        1 => String::from("the text is empty"),
        n => format!("the text is empty, and so are {} more", n - 1),
    };
    Some(Place::of(path).put(Problem::new(message), path, first.line))
}
