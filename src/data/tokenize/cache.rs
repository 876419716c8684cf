//! Tokenized data sets on disk, found again by their content.
//!
//! An entry is one file, `KEY.tokens`, where KEY is the SHA-256 of all that the tokens depend
//! on: texts, tokenizer, length limit, what happens at it, and the versions of this program
//! and of the layout. All numbers are little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `enginTOK` |
//! | 32 | the key |
//! | 3 * 8 | N sequences, T tokens, examples that were cut |
//! | 4 N | tokens of each sequence |
//! | 4 T | token ids |
//! | T | token types |
//! | 32 | SHA-256 of everything before |

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::{TokenizedDataset, Tokenizer, Truncation};
use crate::data::{Dataset, Example};
use crate::error::{Error, Result};
use crate::fsio;

const MAGIC: &[u8; 8] = b"enginTOK";

/// Goes up when the layout changes.
const LAYOUT_VERSION: u32 = 2;

/// Sets whose texts have fewer bytes are tokenized anew faster than anybody notices: on two cores
/// a mebibyte takes about half a second, SST-2's 67,349 sentences (3.7 MB) take 3 s, and reading
/// their 4.8 MB of tokens takes 0.03 s.
const LEAST_TEXT_BYTES: usize = 1 << 20;

/// As many bytes are kept; the entries that were used longest ago go first.
const MOST_BYTES: u64 = 1 << 30;

type Key = [u8; 32];

/// A folder of tokenized data sets. Whatever happens to it, no run fails.
#[derive(Debug, Clone)]
pub struct TokenCache {
    folder: PathBuf,
}

impl TokenCache {
    /// The cache in `folder`, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// What [`Tokenizer::tokenize`] gives, from the cache where it has that.
    ///
    /// An entry that is damaged is made anew, with a warning; one that cannot be kept, as in a
    /// folder that is read-only, is not. Data sets of less than a mebibyte of text never are.
    ///
    /// # Errors
    /// As [`Tokenizer::tokenize`].
    pub fn tokenize(
        &self,
        tokenizer: &Tokenizer,
        dataset: &Dataset,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<TokenizedDataset> {
        let texts = dataset.examples.iter().flat_map(Example::sequences);
        let n_bytes: usize = texts
            .map(|(first, second)| first.len() + second.map_or(0, str::len))
            .sum();
        if n_bytes < LEAST_TEXT_BYTES {
            return tokenizer.tokenize(dataset, max_length, truncation);
        }
        let key = key(tokenizer, dataset, max_length, truncation)?;
        let path = self.folder.join(file_name(&key));
        match fs::read(&path).map(|bytes| decode(&bytes, &key, dataset)) {
            Ok(Some(tokens)) => {
                mark_as_used(&path);
                tracing::debug!(
                    "tokens of {} from {}",
                    dataset.path.display(),
                    path.display()
                );
                return Ok(tokens);
            }
            Ok(None) => tracing::warn!("{}: damaged; it is made anew", path.display()),
            Err(e) if e.kind() == IoErrorKind::NotFound => {}
            Err(e) => tracing::debug!("{}: {e}", path.display()),
        }
        let tokens = tokenizer.tokenize(dataset, max_length, truncation)?;
        if let Err(error) = self.keep(&path, &tokens, &key) {
            tracing::debug!("the tokens are not kept: {error}");
        }
        Ok(tokens)
    }

    fn keep(&self, path: &Path, tokens: &TokenizedDataset, key: &Key) -> Result<()> {
        let bytes = encode(tokens, key);
        if bytes.len() as u64 > MOST_BYTES {
            return Ok(());
        }
        self.make_room(bytes.len() as u64)?;
        fsio::write_atomically(path, |file| {
            file.write_all(&bytes).map_err(|e| Error::writing(path, &e))
        })
    }

    /// Removes the entries that were used longest ago until there is room for `n_bytes`.
    fn make_room(&self, n_bytes: u64) -> Result<()> {
        fsio::create_folder(&self.folder)?;
        let entries = fs::read_dir(&self.folder).map_err(|e| Error::reading(&self.folder, &e))?;
        let mut files: Vec<(SystemTime, PathBuf, u64)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let data = entry.metadata().ok()?;
                let time = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                data.is_file().then(|| (time, entry.path(), data.len()))
            })
            .collect();
        files.sort();
        let mut total: u64 = n_bytes + files.iter().map(|(_, _, size)| size).sum::<u64>();
        for (_, path, size) in files {
            if total <= MOST_BYTES {
                break;
            }
            fsio::remove_file(&path)?;
            total -= size;
        }
        Ok(())
    }
}

/// Makes an entry one that was used last; where that is not possible, it goes a bit earlier.
fn mark_as_used(path: &Path) {
    let _ = fsio::touch(path);
}

fn file_name(key: &Key) -> String {
    let mut name = String::with_capacity(71);
    for byte in key {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.push_str(".tokens");
    name
}

/// The hash of everything that the tokens depend on.
fn key(
    tokenizer: &Tokenizer,
    dataset: &Dataset,
    max_length: usize,
    truncation: Truncation,
) -> Result<Key> {
    let json = tokenizer
        .inner
        .to_string(false)
        .map_err(|e| Error::internal(format!("tokenizer: {e}")))?;
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // With its length before it, no text can run into the next.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(MAGIC);
    add(&LAYOUT_VERSION.to_le_bytes());
    // Another version may come with another version of the tokenizers library.
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(json.as_bytes());
    add(&(max_length as u64).to_le_bytes());
    add(&[u8::from(truncation == Truncation::Cut)]);
    add(&(dataset.sequences_per_example() as u64).to_le_bytes());
    for (first, second) in dataset.examples.iter().flat_map(Example::sequences) {
        add(first.as_bytes());
        add(&[u8::from(second.is_some())]);
        add(second.unwrap_or_default().as_bytes());
    }
    Ok(hash.finalize().into())
}

fn encode(tokens: &TokenizedDataset, key: &Key) -> Vec<u8> {
    let (n, t) = (tokens.starts.len() - 1, tokens.input_ids.len());
    let mut bytes = Vec::with_capacity(96 + 4 * n + 5 * t);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(key);
    for number in [n, t, tokens.n_truncated] {
        bytes.extend_from_slice(&(number as u64).to_le_bytes());
    }
    for limits in tokens.starts.windows(2) {
        bytes.extend_from_slice(&((limits[1] - limits[0]) as u32).to_le_bytes());
    }
    for id in &tokens.input_ids {
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes.extend_from_slice(&tokens.token_type_ids);
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// The tokens that `bytes` hold for `dataset`; none if they are not what was written.
fn decode(bytes: &[u8], key: &Key, dataset: &Dataset) -> Option<TokenizedDataset> {
    let (content, sum) = bytes.split_last_chunk::<32>()?;
    let is_whole = Sha256::digest(content).as_slice() == sum;
    let rest = content.strip_prefix(MAGIC)?.strip_prefix(key.as_slice())?;
    if !is_whole {
        return None;
    }
    let (numbers, rest) = rest.split_at_checked(24)?;
    let mut numbers = numbers
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes) as usize);
    let (n, t, n_truncated) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let (lengths, rest) = rest.split_at_checked(n.checked_mul(4)?)?;
    let (ids, types) = rest.split_at_checked(t.checked_mul(4)?)?;
    let words = |bytes: &[u8]| -> Vec<u32> {
        let words = bytes.as_chunks::<4>().0.iter();
        words.map(|word| u32::from_le_bytes(*word)).collect()
    };
    let mut starts = Vec::with_capacity(n + 1);
    let mut end = 0;
    starts.push(end);
    for length in words(lengths) {
        end += length as usize;
        starts.push(end);
    }
    let sequences_per_example = dataset.sequences_per_example();
    let is_all = n == dataset.len() * sequences_per_example && end == t && types.len() == t;
    is_all.then(|| TokenizedDataset {
        input_ids: words(ids),
        token_type_ids: types.to_vec(),
        starts,
        sequences_per_example,
        labels: dataset.labels(),
        n_truncated,
    })
}
