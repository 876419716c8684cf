//! What decides the results of a grid's cells beside their configs.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::{Config, to_yaml};
use crate::error::Result;
use crate::fsio::hexadecimal;
use crate::pipeline::input_files::{data_files, data_sets, hash_of, model_files};
use crate::pipeline::inputs::Inputs;

/// Hexadecimal digits of a cell's id: 64 bits.
const DIGITS: usize = 16;

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
        for set in data_sets(config) {
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
        Ok(hexadecimal(&hash.finalize()[..DIGITS / 2]))
    }
}
