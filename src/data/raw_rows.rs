//! The rows of a data file as they stand in it: found by their guids, copied to the byte.
//!
//! Which column holds the guids is found as for any data set ([`super::read_training`]), by the
//! same code; texts and labels do not matter here.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::config::DataConfig;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;

use super::columns::{self, Names};
use super::files::DataFiles;
use super::format::{self, BYTE_ORDER_MARK, Format};
use super::parquet::ParquetFile;
use super::parquet_rows::{self, ROWS_PER_CHUNK};
use super::problems::{Content, Problems, Row, quoted};
use super::read::{FileRows, check_guids, file_kind};
use super::records::{self, Separator};
use super::{delimited, jsonl};

/// The rows of a set's data files and their guids.
pub struct RawRows<'a> {
    /// One per row, in the order of the files, each another.
    pub guids: Vec<String>,
    /// Where the guids come from, in words.
    pub guids_are: String,
    files: Vec<RawFile<'a>>,
}

/// One of the files.
struct RawFile<'a> {
    path: &'a Path,
    n_rows: usize,
    /// None where the file is Parquet.
    text: Option<TextFile>,
}

/// What a text file holds.
struct TextFile {
    content: String,
    has_byte_order_mark: bool,
    header: Range<usize>,
    rows: Vec<Range<usize>>,
}

/// What is found in a file.
#[derive(Default)]
struct Found {
    header: Range<usize>,
    rows: Vec<Range<usize>>,
    content: Content,
    guids_are: String,
    /// What the rows of another file must have as well to lie below these: the columns, in words.
    columns: String,
}

impl Found {
    /// Adds the row that starts at `line`.
    fn add(&mut self, line: u64, bytes: Range<usize>, guid: Option<String>) {
        self.rows.push(bytes);
        self.content.rows.push(Row {
            line,
            guid,
            ..Row::default()
        });
    }
}

impl<'a> RawRows<'a> {
    /// Reads the files, in any one format of data files; `columns` says which column holds the
    /// guids. Without an id column they are the row numbers over all files, from 0.
    ///
    /// # Errors
    /// A file that is not there or cannot be read, with all lines that are wrong; guids that
    /// are not unique; an id column that is named and not there; files of several formats or
    /// with other columns than the first.
    pub fn read(files: &'a DataFiles, columns: &DataConfig) -> Result<Self> {
        let columns = DataConfig {
            without_labels: true,
            ..columns.clone()
        };
        let mut problems = Problems::new(files.name());
        let mut read: Vec<FileRows<'a>> = Vec::new();
        let mut raw: Vec<RawFile<'a>> = Vec::new();
        let mut first: Option<(Format, String, String)> = None;
        for (file, path) in files.paths().iter().enumerate() {
            problems.go_to(file, path);
            let kind = file_kind(path)?;
            let (found, text) = if kind == Format::Parquet {
                (parquet_guids(path, &columns, &mut problems)?, None)
            } else {
                let (found, text) = text_rows(path, kind, &columns, &mut problems)?;
                (found, Some(text))
            };
            if found.content.rows.is_empty() && problems.is_empty() {
                problems.push(Problem::new("the file has no rows").in_file(path));
            }
            match &first {
                None => first = Some((kind, found.columns, found.guids_are)),
                Some((first_kind, first_columns, _)) if problems.is_empty() => {
                    let first_path = files.paths()[0].display();
                    let message = if kind != *first_kind {
                        format!("the file has another format than `{first_path}`")
                    } else if found.columns != *first_columns {
                        format!(
                            "the file has {}, but `{first_path}` has {first_columns}",
                            found.columns
                        )
                    } else {
                        String::new()
                    };
                    if !message.is_empty() {
                        let hint = "the rows of all files go to one file, as they are";
                        problems.push(Problem::new(message).in_file(path).hint(hint));
                    }
                }
                Some(_) => {}
            }
            raw.push(RawFile {
                path,
                n_rows: found.content.rows.len(),
                text,
            });
            read.push((file, path, found.content));
        }
        check_guids(&read, &mut problems);
        problems.check()?;
        let rows = read.into_iter().flat_map(|(_, _, content)| content.rows);
        let guids = rows
            .enumerate()
            .map(|(i, row)| row.guid.unwrap_or_else(|| i.to_string()));
        Ok(Self {
            guids: guids.collect(),
            guids_are: first.map_or_else(String::new, |(_, _, guids_are)| guids_are),
            files: raw,
        })
    }

    /// Whether rows of the file at `data` can be written under the name `output`.
    ///
    /// # Errors
    /// A name that says another format.
    pub fn check_output(data: &Path, output: &Path) -> Result<()> {
        if file_kind(data)? == Format::of(output)? {
            return Ok(());
        }
        let message = format!(
            "`{}` has another format than `{}`, whose rows it is to hold as they are",
            output.display(),
            data.display()
        );
        let hint = "give both files the same extension";
        let problem = Problem::new(message).hint(hint);
        Err(Error::new(ErrorKind::Usage, problem))
    }

    /// Writes the rows for which `is_kept` holds, in the order of the files, all or nothing.
    ///
    /// Text files keep the first one's header and the bytes of every row, line end included; where
    /// a row that is not the last has none, it gets one. A name that ends with `.gz` compresses
    /// them. Parquet files keep columns, types and the notes of the first one's writer.
    ///
    /// # Errors
    /// A file that cannot be read again or written.
    pub fn write(&self, is_kept: &[bool], output: &Path) -> Result<()> {
        let writing = |e: std::io::Error| Error::writing(output, &e);
        fsio::write_atomically(output, |file| {
            if self.files.iter().all(|file| file.text.is_none()) {
                self.write_parquet(is_kept, output, file)
            } else if format::is_named_gzip(output) {
                let mut encoder = GzEncoder::new(file, Compression::default());
                self.write_text(is_kept, &mut encoder).map_err(writing)?;
                encoder.finish().map(|_| ()).map_err(writing)
            } else {
                self.write_text(is_kept, file).map_err(writing)
            }
        })
    }

    /// The files and which of their rows are kept, as positions in the file.
    fn kept<'b>(
        &'b self,
        is_kept: &'b [bool],
    ) -> impl Iterator<Item = (&'b RawFile<'a>, impl Iterator<Item = usize> + 'b)> {
        let mut start = 0;
        self.files.iter().map(move |file| {
            let of_file = &is_kept[start..start + file.n_rows];
            start += file.n_rows;
            let kept = of_file.iter().enumerate().filter(|(_, is)| **is);
            (file, kept.map(|(row, _)| row))
        })
    }

    fn write_parquet(
        &self,
        is_kept: &[bool],
        output: &Path,
        file: &mut (impl Write + Send),
    ) -> Result<()> {
        let writing =
            |e: parquet::errors::ParquetError| Error::writing(output, &std::io::Error::other(e));
        let mut to = Some(file);
        let mut writer: Option<ArrowWriter<_>> = None;
        for (file, kept) in self.kept(is_kept) {
            let damaged = |what: String| damaged(file.path, &what);
            let data = File::open(file.path).map_err(|e| Error::reading(file.path, &e))?;
            let data = ParquetFile::open(data).map_err(damaged)?;
            let notes = data.notes();
            let batches = data
                .rows(ROWS_PER_CHUNK, kept.map(|row| row..row + 1), file.n_rows)
                .map_err(damaged)?;
            if let Some(to) = to.take() {
                let properties = WriterProperties::builder()
                    .set_key_value_metadata((!notes.is_empty()).then_some(notes))
                    .build();
                let schema = batches.schema().clone();
                writer = Some(ArrowWriter::try_new(to, schema, Some(properties)).map_err(writing)?);
            }
            for batch in batches {
                let batch = batch.map_err(damaged)?;
                if let Some(writer) = &mut writer {
                    writer.write(&batch).map_err(writing)?;
                }
            }
        }
        match writer {
            Some(writer) => writer.close().map(|_| ()).map_err(writing),
            None => Ok(()),
        }
    }

    fn write_text(&self, is_kept: &[bool], to: &mut impl Write) -> std::io::Result<()> {
        let mut line_end = "";
        for (number, (file, kept)) in self.kept(is_kept).enumerate() {
            let Some(text) = &file.text else { continue };
            if number == 0 {
                if text.has_byte_order_mark {
                    write!(to, "{BYTE_ORDER_MARK}")?;
                }
                to.write_all(text.content[text.header.clone()].as_bytes())?;
                line_end = text.missing_line_end(&text.header);
            }
            for row in kept {
                to.write_all(line_end.as_bytes())?;
                let row = &text.rows[row];
                to.write_all(text.content[row.clone()].as_bytes())?;
                line_end = text.missing_line_end(row);
            }
        }
        Ok(())
    }
}

impl TextFile {
    /// What a row lacks at its end before another one can follow: nothing, or the file's way to
    /// end lines.
    fn missing_line_end(&self, row: &Range<usize>) -> &'static str {
        if row.is_empty() || self.content[row.clone()].ends_with('\n') {
            ""
        } else if self.content.contains("\r\n") {
            "\r\n"
        } else {
            "\n"
        }
    }
}

/// The rows of a file in one of the text formats.
fn text_rows(
    path: &Path,
    kind: Format,
    config: &DataConfig,
    problems: &mut Problems,
) -> Result<(Found, TextFile)> {
    let bytes = format::read_bytes(path)?;
    let has_byte_order_mark = bytes.starts_with(BYTE_ORDER_MARK.to_string().as_bytes());
    let content = format::text_of(path, bytes)?;
    let separator = match kind {
        Format::JsonLines => None,
        Format::Csv => Some(Separator::Comma),
        Format::Tsv => Some(Separator::Tab),
        _ => Some(records::sniff(path, &content, config.quoting)),
    };
    let mut found = match separator {
        None => json_lines(&content, config, problems),
        Some(separator) => table_lines(&content, separator, config, problems),
    };
    let text = TextFile {
        header: std::mem::take(&mut found.header),
        rows: std::mem::take(&mut found.rows),
        content,
        has_byte_order_mark,
    };
    Ok((found, text))
}

/// The rows of a CSV or TSV file.
fn table_lines(
    text: &str,
    separator: Separator,
    config: &DataConfig,
    problems: &mut Problems,
) -> Found {
    let mut found = Found::default();
    let Some(opened) = delimited::open(text, separator, config, problems) else {
        return found;
    };
    let (first, cells) = (opened.first, opened.cells);
    let has_header = columns::is_header_with_ids(&cells, config);
    let names = if has_header {
        Names::Header(&cells)
    } else {
        Names::Unnamed(&cells)
    };
    let id = columns::id(names, config).unwrap_or_else(|problem| {
        problems.push_at(first.line, problem);
        None
    });
    let separated = format!("separated by {}s", separator.name());
    found.columns = if has_header {
        format!("the columns {}, {separated}", cells.join(", "))
    } else {
        format!("{} columns without a header, {separated}", cells.len())
    };
    found.guids_are = match (id, has_header) {
        (Some(id), true) => format!("the column {}", quoted(&cells[id])),
        (Some(id), false) => format!("column {id}, counted from 0; the first row is an example"),
        (None, true) => "the row numbers, counted from 0".to_owned(),
        (None, false) => "the row numbers, counted from 0; the first row is an example".to_owned(),
    };
    let mut records: Box<dyn Iterator<Item = _>> = Box::new(opened.records);
    if has_header {
        found.header = first.bytes;
    } else {
        records = Box::new(std::iter::once(Ok(first)).chain(records));
    }
    for record in records {
        let mut record = match record {
            Ok(record) if record.cells.len() == cells.len() => record,
            Ok(record) => {
                let ragged = delimited::ragged(&record, cells.len(), separator);
                problems.push_at(record.line, ragged);
                continue;
            }
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let guid = id.map(|id| std::mem::take(&mut record.cells[id].text).into_owned());
        if guid.as_ref().is_some_and(|guid| guid.trim().is_empty()) {
            problems.push_at(record.line, Problem::new("the id is empty"));
        }
        found.add(record.line, record.bytes, guid);
    }
    found
}

/// The rows of a JSON Lines file.
fn json_lines(text: &str, config: &DataConfig, problems: &mut Problems) -> Found {
    let mut found = Found::default();
    let mut key: Option<Option<String>> = None;
    let mut at = 0;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let bytes = at..at + line.len();
        at = bytes.end;
        if line.trim().is_empty() {
            continue;
        }
        let mut object = match jsonl::object(line.trim_end_matches('\n'), problems.path, number) {
            Ok(object) => object,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let key = key.get_or_insert_with(|| {
            let names: Vec<String> = object.keys().cloned().collect();
            let id = columns::id(Names::Keys(&names), config);
            let id = id.map_err(|problem| problems.push_at(number, problem));
            id.ok().flatten().map(|id| names[id].clone())
        });
        let guid = key.as_ref().map(|key| {
            let guid = jsonl::take(&mut object, key, jsonl::name_of, jsonl::NAME);
            guid.map_err(|problem| problems.push_at(number, problem))
        });
        found.add(number, bytes, guid.and_then(Result::ok));
    }
    found.guids_are = guids_are(key.flatten().as_deref());
    let has_ids = found.content.rows.iter().any(|row| row.guid.is_some());
    found.columns = String::from(if has_ids { "ids" } else { "no ids" });
    found
}

/// The guids of a Parquet file.
fn parquet_guids(path: &Path, config: &DataConfig, problems: &mut Problems) -> Result<Found> {
    let damaged = |what: String| damaged(path, &what);
    let mut found = Found::default();
    let file = File::open(path).map_err(|e| Error::reading(path, &e))?;
    let file = ParquetFile::open(file).map_err(damaged)?;
    let fields = file.schema().fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let id = match columns::id(Names::Header(&names), config) {
        Ok(id) => id,
        Err(problem) => {
            problems.push(problem.in_file(path));
            return Ok(found);
        }
    };
    found.guids_are = guids_are(id.map(|id| names[id].as_str()));
    let types = fields
        .iter()
        .map(|field| format!("{} ({})", field.name(), field.data_type()));
    found.columns = format!("the columns {}", types.collect::<Vec<_>>().join(", "));
    // Without ids the rows of the first column are counted: what the footer claims need not be so.
    let batches = file
        .batches(ROWS_PER_CHUNK, Some(&[id.unwrap_or(0)]))
        .map_err(damaged)?;
    let mut line = 0;
    for batch in batches {
        let batch = batch.map_err(damaged)?;
        for i in 0..batch.num_rows() {
            line += 1;
            let guid = id.and_then(|id| {
                let guid = parquet_rows::text_of(batch.column(0), i);
                let guid = guid.filter(|guid| !guid.trim().is_empty());
                if guid.is_none() {
                    let name = quoted(&names[id]);
                    let message = format!("{name} is no id; expected {}", jsonl::NAME);
                    problems.push_at(line, Problem::new(message));
                }
                guid
            });
            found.add(line, 0..0, guid);
        }
    }
    Ok(found)
}

/// Where guids come from in a file whose columns have names.
fn guids_are(column: Option<&str>) -> String {
    match column {
        Some(column) => format!("the column {}", quoted(column)),
        None => "the row numbers, counted from 0".to_owned(),
    }
}

fn damaged(path: &Path, what: &str) -> Error {
    let message = format!("not a readable Parquet file: {what}");
    Error::data(Problem::new(message).in_file(path))
}
