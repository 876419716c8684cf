//! The static data map: figure 1 of Swayamdipta et al. 2020 (EMNLP, "Dataset Cartography"),
//! with the histograms of the authors' code (allenai/cartography, `plot_data_map`).

use super::axis::{Axis, grouped};
use super::classes::{Classes, colour};
use super::cloud::{Layer, MOST_MARKERS, STEPS, Shade, bins, hexagons, markers, shade_of_count};
use super::frame::{PADDING, Side, draw_axes, draw_heading};
use super::histogram::Histogram;
use super::legend::{Swatch, draw_swatch};
use super::regions::{Spread, labels};
use super::svg::{Rect, Svg};
use super::text::{Weight, text_width};
use crate::error::{Error, Problem, Result};

/// One training example as the figure shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FigurePoint {
    /// The mean probability of the gold label over the epochs: 0 to 1.
    pub confidence: f64,
    /// The standard deviation of that probability over the epochs: 0 to 0.5, or somewhat more
    /// where it is corrected for few epochs.
    pub variability: f64,
    /// In how many epochs the prediction was right: 0 to the number of epochs.
    pub correctness: u32,
}

/// What the figure shows.
#[derive(Debug, Clone, Copy)]
pub struct MapFigure<'a> {
    /// The title line, any text; shortened where it does not fit. Empty means "Data map".
    pub title: &'a str,
    /// How many epochs the map was computed from; at least 1.
    pub n_epochs: usize,
    /// The examples, in any order; of two classes with equally many examples the one that
    /// was correct more often lies above.
    pub points: &'a [FigurePoint],
}

const CANVAS: (f64, f64) = (1060.0, 660.0);

/// The scatter plot's frame.
const MAP: Rect = Rect {
    x: 72.0,
    y: 112.0,
    width: 640.0,
    height: 488.0,
};

/// The uppermost histogram; the others lie below it at equal distances, and the last one's
/// axis is level with the map's.
const HISTOGRAM: Rect = Rect {
    x: 798.0,
    y: 112.0,
    width: 238.0,
    height: 118.0,
};

const HISTOGRAM_STEP: f64 = (MAP.height - HISTOGRAM.height) / 2.0;

/// How far above 1 or below 0 rounding may have put a stored confidence.
const ROUNDING: f64 = 1e-6;

/// The data map as an SVG document of 1060 by 660 pixels: at the left every example with its
/// variability across and its confidence up, coloured and marked by its correctness, at the
/// right the histograms of the three. Above 25,000 examples hexagons take the place of
/// markers. The same input gives the same bytes.
///
/// # Errors
/// A data error where there is no example or no epoch, a value is not a number or out of its
/// range, or a correctness exceeds the number of epochs.
pub fn data_map_svg(figure: &MapFigure<'_>) -> Result<String> {
    check(figure)?;
    let classes = Classes::new(figure.n_epochs);
    let greatest = figure
        .points
        .iter()
        .map(|p| p.variability)
        .fold(0.0, f64::max);
    let across = Axis::variability(greatest);
    let points = placed(figure.points, across);

    let title = if figure.title.trim().is_empty() {
        "Data map"
    } else {
        figure.title.trim()
    };
    let size = format!(
        "{}, {}",
        counted(figure.points.len(), "example"),
        counted(figure.n_epochs, "epoch")
    );
    let mut svg = Svg::new(
        CANVAS.0,
        CANVAS.1,
        title,
        &description(&size, figure, classes),
    );
    let (x, y) = (
        Side::new("variability", across),
        Side::new("confidence", Axis::unit()),
    );
    draw_axes(&mut svg, MAP, &x, &y)?;
    let look = if points.len() > MOST_MARKERS {
        let fullest = draw_hexagons(&mut svg, &points, figure);
        Look::Hexagons { fullest }
    } else {
        markers(&mut svg, layers(&points, figure, classes));
        Look::Markers
    };
    let spread = if greatest > 0.0 {
        Spread::Some
    } else {
        Spread::None
    };
    labels(&mut svg, MAP, &points, spread)?;
    draw_legend(&mut svg, classes, look)?;
    for (i, histogram) in histograms(figure, across, classes).iter().enumerate() {
        let y = HISTOGRAM.y + i as f64 * HISTOGRAM_STEP;
        histogram.draw(&mut svg, Rect { y, ..HISTOGRAM }, classes);
    }
    let right = HISTOGRAM.right();
    draw_heading(
        &mut svg,
        (MAP.x, right),
        title,
        &sub_line(size, look, spread),
    )?;
    Ok(svg.finish())
}

/// How the examples were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// A marker each.
    Markers,
    /// Hexagons, the fullest with so many examples.
    Hexagons { fullest: usize },
}

fn check(figure: &MapFigure<'_>) -> Result<()> {
    let refuse = |message: String| Err(Error::data(Problem::new(message)));
    if figure.points.is_empty() {
        return refuse("the map has no example to draw".to_owned());
    }
    if figure.n_epochs == 0 {
        return refuse("the map was computed from 0 epochs, at least 1 is needed".to_owned());
    }
    for (i, point) in figure.points.iter().enumerate() {
        let FigurePoint {
            confidence,
            variability,
            correctness,
        } = *point;
        if !(-ROUNDING..=1.0 + ROUNDING).contains(&confidence) {
            return refuse(format!(
                "example {} of the map has the confidence `{confidence}`, which is not between 0 and 1",
                i + 1
            ));
        }
        if !(0.0..=1.0).contains(&variability) {
            return refuse(format!(
                "example {} of the map has the variability `{variability}`, which is not between 0 and 1",
                i + 1
            ));
        }
        if correctness as usize > figure.n_epochs {
            return refuse(format!(
                "example {} of the map has the correctness `{correctness}`, which is more than the {}",
                i + 1,
                counted(figure.n_epochs, "epoch")
            ));
        }
    }
    Ok(())
}

/// Where the examples lie on the canvas.
fn placed(points: &[FigurePoint], across: Axis) -> Vec<(f64, f64)> {
    let inside = MAP.inset(PADDING);
    points
        .iter()
        .map(|point| {
            let x = inside.x + across.fraction(point.variability) * inside.width;
            let y = inside.bottom() - point.confidence.clamp(0.0, 1.0) * inside.height;
            (x, y)
        })
        .collect()
}

/// A layer of markers for each class.
fn layers(points: &[(f64, f64)], figure: &MapFigure<'_>, classes: Classes) -> Vec<Layer> {
    let mut layers: Vec<Layer> = (0..classes.len())
        .map(|class| Layer::new(classes.colour(class), classes.marker(class)))
        .collect();
    for (middle, point) in points.iter().zip(figure.points) {
        layers[classes.of(point.correctness)].middles.push(*middle);
    }
    layers
}

/// Draws hexagons: the colour is the examples' mean correctness, the opacity the logarithm of
/// their number. Returns the number of examples in the fullest one.
fn draw_hexagons(svg: &mut Svg, points: &[(f64, f64)], figure: &MapFigure<'_>) -> usize {
    let correctness = figure.points.iter().map(|point| point.correctness);
    let (bins, fullest) = bins(points.iter().copied().zip(correctness));
    let colours: Vec<String> = (0..=STEPS)
        .map(|step| colour(f64::from(step) / f64::from(STEPS)))
        .collect();
    let looks = bins.into_iter().map(|(cell, members)| {
        let n_correct: u64 = members.iter().map(|n| u64::from(*n)).sum();
        let mean = n_correct as f64 / (members.len() * figure.n_epochs) as f64;
        let shade = Shade {
            colour: (mean * f64::from(STEPS)).round() as u8,
            opacity: shade_of_count(members.len(), fullest),
            size: STEPS,
        };
        (cell, shade)
    });
    hexagons(svg, looks, &colours);
    fullest
}

/// What a screen reader says after the title.
fn description(size: &str, figure: &MapFigure<'_>, classes: Classes) -> String {
    let mut counts = vec![0usize; classes.len()];
    for point in figure.points {
        counts[classes.of(point.correctness)] += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .enumerate()
        .map(|(class, count)| format!("{} at {}", grouped(*count), classes.label(class)))
        .collect();
    format!(
        "Data map of {size}: variability across, confidence up, correctness by colour and \
         marker; histograms of the three at the right. Examples by correctness, as a fraction \
         of the epochs: {}.",
        counts.join(", ")
    )
}

/// "1 epoch", "2 epochs"; with commas between thousands.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

fn sub_line(size: String, look: Look, spread: Spread) -> String {
    let mut parts = vec![size];
    if let Look::Hexagons { fullest } = look {
        parts.push(format!(
            "hexagons of 1 to {} examples, fainter where there are fewer",
            grouped(fullest)
        ));
    }
    if spread == Spread::None {
        parts.push("variability is 0 throughout".to_owned());
    }
    parts.join("  \u{b7}  ")
}

/// The classes in a row above the map.
fn draw_legend(svg: &mut Svg, classes: Classes, look: Look) -> Result<()> {
    const LEGEND_SIZE: f64 = 12.0;
    const ENTRY_WIDTH: f64 = 58.0;
    let (middle, baseline) = (90.0, 94.5);
    let heading = match look {
        Look::Hexagons { .. } => "mean correctness (fraction of epochs):",
        Look::Markers if classes.are_exact() => "correctness (fraction of epochs):",
        Look::Markers => "correctness (fraction of epochs, nearest 0.2):",
    };
    let first = MAP.x + text_width(heading, LEGEND_SIZE, Weight::Regular)? + 24.0;
    let attributes = format!("class=\"legend\" font-size=\"{LEGEND_SIZE}\" fill=\"#24292f\"");
    svg.group(&attributes, |svg| {
        svg.text(MAP.x, baseline, heading);
        for class in 0..classes.len() {
            let x = first + class as f64 * ENTRY_WIDTH;
            let swatch = match look {
                Look::Markers => Swatch::Marker(classes.marker(class)),
                Look::Hexagons { .. } => Swatch::Hexagon,
            };
            draw_swatch(svg, (x, middle), swatch, &classes.colour(class));
            svg.text(x + 11.0, baseline, &classes.label(class));
        }
    });
    Ok(())
}

/// Confidence, variability and correctness, from top to bottom.
fn histograms(figure: &MapFigure<'_>, across: Axis, classes: Classes) -> [Histogram; 3] {
    let points = figure.points.iter();
    let confidence = points
        .clone()
        .map(|p| (p.confidence.clamp(0.0, 1.0), classes.of(p.correctness)));
    let variability = points
        .clone()
        .map(|p| (p.variability, classes.of(p.correctness)));
    let correctness = points.map(|p| (p.correctness, classes.of(p.correctness)));
    [
        Histogram::continuous("confidence", Axis::unit(), confidence),
        Histogram::continuous("variability", across, variability),
        Histogram::whole("correctness", figure.n_epochs, correctness),
    ]
}
