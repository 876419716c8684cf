//! Typed values out of a `config.json`, each refused with the key that holds it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Problem, Result};

/// The keys of one `config.json`.
pub struct Reader<'a> {
    /// The whole object.
    pub json: &'a Map<String, Value>,
    /// Its file, for messages.
    pub path: &'a Path,
}

impl Reader<'_> {
    /// A whole number of at least 1.
    pub fn size(&self, key: &str, default: Option<usize>) -> Result<usize> {
        /// No encoder of this family is near it; it keeps sizes from overflowing.
        const LARGEST: usize = 1 << 28;
        match self.whole(key)?.or(default) {
            Some(n) if (1..=LARGEST).contains(&n) => Ok(n),
            Some(n) => Err(bad(
                self.path,
                format!("`{key}` is {n}; expected 1 to {LARGEST}"),
            )),
            None => Err(bad(self.path, format!("`{key}` is missing"))),
        }
    }

    /// A whole number, or none where the key is missing or null.
    pub fn whole(&self, key: &str) -> Result<Option<usize>> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .map(Some)
                .ok_or_else(|| {
                    bad(
                        self.path,
                        format!("`{key}` is `{value}`; expected a whole number"),
                    )
                }),
        }
    }

    /// A number of at least 0, or none where the key is missing or null.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(x) if x >= 0.0 => Ok(Some(x)),
                _ => Err(bad(
                    self.path,
                    format!("`{key}` is `{value}`; expected a number of at least 0"),
                )),
            },
        }
    }

    /// A number in [0, 1), or none where the key is missing or null.
    pub fn rate(&self, key: &str) -> Result<Option<f64>> {
        match self.number(key)? {
            Some(x) if x >= 1.0 => Err(bad(
                self.path,
                format!("`{key}` is {x}; expected at least 0 and below 1"),
            )),
            rate => Ok(rate),
        }
    }
}

/// The error of a `config.json` that cannot be used.
pub fn bad(path: &Path, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, Problem::new(message).in_file(path))
}
