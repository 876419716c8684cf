//! The examples in the plane: one marker each, or hexagons where there are too many.

use std::collections::BTreeMap;

use super::classes::Marker;
use super::svg::{Px, Svg};

/// Above this many examples the authors' code plots a random sample of this size
/// (allenai/cartography, `plot_td_metrics`); here hexagons show all of them.
pub(super) const MOST_MARKERS: usize = 25_000;

/// Examples that look the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// As `#rrggbb`.
    pub colour: String,
    /// The shape.
    pub marker: Marker,
    /// Whether these examples are what the picture is about: they lie above all others, larger.
    pub is_raised: bool,
    /// Where they lie, in pixels across and down.
    pub middles: Vec<(f64, f64)>,
}

impl Layer {
    /// A layer without examples, not raised.
    pub fn new(colour: String, marker: Marker) -> Self {
        Self {
            colour,
            marker,
            is_raised: false,
            middles: Vec::new(),
        }
    }
}

/// Draws a marker for each example: a layer with fewer examples lies above one with more, so
/// that the rare ones stay visible; within a layer the order is the data's.
pub(super) fn markers(svg: &mut Svg, mut layers: Vec<Layer>) {
    sort_by_rarity(&mut layers);
    let n_markers = n_markers(&layers);
    for layer in &layers {
        draw_part(svg, layer, n_markers, 0, 1);
    }
}

/// Draws a marker for each example as [`markers`] does, but mixes layers of similar size, so that
/// neither hides the other where both are dense.
pub(super) fn mixed_markers(svg: &mut Svg, mut layers: Vec<Layer>) {
    const N_PARTS: usize = 16;
    // A layer with less than a quarter of the largest one's examples is a rare one.
    const RARE: usize = 4;
    sort_by_rarity(&mut layers);
    let n_markers = n_markers(&layers);
    let largest = layers.iter().map(|layer| layer.middles.len()).max();
    let is_mixed =
        |layer: &&Layer| !layer.is_raised && RARE * layer.middles.len() >= largest.unwrap_or(0);
    let mixed: Vec<&Layer> = layers.iter().filter(is_mixed).collect();
    for part in 0..N_PARTS {
        for layer in &mixed {
            draw_part(svg, layer, n_markers, part, N_PARTS);
        }
    }
    for layer in layers.iter().filter(|layer| !is_mixed(layer)) {
        draw_part(svg, layer, n_markers, 0, 1);
    }
}

fn sort_by_rarity(layers: &mut [Layer]) {
    layers.sort_by_key(|layer| (layer.is_raised, std::cmp::Reverse(layer.middles.len())));
}

fn n_markers(layers: &[Layer]) -> usize {
    layers.iter().map(|layer| layer.middles.len()).sum()
}

/// Draws every `n_parts`-th example of a layer, from the one at `part` on.
fn draw_part(svg: &mut Svg, layer: &Layer, n_markers: usize, part: usize, n_parts: usize) {
    if part >= layer.middles.len() {
        return;
    }
    let opacity = 0.85 - 0.45 * crowding(layer.middles.len());
    let (radius, opacity) = if layer.is_raised {
        (1.25 * radius(n_markers), opacity.max(0.8))
    } else {
        (radius(n_markers), opacity)
    };
    let attributes = layer.marker.attributes(&layer.colour, radius, opacity);
    let ((from_x, from_y), rest) = layer.marker.outline(radius);
    svg.group(&attributes, |svg| {
        for (x, y) in layer.middles.iter().skip(part).step_by(n_parts) {
            let (x, y) = (Px(x + from_x), Px(y + from_y));
            svg.push(format_args!("<path d=\"M{x} {y}{rest}\"/>\n"));
        }
    });
}

/// Draws a disc for each example, each with a colour of its own, in the data's order, so that
/// no colour lies above another on the whole.
pub(super) fn coloured_discs<'a>(
    svg: &mut Svg,
    discs: impl ExactSizeIterator<Item = ((f64, f64), &'a str)>,
) {
    let radius = radius(discs.len());
    let opacity = 0.9 - 0.35 * crowding(discs.len());
    let ((from_x, from_y), rest) = Marker::Circle.outline(radius);
    svg.group(&format!("fill-opacity=\"{opacity:.2}\""), |svg| {
        for ((x, y), colour) in discs {
            let (x, y) = (Px(x + from_x), Px(y + from_y));
            svg.push(format_args!(
                "<path fill=\"{colour}\" d=\"M{x} {y}{rest}\"/>\n"
            ));
        }
    });
}

/// The size of each of so many markers.
fn radius(n_markers: usize) -> f64 {
    4.4 - 2.4 * crowding(n_markers)
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

/// A hexagon: row, and column in half widths.
pub(super) type Cell = (i64, i64);

/// How many steps of colour, opacity and size hexagons have; the steps keep the file short.
pub(super) const STEPS: u8 = 20;

/// How a hexagon looks, in steps up to [`STEPS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shade {
    /// Which of the colours.
    pub colour: u8,
    /// How opaque.
    pub opacity: u8,
    /// How much of its cell it fills, by its width.
    pub size: u8,
}

/// What the examples of each hexagon bring along, in the data's order, and how many examples
/// the fullest one has.
pub(super) fn bins<T>(
    examples: impl Iterator<Item = ((f64, f64), T)>,
) -> (BTreeMap<Cell, Vec<T>>, usize) {
    let mut bins: BTreeMap<Cell, Vec<T>> = BTreeMap::new();
    for ((x, y), value) in examples {
        bins.entry(hexagon_of(x, y)).or_default().push(value);
    }
    let fullest = bins.values().map(Vec::len).max().unwrap_or(0);
    (bins, fullest)
}

/// How strong a hexagon of so many examples is, by the logarithm of their number, in steps.
pub(super) fn shade_of_count(n_examples: usize, fullest: usize) -> u8 {
    let filled = (n_examples as f64).ln_1p() / (fullest as f64).ln_1p();
    ((0.4 + 0.6 * filled) * f64::from(STEPS)).round() as u8
}

/// Draws hexagons; a shade's colour is one of `colours`.
pub(super) fn hexagons(
    svg: &mut Svg,
    shades: impl Iterator<Item = (Cell, Shade)>,
    colours: &[String],
) {
    let mut by_shade: BTreeMap<Shade, Vec<Cell>> = BTreeMap::new();
    for (cell, shade) in shades {
        by_shade.entry(shade).or_default().push(cell);
    }
    for (shade, cells) in by_shade {
        // Slightly smaller than its cell, so that neighbours do not blend along their edges.
        let radius = (HEXAGON - 0.3) * f64::from(shade.size) / f64::from(STEPS);
        let outline = hexagon_outline(radius);
        svg.push(format_args!(
            "<path fill=\"{}\" fill-opacity=\"{:.2}\" d=\"",
            colours[usize::from(shade.colour)],
            f64::from(shade.opacity) / f64::from(STEPS)
        ));
        for cell in cells {
            let (x, y) = middle(cell);
            svg.push(format_args!("M{} {}{outline}", Px(x), Px(y - radius)));
        }
        svg.push(format_args!("\"/>\n"));
    }
}

/// A hexagon on its tip, as the rest of a path that starts at its upper corner.
pub(super) fn hexagon_outline(radius: f64) -> String {
    let across = radius * 0.75f64.sqrt();
    let (a, b) = (Px(across), Px(-across));
    let (half, up, side, back) = (Px(radius / 2.0), Px(-radius / 2.0), Px(radius), Px(-radius));
    format!("l{a} {half}v{side}l{b} {half} {b} {up}v{back}z")
}

/// The hexagon that holds a place. The middles of even rows
/// and those of odd rows each form a rectangular grid, so the nearest middle of either is
/// found by rounding, and the nearer of the two is the hexagon's.
fn hexagon_of(x: f64, y: f64) -> Cell {
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

fn middle((row, column): Cell) -> (f64, f64) {
    let half_width = HEXAGON * 0.75f64.sqrt();
    (column as f64 * half_width, row as f64 * HEXAGON * 1.5)
}
