//! The labels of the map's three regions, where they hide the fewest examples.

use super::svg::{Rect, Svg};
use super::text::{Weight, text_width};
use crate::error::Result;

/// A label and where it belongs, as fractions of the panel: across from the left, up from
/// the bottom.
struct Region {
    name: &'static str,
    /// The middle of the label in the authors' figure (allenai/cartography,
    /// `plot_data_map`).
    anchor: (f64, f64),
    /// How far its middle may lie from there; no two labels can meet.
    reach: (f64, f64),
}

const EASY: Region = Region {
    name: "easy-to-learn",
    anchor: (0.27, 0.85),
    reach: (0.30, 0.18),
};

const AMBIGUOUS: Region = Region {
    name: "ambiguous",
    anchor: (0.88, 0.5),
    reach: (0.26, 0.14),
};

const HARD: Region = Region {
    name: "hard-to-learn",
    anchor: (0.35, 0.25),
    reach: (0.30, 0.20),
};

const FONT_SIZE: f64 = 14.0;

/// Whether any example's values change between epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// Some variability is not 0.
    Some,
    /// All variabilities are 0: nothing is ambiguous.
    None,
}

/// Draws the labels into the panel.
pub(super) fn labels(
    svg: &mut Svg,
    panel: Rect,
    points: &[(f64, f64)],
    spread: Spread,
) -> Result<()> {
    let counts = Counts::new(panel, points);
    let mut boxes = Vec::new();
    for region in [EASY, AMBIGUOUS, HARD] {
        if spread == Spread::None && region.name == AMBIGUOUS.name {
            continue;
        }
        let width = text_width(region.name, FONT_SIZE, Weight::Bold)? + 18.0;
        boxes.push((place(&region, width, panel, &counts), region.name));
    }
    svg.group("class=\"regions\"", |svg| {
        svg.group(
            "fill=\"#fff\" fill-opacity=\".88\" stroke=\"#57606a\"",
            |svg| {
                for (area, _) in &boxes {
                    svg.rect(*area, "rx=\"5\"");
                }
            },
        );
        let attributes = format!(
            "font-size=\"{FONT_SIZE}\" font-weight=\"bold\" fill=\"#24292f\" text-anchor=\"middle\""
        );
        svg.group(&attributes, |svg| {
            for (area, name) in &boxes {
                let (x, y) = area.centre();
                svg.text(x, y + 0.36 * FONT_SIZE, name);
            }
        });
    });
    Ok(())
}

/// The box within reach of the anchor that costs least: hiding a hundredth of the examples
/// counts as much as lying a tenth of the panel away from the anchor.
fn place(region: &Region, width: f64, panel: Rect, counts: &Counts) -> Rect {
    const STEPS: i32 = 16;
    // A marker reaches so many pixels from its middle at most.
    const MARGIN: f64 = 6.0;
    let height = FONT_SIZE + 14.0;
    let (anchor_x, anchor_y) = region.anchor;
    let (reach_x, reach_y) = region.reach;
    let inside = panel.inset(6.0);

    let mut best = (f64::INFINITY, panel);
    for row in -STEPS..=STEPS {
        for column in -STEPS..=STEPS {
            let across = reach_x * f64::from(column) / f64::from(STEPS);
            let up = reach_y * f64::from(row) / f64::from(STEPS);
            let x = panel.x + (anchor_x + across) * panel.width - width / 2.0;
            let y = panel.bottom() - (anchor_y + up) * panel.height - height / 2.0;
            let area = Rect {
                x: x.clamp(inside.x, inside.right() - width),
                y: y.clamp(inside.y, inside.bottom() - height),
                width,
                height,
            };
            let cost = 10.0 * counts.share(area.inset(-MARGIN)) + across.hypot(up);
            if cost < best.0 {
                best = (cost, area);
            }
        }
    }
    best.1
}

/// How many examples lie above and left of each corner of a fine grid over the panel, so that
/// a rectangle's count takes four look-ups.
struct Counts {
    panel: Rect,
    columns: usize,
    rows: usize,
    total: usize,
    sums: Vec<usize>,
}

/// The grid's cells are squares of this many pixels.
const CELL: f64 = 4.0;

impl Counts {
    fn new(panel: Rect, points: &[(f64, f64)]) -> Self {
        let columns = (panel.width / CELL).ceil() as usize;
        let rows = (panel.height / CELL).ceil() as usize;
        let stride = columns + 1;
        let mut sums = vec![0; stride * (rows + 1)];
        for (x, y) in points {
            let column = ((x - panel.x) / CELL) as usize;
            let row = ((y - panel.y) / CELL) as usize;
            sums[(row.min(rows - 1) + 1) * stride + column.min(columns - 1) + 1] += 1;
        }
        for row in 1..=rows {
            for column in 1..=columns {
                let at = row * stride + column;
                sums[at] = sums[at] + sums[at - 1] + sums[at - stride] - sums[at - stride - 1];
            }
        }
        Self {
            panel,
            columns,
            rows,
            total: points.len(),
            sums,
        }
    }

    /// The share of all examples under the rectangle, rounded outwards to whole cells.
    fn share(&self, area: Rect) -> f64 {
        // Places outside of the panel become its edges: the cast of a negative number is 0.
        let left = ((area.x - self.panel.x) / CELL).floor() as usize;
        let top = ((area.y - self.panel.y) / CELL).floor() as usize;
        let right = ((area.right() - self.panel.x) / CELL).ceil() as usize;
        let bottom = ((area.bottom() - self.panel.y) / CELL).ceil() as usize;
        let corner = |row: usize, column: usize| {
            self.sums[row.min(self.rows) * (self.columns + 1) + column.min(self.columns)]
        };
        let n_hidden =
            corner(bottom, right) + corner(top, left) - corner(top, right) - corner(bottom, left);
        n_hidden as f64 / self.total.max(1) as f64
    }
}
