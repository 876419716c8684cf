//! Models by their name on Hugging Face's hub, or on a server that speaks as it does.
//!
//! The cache is that of Python's `huggingface_hub`, and what either program fetched the other
//! one finds: `models--org--name/blobs/ETAG` holds the files, `snapshots/COMMIT/NAME` links to
//! them, and `refs/REVISION` says which commit a branch or tag was at. hf-hub knows that layout
//! and the addresses. Its downloader is not used: it appends what a server sends from the start
//! when asked to go on in the middle, checks neither hashes nor lengths, does not wait as a
//! busy server asks to, and has no time limits.

mod cache;
mod download;
mod failure;
mod http;
mod options;

use std::path::PathBuf;
use std::time::Duration;

use hf_hub::{Repo, RepoType};

pub use options::HubOptions;

use crate::error::Result;

/// A model on the hub: its repository and a revision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    id: String,
    revision: String,
}

/// What a download tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadEvent<'a> {
    /// Another program fetches the same file: this one waits for it.
    Waiting {
        /// The file's name in the repository.
        file: &'a str,
    },
    /// A file begins, or goes on where an earlier download stopped.
    Begin {
        /// The file's name in the repository.
        file: &'a str,
        /// Its length in bytes, where the server says it.
        length: Option<u64>,
    },
    /// So many bytes of the file are there.
    Position(u64),
    /// The file is there, with the hash that it should have.
    End,
    /// Something went wrong that may pass; the next try is after a pause.
    Retry {
        /// What went wrong.
        why: &'a str,
        /// How long the pause is.
        pause: Duration,
    },
}

impl HubModel {
    /// Takes `name`, `org/name` or either with `@revision` (a branch, a tag, the hash of a
    /// commit); none for a text that cannot be a model's name, as most paths cannot.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
        let names: Vec<&str> = id.split('/').collect();
        let is_id = names.len() <= 2
            && names.iter().all(|name| is_name(name))
            && !id.contains("--")
            && !id.contains("..")
            && id.strip_suffix(".git").is_none();
        // A revision becomes part of a path.
        let is_revision = revision
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain));
        (is_id && is_revision).then(|| Self {
            id: id.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// `org/name`, without a revision.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder of the model in the cache, if everything that a run needs of it is there.
    /// Nothing is asked of any server.
    pub fn cached(&self, options: &HubOptions) -> Option<PathBuf> {
        cache::complete_snapshot(self, options)
    }

    /// The folder of the model in the cache, fetched if it is not there.
    ///
    /// What is fetched: `config.json`, the tokenizer's files, and the weights in the first
    /// format that the repository has of those that [`crate::model::load`] reads. Files are
    /// checked by length and hash; one that was cut off goes on where it stopped, in this
    /// call or the next.
    ///
    /// # Errors
    /// No such model or revision, no permission, no network, or a repository that lacks a
    /// needed file ([`crate::error::ErrorKind::MissingInput`]); a file with another hash than the server
    /// says ([`crate::error::ErrorKind::Integrity`]); a cache that cannot be written.
    pub fn fetch(
        &self,
        options: &HubOptions,
        on_event: &mut dyn FnMut(DownloadEvent<'_>),
    ) -> Result<PathBuf> {
        if let Some(folder) = self.cached(options) {
            return Ok(folder);
        }
        if options.offline {
            return Err(failure::offline(self, options));
        }
        download::fetch(self, options, on_event)
    }

    /// Says why a model that is not in the cache cannot be fetched without a network.
    pub fn offline_error(&self, options: &HubOptions) -> crate::error::Error {
        failure::offline(self, options)
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, self.revision.clone())
    }
}

/// The rule of `huggingface_hub`'s `validate_repo_id`, for one of the two parts.
fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=96).contains(&name.len())
        && name.starts_with(is_word)
        && name.ends_with(is_word)
        && name.chars().all(|c| is_word(c) || c == '-' || c == '.')
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+-".contains(c)
}

/// Whether a text of a server's may become a file's name: a hash, in most cases.
fn is_plain_word(word: &str) -> bool {
    (1..=200).contains(&word.len()) && word.chars().all(is_plain) && !word.starts_with('.')
}
