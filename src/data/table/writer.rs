//! Tables on disk, written a part at a time.

use std::io::Write;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::fsio::{self, FileWriter};

use super::{Column, Format, Table, pickle};

/// A table that is being written; parts with the same columns follow one another.
pub struct TableWriter<W: Write + Send> {
    path: PathBuf,
    kind: Kind<W>,
}

enum Kind<W: Write + Send> {
    Delimited {
        writer: Box<csv::Writer<W>>,
        has_header: bool,
    },
    JsonLines(W),
    /// The schema comes with the first part.
    Parquet(Option<W>, Option<Box<ArrowWriter<W>>>),
    /// A pickle is written as a whole.
    Pickle(W, Table),
}

impl TableWriter<&mut FileWriter> {
    /// Writes the table at `path`, all or nothing, in the format of the extension; `fill` hands
    /// over its parts.
    ///
    /// # Errors
    /// An extension that names no format, a file that cannot be written, `fill`'s own.
    pub fn write_file(
        path: &Path,
        fill: impl FnOnce(&mut TableWriter<&mut FileWriter>) -> Result<()>,
    ) -> Result<()> {
        let format = Format::of(path)?;
        fsio::write_atomically(path, |file| {
            let mut writer = TableWriter::new(path, format, file);
            fill(&mut writer)?;
            writer.finish()
        })
    }
}

impl<W: Write + Send> TableWriter<W> {
    /// Writes CSV to `to`, which goes by the name `path` in errors.
    pub fn csv(path: &Path, to: W) -> Self {
        Self::new(path, Format::Csv, to)
    }

    fn new(path: &Path, format: Format, to: W) -> Self {
        let delimited = |delimiter, to| Kind::Delimited {
            writer: Box::new(
                csv::WriterBuilder::new()
                    .delimiter(delimiter)
                    .from_writer(to),
            ),
            has_header: false,
        };
        Self {
            path: path.to_owned(),
            kind: match format {
                Format::Csv => delimited(b',', to),
                Format::Tsv => delimited(b'\t', to),
                Format::Jsonl => Kind::JsonLines(to),
                Format::Parquet => Kind::Parquet(Some(to), None),
                Format::Pickle => Kind::Pickle(to, Table::new()),
            },
        }
    }

    /// Writes the next part.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, part: &Table) -> Result<()> {
        self.try_write(part)
            .map_err(|e| Error::writing(&self.path, &e))
    }

    fn try_write(&mut self, part: &Table) -> std::io::Result<()> {
        match &mut self.kind {
            Kind::Delimited { writer, has_header } => {
                if !*has_header {
                    writer.write_record(part.names())?;
                    *has_header = true;
                }
                for row in 0..part.n_rows() {
                    writer.write_record(part.columns.iter().map(|(_, column)| column.cell(row)))?;
                }
                writer.flush()
            }
            Kind::JsonLines(to) => (0..part.n_rows()).try_for_each(|row| {
                serde_json::to_writer(&mut *to, &part.row(row))?;
                to.write_all(b"\n")
            }),
            Kind::Parquet(to, writer) => {
                let batch = part.record_batch()?;
                if let Some(to) = to.take() {
                    let options = Some(parquet_options(part));
                    let new = ArrowWriter::try_new(to, batch.schema(), options)?;
                    *writer = Some(Box::new(new));
                }
                match writer {
                    Some(writer) => Ok(writer.write(&batch)?),
                    None => Ok(()),
                }
            }
            Kind::Pickle(_, whole) => {
                whole.append(part);
                Ok(())
            }
        }
    }

    /// Writes what is left to write.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let finished = match self.kind {
            Kind::Delimited { mut writer, .. } => writer.flush(),
            Kind::JsonLines(mut to) => to.flush(),
            Kind::Parquet(_, Some(writer)) => {
                writer.close().map(|_| ()).map_err(std::io::Error::other)
            }
            Kind::Parquet(_, None) => Ok(()),
            Kind::Pickle(to, whole) => pickle::write(&whole, to),
        };
        finished.map_err(|e| Error::writing(&path, &e))
    }
}

/// How a table with these columns is written as Parquet.
fn parquet_options(table: &Table) -> WriterProperties {
    let mut options = WriterProperties::builder();
    for (name, column) in &table.columns {
        // Few numbers with a point repeat, so that a list of the distinct ones would only be made
        // to be thrown away.
        if matches!(column, Column::Real(_)) {
            let path = ColumnPath::new(vec![name.clone()]);
            options = options.set_column_dictionary_enabled(path, false);
        }
    }
    options.build()
}
