//! Folders of sentence-transformers: a list of modules, the first of them an encoder.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Problem, Result};
use crate::fsio;

/// An encoder that was trained to make sentence embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceTransformer {
    /// The length in tokens up to which it was meant to be used, where the folder says it.
    pub max_seq_length: Option<usize>,
}

/// The folder of the encoder: `folder` itself, or the one in it that `modules.json` names first.
///
/// # Errors
/// A `modules.json` that does not name a folder with a `config.json`
/// ([`crate::error::ErrorKind::Data`]).
pub fn transformer_folder(folder: &Path) -> Result<PathBuf> {
    let list = folder.join("modules.json");
    if !list.is_file() {
        return Ok(folder.to_owned());
    }
    let bad = |message: String| Error::data(Problem::new(message).in_file(&list));
    let modules: Value = serde_json::from_slice(&fsio::read(&list)?)
        .map_err(|e| Error::json(&list, "valid JSON", &e))?;
    let first = &modules[0];
    let inside = first["path"].as_str().filter(|path| stays_inside(path));
    let encoder = inside.map(|path| folder.join(path));
    let encoder = encoder.filter(|encoder| encoder.join("config.json").is_file());
    encoder.ok_or_else(|| {
        bad(format!(
            "the first module, {}, is no folder with a `config.json`",
            first["type"]
        ))
    })
}

/// Whether the encoder in this folder is one of sentence-transformers', and for which lengths.
pub fn sentence_transformer(folder: &Path) -> Option<SentenceTransformer> {
    let settings = fsio::read(&folder.join("sentence_bert_config.json")).ok()?;
    let settings: Value = serde_json::from_slice(&settings).unwrap_or_default();
    let length = settings["max_seq_length"].as_u64();
    Some(SentenceTransformer {
        max_seq_length: length.and_then(|length| usize::try_from(length).ok()),
    })
}

fn stays_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.all(|part| matches!(part, Component::Normal(_)))
}
