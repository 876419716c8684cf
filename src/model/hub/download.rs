//! Fetching a model into the cache: what it has, file by file, checked.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::RepoInfo;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::Response;

use super::http::{Client, Failure, Request, header};
use super::{DownloadEvent, HubModel, HubOptions, cache, failure, is_plain_word};
use crate::error::{Error, Result};
use crate::fsio;

/// How often a request is tried again without a byte of progress.
const MAX_RETRIES: u32 = 5;

/// How often the first one is when there is no answer at all: then there is likely no network.
const MAX_FIRST_RETRIES: u32 = 2;

/// No server's wish to wait is followed for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

type OnEvent<'a> = &'a mut dyn FnMut(DownloadEvent<'_>);

/// Fetches the files that a run needs of a model; returns their folder.
pub(super) fn fetch(
    model: &HubModel,
    options: &HubOptions,
    on_event: OnEvent<'_>,
) -> Result<PathBuf> {
    let mut job = Job {
        model,
        options,
        client: Client::new(options),
        has_answered: Cell::new(false),
        commit: String::new(),
    };
    let info = job.list(on_event)?;
    let names: Vec<String> = info
        .siblings
        .into_iter()
        .map(|file| file.rfilename)
        .collect();
    if !is_plain_word(&info.sha) {
        return Err(job.unusable("the server gives no commit for it"));
    }
    job.commit = info.sha;
    let needed = cache::needed_files(&names).map_err(|what| job.unusable(&what))?;
    for file in needed {
        job.bring(file, on_event)?;
    }
    if model.revision != job.commit {
        fsio::write(&cache::ref_path(model, options), job.commit.as_bytes())?;
    }
    cache::complete_snapshot(model, options)
        .ok_or_else(|| job.unusable("a file that its index of weights names is missing"))
}

struct Job<'a> {
    model: &'a HubModel,
    options: &'a HubOptions,
    client: Client<'a>,
    /// Whether there was an answer of any kind.
    has_answered: Cell<bool>,
    commit: String,
}

/// What the server says about a file.
struct About {
    etag: String,
    length: Option<u64>,
}

impl Job<'_> {
    /// The revision's commit and the names of its files.
    fn list(&self, on_event: OnEvent<'_>) -> Result<RepoInfo> {
        let url = format!(
            "{}/api/{}",
            self.options.endpoint,
            self.model.repo().api_url()
        );
        let attempt = || {
            let mut response = self.get(&url, Request::From(0))?;
            let info = response.body_mut().read_json::<RepoInfo>();
            info.map_err(|e| match e {
                ureq::Error::Json(e) if !e.is_io() => {
                    Failure::Nonsense(format!("`{url}` is not the hub's: {e}"))
                }
                e => Failure::Connection(e.to_string()),
            })
        };
        self.try_often(attempt, on_event)
    }

    /// Puts one file into the cache and links it into the snapshot.
    fn bring(&self, file: &str, on_event: OnEvent<'_>) -> Result<()> {
        let repo = cache::repo(self.model, self.options);
        let pointer = repo.pointer_path(&self.commit).join(file);
        if pointer.exists() {
            return Ok(());
        }
        let id = self.model.repo().url();
        let url = format!(
            "{}/{id}/resolve/{}/{file}",
            self.options.endpoint, self.commit
        );
        let about = self.try_often(|| self.about(&url), on_event)?;
        let blob = repo.blob_path(&about.etag);
        let _lock = self.lock(&about.etag, file, on_event)?;
        if !blob.exists() {
            self.download(&url, file, &about, &blob, on_event)?;
        }
        link(&blob, &pointer, file)
    }

    fn about(&self, url: &str) -> Result<About, Failure> {
        let response = self.get(url, Request::Head)?;
        let number = |name: &str| header(&response, name).and_then(|text| text.parse().ok());
        let etag = header(&response, "x-linked-etag").or_else(|| header(&response, "etag"));
        let etag = etag
            .unwrap_or_default()
            .trim_start_matches("W/")
            .trim_matches('"');
        if !is_plain_word(etag) {
            return Err(Failure::Nonsense(format!("`{url}` has no ETag")));
        }
        let own_length = || number("content-length").filter(|_| response.status() == 200);
        Ok(About {
            etag: etag.to_owned(),
            length: number("x-linked-size").or_else(own_length),
        })
    }

    /// Keeps other programs from fetching the same file at the same time, with the lock that
    /// `huggingface_hub` takes. Where there are no locks the hashes still protect the cache.
    fn lock(&self, etag: &str, file: &str, on_event: OnEvent<'_>) -> Result<Option<File>> {
        let folder = self
            .options
            .cache
            .join(".locks")
            .join(self.model.repo().folder_name());
        fsio::create_folder(&folder)?;
        let path = folder.join(format!("{etag}.lock"));
        let lock = fsio::open_to_change(&path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => {
                on_event(DownloadEvent::Waiting { file });
                Ok(lock.lock().ok().map(|()| lock))
            }
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Fetches a file under a temporary name, and gives it its own once its hash is right.
    fn download(
        &self,
        url: &str,
        file: &str,
        about: &About,
        blob: &Path,
        on_event: OnEvent<'_>,
    ) -> Result<()> {
        let folder = blob.parent().unwrap_or(Path::new("."));
        fsio::create_folder(folder)?;
        let partial = folder.join(format!("{}.incomplete", about.etag));
        on_event(DownloadEvent::Begin {
            file,
            length: about.length,
        });
        loop {
            let n_old = fs::metadata(&partial).map_or(0, |found| found.len());
            self.fill(url, &partial, about.length, on_event)?;
            let hash =
                hash_like(&about.etag, &partial).map_err(|e| Error::reading(&partial, &e))?;
            if hash
                .as_ref()
                .is_none_or(|hash| *hash == about.etag.to_lowercase())
            {
                break;
            }
            fsio::remove_file(&partial)?;
            // What an earlier program left may have been wrong: once more from the start.
            if n_old == 0 {
                let found = hash.unwrap_or_default();
                return Err(failure::wrong_hash(file, url, &about.etag, &found));
            }
        }
        fsio::rename(&partial, blob)?;
        on_event(DownloadEvent::End);
        Ok(())
    }

    /// Fetches what a file lacks.
    fn fill(
        &self,
        url: &str,
        path: &Path,
        length: Option<u64>,
        on_event: OnEvent<'_>,
    ) -> Result<()> {
        let writing = |e: std::io::Error| failure::writing(path, &e, self.options);
        let mut partial = Partial {
            file: fsio::open_to_change(path)?,
            at: 0,
        };
        let n_there = partial.file.metadata().map_err(writing)?.len();
        partial.cut(n_there).map_err(writing)?;
        let mut furthest = partial.at;
        let mut n_failed = 0;
        loop {
            if length.is_some_and(|length| partial.at > length) {
                partial.cut(0).map_err(writing)?;
            }
            on_event(DownloadEvent::Position(partial.at));
            if length == Some(partial.at) {
                break;
            }
            let stopped = match self.stream(url, &mut partial, on_event) {
                Ok(()) => match length {
                    Some(length) if partial.at != length => Failure::Connection(format!(
                        "the answer ended after {} of {length} bytes",
                        partial.at
                    )),
                    _ => break,
                },
                Err(Stop::Disk(e)) => return Err(writing(e)),
                Err(Stop::Failure(failure)) => failure,
            };
            if let Failure::Status { status, .. } = &stopped
                && *status == 416
                && partial.at > 0
            {
                // The server's file is shorter than what is here.
                partial.cut(0).map_err(writing)?;
                continue;
            }
            if partial.at > furthest {
                (furthest, n_failed) = (partial.at, 0);
            }
            self.pause(&stopped, n_failed, on_event)?;
            n_failed += 1;
        }
        partial.file.sync_all().map_err(writing)
    }

    /// Adds what one answer holds.
    fn stream(&self, url: &str, partial: &mut Partial, on_event: OnEvent<'_>) -> Result<(), Stop> {
        let response = self.get(url, Request::From(partial.at))?;
        if response.status() == 206 {
            let range = header(&response, "content-range").unwrap_or_default();
            let start = range
                .strip_prefix("bytes ")
                .and_then(|range| range.split('-').next());
            if start.and_then(|start| start.parse().ok()) != Some(partial.at) {
                let what = format!("`{url}` sends `{range}` when asked for {}", partial.at);
                return Err(Failure::Nonsense(what).into());
            }
        } else {
            // The whole file, whatever was asked for.
            partial.cut(0).map_err(Stop::Disk)?;
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) => return Err(Failure::Connection(e.to_string()).into()),
            };
            partial.file.write_all(&buffer[..n]).map_err(Stop::Disk)?;
            partial.at += n as u64;
            on_event(DownloadEvent::Position(partial.at));
        }
    }

    fn get(&self, url: &str, request: Request) -> Result<Response<Body>, Failure> {
        let answer = self.client.get(url, request);
        if !matches!(answer, Err(Failure::Connection(_))) {
            self.has_answered.set(true);
        }
        answer
    }

    fn try_often<T>(
        &self,
        attempt: impl Fn() -> Result<T, Failure>,
        on_event: OnEvent<'_>,
    ) -> Result<T> {
        let mut n_failed = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(stopped) => self.pause(&stopped, n_failed, on_event)?,
            }
            n_failed += 1;
        }
    }

    /// Waits before the next try, unless this was the last one.
    fn pause(&self, stopped: &Failure, n_failed: u32, on_event: OnEvent<'_>) -> Result<()> {
        let most = if self.has_answered.get() {
            MAX_RETRIES
        } else {
            MAX_FIRST_RETRIES
        };
        if n_failed >= most || !stopped.may_pass() {
            return Err(failure::explain(self.model, self.options, stopped));
        }
        let pause = stopped
            .retry_after()
            .map_or(Duration::from_secs(1 << n_failed), |wish| {
                wish.min(LONGEST_PAUSE)
            });
        on_event(DownloadEvent::Retry {
            why: &stopped.to_string(),
            pause,
        });
        (self.options.sleep)(pause);
        Ok(())
    }

    fn unusable(&self, what: &str) -> Error {
        failure::unusable(self.model, self.options, what)
    }
}

/// A file that is being written, up to `at`.
struct Partial {
    file: File,
    at: u64,
}

impl Partial {
    /// Keeps the first `length` bytes and goes on after them.
    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.file.set_len(length)?;
        self.at = self.file.seek(SeekFrom::Start(length))?;
        Ok(())
    }
}

/// Why an answer was not read to its end.
enum Stop {
    Failure(Failure),
    Disk(std::io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A file's hash of the kind that the `ETag` is: SHA-256 for large files, Git's SHA-1 for small
/// ones; none for another server's `ETag`.
fn hash_like(etag: &str, path: &Path) -> std::io::Result<Option<String>> {
    if !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    match etag.len() {
        64 => hash(Sha256::new(), file).map(Some),
        40 => hash(Sha1::new_with_prefix(format!("blob {length}\0")), file).map(Some),
        _ => Ok(None),
    }
}

fn hash(mut hasher: impl Digest, mut file: File) -> std::io::Result<String> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Makes the snapshot show the blob: a relative link, or a copy where there are no links.
fn link(blob: &Path, pointer: &Path, file: &str) -> Result<()> {
    fsio::create_folder(pointer.parent().unwrap_or(Path::new(".")))?;
    let depth = 2 + file.matches('/').count();
    let mut target: PathBuf = std::iter::repeat_n("..", depth).collect();
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    match symlink(&target, pointer) {
        Ok(()) => Ok(()),
        Err(_) if pointer.exists() => Ok(()),
        Err(_) => fsio::write_atomically(pointer, |to| {
            let mut from = File::open(blob).map_err(|e| Error::reading(blob, &e))?;
            let copied = std::io::copy(&mut from, to);
            copied.map(drop).map_err(|e| Error::writing(pointer, &e))
        }),
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
