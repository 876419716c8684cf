//! The dynamics on disk: `training_dynamics/epoch=N/part-0.parquet`, N from 0.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Float32Type;
use arrow_array::{
    Array, ArrayRef, Float32Array, ListArray, RecordBatch, StringArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::data::{ExampleIndex, ParquetBatches};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;

/// Rows that are read at a time.
const ROWS_PER_CHUNK: usize = 8192;

/// One example in one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochRow {
    /// Its row in the training file.
    pub index: ExampleIndex,
    /// Its id.
    pub guid: String,
    /// Its class index.
    pub gold: u32,
    /// What the model said of each of the C classes.
    pub logits: Vec<f32>,
}

/// Writes one epoch, all or nothing: rows in the order of `indices`, which is ascending;
/// `logits` is (N, C).
///
/// # Errors
/// A file that cannot be written.
pub fn write_epoch(
    folder: &Path,
    epoch: usize,
    indices: &[ExampleIndex],
    guids: &[&str],
    gold: &[u32],
    logits: &[f32],
) -> Result<()> {
    let path = folder.join(format!("epoch={epoch}")).join("part-0.parquet");
    let n_classes = logits.len() / indices.len().max(1);
    let rows = logits.chunks_exact(n_classes.max(1));
    let lists = rows.map(|row| Some(row.iter().copied().map(Some)));
    let arrays: [ArrayRef; 4] = [
        Arc::new(UInt32Array::from(indices.to_vec())),
        Arc::new(StringArray::from_iter_values(guids)),
        Arc::new(UInt32Array::from(gold.to_vec())),
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists)),
    ];
    let fields: Vec<Field> = ["index", "guid", "gold", "logits"]
        .iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), false))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let wrong =
        |e: &dyn std::fmt::Display| Error::writing(&path, &std::io::Error::other(e.to_string()));
    let batch = RecordBatch::try_new(schema.clone(), arrays.to_vec()).map_err(|e| wrong(&e))?;
    fsio::write_atomically(&path, |file| {
        let mut writer = ArrowWriter::try_new(file, schema, None).map_err(|e| wrong(&e))?;
        writer.write(&batch).map_err(|e| wrong(&e))?;
        writer.close().map_err(|e| wrong(&e))?;
        Ok(())
    })
}

/// The epochs in a dynamics folder, with their numbers, in order.
///
/// # Errors
/// A missing folder, one without epochs ([`ErrorKind::MissingInput`]), or one in which an
/// epoch from 0 to the last is missing.
pub fn epoch_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut epochs: Vec<(usize, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let number: usize = name.strip_prefix("epoch=")?.parse().ok()?;
            // Not `epoch=00`, which would be epoch 0 once more.
            (format!("epoch={number}") == name).then_some((number, path))
        })
        .collect();
    epochs.sort_unstable();
    if epochs.is_empty() {
        let problem = Problem::new("no `epoch=N` folders").in_file(folder);
        return Err(Error::new(ErrorKind::MissingInput, problem));
    }
    for (i, (number, path)) in epochs.iter().enumerate() {
        if *number != i {
            let message = format!("epoch {i} is missing before it");
            return Err(Error::data(Problem::new(message).in_file(path)));
        }
    }
    Ok(epochs.into_iter().map(|(_, path)| path).collect())
}

/// The rows of one epoch, in the order of the file, with memory for one chunk.
pub struct EpochReader {
    path: PathBuf,
    batches: ParquetBatches,
    rows: std::vec::IntoIter<EpochRow>,
}

impl EpochReader {
    /// Opens an epoch's folder.
    ///
    /// # Errors
    /// A missing file, or one that is not Parquet.
    pub fn open(epoch: &Path) -> Result<Self> {
        let path = epoch.join("part-0.parquet");
        let file = File::open(&path).map_err(|e| Error::reading(&path, &e))?;
        let batches = ParquetBatches::open(file, ROWS_PER_CHUNK).map_err(|e| wrong(&path, &e))?;
        Ok(Self {
            path,
            batches,
            rows: Vec::new().into_iter(),
        })
    }

    fn next_chunk(&mut self) -> Result<bool> {
        let Some(batch) = self.batches.next() else {
            return Ok(false);
        };
        let batch = batch.map_err(|e| wrong(&self.path, &e))?;
        let rows = rows_of(&batch).ok_or_else(|| {
            wrong(
                &self.path,
                &"it lacks `index`, `guid`, `gold` or `logits`, or one is of another type",
            )
        })?;
        self.rows = rows.into_iter();
        Ok(true)
    }
}

impl Iterator for EpochReader {
    type Item = Result<EpochRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.next_chunk() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn rows_of(batch: &RecordBatch) -> Option<Vec<EpochRow>> {
    let column = |name: &str, kind: &dyn Fn(&DataType) -> bool| {
        batch
            .column_by_name(name)
            .filter(|array| kind(array.data_type()) && array.null_count() == 0)
    };
    let is_u32 = |t: &DataType| *t == DataType::UInt32;
    let index = column("index", &is_u32)?
        .as_any()
        .downcast_ref::<UInt32Array>()?;
    let gold = column("gold", &is_u32)?
        .as_any()
        .downcast_ref::<UInt32Array>()?;
    let guid = column("guid", &|t| *t == DataType::Utf8)?
        .as_any()
        .downcast_ref::<StringArray>()?;
    let logits = column("logits", &|t| matches!(t, DataType::List(_)))?;
    let logits = logits.as_any().downcast_ref::<ListArray>()?;
    (0..batch.num_rows())
        .map(|row| {
            let values = logits.value(row);
            let values = values.as_any().downcast_ref::<Float32Array>()?;
            if values.null_count() > 0 {
                return None;
            }
            Some(EpochRow {
                index: index.value(row),
                guid: guid.value(row).to_owned(),
                gold: gold.value(row),
                logits: values.values().to_vec(),
            })
        })
        .collect()
}

fn wrong(path: &Path, message: &dyn std::fmt::Display) -> Error {
    Error::data(Problem::new(format!("not an epoch of training dynamics: {message}")).in_file(path))
}
