//! A checkpoint's `config.json`: what this program needs of it, and the whole of it to save.

mod architecture;
mod deberta;
mod modernbert;
mod reader;

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::ScratchConfig;
use crate::data::Tokenizer;
use crate::error::{Error, Problem, Result};
use crate::nn::Activation;
use architecture::HeadSpec;
pub use architecture::{Architecture, Task};
pub use deberta::{DebertaConfig, RelativeEmbeddings};
pub use modernbert::{ModernBertConfig, Pooling, Reach};
use reader::{Reader, bad};

/// The shape of an encoder; the fields have the keys of `config.json`.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Which model it is.
    pub architecture: Architecture,
    /// What its head is for.
    pub task: Task,
    /// Which encoder it has, with what only that encoder needs.
    pub family: Family,
    /// V, the number of word embeddings.
    pub vocab_size: usize,
    /// D.
    pub hidden_size: usize,
    /// The number of blocks.
    pub num_hidden_layers: usize,
    /// H, a divisor of D.
    pub num_attention_heads: usize,
    /// The width inside a feed-forward part.
    pub intermediate_size: usize,
    /// `hidden_act`.
    pub activation: Activation,
    /// In [0, 1).
    pub hidden_dropout_prob: f64,
    /// In [0, 1).
    pub attention_probs_dropout_prob: f64,
    /// The head's dropout, in [0, 1).
    pub classifier_dropout: f64,
    /// The number of positions that the model knows.
    pub max_position_embeddings: usize,
    /// The number of token type embeddings; 0 where the model has none.
    pub type_vocab_size: usize,
    /// The layer norms' epsilon.
    pub layer_norm_eps: f64,
    /// The standard deviation of new weights.
    pub initializer_range: f64,
    /// The padding token's id, from which RoBERTa's positions count.
    pub pad_token_id: usize,
    json: Map<String, Value>,
}

/// The encoders there are; most architectures share BERT's.
#[derive(Debug, Clone)]
pub enum Family {
    /// BERT's: learned positions, layer norm after each residual sum.
    Bert(BertShape),
    /// ModernBERT's: rotary positions, layer norm before each part, local attention.
    ModernBert(ModernBertConfig),
    /// DeBERTa's, versions 2 and 3: attention to relative positions.
    DebertaV2(DebertaConfig),
}

/// What varies among the encoders of BERT's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BertShape {
    /// The width of the embeddings; where it is not D, a linear layer leads to D.
    pub embedding_size: usize,
    /// ALBERT's sharing of weights among blocks.
    pub sharing: Option<Sharing>,
}

/// ALBERT's blocks: each of the `num_hidden_layers` layers is a group of blocks, and a run of
/// layers next to each other uses one group's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// How many groups have weights of their own, at most `num_hidden_layers`.
    pub num_hidden_groups: usize,
    /// The number of blocks of a group.
    pub inner_group_num: usize,
}

impl ModelConfig {
    /// Reads `folder/config.json`; the task is that of the class in `architectures`, or the
    /// classification of sequences.
    ///
    /// # Errors
    /// A missing file; JSON that is not an object; a `model_type`, activation or position
    /// embedding that is not supported; a value that is missing or makes no model.
    pub fn read(folder: &Path) -> Result<Self> {
        Self::read_as(folder, None)
    }

    /// As [`ModelConfig::read`], for `task`.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn read_for(folder: &Path, task: Task) -> Result<Self> {
        Self::read_as(folder, Some(task))
    }

    fn read_as(folder: &Path, task: Option<Task>) -> Result<Self> {
        let path = folder.join("config.json");
        let text = crate::fsio::read(&path)?;
        let value: Value =
            serde_json::from_slice(&text).map_err(|e| Error::json(&path, "valid JSON", &e))?;
        let Value::Object(json) = value else {
            return Err(bad(&path, "not a JSON object"));
        };
        let class = || json.get("architectures")?.get(0)?.as_str();
        let task = task
            .or_else(|| Task::of_class(class()?))
            .unwrap_or_default();
        Self::from_json(&json, &path, task)
    }

    /// The config of a new small BERT for `task` with `vocab_size` word pieces and positions for
    /// `max_length` tokens.
    ///
    /// # Errors
    /// Sizes that make no model.
    pub fn scratch(
        scratch: &ScratchConfig,
        vocab_size: usize,
        max_length: usize,
        task: Task,
    ) -> Result<Self> {
        let json = json!({
            "model_type": "bert",
            "vocab_size": vocab_size,
            "hidden_size": scratch.hidden_size,
            "num_hidden_layers": scratch.num_hidden_layers,
            "num_attention_heads": scratch.num_attention_heads,
            "intermediate_size": scratch.intermediate_size,
            "hidden_act": "gelu",
            "hidden_dropout_prob": scratch.hidden_dropout_prob,
            "attention_probs_dropout_prob": scratch.attention_probs_dropout_prob,
            "max_position_embeddings": max_length,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "initializer_range": 0.02,
            "pad_token_id": 0,
        });
        let Value::Object(json) = json else {
            unreachable!("the macro above makes an object");
        };
        Self::from_json(&json, Path::new("scratch"), task)
    }

    fn from_json(json: &Map<String, Value>, path: &Path, task: Task) -> Result<Self> {
        let reader = Reader { json, path };
        let model_type = json.get("model_type").and_then(Value::as_str);
        let architecture = Architecture::from_model_type(model_type.unwrap_or("missing"))
            .map_err(|message| bad(path, message))?;
        if json.get("is_decoder").and_then(Value::as_bool) == Some(true) {
            return Err(bad(
                path,
                "`is_decoder` is true: such a model sees only the words before; supported: encoders",
            ));
        }
        if let Some(kind) = json.get("position_embedding_type").and_then(Value::as_str)
            && kind != "absolute"
        {
            return Err(bad(
                path,
                format!("`position_embedding_type` is `{kind}`; supported: absolute"),
            ));
        }
        let keys = architecture.keys(task);
        let hidden_size = reader.size(keys.hidden_size, None)?;
        let num_hidden_layers = reader.size(keys.num_hidden_layers, None)?;
        let hidden_dropout_prob = reader.rate(keys.hidden_dropout)?;
        let (classifier_dropout, default) = keys.classifier_dropout;
        let num_attention_heads = reader.size(keys.num_attention_heads, None)?;
        let max_position_embeddings = reader.size(
            "max_position_embeddings",
            Some(architecture.default_max_positions()),
        )?;
        let config = Self {
            architecture,
            task,
            family: match architecture {
                Architecture::ModernBert => {
                    Family::ModernBert(ModernBertConfig::read(&reader, num_hidden_layers)?)
                }
                Architecture::DebertaV2 => Family::DebertaV2(DebertaConfig::read(
                    &reader,
                    hidden_size,
                    num_attention_heads,
                    max_position_embeddings,
                )?),
                _ => {
                    Family::Bert(reader.bert_shape(architecture, hidden_size, num_hidden_layers)?)
                }
            },
            vocab_size: reader.size("vocab_size", None)?,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size: reader.size(keys.intermediate_size, None)?,
            activation: reader.activation(keys.hidden_act)?,
            hidden_dropout_prob,
            attention_probs_dropout_prob: reader.rate(keys.attention_dropout)?,
            classifier_dropout: reader
                .rate((classifier_dropout, default.unwrap_or(hidden_dropout_prob)))?,
            max_position_embeddings,
            type_vocab_size: match architecture {
                Architecture::DistilBert | Architecture::ModernBert => 0,
                Architecture::DebertaV2 => reader.size_or_off("type_vocab_size")?.unwrap_or(0),
                _ => reader.size("type_vocab_size", Some(2))?,
            },
            layer_norm_eps: match architecture {
                // Written into its code.
                Architecture::DistilBert => 1e-12,
                Architecture::ModernBert => reader.number("norm_eps")?.unwrap_or(1e-5),
                Architecture::DebertaV2 => reader.number("layer_norm_eps")?.unwrap_or(1e-7),
                _ => reader.number("layer_norm_eps")?.unwrap_or(1e-12),
            },
            initializer_range: reader.number("initializer_range")?.unwrap_or(0.02),
            pad_token_id: reader
                .whole("pad_token_id")?
                .unwrap_or(architecture.default_pad_token_id()),
            json: json.clone(),
        };
        if !config
            .hidden_size
            .is_multiple_of(config.num_attention_heads)
        {
            return Err(bad(
                path,
                format!(
                    "`{}` {} is not a multiple of `{}` {}",
                    keys.hidden_size,
                    config.hidden_size,
                    keys.num_attention_heads,
                    config.num_attention_heads
                ),
            ));
        }
        let head_width = config.hidden_size / config.num_attention_heads;
        if architecture == Architecture::ModernBert && !head_width.is_multiple_of(2) {
            return Err(bad(
                path,
                format!("heads of {head_width} features cannot be turned in pairs"),
            ));
        }
        if config.max_length() < 3 {
            return Err(bad(
                path,
                "`max_position_embeddings` leaves no room for a text",
            ));
        }
        Ok(config)
    }

    /// The number of weights in the matrices of the encoder, without biases and layer norms: a
    /// bound that shows a config beyond its file before memory is asked for.
    pub(super) fn n_encoder_weights(&self) -> u128 {
        let n_rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size;
        // (rows of embeddings, their width, blocks, matrices of a feed-forward part)
        let (n_rows, embedding_size, n_blocks, n_inner) = match &self.family {
            Family::Bert(shape) => {
                let n_blocks = match shape.sharing {
                    None => self.num_hidden_layers,
                    Some(sharing) => sharing.num_hidden_groups * sharing.inner_group_num,
                };
                (n_rows, shape.embedding_size, n_blocks, 2)
            }
            Family::ModernBert(_) => (self.vocab_size, self.hidden_size, self.num_hidden_layers, 3),
            Family::DebertaV2(own) => {
                let n_rows = own.n_rows(self.max_position_embeddings);
                let n_rows = self.vocab_size + n_rows + self.type_vocab_size;
                (n_rows, self.hidden_size, self.num_hidden_layers, 2)
            }
        };
        let [rows, embedding, width, inner, blocks] = [
            n_rows,
            embedding_size,
            self.hidden_size,
            self.intermediate_size,
            n_blocks,
        ]
        .map(|n| n as u128);
        rows * embedding + blocks * (4 * width * width + n_inner * width * inner)
    }

    /// The head's parts.
    pub fn head(&self) -> HeadSpec {
        let head = self.architecture.head(self.task);
        match &self.family {
            Family::Bert(_) => head,
            Family::ModernBert(own) => HeadSpec {
                activation: own.classifier_activation,
                ..head
            },
            Family::DebertaV2(own) => HeadSpec {
                activation: own.pooler_activation,
                ..head
            },
        }
    }

    /// How far below the head the parameter `name` lies; see `Classifier::depth_of`.
    pub(super) fn depth_of(&self, name: &str) -> usize {
        let n_blocks = self.num_hidden_layers;
        let parts: Vec<&str> = name.split('.').collect();
        // `encoder.layer.3`, `transformer.layer.3`, `layers.3`; blocks that share their weights
        // are numbered as groups, from 0, and lie together below the head.
        let block = parts.windows(2).find_map(|pair| match pair[0] {
            "layer" | "layers" => pair[1].parse::<usize>().ok(),
            "albert_layer_groups" => Some(n_blocks - 1),
            _ => None,
        });
        if let Some(block) = block {
            return n_blocks.saturating_sub(block).max(1);
        }
        let in_encoder = parts[0] == self.architecture.prefix();
        let above_blocks = parts.contains(&"pooler") || parts.contains(&"final_norm");
        if in_encoder && !above_blocks {
            n_blocks + 1
        } else {
            0
        }
    }

    /// The position embedding of a sequence's first token.
    pub fn first_position(&self) -> u32 {
        if self.architecture.counts_from_padding() {
            self.pad_token_id as u32 + 1
        } else {
            0
        }
    }

    /// The longest sequence in tokens that has position embeddings.
    pub fn max_length(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position() as usize)
    }

    /// Refuses a tokenizer that has ids without a word embedding. `folder` is where both were
    /// read, for the message.
    ///
    /// # Errors
    /// Such a tokenizer ([`crate::error::ErrorKind::Data`]).
    pub fn check_tokenizer(&self, tokenizer: &Tokenizer, folder: &Path) -> Result<()> {
        let n_ids = tokenizer.vocab_size();
        if n_ids <= self.vocab_size {
            return Ok(());
        }
        let message = format!(
            "the tokenizer has ids up to {}, but `vocab_size` makes {} word embeddings",
            n_ids - 1,
            self.vocab_size
        );
        let hint = "are `config.json` and the tokenizer's files those of one model?";
        let problem = Problem::new(message).in_file(folder.join("config.json"));
        Err(Error::data(problem.hint(hint)))
    }

    /// The names of the classes that the checkpoint was trained for, if it says so.
    pub fn label_names(&self) -> Option<Vec<String>> {
        let names = self.json.get("id2label")?.as_object()?;
        (0..names.len())
            .map(|i| Some(names.get(&i.to_string())?.as_str()?.to_owned()))
            .collect()
    }

    /// The text of `config.json` for this encoder with a head for `labels`, the names of classes or
    /// options.
    pub fn to_json(&self, labels: &[String]) -> String {
        let mut json = self.json.clone();
        let id2label: Map<String, Value> = labels
            .iter()
            .enumerate()
            .map(|(i, name)| (i.to_string(), json!(name)))
            .collect();
        let label2id: Map<String, Value> = labels
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), json!(i)))
            .collect();
        for key in ["torch_dtype", "_name_or_path", "num_labels", "auto_map"] {
            json.shift_remove(key);
        }
        json.insert(
            "architectures".into(),
            json!([self.architecture.class_name(self.task)]),
        );
        json.insert("dtype".into(), json!("float32"));
        json.insert("id2label".into(), Value::Object(id2label));
        json.insert("label2id".into(), Value::Object(label2id));
        match self.task {
            Task::SequenceClassification => {
                json.insert("problem_type".into(), json!("single_label_classification"));
            }
            Task::MultipleChoice => {
                json.shift_remove("problem_type");
            }
        }
        if let Family::ModernBert(own) = &self.family {
            own.complete(&mut json);
        }
        let mut text = serde_json::to_string_pretty(&json).unwrap_or_default();
        text.push('\n');
        text
    }
}
