//! CSV and TSV files to rows.

use crate::config::{DataConfig, HasHeader};
use crate::error::Problem;

use super::columns::{self, Columns, Names};
use super::problems::{Content, Problems, Row};
use super::records::{Record, Records, Separator};

/// A text of which the first record has been read.
pub(super) struct Opened<'a> {
    pub first: Record<'a>,
    /// The first record's cells, without the spaces around them.
    pub cells: Vec<String>,
    /// All others.
    pub records: Records<'a>,
}

/// Reads the first record of `text`; none if something is wrong with it.
pub(super) fn open<'a, 'p: 'a>(
    text: &'a str,
    separator: Separator,
    config: &DataConfig,
    problems: &mut Problems<'p>,
) -> Option<Opened<'a>> {
    if text.contains('\r') && !text.contains('\n') {
        let problem = Problem::new("the lines end with a bare carriage return")
            .hint("save the file with lines that end with a line feed");
        problems.push_at(1, problem);
        return None;
    }
    let mut records = Records::new(problems.path, text, separator, config.quoting);
    let first = match records.next() {
        Some(Ok(first)) => first,
        Some(Err(problem)) => {
            problems.push(problem);
            return None;
        }
        None => {
            problems.push(Problem::new("the file is empty").in_file(problems.path));
            return None;
        }
    };
    if first.cells.len() == 1 && !config.without_labels {
        let message = format!("only one column: the first row has no {}", separator.name());
        let hint = "columns are separated by commas in .csv and by tabs in .tsv files; a .txt file may have either";
        problems.push_at(first.line, Problem::new(message).hint(hint));
        return None;
    }
    let cells = first.cells.iter();
    Some(Opened {
        cells: cells.map(|cell| cell.text.trim().to_owned()).collect(),
        first,
        records,
    })
}

/// Reads all rows of `text`; what is wrong goes to `problems`.
pub(super) fn read(
    text: &str,
    separator: Separator,
    config: &DataConfig,
    problems: &mut Problems,
) -> Content {
    let mut result = Content::default();
    let Some(opened) = open(text, separator, config, problems) else {
        return result;
    };
    let Opened {
        first,
        cells,
        records,
    } = opened;
    let width = cells.len();
    let has_header = columns::is_header(&cells, config);
    let names = if has_header {
        Names::Header(&cells)
    } else {
        Names::Unnamed(&cells)
    };
    let columns = match columns::resolve(names, config) {
        Ok(columns) => columns,
        Err(found) => {
            for problem in found {
                problems.push_at(first.line, problem);
            }
            return result;
        }
    };
    let extra = columns::extra(names, config);
    result.has_true_labels = columns.true_label.is_some();
    if has_header {
        result.column_names = cells;
    } else {
        result.rows.extend(row(first, columns, &extra, problems));
        result.first_may_be_header =
            config.has_header == HasHeader::Auto && !result.rows.is_empty();
    }
    for record in records {
        match record {
            Ok(record) if record.cells.len() == width => {
                result.rows.extend(row(record, columns, &extra, problems));
            }
            Ok(record) => problems.push_at(record.line, ragged(&record, width, separator)),
            Err(problem) => problems.push(problem),
        }
    }
    if result.rows.is_empty() && problems.is_empty() {
        let problem = Problem::new("the file has a header and no examples");
        problems.push(problem.in_file(problems.path));
    }
    result
}

/// The record's row, unless something is wrong with it.
fn row(
    record: Record,
    columns: Columns,
    extra: &[Option<usize>],
    problems: &mut Problems,
) -> Option<Row> {
    let line = record.line;
    let mut cells = record.cells;
    // Before the others are taken: a column may have two roles.
    let extra = extra
        .iter()
        .map(|column| Some(cells[(*column)?].text.clone().into_owned()))
        .collect();
    let mut take = |column: usize| std::mem::take(&mut cells[column].text).into_owned();
    let guid = columns.id.map(&mut take);
    let label = columns.label.map(|column| take(column).trim().to_owned());
    let true_label = columns
        .true_label
        .map(|column| take(column).trim().to_owned());
    let text = take(columns.text);
    let text_pair = columns.text_pair.map(&mut take);
    let mut is_good = true;
    if guid.as_ref().is_some_and(|guid| guid.trim().is_empty()) {
        problems.push_at(line, Problem::new("the id is empty"));
        is_good = false;
    }
    if label.as_ref().is_some_and(String::is_empty) {
        problems.push_at(line, Problem::new("the label is empty"));
        is_good = false;
    }
    is_good.then_some(Row {
        line,
        guid,
        text,
        text_pair,
        label: label.unwrap_or_default(),
        true_label: true_label.filter(|label| !label.is_empty()),
        extra,
    })
}

/// A record of another width than the first.
pub(super) fn ragged(record: &Record, width: usize, separator: Separator) -> Problem {
    let got = record.cells.len();
    let cells = if got == 1 { "cell" } else { "cells" };
    let problem = Problem::new(format!("{got} {cells} where the first row has {width}"));
    if got < width {
        return problem;
    }
    problem.hint(match separator {
        Separator::Comma => "a text that holds a comma must be in double quotes",
        Separator::Tab => "a text that holds a tab must be in double quotes, with each quote inside written twice; `data.quoting: minimal` says that they are quotes",
    })
}
