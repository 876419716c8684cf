//! allenai/cartography's dynamics: `dynamics_epoch_N.jsonl`, N from 0, with a line
//! `{"guid": .., "logits_epoch_N": [..], "gold": ..}` for each example, in any order.

use std::path::PathBuf;

use rayon::prelude::*;

use super::{EpochFiles, required};
use crate::dynamics::lines::{Fields, Rows, read_lines};
use crate::dynamics::scanner::{Fault, Scanner};
use crate::dynamics::training_dynamics::{Builder, EpochValues, TrainingDynamics, ValueKind};
use crate::error::Result;

/// How the files are named.
pub(super) const FILES: EpochFiles = EpochFiles {
    before: "dynamics_epoch_",
    after: ".jsonl",
};

/// Reads the epochs, which must hold the same examples: first the first one, which says which
/// examples there are, then the others beside one another.
///
/// # Errors
/// A file that cannot be read, a line that is no record of its epoch, an example that is there
/// twice, missing or changed.
pub(super) fn read(files: &[PathBuf]) -> Result<TrainingDynamics> {
    let mut dynamics = Builder::new(ValueKind::Logits);
    read_epoch(files, 0, |parts| add_rows(&mut dynamics, parts))?;
    super::check_epoch(&dynamics, 0, &files[0])?;
    let later: Vec<Result<EpochValues>> = (1..files.len())
        .into_par_iter()
        .map(|epoch| {
            let mut values = dynamics.new_epoch();
            read_epoch(files, epoch, |parts| {
                put_rows(&dynamics, &mut values, parts)
            })?;
            Ok(values)
        })
        .collect();
    for (values, (epoch, path)) in later.into_iter().zip(files.iter().enumerate().skip(1)) {
        dynamics.push_epoch(values?);
        super::check_epoch(&dynamics, epoch, path)?;
    }
    Ok(dynamics.finish())
}

fn read_epoch(
    files: &[PathBuf],
    epoch: usize,
    take: impl FnMut(&[Rows<'_>]) -> Result<(), Fault>,
) -> Result<()> {
    let key = format!("logits_epoch_{epoch}");
    read_lines(
        &files[epoch],
        |line, values| read_line(line, &key, values),
        take,
    )
}

/// Adds rows of the first epoch; what is wrong with one, if anything is, and where it begins.
fn add_rows(dynamics: &mut Builder, parts: &[Rows<'_>]) -> Result<(), Fault> {
    for (at, row) in parts.iter().flat_map(Rows::iter) {
        dynamics
            .position(&row)
            .and_then(|position| dynamics.put(0, position, &row))
            .map_err(|message| Fault { at, message })?;
    }
    Ok(())
}

/// Puts rows of a later epoch into its values; what is wrong with one, if anything is, and where
/// it begins.
fn put_rows(dynamics: &Builder, values: &mut EpochValues, parts: &[Rows<'_>]) -> Result<(), Fault> {
    // Looking ids up is most of the work, so all threads do it.
    let find = |part: &Rows<'_>| {
        let rows = part.iter();
        rows.map(|(_, row)| dynamics.known_position(&row)).collect()
    };
    let positions: Vec<Vec<Result<Option<u32>, String>>> = parts.par_iter().map(find).collect();
    let rows = parts.iter().flat_map(Rows::iter);
    for ((at, row), position) in rows.zip(positions.into_iter().flatten()) {
        let unknown = || format!("`{}` is not in the first epoch", row.guid);
        position
            .and_then(|position| position.ok_or_else(unknown))
            .and_then(|position| values.put(position, &row))
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
