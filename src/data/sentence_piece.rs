//! SentencePiece models (Kudo and Richardson 2018) as tokenizers: what a repository without a
//! `tokenizer.json` has.
//!
//! The file is a protocol buffer, `ModelProto` of sentencepiece's `sentencepiece_model.proto`.
//! Vocabulary, normalization and special tokens are put together for each model as
//! transformers' converters do (`convert_slow_tokenizer.py` of transformers 5.23).

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::normalizers::Precompiled;
use tokenizers::processors::template::TemplateProcessing;

use crate::data::protobuf::{Field, fields};
use crate::error::{Error, Problem, Result};
use crate::fsio;

/// The character that stands for a space in pieces.
const SPACE: char = '\u{2581}';

/// The files that may hold a SentencePiece model, with the model that has it under that name.
const FILES: [(&str, Layout); 3] = [
    ("spm.model", Layout::DebertaV2),
    ("sentencepiece.bpe.model", Layout::XlmRoberta),
    ("spiece.model", Layout::Albert),
];

/// A tokenizer, with the names of its special tokens as `tokenizer_config.json` has them.
pub(super) struct SentencePiece {
    pub tokenizer: tokenizers::Tokenizer,
    pub special_tokens: Vec<(&'static str, &'static str)>,
}

/// Makes the tokenizer of the SentencePiece model in `folder`, if there is one; `config` is its
/// `tokenizer_config.json`.
///
/// # Errors
/// A file that is damaged, or not a unigram model with the pieces that its place needs.
pub(super) fn read(folder: &Path, config: &Map<String, Value>) -> Result<Option<SentencePiece>> {
    let found = FILES
        .into_iter()
        .map(|(name, layout)| (folder.join(name), layout))
        .find(|(path, _)| path.exists());
    let Some((path, layout)) = found else {
        return Ok(None);
    };
    let layout = match layout {
        Layout::XlmRoberta if is_camembert(folder, config) => Layout::Camembert,
        layout => layout,
    };
    let bytes = fsio::read(&path)?;
    let bad = |message: String| Error::data(Problem::new(message).in_file(&path));
    let model = SpmModel::parse(&bytes)
        .map_err(|message| bad(format!("not a SentencePiece model: {message}")))?;
    let tokenizer = layout.tokenizer(&model, config).map_err(bad)?;
    Ok(Some(SentencePiece {
        tokenizer,
        special_tokens: layout.special_tokens().to_vec(),
    }))
}

/// XLM-RoBERTa and CamemBERT call their files alike; what lies beside them tells which it is.
fn is_camembert(folder: &Path, config: &Map<String, Value>) -> bool {
    let class = config.get("tokenizer_class").and_then(Value::as_str);
    if let Some(class) = class {
        return class.starts_with("Camembert");
    }
    let model = fsio::read(&folder.join("config.json")).ok();
    let model = model.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    model.is_some_and(|model| model["model_type"] == "camembert")
}

/// How a model lays out its vocabulary around the pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The pieces, then `[MASK]`.
    DebertaV2,
    /// The pieces as they are.
    Albert,
    /// fairseq's four special tokens instead of the first three pieces, then `<mask>`.
    XlmRoberta,
    /// Five special tokens instead of the first piece, then `<mask>`.
    Camembert,
}

impl Layout {
    /// The special tokens by their role.
    fn special_tokens(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::DebertaV2 => &[
                ("cls_token", "[CLS]"),
                ("sep_token", "[SEP]"),
                ("unk_token", "[UNK]"),
                ("pad_token", "[PAD]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Albert => &[
                ("cls_token", "[CLS]"),
                ("sep_token", "[SEP]"),
                ("unk_token", "<unk>"),
                ("pad_token", "<pad>"),
                ("mask_token", "[MASK]"),
            ],
            Self::XlmRoberta | Self::Camembert => &[
                ("cls_token", "<s>"),
                ("sep_token", "</s>"),
                ("unk_token", "<unk>"),
                ("pad_token", "<pad>"),
                ("mask_token", "<mask>"),
            ],
        }
    }

    /// Tokens and scores in the order of their ids, and the id of the unknown token.
    fn vocabulary(self, model: &SpmModel) -> Result<(Vec<(String, f32)>, usize), String> {
        let pieces = |from: usize| {
            let pieces = model.pieces[from..].iter();
            pieces.map(|piece| (piece.text.clone(), piece.score))
        };
        let special = |token: &str| (token.to_owned(), 0.0);
        let (head, n_replaced): (&[&str], usize) = match self {
            Self::DebertaV2 | Self::Albert => (&[], 0),
            Self::XlmRoberta => (&["<s>", "<pad>", "</s>", "<unk>"], 3),
            Self::Camembert => (&["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"], 1),
        };
        let is_special =
            |piece: &Piece| matches!(piece.kind, PieceKind::Unknown | PieceKind::Control);
        if model.pieces.len() < n_replaced || !model.pieces[..n_replaced].iter().all(is_special) {
            return Err(format!(
                "the first {n_replaced} pieces are not special tokens, as this model's are"
            ));
        }
        let mut vocabulary: Vec<(String, f32)> = head.iter().map(|token| special(token)).collect();
        if self == Self::Camembert {
            // Far less likely than any piece, so that it is never chosen.
            vocabulary.push(("<unk>NOTUSED".to_owned(), -100.0));
        }
        vocabulary.extend(pieces(n_replaced));
        if self == Self::Albert {
            // ALBERT splits a comma from the digit before it.
            for (piece, score) in &mut vocabulary {
                *score -= if is_number_with_comma(piece) {
                    100.0
                } else {
                    0.0
                };
            }
        }
        if matches!(self, Self::XlmRoberta | Self::Camembert) {
            vocabulary.push(special("<mask>"));
        }
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = vocabulary.iter().find(|(token, _)| !seen.insert(token)) {
            return Err(format!("the piece `{twice}` is there twice"));
        }
        let unknown = self.special_tokens()[2].1;
        let at = vocabulary.iter().position(|(token, _)| token == unknown);
        let unknown = at.ok_or_else(|| format!("the piece `{unknown}` is missing"))?;
        Ok((vocabulary, unknown))
    }

    fn tokenizer(
        self,
        model: &SpmModel,
        config: &Map<String, Value>,
    ) -> Result<tokenizers::Tokenizer, String> {
        let (vocabulary, unknown) = self.vocabulary(model)?;
        // DeBERTa's mask is no piece and comes after them.
        let id_of = |token: &str| {
            let at = vocabulary.iter().position(|(t, _)| t == token);
            let is_last = self == Self::DebertaV2 && token == "[MASK]";
            at.or(is_last.then_some(vocabulary.len()))
        };
        let switch = |key: &str, default: bool| {
            let value = config.get(key).and_then(Value::as_bool);
            value.unwrap_or(default)
        };
        let scheme = if model.adds_prefix { "always" } else { "never" };
        let metaspace = json!({
            "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": true,
        });
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": self.added_tokens(model, id_of)?,
            "normalizer": {
                "type": "Sequence",
                "normalizers": self.normalizers(model, switch)?,
            },
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": self.pre_tokenizers(&metaspace, switch),
            },
            "decoder": metaspace.clone(),
            "post_processor": null,
            "model": {
                "type": "Unigram",
                "unk_id": unknown,
                "byte_fallback": false,
                "vocab": &vocabulary,
            },
        });
        let mut tokenizer: tokenizers::Tokenizer =
            serde_json::from_value(tokenizer).map_err(|e| format!("not a tokenizer: {e}"))?;
        tokenizer.with_post_processor(Some(self.template(id_of)?));
        Ok(tokenizer)
    }

    fn normalizers(
        self,
        model: &SpmModel,
        switch: impl Fn(&str, bool) -> bool,
    ) -> Result<Vec<Value>, String> {
        let replace = |pattern: Value, content| json!({"type": "Replace", "pattern": pattern, "content": content});
        let mut list = Vec::new();
        match self {
            Self::DebertaV2 => {
                if switch("do_lower_case", false) {
                    list.push(json!({"type": "Lowercase"}));
                }
                list.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
            }
            Self::Albert => {
                list.push(replace(json!({"String": "``"}), "\""));
                list.push(replace(json!({"String": "''"}), "\""));
                if !switch("keep_accents", false) {
                    list.push(json!({"type": "NFKD"}));
                    list.push(json!({"type": "StripAccents"}));
                }
                if switch("do_lower_case", true) {
                    list.push(json!({"type": "Lowercase"}));
                }
            }
            Self::XlmRoberta | Self::Camembert => {}
        }
        if let Some(map) = &model.character_map {
            list.push(serde_json::to_value(map).map_err(|e| e.to_string())?);
        }
        if matches!(self, Self::DebertaV2 | Self::Albert) {
            list.push(replace(json!({"Regex": " {2,}"}), " "));
        }
        Ok(list)
    }

    fn pre_tokenizers(self, metaspace: &Value, switch: impl Fn(&str, bool) -> bool) -> Vec<Value> {
        let first = match self {
            Self::DebertaV2 => switch("split_by_punct", false)
                .then(|| json!({"type": "Punctuation", "behavior": "Isolated"})),
            _ => Some(json!({"type": "WhitespaceSplit"})),
        };
        first.into_iter().chain([metaspace.clone()]).collect()
    }

    /// Special tokens, and pieces that are found before anything is split.
    fn added_tokens(
        self,
        model: &SpmModel,
        id_of: impl Fn(&str) -> Option<usize>,
    ) -> Result<Vec<Value>, String> {
        let roles = self.special_tokens();
        let mut added: Vec<(usize, &str, bool)> = Vec::new();
        for (_, token) in roles {
            let id = id_of(token).ok_or_else(|| format!("the piece `{token}` is missing"))?;
            added.push((id, token, true));
        }
        if self == Self::Camembert {
            for token in ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"] {
                added.extend(id_of(token).map(|id| (id, token, true)));
            }
        }
        for piece in &model.pieces {
            let is_control = piece.kind == PieceKind::Control;
            let is_added = is_control || piece.kind == PieceKind::UserDefined;
            if is_added && added.iter().all(|(_, token, _)| *token != piece.text) {
                added.extend(id_of(&piece.text).map(|id| (id, piece.text.as_str(), is_control)));
            }
        }
        added.sort_unstable();
        // A mask takes the spaces before it, but for DeBERTa's.
        let mask = (self != Self::DebertaV2).then_some(roles[4].1);
        let token = |(id, content, special): (usize, &str, bool)| {
            json!({
                "id": id, "content": content, "special": special, "normalized": false,
                "single_word": false, "lstrip": mask == Some(content), "rstrip": false,
            })
        };
        Ok(added.into_iter().map(token).collect())
    }

    /// What stands around one text and around two.
    fn template(self, id_of: impl Fn(&str) -> Option<usize>) -> Result<TemplateProcessing, String> {
        let [(_, first), (_, last), ..] = self.special_tokens() else {
            return Err("a model has two special tokens around a text".to_owned());
        };
        let pair = match self {
            Self::DebertaV2 | Self::Albert => format!("{first} $A {last} $B:1 {last}:1"),
            Self::XlmRoberta | Self::Camembert => format!("{first} $A {last} {last} $B {last}"),
        };
        let with_id = |token: &'static str| {
            let id = id_of(token).ok_or_else(|| format!("the piece `{token}` is missing"))?;
            Ok((token.to_owned(), id as u32))
        };
        let ids: Result<Vec<_>, String> = [*first, *last].into_iter().map(with_id).collect();
        TemplateProcessing::builder()
            .try_single(format!("{first} $A {last}"))
            .and_then(|builder| builder.try_pair(pair))
            .map_err(|e| e.clone())?
            .special_tokens(ids?)
            .build()
            .map_err(|e| e.to_string())
    }
}

/// Whether a piece ends with a digit and a comma.
fn is_number_with_comma(piece: &str) -> bool {
    let mut back = piece.chars().rev();
    back.next() == Some(',') && back.next().is_some_and(char::is_numeric)
}

/// What is needed of a `ModelProto`.
struct SpmModel {
    pieces: Vec<Piece>,
    character_map: Option<Precompiled>,
    /// Whether a text gets a space at its beginning (`add_dummy_prefix`).
    adds_prefix: bool,
}

struct Piece {
    text: String,
    score: f32,
    kind: PieceKind,
}

/// `SentencePiece.Type`, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    /// An ordinary piece, an unused one, or a byte.
    Other,
    Unknown,
    Control,
    UserDefined,
}

impl SpmModel {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut model = Self {
            pieces: Vec::new(),
            character_map: None,
            adds_prefix: true,
        };
        for field in fields(bytes) {
            match field? {
                (1, Field::Bytes(piece)) => {
                    let number = model.pieces.len();
                    let piece = Piece::parse(piece).map_err(|e| format!("piece {number}: {e}"))?;
                    model.pieces.push(piece);
                }
                (2, Field::Bytes(trainer)) => check_algorithm(trainer)?,
                (3, Field::Bytes(normalizer)) => model.parse_normalizer(normalizer)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err("it holds no pieces".to_owned());
        }
        Ok(model)
    }

    fn parse_normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        for field in fields(bytes) {
            match field? {
                (2, Field::Bytes([])) => {}
                (2, Field::Bytes(map)) => self.character_map = Some(character_map(map)?),
                (3, Field::Varint(value)) => self.adds_prefix = value != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Piece {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (mut text, mut score, mut kind) = (String::new(), 0.0, PieceKind::Other);
        for field in fields(bytes) {
            match field? {
                (1, Field::Bytes(value)) => {
                    let value = std::str::from_utf8(value).map_err(|_| "not UTF-8")?;
                    value.clone_into(&mut text);
                }
                (2, Field::Fixed32(bits)) => score = f32::from_bits(bits),
                (3, Field::Varint(2)) => kind = PieceKind::Unknown,
                (3, Field::Varint(3)) => kind = PieceKind::Control,
                (3, Field::Varint(4)) => kind = PieceKind::UserDefined,
                _ => {}
            }
        }
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if !score.is_finite() {
            return Err(format!("its score is {score}"));
        }
        Ok(Self { text, score, kind })
    }
}

/// Refuses a model that was not trained as a unigram model, `model_type` 1.
fn check_algorithm(trainer: &[u8]) -> Result<(), String> {
    for field in fields(trainer) {
        if let (3, Field::Varint(model_type)) = field?
            && model_type != 1
        {
            return Err(match model_type {
                2 => "it is a BPE model; supported: unigram".to_owned(),
                other => format!("its `model_type` is {other}; supported: 1 (unigram)"),
            });
        }
    }
    Ok(())
}

/// Reads a `precompiled_charsmap`: the size of a trie in bytes, the trie as units of 32 bits,
/// and the replacements, each ended by a 0.
///
/// The library follows the trie without looking where it leads, so that is looked at here. A
/// unit has its label in the low byte (and bit 31), a bit that says whether a replacement ends
/// here, and the way to its children (darts-clone's `DoubleArrayUnit`).
fn character_map(bytes: &[u8]) -> Result<Precompiled, String> {
    let damaged = || "its character map is damaged".to_owned();
    let map = Precompiled::from(bytes).map_err(|_| damaged())?;
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let n_units = u32::from_le_bytes(*size) as usize / 4;
    let (units, replacements) = rest.split_at_checked(4 * n_units).ok_or_else(damaged)?;
    let (units, _) = units.as_chunks::<4>();
    let unit = |at: usize| units.get(at).map(|unit| u32::from_le_bytes(*unit) as usize);
    let children = |at: usize, unit: usize| at ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
    let replacements = std::str::from_utf8(replacements).map_err(|_| damaged())?;

    let root = unit(0).ok_or_else(damaged)?;
    let mut seen = vec![false; n_units];
    let mut open = vec![children(0, root)];
    while let Some(base) = open.pop() {
        for label in 1..=0xff {
            let at = base ^ label;
            let child = unit(at).ok_or_else(damaged)?;
            if child & (1 << 31 | 0xff) != label {
                continue;
            }
            let below = children(at, child);
            if child >> 8 & 1 == 1 {
                let start = unit(below).ok_or_else(damaged)? & !(1 << 31);
                if !replacements.is_char_boundary(start) {
                    return Err(damaged());
                }
            }
            if !std::mem::replace(seen.get_mut(below).ok_or_else(damaged)?, true) {
                open.push(below);
            }
        }
    }
    Ok(map)
}
