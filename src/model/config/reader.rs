//! Typed values out of a `config.json`, each refused with the key that holds it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Problem, Result};
use crate::model::config::{Architecture, BertShape, Sharing};
use crate::nn::Activation;

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

    /// A number of at least 1, or none where the key is missing or null or holds a number below
    /// that, -1 for one, which turns it off.
    pub fn size_or_off(&self, key: &str) -> Result<Option<usize>> {
        match self.json.get(key).and_then(Value::as_i64) {
            Some(n) if n < 1 => Ok(None),
            Some(_) => self.size(key, None).map(Some),
            None => self.whole(key),
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

    /// A number in [0, 1), from a key and what it is where the key is missing or null.
    pub fn rate(&self, (key, default): (&str, f64)) -> Result<f64> {
        match self.number(key)?.unwrap_or(default) {
            x if x >= 1.0 => Err(bad(
                self.path,
                format!("`{key}` is {x}; expected at least 0 and below 1"),
            )),
            rate => Ok(rate),
        }
    }

    /// An activation, from a key and what it is where the key is missing.
    pub fn activation(&self, (key, default): (&str, &str)) -> Result<Activation> {
        let name = self.json.get(key).and_then(Value::as_str);
        let name = name.unwrap_or(default);
        Activation::from_name(name).ok_or_else(|| {
            bad(
                self.path,
                format!("`{key}` is `{name}`; supported: gelu, gelu_new, relu, tanh"),
            )
        })
    }

    /// A text, or none where the key is missing or null.
    pub fn word(&self, key: &str) -> Result<Option<&str>> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) => Ok(Some(word)),
            Some(value) => Err(bad(
                self.path,
                format!("`{key}` is `{value}`; expected a text"),
            )),
        }
    }

    /// True or false, or none where the key is missing or null.
    pub fn switch(&self, key: &str) -> Result<Option<bool>> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(switch)) => Ok(Some(*switch)),
            Some(value) => Err(bad(
                self.path,
                format!("`{key}` is `{value}`; expected true or false"),
            )),
        }
    }

    /// The object below a key, or none where the key is missing or holds something else.
    pub fn nested(&self, key: &str) -> Option<Reader<'_>> {
        let json = self.json.get(key)?.as_object()?;
        let path = self.path;
        Some(Reader { json, path })
    }

    /// The embeddings' width and the shared blocks of an encoder of BERT's kind, with
    /// transformers' defaults.
    pub fn bert_shape(
        &self,
        architecture: Architecture,
        hidden_size: usize,
        num_hidden_layers: usize,
    ) -> Result<BertShape> {
        /// Blocks that share weights are not bounded by the size of the weights' file.
        const MOST_SHARED_BLOCKS: usize = 1000;
        let embedding_size = match architecture {
            Architecture::Electra | Architecture::Albert => {
                self.size("embedding_size", Some(128))?
            }
            _ => hidden_size,
        };
        if architecture != Architecture::Albert {
            return Ok(BertShape {
                embedding_size,
                sharing: None,
            });
        }
        let sharing = Sharing {
            num_hidden_groups: self.size("num_hidden_groups", Some(1))?,
            inner_group_num: self.size("inner_group_num", Some(1))?,
        };
        let problem = if sharing.num_hidden_groups > num_hidden_layers {
            format!(
                "`num_hidden_groups` is {}, but `num_hidden_layers` {num_hidden_layers}",
                sharing.num_hidden_groups
            )
        } else if num_hidden_layers * sharing.inner_group_num > MOST_SHARED_BLOCKS {
            format!(
                "`num_hidden_layers` {num_hidden_layers} times `inner_group_num` {} is more than {MOST_SHARED_BLOCKS}",
                sharing.inner_group_num
            )
        } else {
            return Ok(BertShape {
                embedding_size,
                sharing: Some(sharing),
            });
        };
        Err(bad(self.path, problem))
    }
}

/// The error of a `config.json` that cannot be used.
pub fn bad(path: &Path, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, Problem::new(message).in_file(path))
}
