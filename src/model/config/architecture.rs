//! What differs from one model to the next that is only a name or a number.

use crate::nn::Activation;

/// A model as transformers knows it, by its `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `bert`.
    Bert,
    /// `roberta`.
    Roberta,
    /// `xlm-roberta`.
    XlmRoberta,
    /// `camembert`.
    Camembert,
    /// `distilbert`.
    DistilBert,
    /// `electra`.
    Electra,
    /// `albert`.
    Albert,
    /// `modernbert`.
    ModernBert,
    /// `deberta-v2`, which DeBERTa-v3 is as well.
    DebertaV2,
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// The class of a text or a pair of texts.
    #[default]
    SequenceClassification,
    /// One of several options: a score for each, and a softmax over them.
    MultipleChoice,
}

impl Task {
    /// What the names of transformers' classes for it end with.
    const fn suffix(self) -> &'static str {
        match self {
            Self::SequenceClassification => "ForSequenceClassification",
            Self::MultipleChoice => "ForMultipleChoice",
        }
    }

    /// The task of a class of transformers.
    pub fn of_class(name: &str) -> Option<Self> {
        [Self::SequenceClassification, Self::MultipleChoice]
            .into_iter()
            .find(|task| name.ends_with(task.suffix()))
    }
}

/// What the sizes and rates of an encoder are called in `config.json`, and what
/// transformers makes of a rate that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// D.
    pub hidden_size: &'static str,
    /// The number of blocks.
    pub num_hidden_layers: &'static str,
    /// H.
    pub num_attention_heads: &'static str,
    /// The width inside a feed-forward part.
    pub intermediate_size: &'static str,
    /// The activation inside a feed-forward part, and its default.
    pub hidden_act: (&'static str, &'static str),
    /// The dropout after embeddings and before residual sums, and its default.
    pub hidden_dropout: (&'static str, f64),
    /// The dropout of attention weights, and its default.
    pub attention_dropout: (&'static str, f64),
    /// The head's dropout, and its default where that is not the hidden dropout.
    pub classifier_dropout: (&'static str, Option<f64>),
}

impl Keys {
    const BERT: Self = Self {
        hidden_size: "hidden_size",
        num_hidden_layers: "num_hidden_layers",
        num_attention_heads: "num_attention_heads",
        intermediate_size: "intermediate_size",
        hidden_act: ("hidden_act", "gelu"),
        hidden_dropout: ("hidden_dropout_prob", 0.1),
        attention_dropout: ("attention_probs_dropout_prob", 0.1),
        classifier_dropout: ("classifier_dropout", None),
    };
    const DISTILBERT: Self = Self {
        hidden_size: "dim",
        num_hidden_layers: "n_layers",
        num_attention_heads: "n_heads",
        intermediate_size: "hidden_dim",
        hidden_act: ("activation", "gelu"),
        hidden_dropout: ("dropout", 0.1),
        attention_dropout: ("attention_dropout", 0.1),
        classifier_dropout: ("seq_classif_dropout", Some(0.2)),
    };
    const ALBERT: Self = Self {
        hidden_act: ("hidden_act", "gelu_new"),
        hidden_dropout: ("hidden_dropout_prob", 0.0),
        attention_dropout: ("attention_probs_dropout_prob", 0.0),
        classifier_dropout: ("classifier_dropout_prob", Some(0.1)),
        ..Self::BERT
    };
    const MODERNBERT: Self = Self {
        hidden_act: ("hidden_activation", "gelu"),
        hidden_dropout: ("mlp_dropout", 0.0),
        attention_dropout: ("attention_dropout", 0.0),
        classifier_dropout: ("classifier_dropout", Some(0.0)),
        ..Self::BERT
    };
    const DEBERTA_V2: Self = Self {
        classifier_dropout: ("cls_dropout", None),
        ..Self::BERT
    };
}

/// What a head is made of: (dropout) -> dense and activation -> (layer norm) -> dropout ->
/// linear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSpec {
    /// The name of the dense layer, from the root of the checkpoint.
    pub dense: &'static str,
    /// What follows the dense layer, where `config.json` does not say it.
    pub activation: Activation,
    /// The name of the layer norm after that, if there is one.
    pub norm: Option<&'static str>,
    /// The name of the layer that makes the logits.
    pub output: &'static str,
    /// Whether there is a dropout before the dense layer, too.
    pub drops_first: bool,
}

impl HeadSpec {
    /// Whether the weight of that name belongs to the head.
    pub fn holds(&self, name: &str) -> bool {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        stem == self.dense || stem == self.output || self.norm == Some(stem)
    }
}

impl Architecture {
    const ALL: [Self; 9] = [
        Self::Bert,
        Self::Roberta,
        Self::XlmRoberta,
        Self::Camembert,
        Self::DistilBert,
        Self::Electra,
        Self::Albert,
        Self::ModernBert,
        Self::DebertaV2,
    ];

    /// The architecture of a `model_type`.
    ///
    /// # Errors
    /// One that is not supported: what is.
    pub fn from_model_type(model_type: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|a| a.model_type() == model_type);
        found.ok_or_else(|| {
            format!(
                "`model_type` is `{model_type}`; supported: {}",
                Self::ALL.map(Self::model_type).join(", ")
            )
        })
    }

    /// `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::Camembert => "camembert",
            Self::DistilBert => "distilbert",
            Self::Electra => "electra",
            Self::Albert => "albert",
            Self::ModernBert => "modernbert",
            Self::DebertaV2 => "deberta-v2",
        }
    }

    /// The name before the encoder's parameters.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta | Self::XlmRoberta | Self::Camembert => "roberta",
            Self::DistilBert => "distilbert",
            Self::Electra => "electra",
            Self::Albert => "albert",
            Self::ModernBert => "model",
            Self::DebertaV2 => "deberta",
        }
    }

    /// The class in transformers that has the encoder and the head.
    pub fn class_name(self, task: Task) -> String {
        let model = match self {
            Self::Bert => "Bert",
            Self::Roberta => "Roberta",
            Self::XlmRoberta => "XLMRoberta",
            Self::Camembert => "Camembert",
            Self::DistilBert => "DistilBert",
            Self::Electra => "Electra",
            Self::Albert => "Albert",
            Self::ModernBert => "ModernBert",
            Self::DebertaV2 => "DebertaV2",
        };
        format!("{model}{}", task.suffix())
    }

    /// What the parts of the encoder are called where its prefix is missing.
    pub fn encoder_parts(self) -> &'static [&'static str] {
        match self {
            Self::DistilBert => &["embeddings.", "transformer."],
            Self::Electra => &["embeddings.", "embeddings_project.", "encoder."],
            Self::ModernBert => &["embeddings.", "layers.", "final_norm."],
            Self::DebertaV2 => &["embeddings.", "encoder."],
            _ => &["embeddings.", "encoder.", "pooler."],
        }
    }

    /// What its sizes and rates are called in `config.json`, with a head for `task`.
    pub fn keys(self, task: Task) -> Keys {
        match self {
            Self::Electra if task == Task::MultipleChoice => Keys {
                classifier_dropout: ("summary_last_dropout", Some(0.1)),
                ..Keys::BERT
            },
            Self::DistilBert => Keys::DISTILBERT,
            Self::Albert => Keys::ALBERT,
            Self::ModernBert => Keys::MODERNBERT,
            Self::DebertaV2 => Keys::DEBERTA_V2,
            _ => Keys::BERT,
        }
    }

    /// The head for a task. That for multiple choice is that of classes, with one score in place
    /// of the logits, but where the latter has layers of its own in place of the pooler.
    pub fn head(self, task: Task) -> HeadSpec {
        match (self, task) {
            (Self::Roberta | Self::XlmRoberta | Self::Camembert, Task::MultipleChoice) => {
                HeadSpec {
                    dense: "roberta.pooler.dense",
                    activation: Activation::Tanh,
                    norm: None,
                    output: "classifier",
                    drops_first: false,
                }
            }
            (Self::Electra, Task::MultipleChoice) => HeadSpec {
                dense: "sequence_summary.summary",
                activation: Activation::Gelu,
                norm: None,
                output: "classifier",
                drops_first: false,
            },
            _ => self.head_of_classes(),
        }
    }

    fn head_of_classes(self) -> HeadSpec {
        match self {
            Self::Bert => HeadSpec {
                dense: "bert.pooler.dense",
                activation: Activation::Tanh,
                norm: None,
                output: "classifier",
                drops_first: false,
            },
            Self::Roberta | Self::XlmRoberta | Self::Camembert => HeadSpec {
                dense: "classifier.dense",
                activation: Activation::Tanh,
                norm: None,
                output: "classifier.out_proj",
                drops_first: true,
            },
            // Its activation is this one, whatever `hidden_act` says.
            Self::Electra => HeadSpec {
                dense: "classifier.dense",
                activation: Activation::Gelu,
                norm: None,
                output: "classifier.out_proj",
                drops_first: true,
            },
            Self::DistilBert => HeadSpec {
                dense: "pre_classifier",
                activation: Activation::Relu,
                norm: None,
                output: "classifier",
                drops_first: false,
            },
            Self::Albert => HeadSpec {
                dense: "albert.pooler",
                activation: Activation::Tanh,
                norm: None,
                output: "classifier",
                drops_first: false,
            },
            Self::ModernBert => HeadSpec {
                dense: "head.dense",
                activation: Activation::Gelu,
                norm: Some("head.norm"),
                output: "classifier",
                drops_first: false,
            },
            // Its first dropout is the config's own.
            Self::DebertaV2 => HeadSpec {
                dense: "pooler.dense",
                activation: Activation::Gelu,
                norm: None,
                output: "classifier",
                drops_first: true,
            },
        }
    }

    /// The padding token's id where `config.json` gives none.
    pub fn default_pad_token_id(self) -> usize {
        match self {
            Self::Roberta | Self::XlmRoberta | Self::Camembert => 1,
            Self::ModernBert => 50283,
            _ => 0,
        }
    }

    /// The number of positions where `config.json` gives none.
    pub fn default_max_positions(self) -> usize {
        match self {
            Self::ModernBert => 8192,
            _ => 512,
        }
    }

    /// Whether positions count on from the padding token's id, a habit of fairseq.
    pub fn counts_from_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta | Self::Camembert)
    }
}
