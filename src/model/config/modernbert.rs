//! What only ModernBERT's `config.json` has, in the form of transformers 5 (`layer_types`,
//! `rope_parameters`) and in that of 4 (`global_attn_every_n_layers`, `global_rope_theta`,
//! `local_rope_theta`), which the published checkpoints have.

use serde_json::{Map, Value, json};

use super::ModelConfig;
use super::reader::{Reader, bad};
use crate::error::Result;
use crate::nn::{Activation, Bias, Initialization};

/// The part of a ModernBERT's shape that other encoders do not have.
#[derive(Debug, Clone)]
pub struct ModernBertConfig {
    /// How far each layer's tokens see.
    pub layers: Vec<Reach>,
    /// How far a token of a local layer sees to either side: half of `local_attention`.
    pub window: usize,
    /// The base of the rotary positions of global layers.
    pub global_theta: f64,
    /// The base of the rotary positions of local layers.
    pub local_theta: f64,
    /// In [0, 1).
    pub embedding_dropout: f64,
    /// Of the projections around the attention.
    pub attention_bias: Bias,
    /// Of the feed-forward parts.
    pub mlp_bias: Bias,
    /// Of all layer norms.
    pub norm_bias: Bias,
    /// Where new weights are cut off, in standard deviations.
    pub initializer_cutoff_factor: f64,
    /// What the head makes of a sequence's tokens.
    pub classifier_pooling: Pooling,
    /// Of the head's dense layer.
    pub classifier_bias: Bias,
    /// What follows the head's dense layer.
    pub classifier_activation: Activation,
}

/// How far the tokens of a layer see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// `full_attention`: the whole sequence.
    Global,
    /// `sliding_attention`: a window around each token.
    Local,
}

/// The vector of a sequence that a head starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// `cls`: that of its first token.
    FirstToken,
    /// `mean`: the mean over its tokens.
    Mean,
}

impl Reach {
    const ALL: [Self; 2] = [Self::Global, Self::Local];

    fn layer_type(self) -> &'static str {
        match self {
            Self::Global => "full_attention",
            Self::Local => "sliding_attention",
        }
    }

    /// The key of transformers 4 for its rotary base, and transformers' default.
    fn theta_key(self) -> (&'static str, f64) {
        match self {
            Self::Global => ("global_rope_theta", 160_000.0),
            Self::Local => ("local_rope_theta", 10_000.0),
        }
    }
}

impl ModernBertConfig {
    /// Reads it for an encoder of `n_layers` blocks.
    pub(super) fn read(reader: &Reader<'_>, n_layers: usize) -> Result<Self> {
        let [global_theta, local_theta] = thetas(reader)?;
        let local_attention = reader.whole("local_attention")?.unwrap_or(128);
        let cutoff = reader.number("initializer_cutoff_factor")?;
        let bias = |key| -> Result<Bias> {
            Ok(if reader.switch(key)?.unwrap_or(false) {
                Bias::Yes
            } else {
                Bias::No
            })
        };
        Ok(Self {
            layers: layers(reader, n_layers)?,
            window: local_attention / 2,
            global_theta,
            local_theta,
            embedding_dropout: reader.rate(("embedding_dropout", 0.0))?,
            attention_bias: bias("attention_bias")?,
            mlp_bias: bias("mlp_bias")?,
            norm_bias: bias("norm_bias")?,
            initializer_cutoff_factor: match reader.json.get("initializer_cutoff_factor") {
                None => 2.0,
                // What transformers makes of null.
                Some(_) => cutoff.unwrap_or(3.0),
            },
            classifier_pooling: match reader.word("classifier_pooling")?.unwrap_or("cls") {
                "cls" => Pooling::FirstToken,
                "mean" => Pooling::Mean,
                other => {
                    let message =
                        format!("`classifier_pooling` is `{other}`; expected cls or mean");
                    return Err(bad(reader.path, message));
                }
            },
            classifier_bias: bias("classifier_bias")?,
            classifier_activation: reader.activation(("classifier_activation", "gelu"))?,
        })
    }

    /// The first values of weights that lead into a block's parts
    /// (transformers 5.23, `ModernBertPreTrainedModel._init_weights`, as the two below).
    pub fn first_weights(&self, config: &ModelConfig) -> Initialization {
        self.truncated_normal(config.initializer_range)
    }

    /// The first values of weights that lead back to the residual sum, and of the head's dense
    /// layer.
    pub fn first_output_weights(&self, config: &ModelConfig) -> Initialization {
        let n_sums = 2.0 * config.num_hidden_layers as f64;
        self.truncated_normal(config.initializer_range / n_sums.sqrt())
    }

    /// The first values of the weights that make the logits.
    pub fn first_logit_weights(&self, config: &ModelConfig) -> Initialization {
        self.truncated_normal((config.hidden_size as f64).powf(-0.5))
    }

    fn truncated_normal(&self, std: f64) -> Initialization {
        let cutoff = self.initializer_cutoff_factor;
        Initialization::TruncatedNormal { std, cutoff }
    }

    /// Says in the form of transformers 5 what may stand in that of 4, whose meaning 5 does
    /// not keep everywhere (a `local_rope_theta` of null).
    pub(super) fn complete(&self, json: &mut Map<String, Value>) {
        let types: Vec<&str> = self.layers.iter().map(|reach| reach.layer_type()).collect();
        json.insert("layer_types".into(), json!(types));
        let rope = |theta: f64| json!({"rope_type": "default", "rope_theta": theta});
        let [global, local] = Reach::ALL.map(Reach::layer_type);
        json.insert(
            "rope_parameters".into(),
            json!({global: rope(self.global_theta), local: rope(self.local_theta)}),
        );
        json.shift_remove("rope_scaling");
    }
}

fn layers(reader: &Reader<'_>, n_layers: usize) -> Result<Vec<Reach>> {
    let every = reader.size("global_attn_every_n_layers", Some(3))?;
    let types = match reader.json.get("layer_types") {
        None | Some(Value::Null) => {
            let reach = |i: usize| match i % every {
                0 => Reach::Global,
                _ => Reach::Local,
            };
            return Ok((0..n_layers).map(reach).collect());
        }
        Some(types) => types,
    };
    let of_type = |value: &Value| Reach::ALL.into_iter().find(|r| value == r.layer_type());
    let layers = types.as_array().map_or(&[][..], Vec::as_slice);
    let layers: Option<Vec<Reach>> = layers.iter().map(of_type).collect();
    layers
        .filter(|layers| layers.len() == n_layers)
        .ok_or_else(|| {
            let message = format!(
                "`layer_types` is `{types}`; expected full_attention or sliding_attention for each of {n_layers} layers"
            );
            bad(reader.path, message)
        })
}

/// The rotary bases of global and of local layers.
fn thetas(reader: &Reader<'_>) -> Result<[f64; 2]> {
    if let Some(scaling) = reader.nested("rope_scaling") {
        check_rope_type(&scaling)?;
    }
    let parameters = reader.nested("rope_parameters");
    let theta = |reach: Reach| -> Result<Option<f64>> {
        let of_layers = parameters.as_ref();
        if let Some(of_layers) = of_layers.and_then(|all| all.nested(reach.layer_type())) {
            check_rope_type(&of_layers)?;
            if let Some(theta) = of_layers.number("rope_theta")? {
                return Ok(Some(theta));
            }
        }
        let (key, default) = reach.theta_key();
        match reader.json.get(key) {
            None => Ok(Some(default)),
            Some(_) => reader.number(key),
        }
    };
    let [global, local] = Reach::ALL.map(theta);
    let global = global?.unwrap_or(Reach::Global.theta_key().1);
    // In transformers 4 null stands for the global base.
    let thetas = [global, local?.unwrap_or(global)];
    match thetas.iter().find(|theta| **theta <= 0.0) {
        None => Ok(thetas),
        Some(theta) => {
            let message = format!("the base of rotary positions is {theta}; expected more than 0");
            Err(bad(reader.path, message))
        }
    }
}

fn check_rope_type(rope: &Reader<'_>) -> Result<()> {
    let kind = match rope.word("rope_type")? {
        Some(kind) => kind,
        None => rope.word("type")?.unwrap_or("default"),
    };
    if kind == "default" {
        return Ok(());
    }
    let message = format!("`rope_type` is `{kind}`; supported: default");
    Err(bad(rope.path, message))
}
