//! Dynamics that another program wrote, or a run of ours.
//!
//! ```text
//! allenai     dynamics_epoch_N.jsonl
//! trustai     a log of evaluations, a line each
//! cleanlab    pred_probs_epoch_N.npy and labels.npy
//! long_table  one row per example and epoch: Parquet, CSV, TSV, JSONL
//! ```

mod allenai;
mod cleanlab;
mod gathering;
mod long_table;
mod partitions;
mod trustai;

use std::path::{Path, PathBuf};

pub use gathering::Room;

use super::scanner::{Fault, Scanner};
use super::training_dynamics::{Builder, TrainingDynamics};
use crate::error::{Error, Problem, Result};

/// Who wrote dynamics, and so how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicsFormat {
    /// A run of ours, or its `training_dynamics` folder.
    Enginora,
    /// allenai/cartography.
    Allenai,
    /// TrustAI.
    Trustai,
    /// Probabilities as for cleanlab.
    Cleanlab,
    /// A long table.
    Table,
}

impl DynamicsFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Enginora,
        Self::Allenai,
        Self::Trustai,
        Self::Cleanlab,
        Self::Table,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enginora => "enginora",
            Self::Allenai => "allenai",
            Self::Trustai => "trustai",
            Self::Cleanlab => "cleanlab",
            Self::Table => "table",
        }
    }
}

/// Dynamics on disk, found but not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynamicsFiles {
    /// A folder of ours, with a folder for each epoch.
    Enginora(PathBuf),
    /// allenai's files by epoch.
    Allenai(Vec<PathBuf>),
    /// TrustAI's log.
    Trustai(PathBuf),
    /// Probabilities by epoch; labels are beside them.
    Cleanlab(Vec<PathBuf>),
    /// A long table.
    Table(PathBuf),
}

impl DynamicsFiles {
    /// Finds the dynamics at `path`, a file or folder, written in `format` or in whichever it is.
    ///
    /// In a run's folder they are those in `training_dynamics`, in the folder of allenai's
    /// scripts, too.
    ///
    /// # Errors
    /// Nothing there ([`crate::error::ErrorKind::MissingInput`]); nothing of the format, or of any.
    pub fn find(path: &Path, format: Option<DynamicsFormat>) -> Result<Self> {
        let kind = std::fs::metadata(path).map_err(|e| Error::reading(path, &e))?;
        let formats = match &format {
            Some(format) => std::slice::from_ref(format),
            None => &DynamicsFormat::ALL,
        };
        for format in formats {
            let found = if kind.is_dir() {
                in_folder(path, *format)?
            } else {
                as_file(path, *format, formats.len() == 1)?
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let what = match format {
            Some(format) => format!("no training dynamics of the format `{}`", format.name()),
            None => "no training dynamics of any known format".to_owned(),
        };
        let hint = "expected: a run of ours, or a folder of `epoch=N`, `dynamics_epoch_N.jsonl` or `pred_probs_epoch_N.npy`, or a log of evaluations (.json, .jsonl), or a long table (.parquet, .csv, .tsv, .jsonl); `--format` says which";
        Err(Error::data(Problem::new(what).in_file(path).hint(hint)))
    }

    /// Who wrote them.
    pub fn format(&self) -> DynamicsFormat {
        match self {
            Self::Enginora(_) => DynamicsFormat::Enginora,
            Self::Allenai(_) => DynamicsFormat::Allenai,
            Self::Trustai(_) => DynamicsFormat::Trustai,
            Self::Cleanlab(_) => DynamicsFormat::Cleanlab,
            Self::Table(_) => DynamicsFormat::Table,
        }
    }

    /// The folder that they are in.
    pub fn folder(&self) -> &Path {
        let file = match self {
            Self::Enginora(folder) => return folder,
            Self::Allenai(files) | Self::Cleanlab(files) => files.first(),
            Self::Trustai(file) | Self::Table(file) => Some(file),
        };
        let parent = file.and_then(|file| file.parent());
        parent
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// Reads all, or the first `n_epochs` epochs (at least 1), into memory; what comes after those
    /// does not matter.
    ///
    /// # Errors
    /// Files that cannot be read or are not what they should be: with the file and, where there
    /// are lines, the line; an epoch that is missing before another one.
    pub fn read(&self, n_epochs: Option<usize>) -> Result<TrainingDynamics> {
        match self {
            Self::Enginora(folder) => super::store::read_all(folder, n_epochs),
            Self::Cleanlab(files) => cleanlab::read(cleanlab::FILES.first(files, n_epochs)?),
            Self::Table(path) => long_table::read(path, n_epochs),
            Self::Allenai(_) | Self::Trustai(_) => {
                let mut whole = None;
                self.read_in_parts(n_epochs, Room::unlimited(), &mut |dynamics| {
                    whole = Some(dynamics);
                    Ok(())
                })?;
                whole.ok_or_else(|| Error::internal("dynamics in memory came in no part"))
            }
        }
    }

    /// Reads the same for whoever needs one example at a time: all at once, or, where `room` is too
    /// small for that, in parts whose examples follow one another; the number of epochs.
    ///
    /// Lines, which are in any order, go to files where they take too much memory. Long tables and
    /// cleanlab's arrays are read as a whole.
    ///
    /// # Errors
    /// As [`DynamicsFiles::read`]; a file that cannot be written; what `take` says.
    pub fn read_in_parts(
        &self,
        n_epochs: Option<usize>,
        room: Room<'_>,
        take: &mut dyn FnMut(TrainingDynamics) -> Result<()>,
    ) -> Result<usize> {
        match self {
            Self::Allenai(files) => {
                allenai::read(allenai::FILES.first(files, n_epochs)?, room, take)
            }
            Self::Trustai(path) => trustai::read(path, n_epochs, room, take),
            Self::Enginora(_) | Self::Cleanlab(_) | Self::Table(_) => {
                let dynamics = self.read(n_epochs)?;
                let n_epochs = dynamics.epochs.len();
                take(dynamics)?;
                Ok(n_epochs)
            }
        }
    }
}

fn in_folder(folder: &Path, format: DynamicsFormat) -> Result<Option<DynamicsFiles>> {
    let inner = folder.join("training_dynamics");
    let folder = if inner.is_dir() { &inner } else { folder };
    let found = match format {
        DynamicsFormat::Enginora => has_file(folder, |name| name.starts_with("epoch="))?
            .then(|| DynamicsFiles::Enginora(folder.to_owned())),
        DynamicsFormat::Allenai => allenai::FILES.find(folder)?.map(DynamicsFiles::Allenai),
        DynamicsFormat::Cleanlab => cleanlab::FILES.find(folder)?.map(DynamicsFiles::Cleanlab),
        DynamicsFormat::Trustai => {
            // The name that its tutorial gives the log.
            let log = folder.join("output_data.json");
            log.is_file().then_some(DynamicsFiles::Trustai(log))
        }
        DynamicsFormat::Table => {
            // The name that `export` gives it.
            let names = TABLES.map(|e| folder.join("training_dynamics").with_extension(e));
            let found = names.into_iter().find(|path| path.is_file());
            found.map(DynamicsFiles::Table)
        }
    };
    Ok(found)
}

/// The extensions of long tables.
const TABLES: [&str; 5] = ["parquet", "csv", "tsv", "jsonl", "ndjson"];

/// The file as dynamics of a format: where it may be, or, where that was asked for, in any case.
fn as_file(
    path: &Path,
    format: DynamicsFormat,
    is_asked_for: bool,
) -> Result<Option<DynamicsFiles>> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let found = match format {
        DynamicsFormat::Enginora | DynamicsFormat::Cleanlab => None,
        DynamicsFormat::Allenai => {
            let is_epoch = allenai::FILES.number(path).is_some();
            let folder = path.parent().unwrap_or(Path::new("."));
            return Ok(if is_epoch {
                in_folder(folder, format)?
            } else {
                None
            });
        }
        DynamicsFormat::Trustai => {
            let is_log = is_asked_for || (extension != "parquet" && is_log_of_evaluations(path)?);
            is_log.then(|| DynamicsFiles::Trustai(path.to_owned()))
        }
        DynamicsFormat::Table => {
            let is_table = TABLES.iter().any(|e| extension == *e);
            (is_asked_for || is_table).then(|| DynamicsFiles::Table(path.to_owned()))
        }
    };
    Ok(found)
}

/// Whether the first line is one of TrustAI's.
fn is_log_of_evaluations(path: &Path) -> Result<bool> {
    use std::io::{BufRead, BufReader, Read};
    /// More than any such line has.
    const LONGEST_LINE: u64 = 1 << 20;
    let file = std::fs::File::open(path).map_err(|e| Error::reading(path, &e))?;
    let mut line = Vec::new();
    BufReader::new(file.take(LONGEST_LINE))
        .read_until(b'\n', &mut line)
        .map_err(|e| Error::reading(path, &e))?;
    let mut has_probs = false;
    let line = String::from_utf8_lossy(&line);
    let read = Scanner::new(line.trim_start_matches('\u{feff}')).dict(|key, scanner| {
        has_probs |= key == "label_probs";
        scanner.skip()
    });
    Ok(read.is_ok() && has_probs)
}

/// The files of an export that has more epochs than the one that is written to the same folder,
/// with which they would be read as one.
pub(super) fn later_epochs(folder: &Path, n_epochs: usize) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut later: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let files = [&allenai::FILES, &cleanlab::FILES];
            files
                .iter()
                .any(|files| files.number(path).is_some_and(|epoch| epoch >= n_epochs))
        })
        .collect();
    later.sort();
    later.into_iter().next()
}

/// Files that are named by their epoch.
struct EpochFiles {
    before: &'static str,
    after: &'static str,
}

impl EpochFiles {
    /// The epoch in a file's name.
    fn number(&self, path: &Path) -> Option<usize> {
        let name = path.file_name()?.to_str()?;
        let number = name.strip_prefix(self.before)?.strip_suffix(self.after)?;
        let value: usize = number.parse().ok()?;
        (value.to_string() == number).then_some(value)
    }

    /// The files of a folder by epoch, none if there are none.
    fn find(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>> {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
        let mut files: Vec<(usize, PathBuf)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                Some((self.number(&path)?, path))
            })
            .collect();
        files.sort_unstable();
        let files: Vec<PathBuf> = files.into_iter().map(|(_, path)| path).collect();
        Ok((!files.is_empty()).then_some(files))
    }

    /// The first `n_epochs` of the files, or all, of which none may be missing.
    fn first<'a>(&self, files: &'a [PathBuf], n_epochs: Option<usize>) -> Result<&'a [PathBuf]> {
        let files = &files[..files.len().min(n_epochs.unwrap_or(usize::MAX))];
        let mut by_epoch = files.iter().enumerate();
        let Some((expected, path)) = by_epoch.find(|(i, path)| self.number(path) != Some(*i))
        else {
            return Ok(files);
        };
        let message = format!("epoch {expected} is missing before it");
        let hint = "epochs are counted from 0; `--burn-out N` reads the first N only";
        Err(Error::data(Problem::new(message).in_file(path).hint(hint)))
    }
}

fn has_file(folder: &Path, is_it: impl Fn(&str) -> bool) -> Result<bool> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.any(|name| is_it(&name)))
}

/// A field that a line must have.
fn required<T>(value: Option<T>, name: &str, line: &Scanner<'_>) -> Result<T, Fault> {
    match value {
        Some(value) => Ok(value),
        None => line.fault(format!("the record lacks `{name}`")),
    }
}

/// Sees that an epoch has every example.
fn check_epoch(dynamics: &Builder, epoch: usize, path: &Path) -> Result<()> {
    if dynamics.len() == 0 {
        return Err(Error::data(
            Problem::new("it holds no example").in_file(path),
        ));
    }
    match dynamics.gap(epoch) {
        None => Ok(()),
        Some(position) => Err(gap_in_epoch(epoch, dynamics.guid(position), path)),
    }
}

fn gap_in_epoch(epoch: usize, guid: &str, path: &Path) -> Error {
    let message = format!("epoch {epoch} lacks `{guid}`, which another epoch has");
    let hint = "every epoch must hold every example; `--burn-out N` reads the first N epochs only";
    Error::data(Problem::new(message).in_file(path).hint(hint))
}
