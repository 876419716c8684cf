//! Texts to token ids: parity with transformers, vocabularies of our own, saving.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use enginora_rs::data::{Dataset, Example, Tokenizer, Truncation};
use enginora_rs::error::ErrorKind;
use serde_json::{Value, json};

use crate::model::{fixture, values};
use crate::scratch::Scratch;

const TOKENIZERS: [&str; 7] = [
    "bert-tiny",
    "bert-tiny-3class",
    "roberta-tiny",
    "xlm-roberta-tiny",
    "camembert-tiny",
    "albert-tiny",
    "modernbert-tiny",
];

pub fn dataset<'a>(texts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Dataset {
    let examples = texts
        .into_iter()
        .enumerate()
        .map(|(i, (text, pair))| Example {
            guid: format!("g{i}"),
            text: text.to_owned(),
            text_pair: pair.map(str::to_owned),
            label: 0,
            ..Example::default()
        });
    Dataset {
        path: PathBuf::from("texts.tsv"),
        examples: examples.collect(),
        extra: BTreeMap::new(),
        warnings: vec![],
    }
}

/// Ids and token types of each example.
pub fn tokens(
    tokenizer: &Tokenizer,
    dataset: &Dataset,
    max_length: usize,
) -> Vec<(Vec<u32>, Vec<u32>)> {
    let tokenized = tokenizer
        .tokenize(dataset, max_length, Truncation::Cut)
        .unwrap();
    (0..dataset.len() as u32)
        .map(|i| {
            let batch = tokenized.batch(&[i], 2, &candle_core::Device::Cpu).unwrap();
            let ids: Vec<u32> = batch.input_ids.to_vec1().unwrap();
            assert_eq!(ids.len(), tokenized.length(i));
            (ids, batch.token_type_ids.to_vec1().unwrap())
        })
        .collect()
}

/// What transformers made of 28 texts and 8 pairs.
fn expected() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer/expected.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn check_cases(name: &str, tokenizer: &Tokenizer, expected: &Value) {
    let cases = expected["tokenizers"][name].as_array().unwrap();
    assert_eq!(cases.len(), 36);
    let texts = cases
        .iter()
        .map(|case| (case["text"].as_str().unwrap(), case["text_pair"].as_str()));
    let dataset = dataset(texts);
    let whole = tokens(tokenizer, &dataset, 10_000);
    let length = expected["truncated_max_length"].as_u64().unwrap() as usize;
    let cut = tokens(tokenizer, &dataset, length);
    for ((case, whole), cut) in cases.iter().zip(whole).zip(cut) {
        let what = format!("{name}: {} + {}", case["text"], case["text_pair"]);
        assert_eq!(json!(whole.0), case["ids"], "{what}");
        assert_eq!(json!(whole.1), case["token_type_ids"], "{what}");
        assert_eq!(json!(cut.0), case["truncated"]["ids"], "{what}, cut");
        assert_eq!(
            json!(cut.1),
            case["truncated"]["token_type_ids"],
            "{what}, cut"
        );
    }
}

#[test]
fn tokens_are_those_of_transformers() {
    let expected = expected();
    for name in TOKENIZERS {
        let tokenizer = Tokenizer::read(&fixture(name)).unwrap();
        check_cases(name, &tokenizer, &expected);
    }
}

#[test]
fn a_saved_tokenizer_makes_the_same_tokens() {
    let expected = expected();
    for name in TOKENIZERS {
        let folder = Scratch::new();
        let tokenizer = Tokenizer::read(&fixture(name)).unwrap();
        tokenizer.save(folder.path(), 40).unwrap();
        check_cases(name, &Tokenizer::read(folder.path()).unwrap(), &expected);
        // Old programs read the vocabulary alone.
        if name.starts_with("bert") {
            fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
            check_cases(name, &Tokenizer::read(folder.path()).unwrap(), &expected);
        }
    }
}

/// The `tokenizer_config.json` that is saved for a folder's tokenizer.
fn saved_config(source: &Path) -> Value {
    let folder = Scratch::new();
    let tokenizer = Tokenizer::read(source).unwrap();
    tokenizer.save(folder.path(), 77).unwrap();
    let text = fs::read_to_string(folder.path().join("tokenizer_config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_saved_config_says_what_transformers_needs_to_make_the_same_tokens() {
    let uncased = json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": true, "strip_accents": null,
        "tokenize_chinese_chars": true, "model_max_length": 77, "pad_token": "[PAD]",
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
    });
    assert_eq!(saved_config(&fixture("bert-tiny")), uncased);
    let roberta = json!({
        "tokenizer_class": "RobertaTokenizer", "add_prefix_space": false, "model_max_length": 77,
    });
    assert_eq!(saved_config(&fixture("roberta-tiny")), roberta);

    // The tokenizer itself decides, whatever the config beside it says or leaves out.
    for (name, config, key, value) in [
        ("bert-tiny-3class", json!({}), "do_lower_case", json!(false)),
        (
            "bert-tiny-3class",
            json!({}),
            "tokenizer_class",
            json!("BertTokenizer"),
        ),
        (
            "bert-tiny-3class",
            json!({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": true}),
            "do_lower_case",
            json!(false),
        ),
        (
            "bert-tiny-3class",
            json!({"tokenizer_class": "PreTrainedTokenizerFast"}),
            "tokenizer_class",
            json!("BertTokenizer"),
        ),
        (
            "roberta-tiny",
            json!({}),
            "tokenizer_class",
            json!("RobertaTokenizer"),
        ),
        (
            "roberta-tiny",
            json!({"tokenizer_class": "PreTrainedTokenizerFast"}),
            "tokenizer_class",
            json!("RobertaTokenizer"),
        ),
        (
            "roberta-tiny",
            json!({"tokenizer_class": "RobertaTokenizerFast"}),
            "tokenizer_class",
            json!("RobertaTokenizerFast"),
        ),
    ] {
        let folder = Scratch::new();
        fs::copy(
            fixture(name).join("tokenizer.json"),
            folder.path().join("tokenizer.json"),
        )
        .unwrap();
        folder.write("tokenizer_config.json", config.to_string().as_bytes());
        let saved = saved_config(folder.path());
        assert_eq!(saved[key], value, "{name} with {config}: {saved}");
    }
}

#[test]
fn a_tokenizer_of_another_kind_is_saved_for_the_general_class_with_its_special_tokens() {
    let untyped = json!(["input_ids", "attention_mask"]);
    let typed = json!(["input_ids", "token_type_ids", "attention_mask"]);
    let fairseq = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"];
    let albert = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"];
    for (name, inputs, tokens) in [
        ("xlm-roberta-tiny", &untyped, fairseq),
        ("camembert-tiny", &untyped, fairseq),
        ("albert-tiny", &typed, albert),
    ] {
        // As old checkpoints have it: nothing beside the tokenizer says which tokens these are.
        let folder = Scratch::new();
        let file = fixture(name).join("tokenizer.json");
        fs::copy(file, folder.path().join("tokenizer.json")).unwrap();
        let [pad, unk, cls, sep, mask] = tokens;
        let expected = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs,
            "model_max_length": 77, "pad_token": pad, "unk_token": unk, "cls_token": cls,
            "sep_token": sep, "mask_token": mask,
        });
        assert_eq!(saved_config(folder.path()), expected, "{name}");
    }
}

#[test]
fn the_inputs_that_a_general_tokenizer_names_for_its_model_are_kept() {
    let inputs = json!(["input_ids", "attention_mask"]);
    let source = fixture("modernbert-tiny");
    let expected = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs,
        "model_max_length": 77, "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
        "sep_token": "[SEP]", "mask_token": "[MASK]",
    });
    assert_eq!(saved_config(&source), expected);
    // Without a normalizer it looks like RoBERTa's, whose special tokens it lacks.
    let text = fs::read_to_string(source.join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&text).unwrap();
    tokenizer["normalizer"] = Value::Null;
    let folder = Scratch::new();
    folder.write("tokenizer.json", tokenizer.to_string().as_bytes());
    let config = json!({"model_input_names": inputs});
    folder.write("tokenizer_config.json", config.to_string().as_bytes());
    assert_eq!(saved_config(folder.path()), expected);
}

#[test]
fn a_vocabulary_is_read_with_the_normalizer_of_its_config() {
    let text = dataset([("Café 中文", None)]);
    let ids_with = |config: Value| {
        let folder = Scratch::new();
        fs::copy(
            fixture("bert-tiny").join("vocab.txt"),
            folder.path().join("vocab.txt"),
        )
        .unwrap();
        folder.write("tokenizer_config.json", config.to_string().as_bytes());
        let tokenizer = Tokenizer::read(folder.path()).unwrap();
        tokens(&tokenizer, &text, 40).remove(0).0
    };
    let plain = ids_with(json!({}));
    assert_eq!(
        plain,
        ids_with(json!({"do_lower_case": true, "strip_accents": true}))
    );
    // `[UNK]` is 1: neither capitals nor accents are in the vocabulary.
    let unknown_word = [&[2, 1][..], &plain[plain.len() - 3..]].concat();
    assert_eq!(ids_with(json!({"do_lower_case": false})), unknown_word);
    assert_eq!(ids_with(json!({"strip_accents": false})), unknown_word);
    let together = ids_with(json!({"tokenize_chinese_chars": false}));
    assert_eq!(together.last_chunk(), Some(&[1, 3]), "{together:?}");
}

#[test]
fn a_folder_without_a_tokenizer_is_refused() {
    let folder = Scratch::new();
    let check = |kind, words: &[&str]| {
        let error = Tokenizer::read(folder.path()).unwrap_err();
        let shown = folder.shown(&error);
        assert_eq!(error.kind(), kind, "{shown}");
        for word in words {
            assert!(shown.contains(word), "`{word}` is missing in: {shown}");
        }
    };
    check(ErrorKind::MissingInput, &["tokenizer.json", "vocab.txt"]);
    folder.write("vocab.txt", b"a\nb\n");
    check(ErrorKind::Data, &["vocab.txt", "lacks `[CLS]`"]);
    folder.write("tokenizer.json", b"{\"model\": 3}");
    check(ErrorKind::Data, &["tokenizer.json: not a tokenizer"]);
    folder.write("tokenizer_config.json", b"[]");
    check(ErrorKind::Data, &["tokenizer_config.json", "object"]);
}

/// Texts with frequent words, capitals, accents, punctuation and ideographs.
fn training_texts() -> Vec<String> {
    let words = [
        "The",
        "movie",
        "moved",
        "moving",
        "is",
        "Café",
        "cafés",
        "unwatchable",
        "watch",
        "watched",
        "!",
        "slow-moving",
        "中文",
        "don't",
        "filmmaker",
        "film",
        "films",
        "a",
    ];
    (0..600_usize)
        .map(|i| {
            let word = |j: usize| words[(i * i + 3 * j * j + i * j) % words.len()];
            (0..4 + i % 9).map(word).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn trained(texts: &[String], vocab_size: usize) -> Tokenizer {
    Tokenizer::train(texts.iter().map(String::as_str), vocab_size).unwrap()
}

/// All bytes that a tokenizer is saved as.
fn saved(tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let folder = Scratch::new();
    tokenizer.save(folder.path(), 64).unwrap();
    ["tokenizer.json", "vocab.txt", "tokenizer_config.json"]
        .map(|name| fs::read(folder.path().join(name)).unwrap())
        .to_vec()
}

#[test]
fn the_same_texts_make_the_same_vocabulary_in_any_order_and_for_any_number_of_threads() {
    let mut texts = training_texts();
    let first = saved(&trained(&texts, 120));
    for n_threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        texts.rotate_left(101);
        let again = pool
            .build()
            .unwrap()
            .install(|| saved(&trained(&texts, 120)));
        assert!(first == again, "{n_threads} threads");
    }
}

#[test]
fn a_vocabulary_has_the_special_tokens_first_and_no_more_pieces_than_asked_for() {
    let texts = training_texts();
    let vocabulary = |vocab_size| -> Vec<String> {
        let files = saved(&trained(&texts, vocab_size));
        let text = String::from_utf8(files[1].clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    for vocab_size in [100, 120, 8000] {
        let pieces = vocabulary(vocab_size);
        assert!(pieces.len() <= vocab_size, "{}", pieces.len());
        assert_eq!(pieces[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
        let distinct: std::collections::BTreeSet<&String> = pieces.iter().collect();
        assert_eq!(distinct.len(), pieces.len());
        assert_eq!(trained(&texts, vocab_size).vocab_size(), pieces.len());
    }
    let pieces = vocabulary(8000);
    for piece in ["movie", "watch", "cafe", "中", "!", "'", "##e", "film"] {
        assert!(pieces.iter().any(|p| p == piece), "`{piece}` in {pieces:?}");
    }
    // Neither capitals nor accents, and nothing that only single characters could go on with.
    for piece in ["The", "café", "##!", "##中"] {
        assert!(
            !pieces.iter().any(|p| p == piece),
            "`{piece}` in {pieces:?}"
        );
    }
}

#[test]
fn the_most_frequent_pairs_become_pieces_first() {
    // `##bc` of `abc` and `bbc`; `ab##c`'s parts are as frequent as nothing else.
    let texts: Vec<String> = ["abc abc abc bbc bbc", "dbc dbc dbc dbc"]
        .map(str::to_owned)
        .to_vec();
    let files = saved(&trained(&texts, 100));
    let vocabulary = String::from_utf8(files[1].clone()).unwrap();
    let pieces: Vec<&str> = vocabulary.lines().skip(5).collect();
    let expected = [
        "a", "b", "c", "d", "##b", "##c", "##bc", "dbc", "abc", "bbc",
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn a_trained_tokenizer_knows_the_texts_that_it_was_made_from() {
    let texts = training_texts();
    let tokenizer = trained(&texts, 200);
    let folder = Scratch::new();
    tokenizer.save(folder.path(), 64).unwrap();
    let read = Tokenizer::read(folder.path()).unwrap();
    let dataset = dataset(texts.iter().map(|text| (text.as_str(), None)));
    let ours = tokens(&tokenizer, &dataset, 64);
    assert_eq!(ours, tokens(&read, &dataset, 64));
    assert!(ours.iter().all(|(ids, _)| !ids.contains(&1)), "[UNK]");
    assert!(
        ours.iter()
            .all(|(ids, _)| ids[0] == 2 && *ids.last().unwrap() == 3)
    );
}

#[test]
fn texts_without_words_make_no_vocabulary() {
    for texts in [&[][..], &["", " \n"]] {
        let error = Tokenizer::train(texts.iter().copied(), 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_and_counted_or_refused() {
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let dataset = dataset([("good", None), ("good bad good bad", None)]);
    let cut = tokenizer.tokenize(&dataset, 5, Truncation::Cut).unwrap();
    assert_eq!((cut.n_truncated(), cut.length(0), cut.length(1)), (1, 3, 5));
    let error = tokenizer
        .tokenize(&dataset, 5, Truncation::Refuse)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.to_string().contains("`g1` has more than 5 tokens"),
        "{error}"
    );
}

#[test]
fn a_model_without_second_token_type_gets_type_0_everywhere() {
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let dataset = dataset([("good", Some("bad"))]);
    let tokenized = tokenizer.tokenize(&dataset, 9, Truncation::Cut).unwrap();
    let types = |n_token_types| -> Vec<f32> {
        let batch = tokenized
            .batch(&[0], n_token_types, &candle_core::Device::Cpu)
            .unwrap();
        values(
            &batch
                .token_type_ids
                .to_dtype(candle_core::DType::F32)
                .unwrap(),
        )
    };
    assert_eq!(types(1), [0.0; 5]);
    assert_eq!(types(2), [0.0, 0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn a_text_without_a_token_is_refused_where_the_tokenizer_adds_none() {
    let source = fixture("bert-tiny-3class").join("tokenizer.json");
    let mut json: Value = serde_json::from_slice(&fs::read(source).unwrap()).unwrap();
    json["post_processor"] = Value::Null;
    let folder = Scratch::new();
    folder.write("tokenizer.json", json.to_string().as_bytes());
    let tokenizer = Tokenizer::read(folder.path()).unwrap();
    let dataset = dataset([("good", None), ("  ", None)]);
    let error = tokenizer
        .tokenize(&dataset, 9, Truncation::Cut)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("`g1` has no token"), "{error}");
}

#[test]
fn a_length_without_room_for_a_text_is_an_error_of_the_config() {
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let single = dataset([("good film", None)]);
    let pair = dataset([("good film", Some("bad film")), ("good", None)]);
    // `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`.
    for (dataset, n_special) in [(single, 2), (pair, 3)] {
        for max_length in 0..=n_special {
            let error = tokenizer
                .tokenize(&dataset, max_length, Truncation::Cut)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
        let tokens = tokenizer.tokenize(&dataset, n_special + 1, Truncation::Cut);
        assert_eq!(tokens.unwrap().length(0), n_special + 1);
    }
}
