//! What the readers of all formats share: the rows they make and the problems they collect.

use std::fmt::Write;
use std::path::Path;

use crate::error::{Error, ErrorKind, Problem, Result};

/// As many problems of one data set are shown; a file of the wrong format has one in every row.
const MOST_SHOWN: usize = 20;

/// As many characters of the user's text are quoted: enough to find it in the file.
const MOST_QUOTED: usize = 60;

/// As many names are listed in one message.
const MOST_LISTED: usize = 10;

/// An example before its label has become a class.
#[derive(Default)]
pub(super) struct Row {
    /// Where the row starts in its file, counted from 1; see [`Place`].
    pub line: u64,
    pub guid: Option<String>,
    pub text: String,
    pub text_pair: Option<String>,
    /// Without the spaces around it; never empty.
    pub label: String,
    /// Without the spaces around it; none where the file has no such column or the cell is empty.
    pub true_label: Option<String>,
    /// The cells of `DataConfig::extra_columns`, in their order; none where there is no such
    /// column.
    pub extra: Vec<Option<String>>,
}

/// The rows of one file.
#[derive(Default)]
pub(super) struct Content {
    pub rows: Vec<Row>,
    /// Whether the first row was taken for an example only because nothing in it said
    /// otherwise.
    pub first_may_be_header: bool,
    /// The columns' names; none where they have no names.
    pub column_names: Vec<String>,
    /// Whether there is a column of true labels.
    pub has_true_labels: bool,
    /// The labels in the order of their classes, where the file itself lists them.
    pub class_names: Option<Vec<String>>,
}

/// What the line number of a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// Physical lines.
    #[default]
    Line,
    /// Rows, in formats that have no lines.
    Row,
}

/// The problems of the files of one data set.
pub(super) struct Problems<'a> {
    /// The file that the next problems are in.
    pub path: &'a Path,
    place: Place,
    file: usize,
    /// The data set's name.
    name: &'a Path,
    /// With the file's number and the line, by which they are sorted.
    shown: Vec<(usize, u64, Problem)>,
    more: usize,
}

impl<'a> Problems<'a> {
    /// Of a data set that goes by `name`; [`Problems::go_to`] says in which file.
    pub fn new(name: &'a Path) -> Self {
        Self {
            path: name,
            place: Place::Line,
            file: 0,
            name,
            shown: Vec::new(),
            more: 0,
        }
    }

    /// Goes to the set's file of number `file`, which may have been visited before.
    pub fn go_to(&mut self, file: usize, path: &'a Path) {
        (self.file, self.path, self.place) = (file, path, Place::of(path));
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Keeps a problem; a hint that an earlier problem has already given is left out.
    pub fn push(&mut self, problem: Problem) {
        let line = problem.location.as_ref().and_then(|place| place.line);
        self.keep(line.unwrap_or(0), problem);
    }

    /// Keeps a problem of the row that starts at `line`.
    pub fn push_at(&mut self, line: u64, problem: Problem) {
        self.keep(line, self.place.put(problem, self.path, line));
    }

    fn keep(&mut self, line: u64, mut problem: Problem) {
        if self.shown.len() == MOST_SHOWN {
            self.more += 1;
            return;
        }
        if self
            .shown
            .iter()
            .any(|(_, _, earlier)| earlier.hint == problem.hint)
        {
            problem.hint = None;
        }
        self.shown.push((self.file, line, problem));
    }

    /// All the problems so far as one error, in the order of their files and lines.
    ///
    /// # Errors
    /// If there is any.
    pub fn check(&mut self) -> Result<()> {
        if self.shown.is_empty() {
            return Ok(());
        }
        let mut shown = std::mem::take(&mut self.shown);
        shown.sort_by_key(|(file, line, _)| (*file, *line));
        let mut problems: Vec<Problem> = shown.into_iter().map(|(_, _, p)| p).collect();
        if self.more > 0 {
            let rest = format!("and {} more", self.more);
            problems.push(Problem::new(rest).in_file(self.name));
        }
        Err(Error::all(ErrorKind::Data, problems))
    }
}

impl Place {
    /// What is counted in the file at `path`.
    pub fn of(path: &Path) -> Self {
        if super::format::is_parquet(path) {
            Self::Row
        } else {
            Self::Line
        }
    }

    /// `problem` at this place of a file.
    pub fn put(self, mut problem: Problem, path: &Path, number: u64) -> Problem {
        match self {
            Self::Line => problem.at_line(path, number),
            Self::Row => {
                problem.message = format!("row {number}: {}", problem.message);
                problem.in_file(path)
            }
        }
    }

    /// The place in words: of the file that the message is about, or of another one.
    pub fn shown(self, number: u64, other_file: Option<&Path>) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match (self, other_file) {
            (Self::Line, None) => write!(text, "line {number}"),
            (Self::Row, None) => write!(text, "row {number}"),
            (Self::Line, Some(path)) => write!(text, "{}:{number}", path.display()),
            (Self::Row, Some(path)) => write!(text, "{}, row {number},", path.display()),
        };
        text
    }
}

/// The user's text in backticks, control characters escaped, shortened if it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for (i, character) in text.chars().enumerate() {
        if i == MOST_QUOTED {
            shown.push_str("...");
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    shown
}

/// The first few names, quoted, and the number of the others.
pub(super) fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(MOST_LISTED)
        .map(|name| quoted(name))
        .collect();
    if names.len() > MOST_LISTED {
        shown.push(format!("{} more", names.len() - MOST_LISTED));
    }
    shown.join(", ")
}
