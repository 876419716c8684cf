//! Files that are either there whole or not at all.
//!
//! Everything a run leaves is written to a temporary name in the same folder, synced, and
//! renamed; then the folder is synced. A reader sees the old file or the new one, never half
//! of one, whenever the machine stops.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Problem, Result};

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

/// Makes `path` with `bytes` in it, unless it is there; whether it was made. Of several processes
/// that try, on one machine or on several that share the folder, one makes it.
///
/// The name is there before the bytes are.
///
/// # Errors
/// [`crate::error::ErrorKind::CannotCreate`] where it cannot be made for another reason,
/// [`crate::error::ErrorKind::Io`] where it cannot be written.
pub fn create_exclusively(path: &Path, bytes: &[u8]) -> Result<bool> {
    match File::create_new(path) {
        Ok(mut file) => file
            .write_all(bytes)
            .map(|()| true)
            .map_err(|e| Error::writing(path, &e)),
        Err(e) if e.kind() == IoErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::creating(path, &e)),
    }
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
    symlink(&relative_to(target, &folder), &temporary)?;
    fs::rename(&temporary, link).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

fn show_as_copy(target: &Path, copy: &Path) -> io::Result<()> {
    let temporary = temporary_name(copy);
    let copied = copy_all(target, &temporary).and_then(|()| {
        File::create(marker_of(copy))?;
        // A folder cannot be renamed onto another one that holds something.
        match copy.symlink_metadata() {
            Ok(old) if old.is_dir() => fs::remove_dir_all(copy)?,
            Ok(_) => fs::remove_file(copy)?,
            Err(_) => {}
        }
        fs::rename(&temporary, copy)
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
    match File::open(folder).and_then(|f| f.sync_all()) {
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

fn temporary_name(path: &Path) -> PathBuf {
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
