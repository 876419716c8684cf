//! Out-of-sample probabilities as they are handed to cleanlab: `pred_probs_epoch_N.npy`, (N
//! examples, C classes), and `labels.npy`, (N). An example's id is its line in
//! `guids.txt`, if that is there, or else the number of its row.

use std::path::{Path, PathBuf};

use super::EpochFiles;
use crate::dynamics::is_canonical_number;
use crate::dynamics::npy::NumpyArray;
use crate::dynamics::training_dynamics::{Builder, Row, TrainingDynamics, ValueKind};
use crate::error::{Error, Problem, Result};
use crate::fsio;

/// How the files are named.
pub(super) const FILES: EpochFiles = EpochFiles {
    before: "pred_probs_epoch_",
    after: ".npy",
};

/// The file of the labels.
pub(super) const LABELS: &str = "labels.npy";

/// The file of the ids, which need not be there.
const GUIDS: &str = "guids.txt";

/// The ids of the rows, a line each, or else their numbers.
fn guids(path: &Path, n_rows: usize) -> Result<Vec<String>> {
    if !path.exists() {
        return Ok((0..n_rows).map(|row| row.to_string()).collect());
    }
    let text = String::from_utf8(fsio::read(path)?).unwrap_or_default();
    let guids: Vec<String> = text.lines().map(str::to_owned).collect();
    if guids.len() == n_rows {
        return Ok(guids);
    }
    let message = format!(
        "it has {} lines, but there are {n_rows} labels",
        guids.len()
    );
    let hint =
        "it should have the id of each row, one a line; without the file, ids are row numbers";
    Err(Error::data(Problem::new(message).in_file(path).hint(hint)))
}

/// Reads the epochs and the labels beside them.
///
/// # Errors
/// A file that cannot be read, arrays whose shapes do not fit, values that are no probabilities.
pub(super) fn read(files: &[PathBuf]) -> Result<TrainingDynamics> {
    let labels_path = files[0].with_file_name(LABELS);
    let labels = NumpyArray::read(&labels_path)?;
    let wrong = |path: &Path, message: String| Error::data(Problem::new(message).in_file(path));
    let is_class =
        |label: &f64| label.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(label);
    if labels.shape.len() != 1 {
        return Err(wrong(
            &labels_path,
            format!("its shape is {:?}, not (N)", labels.shape),
        ));
    }
    if let Some(row) = labels.values.iter().position(|label| !is_class(label)) {
        let message = format!(
            "the label of row {row} is `{}`, not a class index",
            labels.values[row]
        );
        return Err(wrong(&labels_path, message));
    }
    let guids = guids(&files[0].with_file_name(GUIDS), labels.values.len())?;
    let mut dynamics = Builder::new(ValueKind::Probabilities);
    for (epoch, path) in files.iter().enumerate() {
        let probabilities = NumpyArray::read(path)?;
        let n_classes = match probabilities.shape[..] {
            [n_rows, n_classes] if n_rows == labels.values.len() && n_classes > 0 => n_classes,
            _ => {
                let message = format!(
                    "its shape is {:?}, not ({}, C) as the labels' {}",
                    probabilities.shape,
                    labels.values.len(),
                    labels.values.len()
                );
                return Err(wrong(path, message));
            }
        };
        let rows = probabilities.values.chunks_exact(n_classes);
        for (i, (values, label)) in rows.zip(&labels.values).enumerate() {
            let row = Row {
                guid: &guids[i],
                guid_is_number: is_canonical_number(&guids[i]),
                gold: *label as u32,
                noisy_label: 0,
                values,
            };
            dynamics
                .position(&row)
                .and_then(|position| dynamics.put(epoch, position, &row))
                .map_err(|message| wrong(path, message))?;
        }
    }
    if dynamics.len() == 0 {
        return Err(wrong(&labels_path, "it holds no example".to_owned()));
    }
    Ok(dynamics.finish())
}
