//! Texts that are too long, and tokens that are kept.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use enginora_rs::data::{Dataset, Example, TokenCache, TokenizedDataset, Tokenizer, Truncation};
use enginora_rs::error::ErrorKind;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::fixture;
use crate::scratch::Scratch;

fn dataset(texts: impl IntoIterator<Item = (String, Option<String>)>) -> Dataset {
    let examples = texts
        .into_iter()
        .zip(0..)
        .map(|((text, text_pair), i)| Example {
            guid: format!("g{i}"),
            text,
            text_pair,
            label: i % 2,
            ..Example::default()
        });
    Dataset {
        path: "texts.tsv".into(),
        examples: examples.collect(),
        extra: std::collections::BTreeMap::new(),
        warnings: vec![],
    }
}

fn ids(tokens: &TokenizedDataset) -> Vec<u32> {
    let batch = tokens.batch(&[0], 2, &candle_core::Device::Cpu).unwrap();
    batch.input_ids.to_vec1().unwrap()
}

#[test]
fn what_is_left_of_texts_and_pairs_and_what_counts_as_cut_is_as_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer/pairs.json");
    let expected: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for name in ["bert-tiny", "roberta-tiny"] {
        let tokenizer = Tokenizer::read(&fixture(name)).unwrap();
        let special: Vec<u32> = serde_json::from_value(expected[name]["special"].clone()).unwrap();
        let rows: Vec<[i64; 6]> = serde_json::from_value(expected[name]["rows"].clone()).unwrap();
        assert!(rows.iter().filter(|row| row[5] == 1).count() > 200);
        for row @ [n_first, n_second, max_length, ..] in rows {
            let words = |n: i64| vec!["good"; n as usize].join(" ");
            let second = (n_second >= 0).then(|| words(n_second));
            let one = dataset([(words(n_first), second)]);
            let tokens = tokenizer.tokenize(&one, max_length as usize, Truncation::Cut);
            let tokens = tokens.unwrap();
            let ids = ids(&tokens);
            let is_special = |id: &u32| special.contains(id);
            let end = 1 + ids[1..].iter().position(is_special).unwrap();
            let n_left = ids[end..].iter().filter(|id| !is_special(id)).count();
            let left = [end as i64 - 1, n_left as i64, tokens.n_truncated() as i64];
            assert_eq!(left, row[3..], "{name}: {row:?}");
        }
    }
}

#[test]
fn cut_pairs_are_counted_among_all_examples() {
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let pair = |first: &str, second: &str| (first.to_owned(), Some(second.to_owned()));
    let pairs = dataset([
        pair("good", "bad"),
        pair("good good good good", "bad"),
        pair("good", "bad bad bad bad"),
        pair("good good good", "bad bad bad"),
    ]);
    let tokens = tokenizer.tokenize(&pairs, 7, Truncation::Cut).unwrap();
    assert_eq!(tokens.n_truncated(), 3);
    let refused = tokenizer
        .tokenize(&pairs, 7, Truncation::Refuse)
        .unwrap_err();
    assert!(
        refused.to_string().contains("`g1` has more than 7 tokens"),
        "{refused}"
    );
}

/// More than the mebibyte of text from which on tokens are kept.
fn large() -> Dataset {
    dataset((0..40).map(|i| (format!("{i} {}", "good bad ".repeat(3200)), None)))
}

fn entries(folder: &Scratch) -> Vec<String> {
    let mut names = folder.names();
    names.retain(|name| name.ends_with(".tokens"));
    names
}

#[test]
fn tokens_are_kept_by_what_they_depend_on() {
    let folder = Scratch::new();
    let cache = TokenCache::new(folder.path());
    let bert = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let cased = Tokenizer::read(&fixture("bert-tiny-3class")).unwrap();
    let plain = large();
    let mut other_labels = large();
    other_labels.examples[3].label += 5;
    let mut other_text = large();
    other_text.examples[39].text.push('s');
    let mut other_limits = large();
    let start = other_limits.examples[1].text.remove(0);
    other_limits.examples[0].text.push(start);
    let mut pairs = large();
    pairs.examples[39].text_pair = Some(String::new());
    // Each with the number of entries that there are after it.
    for (i, (tokenizer, dataset, max_length, n_entries)) in [
        (&bert, &plain, 12, 1),
        (&bert, &plain, 12, 1),
        (&bert, &other_labels, 12, 1),
        (&bert, &plain, 13, 2),
        (&cased, &plain, 12, 3),
        (&bert, &other_text, 12, 4),
        (&bert, &other_limits, 12, 5),
        (&bert, &pairs, 12, 6),
        (&bert, &plain, 12, 6),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = tokenizer
            .tokenize(dataset, max_length, Truncation::Cut)
            .unwrap();
        let tokens = cache
            .tokenize(tokenizer, dataset, max_length, Truncation::Cut)
            .unwrap();
        assert!(tokens == expected, "case {i}");
        assert_eq!(entries(&folder).len(), n_entries, "case {i}");
    }
    let refused = cache
        .tokenize(&bert, &plain, 12, Truncation::Refuse)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Data);
    assert_eq!(entries(&folder).len(), 6);
    let small = dataset([("good".to_owned(), None)]);
    cache.tokenize(&bert, &small, 12, Truncation::Cut).unwrap();
    assert_eq!(folder.names().len(), 6);
}

#[test]
fn kept_tokens_are_read_and_damaged_ones_made_anew() {
    let folder = Scratch::new();
    let cache = TokenCache::new(folder.path());
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let texts = large();
    let tokenize = || {
        cache
            .tokenize(&tokenizer, &texts, 12, Truncation::Cut)
            .unwrap()
    };
    let expected = tokenize();
    let path = folder.at(&entries(&folder)[0]);
    let whole = fs::read(&path).unwrap();
    // Another id with the checksum that belongs to it comes back: the entry is what is read.
    let mut changed = whole[..whole.len() - 32].to_vec();
    changed[64 + 4 * 40] = 7;
    changed.extend_from_slice(&Sha256::digest(&changed).clone());
    fs::write(&path, changed).unwrap();
    assert_eq!(ids(&tokenize())[0], 7);

    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let last = whole.len() - 1;
    for (i, bytes) in [0, 8, 40, 48, 64, 300, last]
        .map(flipped)
        .into_iter()
        .chain([
            Vec::new(),
            whole[..last].to_vec(),
            whole[..50].to_vec(),
            [whole.as_slice(), b"x"].concat(),
        ])
        .enumerate()
    {
        fs::write(&path, bytes).unwrap();
        assert!(tokenize() == expected, "case {i}");
        assert!(fs::read(&path).unwrap() == whole, "case {i}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_harms_nobody_and_a_full_one_loses_the_oldest() {
    let folder = Scratch::new();
    let tokenizer = Tokenizer::read(&fixture("bert-tiny")).unwrap();
    let texts = large();
    let expected = tokenizer.tokenize(&texts, 12, Truncation::Cut).unwrap();
    let blocked = folder.write("file", "");
    for path in [blocked.clone(), blocked.join("below")] {
        let tokens = TokenCache::new(path).tokenize(&tokenizer, &texts, 12, Truncation::Cut);
        assert!(tokens.unwrap() == expected);
    }
    fs::remove_file(blocked).unwrap();

    // A gibibyte in all is kept; these files are holes and take no room on the disk.
    let now = SystemTime::now();
    for (name, size, age) in [("old", 600, 300), ("older", 300, 400), ("new", 300, 100)] {
        let file = fs::File::create(folder.at(&format!("{name}.tokens"))).unwrap();
        file.set_len(size << 20).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    let cache = TokenCache::new(folder.path());
    cache
        .tokenize(&tokenizer, &texts, 12, Truncation::Cut)
        .unwrap();
    let mut names = entries(&folder);
    names.retain(|name| name.len() < 20);
    assert_eq!(names, ["new.tokens", "old.tokens"]);
    assert_eq!(entries(&folder).len(), 3);
}
