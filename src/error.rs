//! The one error type: what went wrong, where, and what to do about it.
//!
//! A message starts in lower case, ends without a full stop and quotes the user's own text
//! in backticks. A [`Problem`] may carry a place (`path:line:column`) and a hint; several
//! problems of one file travel in one [`Error`], so that a user can mend them all at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble it is; it alone decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The command line is wrong: 2.
    Usage,
    /// The content of a data file, map or dynamics file is wrong: 65.
    Data,
    /// A file or model that was named is not there: 66.
    MissingInput,
    /// A bug of ours, or an operation the tensor library refused: 70.
    Internal,
    /// A GPU has too little memory: 70.
    DeviceMemory,
    /// Training itself failed, as with a loss that is not a number: 70.
    Training,
    /// An output cannot be created: 73.
    CannotCreate,
    /// Reading or writing failed, or the system refuses memory or threads: 74.
    Io,
    /// Another run works in this output directory: 75.
    InUse,
    /// A file is not what its manifest says: 76.
    Integrity,
    /// The configuration is wrong: 78.
    Config,
    /// A signal of this number stopped the process, after saving: 128 and the number, 130 for
    /// SIGINT and 143 for SIGTERM.
    Stopped(u8),
}

impl ErrorKind {
    /// The process's exit code: from 2 to 78, after BSD's `sysexits.h`, or from 129 as shells have
    /// it for signals.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Data => 65,
            Self::MissingInput => 66,
            Self::Internal | Self::DeviceMemory | Self::Training => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::InUse => 75,
            Self::Integrity => 76,
            Self::Config => 78,
            Self::Stopped(signal) => 128 + signal,
        }
    }
}

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// The line, where one is known.
    pub line: Option<u64>,
    /// The column, where one is known; never without a line.
    pub column: Option<u64>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is in a file.
    pub location: Option<Location>,
    /// What was got and what is allowed.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            location: None,
            message: message.into(),
            hint: None,
        }
    }

    /// Says which file.
    #[must_use]
    pub fn in_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.location = Some(Location {
            path: path.into(),
            line: None,
            column: None,
        });
        self
    }

    /// Says which line of which file.
    #[must_use]
    pub fn at_line(mut self, path: impl Into<PathBuf>, line: u64) -> Self {
        self.location = Some(Location {
            path: path.into(),
            line: Some(line),
            column: None,
        });
        self
    }

    /// Says which line and column of which file.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>, line: u64, column: u64) -> Self {
        self.location = Some(Location {
            path: path.into(),
            line: Some(line),
            column: Some(column),
        });
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// An error: its kind and at least one [`Problem`].
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    problems: Vec<Problem>,
}

impl Error {
    /// An error of one problem.
    pub fn new(kind: ErrorKind, problem: Problem) -> Self {
        Self {
            kind,
            problems: vec![problem],
        }
    }

    /// An error of all the problems that one check found.
    ///
    /// # Panics
    /// If there are none: that is a bug of the caller.
    pub fn all(kind: ErrorKind, problems: Vec<Problem>) -> Self {
        assert!(!problems.is_empty(), "an error needs a problem");
        Self { kind, problems }
    }

    /// Data that cannot be used (exit code 65).
    pub fn data(problem: Problem) -> Self {
        Self::new(ErrorKind::Data, problem)
    }

    /// A bug of ours (exit code 70).
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, Problem::new(message))
    }

    /// What the operating system said about reading `path`: a file that is not there is a
    /// missing input (66), anything else an input/output error (74).
    pub fn reading(path: &Path, source: &std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::MissingInput,
            _ => ErrorKind::Io,
        };
        let message = format!("cannot read: {}", lower_first(&source.to_string()));
        Self::new(kind, Problem::new(message).in_file(path))
    }

    /// What the operating system said about creating `path` (exit code 73).
    pub fn creating(path: &Path, source: &std::io::Error) -> Self {
        let message = format!("cannot create: {}", lower_first(&source.to_string()));
        Self::new(ErrorKind::CannotCreate, Problem::new(message).in_file(path))
    }

    /// What the operating system said about writing `path` (exit code 74).
    pub fn writing(path: &Path, source: &std::io::Error) -> Self {
        let message = format!("cannot write: {}", lower_first(&source.to_string()));
        Self::new(ErrorKind::Io, Problem::new(message).in_file(path))
    }

    /// A file that should be JSON and is not (exit code 65); `expected` says what should be
    /// there, as in `a JSON object`.
    pub fn json(path: &Path, expected: &str, source: &serde_json::Error) -> Self {
        let problem = Problem::new(format!("not {expected}: {}", without_place(source)));
        // At the end of a file the column is 0.
        let (line, column) = (source.line().max(1) as u64, source.column().max(1) as u64);
        Self::data(problem.at(path, line, column))
    }

    /// The kind, which decides the exit code.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is wrong; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same problems with `hint` on the last of them, unless it has one.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(problem) = self.problems.last_mut() {
            problem.hint.get_or_insert_with(|| hint.into());
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// What the tensor library refuses is a bug of ours: shapes and files are checked before. But a
/// device may be full.
impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        let message = source.to_string();
        // CUDA's and cuBLAS's names for it.
        if ["OUT_OF_MEMORY", "ALLOC_FAILED"]
            .iter()
            .any(|name| message.contains(name))
        {
            let problem = Problem::new("the GPU has too little memory");
            return Self::new(ErrorKind::DeviceMemory, problem);
        }
        Self::internal(format!("tensor library: {message}"))
    }
}

/// What is wrong with JSON, without the line and column at its end.
pub fn without_place(source: &serde_json::Error) -> String {
    let message = source.to_string();
    match message.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => message,
    }
}

/// Lower-cases the first letter, so that another library's sentence fits into ours.
fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
