//! Correctness in at most six classes, each with a colour, a marker and a label.
//!
//! The classes are the paper's 0.0, 0.2, ... 1.0 (figure 1), as fractions of the epochs. With
//! fewer than five epochs every possible value is a class of its own; with more, a value goes
//! to the nearest class, and one halfway to the upper.

use super::scale::blend;
use super::svg::Px;

/// The most classes there are.
pub(super) const MAX_CLASSES: usize = 6;

/// The colours at the fractions 0.0, 0.2, ... 1.0: warm for hard, cool for easy, dark at both
/// ends and lighter in the middle, so that lightness orders each half for every kind of colour
/// vision and no pair relies on telling red from green.
const COLOURS: [[u8; 3]; MAX_CLASSES] = [
    [0xb2, 0x18, 0x2b],
    [0xe2, 0x6f, 0x2c],
    [0xe8, 0xb2, 0x5c],
    [0x9a, 0xa3, 0xad],
    [0x5a, 0xa2, 0xd8],
    [0x1f, 0x4e, 0x9e],
];

/// How correctness is cut into classes; class 0 is never correct, the last always.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classes {
    n_epochs: u64,
    last: u64,
}

/// The shape of a class's markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// A diagonal cross, drawn with lines.
    Cross,
    /// A triangle on its tip.
    TriangleDown,
    /// A square on its tip.
    Diamond,
    /// A square.
    Square,
    /// A triangle on its side.
    TriangleUp,
    /// A disc.
    Circle,
}

impl Classes {
    /// The classes of runs of `n_epochs` epochs, at least 1.
    pub fn new(n_epochs: usize) -> Self {
        Self {
            n_epochs: n_epochs as u64,
            last: n_epochs.min(MAX_CLASSES - 1) as u64,
        }
    }

    /// The number of epochs, at least 1.
    pub fn n_epochs(self) -> usize {
        self.n_epochs as usize
    }

    /// How many there are: 2 to 6.
    pub fn len(self) -> usize {
        self.last as usize + 1
    }

    /// Whether a class holds one value of correctness only.
    pub fn are_exact(self) -> bool {
        self.last == self.n_epochs
    }

    /// The class of an example that was correct in `correctness` of the epochs.
    pub fn of(self, correctness: u32) -> usize {
        let halves = 2 * u64::from(correctness) * self.last + self.n_epochs;
        (halves / (2 * self.n_epochs)) as usize
    }

    /// The fraction of epochs that the class stands for.
    fn fraction(self, class: usize) -> f64 {
        class as f64 / self.last as f64
    }

    /// The fraction in as many decimals as tell the classes apart.
    pub fn label(self, class: usize) -> String {
        let decimals = if matches!(self.last, 3 | 4) { 2 } else { 1 };
        format!("{:.decimals$}", self.fraction(class))
    }

    /// The class's colour, as `#rrggbb`.
    pub fn colour(self, class: usize) -> String {
        colour(self.fraction(class))
    }

    /// The class's marker; two classes never share one.
    pub fn marker(self, class: usize) -> Marker {
        const MARKERS: [Marker; MAX_CLASSES] = [
            Marker::Cross,
            Marker::TriangleDown,
            Marker::Diamond,
            Marker::Square,
            Marker::TriangleUp,
            Marker::Circle,
        ];
        let place = self.fraction(class) * (MAX_CLASSES - 1) as f64;
        MARKERS[place.round() as usize]
    }
}

/// The colour of a fraction correct between 0 and 1, as `#rrggbb`.
pub(super) fn colour(fraction: f64) -> String {
    let place = fraction.clamp(0.0, 1.0) * (MAX_CLASSES - 1) as f64;
    blend(&COLOURS, place)
}

impl Marker {
    /// The attributes of a group of these markers.
    pub fn attributes(self, colour: &str, radius: f64, opacity: f64) -> String {
        match self {
            Self::Cross => format!(
                "fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" \
                 stroke-opacity=\"{opacity:.2}\"",
                Px(radius * 0.62)
            ),
            _ => format!("fill=\"{colour}\" fill-opacity=\"{opacity:.2}\""),
        }
    }

    /// The outline of a marker of this size: the offset from its middle to where it starts,
    /// and the rest of its path. The sizes differ so that the areas look alike.
    pub fn outline(self, radius: f64) -> ((f64, f64), String) {
        let r = radius;
        match self {
            Self::Cross => {
                let s = 0.9 * r;
                let (side, back) = (Px(2.0 * s), Px(-2.0 * s));
                ((-s, -s), format!("l{side} {side}m0 {back}l{back} {side}"))
            }
            Self::TriangleDown | Self::TriangleUp => {
                let t = if self == Self::TriangleUp { -1.3 } else { 1.3 } * r;
                let (across, along) = (Px(0.87 * t), Px(-1.5 * t));
                let back = Px(-1.74 * t);
                ((0.0, t), format!("l{across} {along}h{back}z"))
            }
            Self::Diamond => {
                let d = 1.25 * r;
                let (to, back) = (Px(d), Px(-d));
                ((0.0, -d), format!("l{to} {to} {back} {to} {back} {back}z"))
            }
            Self::Square => {
                let s = 0.9 * r;
                let (side, back) = (Px(2.0 * s), Px(-2.0 * s));
                ((-s, -s), format!("h{side}v{side}h{back}z"))
            }
            Self::Circle => {
                // Rounded once, so that the diameter is exactly twice what is written.
                let r = (r * 10.0).round() / 10.0;
                let (radius, width, back) = (Px(r), Px(2.0 * r), Px(-2.0 * r));
                (
                    (-r, 0.0),
                    format!("a{radius} {radius} 0 1 0 {width} 0 {radius} {radius} 0 1 0 {back} 0z"),
                )
            }
        }
    }
}
