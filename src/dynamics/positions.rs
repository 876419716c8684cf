//! Which position an example has, by its id.
//!
//! Millions of ids are looked up in no order, so that nearly every look into memory waits for it.
//! Ids of up to 15 bytes, which most are, lie in the table itself and need one look; the standard
//! library's table needs two.

use std::collections::HashMap;

/// The longest id that lies in the table, in bytes.
const LONGEST_SHORT: usize = 15;

/// An id of 1 to [`LONGEST_SHORT`] bytes: the bytes, zeros, and their number; zeros alone are none.
type Short = [u64; 2];

/// Ids and what is known of each.
#[derive(Debug, Default)]
pub(super) struct Positions<T> {
    /// A power of two of slots, or none yet; an id lies in the first one free from its own on.
    slots: Vec<(Short, T)>,
    n_short: usize,
    long: HashMap<Box<str>, T>,
}

impl<T: Copy + Default> Positions<T> {
    /// What is known of an id.
    pub fn get(&self, guid: &str) -> Option<T> {
        let Some(key) = short(guid) else {
            return self.long.get(guid).copied();
        };
        if self.slots.is_empty() {
            return None;
        }
        let (found, value) = &self.slots[self.slot(key)];
        (*found == key).then_some(*value)
    }

    /// Makes an id, which is not empty, known.
    pub fn insert(&mut self, guid: &str, value: T) {
        let Some(key) = short(guid) else {
            self.long.insert(guid.into(), value);
            return;
        };
        // A quarter stays free, so that free slots are near.
        if 4 * self.n_short >= 3 * self.slots.len() {
            self.grow();
        }
        let slot = self.slot(key);
        self.n_short += usize::from(self.slots[slot].0 != key);
        self.slots[slot] = (key, value);
    }

    /// The slot in which an id is, or else would be; there must be slots.
    fn slot(&self, key: Short) -> usize {
        let n_slots = self.slots.len();
        let mut slot = hash(key) >> (u64::BITS - n_slots.trailing_zeros()) as usize;
        while self.slots[slot].0 != key && self.slots[slot].0 != Short::default() {
            slot = (slot + 1) % n_slots;
        }
        slot
    }

    fn grow(&mut self) {
        /// Slots of the first table, for which there is no other reason than that it is small.
        const FEW: usize = 1 << 10;
        let n_slots = (2 * self.slots.len()).max(FEW);
        let before = std::mem::replace(&mut self.slots, vec![Default::default(); n_slots]);
        for (key, value) in before {
            if key != Short::default() {
                let slot = self.slot(key);
                self.slots[slot] = (key, value);
            }
        }
    }
}

fn short(guid: &str) -> Option<Short> {
    let bytes = guid.as_bytes();
    if bytes.is_empty() || bytes.len() > LONGEST_SHORT {
        return None;
    }
    let number = |bytes: &[u8]| {
        let digits = bytes.iter().rev();
        digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    Some([number(low), number(high) | (bytes.len() as u64) << 56])
}

/// Mixes two numbers with Knuth's multiplicative hashing, whose upper bits are the good ones; the
/// standard hasher, which resists forged collisions, takes several times as long.
fn hash([low, high]: Short) -> usize {
    /// 2 to the power of 64 over the golden ratio (Knuth, TAOCP 6.4).
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = low.wrapping_mul(GOLDEN);
    (mixed ^ mixed >> 29 ^ high).wrapping_mul(GOLDEN) as usize
}
