//! For tests: makes the operations of a thread on files fail, as disks and machines do.
//!
//! Every operation of [`crate::fsio`] asks here first. Outside [`with_fault`] that is a look at a
//! thread's own variable.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One operation fails, and those after it work.
    Fails(io::ErrorKind),
    /// The machine stops: all further operations fail, too. What was written to a file after it
    /// was last synced is gone, and so are the new names in a folder that was not synced.
    Stops,
}

/// Runs `act`, in which the operation `at` of this thread (from 0) goes wrong; what `act` gives,
/// and how many operations there were.
pub fn with_fault<T>(fault: Fault, at: usize, act: impl FnOnce() -> T) -> (T, usize) {
    let plan = Plan {
        fault,
        at,
        n_done: 0,
        unsynced: Vec::new(),
        new_names: Vec::new(),
    };
    PLAN.with(|of_thread| *of_thread.borrow_mut() = Some(plan));
    let result = act();
    let plan = PLAN.with(|of_thread| of_thread.borrow_mut().take());
    (result, plan.map_or(0, |plan| plan.n_done))
}

struct Plan {
    fault: Fault,
    at: usize,
    n_done: usize,
    /// Files that were written to, with their lengths when they were last synced.
    unsynced: Vec<(PathBuf, u64)>,
    new_names: Vec<NewName>,
}

/// A name that a machine which stops may not know afterwards.
struct NewName {
    from: PathBuf,
    to: PathBuf,
    /// What had the name before.
    old: Option<Old>,
}

enum Old {
    File(Vec<u8>),
    Link(PathBuf),
}

/// What is about to be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation<'a> {
    Read,
    Create,
    Write(&'a Path),
    SyncFile(&'a Path),
    /// To the second name.
    Rename(&'a Path, &'a Path),
    SyncFolder(&'a Path),
    Remove,
    CreateFolder,
}

/// Whether the operation may go on.
pub(super) fn before(operation: Operation<'_>) -> io::Result<()> {
    PLAN.with(|plan| match &mut *plan.borrow_mut() {
        None => Ok(()),
        Some(plan) => plan.before(operation),
    })
}

impl Plan {
    fn before(&mut self, operation: Operation<'_>) -> io::Result<()> {
        let number = self.n_done;
        self.n_done += 1;
        match self.fault {
            Fault::Fails(kind) if number == self.at => return Err(kind.into()),
            Fault::Stops if number >= self.at => {
                if number == self.at {
                    self.lose_what_is_not_synced();
                }
                return Err(io::Error::other("the machine has stopped"));
            }
            _ => {}
        }
        if self.fault == Fault::Stops {
            self.note(operation);
        }
        Ok(())
    }

    fn note(&mut self, operation: Operation<'_>) {
        match operation {
            Operation::Write(path) => {
                if self.unsynced.iter().all(|(known, _)| known != path) {
                    let length = fs::metadata(path).map_or(0, |data| data.len());
                    self.unsynced.push((path.to_owned(), length));
                }
            }
            Operation::SyncFile(path) => self.unsynced.retain(|(known, _)| known != path),
            Operation::Rename(from, to) => {
                let old = match fs::read_link(to) {
                    Ok(target) => Some(Old::Link(target)),
                    Err(_) => fs::read(to).ok().map(Old::File),
                };
                for (path, _) in &mut self.unsynced {
                    if path == from {
                        to.clone_into(path);
                    }
                }
                let (from, to) = (from.to_owned(), to.to_owned());
                self.new_names.push(NewName { from, to, old });
            }
            Operation::SyncFolder(folder) => self
                .new_names
                .retain(|name| name.to.parent() != Some(folder)),
            Operation::Read | Operation::Create | Operation::Remove | Operation::CreateFolder => {}
        }
    }

    /// What fails here was lost in another way.
    fn lose_what_is_not_synced(&mut self) {
        for (path, length) in self.unsynced.drain(..) {
            let file = OpenOptions::new().write(true).open(path);
            let _ = file.and_then(|file| file.set_len(length));
        }
        while let Some(NewName { from, to, old }) = self.new_names.pop() {
            let _ = fs::rename(&to, &from);
            let _ = match old {
                Some(Old::File(bytes)) => fs::write(&to, bytes),
                #[cfg(unix)]
                Some(Old::Link(target)) => std::os::unix::fs::symlink(target, &to),
                _ => Ok(()),
            };
        }
    }
}
