//! The data map: training dynamics to one point per training example.

mod condition;
mod signals;
mod table;

use std::path::{Path, PathBuf};

pub use condition::Condition;
pub use signals::{Accumulator, Forgetfulness, Signals, Variability};
pub use table::{MapFile, MapTable, map_table, read_map, read_map_column, write_map};

use crate::data::ExampleIndex;
use crate::dynamics::{EpochReader, EpochRow, epoch_folders};
use crate::error::{Error, Problem, Result};

/// A data map: the points of all examples, in the order of the example index.
#[derive(Debug, Clone, PartialEq)]
pub struct DataMap {
    /// E, the number of epochs that it is made of.
    pub n_epochs: usize,
    /// One per example.
    pub points: Vec<Point>,
}

/// One example on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The example's row in the training file.
    pub index: ExampleIndex,
    /// The example's id.
    pub guid: String,
    /// The example's class index.
    pub gold: u32,
    /// Where it lies, and what else is known of it.
    pub signals: Signals,
}

/// Makes the map of a dynamics folder from its first `burn_out` epochs, or from all.
///
/// The epochs are read side by side, with memory for one chunk of each.
///
/// # Errors
/// A missing folder or file, a `burn_out` of 0, epochs that do not hold the same examples in
/// the same order, logits that are not finite numbers of one set of classes.
pub fn map_of_dynamics(
    folder: &Path,
    burn_out: Option<usize>,
    variability: Variability,
) -> Result<DataMap> {
    let mut folders = epoch_folders(folder)?;
    folders.truncate(burn_out.unwrap_or(usize::MAX));
    if folders.is_empty() {
        return Err(differs(folder, "`burn_out` is 0, which leaves no epoch"));
    }
    let mut epochs = folders
        .iter()
        .map(|folder| EpochReader::open(folder))
        .collect::<Result<Vec<_>>>()?;
    let mut points: Vec<Point> = Vec::new();
    loop {
        let rows: Vec<Option<EpochRow>> = epochs
            .iter_mut()
            .map(|epoch| epoch.next().transpose())
            .collect::<Result<_>>()?;
        let Some(rows) = rows.iter().cloned().collect::<Option<Vec<EpochRow>>>() else {
            if let Some(at) = rows.iter().position(Option::is_some) {
                return Err(differs(
                    &folders[at],
                    "it has more examples than another epoch",
                ));
            }
            break;
        };
        let point = point(&rows, &folders, variability)?;
        let classes = |point: &Point| point.signals.pred_dist.len();
        if let Some(first) = points.first().filter(|p| classes(p) != classes(&point)) {
            let message = format!(
                "`{}` has logits of {} classes, `{}` of {}",
                point.guid,
                classes(&point),
                first.guid,
                classes(first)
            );
            return Err(differs(&folders[0], &message));
        }
        points.push(point);
    }
    Ok(DataMap {
        n_epochs: folders.len(),
        points,
    })
}

/// The point of one example from its rows in all epochs.
fn point(rows: &[EpochRow], folders: &[PathBuf], variability: Variability) -> Result<Point> {
    let first = &rows[0];
    let mut accumulator = Accumulator::default();
    for (row, folder) in rows.iter().zip(folders) {
        if row.index != first.index
            || row.guid != first.guid
            || row.gold != first.gold
            || row.logits.len() != first.logits.len()
        {
            let message = format!("its row for `{}` differs from the first epoch's", row.guid);
            return Err(differs(folder, &message));
        }
        let in_range = (row.gold as usize) < row.logits.len();
        if !in_range || row.logits.iter().any(|x| !x.is_finite()) {
            let message = format!(
                "the logits of `{}` are not finite numbers of all classes",
                row.guid
            );
            return Err(differs(folder, &message));
        }
        accumulator.add_logits(&row.logits, row.gold as usize);
    }
    Ok(Point {
        index: first.index,
        guid: first.guid.clone(),
        gold: first.gold,
        signals: accumulator.signals(variability),
    })
}

fn differs(folder: &Path, message: &str) -> Error {
    Error::data(Problem::new(message).in_file(folder))
}
