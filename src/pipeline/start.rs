//! How a run starts: anew, or from where one was stopped.

use std::path::Path;
use std::time::Duration;

use crate::config::{Config, LoadedConfig};
use crate::error::Result;
use crate::fsio::{self, FolderLock, Sharing};
use crate::pipeline::Console;
use crate::pipeline::begun::Begun;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::run_folder::{Latest, RunFolder};
use crate::pipeline::signals;
use crate::train::{Checkpoints, Origin};

/// The least time between two checkpoints of a training that is part of something larger. Such a
/// training may have epochs of a few steps, and a checkpoint takes as long as a step; to train
/// this long again costs little.
const PART_PAUSE: Duration = Duration::from_secs(30);

/// What a run starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A folder of its own.
    Anew,
    /// The latest run of the output folder that was stopped, if there is one.
    Resume,
}

/// The run to take up.
pub enum Found {
    /// None: a new one starts.
    None,
    /// One that was stopped.
    Unfinished(RunFolder),
    /// A complete one of this config: there is nothing to do.
    Complete(RunFolder),
}

/// A lock on the output folder, from when there is one.
pub struct OutputLock(Option<FolderLock>);

impl OutputLock {
    /// Locks the output folder if it is there already.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InUse`] where another process has it.
    pub fn take_early(config: &Config, sharing: Sharing) -> Result<Self> {
        let folder = config.output_dir();
        let lock = folder.is_dir().then(|| FolderLock::take(folder, sharing));
        Ok(Self(lock.transpose()?))
    }

    /// Makes the output folder, if it is not there, and locks it.
    ///
    /// # Errors
    /// As [`OutputLock::take_early`]; a folder that cannot be made.
    pub fn take(&mut self, config: &Config, sharing: Sharing) -> Result<()> {
        if self.0.is_none() {
            fsio::create_folder(config.output_dir())?;
            self.0 = Some(FolderLock::take(config.output_dir(), sharing)?);
        }
        Ok(())
    }
}

/// Looks for the run to take up, and says what was found.
///
/// # Errors
/// A folder that cannot be read; a complete run whose files cannot be shown.
pub fn find(config: &Config, start: Start) -> Result<Found> {
    if start == Start::Anew {
        return Ok(Found::None);
    }
    match RunFolder::latest(config)? {
        Latest::Nothing => {
            let folder = config.output_dir().display();
            tracing::info!("no run in {folder} was stopped: starting a new one");
            Ok(Found::None)
        }
        Latest::Complete(run) => {
            run.finish_again()?;
            tracing::info!(
                "the run {} of this config is complete: nothing to do; without `--resume` a new one starts",
                run.path().display()
            );
            Ok(Found::Complete(run))
        }
        Latest::Unfinished(run) => Ok(Found::Unfinished(run)),
    }
}

/// The folder of the run that is taken up, or a new one, and its checkpoints.
///
/// # Errors
/// A config, data or a program that is not the one that the run was begun with; a folder that
/// cannot be made; something of the user's where a result is to be shown.
pub fn open(
    unfinished: Option<RunFolder>,
    loaded: &LoadedConfig,
    inputs: &Inputs,
    begun: &Begun,
    console: &Console,
) -> Result<(RunFolder, Checkpoints)> {
    let config = &loaded.config;
    RunFolder::check_results(config, inputs)?;
    let is_new = unfinished.is_none();
    let run = match unfinished {
        Some(run) => run,
        None => RunFolder::create(config, console)?,
    };
    let checkpoints = Checkpoints::new(
        run.checkpoints_folder(),
        config.training.save_steps,
        begun.origin(),
        signals::check,
    );
    if !is_new {
        let before = Begun::read(&run);
        if let Some(before) = &before {
            begun.check(before, loaded, &run)?;
        }
        run.take_up(console)?;
        if before.is_none() && !checkpoints.has_any()? {
            // It was stopped before it wrote down what it was begun with, or that is damaged.
            tracing::info!("it had not begun to train: it starts from its beginning");
            run.clear()?;
        }
    }
    begun.write(&run)?;
    Ok((run, checkpoints))
}

/// The folder of a training that is part of something larger, as a cell of a grid or a fold is, and
/// its checkpoints: where one of this origin is there, with all that was left when it was stopped,
/// else empty. A signal stops the training after a checkpoint.
///
/// # Errors
/// A folder that cannot be made, read or changed.
pub fn open_part(
    output_dir: &Path,
    folder: &Path,
    save_steps: usize,
    origin: Origin,
) -> Result<(RunFolder, Checkpoints)> {
    let run = RunFolder::of_part(output_dir, folder);
    let checkpoints = run.checkpoints_folder();
    let checkpoints = Checkpoints::new(checkpoints, save_steps, origin, signals::check);
    let checkpoints = checkpoints.with_pause(PART_PAUSE);
    if checkpoints.has_any()? {
        run.remove_half_made()?;
    } else {
        run.begin()?;
    }
    Ok((run, checkpoints))
}
