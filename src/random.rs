//! Random numbers as pure functions of what they are for.
//!
//! A draw depends on a seed, a [`Purpose`], and counters (epoch, step, layer, index): nothing
//! is stored, nothing depends on the order of calls or on the number of threads, and a
//! dropout mask is drawn again in the backward pass instead of being kept.
//!
//! The generator is Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as easy
//! as 1, 2, 3"): ten rounds that turn a 128-bit counter and a 64-bit key into 128 random bits.
//! Dropout masks, of which a step of training draws millions, take Philox4x32-7, with the fewest
//! rounds that the paper found to pass all of its statistical tests.

/// Rounds of the generator.
const ROUNDS: usize = 10;
/// Rounds of it for dropout masks.
const ROUNDS_OF_MASKS: usize = 7;

/// What a stream of random numbers is for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The first weights of a model.
    Initialization = 1,
    /// Dropout masks.
    Dropout = 2,
    /// The order of the examples in an epoch.
    Order = 3,
    /// Which examples are split off for validation.
    Split = 4,
    /// A selector's random picks.
    Selection = 5,
    /// The examples of a bootstrap's resamples.
    Bootstrap = 6,
    /// Which labels are made wrong on purpose, and what they become.
    LabelNoise = 7,
    /// Which examples are held out together in cross-validation.
    Folds = 8,
}

/// A stream of random numbers, read at any position in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    high: [u32; 3],
}

impl Stream {
    /// The stream of `seed` for `purpose`; `a` and `b` tell streams of one purpose apart
    /// (an epoch, a layer), each any 32-bit number.
    pub fn new(seed: u64, purpose: Purpose, a: u32, b: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            high: [a, b, purpose as u32],
        }
    }

    /// The generator's key, and the upper three words of its counter; `block` is the lowest.
    pub fn words(&self) -> ([u32; 2], [u32; 3]) {
        (self.key, self.high)
    }

    /// The four 32-bit numbers at `block`, each uniform.
    #[inline]
    pub fn block(&self, block: u32) -> [u32; 4] {
        let [a, b, c] = self.high;
        philox4x32::<ROUNDS>([block, a, b, c], self.key)
    }

    /// The 64 uniform 32-bit numbers of the 16 blocks from `16 group` on, made in the seven rounds
    /// of dropout masks: number i is number i / 16 of block i % 16, an order in which
    /// sixteen blocks are made at once.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        reason = "the caller's vector instructions are to be used"
    )]
    pub fn group(&self, group: u32) -> [u32; 64] {
        philox4x32_of_16(group.wrapping_mul(16), self.high, self.key)
    }

    /// The uniform 32-bit number at `index` (below 2^34).
    #[inline]
    pub fn u32_at(&self, index: u64) -> u32 {
        self.block((index / 4) as u32)[(index % 4) as usize]
    }

    /// The uniform 64-bit number at `index` (below 2^33).
    #[inline]
    pub fn u64_at(&self, index: u64) -> u64 {
        let block = self.block((index / 2) as u32);
        let at = 2 * (index % 2) as usize;
        u64::from(block[at]) << 32 | u64::from(block[at + 1])
    }

    /// The whole number at `index` (below 2^33) that is uniform below `n`.
    #[inline]
    pub fn below(&self, index: u64, n: u64) -> u64 {
        // The bias of a 64-bit draw scaled to n choices is below 2^-40 for 2^24 of them.
        let wide = u128::from(self.u64_at(index)) * u128::from(n);
        (wide >> 64) as u64
    }

    /// The number at `index` of a standard normal distribution (Box and Muller's method).
    pub fn normal_at(&self, index: u64) -> f64 {
        let block = self.block(index as u32);
        let uniform = |x: u32| (f64::from(x) + 0.5) / 4_294_967_296.0;
        (-2.0 * uniform(block[0]).ln()).sqrt() * (std::f64::consts::TAU * uniform(block[1])).cos()
    }

    /// Puts `items` into a random order (Fisher and Yates's method), all orders equally likely.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64, i as u64 + 1) as usize);
        }
    }
}

/// [`philox4x32`] in [`ROUNDS_OF_MASKS`] rounds of the counters `first` to `first + 15`, side by side.
#[inline(always)]
#[allow(clippy::inline_always, reason = "as for Stream::group")]
fn philox4x32_of_16(first: u32, high: [u32; 3], key: [u32; 2]) -> [u32; 64] {
    let mut a: [u32; 16] = std::array::from_fn(|i| first.wrapping_add(i as u32));
    let [mut b, mut c, mut d] = high.map(|word| [word; 16]);
    let mut key = key;
    for _ in 0..ROUNDS_OF_MASKS {
        for i in 0..16 {
            let product_0 = 0xD251_1F53_u64 * u64::from(a[i]);
            let product_1 = 0xCD9E_8D57_u64 * u64::from(c[i]);
            a[i] = (product_1 >> 32) as u32 ^ b[i] ^ key[0];
            b[i] = product_1 as u32;
            c[i] = (product_0 >> 32) as u32 ^ d[i] ^ key[1];
            d[i] = product_0 as u32;
        }
        key[0] = key[0].wrapping_add(0x9E37_79B9);
        key[1] = key[1].wrapping_add(0xBB67_AE85);
    }
    let mut numbers = [0; 64];
    for (numbers, words) in numbers.chunks_exact_mut(16).zip([a, b, c, d]) {
        numbers.copy_from_slice(&words);
    }
    numbers
}

/// Rounds of Philox; the constants are those of the paper's table 2 and of Random123.
#[inline]
fn philox4x32<const ROUNDS: usize>(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let product_0 = 0xD251_1F53_u64 * u64::from(counter[0]);
        let product_1 = 0xCD9E_8D57_u64 * u64::from(counter[2]);
        counter = [
            (product_1 >> 32) as u32 ^ counter[1] ^ key[0],
            product_1 as u32,
            (product_0 >> 32) as u32 ^ counter[3] ^ key[1],
            product_0 as u32,
        ];
        key[0] = key[0].wrapping_add(0x9E37_79B9);
        key[1] = key[1].wrapping_add(0xBB67_AE85);
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_the_numbers_of_its_blocks() {
        let stream = Stream::new(7, Purpose::Dropout, 1, 2);
        let (key, [a, b, c]) = stream.words();
        for (i, number) in stream.group(3).into_iter().enumerate() {
            let counter = [3 * 16 + i as u32 % 16, a, b, c];
            assert_eq!(number, philox4x32::<ROUNDS_OF_MASKS>(counter, key)[i / 16]);
        }
    }

    /// The known answers that Random123 1.14 ships for philox4x32-10 and philox4x32-7.
    #[test]
    fn philox_gives_the_published_known_answers() {
        for (word, ten_rounds, seven_rounds) in [
            (
                0,
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
                [0x5f6f_b709, 0x0d89_3f64, 0x4f12_1f81, 0x4f73_0a48],
            ),
            (
                u32::MAX,
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
                [0x5207_ddc2, 0x4516_5e59, 0x4d8e_e751, 0x8c52_f662],
            ),
        ] {
            assert_eq!(philox4x32::<ROUNDS>([word; 4], [word; 2]), ten_rounds);
            assert_eq!(
                philox4x32::<ROUNDS_OF_MASKS>([word; 4], [word; 2]),
                seven_rounds
            );
        }
    }
}
