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
}

/// What a head is made of: (dropout) -> dense and activation -> dropout -> linear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSpec {
    /// The name of the dense layer, from the root of the checkpoint.
    pub dense: &'static str,
    /// What follows the dense layer.
    pub activation: Activation,
    /// The name of the layer that makes the logits.
    pub output: &'static str,
    /// Whether there is a dropout before the dense layer, too.
    pub drops_first: bool,
}

impl Architecture {
    const ALL: [Self; 4] = [Self::Bert, Self::Roberta, Self::XlmRoberta, Self::Camembert];

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
        }
    }

    /// The name before the encoder's parameters.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta | Self::XlmRoberta | Self::Camembert => "roberta",
        }
    }

    /// The class in transformers that has the encoder and the head.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Bert => "BertForSequenceClassification",
            Self::Roberta => "RobertaForSequenceClassification",
            Self::XlmRoberta => "XLMRobertaForSequenceClassification",
            Self::Camembert => "CamembertForSequenceClassification",
        }
    }

    /// What the parts of the encoder are called where its prefix is missing.
    pub fn encoder_parts(self) -> &'static [&'static str] {
        &["embeddings.", "encoder.", "pooler."]
    }

    /// The head.
    pub fn head(self) -> HeadSpec {
        match self {
            Self::Bert => HeadSpec {
                dense: "bert.pooler.dense",
                activation: Activation::Tanh,
                output: "classifier",
                drops_first: false,
            },
            Self::Roberta | Self::XlmRoberta | Self::Camembert => HeadSpec {
                dense: "classifier.dense",
                activation: Activation::Tanh,
                output: "classifier.out_proj",
                drops_first: true,
            },
        }
    }

    /// The padding token's id where `config.json` gives none.
    pub fn default_pad_token_id(self) -> usize {
        match self {
            Self::Bert => 0,
            Self::Roberta | Self::XlmRoberta | Self::Camembert => 1,
        }
    }

    /// Whether positions count on from the padding token's id, a habit of fairseq.
    pub fn counts_from_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta | Self::Camembert)
    }
}
