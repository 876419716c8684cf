//! Which position an example has, by its id.
//!
//! Millions of ids are looked up in no order, so that nearly every look into memory waits for it.
//! Ids of up to 15 bytes, which most are, lie in the table itself and need one look, not two.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The longest id that lies in the table, in bytes.
const LONGEST_SHORT: usize = 15;

/// An id of at most [`LONGEST_SHORT`] bytes: the bytes, zeros, and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short([u64; 2]);

impl Hash for Short {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // As an array it would be hashed byte by byte.
        self.0.iter().for_each(|half| hasher.write_u64(*half));
    }
}

/// Ids and what is known of each.
#[derive(Debug, Default)]
pub(super) struct Positions<T> {
    short: HashMap<Short, T, BuildHasherDefault<ShortHasher>>,
    long: HashMap<Box<str>, T>,
}

impl<T: Copy> Positions<T> {
    /// What is known of an id.
    pub fn get(&self, guid: &str) -> Option<T> {
        match short(guid) {
            Some(key) => self.short.get(&key).copied(),
            None => self.long.get(guid).copied(),
        }
    }

    /// Makes an id known.
    pub fn insert(&mut self, guid: &str, value: T) {
        match short(guid) {
            Some(key) => self.short.insert(key, value),
            None => self.long.insert(guid.into(), value),
        };
    }
}

fn short(guid: &str) -> Option<Short> {
    let mut bytes = [0; 16];
    bytes[15] = u8::try_from(guid.len()).ok()?;
    if guid.len() > LONGEST_SHORT {
        return None;
    }
    bytes[..guid.len()].copy_from_slice(guid.as_bytes());
    let (low, high) = bytes.split_at(8);
    let halves = [low, high].map(|half| u64::from_le_bytes(half.try_into().unwrap_or_default()));
    Some(Short(halves))
}

/// Mixes two numbers with Knuth's multiplicative hashing; the standard hasher, which resists
/// forged collisions, takes several times as long.
#[derive(Debug, Default)]
struct ShortHasher(u64);

impl Hasher for ShortHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        /// 2 to the power of 64 over the golden ratio (Knuth, TAOCP 6.4).
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.0 ^ number).wrapping_mul(GOLDEN);
        self.0 = mixed ^ mixed >> 29;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
