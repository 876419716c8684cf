//! Parquet files, read without trusting them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;

/// The chunks of rows of a Parquet file; after an error there are no more.
pub(crate) struct ParquetBatches {
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
}

impl ParquetBatches {
    /// Opens a file whose chunks are to have `n_rows` rows. An error says what is wrong.
    pub(crate) fn open(file: impl ChunkReader + 'static, n_rows: usize) -> Result<Self, String> {
        let reader = caught(|| {
            // Without the writer's Arrow types a text is a text, be it written as categories
            // or as views.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?
                .with_batch_size(n_rows)
                .build()
        })?;
        Ok(Self {
            schema: reader.schema(),
            reader: Some(reader),
        })
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

/// What `read` gives, or what is wrong.
///
/// The library panics at some files with a wrong byte, as where a length leads out of a page
/// (parquet 60.1). Nothing that it worked on is used after that.
fn caught<T, E: std::fmt::Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("the file is damaged".to_owned()),
    }
}
