//! A selector's arguments, taken one by one with all their problems.

use serde_json::{Map, Value};

use super::unknown;
use crate::config::key_path::KeyPath;
use crate::config::source::KeyProblem;
use crate::config::types::SelectorConfig;

/// Arguments, or a mapping inside one, with what is wrong so far. A key may have `-` for `_`;
/// null is as good as no argument.
pub(super) struct Arguments<'a> {
    given: &'a Map<String, Value>,
    at: KeyPath,
    known: Vec<&'static str>,
    problems: Vec<KeyProblem>,
}

impl<'a> Arguments<'a> {
    /// The arguments of the selector whose entry stands at `at`.
    pub fn new(config: &'a SelectorConfig, at: &KeyPath) -> Self {
        Self::of(&config.args, at.key("args"))
    }

    /// The mapping at the key path `at`.
    pub fn of(given: &'a Map<String, Value>, at: KeyPath) -> Self {
        Self {
            given,
            at,
            known: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The argument `name`, as `read` makes it of the value; its error says what is `expected`.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let (here, value) = self.value(name)?;
        let read = read(value);
        if read.is_none() {
            let message = format!("`{here}` is {}; expected {expected}", shown(value));
            self.push(KeyProblem::new(here, message));
        }
        read
    }

    /// The value of the argument `name`, with its key path.
    pub fn value(&mut self, name: &'static str) -> Option<(KeyPath, &'a Value)> {
        let is_new = !self.known.contains(&name);
        self.known.push(name);
        let mut spellings = self.given.iter().filter(|(key, _)| is(key, name));
        let (key, value) = spellings.next()?;
        if let Some((other, _)) = spellings.next()
            && is_new
        {
            let message = format!("`{key}` and `{other}` are the same argument; give one of them");
            let here = self.at.key(other);
            self.push(KeyProblem::new(here, message));
        }
        (!value.is_null()).then(|| (self.at.key(key), value))
    }

    /// The key path of the mapping itself.
    pub fn at(&self) -> &KeyPath {
        &self.at
    }

    /// Adds a problem.
    pub fn push(&mut self, problem: KeyProblem) {
        self.problems.push(problem);
    }

    /// Adds the problems of a part.
    pub fn keep<T>(&mut self, part: Result<T, Vec<KeyProblem>>) -> Option<T> {
        part.map_err(|problems| self.problems.extend(problems)).ok()
    }

    /// `whole`, unless something is wrong; arguments that were not asked for are.
    pub fn finish<T>(mut self, whole: Option<T>) -> Result<T, Vec<KeyProblem>> {
        for key in self.given.keys() {
            if !self.known.iter().any(|name| is(key, name)) {
                self.known.dedup();
                let message = unknown("argument", key, &self.known);
                let problem = KeyProblem::new(self.at.key(key), message);
                self.problems.push(problem);
            }
        }
        match whole {
            Some(whole) if self.problems.is_empty() => Ok(whole),
            _ => Err(self.problems),
        }
    }
}

fn is(key: &str, name: &str) -> bool {
    key.replace('-', "_") == name
}

/// A value as a message shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Texts that are not empty, at least one.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter().map(text);
    let texts = texts.collect::<Option<Vec<String>>>()?;
    (!texts.is_empty()).then_some(texts)
}
