//! Parquet files, read without trusting them.

use std::ops::Range;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ProjectionMask};
use parquet::file::metadata::KeyValue;
use parquet::file::reader::ChunkReader;

use crate::data::caught::caught;

/// A Parquet file of which only the footer has been read.
pub(crate) struct ParquetFile<T: ChunkReader + 'static> {
    builder: ParquetRecordBatchReaderBuilder<T>,
}

impl<T: ChunkReader + 'static> ParquetFile<T> {
    /// Opens a file. An error says what is wrong.
    pub(crate) fn open(file: T) -> Result<Self, String> {
        let builder = caught(|| {
            // Without the writer's Arrow types a text is a text, be it written as categories
            // or as views.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        })?;
        Ok(Self { builder })
    }

    /// The columns' names and types.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.builder.schema()
    }

    /// What the file's writer noted under `key`.
    pub(crate) fn note(&self, key: &str) -> Option<&str> {
        let notes = self.builder.metadata().file_metadata();
        let notes = notes.key_value_metadata()?;
        let note = notes.iter().find(|note| note.key == key)?;
        note.value.as_deref()
    }

    /// All that the file's writer noted, by key, but for what another writer notes itself.
    pub(crate) fn notes(&self) -> Vec<KeyValue> {
        let notes = self.builder.metadata().file_metadata().key_value_metadata();
        let notes = notes.into_iter().flatten();
        notes
            .filter(|note| note.key != ARROW_SCHEMA_META_KEY)
            .cloned()
            .collect()
    }

    /// The rows of these ranges, which ascend, of all `total` that there are, in chunks of
    /// `n_rows` rows.
    pub(crate) fn rows(
        self,
        n_rows: usize,
        ranges: impl Iterator<Item = Range<usize>>,
        total: usize,
    ) -> Result<ParquetBatches, String> {
        let builder = caught(|| {
            let selection = RowSelection::from_consecutive_ranges(ranges, total);
            Ok::<_, String>(self.builder.with_row_selection(selection))
        })?;
        Self { builder }.batches(n_rows, None)
    }

    /// The file in chunks of `n_rows` rows, with these columns in the order of the file, or
    /// with all. One row group's pages are in memory at a time.
    pub(crate) fn batches(
        self,
        n_rows: usize,
        columns: Option<&[usize]>,
    ) -> Result<ParquetBatches, String> {
        let reader = caught(|| {
            let mut builder = self.builder.with_batch_size(n_rows);
            if let Some(columns) = columns {
                let schema = builder.parquet_schema();
                let mask = ProjectionMask::roots(schema, columns.iter().copied());
                builder = builder.with_projection(mask);
            }
            builder.build()
        })?;
        Ok(ParquetBatches {
            schema: reader.schema(),
            reader: Some(reader),
        })
    }
}

/// The chunks of rows of a Parquet file; after an error there are no more.
pub(crate) struct ParquetBatches {
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
}

impl ParquetBatches {
    /// Opens a file whose chunks are to have `n_rows` rows. An error says what is wrong.
    pub(crate) fn open(file: impl ChunkReader + 'static, n_rows: usize) -> Result<Self, String> {
        ParquetFile::open(file)?.batches(n_rows, None)
    }

    /// The columns' names and types.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Iterator for ParquetBatches {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let batch = caught(|| reader.next().transpose()).transpose()?;
        if batch.is_ok() {
            self.reader = Some(reader);
        }
        Some(batch)
    }
}
