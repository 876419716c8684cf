//! What a training needs to go on after it was stopped, kept on disk.
//!
//! A checkpoint is a folder `epoch-EEEE-step-SSSSSSSS`: epochs done and steps done. It holds the
//! model's storage (parameters, first and second moments, f32, little-endian), the best epoch's
//! weights, what optimizer and watchers keep, and a manifest with the size and the SHA-256 of each
//! of these files. It is made under a temporary name, every file synced, the manifest last, and
//! then gets its own name in one step; so one that has its name is whole, unless a disk or a
//! person has changed it, which its manifest tells.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::model::Classifier;
use crate::nn::raw;
use crate::train::state::{BestEpoch, State};
use crate::train::states::{States, unusable};
use crate::train::{Callback, Position};

/// How many are kept: when the newest is found to be damaged, there is another.
const KEPT: usize = 2;

/// The list of a checkpoint's files. Its first line is the SHA-256 of what follows.
const MANIFEST: &str = "checkpoint.json";

/// Parameters, first and second moments.
const STATE: &str = "state.f32";

/// The best epoch's weights.
const BEST: &str = "best.f32";

/// Bytes that are read or written at a time.
const CHUNK: usize = 1 << 18;

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

/// What a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Of the resolved config.
    pub config_sha256: String,
    /// Of everything else that decides the run: the content of its files, the selected examples,
    /// the program's version.
    pub data_sha256: String,
}

/// What a checkpoint's manifest says beside its own hash.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    position: Position,
    best: Option<BestValue>,
    #[serde(flatten)]
    origin: Origin,
    files: Vec<Entry>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct BestValue {
    epoch: usize,
    /// The bits of the f64, as JSON has no number for one that is infinite.
    value_bits: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

/// A checkpoint that was read and found whole.
#[derive(Debug)]
pub struct Checkpoint {
    manifest: Manifest,
    state: Vec<f32>,
    best: Vec<f32>,
    states: States,
}

impl Checkpoints {
    /// Checkpoints in `folder`, one at each epoch's end and one every `save_steps` steps (0: none).
    /// `stop` is asked after each step whether to go on; its error ends the training, after a
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

    /// After an optimizer step: a checkpoint, if one is due or the training is to stop.
    ///
    /// # Errors
    /// Files that cannot be written, or that the training is to stop.
    pub fn after_step(
        &mut self,
        model: &Classifier,
        state: &State<'_>,
        callbacks: &[&mut dyn Callback],
    ) -> Result<()> {
        let is_due = self.save_steps > 0 && state.at.step.is_multiple_of(self.save_steps);
        if is_due && self.at.elapsed() >= self.pause {
            self.save(model, state, callbacks)?;
        }
        self.stop_if_asked(model, state, callbacks)
    }

    /// At an epoch's end: a checkpoint.
    ///
    /// # Errors
    /// As [`Checkpoints::after_step`].
    pub fn after_epoch(
        &mut self,
        model: &Classifier,
        state: &State<'_>,
        callbacks: &[&mut dyn Callback],
    ) -> Result<()> {
        if self.at.elapsed() >= self.pause {
            self.save(model, state, callbacks)?;
        }
        self.stop_if_asked(model, state, callbacks)
    }

    /// In the passes at an epoch's end, which change nothing until they are over: a checkpoint of
    /// the last step if the training is to stop.
    ///
    /// # Errors
    /// As [`Checkpoints::after_step`].
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

    fn save(
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

/// What one that could not be written would have taken.
fn needed(model: &Classifier, state: &State<'_>, states: &States) -> String {
    let n = model.parameters().n_elements();
    let n_best = if state.best.so_far.is_some() { n } else { 0 };
    let others: usize = states.iter().map(|(_, bytes)| bytes.len()).sum();
    let megabytes = (4 * (3 * n + n_best) + others) as f64 / 1e6;
    format!(
        "a checkpoint needs {megabytes:.1} MB, and {} may be there at once; make room, then go on \
         with `loop --resume` from the last one",
        KEPT + 1
    )
}

fn write(
    folder: &Path,
    origin: &Origin,
    model: &Classifier,
    state: &State<'_>,
    states: &States,
) -> Result<()> {
    fsio::remove_folder(folder)?;
    fsio::create_folder(folder)?;
    let mut files = Vec::new();
    {
        let values = raw::read::<f32>(model.parameters().state())?;
        files.push(write_numbers(folder, STATE, &values)?);
    }
    if let Some(best) = &state.best.so_far {
        files.push(write_numbers(folder, BEST, &best.weights)?);
    }
    for (name, bytes) in states.iter() {
        files.push(write_file(folder, name, std::iter::once(bytes.to_vec()))?);
    }
    let manifest = Manifest {
        position: state.at,
        best: state.best.so_far.as_ref().map(|best| BestValue {
            epoch: best.epoch,
            value_bits: best.value.to_bits(),
        }),
        origin: origin.clone(),
        files,
    };
    let text = serde_json::to_string_pretty(&manifest)
        .map_err(|e| Error::internal(format!("{MANIFEST}: {e}")))?;
    let text = fsio::with_checksum(&text);
    write_file(folder, MANIFEST, std::iter::once(text.into_bytes()))?;
    fsio::sync_folder(folder)
}

fn write_numbers(folder: &Path, name: &str, values: &[f32]) -> Result<Entry> {
    let parts = values.chunks(CHUNK / 4).map(|chunk| {
        let mut bytes = Vec::with_capacity(CHUNK);
        for value in chunk {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    });
    write_file(folder, name, parts)
}

fn write_file(folder: &Path, name: &str, parts: impl Iterator<Item = Vec<u8>>) -> Result<Entry> {
    let path = folder.join(name);
    let mut writer = fsio::create(&path)?;
    let mut hash = Sha256::new();
    let mut n_bytes = 0;
    for part in parts {
        hash.update(&part);
        n_bytes += part.len() as u64;
        writer
            .write_all(&part)
            .map_err(|e| Error::writing(&path, &e))?;
    }
    fsio::finish(writer, &path)?;
    Ok(Entry {
        name: name.to_owned(),
        bytes: n_bytes,
        sha256: fsio::hexadecimal(&hash.finalize()),
    })
}

fn damaged(path: &Path, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Integrity, Problem::new(why).in_file(path))
}

/// Opens a file that belongs to a checkpoint, and so must be there.
fn open(path: &Path) -> Result<fs::File> {
    fsio::open(path).map_err(|error| match error.kind() {
        ErrorKind::MissingInput => damaged(path, "is missing"),
        _ => error,
    })
}

fn read_manifest(folder: &Path, origin: &Origin) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let mut bytes = Vec::new();
    open(&path)?
        .read_to_end(&mut bytes)
        .map_err(|e| Error::reading(&path, &e))?;
    let text = fsio::without_checksum(&bytes)
        .ok_or_else(|| damaged(&path, "is not what its checksum says"))?;
    let manifest: Manifest =
        serde_json::from_str(text).map_err(|e| damaged(&path, e.to_string()))?;
    if manifest.origin != *origin {
        return Err(damaged(&path, "belongs to another config or other data"));
    }
    Ok(manifest)
}

/// Reads a checkpoint and holds every file against the manifest.
///
/// # Errors
/// [`ErrorKind::Integrity`] where a file is missing or not what it was, or where the checkpoint is
/// of another origin; [`ErrorKind::Io`] where one cannot be read.
pub fn read_checkpoint(folder: &Path, origin: &Origin) -> Result<Checkpoint> {
    let manifest = read_manifest(folder, origin)?;
    let (mut state, mut best, mut states) = (Vec::new(), Vec::new(), States::default());
    for entry in &manifest.files {
        let path = folder.join(&entry.name);
        match entry.name.as_str() {
            STATE => read_numbers(&path, entry, &mut state)?,
            BEST => read_numbers(&path, entry, &mut best)?,
            name => {
                let mut bytes = Vec::new();
                read_file(&path, entry, |part| bytes.extend_from_slice(part))?;
                states.put(name, bytes);
            }
        }
    }
    Ok(Checkpoint {
        manifest,
        state,
        best,
        states,
    })
}

/// The numbers of a file.
fn read_numbers(path: &Path, entry: &Entry, values: &mut Vec<f32>) -> Result<()> {
    // A part's end may lie within a number.
    let mut rest: Vec<u8> = Vec::with_capacity(4);
    read_file(path, entry, |mut part| {
        while !rest.is_empty() && !part.is_empty() {
            rest.push(part[0]);
            part = &part[1..];
            if let Ok(bytes) = <[u8; 4]>::try_from(rest.as_slice()) {
                values.push(f32::from_le_bytes(bytes));
                rest.clear();
            }
        }
        let (numbers, remainder) = part.as_chunks::<4>();
        values.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        rest.extend_from_slice(remainder);
    })
}

/// Hands over a file's content in parts, and sees that it has the size and hash that it must have.
fn read_file(path: &Path, entry: &Entry, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut file = open(path)?;
    let length = file.metadata().map_err(|e| Error::reading(path, &e))?.len();
    if length != entry.bytes {
        let why = format!("has {length} bytes; its manifest says {}", entry.bytes);
        return Err(damaged(path, why));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::reading(path, &e)),
        };
        hash.update(&buffer[..n]);
        take(&buffer[..n]);
    }
    if fsio::hexadecimal(&hash.finalize()) != entry.sha256 {
        return Err(damaged(path, "is not what its manifest says"));
    }
    Ok(())
}

impl Checkpoint {
    /// The watchers come first, as they may refuse.
    fn apply(
        self,
        model: &Classifier,
        state: &mut State<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<()> {
        let n = model.parameters().n_elements();
        let n_best = self.manifest.best.as_ref().map_or(0, |_| n);
        if self.state.len() != 3 * n || self.best.len() != n_best {
            return Err(unusable(STATE, "is of another model"));
        }
        callbacks
            .iter_mut()
            .try_for_each(|c| c.restore(&self.states))?;
        state.optimizer.restore(&self.states)?;
        raw::update(model.parameters().state(), |values| {
            values.copy_from_slice(&self.state);
        })?;
        state.at = self.manifest.position;
        state.best.so_far = self.manifest.best.map(|best| BestEpoch {
            epoch: best.epoch,
            value: f64::from_bits(best.value_bits),
            weights: self.best,
        });
        Ok(())
    }
}
