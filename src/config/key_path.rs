//! The way from a config's root to one of its values: `training.selectors[0].args.random`.

use std::fmt;

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// The way from a config's root to one of its values.
///
/// Made from text such as `training.selectors[0].name`; `training.selectors.0.name` is the
/// same, as no key of a config is a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    /// The value of `key` in the mapping that this path leads to.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// The item at `index` (from 0) of the list that this path leads to.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl From<&str> for KeyPath {
    fn from(text: &str) -> Self {
        let steps = text
            .split(['.', '['])
            .map(|step| step.strip_suffix(']').unwrap_or(step))
            .filter(|step| !step.is_empty())
            .map(|step| match step.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key(step.to_owned()),
            })
            .collect();
        Self(steps)
    }
}

impl From<&String> for KeyPath {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&KeyPath> for KeyPath {
    fn from(path: &KeyPath) -> Self {
        path.clone()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
