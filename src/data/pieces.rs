//! Files of texts larger than memory, a piece at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::config::{DataConfig, HasHeader, Quoting};
use crate::error::{Error, Problem, Result};

use super::files::DataFiles;
use super::format::{self, Format};
use super::problems::{Content, Problems};
use super::read::{file_kind, parsed, unlabelled_dataset};
use super::records::{self, Separator};
use super::{Dataset, columns, parquet_rows};

/// How much text is read at a time. A set that is smaller is read as a whole.
const PIECE_BYTES: usize = 16 << 20;

/// Reads the files of texts that have no labels, or whose labels do not matter, and hands them
/// on in pieces of some megabytes, whatever their size; every example gets class 0.
///
/// A first row of a CSV or TSV file with a text column's name is a header, too. A file with
/// another extension, without tabs, a header and configured columns, has a text on each line.
/// What quotes mean in a file with tabs is decided by its first piece, and ids are unique within
/// a piece.
///
/// # Errors
/// As [`super::read_training`], but for labels; those of `each`.
pub fn read_unlabelled(
    files: impl Into<DataFiles>,
    columns: &DataConfig,
    each: impl FnMut(Dataset) -> Result<()>,
) -> Result<()> {
    read_in_pieces(&files.into(), columns, PIECE_BYTES, each)
}

/// [`read_unlabelled`] with pieces of `piece_bytes`.
///
/// # Errors
/// As [`read_unlabelled`].
pub fn read_in_pieces<'a>(
    files: &'a DataFiles,
    columns: &DataConfig,
    piece_bytes: usize,
    mut each: impl FnMut(Dataset) -> Result<()>,
) -> Result<()> {
    let columns = DataConfig {
        without_labels: true,
        ..columns.clone()
    };
    let mut n_examples = 0;
    for path in files.paths() {
        let mut hand_on = |content: Content, problems: &mut Problems<'a>| {
            let dataset = unlabelled_dataset(path, content, &columns, n_examples, problems)?;
            n_examples += dataset.len();
            each(dataset)
        };
        match file_kind(path)? {
            Format::Parquet => {
                let mut problems = Problems::new(path);
                problems.go_to(0, path);
                parquet_rows::read_batches(&columns, &mut problems, &mut |content, problems| {
                    let rows = std::mem::take(&mut content.rows);
                    let piece = Content {
                        rows,
                        ..Content::default()
                    };
                    hand_on(piece, problems)
                })?;
                problems.check()?;
            }
            format => read_text_file(path, format, &columns, piece_bytes, &mut hand_on)?,
        }
    }
    Ok(())
}

fn read_text_file<'a>(
    path: &'a Path,
    format: Format,
    columns: &DataConfig,
    piece_bytes: usize,
    hand_on: &mut dyn FnMut(Content, &mut Problems<'a>) -> Result<()>,
) -> Result<()> {
    let mut pieces = Pieces::open(path, piece_bytes)?;
    let mut columns = columns.clone();
    let mut format = format;
    // The header, which stands before every further piece.
    let mut header = String::new();
    let mut n_lines = 0;
    let mut is_first = true;
    loop {
        let has_quotes = !matches!(format, Format::JsonLines | Format::PlainLines);
        let ends_at_any_line = !has_quotes || columns.quoting == Quoting::None;
        // An empty file is parsed, too, so that somebody says so.
        let bytes = match pieces.next(ends_at_any_line)? {
            Some(bytes) => bytes,
            None if is_first => Vec::new(),
            None => return Ok(()),
        };
        let shift = n_lines - header.matches('\n').count() as u64;
        let shifted = |error: Error| shifted(&error, shift);
        let piece = format::text_of(path, bytes).map_err(shifted)?;
        n_lines += piece.matches('\n').count() as u64;
        if !is_first && piece.trim().is_empty() {
            continue;
        }
        let text = header.clone() + &piece;
        let mut problems = Problems::new(path);
        problems.go_to(0, path);
        if is_first && format == Format::Delimited {
            format = kind_of_table(path, &text, &columns);
        }
        let content = parsed(&text, path, format, &columns, &mut problems);
        if is_first && matches!(format, Format::Csv | Format::Tsv) {
            let separator = match format {
                Format::Csv => Separator::Comma,
                _ => Separator::Tab,
            };
            columns.quoting = records::settled(path, &text, separator, columns.quoting);
            if content.column_names.is_empty() {
                columns.has_header = HasHeader::No;
            } else {
                text[..end_of_header(&text)].clone_into(&mut header);
                columns.has_header = HasHeader::Yes;
            }
        }
        is_first = false;
        hand_on(content, &mut problems).map_err(shifted)?;
    }
}

/// What a file is whose name does not say so, by its first piece.
fn kind_of_table(path: &Path, text: &str, columns: &DataConfig) -> Format {
    match records::sniff(path, text, columns.quoting) {
        Separator::Tab => Format::Tsv,
        Separator::Comma if columns::has_named_columns(text, columns) => Format::Csv,
        Separator::Comma => Format::PlainLines,
    }
}

/// The end of the first line that is not blank and does not end inside quotes.
fn end_of_header(text: &str) -> usize {
    let mut n_quotes = 0;
    let mut is_blank = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => n_quotes += 1,
            b'\n' if !is_blank && n_quotes % 2 == 0 => return at + 1,
            b'\n' | b'\r' | b' ' => continue,
            _ => {}
        }
        is_blank = false;
    }
    text.len()
}

/// The error of a piece with the line numbers of its file.
fn shifted(error: &Error, n_lines: u64) -> Error {
    let shift = |mut problem: Problem| {
        if let Some(line) = problem.location.as_mut().and_then(|l| l.line.as_mut()) {
            *line += n_lines;
        }
        problem
    };
    let problems = error.problems().iter().cloned().map(shift).collect();
    Error::all(error.kind(), problems)
}

/// The whole records of a text file, some megabytes at a time.
struct Pieces<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    /// What was read and not yet handed out.
    rest: Vec<u8>,
    piece_bytes: usize,
    is_at_end: bool,
}

impl<'a> Pieces<'a> {
    fn open(path: &'a Path, piece_bytes: usize) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::reading(path, &e))?;
        let mut file = BufReader::new(file);
        let start = file.fill_buf().map_err(|e| Error::reading(path, &e))?;
        let is_gzip = format::is_gzip(start, path)?;
        let reader: Box<dyn Read> = if is_gzip {
            Box::new(flate2::read::MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Ok(Self {
            path,
            reader,
            rest: Vec::new(),
            piece_bytes,
            is_at_end: false,
        })
    }

    /// The next piece, which ends with a line and, unless `ends_at_any_line`, not inside
    /// quotes; none at the end. A piece has two lines, since the first may be a header.
    fn next(&mut self, ends_at_any_line: bool) -> Result<Option<Vec<u8>>> {
        loop {
            if !self.is_at_end {
                let wanted = self.piece_bytes as u64;
                let got = (&mut self.reader).take(wanted).read_to_end(&mut self.rest);
                let got = got.map_err(|e| format::reading_error(self.path, &e))?;
                self.is_at_end = got < self.piece_bytes;
            }
            if self.is_at_end {
                let last = std::mem::take(&mut self.rest);
                return Ok((!last.is_empty()).then_some(last));
            }
            if let Some(end) = last_line_end(&self.rest, ends_at_any_line) {
                let later = self.rest.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.rest, later)));
            }
        }
    }
}

/// The end of the last of at least two lines, each with an even number of quotes before its
/// end unless `any` will do.
fn last_line_end(bytes: &[u8], any: bool) -> Option<usize> {
    let mut n_quotes = 0;
    let mut n_lines = 0;
    let mut end = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => n_quotes += 1,
            b'\n' if any || n_quotes % 2 == 0 => {
                n_lines += 1;
                end = at + 1;
            }
            _ => {}
        }
    }
    (n_lines >= 2).then_some(end)
}
