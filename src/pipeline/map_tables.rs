//! The tables of a map, written beside one another while the map is made.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::ScopedJoinHandle;

use serde_json::Value;

use crate::data::TableWriter;
use crate::dynamics::{DynamicsFiles, Room};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::map::{
    MapOptions, Point, map_in_parts, map_table, write_td_metrics, write_trustai_header,
    write_trustai_rows,
};
use crate::pipeline::signals;

/// Parts of a map that may wait for a table.
const PARTS_THAT_WAIT: usize = 2;

/// Points of a map that follow one another; none at its end.
type Part = Option<Arc<Vec<Point>>>;

/// Writes a table into a folder.
type WriteTable = fn(&Path, &DynamicsFiles, &Receiver<Part>) -> Result<()>;

/// Makes a map and writes its three tables, each by a thread of its own, a part at a time; shows
/// each part to `see`; the number of epochs.
///
/// # Errors
/// As [`map_in_parts`]; a signal; a file that cannot be written.
pub(super) fn write_tables(
    files: &DynamicsFiles,
    options: MapOptions,
    output: &Path,
    mut see: impl FnMut(&[Point]),
) -> Result<usize> {
    let tables: [WriteTable; 3] = [write_parquet, write_metrics, write_trustai];
    std::thread::scope(|scope| {
        let (senders, threads): (Vec<_>, Vec<_>) = tables
            .iter()
            .map(|write| {
                let (sender, parts) = sync_channel::<Part>(PARTS_THAT_WAIT);
                (sender, scope.spawn(move || write(output, files, &parts)))
            })
            .unzip();
        let mut failed = None;
        let room = Room {
            stop: signals::check,
            ..Room::beside(output)
        };
        let made = map_in_parts(files, options, room, |points| {
            signals::check()?;
            see(&points);
            let part = Some(Arc::new(points));
            let mut sent = senders.iter().map(|sender| sender.send(part.clone()));
            failed = sent.position(|sent| sent.is_err());
            failed.map_or(Ok(()), |_| Err(stopped()))
        });
        if made.is_ok() {
            for sender in &senders {
                // One that takes no more has failed and says why below.
                let _ = sender.send(None);
            }
        }
        drop(senders);
        let written: Vec<Result<()>> = threads.into_iter().map(join).collect();
        if let Some(table) = failed {
            // It failed of something else than that the map was not finished.
            return written.into_iter().nth(table).unwrap_or(Ok(())).and(made);
        }
        let n_epochs = made?;
        written.into_iter().collect::<Result<()>>()?;
        Ok(n_epochs)
    })
}

fn join(table: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    let result = table.join();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The error of what is not finished because something else failed, which is the error to report.
fn stopped() -> Error {
    Error::new(ErrorKind::Internal, Problem::new("the map is not finished"))
}

/// Hands over the parts of a map until its end.
fn each_part(parts: &Receiver<Part>, mut write: impl FnMut(&[Point]) -> Result<()>) -> Result<()> {
    loop {
        match parts.recv() {
            Ok(Some(points)) => write(&points)?,
            Ok(None) => return Ok(()),
            Err(_) => return Err(stopped()),
        }
    }
}

fn write_parquet(output: &Path, files: &DynamicsFiles, parts: &Receiver<Part>) -> Result<()> {
    TableWriter::write_file(&output.join("data_map.parquet"), |table| {
        let mut labels = Vec::new();
        each_part(parts, |points| {
            if labels.is_empty() {
                labels = labels_of(files, points);
            }
            table.write(&map_table(points, &labels))
        })
    })
}

fn write_metrics(output: &Path, _: &DynamicsFiles, parts: &Receiver<Part>) -> Result<()> {
    let path = output.join("td_metrics.jsonl");
    fsio::write_atomically(&path, |file| {
        each_part(parts, |points| {
            write_td_metrics(points, file).map_err(|e| Error::writing(&path, &e))
        })
    })
}

fn write_trustai(output: &Path, _: &DynamicsFiles, parts: &Receiver<Part>) -> Result<()> {
    let path = output.join("data_map.tsv");
    let writing = |e| Error::writing(&path, &e);
    fsio::write_atomically(&path, |file| {
        write_trustai_header(file).map_err(writing)?;
        each_part(parts, |points| {
            write_trustai_rows(points, file).map_err(writing)
        })
    })
}

/// The names of the classes: those of the model beside a run's dynamics, else their indices.
fn labels_of(files: &DynamicsFiles, points: &[Point]) -> Vec<String> {
    let n_classes = points
        .first()
        .map_or(0, |point| point.signals.pred_dist.len());
    let named = || {
        let DynamicsFiles::Enginora(folder) = files else {
            return None;
        };
        let config = folder.parent()?.join("best_model").join("config.json");
        let config: Value = serde_json::from_slice(&std::fs::read(config).ok()?).ok()?;
        let names = config.get("id2label")?;
        (0..n_classes)
            .map(|class| Some(names.get(class.to_string())?.as_str()?.to_owned()))
            .collect()
    };
    named().unwrap_or_else(|| (0..n_classes).map(|class| class.to_string()).collect())
}
