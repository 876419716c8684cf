//! Numbers to colours that grow darker, for every kind of colour vision.

use super::axis::Axis;

/// How many colours a scale has.
pub(super) const N_COLOURS: usize = 21;

/// viridis of van der Walt and Smith (CC0, matplotlib's default) at 0.85, 0.75, ... 0.05, from
/// light to dark: its yellow end is hard to see on white.
const COLOURS: [[u8; 3]; 9] = [
    [0x9b, 0xd9, 0x3c],
    [0x5c, 0xc8, 0x63],
    [0x2f, 0xb4, 0x7c],
    [0x1f, 0x9a, 0x8a],
    [0x26, 0x82, 0x8e],
    [0x31, 0x68, 0x8e],
    [0x3f, 0x47, 0x88],
    [0x48, 0x24, 0x75],
    [0x44, 0x01, 0x54],
];

/// What stands in for the colour of an example without a value.
pub(super) const MISSING: &str = "#c3c9d0";

/// A range of numbers and its colours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// The colours, from the least number to the greatest.
    pub colours: Vec<String>,
    /// Ticks, as fractions of the range from its least number on, and their labels.
    pub ticks: Vec<(f64, String)>,
    range: Range,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Range {
    Linear(Axis),
    /// From 1 to this.
    Counts(usize),
}

impl Scale {
    /// A scale over round limits that hold the finite ones of these values.
    pub fn of(values: &[f64]) -> Self {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        let axis = Axis::of(&finite.collect::<Vec<_>>());
        let ticks = axis.ticks();
        let ticks = ticks.map(|tick| (axis.fraction(tick), axis.label(tick)));
        Self {
            colours: colours(),
            ticks: ticks.collect(),
            range: Range::Linear(axis),
        }
    }

    /// A logarithmic scale of counts from 1 to the greatest.
    pub fn counts(greatest: usize) -> Self {
        let range = Range::Counts(greatest.max(2));
        let powers = (0..).map(|power| 10usize.pow(power));
        let mut ticks: Vec<usize> = powers.take_while(|tick| *tick < greatest).collect();
        // The last power of ten gives way to the greatest where their labels would meet.
        if ticks.last().is_some_and(|last| last * 2 > greatest) {
            ticks.pop();
        }
        ticks.push(greatest);
        Self {
            colours: colours(),
            ticks: ticks
                .into_iter()
                .map(|tick| (range.fraction(tick as f64), super::axis::grouped(tick)))
                .collect(),
            range,
        }
    }

    /// The number of the value's colour, the last one for infinity; none for one that is missing.
    pub fn colour(&self, value: f64) -> Option<usize> {
        let place = self.range.fraction(value) * (N_COLOURS - 1) as f64;
        // Converted, minus infinity is 0.
        (!value.is_nan()).then(|| (place.round() as usize).min(N_COLOURS - 1))
    }
}

impl Range {
    fn fraction(self, value: f64) -> f64 {
        match self {
            Self::Linear(axis) => axis.fraction(value),
            Self::Counts(greatest) => value.ln() / (greatest as f64).ln(),
        }
    }
}

fn colours() -> Vec<String> {
    let of_place = |i: usize| {
        let place = (i * (COLOURS.len() - 1)) as f64 / (N_COLOURS - 1) as f64;
        blend(&COLOURS, place)
    };
    (0..N_COLOURS).map(of_place).collect()
}

/// The colour at a place between the first, 0, and the last, as `#rrggbb`.
pub(super) fn blend(colours: &[[u8; 3]], place: f64) -> String {
    let lower = (place.floor() as usize).min(colours.len() - 2);
    let weight = place - lower as f64;
    let channel = |i: usize| {
        let (from, to) = (
            f64::from(colours[lower][i]),
            f64::from(colours[lower + 1][i]),
        );
        (from + weight * (to - from)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0), channel(1), channel(2))
}
