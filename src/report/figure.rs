//! The static data map: figure 1 of Swayamdipta et al. 2020 (EMNLP, "Dataset Cartography"),
//! with the histograms of the authors' code (allenai/cartography, `plot_data_map`).

use super::axis::{Axis, grouped};
use super::classes::Classes;
use super::cloud::{MOST_MARKERS, Placed, hexagon_outline, hexagons, markers};
use super::histogram::Histogram;
use super::raster::{Weight, text_width};
use super::regions::{Spread, labels};
use super::svg::{Px, Rect, Svg};
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

/// The scatter plot's frame; its axes begin and end `PADDING` further in, so that markers at
/// 0 and 1 lie wholly within it.
const MAP: Rect = Rect {
    x: 72.0,
    y: 112.0,
    width: 640.0,
    height: 488.0,
};

const PADDING: f64 = 12.0;

/// The uppermost histogram; the others lie below it at equal distances, and the last one's
/// axis is level with the map's.
const HISTOGRAM: Rect = Rect {
    x: 798.0,
    y: 112.0,
    width: 238.0,
    height: 118.0,
};

const HISTOGRAM_STEP: f64 = (MAP.height - HISTOGRAM.height) / 2.0;

const TITLE_SIZE: f64 = 20.0;

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
    let points = placed(figure.points, across, classes);

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
        &description(&size, &points, classes),
    );
    draw_frame(&mut svg, across);
    let look = if points.len() > MOST_MARKERS {
        let fullest = hexagons(&mut svg, &points, figure.n_epochs);
        Look::Hexagons { fullest }
    } else {
        markers(&mut svg, &points, classes);
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
    draw_heading(&mut svg, title, &sub_line(size, look, spread))?;
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

fn placed(points: &[FigurePoint], across: Axis, classes: Classes) -> Vec<Placed> {
    let inside = MAP.inset(PADDING);
    points
        .iter()
        .map(|point| Placed {
            x: inside.x + across.fraction(point.variability) * inside.width,
            y: inside.bottom() - point.confidence.clamp(0.0, 1.0) * inside.height,
            correctness: point.correctness,
            class: classes.of(point.correctness),
        })
        .collect()
}

/// What a screen reader says after the title.
fn description(size: &str, points: &[Placed], classes: Classes) -> String {
    let mut counts = vec![0usize; classes.len()];
    for point in points {
        counts[point.class] += 1;
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

/// Title and sub line; a title that is too wide ends in an ellipsis.
fn draw_heading(svg: &mut Svg, title: &str, sub_line: &str) -> Result<()> {
    let left = MAP.x;
    let title = shortened(title, HISTOGRAM.right() - left)?;
    svg.group("class=\"heading\" fill=\"#24292f\"", |svg| {
        svg.group(
            &format!("font-size=\"{TITLE_SIZE}\" font-weight=\"bold\""),
            |svg| svg.text(left, 38.0, &title),
        );
        svg.group("font-size=\"13\" fill=\"#57606a\"", |svg| {
            svg.text(left, 61.0, sub_line);
        });
    });
    Ok(())
}

/// The text, or as much of it as fits before an ellipsis.
fn shortened(title: &str, width: f64) -> Result<String> {
    // No bundled character is narrower than a fifth of its size, so that this many are
    // enough to fill the line; measuring a whole book would take long.
    let most = (width / (0.2 * TITLE_SIZE)) as usize;
    let characters: Vec<char> = title.chars().take(most + 1).collect();
    let whole: String = characters.iter().collect();
    if characters.len() <= most && title_width(&whole)? <= width {
        return Ok(whole);
    }
    let cut = |n: usize| {
        let kept: String = characters[..n].iter().collect();
        format!("{}\u{2026}", kept.trim_end())
    };
    let (mut fits, mut too_many) = (0, characters.len());
    while too_many - fits > 1 {
        let middle = usize::midpoint(fits, too_many);
        if title_width(&cut(middle))? <= width {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(cut(fits))
}

/// The title's width: as measured, but characters that the bundled font lacks count as wide
/// as they are high, which hardly any font exceeds.
fn title_width(title: &str) -> Result<f64> {
    let is_bundled = |c: char| {
        let blocks = [
            ' '..='\u{17f}',
            '\u{370}'..='\u{3ff}',
            '\u{2010}'..='\u{2027}',
        ];
        blocks.iter().any(|block| block.contains(&c))
    };
    let (known, other): (String, String) = title.chars().partition(|c| is_bundled(*c));
    let measured = text_width(&known, TITLE_SIZE, Weight::Bold)?;
    Ok(measured + other.chars().count() as f64 * TITLE_SIZE)
}

/// The map's frame, grid, tick labels and axis titles.
fn draw_frame(svg: &mut Svg, across: Axis) {
    let inside = MAP.inset(PADDING);
    let up = Axis::unit();
    let x_ticks: Vec<(f64, String)> = across
        .ticks()
        .map(|tick| {
            let x = inside.x + across.fraction(tick) * inside.width;
            (x, across.label(tick))
        })
        .collect();
    let y_ticks: Vec<(f64, String)> = up
        .ticks()
        .map(|tick| {
            let y = inside.bottom() - up.fraction(tick) * inside.height;
            (y, up.label(tick))
        })
        .collect();

    svg.group("stroke=\"#e4e7eb\" fill=\"none\"", |svg| {
        let upright = x_ticks
            .iter()
            .map(|(x, _)| [(*x, MAP.y), (*x, MAP.bottom())]);
        let level = y_ticks
            .iter()
            .map(|(y, _)| [(MAP.x, *y), (MAP.right(), *y)]);
        svg.lines(upright.chain(level));
        svg.rect(MAP, "stroke=\"#b6bdc5\"");
    });
    svg.group("font-size=\"12\" fill=\"#57606a\"", |svg| {
        svg.group("text-anchor=\"middle\"", |svg| {
            for (x, label) in &x_ticks {
                svg.text(*x, MAP.bottom() + 18.0, label);
            }
        });
        svg.group("text-anchor=\"end\"", |svg| {
            for (y, label) in &y_ticks {
                svg.text(MAP.x - 8.0, y + 4.3, label);
            }
        });
    });
    svg.group(
        "font-size=\"14\" fill=\"#24292f\" text-anchor=\"middle\"",
        |svg| {
            svg.text(MAP.centre().0, MAP.bottom() + 42.0, "variability");
            svg.text_upwards(MAP.x - 42.0, MAP.centre().1, "confidence");
        },
    );
}

/// The classes in a row above the map.
fn draw_legend(svg: &mut Svg, classes: Classes, look: Look) -> Result<()> {
    const LEGEND_SIZE: f64 = 12.0;
    const MARKER_RADIUS: f64 = 5.0;
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
            let colour = classes.colour(class);
            let (attributes, (from_x, from_y), rest) = match look {
                Look::Markers => {
                    let marker = classes.marker(class);
                    let (from, rest) = marker.outline(MARKER_RADIUS);
                    (marker.attributes(&colour, MARKER_RADIUS, 1.0), from, rest)
                }
                Look::Hexagons { .. } => (
                    format!("fill=\"{colour}\""),
                    (0.0, -MARKER_RADIUS - 1.0),
                    hexagon_outline(MARKER_RADIUS + 1.0),
                ),
            };
            svg.push(format_args!(
                "<path {attributes} d=\"M{} {}{rest}\"/>\n",
                Px(x + from_x),
                Px(middle + from_y)
            ));
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
