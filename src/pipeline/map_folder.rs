//! The folder that `map` fills: with all of its files or, when something goes wrong, with none.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dynamics::DynamicsFiles;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio::{self, FolderLock, Sharing};
use crate::pipeline::run_folder::RunFolder;

/// All names that `map` gives to files.
const FILES: [&str; 8] = [
    "data_map.parquet",
    "td_metrics.jsonl",
    "data_map.tsv",
    "data_map.svg",
    "data_map.png",
    STABILITY,
    "stability.svg",
    "stability.png",
];

/// The file that says that the folders `1`, `2` and so on beside it are of the same command.
pub(super) const STABILITY: &str = "stability.tsv";

/// An output folder and, in it, the hidden folder where its files are made.
#[derive(Debug)]
pub(super) struct MapFolder {
    output: PathBuf,
    staged: PathBuf,
    /// As long as a process makes files in it.
    lock: Option<FolderLock>,
    /// The folders that were not there before, the innermost first.
    made: Vec<PathBuf>,
}

impl MapFolder {
    /// Makes the folder, if it is not there, and a place for its files.
    ///
    /// # Errors
    /// A folder that cannot be made, or of a run; files of `inputs` that would be written over.
    pub fn begin(output: &Path, inputs: &[DynamicsFiles]) -> Result<Self> {
        if RunFolder::is_run(output) {
            let problem = Problem::new("a run's folder, whose own map would be written over")
                .in_file(output)
                .hint("choose another `--output`");
            return Err(Error::new(ErrorKind::Usage, problem));
        }
        for input in inputs {
            check_input(input, output)?;
        }
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = output.ancestors().take_while(missing);
        let mut folder = Self {
            output: output.to_owned(),
            staged: fsio::temporary_name(&output.join("map")),
            lock: None,
            made: made.map(Path::to_owned).collect(),
        };
        // First, so that an error names the folder that was asked for.
        fsio::create_folder(output)?;
        remove_left_behind(output)?;
        fsio::create_folder(&folder.staged)?;
        folder.lock = Some(FolderLock::take(&folder.staged, Sharing::Alone)?);
        Ok(folder)
    }

    /// Where the files are made.
    pub fn path(&self) -> &Path {
        &self.staged
    }

    /// Puts the files where they belong, each in one step, and takes away what an earlier `map`
    /// left there and this one did not make. Files of other names stay.
    ///
    /// # Errors
    /// Files that cannot be moved or removed.
    pub fn finish(mut self) -> Result<()> {
        let n_before = n_runs_before(&self.output);
        move_files(&self.staged, &self.output)?;
        let mut n_runs = 0;
        while self.staged.join((n_runs + 1).to_string()).is_dir() {
            n_runs += 1;
            let name = n_runs.to_string();
            move_files(&self.staged.join(&name), &self.output.join(&name))?;
        }
        for run in n_runs + 1..=n_before {
            let folder = self.output.join(run.to_string());
            remove_files(&folder)?;
            // One that holds something else is not ours alone.
            let _ = fsio::remove_folder_if_empty(&folder);
        }
        self.made.clear();
        fsio::sync_folder(&self.output)
    }
}

impl Drop for MapFolder {
    /// Leaves nothing of a command that did not finish.
    fn drop(&mut self) {
        // Not everywhere can a file be removed that is open.
        self.lock = None;
        let _ = fsio::remove_folder(&self.staged);
        for folder in &self.made {
            // What is not empty stays.
            let _ = fsio::remove_folder_if_empty(folder);
        }
    }
}

/// Removes what processes that were killed had made of their maps: nobody has its lock any more.
fn remove_left_behind(output: &Path) -> Result<()> {
    let entries = fs::read_dir(output).map_err(|e| Error::reading(output, &e))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_staged = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".map.") && fsio::is_temporary(path) && path.is_dir()
    };
    paths
        .filter(is_staged)
        .try_for_each(|folder| fsio::remove_unless_locked(&folder))
}

/// Sees that what is read is not among what is written.
fn check_input(input: &DynamicsFiles, output: &Path) -> Result<()> {
    let (DynamicsFiles::Trustai(file) | DynamicsFiles::Table(file)) = input else {
        return Ok(());
    };
    let names = FILES.map(|name| output.join(name));
    let is_it = |name: &PathBuf| match (name.canonicalize(), file.canonicalize()) {
        (Ok(name), Ok(file)) => name == file,
        _ => false,
    };
    if names.iter().any(is_it) {
        let problem = Problem::new("the file that is read would be written over")
            .in_file(file)
            .hint("choose another `--output`");
        return Err(Error::new(ErrorKind::Usage, problem));
    }
    Ok(())
}

/// How many runs an earlier `map` of several left in the folder: `stability.tsv` has a row for
/// each pair.
fn n_runs_before(output: &Path) -> usize {
    let Ok(table) = fs::read_to_string(output.join(STABILITY)) else {
        return 0;
    };
    let n_pairs = table.lines().count().saturating_sub(1);
    let n_runs = (2..=n_pairs + 1).find(|n| n * (n - 1) / 2 >= n_pairs);
    n_runs.filter(|_| n_pairs > 0).unwrap_or(0)
}

/// Moves our files from one folder to the other, and takes away those that only the other has.
fn move_files(from: &Path, to: &Path) -> Result<()> {
    fsio::create_folder(to)?;
    for name in FILES {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            fsio::rename(&from, &to)?;
        } else {
            fsio::remove_file(&to)?;
        }
    }
    fsio::sync_folder(to)
}

fn remove_files(folder: &Path) -> Result<()> {
    FILES
        .iter()
        .try_for_each(|name| fsio::remove_file(&folder.join(name)))
}
