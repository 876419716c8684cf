//! SentencePiece models: parity with transformers' converters, saving, damaged files.

use std::fs;
use std::path::{Path, PathBuf};

use enginora_rs::data::Tokenizer;
use enginora_rs::error::ErrorKind;
use serde_json::{Value, json};

use crate::scratch::Scratch;
use crate::tokenizer::{dataset, tokens};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/sentence_piece")
        .join(name)
}

fn expected() -> Vec<Value> {
    let text = fs::read_to_string(fixture("expected.json")).unwrap();
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(tokenizers) = expected["tokenizers"].take() else {
        panic!("not a list");
    };
    tokenizers
}

/// The folder of an entry of the expected tokens: its model with its settings beside it.
fn folder_of(entry: &Value) -> Scratch {
    let folder = Scratch::new();
    for file in fs::read_dir(fixture(entry["model"].as_str().unwrap())).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder.write("tokenizer_config.json", entry["settings"].to_string());
    folder
}

fn check_cases(entry: &Value, tokenizer: &Tokenizer) {
    let cases = entry["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 45);
    let texts = cases
        .iter()
        .map(|case| (case["text"].as_str().unwrap(), case["text_pair"].as_str()));
    let found = tokens(tokenizer, &dataset(texts), 10_000);
    for (case, found) in cases.iter().zip(found) {
        let what = format!(
            "{} {}: {} + {}",
            entry["model"], entry["settings"], case["text"], case["text_pair"]
        );
        assert_eq!(json!(found.0), case["ids"], "{what}");
        assert_eq!(json!(found.1), case["token_type_ids"], "{what}");
    }
}

#[test]
fn tokens_are_those_of_transformers_converters() {
    for entry in expected() {
        let folder = folder_of(&entry);
        check_cases(&entry, &Tokenizer::read(folder.path()).unwrap());
    }
}

#[test]
fn a_saved_sentence_piece_model_makes_the_same_tokens_from_its_json() {
    for entry in expected() {
        let folder = folder_of(&entry);
        let saved = Scratch::new();
        let tokenizer = Tokenizer::read(folder.path()).unwrap();
        tokenizer.save(saved.path(), 77).unwrap();
        assert_eq!(saved.names(), ["tokenizer.json", "tokenizer_config.json"]);
        check_cases(&entry, &Tokenizer::read(saved.path()).unwrap());
        let config = fs::read_to_string(saved.at("tokenizer_config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
        for role in [
            "cls_token",
            "sep_token",
            "unk_token",
            "pad_token",
            "mask_token",
        ] {
            assert!(config[role].is_string(), "{role}: {config}");
        }
    }
}

#[test]
fn a_tokenizer_json_wins_over_a_sentence_piece_model() {
    let folder = folder_of(&expected()[0]);
    let own = Tokenizer::read(folder.path()).unwrap();
    let other = Tokenizer::read(&crate::model::fixture("roberta-tiny")).unwrap();
    other.save(folder.path(), 77).unwrap();
    let found = Tokenizer::read(folder.path()).unwrap();
    assert_ne!(own.vocab_size(), other.vocab_size());
    assert_eq!(found.vocab_size(), other.vocab_size());
}

#[test]
fn the_tokenizer_class_tells_camembert_from_xlm_roberta_before_the_model_type() {
    let folder = Scratch::new();
    let file = "sentencepiece.bpe.model";
    let bytes = fs::read(fixture("xlm-roberta").join(file)).unwrap();
    folder.write(file, bytes);
    let vocab_size = || Tokenizer::read(folder.path()).unwrap().vocab_size();
    // 220 pieces, or fewer; XLM-RoBERTa has 2 tokens more, CamemBERT 5.
    let xlm_roberta = vocab_size();
    folder.write("config.json", r#"{"model_type": "camembert"}"#);
    assert_eq!(vocab_size(), xlm_roberta + 3);
    let class = r#"{"tokenizer_class": "XLMRobertaTokenizer"}"#;
    folder.write("tokenizer_config.json", class);
    assert_eq!(vocab_size(), xlm_roberta);
    let class = r#"{"tokenizer_class": "CamembertTokenizer"}"#;
    folder.write("tokenizer_config.json", class);
    folder.write("config.json", r#"{"model_type": "xlm-roberta"}"#);
    assert_eq!(vocab_size(), xlm_roberta + 3);
}

/// A field of a protocol buffer that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let score = score.to_le_bytes();
    let parts = [
        &field(1, text.as_bytes())[..],
        &[2 << 3 | 5],
        &score,
        &[3 << 3, kind],
    ];
    field(1, &parts.concat())
}

/// The pieces that every DeBERTa has.
fn pieces() -> Vec<u8> {
    let special = [("[PAD]", 3), ("[CLS]", 3), ("[SEP]", 3), ("[UNK]", 2)];
    let special = special.map(|(text, kind)| piece(text, 0.0, kind));
    [special.concat(), piece("\u{2581}a", -1.0, 1)].concat()
}

fn check_refused(bytes: &[u8], words: &str) {
    let folder = Scratch::new();
    folder.write("spm.model", bytes);
    let error = Tokenizer::read(folder.path()).unwrap_err();
    let shown = folder.shown(&error);
    assert_eq!(error.kind(), ErrorKind::Data, "{shown}");
    assert!(shown.starts_with("spm.model: "), "{shown}");
    assert!(shown.contains(words), "`{words}` is missing in: {shown}");
}

#[test]
fn a_file_that_is_no_usable_model_is_refused_with_what_is_wrong_with_it() {
    let folder = Scratch::new();
    folder.write("spm.model", pieces());
    assert_eq!(Tokenizer::read(folder.path()).unwrap().vocab_size(), 6);

    let damaged = "not a SentencePiece model";
    check_refused(b"", "it holds no pieces");
    check_refused(b"version https://git-lfs.github.com/spec/v1\n", damaged);
    check_refused(
        &pieces()[..20],
        "it breaks off or is damaged at byte 16 of 20",
    );
    check_refused(&[pieces(), vec![0xff; 12]].concat(), damaged);
    check_refused(&[pieces(), vec![0]].concat(), damaged);
    let with = |more: Vec<u8>| [pieces(), more].concat();
    check_refused(
        &with(field(2, &[3 << 3, 2])),
        "it is a BPE model; supported: unigram",
    );
    check_refused(&with(field(2, &[3 << 3, 9])), "its `model_type` is 9");
    check_refused(&with(piece("x", f32::NAN, 1)), "piece 5: its score is NaN");
    check_refused(&with(piece("", 0.0, 1)), "piece 5: it is empty");
    check_refused(&with(field(1, &field(1, b"\xff"))), "piece 5: not UTF-8");
    check_refused(
        &with(piece("[SEP]", 0.0, 3)),
        "the piece `[SEP]` is there twice",
    );
    let without_unknown = [("[PAD]", 3), ("[CLS]", 3), ("[SEP]", 3)];
    let without_unknown = without_unknown.map(|(text, kind)| piece(text, 0.0, kind));
    check_refused(&without_unknown.concat(), "the piece `[UNK]` is missing");
    for map in [
        &[1][..],
        &[0, 0, 0, 0],
        &[4, 0, 0, 0, 1, 0],
        &[4, 0, 0, 0, 0, 4, 0, 0],
    ] {
        let normalizer = field(3, &field(2, map));
        check_refused(&with(normalizer), "its character map is damaged");
    }

    let folder = Scratch::new();
    folder.write("sentencepiece.bpe.model", &pieces()[7..]);
    let error = Tokenizer::read(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let folder = Scratch::new();
    let ordinary = ["a", "b", "c"].map(|text| piece(text, 0.0, 1));
    folder.write("sentencepiece.bpe.model", ordinary.concat());
    let error = Tokenizer::read(folder.path()).unwrap_err();
    let words = "the first 3 pieces are not special tokens";
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_damaged_model_is_an_error_or_a_tokenizer_but_never_a_panic() {
    let bytes = fs::read(fixture("deberta-v2").join("spm.model")).unwrap();
    let folder = Scratch::new();
    let texts = ["Ｆｉlm ﬁne ① é\u{301} a", "the [MASK] \u{3000} x"].map(|text| (text, None));
    let texts = dataset(texts);
    let mut uniform = crate::scratch::uniform(5);
    let mut n_read = 0;
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        let at = (uniform() * bytes.len() as f64) as usize;
        damaged[at] ^= 1 << (uniform() * 8.0) as u32;
        folder.write("spm.model", damaged);
        if let Ok(tokenizer) = Tokenizer::read(folder.path()) {
            tokens(&tokenizer, &texts, 100);
            n_read += 1;
        }
    }
    // A flipped bit of a score or of a letter is not seen; those of lengths and tries are.
    assert!((50..300).contains(&n_read), "{n_read}");
}
