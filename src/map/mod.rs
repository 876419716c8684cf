//! The data map: training dynamics to one point per training example.

mod condition;
mod exports;
pub mod label_errors;
mod signals;
mod table;

use std::path::Path;

use rayon::prelude::*;

pub use condition::Condition;
pub use exports::{write_td_metrics, write_trustai_header, write_trustai_rows};
pub use signals::{Accumulator, Forgetfulness, Signals, Variability};
pub use table::{MapFile, MapTable, map_table, read_map, read_map_column, write_map};

use crate::dynamics::{
    DynamicsFiles, EpochChunk, EpochReader, RecordedExample, Room, TrainingDynamics, ValueKind,
    epoch_folders, is_canonical_number,
};
use crate::error::{Error, ErrorKind, Problem, Result};

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
    /// Which example it is.
    pub example: RecordedExample,
    /// Where it lies, and what else is known of it.
    pub signals: Signals,
}

/// How a map is made of dynamics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapOptions {
    /// How many epochs are used, from the first on, at least 1; all, where none is said.
    pub burn_out: Option<usize>,
    /// How variability is computed.
    pub variability: Variability,
}

/// Examples whose points are made at a time.
const POINTS_PER_PART: usize = 1 << 14;

/// Makes the map of a dynamics folder of ours from its first `burn_out` epochs, or from all.
///
/// # Errors
/// As [`map_in_parts`].
pub fn map_of_dynamics(
    folder: &Path,
    burn_out: Option<usize>,
    variability: Variability,
) -> Result<DataMap> {
    let options = MapOptions {
        burn_out,
        variability,
    };
    let mut points = Vec::new();
    let files = DynamicsFiles::Enginora(folder.to_owned());
    let n_epochs = map_in_parts(&files, options, Room::beside(folder), |mut part| {
        points.append(&mut part);
        Ok(())
    })?;
    Ok(DataMap { n_epochs, points })
}

/// Makes the map of dynamics a part at a time, in the order of the example index, and hands each
/// part to `take`; the number of epochs.
///
/// The epochs of a run of ours are read side by side, with memory for one chunk of each; what
/// other programs wrote is read as [`DynamicsFiles::read_in_parts`] says.
///
/// # Errors
/// A missing folder or file, a `burn_out` of 0, epochs that do not hold the same examples (ours:
/// in the same order), values that are not finite numbers of one set of classes; what `take`
/// returns.
pub fn map_in_parts(
    files: &DynamicsFiles,
    options: MapOptions,
    room: Room<'_>,
    mut take: impl FnMut(Vec<Point>) -> Result<()>,
) -> Result<usize> {
    if let DynamicsFiles::Enginora(folder) = files {
        return side_by_side(folder, options, take);
    }
    if options.burn_out == Some(0) {
        let problem = Problem::new("a burn-out of 0 leaves no epoch");
        return Err(Error::new(ErrorKind::Usage, problem));
    }
    files.read_in_parts(options.burn_out, room, &mut |mut dynamics| {
        let mut examples = std::mem::take(&mut dynamics.examples);
        for (part, examples) in examples.chunks_mut(POINTS_PER_PART).enumerate() {
            let first = part * POINTS_PER_PART;
            let examples = examples.par_iter_mut().map(std::mem::take).enumerate();
            let points = examples.map_init(Accumulator::default, |accumulator, (i, example)| {
                let gold = example.gold as usize;
                let variability = options.variability;
                let signals = signals_of(&dynamics, first + i, gold, variability, accumulator);
                Point { example, signals }
            });
            take(points.collect())?;
        }
        Ok(())
    })
}

/// The signals of the example at `position`; the accumulator lends its room.
fn signals_of(
    dynamics: &TrainingDynamics,
    position: usize,
    gold: usize,
    variability: Variability,
    accumulator: &mut Accumulator,
) -> Signals {
    accumulator.clear();
    for values in dynamics.of_example(position) {
        match dynamics.kind {
            ValueKind::Logits => accumulator.add_logits(values, gold),
            ValueKind::Probabilities => accumulator.add_probabilities(values, gold),
        }
    }
    accumulator.signals(variability)
}

/// An epoch that is being read.
struct OpenEpoch<'a> {
    folder: &'a Path,
    reader: EpochReader,
    chunk: Option<EpochChunk>,
    /// The first row of the chunk that is not used yet.
    at: usize,
}

impl OpenEpoch<'_> {
    /// How many rows there are to use; none at the end.
    fn n_ready(&mut self) -> Result<usize> {
        while self
            .chunk
            .as_ref()
            .is_none_or(|chunk| chunk.len() == self.at)
        {
            self.at = 0;
            self.chunk = self.reader.next().transpose()?;
            if self.chunk.is_none() {
                return Ok(0);
            }
        }
        Ok(self.chunk.as_ref().map_or(0, EpochChunk::len) - self.at)
    }
}

fn side_by_side(
    folder: &Path,
    options: MapOptions,
    mut take: impl FnMut(Vec<Point>) -> Result<()>,
) -> Result<usize> {
    let folders = epoch_folders(folder, options.burn_out)?;
    if folders.is_empty() {
        return Err(differs(folder, "`burn_out` is 0, which leaves no epoch"));
    }
    let open = |folder| {
        Ok(OpenEpoch {
            folder,
            reader: EpochReader::open(folder)?,
            chunk: None,
            at: 0,
        })
    };
    let mut epochs = folders
        .iter()
        .map(|folder| open(folder.as_path()))
        .collect::<Result<Vec<_>>>()?;
    let mut first_point: Option<Point> = None;
    loop {
        let n_ready: Vec<Result<usize>> = epochs.par_iter_mut().map(OpenEpoch::n_ready).collect();
        let n_ready: Vec<usize> = n_ready.into_iter().collect::<Result<_>>()?;
        let n_rows = n_ready.iter().copied().min().unwrap_or(0);
        if n_rows == 0 {
            return match n_ready.iter().position(|n| *n > 0) {
                Some(at) => Err(differs(
                    &folders[at],
                    "it has more examples than another epoch",
                )),
                None => Ok(folders.len()),
            };
        }
        let rows: Vec<(&Path, &EpochChunk, usize)> = epochs
            .iter()
            .filter_map(|epoch| Some((epoch.folder, epoch.chunk.as_ref()?, epoch.at)))
            .collect();
        let points: Vec<Result<Point>> = (0..n_rows)
            .into_par_iter()
            .map(|i| point(&rows, i, options.variability))
            .collect();
        let points = points.into_iter().collect::<Result<Vec<_>>>()?;
        check_classes(&points, &mut first_point, &folders[0])?;
        take(points)?;
        for epoch in &mut epochs {
            epoch.at += n_rows;
        }
    }
}

/// Sees that all points have as many classes as the first.
fn check_classes(points: &[Point], first: &mut Option<Point>, folder: &Path) -> Result<()> {
    let classes = |point: &Point| point.signals.pred_dist.len();
    for point in points {
        let first = first.get_or_insert_with(|| point.clone());
        if classes(first) != classes(point) {
            let message = format!(
                "`{}` has logits of {} classes, `{}` of {}",
                point.example.guid,
                classes(point),
                first.example.guid,
                classes(first)
            );
            return Err(differs(folder, &message));
        }
    }
    Ok(())
}

/// The point of one example from its row in each epoch, the `i`-th that is not used yet.
fn point(
    epochs: &[(&Path, &EpochChunk, usize)],
    i: usize,
    variability: Variability,
) -> Result<Point> {
    let (_, chunk, at) = epochs[0];
    let first = chunk.row(at + i);
    let mut accumulator = Accumulator::default();
    for (folder, chunk, at) in epochs {
        let row = chunk.row(at + i);
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
        accumulator.add_logits(row.logits, row.gold as usize);
    }
    Ok(Point {
        example: RecordedExample {
            guid: first.guid.to_owned(),
            guid_is_number: is_canonical_number(first.guid),
            index: first.index,
            gold: first.gold,
            noisy_label: first.noisy_label,
        },
        signals: accumulator.signals(variability),
    })
}

fn differs(folder: &Path, message: &str) -> Error {
    Error::data(Problem::new(message).in_file(folder))
}
