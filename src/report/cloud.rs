//! The examples in the plane: one marker each, or hexagons where there are too many.

use std::collections::BTreeMap;

use super::classes::{Classes, colour};
use super::svg::{Px, Svg};

/// Above this many examples the authors' code plots a random sample of this size
/// (allenai/cartography, `plot_td_metrics`); here hexagons show all of them.
pub(super) const MOST_MARKERS: usize = 25_000;

/// An example on the canvas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Across, in pixels.
    pub x: f64,
    /// Down, in pixels.
    pub y: f64,
    /// In how many epochs it was correct.
    pub correctness: u32,
    /// The class of that.
    pub class: usize,
}

/// Draws a marker for each example: a class with fewer examples lies above one with more, so
/// that the rare ones stay visible; within a class the order is the data's.
pub(super) fn markers(svg: &mut Svg, points: &[Placed], classes: Classes) {
    let mut by_class = vec![Vec::new(); classes.len()];
    for point in points {
        by_class[point.class].push((point.x, point.y));
    }
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|class| std::cmp::Reverse(by_class[*class].len()));

    let radius = 4.4 - 2.4 * crowding(points.len());
    for class in order {
        let middles = &by_class[class];
        if middles.is_empty() {
            continue;
        }
        let opacity = 0.85 - 0.45 * crowding(middles.len());
        let marker = classes.marker(class);
        let attributes = marker.attributes(&classes.colour(class), radius, opacity);
        let ((from_x, from_y), rest) = marker.outline(radius);
        svg.group(&attributes, |svg| {
            for (x, y) in middles {
                let (x, y) = (Px(x + from_x), Px(y + from_y));
                svg.push(format_args!("<path d=\"M{x} {y}{rest}\"/>\n"));
            }
        });
    }
}

/// How crowded so many markers are, from 0 to 1: all markers shrink with the number of all,
/// and a class fades with its own, so that overlaps show how dense the cloud is and rare
/// classes stay strong.
fn crowding(n_markers: usize) -> f64 {
    let few: f64 = 100.0;
    let crowd = (n_markers as f64 / few).ln() / (MOST_MARKERS as f64 / few).ln();
    crowd.clamp(0.0, 1.0)
}

/// The distance from a hexagon's middle to its corners, in pixels.
const HEXAGON: f64 = 5.0;

/// How many steps of colour and of opacity hexagons have; the steps keep the file short.
const STEPS: f64 = 20.0;

#[derive(Debug, Default, Clone, Copy)]
struct Bin {
    n_examples: usize,
    n_correct: u64,
}

/// Draws hexagons: the colour is the examples' mean correctness, the opacity the logarithm of
/// their number. Returns the number of examples in the fullest one.
pub(super) fn hexagons(svg: &mut Svg, points: &[Placed], n_epochs: usize) -> usize {
    let mut bins: BTreeMap<(i64, i64), Bin> = BTreeMap::new();
    for point in points {
        let bin = bins.entry(hexagon_of(point.x, point.y)).or_default();
        bin.n_examples += 1;
        bin.n_correct += u64::from(point.correctness);
    }
    let fullest = bins.values().map(|bin| bin.n_examples).max().unwrap_or(0);

    let mut by_look: BTreeMap<(u8, u8), Vec<(i64, i64)>> = BTreeMap::new();
    for (cell, bin) in &bins {
        let mean = bin.n_correct as f64 / (bin.n_examples * n_epochs) as f64;
        let filled = (bin.n_examples as f64).ln_1p() / (fullest as f64).ln_1p();
        let opacity = 0.4 + 0.6 * filled;
        let look = (
            (mean * STEPS).round() as u8,
            (opacity * STEPS).round() as u8,
        );
        by_look.entry(look).or_default().push(*cell);
    }

    // Slightly smaller than its cell, so that neighbours do not blend along their edges.
    let outline = hexagon_outline(HEXAGON - 0.3);
    for ((mean, opacity), cells) in by_look {
        svg.push(format_args!(
            "<path fill=\"{}\" fill-opacity=\"{:.2}\" d=\"",
            colour(f64::from(mean) / STEPS),
            f64::from(opacity) / STEPS
        ));
        for cell in cells {
            let (x, y) = middle(cell);
            svg.push(format_args!(
                "M{} {}{outline}",
                Px(x),
                Px(y - HEXAGON + 0.3)
            ));
        }
        svg.push(format_args!("\"/>\n"));
    }
    fullest
}

/// A hexagon on its tip, as the rest of a path that starts at its upper corner.
pub(super) fn hexagon_outline(radius: f64) -> String {
    let across = radius * 0.75f64.sqrt();
    let (a, b) = (Px(across), Px(-across));
    let (half, up, side, back) = (Px(radius / 2.0), Px(-radius / 2.0), Px(radius), Px(-radius));
    format!("l{a} {half}v{side}l{b} {half} {b} {up}v{back}z")
}

/// The hexagon that holds a place: row, and column in half widths. The middles of even rows
/// and those of odd rows each form a rectangular grid, so the nearest middle of either is
/// found by rounding, and the nearer of the two is the hexagon's.
fn hexagon_of(x: f64, y: f64) -> (i64, i64) {
    let (width, height) = (HEXAGON * 3f64.sqrt(), HEXAGON * 1.5);
    let even = (
        2 * (y / (2.0 * height)).round() as i64,
        2 * (x / width).round() as i64,
    );
    let odd = (
        2 * (y / (2.0 * height) - 0.5).round() as i64 + 1,
        2 * (x / width - 0.5).round() as i64 + 1,
    );
    let distance = |cell| {
        let (middle_x, middle_y) = middle(cell);
        (x - middle_x).powi(2) + (y - middle_y).powi(2)
    };
    if distance(even) <= distance(odd) {
        even
    } else {
        odd
    }
}

fn middle((row, column): (i64, i64)) -> (f64, f64) {
    let half_width = HEXAGON * 0.75f64.sqrt();
    (column as f64 * half_width, row as f64 * HEXAGON * 1.5)
}
