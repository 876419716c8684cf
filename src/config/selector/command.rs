//! The arguments of `command`.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::arguments::{Arguments, text, texts};
use crate::config::source::KeyProblem;

/// A program that picks.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandSpec {
    /// What is run.
    pub program: Program,
    /// How long it may take; none: as long as it likes.
    pub timeout: Option<Duration>,
    /// Whether the examples come with the data map's signals.
    pub signals: bool,
}

/// What is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Program {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments, at least the program; no shell sees them.
    Arguments(Vec<String>),
}

/// A year, in seconds: the longest timeout, and short enough for any clock.
const LONGEST: f64 = 31_536_000.0;

impl CommandSpec {
    pub(super) fn parse(mut arguments: Arguments<'_>) -> Result<Self, Vec<KeyProblem>> {
        let program = arguments.take(
            "command",
            "a list of a program and its arguments, all text, or a line for the shell",
            |value| match value {
                Value::Array(_) => texts_or_empty(value).map(Program::Arguments),
                _ => text(value).map(Program::Shell),
            },
        );
        if program.is_none() && arguments.value("command").is_none() {
            let at = arguments.at().clone();
            let message = format!("`{}` is missing", at.key("command"));
            let hint = "`command`: the program that picks, as in `[python, pick.py]`";
            arguments.push(KeyProblem::new(at, message).hint(hint));
        }
        let timeout = arguments.take("timeout", "a number of seconds, above 0", |value| {
            let seconds = value.as_f64().filter(|s| *s > 0.0)?;
            Duration::try_from_secs_f64(seconds.min(LONGEST)).ok()
        });
        let signals = arguments.take("signals", "`true` or `false`", Value::as_bool);
        arguments.finish(program.map(|program| Self {
            program,
            timeout,
            signals: signals.unwrap_or(false),
        }))
    }
}

/// A program, which has a name, and arguments, which may be empty.
fn texts_or_empty(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?;
    texts(&Value::Array(items.get(..1)?.to_vec()))?;
    let items = items.iter().map(|item| item.as_str().map(str::to_owned));
    items.collect()
}

impl fmt::Display for Program {
    /// As it could be typed: arguments with blanks in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line),
            Self::Arguments(arguments) => {
                for (i, argument) in arguments.iter().enumerate() {
                    let blank = if i == 0 { "" } else { " " };
                    if argument.is_empty() || argument.contains(char::is_whitespace) {
                        write!(f, "{blank}'{argument}'")?;
                    } else {
                        write!(f, "{blank}{argument}")?;
                    }
                }
                Ok(())
            }
        }
    }
}
