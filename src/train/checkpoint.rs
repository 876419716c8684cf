//! One checkpoint on disk.
//!
//! It is a folder that holds the model's storage (parameters, first and second moments, f32,
//! little-endian), the best epoch's weights, what optimizer and watchers keep, and a manifest with
//! the size and the SHA-256 of each of these files and of itself.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::model::Classifier;
use crate::nn::raw;
use crate::train::state::{BestEpoch, State};
use crate::train::states::{States, unusable};
use crate::train::{Callback, Position};

/// The list of a checkpoint's files. Its first line is the SHA-256 of what follows.
const MANIFEST: &str = "checkpoint.json";

/// Parameters, first and second moments.
const STATE: &str = "state.f32";

/// The best epoch's weights.
const BEST: &str = "best.f32";

/// Bytes that are read or written at a time.
const CHUNK: usize = 1 << 18;

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
pub(super) struct Manifest {
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

/// Writes a checkpoint into `folder`, every file synced, the manifest last, then the folder.
///
/// # Errors
/// Files that cannot be written.
pub(super) fn write(
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

/// Reads the manifest of a checkpoint of this origin.
///
/// # Errors
/// As [`read_checkpoint`].
pub(super) fn read_manifest(folder: &Path, origin: &Origin) -> Result<Manifest> {
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
    /// Brings model, state and watchers to where they were. The watchers come first, as they may
    /// refuse.
    ///
    /// # Errors
    /// One of another model; what a watcher cannot use.
    pub(super) fn apply(
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
