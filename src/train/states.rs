//! What watchers must know to go on where they were, by the names of the files that keep it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Problem, Result};

/// Contents of files by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct States(BTreeMap<String, Vec<u8>>);

impl States {
    /// Keeps bytes under a name of the watcher's own.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), bytes);
    }

    /// Keeps a value as JSON, whose numbers must be finite.
    ///
    /// # Errors
    /// None but bugs.
    pub fn put_json(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(value);
        self.put(
            name,
            bytes.map_err(|e| Error::internal(format!("{name}: {e}")))?,
        );
        Ok(())
    }

    /// What [`States::put`] kept.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] where nothing was kept.
    pub fn get(&self, name: &str) -> Result<&[u8]> {
        let found = self.0.get(name).map(Vec::as_slice);
        found.ok_or_else(|| unusable(name, "is missing"))
    }

    /// What [`States::put_json`] kept.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] where there is nothing, or not that.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_slice(self.get(name)?)
            .map_err(|e| unusable(name, &format!("is not what was kept: {e}")))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let entries = self.0.iter();
        entries.map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

/// A state that does not fit what it is for.
pub fn unusable(name: &str, why: &str) -> Error {
    let problem = Problem::new(format!("`{name}` {why}"));
    Error::new(ErrorKind::Integrity, problem)
}
