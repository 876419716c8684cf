//! Files of one record a line, read by all threads.

use std::borrow::Cow;
use std::path::Path;

use rayon::prelude::*;

use super::scanner::{Fault, Scanner};
use super::training_dynamics::Row;
use crate::error::{Error, Problem, Result};

/// Bytes of lines that are read by one task.
const BYTES_PER_TASK: usize = 1 << 18;

/// Rows that were read from some lines, as columns.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    rows: Vec<RowPlace<'a>>,
    values: Vec<f64>,
}

#[derive(Debug)]
struct RowPlace<'a> {
    /// Where in the file the line begins.
    at: usize,
    guid: Cow<'a, str>,
    guid_is_number: bool,
    gold: u32,
    noisy_label: u32,
    end_of_values: usize,
}

/// What a line says, without the values, which it adds to a common list.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub guid: Cow<'a, str>,
    pub guid_is_number: bool,
    pub gold: u32,
    pub noisy_label: u32,
}

impl Rows<'_> {
    /// The rows and where in the file their lines begin.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Row<'_>)> {
        let mut start = 0;
        self.rows.iter().map(move |place| {
            let values = &self.values[start..place.end_of_values];
            start = place.end_of_values;
            let row = Row {
                guid: &place.guid,
                guid_is_number: place.guid_is_number,
                gold: place.gold,
                noisy_label: place.noisy_label,
                values,
            };
            (place.at, row)
        })
    }
}

/// Reads the lines of a file by `read`, which gets the scanner of a line and adds its values to
/// the list; blank lines are passed over.
///
/// # Errors
/// The first line that `read` does not like.
pub(super) fn read_lines<'a>(
    path: &Path,
    bytes: &'a [u8],
    read: impl Fn(&mut Scanner<'a>, &mut Vec<f64>) -> Result<Fields<'a>, Fault> + Sync,
) -> Result<Vec<Rows<'a>>> {
    let parts: Vec<Result<Rows<'a>, Fault>> = parts(bytes)
        .into_par_iter()
        .map(|(start, part)| read_part(start, part, &read))
        .collect();
    parts
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|fault| Error::data(problem_at(path, bytes, fault.at, fault.message)))
}

fn read_part<'a>(
    start: usize,
    part: &'a [u8],
    read: &impl Fn(&mut Scanner<'a>, &mut Vec<f64>) -> Result<Fields<'a>, Fault>,
) -> Result<Rows<'a>, Fault> {
    let mut rows = Rows::default();
    let mut at = start;
    let part = std::str::from_utf8(part).map_err(|error| Fault {
        at: start + error.valid_up_to(),
        message: "the text is not UTF-8".to_owned(),
    })?;
    for line in part.split_inclusive('\n') {
        let mut scanner = Scanner::new(line.trim_end());
        if scanner.peek().is_some() {
            let in_file = |fault: Fault| Fault {
                at: at + fault.at,
                ..fault
            };
            let fields = read(&mut scanner, &mut rows.values).map_err(in_file)?;
            scanner.end().map_err(in_file)?;
            rows.rows.push(RowPlace {
                at,
                guid: fields.guid,
                guid_is_number: fields.guid_is_number,
                gold: fields.gold,
                noisy_label: fields.noisy_label,
                end_of_values: rows.values.len(),
            });
        }
        at += line.len();
    }
    Ok(rows)
}

/// The bytes in parts that end with lines, each with where it starts.
fn parts(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::with_capacity(bytes.len() / BYTES_PER_TASK + 1);
    // A mark of the byte order is no part of the first line.
    let mut start = if bytes.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    while start < bytes.len() {
        let from = (start + BYTES_PER_TASK).min(bytes.len());
        let rest = bytes[from..].iter().position(|byte| *byte == b'\n');
        let end = rest.map_or(bytes.len(), |length| from + length + 1);
        parts.push((start, &bytes[start..end]));
        start = end;
    }
    parts
}

/// A problem at a byte of a file, with line and column.
pub(super) fn problem_at(path: &Path, bytes: &[u8], at: usize, message: String) -> Problem {
    let before = &bytes[..at.min(bytes.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[line_start..])
        .chars()
        .count()
        + 1;
    Problem::new(message).at(path, line as u64, column as u64)
}
