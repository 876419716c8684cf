//! Whose turn it is to write into a folder.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::{remove_folder, remove_temporaries};
use crate::error::{Error, ErrorKind, Problem, Result};

/// The file that is locked; it stays, as one that is removed could be locked twice.
const NAME: &str = ".lock";

/// A lock on a folder, which the system gives up when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    /// None where the file system has no locks.
    file: Option<File>,
}

/// Who else may have the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// Those who share it, too, and see to it themselves that they do not disturb each other.
    Shared,
}

impl FolderLock {
    /// Locks a folder, which must be there.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] where another process has it; [`ErrorKind::CannotCreate`] where no
    /// file can be made in the folder.
    pub fn take(folder: &Path, sharing: Sharing) -> Result<Self> {
        let path = folder.join(NAME);
        let file = super::open_to_change(&path)?;
        let locked = match sharing {
            Sharing::Alone => file.try_lock(),
            Sharing::Shared => with_patience(|| file.try_lock_shared()),
        };
        match locked {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                let problem = Problem::new("another process is writing into this folder")
                    .in_file(folder)
                    .hint("wait until it has finished, or choose another output folder");
                Err(Error::new(ErrorKind::InUse, problem))
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    "{}: this file system has no locks ({error}); see that no other process \
                     writes there",
                    folder.display()
                );
                Ok(Self { file: None })
            }
        }
    }
}

/// Tries for as long as it takes somebody to [`tidy_up`].
fn with_patience(
    lock: impl Fn() -> std::result::Result<(), TryLockError>,
) -> std::result::Result<(), TryLockError> {
    for _ in 0..20 {
        match lock() {
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
    lock()
}

/// Removes what processes that were killed left half made in a folder that several may share,
/// unless somebody else has its lock or the file system has none: then it stays for a later time.
///
/// # Errors
/// As [`remove_temporaries`].
pub fn tidy_up(folder: &Path) -> Result<()> {
    match FolderLock::take(folder, Sharing::Alone) {
        Ok(FolderLock { file: Some(_held) }) => remove_temporaries(folder),
        Ok(FolderLock { file: None }) => Ok(()),
        Err(error) if error.kind() == ErrorKind::InUse => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a folder, unless somebody has its lock.
///
/// # Errors
/// A folder that cannot be changed or removed.
pub fn remove_unless_locked(folder: &Path) -> Result<()> {
    match FolderLock::take(folder, Sharing::Alone) {
        Ok(lock) => {
            // Not everywhere can a file be removed that is open.
            drop(lock);
            remove_folder(folder)
        }
        Err(error) if error.kind() == ErrorKind::InUse => Ok(()),
        Err(error) => Err(error),
    }
}
