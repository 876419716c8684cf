//! Files that are either there whole or not at all.
//!
//! Everything a run leaves is written to a temporary name in the same folder, synced, and
//! renamed; then the folder is synced. A reader sees the old file or the new one, never half
//! of one, whenever the machine stops.

pub mod faults;
mod lock;
mod output;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind as IoErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Problem, Result};
use faults::{Operation, before};
pub use lock::{FolderLock, Sharing, remove_unless_locked, tidy_up};
pub use output::{FileWriter, Output, finish};

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
    fill: impl FnOnce(&mut FileWriter) -> Result<()>,
) -> Result<()> {
    create_folder(parent_of(path))?;
    let temporary = temporary_name(path);
    let written = create_as(&temporary, path).and_then(|mut writer| {
        fill(&mut writer)?;
        finish(writer, path)?;
        rename_only(&temporary, path).map_err(|e| Error::writing(path, &e))
    });
    if written.is_err() {
        // The first error is the one to report; a temporary file left behind harms nobody.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_folder(parent_of(path))
}

/// Writes `bytes` over the beginning of a file that is there, which changes nothing but its time
/// where they are what it holds.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where that is not possible.
pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    before(Operation::Write(path))
        .and_then(|()| File::options().write(true).open(path))
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| Error::writing(path, &e))
}

/// Gives a file that is there the time of now.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where that is not possible.
pub fn touch(path: &Path) -> Result<()> {
    before(Operation::Write(path))
        .and_then(|()| File::options().append(true).open(path))
        .and_then(|file| file.set_modified(std::time::SystemTime::now()))
        .map_err(|e| Error::writing(path, &e))
}

/// Opens a file to be changed; it is made where it is not there. For what goes on where it was, as
/// downloads do, and for locks.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where that is not possible.
pub fn open_to_change(path: &Path) -> Result<File> {
    let mut options = File::options();
    // Some network file systems give a lock that is shared only to who may read.
    options.create(true).truncate(false).read(true).write(true);
    before(Operation::Create)
        .and_then(|()| options.open(path))
        .map_err(|e| Error::creating(path, &e))
}

/// Makes the file `path`, or empties the one that is there, to be written and then given to
/// [`finish`]. Only for what nobody reads before it is whole: everything else is written by
/// [`write_atomically`].
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where that is not possible.
pub fn create(path: &Path) -> Result<FileWriter> {
    create_as(path, path)
}

fn create_as(path: &Path, name: &Path) -> Result<FileWriter> {
    let output = Output::create(path).map_err(|e| Error::creating(name, &e))?;
    Ok(BufWriter::with_capacity(1 << 16, output))
}

/// Opens `path` to be written at its end; it is made where it is not there. For logs: nothing is
/// synced.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where that is not possible.
pub fn append(path: &Path) -> Result<File> {
    before(Operation::Create)
        .and_then(|()| File::options().append(true).create(true).open(path))
        .map_err(|e| Error::creating(path, &e))
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

/// Makes `path` with `bytes` in it, unless it is there; whether it was made. Of several processes
/// that try, on one machine or on several that share the folder, one makes it.
///
/// The name is there before the bytes are.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where it cannot be made for another reason,
/// [`crate::error::ErrorKind::Io`] where it cannot be written.
pub fn create_exclusively(path: &Path, bytes: &[u8]) -> Result<bool> {
    match before(Operation::Create).and_then(|()| File::create_new(path)) {
        Ok(mut file) => before(Operation::Write(path))
            .and_then(|()| file.write_all(bytes))
            .map(|()| true)
            .map_err(|e| Error::writing(path, &e)),
        Err(e) if e.kind() == IoErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::creating(path, &e)),
    }
}

/// Makes a folder and its parents, as durable as the files in it.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where that is not possible.
pub fn create_folder(path: &Path) -> Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    if missing.is_empty() && path.is_dir() {
        return Ok(());
    }
    before(Operation::CreateFolder)
        .and_then(|()| fs::create_dir_all(path))
        .map_err(|e| Error::creating(path, &e))?;
    missing
        .into_iter()
        .try_for_each(|folder| sync_folder(parent_of(folder)))
}

/// Makes the folder `path` in one that is there, unless it is there; whether it was made.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where that is not possible.
pub fn create_folder_exclusively(path: &Path) -> Result<bool> {
    match before(Operation::CreateFolder).and_then(|()| fs::create_dir(path)) {
        Ok(()) => sync_folder(parent_of(path)).map(|()| true),
        Err(e) if e.kind() == IoErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::creating(path, &e)),
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`crate::error::ErrorKind::MissingInput`] where it is not there, [`crate::error::ErrorKind::Io`] otherwise.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    before(Operation::Read)
        .and_then(|()| fs::read(path))
        .map_err(|e| Error::reading(path, &e))
}

/// Opens a file to be read.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path) -> Result<File> {
    before(Operation::Read)
        .and_then(|()| File::open(path))
        .map_err(|e| Error::reading(path, &e))
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `text` with its SHA-256 in a line before it.
pub fn with_checksum(text: &str) -> String {
    format!("{}\n{text}", hexadecimal(&Sha256::digest(text)))
}

/// What [`with_checksum`] was given, if it is still that.
pub fn without_checksum(bytes: &[u8]) -> Option<&str> {
    let (hash, text) = str::from_utf8(bytes).ok()?.split_once('\n')?;
    (hash == hexadecimal(&Sha256::digest(text))).then_some(text)
}

/// Gives a file or a folder the name `to`; what had it before is gone, unless that is a folder
/// which holds something.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where that is not possible.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    rename_only(from, to).map_err(|e| Error::writing(to, &e))?;
    sync_folder(parent_of(to))
}

/// The name is not durable yet.
fn rename_only(from: &Path, to: &Path) -> io::Result<()> {
    before(Operation::Rename(from, to))?;
    fs::rename(from, to)
}

/// Removes a file or a link, if it is there.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where that is not possible.
pub fn remove_file(path: &Path) -> Result<()> {
    removed(path, |path| match fs::remove_file(path) {
        // There is no folder that it could be in.
        Err(e) if e.kind() == IoErrorKind::NotADirectory => Ok(()),
        other => other,
    })
}

/// Removes a folder with everything in it, if it is there.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where that is not possible.
pub fn remove_folder(path: &Path) -> Result<()> {
    removed(path, |path| fs::remove_dir_all(path))
}

/// Removes a folder that holds nothing; one that does stays.
///
/// # Errors
/// None: a folder that is left harms nobody.
pub fn remove_folder_if_empty(path: &Path) -> Result<()> {
    match removed(path, |path| fs::remove_dir(path)) {
        Err(_) if path.is_dir() => Ok(()),
        other => other,
    }
}

fn removed(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    match before(Operation::Remove).and_then(|()| remove(path)) {
        Err(e) if e.kind() != IoErrorKind::NotFound => Err(Error::writing(path, &e)),
        _ => Ok(()),
    }
}

/// Removes what a process that was killed left half made in `folder`: everything with a
/// temporary name of ours but for folders that somebody has locked. No other process may be
/// writing there.
///
/// # Errors
/// A folder that cannot be read, or something in it that cannot be removed.
pub fn remove_temporaries(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| Error::reading(folder, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::reading(folder, &e))?.path();
        let is_folder = path.is_dir() && !path.is_symlink();
        match (is_temporary(&path), is_folder) {
            (true, true) => remove_unless_locked(&path)?,
            (true, false) => remove_file(&path)?,
            (false, _) => {}
        }
    }
    Ok(())
}

/// Whether a name is one of [`temporary_name`].
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_prefix('.').and_then(|n| n.strip_suffix(".tmp"));
    let number = stem.and_then(|stem| stem.rsplit_once('.')).map(|(_, n)| n);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads a file's first bytes, at most `n_bytes`: of what may be large and should not be.
///
/// # Errors
/// As [`read`].
pub fn read_start(path: &Path, n_bytes: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(n_bytes as u64).read_to_end(&mut bytes))
        .map_err(|e| Error::reading(path, &e))?;
    Ok(bytes)
}

/// Makes `link` show `target` (a file or folder), replacing what an earlier call showed there.
///
/// That is a relative symbolic link, put there in one step; where the file system has none, a
/// copy, with an empty file `.NAME.shown` beside it that says whose it is.
///
/// Anything else that is in the way stays as it is, and the call fails: a real `metrics.yaml`
/// in an output folder is one that somebody wrote or another program left, and a result that
/// nobody has asked us to replace is not ours to destroy. Moving it aside was the alternative;
/// but then files of two programs would trade names, and a script that reads the old one
/// would read ours without a word. [`check_showable`] tells before the work starts.
///
/// # Errors
/// [`crate::error::ErrorKind::MissingInput`] where there is no `target`;
/// [`crate::error::ErrorKind::CannotCreate`] where something else is in the way, or neither a
/// link nor a copy works.
pub fn show(target: &Path, link: &Path) -> Result<()> {
    check_showable(link)?;
    let target = target
        .canonicalize()
        .map_err(|e| Error::reading(target, &e))?;
    let folder = parent_of(link);
    create_folder(folder)?;
    show_as_link(&target, link)
        .or_else(|_| show_as_copy(&target, link))
        .map_err(|e| Error::creating(link, &e))?;
    sync_folder(folder)
}

/// Whether [`show`] may use the name `link`: nothing is there, or what it put there before.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where something else is in the way.
pub fn check_showable(link: &Path) -> Result<()> {
    let kind = match link.symlink_metadata() {
        Ok(found) if found.is_symlink() || marker_of(link).exists() => return Ok(()),
        Ok(found) if found.is_dir() => "folder",
        Ok(_) => "file",
        Err(_) => return Ok(()),
    };
    let message = format!("a {kind} that no run of ours put there is in the way");
    let problem = Problem::new(message)
        .in_file(link)
        .hint("move or remove it, or choose another output folder");
    Err(Error::new(ErrorKind::CannotCreate, problem))
}

fn show_as_link(target: &Path, link: &Path) -> io::Result<()> {
    let folder = parent_of(link).canonicalize()?;
    let temporary = temporary_name(link);
    // One that a killed process with our number left behind.
    let _ = fs::remove_file(&temporary);
    before(Operation::Create)?;
    symlink(&relative_to(target, &folder), &temporary)?;
    rename_only(&temporary, link).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

fn show_as_copy(target: &Path, copy: &Path) -> io::Result<()> {
    let temporary = temporary_name(copy);
    let copied = copy_all(target, &temporary).and_then(|()| {
        before(Operation::Create)?;
        File::create(marker_of(copy))?;
        // A folder cannot be renamed onto another one that holds something.
        match copy.symlink_metadata() {
            Ok(old) if old.is_dir() => fs::remove_dir_all(copy)?,
            Ok(_) => fs::remove_file(copy)?,
            Err(_) => {}
        }
        rename_only(&temporary, copy)
    });
    copied.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
        let _ = fs::remove_dir_all(&temporary);
    })
}

/// Makes the names in a folder as durable as the files.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where the system refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix can open a folder to sync it; elsewhere, and on network file systems that
    // do not know the request, the rename is all there is.
    if !cfg!(unix) {
        return Ok(());
    }
    match before(Operation::SyncFolder(folder))
        .and_then(|()| File::open(folder))
        .and_then(|f| f.sync_all())
    {
        Err(e)
            if !matches!(
                e.kind(),
                IoErrorKind::InvalidInput | IoErrorKind::Unsupported
            ) =>
        {
            Err(Error::writing(folder, &e))
        }
        _ => Ok(()),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The name in the same folder under which something is made that will be called `path`.
pub fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Says that what [`show`] put at `link` is a copy of ours.
fn marker_of(link: &Path) -> PathBuf {
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    link.with_file_name(format!(".{name}.shown"))
}

/// `target` as seen from `folder`, both without links in them; absolute on another drive.
fn relative_to(target: &Path, folder: &Path) -> PathBuf {
    let mut ancestor = folder;
    let mut ups = PathBuf::new();
    while !target.starts_with(ancestor) {
        match ancestor.parent() {
            Some(parent) => ancestor = parent,
            None => return target.to_path_buf(),
        }
        ups.push("..");
    }
    ups.join(target.strip_prefix(ancestor).unwrap_or(target))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(IoErrorKind::Unsupported.into())
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    before(Operation::Create)?;
    if !from.is_dir() {
        fs::copy(from, to)?;
        return File::open(to)?.sync_all();
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Where there are no links, which the tests' machine cannot show from outside.
    #[test]
    fn a_copy_replaces_only_a_copy_of_ours() {
        let folder = std::env::temp_dir().join(format!("enginora-copy-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for run in ["1", "2"] {
            let model = folder.join(run).join("model");
            fs::create_dir_all(model.join("part")).unwrap();
            fs::write(model.join("part/weights"), run).unwrap();
            fs::write(model.join(format!("only-{run}")), run).unwrap();
            fs::write(folder.join(run).join("metrics"), run).unwrap();
            for name in ["model", "metrics"] {
                check_showable(&folder.join(name)).unwrap();
                show_as_copy(&folder.join(run).join(name), &folder.join(name)).unwrap();
            }
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(
                (read("model/part/weights"), read("metrics")),
                (run.into(), run.into())
            );
        }
        assert!(!folder.join("model/only-1").exists());
        assert!(folder.join("model/only-2").exists());

        fs::write(folder.join("other"), "the user's").unwrap();
        assert!(check_showable(&folder.join("other")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
