//! allenai/cartography's dynamics: `dynamics_epoch_N.jsonl`, N from 0, with a line
//! `{"guid": .., "logits_epoch_N": [..], "gold": ..}` for each example, in any order.

use std::path::PathBuf;

use rayon::prelude::*;

use super::gathering::{Coverage, Import, Room, Rules};
use super::{EpochFiles, required};
use crate::dynamics::lines::{Fields, Refusal, Rows, read_lines};
use crate::dynamics::scanner::{Fault, Scanner};
use crate::dynamics::training_dynamics::{Builder, EpochValues, TrainingDynamics, ValueKind};
use crate::error::Result;

/// How the files are named.
pub(super) const FILES: EpochFiles = EpochFiles {
    before: "dynamics_epoch_",
    after: ".jsonl",
};

/// Reads the epochs, which must hold the same examples: first the first one, which says which
/// examples there are, then, where memory holds them, the others beside one another; and hands
/// them over as [`super::DynamicsFiles::read_in_parts`] says.
///
/// # Errors
/// A file that cannot be read or written, a line that is no record of its epoch, an example that is
/// there twice, missing or changed, what `take` says.
pub(super) fn read(
    files: &[PathBuf],
    room: Room<'_>,
    take: &mut dyn FnMut(TrainingDynamics) -> Result<()>,
) -> Result<usize> {
    let rules = Rules {
        kind: ValueKind::Logits,
        files,
        n_epochs: None,
        room,
    };
    let mut import = Import::new(&rules);
    read_epoch(files, 0, |parts| import.add(Some(0), parts))?;
    if let Some(dynamics) = import.in_memory() {
        super::check_epoch(dynamics, 0, &files[0])?;
        read_later_epochs(dynamics, files)?;
    } else {
        for epoch in 1..files.len() {
            read_epoch(files, epoch, |parts| import.add(Some(epoch), parts))?;
        }
    }
    let judge = |coverage: &Coverage| match coverage.complete() {
        (n, guid) if n < files.len() => Err(super::gap_in_epoch(n, guid, &files[n])),
        _ => Ok(files.len()),
    };
    import.finish(judge, take)
}

/// Reads all epochs but the first, which is there, into memory.
fn read_later_epochs(dynamics: &mut Builder, files: &[PathBuf]) -> Result<()> {
    let epochs: Vec<Result<EpochValues>> = (1..files.len())
        .into_par_iter()
        .map(|epoch| {
            let mut values = dynamics.new_epoch();
            read_epoch(files, epoch, |parts| {
                Ok(put_rows(dynamics, &mut values, parts)?)
            })?;
            Ok(values)
        })
        .collect();
    for values in epochs {
        dynamics.push_epoch(values?);
    }
    Ok(())
}

fn read_epoch(
    files: &[PathBuf],
    epoch: usize,
    take: impl FnMut(&[Rows<'_>]) -> Result<(), Refusal>,
) -> Result<()> {
    let key = format!("logits_epoch_{epoch}");
    read_lines(
        &files[epoch],
        |line, values| read_line(line, &key, values),
        take,
    )
}

/// Puts rows of a later epoch into its values; what is wrong with one, if anything is, and where
/// it begins.
fn put_rows(dynamics: &Builder, values: &mut EpochValues, parts: &[Rows<'_>]) -> Result<(), Fault> {
    // Looking ids up is most of the work, so all threads do it.
    let find = |part: &Rows<'_>| {
        let rows = part.iter();
        rows.map(|(_, row)| dynamics.position_in_later_epoch(&row))
            .collect()
    };
    let positions: Vec<Vec<Result<u32, String>>> = parts.par_iter().map(find).collect();
    let rows = parts.iter().flat_map(Rows::iter);
    for ((at, row), position) in rows.zip(positions.into_iter().flatten()) {
        position
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
