//! What colours and markers mean: entries and colour bars, outside of the cloud.

use super::classes::Marker;
use super::cloud::hexagon_outline;
use super::scale::Scale;
use super::svg::{Px, Rect, Svg};
use super::text::{Weight, shortened, text_width};
use crate::error::Result;

const MARKER_RADIUS: f64 = 5.0;

/// What an entry shows beside its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Swatch {
    /// A marker.
    Marker(Marker),
    /// A hexagon.
    Hexagon,
    /// A line in these dashes with a marker on it, or without.
    Line(&'static str, Option<Marker>),
}

/// Half the length of a line's swatch.
const LINE_REACH: f64 = 17.0;

impl Swatch {
    /// How far it reaches to each side of its middle.
    fn reach(self) -> f64 {
        match self {
            Self::Marker(_) | Self::Hexagon => 7.0,
            Self::Line(..) => LINE_REACH,
        }
    }
}

/// Draws a swatch around `middle`.
pub(super) fn draw_swatch(svg: &mut Svg, middle: (f64, f64), swatch: Swatch, colour: &str) {
    let (attributes, (from_x, from_y), rest) = match swatch {
        Swatch::Marker(marker) => {
            let (from, rest) = marker.outline(MARKER_RADIUS);
            (marker.attributes(colour, MARKER_RADIUS, 1.0), from, rest)
        }
        Swatch::Hexagon => (
            format!("fill=\"{colour}\""),
            (0.0, -MARKER_RADIUS - 1.0),
            hexagon_outline(MARKER_RADIUS + 1.0),
        ),
        Swatch::Line(dashes, marker) => {
            let (x, y) = middle;
            svg.group(&line_attributes(colour, dashes), |svg| {
                svg.lines([[(x - LINE_REACH, y), (x + LINE_REACH, y)]]);
            });
            if let Some(marker) = marker {
                draw_swatch(svg, middle, Swatch::Marker(marker), colour);
            }
            return;
        }
    };
    svg.push(format_args!(
        "<path {attributes} d=\"M{} {}{rest}\"/>\n",
        Px(middle.0 + from_x),
        Px(middle.1 + from_y)
    ));
}

/// The attributes of a group of lines; dashes are those of SVG, none for a solid line.
pub(super) fn line_attributes(colour: &str, dashes: &str) -> String {
    let dashes = match dashes {
        "" => String::new(),
        dashes => format!(" stroke-dasharray=\"{dashes}\""),
    };
    format!(
        "fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" stroke-linejoin=\"round\"{dashes}"
    )
}

/// One line of a legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub swatch: Swatch,
    pub colour: String,
    pub name: String,
    /// What stands at the right, such as how many examples there are of it; may be empty.
    pub note: String,
}

const HEADING_SIZE: f64 = 13.0;
const ENTRY_SIZE: f64 = 12.0;
const ENTRY_STEP: f64 = 24.0;

/// How far below the legend's top its first entry, or its colour bar, begins.
const BELOW_HEADING: f64 = 28.0;

/// Draws a column of entries with their notes; above it a heading and, where it is not empty, what
/// unit the names are in. Names that are too wide end in an ellipsis, and entries that would be
/// too many lie closer together.
pub(super) fn draw_entries(
    svg: &mut Svg,
    area: Rect,
    (heading, unit): (&str, &str),
    entries: &[Entry],
) -> Result<()> {
    let mut lines = Vec::new();
    let top = area.y + BELOW_HEADING + if unit.is_empty() { 0.0 } else { 18.0 };
    let step = ENTRY_STEP.min((area.bottom() - top) / entries.len().max(1) as f64);
    for (i, entry) in entries.iter().enumerate() {
        let y = top + (i as f64 + 0.5) * step;
        let x = area.x + 2.0 * entry.swatch.reach() + 6.0;
        let of_note = match entry.note.as_str() {
            "" => 0.0,
            note => text_width(note, ENTRY_SIZE, Weight::Regular)? + 12.0,
        };
        let left = area.right() - x - of_note;
        let name = shortened(&entry.name, ENTRY_SIZE, Weight::Regular, left)?;
        lines.push(((x, y), name, entry));
    }
    in_legend(svg, area, heading, |svg| {
        if !unit.is_empty() {
            svg.text(area.x, area.y + 32.0, unit);
        }
        for ((x, y), name, entry) in &lines {
            let middle = (area.x + entry.swatch.reach(), *y);
            draw_swatch(svg, middle, entry.swatch, &entry.colour);
            svg.text(*x, y + 4.3, name);
        }
        svg.group("fill=\"#57606a\" text-anchor=\"end\"", |svg| {
            for ((_, y), _, entry) in lines.iter().filter(|(_, _, entry)| !entry.note.is_empty()) {
                svg.text(area.right(), y + 4.3, &entry.note);
            }
        });
    })
}

/// Draws a colour bar with a heading above, and below it what stands for values that are no
/// numbers, of the kinds of which there are examples.
pub(super) fn draw_bar(
    svg: &mut Svg,
    area: Rect,
    heading: &str,
    scale: &Scale,
    others: &[Entry],
) -> Result<()> {
    let bar = Rect {
        x: area.x,
        y: area.y + BELOW_HEADING + 6.0,
        width: 20.0,
        height: 300.0,
    };
    in_legend(svg, area, heading, |svg| {
        let height = bar.height / scale.colours.len() as f64;
        for (i, colour) in scale.colours.iter().enumerate() {
            let step = Rect {
                y: bar.bottom() - (i + 1) as f64 * height,
                height,
                ..bar
            };
            svg.rect(
                step,
                &format!("fill=\"{colour}\" shape-rendering=\"crispEdges\""),
            );
        }
        let y_of = |fraction: f64| bar.bottom() - fraction * bar.height;
        svg.group("stroke=\"#8c959f\" fill=\"none\"", |svg| {
            svg.rect(bar, "");
            svg.lines(scale.ticks.iter().map(|(at, _)| {
                let y = y_of(*at);
                [(bar.right(), y), (bar.right() + 4.0, y)]
            }));
        });
        for (at, label) in &scale.ticks {
            svg.text(bar.right() + 9.0, y_of(*at) + 4.3, label);
        }
        for (entry, i) in others.iter().zip(0..) {
            let y = bar.bottom() + 30.0 + f64::from(i) * ENTRY_STEP;
            draw_swatch(svg, (bar.centre().0, y), entry.swatch, &entry.colour);
            svg.text(bar.right() + 9.0, y + 4.3, &entry.name);
            svg.group("fill=\"#57606a\" text-anchor=\"end\"", |svg| {
                svg.text(area.right(), y + 4.3, &entry.note);
            });
        }
    })
}

/// Draws the heading and whatever is below it.
fn in_legend(
    svg: &mut Svg,
    area: Rect,
    heading: &str,
    content: impl FnOnce(&mut Svg),
) -> Result<()> {
    let heading = shortened(heading, HEADING_SIZE, Weight::Bold, area.width)?;
    let attributes = format!("class=\"legend\" font-size=\"{ENTRY_SIZE}\" fill=\"#24292f\"");
    svg.group(&attributes, |svg| {
        let attributes = format!("font-size=\"{HEADING_SIZE}\" font-weight=\"bold\"");
        svg.group(&attributes, |svg| svg.text(area.x, area.y + 12.0, &heading));
        content(svg);
    });
    Ok(())
}
