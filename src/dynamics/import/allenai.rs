//! allenai/cartography's dynamics: `dynamics_epoch_N.jsonl`, N from 0, with a line
//! `{"guid": .., "logits_epoch_N": [..], "gold": ..}` for each example, in any order.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{EpochFiles, required};
use crate::dynamics::lines::{Fields, Rows, problem_at, read_lines};
use crate::dynamics::scanner::{Fault, Scanner};
use crate::dynamics::training_dynamics::{Builder, Row, TrainingDynamics, ValueKind};
use crate::error::{Error, Result};
use crate::fsio;

/// How the files are named.
pub(super) const FILES: EpochFiles = EpochFiles {
    before: "dynamics_epoch_",
    after: ".jsonl",
};

/// Reads the epochs, which must hold the same examples.
///
/// # Errors
/// A file that cannot be read, a line that is no record of its epoch, an example that is there
/// twice, missing or changed.
pub(super) fn read(files: &[PathBuf]) -> Result<TrainingDynamics> {
    let mut dynamics = Builder::new(ValueKind::Logits);
    let Some((first, others)) = files.split_first() else {
        return Ok(dynamics.finish());
    };
    let bytes = fsio::read(first)?;
    for (at, row) in rows(&read_epoch(0, first, &bytes)?) {
        let position = dynamics.position(&row);
        dynamics
            .put(0, position, &row)
            .map_err(|message| Error::data(problem_at(first, &bytes, at, message)))?;
    }
    super::check_epoch(&dynamics, 0, first)?;
    drop(bytes);
    // The first epoch has made the examples known, so the others do not depend on each other.
    let epochs: Vec<Result<Vec<f64>>> = others
        .par_iter()
        .enumerate()
        .map(|(i, path)| {
            let bytes = fsio::read(path)?;
            let parts = read_epoch(i + 1, path, &bytes)?;
            let values = dynamics.epoch(rows(&parts).map(|(_, row)| row));
            values.map_err(|(row, message)| {
                let at = rows(&parts).nth(row).map_or(0, |(at, _)| at);
                Error::data(problem_at(path, &bytes, at, message))
            })
        })
        .collect();
    for (i, (epoch, path)) in epochs.into_iter().zip(others).enumerate() {
        dynamics.push(epoch?);
        super::check_epoch(&dynamics, i + 1, path)?;
    }
    Ok(dynamics.finish())
}

fn read_epoch<'a>(epoch: usize, path: &Path, bytes: &'a [u8]) -> Result<Vec<Rows<'a>>> {
    let key = format!("logits_epoch_{epoch}");
    read_lines(path, bytes, |line, values| read_line(line, &key, values))
}

fn rows<'r>(parts: &'r [Rows<'_>]) -> impl Iterator<Item = (usize, Row<'r>)> {
    parts.iter().flat_map(Rows::iter)
}

fn read_line<'a>(
    line: &mut Scanner<'a>,
    key: &str,
    values: &mut Vec<f64>,
) -> Result<Fields<'a>, Fault> {
    let (mut guid, mut gold, mut has_logits) = (None, None, false);
    line.dict(|name, line| {
        match name {
            "guid" => guid = Some(line.id()?),
            "gold" => gold = Some(line.whole()?),
            name if name == key && !has_logits => {
                has_logits = true;
                line.numbers(values)?;
            }
            _ => line.skip()?,
        }
        Ok(())
    })?;
    let (guid, guid_is_number) = required(guid, "guid", line)?;
    required(has_logits.then_some(()), key, line)?;
    Ok(Fields {
        guid,
        guid_is_number,
        gold: required(gold, "gold", line)?,
        noisy_label: 0,
    })
}
