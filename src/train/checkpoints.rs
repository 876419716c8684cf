//! What a training needs to go on after it was stopped, kept on disk.
//!
//! A checkpoint is a folder `epoch-EEEE-step-SSSSSSSS`: epochs done and steps done. It is made under
//! a temporary name, and gets its own in one step when all its files are synced; so one that has
//! its name is whole, unless a disk or a person has changed it, which its manifest tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::fsio;
use crate::model::Classifier;
use crate::train::checkpoint::{Origin, read_checkpoint, read_manifest, write};
use crate::train::state::State;
use crate::train::states::States;
use crate::train::{Callback, Position};

/// How many are kept: when the newest is found to be damaged, there is another.
const KEPT: usize = 2;

/// Bytes that are made, hashed, written and synced in a second, more or less.
const BYTES_PER_SECOND: f64 = 300e6;
/// How many times as long as an epoch's checkpoint takes the training before it must have taken.
const TIMES_ITS_OWN: f64 = 20.0;

/// Where a training's checkpoints go and what may end it early.
pub struct Checkpoints {
    /// None: there are none.
    folder: Option<PathBuf>,
    save_steps: usize,
    origin: Origin,
    stop: fn() -> Result<()>,
    /// The last that was made or gone on from.
    last: Option<Position>,
    /// The least time between two that nobody waits for.
    pause: Duration,
    /// When the last was made, or the training began.
    at: Instant,
}

impl Checkpoints {
    /// Checkpoints in `folder`, one at each epoch's end that is worth its time and one every
    /// `save_steps` steps (0: none). `stop` is asked after each step whether to go on; its error ends the training, after a
    /// checkpoint.
    pub fn new(
        folder: PathBuf,
        save_steps: usize,
        origin: Origin,
        stop: fn() -> Result<()>,
    ) -> Self {
        Self {
            folder: Some(folder),
            save_steps,
            origin,
            stop,
            last: None,
            pause: Duration::ZERO,
            at: Instant::now(),
        }
    }

    /// Leaves those out that are due so soon after the one before, or the beginning; a training
    /// that is to stop still makes one.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// No checkpoints: a training that is stopped starts anew.
    pub fn none() -> Self {
        Self {
            folder: None,
            save_steps: 0,
            origin: Origin::default(),
            stop: || Ok(()),
            last: None,
            pause: Duration::ZERO,
            at: Instant::now(),
        }
    }

    /// Whether there are any to be.
    pub fn are_kept(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether there is a whole manifest of this origin: a training can probably go on.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn has_any(&self) -> Result<bool> {
        let Some(folder) = &self.folder else {
            return Ok(false);
        };
        if !folder.exists() {
            return Ok(false);
        }
        let is_ours = |name: &String| read_manifest(&folder.join(name), &self.origin).is_ok();
        Ok(names(folder)?.iter().any(is_ours))
    }

    /// Brings model, state and watchers to where the newest good checkpoint has them. One that is
    /// damaged is named and removed, and the one before it is used; without any, training starts
    /// from its beginning.
    ///
    /// # Errors
    /// A folder that cannot be read or changed.
    pub fn restore(
        &mut self,
        model: &Classifier,
        state: &mut State<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        if !folder.exists() {
            return Ok(());
        }
        let mut beginning = States::default();
        callbacks.iter().try_for_each(|c| c.save(&mut beginning))?;
        state.optimizer.save(&mut beginning);
        let mut bad = Vec::new();
        for name in names(folder)?.iter().rev() {
            let path = folder.join(name);
            let restored = read_checkpoint(&path, &self.origin)
                .and_then(|saved| saved.apply(model, state, callbacks));
            match restored {
                Ok(()) => {
                    self.last = Some(state.at);
                    tracing::info!("going on from the checkpoint {}", path.display());
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Internal => return Err(error),
                Err(error) => {
                    tracing::warn!("the checkpoint {} is not used: {error}", path.display());
                    bad.push(path);
                }
            }
        }
        if self.last.is_none() && !bad.is_empty() {
            tracing::warn!("no checkpoint can be used: training starts from its beginning");
            // Some may have taken what the bad ones had for them.
            callbacks
                .iter_mut()
                .try_for_each(|c| c.restore(&beginning))?;
            state.optimizer.restore(&beginning)?;
        }
        bad.iter().try_for_each(|path| remove(path))
    }

    /// After a step: whether a checkpoint is to be made of it; what is inside says whether the
    /// training is to stop then.
    pub(super) fn due_after_step(&mut self, state: &State<'_>) -> Option<Result<()>> {
        let is_due = self.save_steps > 0
            && state.at.step.is_multiple_of(self.save_steps)
            && self.at.elapsed() >= self.pause;
        let stop = (self.stop)();
        (is_due || stop.is_err()).then_some(stop)
    }

    /// At an epoch's end: a checkpoint, unless it would take more than a twentieth of the time
    /// since the one before, or the beginning.
    ///
    /// # Errors
    /// A file that cannot be written; a watcher's own.
    pub fn after_epoch(
        &mut self,
        model: &Classifier,
        state: &State<'_>,
        callbacks: &[&mut dyn Callback],
    ) -> Result<()> {
        if self.at.elapsed() >= self.pause.max(pause_for(n_bytes(model, state))) {
            self.save(model, state, callbacks)?;
        }
        self.stop_if_asked(model, state, callbacks)
    }

    /// In the passes at an epoch's end, which change nothing until they are over: a checkpoint of
    /// the last step if the training is to stop.
    ///
    /// # Errors
    /// What asked to stop; a file that cannot be written; a watcher's own.
    pub fn stop_if_asked(
        &mut self,
        model: &Classifier,
        state: &State<'_>,
        callbacks: &[&mut dyn Callback],
    ) -> Result<()> {
        let stop = (self.stop)();
        if stop.is_err() {
            self.save(model, state, callbacks)?;
        }
        stop
    }

    /// Writes a checkpoint of the training as it is now, if there is none yet.
    ///
    /// # Errors
    /// A file that cannot be written; a watcher's own.
    pub(super) fn save(
        &mut self,
        model: &Classifier,
        state: &State<'_>,
        callbacks: &[&mut dyn Callback],
    ) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        if self.last == Some(state.at) {
            return Ok(());
        }
        let start = Instant::now();
        let mut states = States::default();
        state.optimizer.save(&mut states);
        callbacks.iter().try_for_each(|c| c.save(&mut states))?;
        let path = folder.join(name_of(state.at));
        let made = fsio::temporary_name(&path);
        let written = write(&made, &self.origin, model, state, &states).and_then(|()| {
            // One of this name can only be left of what was found to be damaged.
            remove(&path)?;
            fsio::rename(&made, &path)
        });
        if let Err(error) = written {
            // The first error is the one to report.
            let _ = fsio::remove_folder(&made);
            return Err(error.with_hint(needed(model, state, &states)));
        }
        self.last = Some(state.at);
        self.at = Instant::now();
        tracing::debug!(
            "checkpoint {} in {:.3} s",
            path.display(),
            start.elapsed().as_secs_f64()
        );
        let names = names(folder)?;
        names[..names.len().saturating_sub(KEPT)]
            .iter()
            .try_for_each(|name| remove(&folder.join(name)))
    }
}

/// Sorted by the position, as names of digits are.
fn name_of(at: Position) -> String {
    format!("epoch-{:04}-step-{:08}", at.epoch, at.step)
}

/// The names of all checkpoints, the oldest first.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("epoch-"))
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names)
}

/// Removes a checkpoint, which has no name any more before its files go.
fn remove(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let gone = fsio::temporary_name(path);
    fsio::remove_folder(&gone)?;
    fsio::rename(path, &gone)?;
    fsio::remove_folder(&gone)
}

/// Bytes of the weights, moments and best weights in one.
fn n_bytes(model: &Classifier, state: &State<'_>) -> usize {
    let n_copies = 3 + usize::from(state.best.so_far.is_some());
    n_copies * size_of::<f32>() * model.parameters().n_elements()
}

/// What one that could not be written would have taken.
fn needed(model: &Classifier, state: &State<'_>, states: &States) -> String {
    let others: usize = states.iter().map(|(_, bytes)| bytes.len()).sum();
    let megabytes = (n_bytes(model, state) + others) as f64 / 1e6;
    format!(
        "a checkpoint needs {megabytes:.1} MB, and {} may be there at once; make room, then go on \
         from the last one: with `loop --resume`, or with the same `experiment` or `audit`",
        KEPT + 1
    )
}

/// How long a training goes on before an epoch's checkpoint of so many bytes is worth its time.
fn pause_for(n_bytes: usize) -> Duration {
    /// Nobody waits for one that takes less.
    const SHORT: Duration = Duration::from_millis(100);
    let own = Duration::from_secs_f64(n_bytes as f64 / BYTES_PER_SECOND);
    if own < SHORT {
        Duration::ZERO
    } else {
        own.mul_f64(TIMES_ITS_OWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_model_s_checkpoints_are_made_at_each_epoch_s_end_and_a_large_one_s_seldom() {
        for (n_parameters, at_least, at_most) in [
            (0, 0, 0),
            (1_000_000, 0, 0),
            (22_700_000, 10, 30),
            (110_000_000, 60, 120),
        ] {
            let pause = pause_for(3 * size_of::<f32>() * n_parameters);
            assert!(
                pause >= Duration::from_secs(at_least),
                "{n_parameters}: {pause:?}"
            );
            assert!(
                pause <= Duration::from_secs(at_most),
                "{n_parameters}: {pause:?}"
            );
        }
    }
}
