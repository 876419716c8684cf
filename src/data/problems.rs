//! What the readers of all formats share: the rows they make and the problems they collect.

use std::path::Path;

use crate::error::{Error, ErrorKind, Problem, Result};

/// As many problems of one file are shown; a file of the wrong format has one in every row.
const MOST_SHOWN: usize = 20;

/// As many characters of the user's text are quoted: enough to find it in the file.
const MOST_QUOTED: usize = 60;

/// As many names are listed in one message.
const MOST_LISTED: usize = 10;

/// An example before its label has become a class.
pub(super) struct Row {
    /// The physical line where the row starts, counted from 1.
    pub line: u64,
    pub guid: Option<String>,
    pub text: String,
    pub text_pair: Option<String>,
    /// Without the spaces around it; never empty.
    pub label: String,
    /// The cells of `DataConfig::extra_columns`, in their order; none where there is no such
    /// column.
    pub extra: Vec<Option<String>>,
}

/// The problems of one file.
pub(super) struct Problems<'a> {
    pub path: &'a Path,
    shown: Vec<Problem>,
    more: usize,
}

impl<'a> Problems<'a> {
    pub fn new(path: &'a Path) -> Self {
        Self {
            path,
            shown: Vec::new(),
            more: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Keeps a problem; a hint that an earlier problem has already given is left out.
    pub fn push(&mut self, mut problem: Problem) {
        if self.shown.len() == MOST_SHOWN {
            self.more += 1;
            return;
        }
        if self
            .shown
            .iter()
            .any(|earlier| earlier.hint == problem.hint)
        {
            problem.hint = None;
        }
        self.shown.push(problem);
    }

    /// Keeps a problem of the row that starts at `line`.
    pub fn push_at(&mut self, line: u64, problem: Problem) {
        self.push(problem.at_line(self.path, line));
    }

    /// All the problems as one error, in the order of their lines.
    ///
    /// # Errors
    /// If there is any.
    pub fn into_result(mut self) -> Result<()> {
        if self.shown.is_empty() {
            return Ok(());
        }
        self.shown
            .sort_by_key(|problem| problem.location.as_ref().and_then(|place| place.line));
        if self.more > 0 {
            let rest = format!("and {} more", self.more);
            self.shown.push(Problem::new(rest).in_file(self.path));
        }
        Err(Error::all(ErrorKind::Data, self.shown))
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
