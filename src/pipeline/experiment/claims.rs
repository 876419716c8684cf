//! Who trains which cell, when several processes, on one machine or many, share a folder.
//!
//! A claim is a file `cells/.ID.claim-N` that only one process can make. Its owner refreshes it
//! as long as it lives. A claim whose owner is dead is taken over by making the file of the next
//! number, which again only one can do; nothing that another might hold is ever removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::fsio;

/// How often a claim is refreshed.
const REFRESH_EVERY: Duration = Duration::from_secs(10);

/// The owner of a claim that was not refreshed for so long is dead: six refreshes, as clocks of
/// machines may differ by seconds and a shared folder may be slow.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// The claims of this process on the cells below a folder.
pub struct Claims {
    folder: PathBuf,
    owner: String,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    files: Vec<PathBuf>,
    is_over: bool,
}

impl Claims {
    /// No claims yet; `folder` holds the cells.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            owner: Owner::this().to_string(),
            held: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Claims the cell `id`; false where a living process has it.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn claim(&self, id: &str) -> Result<bool> {
        let newest = self.numbers(id)?.into_iter().max();
        if let Some(number) = newest
            && !is_dead(&self.file(id, number))
        {
            return Ok(false);
        }
        let file = self.file(id, newest.unwrap_or(0) + 1);
        let is_ours = fsio::create_exclusively(&file, self.owner.as_bytes())?;
        if is_ours {
            self.held().files.push(file);
        }
        Ok(is_ours)
    }

    /// Gives the claim on the cell `id` up.
    pub fn release(&self, id: &str) {
        let numbers = self.numbers(id).unwrap_or_default();
        let mut held = self.held();
        let is_held = |number: &u32| held.files.contains(&self.file(id, *number));
        let Some(ours) = numbers.iter().copied().find(is_held) else {
            return;
        };
        for number in numbers.into_iter().filter(|number| *number <= ours) {
            let file = self.file(id, number);
            held.files.retain(|held| *held != file);
            // A claim that cannot be removed looks like that of a dead process in a minute.
            let _ = fsio::remove_file(&file);
        }
    }

    /// Refreshes the claims until [`Claims::end`].
    pub fn keep_alive(&self) {
        let mut held = self.held();
        while !held.is_over {
            let waited = self.changed.wait_timeout(held, REFRESH_EVERY);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
            for file in &held.files {
                // Writing what is there changes nothing but the time. Where it fails, others
                // will think that we are dead and train the same cell, to the same result.
                let _ = fsio::overwrite(file, self.owner.as_bytes());
            }
        }
    }

    /// Ends [`Claims::keep_alive`].
    pub fn end(&self) {
        self.held().is_over = true;
        self.changed.notify_all();
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, id: &str, number: u32) -> PathBuf {
        self.folder.join(format!(".{id}.claim-{number}"))
    }

    /// The numbers of the claims that there are on a cell.
    fn numbers(&self, id: &str) -> Result<Vec<u32>> {
        let begin = format!(".{id}.claim-");
        let entries = fs::read_dir(&self.folder).map_err(|e| Error::reading(&self.folder, &e))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names
            .filter_map(|name| name.strip_prefix(&begin)?.parse().ok())
            .collect())
    }
}

/// Whether the owner of a claim is dead: at once where it was a process of this machine, else
/// when it has not refreshed the claim for a while.
fn is_dead(claim: &Path) -> bool {
    let text = fs::read_to_string(claim).unwrap_or_default();
    let this = Owner::this();
    if let Some(owner) = Owner::parse(&text)
        && owner.machine == this.machine
    {
        return started(owner.process).is_none_or(|at| at != owner.started);
    }
    let modified = claim.metadata().and_then(|data| data.modified());
    let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    // A claim that is gone is given up.
    age.is_ok_and(|age| age > DEAD_AFTER)
}

/// A process, told apart from all others that ever ran.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    /// The machine since its last start, and which of its containers; empty: not known.
    machine: String,
    process: u32,
    /// In the kernel's ticks, as another process may get the same number later.
    started: u64,
}

impl Owner {
    fn this() -> Self {
        let process = std::process::id();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let machine = format!("{}{}", boot.trim(), space.display());
        Self {
            machine: machine.split_whitespace().collect(),
            process,
            started: started(process).unwrap_or(0),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            machine: words.next()?.to_owned(),
            process: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {} {}", self.machine, self.process, self.started)
    }
}

/// When a process of this machine started, if it is alive; Linux says it (proc(5), field 22 of
/// `stat`, counted from behind the name in parentheses).
fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    // A zombie has ended; its parent has only not asked yet.
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(started)
}
