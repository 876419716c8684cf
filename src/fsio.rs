//! Files that are either there whole or not at all.
//!
//! Everything a run leaves is written to a temporary name in the same folder, synced, and
//! renamed; then the folder is synced. A reader sees the old file or the new one, never half
//! of one, whenever the machine stops.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `path` through `fill`, all or nothing; missing parent folders are made.
///
/// `fill` gets a buffered file of another name in the same folder. When it fails, that file
/// is removed and what was at `path` stays as it was.
///
/// # Errors
/// `fill`'s own error; [`crate::error::ErrorKind::CannotCreate`] where the temporary file cannot be created;
/// [`crate::error::ErrorKind::Io`] where writing, syncing or renaming fails.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let folder = parent_of(path);
    create_folder(folder)?;
    let temporary = temporary_name(path);
    let file = File::create(&temporary).map_err(|e| Error::creating(path, &e))?;
    let written = (|| {
        let mut writer = BufWriter::with_capacity(1 << 16, file);
        fill(&mut writer)?;
        let file = writer
            .into_inner()
            .map_err(|e| Error::writing(path, e.error()))?;
        file.sync_all().map_err(|e| Error::writing(path, &e))?;
        fs::rename(&temporary, path).map_err(|e| Error::writing(path, &e))
    })();
    if written.is_err() {
        // The first error is the one to report; a temporary file left behind harms nobody.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_folder(folder)
}

/// Writes `bytes` to `path`, all or nothing; see [`write_atomically`].
///
/// # Errors
/// As [`write_atomically`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| {
        file.write_all(bytes).map_err(|e| Error::writing(path, &e))
    })
}

/// Makes a folder and its parents.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where that is not possible.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::creating(path, &e))
}

/// Reads a whole file.
///
/// # Errors
/// [`crate::error::ErrorKind::MissingInput`] where it is not there, [`crate::error::ErrorKind::Io`] otherwise.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| Error::reading(path, &e))
}

/// Makes `link` show `target` (a file or folder), replacing what `link` was, in one step.
///
/// A relative symbolic link where the file system has them, else a copy. A folder that is
/// not a link of ours is left alone: that would be somebody's own data.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where neither works, or where a real folder is in the way.
pub fn show(target: &Path, link: &Path) -> Result<()> {
    let folder = parent_of(link);
    create_folder(folder)?;
    let temporary = temporary_name(link);
    let _ = fs::remove_file(&temporary);
    let made = symlink(&relative_to(target, folder), &temporary).or_else(|_| {
        if target.is_dir() {
            return copy_folder(target, link);
        }
        fs::copy(target, &temporary).map(|_| ())
    });
    made.and_then(|()| {
        if temporary.symlink_metadata().is_ok() {
            fs::rename(&temporary, link)
        } else {
            Ok(())
        }
    })
    .map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::creating(link, &e)
    })?;
    sync_folder(folder)
}

/// Makes the names in a folder as durable as the files.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where the system refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the rename is all there is.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(|e| Error::writing(folder, &e))?;
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// `target` as seen from `folder`: relative where both lie under one existing parent.
fn relative_to(target: &Path, folder: &Path) -> PathBuf {
    let (Ok(target_full), Ok(folder_full)) = (target.canonicalize(), folder.canonicalize()) else {
        return target.to_path_buf();
    };
    let mut ancestor = folder_full.as_path();
    let mut ups = PathBuf::new();
    while !target_full.starts_with(ancestor) {
        match ancestor.parent() {
            Some(parent) => ancestor = parent,
            None => return target_full,
        }
        ups.push("..");
    }
    ups.join(target_full.strip_prefix(ancestor).unwrap_or(&target_full))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let destination = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &destination)?;
        } else {
            fs::copy(entry.path(), destination)?;
        }
    }
    Ok(())
}
