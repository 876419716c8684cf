//! The dynamics on disk: `training_dynamics/epoch=N/part-0.parquet`, N from 0.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Float32Type;
use arrow_array::{
    Array, ArrayRef, Float32Array, ListArray, RecordBatch, StringArray, UInt32Array,
};
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::data::{ExampleIndex, ParquetBatches};
use crate::dynamics::training_dynamics::{Builder, Row, TrainingDynamics, ValueKind};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;

/// Rows that are read at a time.
const ROWS_PER_CHUNK: usize = 8192;

/// One example in one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochRow<'a> {
    /// Its row in the training file.
    pub index: ExampleIndex,
    /// Its id.
    pub guid: &'a str,
    /// Its class index.
    pub gold: u32,
    /// What the model said of each of the C classes.
    pub logits: &'a [f32],
    /// TrustAI's `noisy_label`: 2 where the label is known to be wrong, else 0.
    pub noisy_label: u32,
}

/// Some rows of an epoch that follow each other.
#[derive(Debug, Clone)]
pub struct EpochChunk {
    index: UInt32Array,
    guid: StringArray,
    gold: UInt32Array,
    logits: ListArray,
    values: Float32Array,
    /// Only where true labels are known.
    noisy_label: Option<UInt32Array>,
}

impl EpochChunk {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn row(&self, row: usize) -> EpochRow<'_> {
        let ends = &self.logits.value_offsets()[row..=row + 1];
        EpochRow {
            index: self.index.value(row),
            guid: self.guid.value(row),
            gold: self.gold.value(row),
            logits: &self.values.values()[ends[0] as usize..ends[1] as usize],
            noisy_label: self.noisy_label.as_ref().map_or(0, |v| v.value(row)),
        }
    }

    /// The columns of a batch, if they are what they should be.
    fn of(batch: &RecordBatch) -> Option<Self> {
        fn column<A: Array + Clone + 'static>(batch: &RecordBatch, name: &str) -> Option<A> {
            let array = batch.column_by_name(name)?;
            (array.null_count() == 0).then_some(())?;
            array.as_any().downcast_ref::<A>().cloned()
        }
        let logits: ListArray = column(batch, "logits")?;
        let values = logits.values().as_any().downcast_ref::<Float32Array>()?;
        if values.null_count() > 0 {
            return None;
        }
        Some(Self {
            index: column(batch, "index")?,
            guid: column(batch, "guid")?,
            gold: column(batch, "gold")?,
            values: values.clone(),
            noisy_label: column(batch, "noisy_label"),
            logits,
        })
    }
}

/// Where an epoch's file lies.
pub(super) fn epoch_file(folder: &Path, epoch: usize) -> PathBuf {
    folder.join(format!("epoch={epoch}")).join("part-0.parquet")
}

/// Writes one epoch, all or nothing: rows in the order of `indices`, which is ascending;
/// `logits` is (N, C). `noisy_labels` as in [`EpochRow::noisy_label`], or none.
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
    noisy_labels: Option<&[u32]>,
) -> Result<()> {
    let path = epoch_file(folder, epoch);
    let n_classes = logits.len() / indices.len().max(1);
    let rows = logits.chunks_exact(n_classes.max(1));
    let lists = rows.map(|row| Some(row.iter().copied().map(Some)));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(indices.to_vec())),
        Arc::new(StringArray::from_iter_values(guids)),
        Arc::new(UInt32Array::from(gold.to_vec())),
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists)),
    ];
    if let Some(noisy_labels) = noisy_labels {
        arrays.push(Arc::new(UInt32Array::from(noisy_labels.to_vec())));
    }
    let fields: Vec<Field> = ["index", "guid", "gold", "logits", "noisy_label"]
        .iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), false))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let wrong =
        |e: &dyn std::fmt::Display| Error::writing(&path, &std::io::Error::other(e.to_string()));
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|e| wrong(&e))?;
    fsio::write_atomically(&path, |file| {
        let mut writer = ArrowWriter::try_new(file, schema, None).map_err(|e| wrong(&e))?;
        writer.write(&batch).map_err(|e| wrong(&e))?;
        writer.close().map_err(|e| wrong(&e))?;
        Ok(())
    })
}

/// The first `n_epochs` epochs in a dynamics folder, or all, in order.
///
/// # Errors
/// A missing folder, one without epochs ([`ErrorKind::MissingInput`]), or one in which an
/// epoch before the last of these is missing.
pub fn epoch_folders(folder: &Path, n_epochs: Option<usize>) -> Result<Vec<PathBuf>> {
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
    epochs.truncate(n_epochs.unwrap_or(usize::MAX));
    for (i, (number, path)) in epochs.iter().enumerate() {
        if *number != i {
            let message = format!("epoch {i} is missing before it");
            return Err(Error::data(Problem::new(message).in_file(path)));
        }
    }
    Ok(epochs.into_iter().map(|(_, path)| path).collect())
}

/// The rows of one epoch in chunks, in the order of the file, with memory for one of them.
pub struct EpochReader {
    path: PathBuf,
    batches: ParquetBatches,
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
        Ok(Self { path, batches })
    }
}

impl Iterator for EpochReader {
    type Item = Result<EpochChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.batches.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(wrong(&self.path, &error))),
        };
        let lacks = "it lacks `index`, `guid`, `gold` or `logits`, or one is of another type";
        Some(EpochChunk::of(&batch).ok_or_else(|| wrong(&self.path, &lacks)))
    }
}

/// Reads all epochs of a folder, or the first `n_epochs`, into memory.
///
/// # Errors
/// As [`epoch_folders`] and [`EpochReader`]; epochs that do not hold the same examples.
pub(super) fn read_all(folder: &Path, n_epochs: Option<usize>) -> Result<TrainingDynamics> {
    let folders = epoch_folders(folder, n_epochs)?;
    let mut dynamics = Builder::new(ValueKind::Logits);
    let mut indices = Vec::new();
    for (epoch, folder) in folders.iter().enumerate() {
        let differs = |message: String| Error::data(Problem::new(message).in_file(folder));
        let mut values = Vec::new();
        for chunk in EpochReader::open(folder)? {
            let chunk = chunk?;
            for row in (0..chunk.len()).map(|row| chunk.row(row)) {
                values.clear();
                values.extend(row.logits.iter().map(|x| f64::from(*x)));
                let guid_is_number = is_canonical_number(row.guid);
                let recorded = Row {
                    guid: row.guid,
                    guid_is_number,
                    gold: row.gold,
                    noisy_label: row.noisy_label,
                    values: &values,
                };
                let n_known = dynamics.len();
                let position = dynamics.position(&recorded).map_err(differs)?;
                if dynamics.len() > n_known {
                    if epoch > 0 {
                        return Err(differs(format!("`{}` is not in the first epoch", row.guid)));
                    }
                    indices.push(row.index);
                }
                dynamics.put(epoch, position, &recorded).map_err(differs)?;
            }
        }
        if let Some(position) = dynamics.gap(epoch) {
            let guid = dynamics.guid(position);
            return Err(differs(format!(
                "it lacks `{guid}`, which another epoch has"
            )));
        }
    }
    let mut dynamics = dynamics.finish();
    for (example, index) in dynamics.examples.iter_mut().zip(indices) {
        example.index = index;
    }
    Ok(dynamics)
}

/// Whether an id is a whole number as programs write one, so that it comes back the same.
pub fn is_canonical_number(guid: &str) -> bool {
    guid.parse::<i64>()
        .is_ok_and(|number| number.to_string() == guid)
}

fn wrong(path: &Path, message: &dyn std::fmt::Display) -> Error {
    Error::data(Problem::new(format!("not an epoch of training dynamics: {message}")).in_file(path))
}
