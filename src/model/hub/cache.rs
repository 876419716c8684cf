//! The cache on disk: what is there, and what a repository must have.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo};

use super::{HubModel, HubOptions, is_plain_word};
use crate::model::{sentence, weights};

/// The files of tokenizers, and those that say how texts were cut; whichever there are.
const TOKENIZER_FILES: [&str; 9] = [
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// How many of them, from the first on, make a tokenizer.
const N_VOCABULARIES: usize = 6;

/// The folder in the cache that holds all of a model.
pub(super) fn folder(model: &HubModel, options: &HubOptions) -> PathBuf {
    options.cache.join(model.repo().folder_name())
}

/// The snapshot of the model's revision, if it holds what a run needs.
pub(super) fn complete_snapshot(model: &HubModel, options: &HubOptions) -> Option<PathBuf> {
    let commit = if is_commit(&model.revision) {
        model.revision.clone()
    } else {
        fs::read_to_string(ref_path(model, options)).ok()?
    };
    let commit = commit.trim();
    let snapshot = repo(model, options).pointer_path(commit);
    (is_plain_word(commit) && is_complete(&snapshot)).then_some(snapshot)
}

/// Where the cache says which commit a branch or tag was at.
pub(super) fn ref_path(model: &HubModel, options: &HubOptions) -> PathBuf {
    folder(model, options).join("refs").join(&model.revision)
}

/// hf-hub's view of the cache.
pub(super) fn repo(model: &HubModel, options: &HubOptions) -> CacheRepo {
    Cache::new(options.cache.clone()).repo(model.repo())
}

/// Whether a revision is the hash of a commit, which needs no ref.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a model can be loaded from the folder. Weights come last when files are fetched, so
/// what was cut off is not complete.
fn is_complete(snapshot: &Path) -> bool {
    let Ok(folder) = sentence::transformer_folder(snapshot) else {
        return false;
    };
    let has = |name: &str| folder.join(name).is_file();
    has("config.json")
        && TOKENIZER_FILES[..N_VOCABULARIES]
            .iter()
            .any(|name| has(name))
        && weights::are_there(&folder)
}

/// The files of a repository that a run needs, the weights last.
///
/// # Errors
/// What is missing.
pub(super) fn needed_files(names: &[String]) -> Result<Vec<&str>, String> {
    let there = |name: &str| names.iter().any(|other| other == name);
    // A repository of sentence-transformers may have its encoder in a folder of its own.
    let folder = names
        .iter()
        .filter(|_| there("modules.json"))
        .filter_map(|name| name.strip_suffix("config.json"))
        .find(|folder| {
            let name = folder.strip_suffix('/');
            name.is_some_and(|name| name.starts_with("0_") && is_plain_word(name))
        })
        .unwrap_or("");
    let inside = |name: &str| {
        names
            .iter()
            .find(|other| other.strip_prefix(folder) == Some(name))
    };
    let config = inside("config.json").ok_or("it holds no `config.json`")?;
    let mut needed = vec![config.as_str()];
    let vocabularies = &TOKENIZER_FILES[..N_VOCABULARIES];
    if vocabularies.iter().all(|name| inside(name).is_none()) {
        return Err(format!(
            "it holds no tokenizer: none of {}",
            vocabularies.join(", ")
        ));
    }
    let others = ["sentence_bert_config.json", "added_tokens.json"];
    needed.extend(
        TOKENIZER_FILES
            .into_iter()
            .chain(others)
            .filter_map(inside)
            .map(String::as_str),
    );
    needed.extend(
        names
            .iter()
            .filter(|name| *name == "modules.json")
            .map(String::as_str),
    );
    let weights = weights::FILES
        .into_iter()
        .find_map(|name| Some((name, inside(name)?)));
    let Some((kind, weights)) = weights else {
        return Err(format!("it holds none of {}", weights::FILES.join(", ")));
    };
    if let Some((stem, extension)) = kind
        .strip_suffix(".index.json")
        .and_then(|whole| whole.rsplit_once('.'))
    {
        let parts = names.iter().filter(|name| {
            let part = name
                .strip_prefix(folder)
                .and_then(|name| name.strip_prefix(stem));
            let numbers = part.and_then(|part| part.strip_suffix(extension));
            numbers.is_some_and(|numbers| numbers.contains("-of-") && is_plain_word(numbers))
        });
        needed.extend(parts.map(String::as_str));
    }
    needed.push(weights);
    Ok(needed)
}
