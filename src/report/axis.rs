//! Axes that start at zero: round limits, ticks, and the words at the ticks.

/// A range from 0 to `limit` with ticks at multiples of `step`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    /// The greatest value on the axis; positive.
    pub limit: f64,
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
        Self { limit, step }
    }

    /// Counts from 0 to a little more than `greatest`, with whole numbers at the ticks.
    pub fn counts(greatest: usize) -> Self {
        let greatest = greatest.max(1) as f64;
        Self {
            limit: greatest * 1.06,
            step: round_step(greatest / 5.0).max(1.0),
        }
    }

    /// Where the value lies on the axis, from 0 at its start to 1 at its end.
    pub fn fraction(&self, value: f64) -> f64 {
        value / self.limit
    }

    /// The values with a tick, from 0 upwards.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = self.step;
        let n_steps = (self.limit / step + 1e-9).floor() as usize;
        (0..=n_steps).map(move |i| i as f64 * step)
    }

    /// A tick's label, with as many decimals as the step has.
    pub fn label(&self, tick: f64) -> String {
        if self.step >= 1.0 {
            return count_label(tick, self.step);
        }
        let decimals = (-self.step.log10() - 1e-9).ceil().max(0.0) as usize;
        format!("{tick:.decimals$}")
    }
}

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
