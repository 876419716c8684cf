//! Learns a WordPiece vocabulary from texts: the same one on every machine, in every run and
//! for any number of threads.
//!
//! The tokenizers library has a trainer of its own, but it numbers pieces in the order of a
//! hash map that is seeded anew in every process, and ids decide what a model learns.
//!
//! The method is byte pair encoding (Sennrich et al. 2016, section 3.2), as that trainer's:
//! words begin as characters, and the most frequent pair of neighbouring pieces becomes a
//! piece, again and again. Equally frequent pairs go by the smaller ids.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use rayon::prelude::*;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use crate::error::{Error, Result};

/// What marks a piece that does not begin its word.
const CONTINUATION: &str = "##";
/// The most characters that get pieces of their own: the limit of Hugging Face's
/// `BertWordPieceTokenizer`, which keeps rare ideographs from filling the vocabulary.
const LARGEST_ALPHABET: usize = 1000;
/// A pair that occurs less often becomes no piece.
const MIN_FREQUENCY: u64 = 2;
/// Longer words are unknown to the WordPiece model, so nothing is learnt from them.
const LONGEST_WORD: usize = 100;

/// How often each word occurs in `texts`, cut at spaces and punctuation as BERT cuts them.
///
/// # Errors
/// A text that the tokenizers library refuses.
pub(super) fn count_words(
    texts: &[&str],
    normalizer: BertNormalizer,
) -> Result<BTreeMap<String, u64>> {
    /// Texts that one task takes.
    const CHUNK: usize = 256;
    let parts: Vec<BTreeMap<String, u64>> = texts
        .par_chunks(CHUNK)
        .map(|texts| {
            let mut counts = BTreeMap::new();
            for text in texts {
                let mut text = NormalizedString::from(*text);
                normalizer.normalize(&mut text).map_err(|e| refused(&e))?;
                let mut words = PreTokenizedString::from(text);
                BertPreTokenizer
                    .pre_tokenize(&mut words)
                    .map_err(|e| refused(&e))?;
                for (word, _, _) in
                    words.get_splits(OffsetReferential::Normalized, OffsetType::Byte)
                {
                    *counts.entry(word.to_owned()).or_default() += 1;
                }
            }
            Ok(counts)
        })
        .collect::<Result<_>>()?;
    let mut counts = BTreeMap::new();
    for (word, count) in parts.into_iter().flatten() {
        *counts.entry(word).or_default() += count;
    }
    Ok(counts)
}

/// At most `n_pieces` pieces in the order of their ids: characters, characters that go on with
/// a word, and what was made of them.
pub(super) fn learn_pieces(counts: &BTreeMap<String, u64>, n_pieces: usize) -> Vec<String> {
    let mut pieces = Pieces::of_characters(counts, n_pieces);
    let mut words: Vec<Word> = counts
        .iter()
        .filter_map(|(word, count)| pieces.spell(word, *count))
        .collect();
    let mut pairs = Pairs::default();
    for (number, word) in words.iter().enumerate() {
        pairs.add(word, number);
    }
    while pieces.texts.len() < n_pieces {
        let Some(pair) = pairs.most_frequent() else {
            break;
        };
        let merged = pieces.merged(pair);
        for number in pairs.words_of(pair) {
            let word = &mut words[number];
            pairs.remove(word);
            word.merge(pair, merged);
            pairs.add(word, number);
        }
    }
    pieces.texts
}

type Pair = (u32, u32);

/// The pieces so far, by id and by text.
struct Pieces {
    texts: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Pieces {
    /// The characters of the words, the most frequent ones where there are too many.
    fn of_characters(counts: &BTreeMap<String, u64>, n_pieces: usize) -> Self {
        let mut frequencies: BTreeMap<char, u64> = BTreeMap::new();
        let mut continuing: BTreeSet<char> = BTreeSet::new();
        for (word, count) in counts {
            for (i, character) in word.chars().enumerate() {
                *frequencies.entry(character).or_default() += count;
                if i > 0 {
                    continuing.insert(character);
                }
            }
        }
        let mut by_frequency: Vec<(char, u64)> = frequencies.into_iter().collect();
        by_frequency.sort_by_key(|(character, count)| (Reverse(*count), *character));
        by_frequency.truncate(LARGEST_ALPHABET.min(n_pieces / 2));
        let alphabet: BTreeSet<char> = by_frequency.into_iter().map(|(c, _)| c).collect();
        let mut pieces = Self {
            texts: Vec::new(),
            ids: HashMap::new(),
        };
        for character in &alphabet {
            pieces.id_of(character.to_string());
        }
        for character in alphabet.intersection(&continuing) {
            pieces.id_of(format!("{CONTINUATION}{character}"));
        }
        pieces
    }

    /// The id of a piece, which is new if there is none of that text.
    fn id_of(&mut self, text: String) -> u32 {
        let next = self.texts.len() as u32;
        let id = *self.ids.entry(text.clone()).or_insert(next);
        if id == next {
            self.texts.push(text);
        }
        id
    }

    /// The id of two neighbouring pieces as one.
    fn merged(&mut self, (first, second): Pair) -> u32 {
        let second = &self.texts[second as usize];
        let rest = second.strip_prefix(CONTINUATION).unwrap_or(second);
        self.id_of(format!("{}{rest}", self.texts[first as usize]))
    }

    /// A word as single characters, or none if one of them has no piece.
    fn spell(&self, word: &str, count: u64) -> Option<Word> {
        if word.chars().count() > LONGEST_WORD {
            return None;
        }
        let pieces = word.chars().enumerate().map(|(i, character)| {
            let prefix = if i == 0 { "" } else { CONTINUATION };
            self.ids.get(&format!("{prefix}{character}")).copied()
        });
        Some(Word {
            pieces: pieces.collect::<Option<_>>()?,
            count,
        })
    }
}

/// A word of the texts.
struct Word {
    pieces: Vec<u32>,
    count: u64,
}

impl Word {
    fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        self.pieces.windows(2).map(|pair| (pair[0], pair[1]))
    }

    fn merge(&mut self, pair: Pair, merged: u32) {
        let mut kept = 0;
        let mut next = 0;
        while next < self.pieces.len() {
            let is_pair = self.pieces[next..].starts_with(&[pair.0, pair.1]);
            self.pieces[kept] = if is_pair { merged } else { self.pieces[next] };
            next += if is_pair { 2 } else { 1 };
            kept += 1;
        }
        self.pieces.truncate(kept);
    }
}

/// How often pairs occur, and where.
#[derive(Default)]
struct Pairs {
    counts: HashMap<Pair, u64>,
    words: HashMap<Pair, BTreeSet<usize>>,
    /// Counts that were right once; each pair's present count is among them, or a higher one.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Pairs {
    fn add(&mut self, word: &Word, number: usize) {
        for pair in word.pairs() {
            let count = self.counts.entry(pair).or_default();
            *count += word.count;
            self.queue.push((*count, Reverse(pair)));
            self.words.entry(pair).or_default().insert(number);
        }
    }

    fn remove(&mut self, word: &Word) {
        for pair in word.pairs() {
            if let Some(count) = self.counts.get_mut(&pair) {
                *count -= word.count;
            }
        }
    }

    /// The pair that occurs most, if any occurs often enough.
    fn most_frequent(&mut self) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            let now = self.counts.get(&pair).copied().unwrap_or(0);
            if now == count && count >= MIN_FREQUENCY {
                return Some(pair);
            }
            if now < count && now > 0 {
                self.queue.push((now, Reverse(pair)));
            }
        }
        None
    }

    /// The words that may hold a pair, which is about to vanish from all of them.
    fn words_of(&mut self, pair: Pair) -> BTreeSet<usize> {
        self.words.remove(&pair).unwrap_or_default()
    }
}

fn refused(error: &tokenizers::Error) -> Error {
    Error::internal(format!("tokenizer: {error}"))
}
