//! A file that is being written.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind as IoErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::faults::{Operation, before};
use crate::error::{Error, Result};

/// What everything is written through.
pub type FileWriter = BufWriter<Output>;

/// A file that is being written, with its name for messages.
#[derive(Debug)]
pub struct Output {
    file: File,
    path: PathBuf,
    /// Bytes that were to be written so far.
    n_wanted: u64,
}

impl Output {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        before(Operation::Create)?;
        Ok(Self {
            file: File::create(path)?,
            path: path.to_owned(),
            n_wanted: 0,
        })
    }

    /// Makes what was written as durable as the disk can.
    pub(super) fn sync(&self) -> io::Result<()> {
        before(Operation::SyncFile(&self.path))?;
        self.file.sync_all()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        before(Operation::Write(&self.path))?;
        self.file
            .write(bytes)
            .inspect(|n| self.n_wanted += *n as u64)
            .map_err(|e| {
                if e.kind() != IoErrorKind::StorageFull {
                    return e;
                }
                let n = self.n_wanted + bytes.len() as u64;
                io::Error::new(
                    IoErrorKind::StorageFull,
                    format!("no space left on the disk, where at least {n} bytes were needed"),
                )
            })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Output {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes what the buffer holds, and syncs the file, which goes by the name `path` in errors.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] where either fails.
pub fn finish(writer: FileWriter, path: &Path) -> Result<()> {
    let output = writer
        .into_inner()
        .map_err(|e| Error::writing(path, e.error()))?;
    output.sync().map_err(|e| Error::writing(path, &e))
}
