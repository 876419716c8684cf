//! What decides the results of a grid's cells beside their configs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::{Config, DatasetPath, to_yaml};
use crate::data::DataFiles;
use crate::error::{Error, Result};
use crate::pipeline::inputs::Inputs;

/// Hexadecimal digits of a cell's id: 64 bits.
const DIGITS: usize = 16;

/// Endings of the files of a model's folder that a model is made of: the weights in either
/// format, config and tokenizer.
const MODEL_FILES: [&str; 5] = ["safetensors", "bin", "json", "txt", "model"];

/// The content of everything that the cells of a grid read, and who reads it: the program's
/// version, the data files, the base weights, and the examples that are picked from.
pub struct Content(Sha256);

impl Content {
    /// Reads all files.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(config: &Config, inputs: &Inputs, checkpoint: Option<&Path>) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        let training = &config.training;
        let testing = config.testing.iter().map(|testing| &testing.dataset_path);
        let control = config.control.iter().map(|control| &control.dataset_path);
        let sets = std::iter::once(&training.dataset_path)
            .chain(&training.validation_dataset_path)
            .chain(testing)
            .chain(control);
        for set in sets {
            for file in data_files(config, set)? {
                hash.update(hash_of(&file)?);
            }
            hash.update([0]);
        }
        for file in checkpoint.map(model_files).transpose()?.unwrap_or_default() {
            hash.update(hash_of(&file)?);
        }
        for index in inputs.selection.subset.indices() {
            hash.update(index.to_le_bytes());
        }
        for (_, example) in inputs.selection.subset.examples(&inputs.training) {
            hash.update(example.text.as_bytes());
            hash.update([0]);
        }
        for value in inputs.curriculum_values.iter().flat_map(|values| &**values) {
            hash.update(value.to_le_bytes());
        }
        Ok(Self(hash))
    }

    /// The id of the cell whose resolved config is `config`.
    ///
    /// # Errors
    /// None but bugs.
    pub fn id(&self, config: &Config) -> Result<String> {
        let mut hash = self.0.clone();
        hash.update(to_yaml(config)?);
        let mut id = String::new();
        for byte in &hash.finalize()[..DIGITS / 2] {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        Ok(id)
    }
}

fn data_files(config: &Config, set: &DatasetPath) -> Result<Vec<PathBuf>> {
    let files = DataFiles::find(&config.data.data_dir, set.names())?;
    Ok(files.paths().to_vec())
}

/// The files of a model's folder, sorted.
fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
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

fn hash_of(path: &Path) -> Result<[u8; 32]> {
    let reading = |e: &std::io::Error| Error::reading(path, e);
    let mut file = File::open(path).map_err(|e| reading(&e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|e| reading(&e))? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&buffer[..n]),
        }
    }
}
