//! Dynamics in the files of other programs, so that these read what we recorded.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::import::later_epochs;
use super::npy;
use super::training_dynamics::{RecordedExample, TrainingDynamics, ValueKind};
use crate::data::{Column, Table};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio::{self, FileWriter};
use crate::metrics::{argmax, softmax_f64};

/// Whose files dynamics are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// allenai/cartography: `training_dynamics/dynamics_epoch_N.jsonl`.
    Allenai,
    /// TrustAI: `output_data.json`, a line per example and evaluation, as Python prints a dict.
    Trustai,
    /// cleanlab: `pred_probs_epoch_N.npy`, `labels.npy`, and the rows' ids in `guids.txt`.
    Cleanlab,
    /// A long table: `training_dynamics.csv` with `guid epoch gold` and a column for each class.
    Csv,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allenai, Self::Trustai, Self::Cleanlab, Self::Csv];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allenai => "allenai",
            Self::Trustai => "trustai",
            Self::Cleanlab => "cleanlab",
            Self::Csv => "csv",
        }
    }
}

/// Writes dynamics into `folder`; the files that were written.
///
/// Numbers keep every digit. What a format lacks is computed: probabilities are the softmax of
/// logits, and for allenai's files, which hold logits, the logarithms of probabilities.
///
/// # Errors
/// Files that cannot be written; a folder with later epochs of another export, which would be read
/// as this one's ([`ErrorKind::CannotCreate`]).
pub fn export(
    dynamics: &TrainingDynamics,
    format: ExportFormat,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    for folder in [folder, &folder.join("training_dynamics")] {
        if let Some(path) = later_epochs(folder, dynamics.epochs.len()) {
            let problem = Problem::new("an epoch of another export is there, which this one lacks")
                .in_file(path)
                .hint("remove it, or choose another output folder");
            return Err(Error::new(ErrorKind::CannotCreate, problem));
        }
    }
    match format {
        ExportFormat::Allenai => allenai(dynamics, &folder.join("training_dynamics")),
        ExportFormat::Trustai => trustai(dynamics, folder.join("output_data.json")),
        ExportFormat::Cleanlab => cleanlab(dynamics, folder),
        ExportFormat::Csv => csv(dynamics, folder.join("training_dynamics.csv")),
    }
}

/// The examples and their values in an epoch.
fn rows(
    dynamics: &TrainingDynamics,
    epoch: usize,
) -> impl Iterator<Item = (&RecordedExample, &[f64])> {
    let values = dynamics.epochs[epoch].chunks_exact(dynamics.n_classes.max(1));
    dynamics.examples.iter().zip(values)
}

fn write_lines(path: &Path, fill: impl FnOnce(&mut FileWriter) -> io::Result<()>) -> Result<()> {
    fsio::write_atomically(path, |file| {
        fill(file).map_err(|e| Error::writing(path, &e))
    })
}

fn allenai(dynamics: &TrainingDynamics, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for epoch in 0..dynamics.epochs.len() {
        let path = folder.join(format!("dynamics_epoch_{epoch}.jsonl"));
        write_lines(&path, |file| {
            for (example, values) in rows(dynamics, epoch) {
                file.write_all(b"{\"guid\": ")?;
                if example.guid_is_number {
                    file.write_all(example.guid.as_bytes())?;
                } else {
                    serde_json::to_writer(&mut *file, &example.guid)?;
                }
                write!(file, ", \"logits_epoch_{epoch}\": ")?;
                serde_json::to_writer(&mut *file, &logits(dynamics.kind, values))?;
                writeln!(file, ", \"gold\": {}}}", example.gold)?;
            }
            Ok(())
        })?;
        written.push(path);
    }
    Ok(written)
}

/// Logits whose softmax the values are.
fn logits(kind: ValueKind, values: &[f64]) -> Vec<f64> {
    match kind {
        ValueKind::Logits => values.to_vec(),
        // The logarithm of 0 is no number that JSON has.
        ValueKind::Probabilities => values
            .iter()
            .map(|p| p.max(f64::MIN_POSITIVE).ln())
            .collect(),
    }
}

fn probabilities(kind: ValueKind, values: &[f64]) -> Vec<f64> {
    match kind {
        ValueKind::Logits => softmax_f64(values),
        ValueKind::Probabilities => values.to_vec(),
    }
}

fn trustai(dynamics: &TrainingDynamics, path: PathBuf) -> Result<Vec<PathBuf>> {
    write_lines(&path, |file| {
        for epoch in 0..dynamics.epochs.len() {
            for (example, values) in rows(dynamics, epoch) {
                let probs = probabilities(dynamics.kind, values);
                let predicted = argmax(values);
                let p = probs[example.gold as usize];
                let id = if example.guid_is_number {
                    example.guid.clone()
                } else {
                    python_text(&example.guid)
                };
                writeln!(
                    file,
                    "{{'id': {id}, 'label': {}, 'pred_label': {predicted}, 'noisy_label': {}, 'correct': '{}', 'loss': {:?}, 'probs': {probs:?}, 'label_probs': {p:?}}}",
                    example.gold,
                    example.noisy_label,
                    predicted == example.gold as usize,
                    -p.max(f64::MIN_POSITIVE).ln(),
                )?;
            }
        }
        Ok(())
    })?;
    Ok(vec![path])
}

/// A text as Python prints it.
fn python_text(text: &str) -> String {
    let mut printed = String::from("'");
    for character in text.chars() {
        match character {
            '\'' | '\\' => printed.extend(['\\', character]),
            '\n' => printed.push_str("\\n"),
            '\r' => printed.push_str("\\r"),
            '\t' => printed.push_str("\\t"),
            c if c.is_control() => printed.extend(format!("\\u{:04x}", c as u32).chars()),
            c => printed.push(c),
        }
    }
    printed.push('\'');
    printed
}

fn cleanlab(dynamics: &TrainingDynamics, folder: &Path) -> Result<Vec<PathBuf>> {
    let shape = [dynamics.examples.len(), dynamics.n_classes];
    let mut written = Vec::new();
    for epoch in 0..dynamics.epochs.len() {
        let values: Vec<f64> = rows(dynamics, epoch)
            .flat_map(|(_, values)| probabilities(dynamics.kind, values))
            .collect();
        written.push(folder.join(format!("pred_probs_epoch_{epoch}.npy")));
        fsio::write(&written[epoch], &npy::real_array(&shape, &values))?;
    }
    let gold: Vec<i64> = dynamics
        .examples
        .iter()
        .map(|example| example.gold.into())
        .collect();
    let labels = folder.join("labels.npy");
    fsio::write(&labels, &npy::whole_array(&shape[..1], &gold))?;
    let guids = folder.join("guids.txt");
    write_lines(&guids, |file| {
        dynamics
            .examples
            .iter()
            .try_for_each(|example| writeln!(file, "{}", example.guid))
    })?;
    written.extend([labels, guids]);
    Ok(written)
}

fn csv(dynamics: &TrainingDynamics, path: PathBuf) -> Result<Vec<PathBuf>> {
    let name = match dynamics.kind {
        ValueKind::Logits => "logits",
        ValueKind::Probabilities => "probs",
    };
    let n_epochs = dynamics.epochs.len();
    let all = || (0..n_epochs).flat_map(|epoch| rows(dynamics, epoch).map(move |row| (epoch, row)));
    let mut table = Table::new()
        .with(
            "guid",
            Column::Text(
                all()
                    .map(|(_, (example, _))| example.guid.clone())
                    .collect(),
            ),
        )
        .with(
            "epoch",
            Column::Integer(all().map(|(epoch, _)| epoch as i64).collect()),
        )
        .with(
            "gold",
            Column::Integer(all().map(|(_, (example, _))| example.gold.into()).collect()),
        );
    for class in 0..dynamics.n_classes {
        let values = all().map(|(_, (_, values))| values[class]).collect();
        table = table.with(format!("{name}_{class}"), Column::Real(values));
    }
    table.write(&path)?;
    Ok(vec![path])
}
