//! Files of one record a line, read by all threads.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::scanner::{Fault, Scanner};
use super::training_dynamics::Row;
use crate::error::{Error, Problem, Result};

/// Bytes that are read from a file at a time: tasks for sixteen threads.
const BYTES_PER_BLOCK: u64 = 1 << 21;

/// Bytes of lines that are read by one task.
const BYTES_PER_TASK: usize = 1 << 17;

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

/// Why rows are not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What is wrong with one, and where its line begins.
    Row(Fault),
    /// What has nothing to do with the rows.
    Other(Error),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Row(fault)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
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
/// the list; blank lines are passed over. `take` gets the rows of a block of lines at a time, in
/// parts.
///
/// # Errors
/// A file that cannot be read, a line that `read` does not like, what `take` says.
pub(super) fn read_lines(
    path: &Path,
    read: impl for<'a> Fn(&mut Scanner<'a>, &mut Vec<f64>) -> Result<Fields<'a>, Fault> + Sync,
    mut take: impl FnMut(&[Rows<'_>]) -> Result<(), Refusal>,
) -> Result<()> {
    let reading = |e| Error::reading(path, &e);
    let mut file = File::open(path).map_err(reading)?;
    let mut block = Vec::new();
    let mut start = 0;
    loop {
        let n_kept = block.len();
        block.reserve(BYTES_PER_BLOCK as usize);
        let mut next = (&mut file).take(BYTES_PER_BLOCK);
        let n_read = next.read_to_end(&mut block).map_err(reading)?;
        let is_last = (n_read as u64) < BYTES_PER_BLOCK;
        let last_line_end = block[n_kept..].iter().rposition(|byte| *byte == b'\n');
        let end = match last_line_end {
            _ if is_last => block.len(),
            Some(at) => n_kept + at + 1,
            None => continue,
        };
        let parts: Result<Vec<Rows<'_>>, Fault> = parts(&block[..end])
            .into_par_iter()
            .map(|part| read_part(start + part.start, &block[part], &read))
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        let taken = parts.map_err(Refusal::Row).and_then(|parts| take(&parts));
        taken.map_err(|refusal| match refusal {
            Refusal::Row(fault) => Error::data(problem_at(path, fault.at, fault.message)),
            Refusal::Other(error) => error,
        })?;
        if is_last {
            return Ok(());
        }
        block.drain(..end);
        start += end;
    }
}

fn read_part<'a>(
    start: usize,
    part: &'a [u8],
    read: &impl Fn(&mut Scanner<'a>, &mut Vec<f64>) -> Result<Fields<'a>, Fault>,
) -> Result<Rows<'a>, Fault> {
    let mut rows = Rows::default();
    let mut at = start;
    let mut part = std::str::from_utf8(part).map_err(|error| Fault {
        at: start + error.valid_up_to(),
        message: "the text is not UTF-8".to_owned(),
    })?;
    // A mark of the byte order is no part of the first line.
    if let Some(rest) = part.strip_prefix('\u{feff}').filter(|_| start == 0) {
        at = part.len() - rest.len();
        part = rest;
    }
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

/// Where the parts of a block begin and end; each ends with a line.
fn parts(block: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::with_capacity(block.len() / BYTES_PER_TASK + 1);
    let mut start = 0;
    while start < block.len() {
        let from = (start + BYTES_PER_TASK).min(block.len());
        let rest = block[from..].iter().position(|byte| *byte == b'\n');
        let end = rest.map_or(block.len(), |length| from + length + 1);
        parts.push(start..end);
        start = end;
    }
    parts
}

/// A problem at a byte of a file, with line and column.
pub(super) fn problem_at(path: &Path, at: usize, message: String) -> Problem {
    let mut line = 1;
    let mut before = Vec::new();
    if let Ok(file) = File::open(path) {
        let mut file = BufReader::new(file.take(at as u64));
        // Where the file cannot be read once more, the message is still true.
        while matches!(file.read_until(b'\n', &mut before), Ok(1..)) {
            if before.last() == Some(&b'\n') {
                line += 1;
                before.clear();
            }
        }
    }
    let column = String::from_utf8_lossy(&before).chars().count() + 1;
    Problem::new(message).at(path, line, column as u64)
}
