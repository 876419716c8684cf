//! What a config was read from, so that every later check can say where a key stands.

use std::path::{Path, PathBuf};

use super::key_path::KeyPath;
use super::overrides::Override;
use super::yaml::{self, Part};
use crate::error::{Location, Problem};

/// What is wrong with a part of a config, by that part's key path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// For example `training.selectors[0].args.random`.
    pub key: KeyPath,
    /// What was got and what is allowed.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    part: Part,
}

impl KeyProblem {
    /// A problem with the value at `key`.
    pub fn new(key: impl Into<KeyPath>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            hint: None,
            part: Part::Value,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that it is the key that is wrong, not its value.
    #[must_use]
    pub fn with_key(mut self) -> Self {
        self.part = Part::Key;
        self
    }
}

/// A config's file and the `--set` options over it.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: String,
    overrides: Vec<Override>,
}

impl Source {
    pub(super) fn new(path: &Path, text: String, overrides: Vec<Override>) -> Self {
        Self {
            path: path.to_path_buf(),
            text,
            overrides,
        }
    }

    /// The config file, as the user named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A problem with the value at a key path such as `training.dataset_path`, placed where
    /// the value is written; a mapping, list or empty value is placed at its key.
    ///
    /// A value that came from `--set` is placed at that option. A key that is not there is
    /// placed at the nearest parent that is.
    pub fn problem(&self, key_path: impl Into<KeyPath>, message: impl Into<String>) -> Problem {
        self.place(KeyProblem::new(key_path, message))
    }

    /// A [`KeyProblem`] with its place, as [`Source::problem`] says.
    ///
    /// Costs one reading of the file's text.
    pub fn place(&self, problem: KeyProblem) -> Problem {
        let KeyProblem {
            key,
            message,
            hint,
            part,
        } = problem;
        let mut problem = self.locate(&key, part, message);
        problem.hint = hint;
        problem
    }

    fn locate(&self, path: &KeyPath, part: Part, message: String) -> Problem {
        let problem = Problem::new(message);
        let steps = path.0.as_slice();
        let last = |matches: &dyn Fn(&&Override) -> bool| self.overrides.iter().rev().find(matches);
        if let Some(option) = last(&|o| steps.starts_with(&o.path.0)) {
            return at_option(problem, option);
        }
        for n in (1..=steps.len()).rev() {
            let (steps, part) = if n == steps.len() {
                (steps, part)
            } else {
                (&steps[..n], Part::Key)
            };
            if let Some((line, column)) = yaml::find(&self.text, steps, part) {
                return problem.at(&self.path, line, column);
            }
            // An option further inside made this mapping or list.
            if let Some(option) = last(&|o| o.path.0.starts_with(steps)) {
                return at_option(problem, option);
            }
        }
        let (line, column) = yaml::find(&self.text, &[], part).unwrap_or((1, 1));
        problem.at(&self.path, line, column)
    }
}

/// An option has no line or column; its text takes the place of the file's name.
pub(super) fn at_option(mut problem: Problem, option: &Override) -> Problem {
    problem.location = Some(Location {
        path: PathBuf::from(format!("--set {}", option.text)),
        line: None,
        column: None,
    });
    problem
}
