//! `--set a.b=c`: a value given on the command line wins over the file's.

use serde_yaml::{Mapping, Value};

use super::key_path::{KeyPath, Step};
use super::source::at_option;
use super::yaml;
use crate::error::{Error, ErrorKind, Problem, Result};

/// One `--set`.
#[derive(Debug, Clone)]
pub(super) struct Override {
    /// The key path before the `=`.
    pub(super) path: KeyPath,
    /// The YAML after it.
    value: String,
    /// All of it, as the user wrote it.
    pub(super) text: String,
}

impl Override {
    /// Splits `KEY=VALUE`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where there is no `=` or nothing before it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let usage = || {
            let message = format!("`--set {text}` is not of the form KEY=VALUE");
            let hint = "for example --set training.epochs=3";
            Error::new(ErrorKind::Usage, Problem::new(message).hint(hint))
        };
        let (key, value) = text.split_once('=').ok_or_else(usage)?;
        let path = KeyPath::from(key.trim());
        if path.0.is_empty() {
            return Err(usage());
        }
        Ok(Self {
            path,
            value: value.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Puts the value into `config`, making the sections on the way that are not there.
    pub(super) fn apply(&self, config: &mut Value) -> Result<(), Problem> {
        let refuse = |message: String| at_option(Problem::new(message), self);
        let value = yaml::parse(&self.value)
            .map_err(|refusal| refuse(format!("not a valid YAML value: {}", refusal.message)))?;
        let mut here = config;
        for (i, step) in self.path.0.iter().enumerate() {
            let walked = KeyPath(self.path.0[..i].to_vec());
            here = enter(here, step).map_err(|message| refuse(format!("`{walked}` {message}")))?;
        }
        *here = value;
        Ok(())
    }
}

/// One step further; a key that is missing is made, as is the item right after a list's last.
fn enter<'a>(here: &'a mut Value, step: &Step) -> Result<&'a mut Value, String> {
    if here.is_null() {
        *here = match step {
            Step::Key(_) => Value::Mapping(Mapping::new()),
            Step::Index(_) => Value::Sequence(Vec::new()),
        };
    }
    match (here, step) {
        (Value::Mapping(mapping), Step::Key(key)) => Ok(mapping
            .entry(Value::from(key.as_str()))
            .or_insert(Value::Null)),
        (Value::Sequence(items), Step::Index(index)) => {
            let n = items.len();
            if *index == n {
                items.push(Value::Null);
            }
            items.get_mut(*index).ok_or_else(|| {
                format!("has {n} items, counted from 0; there is no item {index} to set")
            })
        }
        (_, Step::Key(key)) => Err(format!("is not a mapping, so `{key}` cannot be set in it")),
        (_, Step::Index(index)) => Err(format!(
            "is not a list, so item {index} cannot be set in it"
        )),
    }
}
