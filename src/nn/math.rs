//! The exponential and the normal distribution, without branches, so that the compiler turns
//! loops over them into vector instructions.

/// Sums that are added up side by side, so that the compiler makes vectors of them; the order
/// of additions is the same on every processor.
const LANES: usize = 32;

/// The sum of `term(x)`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += term(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += term(*x);
    }
    total(lanes)
}

/// The sum of `term(x, y)` over two rows of one length.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn sum_of_pairs(x: &[f32], y: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (mut x, mut y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for (x, y) in (&mut x).zip(&mut y) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += term(*x, *y);
        }
    }
    let rest = x.remainder().iter().zip(y.remainder());
    for (lane, (x, y)) in lanes.iter_mut().zip(rest) {
        *lane += term(*x, *y);
    }
    total(lanes)
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn total(lanes: [f32; LANES]) -> f32 {
    pair_up(lanes, |a, b| a + b)
}

/// Combines the first half with the second, the first quarter with the second, and so on.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn pair_up<T: Copy, const N: usize>(mut lanes: [T; N], both: impl Fn(T, T) -> T) -> T {
    let mut n = N / 2;
    while n > 0 {
        for i in 0..n {
            lanes[i] = both(lanes[i], lanes[i + n]);
        }
        n /= 2;
    }
    lanes[0]
}

/// Values of a [`Chunk`].
pub(super) const CHUNK: usize = 16;

/// As many values as the widest register holds: a loop over them is without a rest that would
/// be done one by one, which takes longer than everything else where rows are short.
pub(super) type Chunk = [f32; CHUNK];

/// The chunks of a row; the last is filled up with `filler`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn chunks_of(row: &[f32], filler: f32) -> impl Iterator<Item = Chunk> {
    row.chunks(CHUNK)
        .map(move |values| chunk_of(values, filler))
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
fn chunk_of(values: &[f32], filler: f32) -> Chunk {
    Chunk::try_from(values).unwrap_or_else(|_| {
        let mut chunk = [filler; CHUNK];
        chunk[..values.len()].copy_from_slice(values);
        chunk
    })
}

/// Makes each chunk of a row, the last filled up with `filler`, what `change` makes of it.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn change_chunks(row: &mut [f32], filler: f32, mut change: impl FnMut(&mut Chunk)) {
    for values in row.chunks_mut(CHUNK) {
        if let Ok(chunk) = <&mut Chunk>::try_from(&mut *values) {
            change(chunk);
        } else {
            let mut chunk = chunk_of(values, filler);
            change(&mut chunk);
            values.copy_from_slice(&chunk[..values.len()]);
        }
    }
}

/// The largest value, negative infinity where there is none.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn largest_of(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; CHUNK];
    for chunk in chunks_of(x, f32::NEG_INFINITY) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    pair_up(lanes, larger)
}

/// e^x, for x up to 88; below -87 it is 0 to within 1.7e-38 and never a denormal number.
///
/// Relative error under 2e-7: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor series to
/// the seventh power, 2^n by the exponent's bits.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 x 2^23: adding it rounds to a whole number, which then lies in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with so few digits that n times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut series: f32 = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = series.mul_add(r, coefficient);
    }
    let power_of_two = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    series * power_of_two
}

/// tanh(x), to 3e-7.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn tanh(x: f32) -> f32 {
    // Near 0 the formula below loses digits, where the series' next term is under 1e-8.
    let square = x * x;
    let mut series = -17.0 / 315.0;
    for coefficient in [2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = square.mul_add(series, coefficient);
    }
    let series = x * series;
    let fraction = 1.0 - 2.0 / (exp(2.0 * x.clamp(-20.0, 20.0)) + 1.0);
    if x.abs() < 0.1 { series } else { fraction }
}

/// The standard normal distribution at x: its cumulated probability and its density.
///
/// The error function is Abramowitz and Stegun's 7.1.26, whose absolute error is at most 1.5e-7;
/// with f32 rounding both results are right to 3e-7.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of a vectorized loop")]
pub(super) fn normal(x: f32) -> (f32, f32) {
    /// 1 / sqrt(2 pi).
    const DENSITY_AT_0: f32 = 0.398_942_3;
    let magnitude = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / magnitude.mul_add(0.327_591_1, 1.0);
    let mut series: f32 = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        series = series.mul_add(t, coefficient);
    }
    let exponential = exp(-magnitude * magnitude);
    let upper_tail = 0.5 * series * t * exponential;
    let cumulated = if x < 0.0 {
        upper_tail
    } else {
        1.0 - upper_tail
    };
    (cumulated, DENSITY_AT_0 * exponential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_the_last_digits() {
        for i in -8700..=8800 {
            let x = i as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2e-7, "exp({x}) is off by {error:e}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1.7e-38 && exp(-1e30).is_normal());
    }

    #[test]
    fn the_hyperbolic_tangent_is_right_to_three_ten_millionths() {
        for i in -30_000..=30_000 {
            let x = i as f32 * 1e-3;
            let error = (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
            assert!(error < 3e-7, "tanh({x}) is off by {error:e}");
        }
    }

    #[test]
    fn sums_hold_every_term() {
        for n in [0_u32, 1, 31, 32, 33, 384, 385] {
            // Whole numbers this small have exact sums.
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            assert_eq!(sum(&x, |x| x) as u32, n * (n + 1) / 2, "{n}");
            let of_pairs = sum_of_pairs(&x, &x, |x, y| x + y);
            assert_eq!(of_pairs as u32, n * (n + 1), "{n}");
            let expected = if n == 0 { f32::NEG_INFINITY } else { n as f32 };
            assert_eq!(largest_of(&x).to_bits(), expected.to_bits(), "{n}");
        }
    }

    #[test]
    fn the_normal_distribution_is_right_to_three_ten_millionths() {
        for i in -1200..=1200 {
            let x = i as f32 * 0.01;
            let (cumulated, density) = normal(x);
            let exact = 0.5 * (1.0 + libm::erf(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(cumulated) - exact).abs() < 3e-7, "at {x}");
            let exact = (-0.5 * f64::from(x).powi(2)).exp() / std::f64::consts::TAU.sqrt();
            assert!((f64::from(density) - exact).abs() < 3e-7, "at {x}");
        }
    }
}
