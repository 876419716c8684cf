//! The sides of a picture of any two signals, and markers that would hide one another moved apart.

use super::axis::Axis;
use super::frame::Side;
use super::scatter::Signal;

/// How far markers go to either side of a value, as a part of its distance from the next.
const SPREAD: f64 = 0.3;

/// With more values than these, markers of neighbours would overlap as well.
const MOST_SPREAD_VALUES: usize = 50;

/// How far markers are moved from their places, so that they do not hide one another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    of_values: f64,
    /// As a part of the strip of infinity.
    at_infinity: f64,
}

impl Spread {
    /// How far the marker of a value may go.
    pub fn of(self, value: f64) -> f64 {
        if value.is_infinite() {
            self.at_infinity
        } else {
            self.of_values
        }
    }
}

/// Where the marker of this number goes, across and up, from -1 to 1: a sequence that fills the
/// square evenly however many there are (the R2 sequence of Roberts 2018, "The unreasonable
/// effectiveness of quasirandom sequences"), and needs no random numbers.
pub(super) fn offsets(number: u32) -> [f64; 2] {
    /// The root of x^3 = x + 1.
    const PLASTIC: f64 = 1.324_717_957_244_746;
    let step = |step: f64| 2.0 * (0.5 + step * f64::from(number)).fract() - 1.0;
    [step(1.0 / PLASTIC), step(1.0 / (PLASTIC * PLASTIC))]
}

/// The distance of the values from one another where markers would hide one another although there
/// is room beside them: where there are few values, as of whole numbers, and examples share them.
fn distance(values: &[f64], is_alone: bool) -> Option<f64> {
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let range = sorted.last()? - sorted.first()?;
    let are_whole = range < 1e9 && sorted.iter().all(|value| value.fract() == 0.0);
    // Means of the same numbers in another order may differ in their last digits.
    sorted.dedup_by(|a, b| *a - *b <= 1e-9 * range);
    let n_shared = if are_whole { 1 } else { 3 * sorted.len() };
    let are_shared = values.len() >= sorted.len() + n_shared;
    if sorted.len() > MOST_SPREAD_VALUES || !are_shared {
        return None;
    }
    let distances = sorted.windows(2).map(|pair| pair[1] - pair[0]);
    let least = distances.fold(f64::INFINITY, f64::min);
    match sorted.len() {
        1 => (are_whole && is_alone).then_some(1.0),
        // Neighbours far closer than the others would leave nothing to see of the spread.
        n => Some(least).filter(|least| *least * 10.0 * n as f64 >= range),
    }
}

/// The axis of a signal: that of its possible values where the figure has one as well, so that
/// pictures of different maps can be compared, else that of its values. And whether markers, if
/// there are any, are spread along it.
pub(super) fn side(signal: &Signal, are_markers: bool) -> (Side, Spread) {
    let finite = signal
        .values
        .iter()
        .copied()
        .filter(|value| value.is_finite());
    let finite: Vec<f64> = finite.collect();
    let has_infinity = finite.len() < signal.values.len();
    let (axis, is_of_values) = axis(&signal.name, &finite);
    let mut side = Side {
        infinity: has_infinity.then_some(match signal.name.as_str() {
            "forgetfulness" => "never learnt",
            _ => "infinite",
        }),
        ..Side::new(signal.name.as_str(), axis)
    };
    let mut spread = Spread {
        of_values: 0.0,
        at_infinity: if are_markers { SPREAD } else { 0.0 },
    };
    if let Some(distance) = distance(&finite, is_of_values).filter(|_| are_markers) {
        spread.of_values = SPREAD * distance;
        side.axis = side.axis.widened(distance / 2.0);
        let shown = format!("{:.2}", spread.of_values);
        let shown = shown.trim_end_matches('0').trim_end_matches('.');
        side.name = format!("{} (markers are spread by up to {shown})", signal.name);
    }
    (side, spread)
}

/// The axis of these values of a signal, and whether it is theirs alone.
fn axis(name: &str, values: &[f64]) -> (Axis, bool) {
    let of_values = values;
    let values = values.iter().copied();
    let greatest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    let least = values.clone().fold(f64::INFINITY, f64::min);
    match name {
        "confidence" | "avg_probs" | "correct_ratio" | "max_label_probs" | "min_label_probs"
            if least >= 0.0 && greatest <= 1.0 =>
        {
            (Axis::unit(), false)
        }
        "variability" if least >= 0.0 && greatest <= 1.0 => (Axis::variability(greatest), false),
        _ => (Axis::of(of_values), true),
    }
}
