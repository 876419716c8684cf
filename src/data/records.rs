//! Comma- or tab-separated text to records of cells.
//!
//! Lines end with `\n` or `\r\n`; empty lines are skipped. Whether quotes are quotes is for the
//! config's `data.quoting` to say; where it does not, files with commas are taken to follow
//! RFC 4180, and files with tabs are looked at as a whole, because they often follow nothing:
//!
//! - [`Rule::Quoted`], for commas: a cell that starts with `"` ends at the next `"` that is not
//!   doubled, and holds everything between, separators and line breaks included. Quotes inside
//!   an unquoted cell are characters of the text.
//! - With tabs the same holds if every cell of the first record is in quotes.
//! - [`Rule::Needed`], for other files with tabs whose quotes are all such as a program writes:
//!   around exactly those cells that need them. Such a cell starts with a quote and ends at the
//!   matching quote; if it holds a tab or a line break, its lines would not all have the first
//!   record's width were the quotes characters; if it holds neither, it holds a doubled quote
//!   or nothing. No other cell has a quote in it.
//! - [`Rule::Literal`], for all other files with tabs: a quote is a character of the text. So
//!   a sentence such as `" it's all about the image . "` keeps its quotes, as in GLUE's files.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::config::Quoting;
use crate::error::Problem;

/// The character between two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Comma,
    Tab,
}

impl Separator {
    fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Tab => b'\t',
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Comma => "comma",
            Self::Tab => "tab",
        }
    }
}

/// Which cells that start with a quote are quoted; see the rules above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Quoted,
    Needed,
    Literal,
}

pub(super) struct Cell<'a> {
    /// Without the quotes around it, doubled quotes made single.
    pub text: Cow<'a, str>,
    pub is_quoted: bool,
}

pub(super) struct Record<'a> {
    /// The physical line where the record starts, counted from 1.
    pub line: u64,
    /// Where it lies in the text, with the end of its last line.
    pub bytes: Range<usize>,
    /// At least one.
    pub cells: Vec<Cell<'a>>,
}

/// The records of a text, one after the other, in time linear in its length.
///
/// A quote that is never closed ends them with an error; after an error of one record the
/// next one starts on the line after it.
pub(super) struct Records<'a> {
    path: &'a Path,
    text: &'a str,
    separator: u8,
    rule: Rule,
    /// The byte that is read next, and its line.
    at: usize,
    line: u64,
    /// The number of cells of the first record.
    width: Option<usize>,
}

impl<'a> Records<'a> {
    pub fn new(path: &'a Path, text: &'a str, separator: Separator, quoting: Quoting) -> Self {
        let with = |rule| Self {
            path,
            text,
            separator: separator.byte(),
            rule,
            at: 0,
            line: 1,
            width: None,
        };
        let quotes_all = |record: Result<Record, Problem>| {
            record.is_ok_and(|record| record.cells.iter().all(|cell| cell.is_quoted))
        };
        match (quoting, separator) {
            (Quoting::None, _) => with(Rule::Literal),
            (Quoting::Minimal, _) | (Quoting::Auto, Separator::Comma) => with(Rule::Quoted),
            (Quoting::Auto, Separator::Tab) => {
                if with(Rule::Quoted).next().is_some_and(quotes_all) {
                    with(Rule::Quoted)
                } else if with(Rule::Needed).all(|record| has_no_loose_quote(&record)) {
                    with(Rule::Needed)
                } else {
                    with(Rule::Literal)
                }
            }
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn skip_blank_lines(&mut self) {
        loop {
            let end = self.line_end(self.at);
            let is_blank = self.text[self.at..end]
                .bytes()
                .all(|byte| matches!(byte, b' ' | b'\r'));
            if !is_blank || self.at == self.text.len() {
                return;
            }
            self.go_to_next_line(end);
        }
    }

    /// The position of the first line feed from `from` on, or the end of the text.
    fn line_end(&self, from: usize) -> usize {
        self.text[from..]
            .find('\n')
            .map_or(self.text.len(), |offset| from + offset)
    }

    fn go_to_next_line(&mut self, line_end: usize) {
        self.at = (line_end + 1).min(self.text.len());
        self.line += 1;
    }

    fn record(&mut self) -> Result<Record<'a>, Problem> {
        let start = self.at;
        let line = self.line;
        let mut cells = Vec::with_capacity(self.width.unwrap_or(0));
        loop {
            let cell = match self.quoted_cell(start)? {
                Some(cell) => cell,
                None => self.literal_cell(),
            };
            cells.push(cell);
            if self.byte(self.at) == Some(self.separator) {
                self.at += 1;
            } else {
                self.go_to_next_line(self.line_end(self.at));
                self.width.get_or_insert(cells.len());
                let bytes = start..self.at;
                return Ok(Record { line, bytes, cells });
            }
        }
    }

    /// Reads up to the next separator or line end.
    fn literal_cell(&mut self) -> Cell<'a> {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|byte| byte == self.separator || byte == b'\n')
            .unwrap_or(rest.len());
        let mut cell = &rest[..length];
        if rest.as_bytes().get(length) != Some(&self.separator) {
            cell = cell.strip_suffix('\r').unwrap_or(cell);
        }
        self.at += cell.len();
        Cell {
            text: Cow::Borrowed(cell),
            is_quoted: false,
        }
    }

    /// Reads a quoted cell, or nothing where the cell is not quoted.
    fn quoted_cell(&mut self, record_start: usize) -> Result<Option<Cell<'a>>, Problem> {
        let open = self.at;
        if self.rule == Rule::Literal || self.byte(open) != Some(b'"') {
            return Ok(None);
        }
        let closing = self.closing_quote(open);
        let (close, has_doubled) = match (closing, self.rule) {
            (Some(closing), _) => closing,
            (None, Rule::Needed | Rule::Literal) => return Ok(None),
            (None, Rule::Quoted) => {
                self.at = self.text.len();
                return Err(self.problem_at(open, self.line, "this quote is never closed").hint(
                    "enclose a text that holds quotes in quotes, and write each of its own twice",
                ));
            }
        };
        let inner = &self.text[open + 1..close];
        let breaks = inner.bytes().filter(|&byte| byte == b'\n').count() as u64;
        if !self.ends_cell(close + 1) {
            if self.rule == Rule::Needed {
                return Ok(None);
            }
            return Err(self.text_after_quote(close, breaks));
        }
        if self.rule == Rule::Needed {
            let has_break = breaks > 0 || inner.as_bytes().contains(&self.separator);
            let is_needed = if has_break {
                !self.are_rows(record_start, close)
            } else {
                has_doubled || inner.is_empty()
            };
            if !is_needed {
                return Ok(None);
            }
        }
        self.at = close + 1;
        self.line += breaks;
        let text = if has_doubled {
            Cow::Owned(inner.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(inner)
        };
        Ok(Some(Cell {
            text,
            is_quoted: true,
        }))
    }

    /// The quote that closes the one at `open`, and whether there are doubled ones between.
    fn closing_quote(&self, open: usize) -> Option<(usize, bool)> {
        let mut from = open + 1;
        let mut has_doubled = false;
        loop {
            let quote = from + self.text[from..].find('"')?;
            if self.byte(quote + 1) != Some(b'"') {
                return Some((quote, has_doubled));
            }
            has_doubled = true;
            from = quote + 2;
        }
    }

    fn ends_cell(&self, at: usize) -> bool {
        match self.byte(at) {
            None | Some(b'\n') => true,
            Some(b'\r') => matches!(self.byte(at + 1), None | Some(b'\n')),
            Some(byte) => byte == self.separator,
        }
    }

    /// Whether every line from `start` to that of `end` has the first record's width if its
    /// quotes are characters.
    fn are_rows(&self, start: usize, end: usize) -> bool {
        let Some(width) = self.width else {
            return false;
        };
        let lines = self.text[start..self.line_end(end)].split('\n');
        lines
            .map(|line| line.bytes().filter(|&byte| byte == self.separator).count())
            .all(|separators| separators + 1 == width)
    }

    /// The error of a quoted cell that goes on after its quote at `close`, `breaks` lines
    /// below the one that opened it; moves on to the next line.
    fn text_after_quote(&mut self, close: usize, breaks: u64) -> Problem {
        let opened = self.line;
        self.line += breaks;
        let message = if breaks == 0 {
            "text after the closing quote of a cell".to_owned()
        } else {
            format!("text after the closing quote of a cell that was opened on line {opened}")
        };
        let problem = self
            .problem_at(close + 1, self.line, &message)
            .hint("write a quote inside a quoted cell twice");
        self.go_to_next_line(self.line_end(close));
        problem
    }

    /// A problem at byte `at`, which lies on `line`.
    fn problem_at(&self, at: usize, line: u64, message: &str) -> Problem {
        let line_start = self.text[..at].rfind('\n').map_or(0, |feed| feed + 1);
        let column = self.text[line_start..at].chars().count() as u64 + 1;
        Problem::new(message).at(self.path, line, column)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blank_lines();
        (self.at < self.text.len()).then(|| self.record())
    }
}

/// Whether every quote of a record is one that encloses a cell, or is inside such a cell.
fn has_no_loose_quote(record: &Result<Record, Problem>) -> bool {
    record.as_ref().is_ok_and(|record| {
        let mut cells = record.cells.iter();
        cells.all(|cell| cell.is_quoted || !cell.text.contains('"'))
    })
}

/// The separator of a file whose name does not tell: a tab if the first record has one
/// outside quotes, else a comma.
pub(super) fn sniff(path: &Path, text: &str, quoting: Quoting) -> Separator {
    let mut records = Records::new(path, text, Separator::Comma, quoting);
    let has_tab = match records.next() {
        Some(Ok(record)) => record
            .cells
            .iter()
            .any(|cell| !cell.is_quoted && cell.text.contains('\t')),
        // The first record is none by RFC 4180; then its quotes do not say where it ends.
        Some(Err(_)) => text
            .lines()
            .find(|line| !line.trim().is_empty())
            .is_some_and(|line| line.contains('\t')),
        None => false,
    };
    if has_tab {
        Separator::Tab
    } else {
        Separator::Comma
    }
}

/// What quotes mean in files that go on as `text` does; where only `text` itself can tell, what
/// the config says of it.
pub(super) fn settled(path: &Path, text: &str, separator: Separator, quoting: Quoting) -> Quoting {
    match Records::new(path, text, separator, quoting).rule {
        Rule::Quoted => Quoting::Minimal,
        Rule::Literal => Quoting::None,
        Rule::Needed => quoting,
    }
}
