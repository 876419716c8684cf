//! The files that a run reads, and the hashes of their contents.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::{Config, DatasetPath};
use crate::data::DataFiles;
use crate::error::{Error, Result};
use crate::fsio;

/// Endings of the files of a model's folder that a model is made of: the weights in either
/// format, config and tokenizer.
const MODEL_FILES: [&str; 5] = ["safetensors", "bin", "json", "txt", "model"];

/// The data sets of a config: training, validation, test, control.
pub fn data_sets(config: &Config) -> impl Iterator<Item = &DatasetPath> {
    let training = &config.training;
    let testing = config.testing.iter().map(|testing| &testing.dataset_path);
    let control = config.control.iter().map(|control| &control.dataset_path);
    std::iter::once(&training.dataset_path)
        .chain(&training.validation_dataset_path)
        .chain(testing)
        .chain(control)
}

/// The files of a data set.
///
/// # Errors
/// There are none.
pub fn data_files(config: &Config, set: &DatasetPath) -> Result<Vec<PathBuf>> {
    let files = DataFiles::find(&config.data.data_dir, set.names())?;
    Ok(files.paths().to_vec())
}

/// The files of a model's folder, sorted.
///
/// # Errors
/// A folder that cannot be read.
pub fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            path.is_file() && extension.is_some_and(|e| MODEL_FILES.contains(&e))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The SHA-256 of a file's content.
///
/// # Errors
/// A file that cannot be read.
pub fn hash_of(path: &Path) -> Result<[u8; 32]> {
    let mut file = fsio::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file
            .read(&mut buffer)
            .map_err(|e| Error::reading(path, &e))?
        {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&buffer[..n]),
        }
    }
}
