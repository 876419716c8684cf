//! What DeBERTa-v2 and v3 have in `config.json` beside the rest, with transformers' defaults.

use serde_json::Value;

use crate::error::Result;
use crate::model::config::reader::{Reader, bad};
use crate::nn::{Activation, PositionTerms, RelativePositions};

/// What varies among DeBERTa's encoders and heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DebertaConfig {
    /// `pos_att_type`: which terms with positions the scores have, if `relative` is there.
    pub terms: PositionTerms,
    /// The relative embeddings, with `relative_attention`.
    pub relative: Option<RelativeEmbeddings>,
    /// `position_biased_input`: whether each token's embedding has its position's added.
    pub position_biased_input: bool,
    /// The dropout before the head's dense layer, in [0, 1).
    pub pooler_dropout: f64,
    /// `pooler_hidden_act`, after the head's dense layer.
    pub pooler_activation: Activation,
}

/// The table of relative embeddings that all blocks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelativeEmbeddings {
    /// Which row belongs to which distance.
    pub positions: RelativePositions,
    /// `norm_rel_ebd: layer_norm`.
    pub has_norm: bool,
    /// `share_att_key`: projected by the blocks' own projections of tokens.
    pub shares_projections: bool,
}

impl DebertaConfig {
    /// The scores are divided by the square root of the head's width times this number.
    pub fn scale_factor(&self) -> usize {
        let terms = [
            self.terms.content_to_position,
            self.terms.position_to_content,
        ];
        1 + terms.into_iter().filter(|has| *has).count()
    }

    /// The rows of its embeddings, beside those of words and token types.
    pub fn n_rows(&self, max_position_embeddings: usize) -> usize {
        let relative = self.relative.map_or(0, |table| table.positions.n_rows());
        let absolute = if self.position_biased_input {
            max_position_embeddings
        } else {
            0
        };
        relative + absolute
    }

    /// Reads it; D, H and the number of positions are those of the encoder.
    pub(super) fn read(
        reader: &Reader<'_>,
        hidden_size: usize,
        n_heads: usize,
        max_position_embeddings: usize,
    ) -> Result<Self> {
        if reader
            .whole("conv_kernel_size")?
            .is_some_and(|size| size > 0)
        {
            return Err(bad(
                reader.path,
                "`conv_kernel_size` asks for a convolution, as deberta-v2-xlarge has it; supported: models without one",
            ));
        }
        for (key, only) in [
            ("embedding_size", hidden_size),
            ("pooler_hidden_size", hidden_size),
            ("attention_head_size", hidden_size / n_heads),
        ] {
            if let Some(size) = reader.whole(key)?.filter(|size| *size != only) {
                let message = format!("`{key}` is {size}; supported: {only}, by `hidden_size`");
                return Err(bad(reader.path, message));
            }
        }
        let types = words(reader, "pos_att_type")?;
        let relative = if reader.switch("relative_attention")?.unwrap_or(false) {
            Some(RelativeEmbeddings {
                positions: relative_positions(reader, max_position_embeddings)?,
                has_norm: words(reader, "norm_rel_ebd")?.contains(&"layer_norm".to_owned()),
                shares_projections: reader.switch("share_att_key")?.unwrap_or(false),
            })
        } else {
            None
        };
        Ok(Self {
            terms: PositionTerms {
                content_to_position: types.contains(&"c2p".to_owned()),
                position_to_content: types.contains(&"p2c".to_owned()),
            },
            relative,
            position_biased_input: reader.switch("position_biased_input")?.unwrap_or(true),
            pooler_dropout: reader.rate(("pooler_dropout", 0.0))?,
            pooler_activation: reader.activation(("pooler_hidden_act", "gelu"))?,
        })
    }
}

fn relative_positions(
    reader: &Reader<'_>,
    max_position_embeddings: usize,
) -> Result<RelativePositions> {
    let positions = RelativePositions {
        buckets: reader.size_or_off("position_buckets")?,
        max_distance: reader
            .size_or_off("max_relative_positions")?
            .unwrap_or(max_position_embeddings),
    };
    // The buckets grow from half their number to the largest distance.
    if let Some(buckets) = positions.buckets
        && (buckets < 2 || positions.max_distance <= buckets / 2 + 1)
    {
        let message = format!(
            "`position_buckets` is {buckets}; expected 2 to {} for a range of {} relative positions",
            2 * positions.max_distance.saturating_sub(2),
            positions.max_distance
        );
        return Err(bad(reader.path, message));
    }
    Ok(positions)
}

/// A list of words, or one text of them with `|` between: `c2p|p2c`.
fn words(reader: &Reader<'_>, key: &str) -> Result<Vec<String>> {
    let words = match reader.json.get(key) {
        None | Some(Value::Null) => Some(vec![]),
        Some(Value::String(text)) => Some(text.split('|').map(str::to_owned).collect()),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|word| word.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>()
        }
        Some(_) => None,
    };
    let words = words.ok_or_else(|| bad(reader.path, format!("`{key}` is not a list of texts")))?;
    let words = words.iter().map(|word| word.trim().to_lowercase());
    Ok(words.collect())
}
