//! Axes: round limits, ticks, and the words at the ticks.

/// A range from `start` to `limit` with ticks at multiples of `step`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    /// The least value on the axis.
    start: f64,
    /// The greatest value on the axis, above `start`.
    limit: f64,
    step: f64,
}

/// The greatest standard deviation that values between 0 and 1 can have.
const LARGEST_VARIABILITY: f64 = 0.5;

/// Under this range, differences of variability are noise that need not fill the figure.
const NARROWEST_VARIABILITY: f64 = 0.05;

impl Axis {
    /// Confidence and other fractions: 0 to 1.
    pub fn unit() -> Self {
        Self {
            start: 0.0,
            limit: 1.0,
            step: 0.2,
        }
    }

    /// Variability: up to the data's greatest value, rounded up to a tick. The corrected
    /// variability of few epochs may exceed 0.5; then so does the axis. Where all are 0, as
    /// after one epoch, the axis shows the whole possible range.
    pub fn variability(greatest: f64) -> Self {
        let shown = if greatest == 0.0 {
            LARGEST_VARIABILITY
        } else {
            greatest.max(NARROWEST_VARIABILITY)
        };
        let step = round_step(shown / 6.0);
        // A value that rounding put just above a tick does not need the next one.
        let limit = (shown / step - 1e-9).ceil() * step;
        Self {
            start: 0.0,
            limit,
            step,
        }
    }

    /// Any finite values: from a tick that is at most the least to one that is at least the
    /// greatest. Whole numbers have ticks at whole numbers. Equal values lie in the middle, and
    /// without any the axis goes from 0 to 1.
    pub fn of(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::unit();
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let size = least.abs().max(greatest.abs());
        let are_whole = size < LARGEST_WHOLE && values.iter().all(|value| value.fract() == 0.0);
        let differ = greatest / 2.0 - least / 2.0 > size * LEAST_DIFFERENCE && size > LEAST_SIZE;
        let (least, greatest) = if differ {
            (least, greatest)
        } else if are_whole && size < LARGEST_PLAIN {
            (least - 1.0, least + 1.0)
        } else if size > LEAST_SIZE {
            (least - size / 2.0, least + size / 2.0)
        } else {
            (-1.0, 1.0)
        };
        // Halves, because the difference of the largest numbers is larger than any.
        let step = round_step((greatest / 2.0 - least / 2.0) / 3.0);
        let step = if are_whole { step.max(1.0) } else { step };
        // A value that rounding put just beyond a tick does not need the next one.
        let start = ((least / step + 1e-9).floor() * step).max(f64::MIN);
        let limit = ((greatest / step - 1e-9).ceil() * step).min(f64::MAX);
        Self { start, limit, step }
    }

    /// The axis with room for so much more at both ends; its ticks stay.
    pub fn widened(self, by: f64) -> Self {
        Self {
            start: self.start - by,
            limit: self.limit + by,
            ..self
        }
    }

    /// Counts from 0 to a little more than `greatest`, with whole numbers at the ticks.
    pub fn counts(greatest: usize) -> Self {
        let greatest = greatest.max(1) as f64;
        Self {
            start: 0.0,
            limit: greatest * 1.06,
            step: round_step(greatest / 5.0).max(1.0),
        }
    }

    /// Where the value lies on the axis, from 0 at its start to 1 at its end.
    pub fn fraction(&self, value: f64) -> f64 {
        // Divided first, because the difference of the largest numbers is larger than any.
        if self.start == 0.0 {
            value / self.limit
        } else {
            (value / 2.0 - self.start / 2.0) / (self.limit / 2.0 - self.start / 2.0)
        }
    }

    /// The values with a tick, upwards.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = self.step;
        let first = (self.start / step - 1e-9).ceil();
        let n_steps = (self.limit / step + 1e-9).floor() - first;
        (0..=n_steps as usize).map(move |i| (first + i as f64) * step)
    }

    /// A tick's label, with as many decimals as the step has; very large and very small ones
    /// have powers of ten.
    pub fn label(&self, tick: f64) -> String {
        let size = self.start.abs().max(self.limit.abs());
        if tick == 0.0 && (size >= LARGEST_PLAIN || self.step < LEAST_PLAIN_STEP) {
            return "0".to_owned();
        }
        if size >= LARGEST_PLAIN || self.step < LEAST_PLAIN_STEP {
            let n_digits =
                (tick.abs().log10().floor() - (self.step.log10() + 1e-9).floor()) as usize;
            return format!("{tick:.n_digits$e}");
        }
        if self.step >= 1.0 {
            let sign = if tick < 0.0 { "-" } else { "" };
            return format!("{sign}{}", count_label(tick.abs(), self.step));
        }
        let decimals = (-self.step.log10() - 1e-9).ceil().max(0.0) as usize;
        // Minus zero is written with its sign.
        format!("{:.decimals$}", tick + 0.0)
    }
}

/// Values that differ less than this, as a part of their size, are equal: their labels would have
/// more digits than anybody reads.
const LEAST_DIFFERENCE: f64 = 1e-7;

/// Numbers of at most this size are as good as 0: below it they begin to lose digits.
const LEAST_SIZE: f64 = 1e-290;

/// From here on whole numbers are not told apart.
const LARGEST_WHOLE: f64 = 9e15;

/// From here on labels have powers of ten.
const LARGEST_PLAIN: f64 = 1e9;

/// Under this step labels have powers of ten.
const LEAST_PLAIN_STEP: f64 = 1e-5;

/// The least of 1, 2 and 5 times a power of ten that is no smaller than `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf((rough.log10() - 1e-9).floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Thousands and millions are written short where every tick of the axis is a whole one.
fn count_label(count: f64, step: f64) -> String {
    let count = count.round() as usize;
    match step {
        _ if count == 0 => "0".to_owned(),
        s if s >= 1e6 => format!("{}M", count / 1_000_000),
        s if s >= 1e3 => format!("{}k", count / 1000),
        _ => grouped(count),
    }
}

/// The number with a comma between groups of three digits.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
