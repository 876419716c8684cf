//! Texts to token ids: a checkpoint's tokenizer, or a vocabulary made from the training texts.

mod cache;

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, Encoding, Model, ModelWrapper, NormalizerWrapper, PostProcessor,
    PreTokenizerWrapper, TruncationDirection, TruncationParams, TruncationStrategy,
};

use crate::data::caught::caught;
use crate::data::sentence_piece;
use crate::data::word_piece::{count_words, learn_pieces};
use crate::data::{Dataset, Example, ExampleIndex, PackedBatch, TokenizedExample};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;

pub use cache::TokenCache;

/// The special tokens of BERT's vocabularies, in the order in which new ones are numbered.
const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What special tokens are called in vocabularies, BERT's names first, by their keys in
/// `tokenizer_config.json`.
const SPECIAL_TOKEN_KEYS: [(&str, [&str; 2]); 5] = [
    ("pad_token", ["[PAD]", "<pad>"]),
    ("unk_token", ["[UNK]", "<unk>"]),
    ("cls_token", ["[CLS]", "<s>"]),
    ("sep_token", ["[SEP]", "</s>"]),
    ("mask_token", ["[MASK]", "<mask>"]),
];

/// A tokenizer, with what has to be saved beside it.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The text of `tokenizer_config.json`, completed when it is saved.
    config: Map<String, Value>,
}

impl Tokenizer {
    /// Reads `folder/tokenizer.json`, or makes BERT's tokenizer of `folder/vocab.txt`, or a
    /// model's of its SentencePiece file (`spm.model`, `sentencepiece.bpe.model` or
    /// `spiece.model`); whatever truncation and padding the file asks for is reset.
    ///
    /// # Errors
    /// No such file is there, or one is not a tokenizer.
    pub fn read(folder: &Path) -> Result<Self> {
        let config_path = folder.join("tokenizer_config.json");
        let mut config: Map<String, Value> = if config_path.exists() {
            serde_json::from_slice(&fsio::read(&config_path)?)
                .map_err(|e| Error::json(&config_path, "a JSON object", &e))?
        } else {
            Map::new()
        };
        let path = folder.join("tokenizer.json");
        let vocabulary = folder.join("vocab.txt");
        let mut inner = if path.exists() {
            let json: Value = serde_json::from_slice(&fsio::read(&path)?)
                .map_err(|e| Error::json(&path, "a tokenizer", &e))?;
            caught(|| serde_json::from_value(json))
                .map_err(|e| bad(&path, format!("not a tokenizer: {e}")))?
        } else if vocabulary.exists() {
            bert_tokenizer(word_piece(&vocabulary)?, normalizer_of(&config))
                .map_err(|e| bad(&vocabulary, e))?
        } else if let Some(found) = sentence_piece::read(folder, &config)? {
            for (role, token) in found.special_tokens {
                config.entry(role).or_insert_with(|| json!(token));
            }
            found.tokenizer
        } else {
            let hint = "the folder needs a `tokenizer.json`, a `vocab.txt` or a SentencePiece model \
                        (`spm.model`, `sentencepiece.bpe.model` or `spiece.model`)";
            let problem = Problem::new("there is no tokenizer")
                .in_file(&path)
                .hint(hint);
            return Err(Error::new(ErrorKind::MissingInput, problem));
        };
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|e| bad(&path, e.to_string()))?;
        Ok(Self { inner, config })
    }

    /// A lower-casing WordPiece tokenizer of at most `vocab_size` pieces, made from `texts`;
    /// the same texts in any order make the same tokenizer.
    ///
    /// # Errors
    /// Texts without a single word to learn from.
    pub fn train<'a>(texts: impl Iterator<Item = &'a str>, vocab_size: usize) -> Result<Self> {
        let normalizer = BertNormalizer::default();
        let texts: Vec<&str> = texts.collect();
        let words = count_words(&texts, normalizer)?;
        if words.is_empty() {
            let message = "no vocabulary can be made: the training texts hold no word";
            return Err(Error::data(Problem::new(message)));
        }
        let pieces = learn_pieces(&words, vocab_size.saturating_sub(SPECIAL_TOKENS.len()));
        let lines: String = SPECIAL_TOKENS
            .into_iter()
            .chain(pieces.iter().map(String::as_str))
            .flat_map(|piece| [piece, "\n"])
            .collect();
        let inner = WordPiece::read_bytes(lines.as_bytes())
            .and_then(|vocabulary| WordPiece::builder().vocab(vocabulary).build())
            .map_err(|e| e.to_string())
            .and_then(|model| bert_tokenizer(model, normalizer))
            .map_err(|e| Error::internal(format!("tokenizer: {e}")))?;
        Ok(Self {
            inner,
            config: Map::new(),
        })
    }

    /// The number of ids that a model needs: one more than the largest id of a token.
    pub fn vocab_size(&self) -> usize {
        let ids = self.inner.get_vocab(true).into_values();
        ids.max().map_or(0, |id| id as usize + 1)
    }

    /// The longest input in tokens that `tokenizer_config.json` gives, if it gives one.
    pub fn max_length(&self) -> Option<usize> {
        // Where there is no limit, transformers writes 1e30.
        let length = self.config.get("model_max_length")?.as_u64()?;
        usize::try_from(length).ok()
    }

    /// Turns all texts of a data set into token ids, in parallel.
    ///
    /// A text longer than `max_length` tokens (special tokens included) is cut at its end; of
    /// a pair, the longer text first.
    ///
    /// # Errors
    /// A `max_length` without room for a text ([`ErrorKind::Config`]); a text that the tokenizer
    /// refuses or makes no token of, or, where truncation is
    /// [`Truncation::Refuse`], one that is too long.
    pub fn tokenize(
        &self,
        dataset: &Dataset,
        max_length: usize,
        truncation: Truncation,
    ) -> Result<TokenizedDataset> {
        /// Texts in memory as encodings, which are much larger than their ids.
        const CHUNK: usize = 4096;
        let mut tokenizer = self.inner.clone();
        let mut sequences = dataset.examples.iter().flat_map(Example::sequences);
        let has_pairs = sequences.any(|(_, second)| second.is_some());
        let n_special = tokenizer
            .get_post_processor()
            .map_or(0, |processor| processor.added_tokens(has_pairs));
        if max_length <= n_special {
            let message = format!(
                "`model.max_length` is {max_length}; the {n_special} special tokens leave no room for a text"
            );
            return Err(Error::new(ErrorKind::Config, Problem::new(message)));
        }
        tokenizer
            .with_truncation(Some(TruncationParams {
                direction: TruncationDirection::Right,
                max_length,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
            }))
            .map_err(|e| Error::internal(format!("tokenizer: {e}")))?;
        let per_example = dataset.sequences_per_example();
        let mut tokenized = TokenizedDataset {
            starts: vec![0],
            sequences_per_example: per_example,
            ..TokenizedDataset::default()
        };
        for examples in dataset.examples.chunks(CHUNK) {
            let encodings = encode(&self.inner, &tokenizer, examples)
                .map_err(|e| Error::data(Problem::new(e.to_string()).in_file(&dataset.path)))?;
            for (example, encodings) in examples.iter().zip(encodings.chunks_exact(per_example)) {
                if encodings.iter().any(|e| !e.get_overflowing().is_empty()) {
                    tokenized.n_truncated += 1;
                    if truncation == Truncation::Refuse {
                        let message = format!(
                            "the text of example `{}` has more than {max_length} tokens",
                            example.guid
                        );
                        let hint = "set `model.truncation: true`, or raise `model.max_length`";
                        return Err(Error::data(
                            Problem::new(message).in_file(&dataset.path).hint(hint),
                        ));
                    }
                }
                if encodings.iter().any(Encoding::is_empty) {
                    let message = format!("the text of example `{}` has no token", example.guid);
                    let hint = "the tokenizer adds no special tokens of its own; remove such texts";
                    return Err(Error::data(
                        Problem::new(message).in_file(&dataset.path).hint(hint),
                    ));
                }
                for encoding in encodings {
                    tokenized.input_ids.extend_from_slice(encoding.get_ids());
                    let types = encoding.get_type_ids().iter().map(|id| *id as u8);
                    tokenized.token_type_ids.extend(types);
                    tokenized.starts.push(tokenized.input_ids.len());
                }
                tokenized.labels.push(example.label);
            }
        }
        Ok(tokenized)
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`, as transformers reads them, and
    /// `vocab.txt` for WordPiece.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub fn save(&self, folder: &Path, max_length: usize) -> Result<()> {
        let mut text = self
            .inner
            .to_string(true)
            .map_err(|e| Error::internal(format!("tokenizer: {e}")))?;
        text.push('\n');
        fsio::write(&folder.join("tokenizer.json"), text.as_bytes())?;
        if matches!(self.inner.get_model(), ModelWrapper::WordPiece(_)) {
            fsio::write(
                &folder.join("vocab.txt"),
                self.vocabulary_lines().as_bytes(),
            )?;
        }
        let mut text =
            serde_json::to_string_pretty(&self.config_to_save(max_length)).unwrap_or_default();
        text.push('\n');
        fsio::write(&folder.join("tokenizer_config.json"), text.as_bytes())
    }

    /// What transformers has to read in `tokenizer_config.json` to make the same tokens.
    ///
    /// Its `BertTokenizer` takes the vocabulary from `tokenizer.json` but the normalizer from
    /// here, and its `RobertaTokenizer` the space before the first word (transformers 5.23,
    /// `models/bert/tokenization_bert.py` and `models/roberta/tokenization_roberta.py`). The
    /// general class uses all of `tokenizer.json`, but has to be told of token types and of
    /// what each special token is for.
    fn config_to_save(&self, max_length: usize) -> Map<String, Value> {
        let mut config = self.config.clone();
        let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
        let class_knows_special_tokens = match (
            self.inner.get_model(),
            self.inner.get_normalizer(),
            self.inner.get_pre_tokenizer(),
        ) {
            (
                ModelWrapper::WordPiece(_),
                Some(NormalizerWrapper::BertNormalizer(normalizer)),
                Some(PreTokenizerWrapper::BertPreTokenizer(_)),
            ) if normalizer.clean_text => {
                set("tokenizer_class", json!("BertTokenizer"));
                set("do_lower_case", json!(normalizer.lowercase));
                set("strip_accents", json!(normalizer.strip_accents));
                set(
                    "tokenize_chinese_chars",
                    json!(normalizer.handle_chinese_chars),
                );
                false
            }
            (ModelWrapper::BPE(_), None, Some(PreTokenizerWrapper::ByteLevel(bytes)))
                if bytes.use_regex && self.inner.token_to_id("<s>").is_some() =>
            {
                set("add_prefix_space", json!(bytes.add_prefix_space));
                if self.names_no_class() {
                    set("tokenizer_class", json!("RobertaTokenizer"));
                }
                true
            }
            _ => {
                set("tokenizer_class", json!("PreTrainedTokenizerFast"));
                let inputs: &[&str] = if self.has_token_types() {
                    &["input_ids", "token_type_ids", "attention_mask"]
                } else {
                    &["input_ids", "attention_mask"]
                };
                // ModernBERT's says what the model takes: its token types mean nothing.
                let inputs_of_model = config.entry("model_input_names");
                inputs_of_model.or_insert_with(|| json!(inputs));
                false
            }
        };
        if !class_knows_special_tokens {
            for (key, tokens) in SPECIAL_TOKEN_KEYS {
                let known = |token: &&str| self.inner.token_to_id(token).is_some();
                if let Some(token) = tokens.into_iter().find(known) {
                    config.entry(key).or_insert_with(|| json!(token));
                }
            }
        }
        config.insert("model_max_length".into(), json!(max_length));
        config
    }

    /// Whether the texts of a pair are told apart by their token types.
    fn has_token_types(&self) -> bool {
        let pair = self.inner.encode_fast(("a", "a"), true);
        pair.is_ok_and(|encoding| encoding.get_type_ids().iter().any(|id| *id > 0))
    }

    /// Whether `tokenizer_config.json` leaves open which tokenizer this is.
    fn names_no_class(&self) -> bool {
        let class = self.config.get("tokenizer_class").and_then(Value::as_str);
        class.is_none_or(|name| ["PreTrainedTokenizerFast", "TokenizersBackend"].contains(&name))
    }

    fn vocabulary_lines(&self) -> String {
        let mut by_id: Vec<(u32, String)> = self
            .inner
            .get_vocab(false)
            .into_iter()
            .map(|(token, id)| (id, token))
            .collect();
        by_id.sort_unstable();
        by_id.into_iter().map(|(_, token)| token + "\n").collect()
    }
}

/// What happens to a text that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// Its end is cut off.
    Cut,
    /// It is an error.
    Refuse,
}

/// The token ids of a data set, laid end to end in the order of the examples; of a multiple
/// choice, in the order of its options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenizedDataset {
    input_ids: Vec<u32>,
    token_type_ids: Vec<u8>,
    /// Where each sequence starts, and where the last one ends.
    starts: Vec<usize>,
    sequences_per_example: usize,
    labels: Vec<u32>,
    n_truncated: usize,
}

impl TokenizedDataset {
    /// The number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of examples that were cut.
    pub fn n_truncated(&self) -> usize {
        self.n_truncated
    }

    /// The number of tokens of an example, special ones included; of all options together.
    pub fn length(&self, index: ExampleIndex) -> usize {
        self.sequences(index).map(|range| range.len()).sum()
    }

    /// The class index of an example.
    pub fn label(&self, index: ExampleIndex) -> u32 {
        self.labels[index as usize]
    }

    /// Lays the examples at `indices` end to end on `device`.
    ///
    /// `n_token_types` is the size of the model's token type table: where it has one row, every
    /// token is of type 0.
    ///
    /// # Errors
    /// No memory on the device.
    pub fn batch(
        &self,
        indices: &[ExampleIndex],
        n_token_types: usize,
        device: &candle_core::Device,
    ) -> Result<PackedBatch> {
        let largest_type = n_token_types.saturating_sub(1) as u32;
        let sequences = || {
            let of_one = |index: &ExampleIndex| {
                let index = *index;
                self.sequences(index).map(move |range| (index, range))
            };
            indices.iter().flat_map(of_one)
        };
        let types: Vec<Vec<u32>> = sequences()
            .map(|(_, range)| {
                let types = self.token_type_ids[range].iter();
                types.map(|id| u32::from(*id).min(largest_type)).collect()
            })
            .collect();
        let sequences: Vec<TokenizedExample<'_>> = sequences()
            .zip(&types)
            .map(|((index, range), token_type_ids)| TokenizedExample {
                index,
                input_ids: &self.input_ids[range],
                token_type_ids,
                label: self.label(index),
            })
            .collect();
        PackedBatch::of_options(&sequences, self.sequences_per_example, device)
    }

    /// The examples at `indices` in batches of at most `batch_size`, similar lengths together:
    /// for passes whose results do not depend on the order.
    pub fn batches_by_length(
        &self,
        indices: &[ExampleIndex],
        batch_size: usize,
    ) -> Vec<Vec<ExampleIndex>> {
        let mut order = indices.to_vec();
        order.sort_by_key(|index| (self.length(*index), *index));
        order.chunks(batch_size).map(<[_]>::to_vec).collect()
    }

    /// Where the tokens of each of an example's sequences lie.
    fn sequences(&self, index: ExampleIndex) -> impl Iterator<Item = Range<usize>> + '_ {
        let first = index as usize * self.sequences_per_example;
        let limits = &self.starts[first..=first + self.sequences_per_example];
        limits.windows(2).map(|pair| pair[0]..pair[1])
    }
}

/// The tokens of some examples' sequences, special ones included, cut to the length of `cutting`.
///
/// tokenizers 0.23.2 stops reading a text that is too long, so that it may not see which of a
/// pair is the longer one: the texts of pairs are read by `whole`, which does not cut.
fn encode(
    whole: &tokenizers::Tokenizer,
    cutting: &tokenizers::Tokenizer,
    examples: &[Example],
) -> tokenizers::Result<Vec<Encoding>> {
    let (firsts, seconds): (Vec<&str>, Vec<Option<&str>>) =
        examples.iter().flat_map(Example::sequences).unzip();
    if seconds.iter().all(Option::is_none) {
        return cutting.encode_batch_fast(firsts, true);
    }
    let texts: Vec<&str> = seconds
        .iter()
        .map(|text| text.unwrap_or_default())
        .collect();
    let firsts = whole.encode_batch_fast(firsts, false)?;
    let texts = whole.encode_batch_fast(texts, false)?;
    let pairs = firsts.into_iter().zip(texts).zip(seconds);
    pairs
        .map(|((first, text), second)| cutting.post_process(first, second.map(|_| text), true))
        .collect()
}

fn word_piece(vocabulary: &Path) -> Result<WordPiece> {
    WordPiece::from_file(&vocabulary.to_string_lossy())
        .unk_token("[UNK]".into())
        .build()
        .map_err(|e| bad(vocabulary, format!("not a vocabulary: {e}")))
}

/// BERT's normalizer as `tokenizer_config.json` asks for it.
fn normalizer_of(config: &Map<String, Value>) -> BertNormalizer {
    let switch = |key: &str| config.get(key).and_then(Value::as_bool);
    BertNormalizer::new(
        true,
        switch("tokenize_chinese_chars").unwrap_or(true),
        switch("strip_accents"),
        switch("do_lower_case").unwrap_or(true),
    )
}

/// BERT's tokenizer around a WordPiece vocabulary: its normalizer, its splitting at spaces and
/// punctuation, and `[CLS] a [SEP] b [SEP]`.
fn bert_tokenizer(
    model: WordPiece,
    normalizer: BertNormalizer,
) -> Result<tokenizers::Tokenizer, String> {
    let id = |token: &str| {
        model
            .token_to_id(token)
            .ok_or_else(|| format!("the vocabulary lacks `{token}`"))
    };
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")
        .and_then(|builder| builder.try_pair("[CLS] $A [SEP] $B:1 [SEP]:1"))
        .map_err(|e| e.clone())?
        .special_tokens(vec![("[CLS]", id("[CLS]")?), ("[SEP]", id("[SEP]")?)])
        .build()
        .map_err(|e| e.to_string())?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(|e| e.to_string())?
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(template))
        .with_decoder(Some(WordPieceDecoder::default()));
    let special: Vec<AddedToken> = SPECIAL_TOKENS
        .iter()
        .filter(|token| tokenizer.token_to_id(token).is_some())
        .map(|token| AddedToken::from((*token).to_owned(), true))
        .collect();
    tokenizer
        .add_special_tokens(special)
        .map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

fn bad(path: &Path, message: String) -> Error {
    Error::data(Problem::new(message).in_file(path))
}
