//! Changed copies of inputs.

use crate::scratch::uniform;

/// Numbers at the edges of what readers hold.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1e999",
    "-1e-999",
    "NaN",
    "Infinity",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "99999999999999999999999",
    "0.1",
    "1e308",
    "-0",
    "255",
];

/// Bytes that mean something in one format or another.
const BYTES: [u8; 14] = [
    0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b',', b'\n', b'\t', b'\\', b'\'', b':',
];

/// Makes changed copies, the same ones for the same seed.
pub struct Mutator<'a> {
    next: Box<dyn FnMut() -> f64>,
    words: &'a [&'a str],
}

impl<'a> Mutator<'a> {
    pub fn new(seed: u64, words: &'a [&'a str]) -> Self {
        let next = Box::new(uniform(seed));
        Self { next, words }
    }

    /// A number below `n`, 0 for 0.
    fn below(&mut self, n: usize) -> usize {
        ((self.next)() * n as f64) as usize
    }

    /// One of the inputs with one to six changes.
    pub fn changed(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input, inputs);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.place(input);
        let end = (at + 1 + self.below(64)).min(input.len());
        match self.below(10) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = BYTES[self.below(BYTES.len())],
            2 => input.insert(at, BYTES[self.below(BYTES.len())]),
            3 if at < end => drop(input.drain(at..end)),
            4 => input.truncate(at),
            5 if at < end => {
                let part = input[at..end].to_vec();
                let times = 1 + self.below(4);
                insert(input, at, &part.repeat(times));
            }
            6 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.place(other);
                let to = (from + 1 + self.below(256)).min(other.len());
                insert(input, at, &other[from.min(to)..to]);
            }
            7 => self.other_number(input, at),
            8 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                insert(input, at, word.as_bytes());
            }
            // Four bytes that a format may take for a length.
            _ if at + 4 <= input.len() => {
                let length = [0, 1, u32::MAX, i32::MAX as u32, 1 << 16][self.below(5)];
                input[at..at + 4].copy_from_slice(&length.to_le_bytes());
            }
            _ => {}
        }
    }

    /// A place, more often one near the beginning or the end, where headers are.
    fn place(&mut self, input: &[u8]) -> usize {
        match self.below(4) {
            0 => self.below(input.len().min(64) + 1),
            1 => input.len() - self.below(input.len().min(64) + 1),
            _ => self.below(input.len() + 1),
        }
    }

    /// Puts another number for the one at or after `at`.
    fn other_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let Some(start) = input[at..].iter().position(is_digit) else {
            return;
        };
        let start = at + start;
        let length = input[start..]
            .iter()
            .take_while(|byte| is_digit(byte))
            .count();
        let number = NUMBERS[self.below(NUMBERS.len())];
        input.splice(start..start + length, number.bytes());
    }
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}
