//! allenai/cartography's dynamics: `dynamics_epoch_N.jsonl`, N from 0, with a line
//! `{"guid": .., "logits_epoch_N": [..], "gold": ..}` for each example, in any order.

use std::path::PathBuf;

use rayon::prelude::*;

use super::{EpochFiles, required};
use crate::dynamics::lines::{Fields, Rows, read_lines};
use crate::dynamics::scanner::{Fault, Scanner};
use crate::dynamics::training_dynamics::{Builder, TrainingDynamics, ValueKind};
use crate::error::Result;

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
    for (epoch, path) in files.iter().enumerate() {
        let key = format!("logits_epoch_{epoch}");
        read_lines(
            path,
            |line, values| read_line(line, &key, values),
            |parts| add_rows(&mut dynamics, epoch, parts),
        )?;
        super::check_epoch(&dynamics, epoch, path)?;
    }
    Ok(dynamics.finish())
}

/// Adds rows of an epoch; what is wrong with one, if anything is, and where it begins.
fn add_rows(dynamics: &mut Builder, epoch: usize, parts: &[Rows<'_>]) -> Result<(), Fault> {
    // Looking ids up is most of the work, so all threads do it.
    let find = |part: &Rows<'_>| {
        let rows = part.iter();
        rows.map(|(_, row)| dynamics.known_position(&row)).collect()
    };
    let known: Vec<Vec<Result<Option<u32>, String>>> = parts.par_iter().map(find).collect();
    let rows = parts.iter().flat_map(Rows::iter);
    for ((at, row), known) in rows.zip(known.into_iter().flatten()) {
        let position = match known {
            Ok(None) if epoch > 0 => Err(format!("`{}` is not in the first epoch", row.guid)),
            Ok(None) => dynamics.position(&row),
            Ok(Some(position)) => Ok(position),
            Err(message) => Err(message),
        };
        position
            .and_then(|position| dynamics.put(epoch, position, &row))
            .map_err(|message| Fault { at, message })?;
    }
    Ok(())
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
