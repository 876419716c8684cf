//! A data file's format, and its text.

use std::ffi::OsStr;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Problem, Result};
use crate::fsio;

/// The first bytes of every gzip file (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What some programs write before a text in UTF-8.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// How a data file is written, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Tsv,
    /// CSV or TSV; the first row tells.
    Delimited,
    JsonLines,
    /// A text on each line and nothing else; no name says so.
    PlainLines,
    Parquet,
}

impl Format {
    /// The format of the file at `path`; `.gz` at the end of a name does not count.
    ///
    /// # Errors
    /// An extension of a format that is known and cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let is_gzip = is_named_gzip(path);
        let inner = if is_gzip {
            path.with_extension("")
        } else {
            path.to_owned()
        };
        let extension = extension(&inner);
        match extension.as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" | "ndjson" | "json" => Ok(Self::JsonLines),
            "parquet" if !is_gzip => Ok(Self::Parquet),
            "parquet" => {
                let problem = Problem::new("cannot read compressed Parquet files");
                let hint = "Parquet compresses by itself: uncompress it with `gunzip`";
                Err(Error::data(problem.in_file(path).hint(hint)))
            }
            "arrow" | "feather" | "xlsx" | "zip" | "bz2" | "xz" | "zst" => {
                let message = format!(
                    "cannot read `.{extension}` files, only .csv, .tsv, .txt, .jsonl and .ndjson (also with .gz) and .parquet"
                );
                Err(Error::data(Problem::new(message).in_file(path)))
            }
            _ => Ok(Self::Delimited),
        }
    }
}

pub(super) fn is_parquet(path: &Path) -> bool {
    extension(path) == "parquet"
}

fn extension(path: &Path) -> String {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.unwrap_or_default().to_ascii_lowercase()
}

/// The text of a file, uncompressed if it is a gzip file, without a byte order mark.
///
/// # Errors
/// A file that cannot be read, a gzip file that is cut off or damaged, text that is not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String> {
    text_of(path, read_bytes(path)?)
}

/// The content of a file, uncompressed if it is a gzip file.
///
/// # Errors
/// A file that cannot be read, a gzip file that is cut off or damaged.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let bytes = fsio::read(path)?;
    if is_gzip(&bytes, path)? {
        return uncompressed(&bytes, path);
    }
    Ok(bytes)
}

/// Whether a name says that the file is a gzip file.
pub(super) fn is_named_gzip(path: &Path) -> bool {
    extension(path) == "gz"
}

/// Whether a file that begins with these bytes is a gzip file.
///
/// # Errors
/// One that only says so by its name.
pub(super) fn is_gzip(start: &[u8], path: &Path) -> Result<bool> {
    if start.starts_with(&GZIP) {
        Ok(true)
    } else if is_named_gzip(path) && !start.is_empty() {
        let problem = Problem::new("not a gzip file").in_file(path);
        let hint = "if it is not compressed, give it a name without `.gz`";
        Err(Error::data(problem.hint(hint)))
    } else {
        Ok(false)
    }
}

/// The content of all the members of a gzip file.
fn uncompressed(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    match MultiGzDecoder::new(bytes).read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) => Err(reading_error(path, &error)),
    }
}

/// What is wrong with a file, compressed or not, that could be opened and not be read.
pub(super) fn reading_error(path: &Path, error: &std::io::Error) -> Error {
    let message = match error.kind() {
        IoErrorKind::UnexpectedEof => "the gzip file is cut off".to_owned(),
        IoErrorKind::InvalidInput | IoErrorKind::InvalidData => {
            format!("the gzip file is damaged: {error}")
        }
        _ => return Error::reading(path, error),
    };
    let hint = "copy or download it anew; `gzip -t` says whether a file is whole";
    Error::data(Problem::new(message).in_file(path).hint(hint))
}

/// Bytes of a text file as text, without a byte order mark.
///
/// # Errors
/// Bytes that are not UTF-8, or no text.
pub(super) fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String> {
    let hint = "save the file as UTF-8";
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
        let (line, byte) = place_of(bytes, at);
        let message = format!(
            "invalid UTF-8: byte {byte} of the line is 0x{:02x}",
            bytes[at]
        );
        Error::data(Problem::new(message).at_line(path, line).hint(hint))
    })?;
    // A text with a zero byte is one in UTF-16, or no text at all.
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        let (line, byte) = place_of(text.as_bytes(), at);
        let message = format!("not a text file: byte {byte} of the line is 0");
        return Err(Error::data(
            Problem::new(message).at_line(path, line).hint(hint),
        ));
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
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
