//! Any two signals of a map as a picture, coloured by a third, with the legend at the right.

use super::axis::grouped;
use super::classes::{Classes, Marker, colour};
use super::cloud::{
    Cell, Layer, MOST_MARKERS, STEPS, Shade, bins, coloured_discs, hexagons, mixed_markers,
    shade_of_count,
};
use super::frame::{PADDING, draw_axes, draw_heading, overhang};
use super::groups::Groups;
use super::legend::{Entry, Swatch, draw_bar, draw_entries};
use super::scale::{MISSING, Scale};
use super::spread::{offsets, side};
use super::svg::{Rect, Svg};
use crate::error::{Error, Problem, Result};

/// A signal of the map, one value per example.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The column's name, which becomes the title of its axis or legend.
    pub name: String,
    /// The values, in the order of the examples.
    pub values: Vec<f64>,
}

/// What the colours show; values are in the order of the examples.
#[derive(Debug, Clone, PartialEq)]
pub enum Colour {
    /// Nothing: all examples look the same.
    Plain,
    /// How many examples lie at a place, in hexagons however few there are.
    Count,
    /// A signal, NaN where it has no value.
    Signal(Signal),
    /// In how many of the epochs the prediction was right: the figure's classes and markers.
    Correctness {
        /// The column's name.
        name: String,
        /// At least 1, and at least every value.
        n_epochs: usize,
        /// 0 to the number of epochs.
        values: Vec<u32>,
    },
    /// Groups with a colour and marker each.
    Groups {
        /// The column's name.
        name: String,
        /// The groups, and which one each example belongs to.
        groups: Groups,
    },
}

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// The title line, any text; shortened where it does not fit.
    pub title: String,
    /// What the sub line says after the number of examples; may be empty.
    pub note: String,
    /// The signal across; infinity, as of a signal that has no greatest value, has a strip of its
    /// own at the end.
    pub x: Signal,
    /// The signal up.
    pub y: Signal,
    /// What the colours show.
    pub colour: Colour,
}

impl Scatter {
    /// The same picture of these examples alone, in this order.
    ///
    /// # Panics
    /// If a row is not one of the examples'.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        fn picked<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|row| values[*row]).collect()
        }
        let signal = |signal: &Signal| Signal {
            name: signal.name.clone(),
            values: picked(&signal.values, rows),
        };
        Self {
            title: self.title.clone(),
            note: self.note.clone(),
            x: signal(&self.x),
            y: signal(&self.y),
            colour: match &self.colour {
                Colour::Plain => Colour::Plain,
                Colour::Count => Colour::Count,
                Colour::Signal(of_colour) => Colour::Signal(signal(of_colour)),
                Colour::Correctness {
                    name,
                    n_epochs,
                    values,
                } => Colour::Correctness {
                    name: name.clone(),
                    n_epochs: *n_epochs,
                    values: picked(values, rows),
                },
                Colour::Groups { name, groups } => Colour::Groups {
                    name: name.clone(),
                    groups: Groups {
                        groups: groups.groups.clone(),
                        of: picked(&groups.of, rows),
                    },
                },
            },
        }
    }
}

pub(super) const CANVAS: (f64, f64) = (1060.0, 660.0);

/// The frame of a picture with a legend; wider labels at the left make it narrower.
pub(super) const PANEL: Rect = Rect {
    x: 72.0,
    y: 88.0,
    width: 700.0,
    height: 512.0,
};

/// The legend's column.
pub(super) const LEGEND: Rect = Rect {
    x: 804.0,
    y: 88.0,
    width: 232.0,
    height: 512.0,
};

/// The picture as an SVG document of 1060 by 660 pixels. Above 25,000 examples hexagons take
/// the place of markers; a hexagon shows the mean of a signal or of correctness, or the group
/// that has most of its examples, and is smaller where there are fewer. Markers of whole numbers
/// are spread, so that they do not hide one another; the axis says so. The same input gives the
/// same bytes.
///
/// # Errors
/// A data error where there is no example, or a place is no number or minus infinity.
///
/// # Panics
/// If a signal or the colours do not have a value for each example: a bug of the caller.
pub fn scatter_svg(scatter: &Scatter) -> Result<String> {
    check(scatter)?;
    let are_markers = scatter.x.values.len() <= MOST_MARKERS && scatter.colour != Colour::Count;
    let (x, x_spread) = side(&scatter.x, are_markers);
    let (y, y_spread) = side(&scatter.y, are_markers);
    let shift = overhang(&y)?;
    let right = if scatter.colour == Colour::Plain && scatter.x.values.len() <= MOST_MARKERS {
        // The last label reaches beyond the panel.
        LEGEND.right() - 24.0
    } else {
        PANEL.right()
    };
    let panel = Rect {
        x: PANEL.x + shift,
        width: right - PANEL.x - shift,
        ..PANEL
    };
    let inside = panel.inset(PADDING);
    let places: Vec<(f64, f64)> = (scatter.x.values.iter())
        .zip(&scatter.y.values)
        .zip(0..)
        .map(|((across, up), number)| {
            let [right, above] = offsets(number);
            let x = x.fraction(*across, right * x_spread.of(*across));
            let y = y.fraction(*up, above * y_spread.of(*up));
            (
                inside.x + x * inside.width,
                inside.bottom() - y * inside.height,
            )
        })
        .collect();

    let n_examples = counted(places.len());
    let coloured = match &scatter.colour {
        Colour::Plain => String::new(),
        Colour::Count => ", colours by their number".to_owned(),
        Colour::Signal(Signal { name, .. })
        | Colour::Correctness { name, .. }
        | Colour::Groups { name, .. } => format!(", colours by {name}"),
    };
    let description = format!(
        "{n_examples}: {} across, {} up{coloured}.",
        scatter.x.name, scatter.y.name
    );
    let mut svg = Svg::new(CANVAS.0, CANVAS.1, &scatter.title, &description);
    draw_axes(&mut svg, panel, &x, &y)?;
    let hexagons = draw_cloud(&mut svg, &places, &scatter.colour)?;
    let parts = [n_examples, scatter.note.clone(), hexagons];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let sides = (panel.x, LEGEND.right());
    draw_heading(&mut svg, sides, &scatter.title, &parts.join("  \u{b7}  "))?;
    Ok(svg.finish())
}

fn check(scatter: &Scatter) -> Result<()> {
    let n = scatter.x.values.len();
    let n_colours = match &scatter.colour {
        Colour::Plain | Colour::Count => n,
        Colour::Signal(signal) => signal.values.len(),
        Colour::Correctness { values, .. } => values.len(),
        Colour::Groups { groups, .. } => groups.of.len(),
    };
    assert!(scatter.y.values.len() == n && n_colours == n);
    if n == 0 {
        return Err(Error::data(Problem::new("there is no example to draw")));
    }
    for signal in [&scatter.x, &scatter.y] {
        if let Some(i) = signal.values.iter().position(|value| !has_place(*value)) {
            let message = format!(
                "example {} of the map has the {} `{}`, which has no place on an axis",
                i + 1,
                signal.name,
                signal.values[i]
            );
            return Err(Error::data(Problem::new(message)));
        }
    }
    Ok(())
}

/// Whether a value has a place on an axis.
pub fn has_place(value: f64) -> bool {
    value > f64::NEG_INFINITY
}

/// Draws examples and legend; says what hexagons there are.
fn draw_cloud(svg: &mut Svg, places: &[(f64, f64)], colour: &Colour) -> Result<String> {
    let are_many = places.len() > MOST_MARKERS;
    match colour {
        Colour::Count => draw_counts(svg, places),
        Colour::Plain if are_many => draw_counts(svg, places),
        Colour::Plain => {
            let mut layer = Layer::new("#2f6fae".to_owned(), Marker::Circle);
            layer.middles = places.to_vec();
            mixed_markers(svg, vec![layer]);
            Ok(String::new())
        }
        Colour::Signal(signal) => draw_signal(svg, places, signal),
        Colour::Correctness {
            name,
            n_epochs,
            values,
        } => draw_correctness(svg, places, name, Classes::new(*n_epochs), values),
        Colour::Groups { name, groups } => draw_groups(svg, places, name, groups),
    }
}

/// Hexagons coloured by the number of examples, and their legend.
fn draw_counts(svg: &mut Svg, places: &[(f64, f64)]) -> Result<String> {
    let (bins, fullest) = bins(places.iter().map(|place| (*place, ())));
    let scale = Scale::counts(fullest);
    let shades = bins.into_iter().map(|(cell, members)| {
        let colour = scale.colour(members.len() as f64).unwrap_or(0) as u8;
        (cell, whole(colour))
    });
    hexagons(svg, shades, &scale.colours);
    draw_bar(svg, LEGEND, "examples per hexagon", &scale, &[])?;
    Ok(String::new())
}

/// A colour scale, each example with its colour or each hexagon with that of its mean.
fn draw_signal(svg: &mut Svg, places: &[(f64, f64)], signal: &Signal) -> Result<String> {
    let values = signal.values.iter().copied();
    if places.len() <= MOST_MARKERS {
        let scale = Scale::of(&signal.values);
        let colour = |value| scale.colour(value).map_or(MISSING, |i| &scale.colours[i]);
        let discs = places.iter().zip(&signal.values);
        coloured_discs(svg, discs.map(|(place, value)| (*place, colour(*value))));
        let special = [
            (
                "infinite",
                colour(f64::INFINITY),
                f64::is_infinite as fn(f64) -> bool,
            ),
            ("no value", MISSING, f64::is_nan),
        ];
        let entries = special.map(|(name, colour, is_it)| {
            let n_examples = values.clone().filter(|value| is_it(*value)).count();
            special_entry(name, (Swatch::Marker(Marker::Circle), colour), n_examples)
        });
        let entries: Vec<Entry> = entries.into_iter().flatten().collect();
        draw_bar(svg, LEGEND, &signal.name, &scale, &entries)?;
        return Ok(String::new());
    }
    let n_without = values.clone().filter(|value| !value.is_finite()).count();
    let without = special_entry("no finite value", (Swatch::Hexagon, MISSING), n_without);
    let (bins, fullest) = bins(places.iter().copied().zip(values));
    let means: Vec<(Cell, usize, f64)> = bins
        .into_iter()
        .map(|(cell, members)| (cell, members.len(), mean_of_finite(&members)))
        .collect();
    let scale = Scale::of(&means.iter().map(|(_, _, mean)| *mean).collect::<Vec<_>>());
    let mut colours = scale.colours.clone();
    colours.push(MISSING.to_owned());
    let shades = means.into_iter().map(|(cell, n, mean)| {
        let colour = scale.colour(mean).unwrap_or(scale.colours.len()) as u8;
        (cell, sized(colour, n, fullest))
    });
    hexagons(svg, shades, &colours);
    draw_bar(
        svg,
        LEGEND,
        &format!("mean {}", signal.name),
        &scale,
        without.as_slice(),
    )?;
    Ok(hexagon_note(fullest))
}

/// What the legend says of values that are not on the scale, if there are any.
fn special_entry(name: &str, (swatch, colour): (Swatch, &str), n_examples: usize) -> Option<Entry> {
    (n_examples > 0).then(|| Entry {
        swatch,
        colour: colour.to_owned(),
        name: name.to_owned(),
        note: grouped(n_examples),
    })
}

fn mean_of_finite(values: &[f64]) -> f64 {
    let finite = values.iter().filter(|value| value.is_finite());
    let n = finite.clone().count() as f64;
    // Divided first, because the sum of the largest numbers is larger than any; NaN without any.
    if n == 0.0 {
        f64::NAN
    } else {
        finite.map(|value| value / n).sum()
    }
}

/// The figure's classes, or hexagons of mean correctness, and their legend.
fn draw_correctness(
    svg: &mut Svg,
    places: &[(f64, f64)],
    name: &str,
    classes: Classes,
    values: &[u32],
) -> Result<String> {
    let mut layers: Vec<Layer> = (0..classes.len())
        .map(|class| Layer::new(classes.colour(class), classes.marker(class)))
        .collect();
    for (place, value) in places.iter().zip(values) {
        layers[classes.of(*value)].middles.push(*place);
    }
    let are_many = places.len() > MOST_MARKERS;
    let entries: Vec<Entry> = (layers.iter().enumerate())
        .map(|(class, layer)| Entry {
            swatch: if are_many {
                Swatch::Hexagon
            } else {
                Swatch::Marker(layer.marker)
            },
            colour: layer.colour.clone(),
            name: classes.label(class),
            note: grouped(layer.middles.len()),
        })
        .collect();
    let unit = if classes.are_exact() || are_many {
        "fraction of epochs"
    } else {
        "fraction of epochs, nearest 0.2"
    };
    let heading = if are_many {
        format!("mean {name}")
    } else {
        name.to_owned()
    };
    if !are_many {
        mixed_markers(svg, layers);
        draw_entries(svg, LEGEND, (&heading, unit), &entries)?;
        return Ok(String::new());
    }
    let (bins, fullest) = bins(places.iter().copied().zip(values));
    let colours: Vec<String> = (0..=STEPS)
        .map(|step| colour(f64::from(step) / f64::from(STEPS)))
        .collect();
    let shades = bins.into_iter().map(|(cell, members)| {
        let sum: u64 = members.iter().map(|n| u64::from(**n)).sum();
        let mean = sum as f64 / members.len() as f64 / classes.n_epochs() as f64;
        let step = (mean * f64::from(STEPS)).round() as u8;
        (cell, sized(step, members.len(), fullest))
    });
    hexagons(svg, shades, &colours);
    draw_entries(svg, LEGEND, (&heading, unit), &entries)?;
    Ok(hexagon_note(fullest))
}

/// The groups that have examples, in markers or hexagons, and their legend. Raised groups keep
/// their markers above hexagons unless they alone are too many.
fn draw_groups(
    svg: &mut Svg,
    places: &[(f64, f64)],
    name: &str,
    groups: &Groups,
) -> Result<String> {
    let mut layers: Vec<Layer> = (groups.groups.iter())
        .map(|group| Layer {
            is_raised: group.is_raised,
            ..Layer::new(group.colour.to_owned(), group.marker)
        })
        .collect();
    for (place, group) in places.iter().zip(&groups.of) {
        layers[*group].middles.push(*place);
    }
    let are_many = places.len() > MOST_MARKERS;
    let keeps_markers =
        |layer: &Layer| !are_many || (layer.is_raised && layer.middles.len() <= MOST_MARKERS);
    let entries: Vec<Entry> = (groups.groups.iter().zip(&layers))
        .filter(|(group, layer)| group.is_raised || !layer.middles.is_empty())
        .map(|(group, layer)| Entry {
            swatch: if keeps_markers(layer) {
                Swatch::Marker(group.marker)
            } else {
                Swatch::Hexagon
            },
            colour: layer.colour.clone(),
            name: group.name.clone(),
            note: grouped(layer.middles.len()),
        })
        .collect();
    let colours: Vec<String> = layers.iter().map(|layer| layer.colour.clone()).collect();
    let binned = (layers.iter().enumerate())
        .filter(|(_, layer)| !keeps_markers(layer))
        .flat_map(|(group, layer)| layer.middles.iter().map(move |middle| (*middle, group)));
    let (bins, fullest) = bins(binned);
    let shades = bins.into_iter().map(|(cell, members)| {
        let colour = most_frequent(&members, colours.len());
        (cell, sized(colour as u8, members.len(), fullest))
    });
    hexagons(svg, shades, &colours);
    let is_binned = |layer: &&Layer| !keeps_markers(layer) && !layer.middles.is_empty();
    let n_binned = layers.iter().filter(is_binned).count();
    layers.retain(keeps_markers);
    mixed_markers(svg, layers);
    draw_entries(svg, LEGEND, (name, ""), &entries)?;
    Ok(match n_binned {
        0 => String::new(),
        1 => hexagon_note(fullest),
        _ => format!("{}, coloured by most of them", hexagon_note(fullest)),
    })
}

/// The number that occurs most often; the smallest of several.
fn most_frequent(numbers: &[usize], n_numbers: usize) -> usize {
    let mut counts = vec![0usize; n_numbers];
    for number in numbers {
        counts[*number] += 1;
    }
    let most = counts.iter().max().copied();
    counts.iter().position(|n| Some(*n) == most).unwrap_or(0)
}

/// A hexagon that fills its cell.
fn whole(colour: u8) -> Shade {
    Shade {
        colour,
        opacity: STEPS,
        size: STEPS,
    }
}

/// A hexagon whose width shows how many examples it has.
fn sized(colour: u8, n_examples: usize, fullest: usize) -> Shade {
    Shade {
        colour,
        opacity: STEPS,
        size: shade_of_count(n_examples, fullest),
    }
}

fn hexagon_note(fullest: usize) -> String {
    format!(
        "hexagons of 1 to {}, smaller where there are fewer",
        counted(fullest)
    )
}

/// "1 example", "2 examples"; with commas between thousands.
fn counted(n_examples: usize) -> String {
    let plural = if n_examples == 1 { "" } else { "s" };
    format!("{} example{plural}", grouped(n_examples))
}
