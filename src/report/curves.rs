//! A metric against the share of the training set, a line per selection: the paper's figures of
//! its experiments, with intervals.

use super::axis::Axis;
use super::classes::Marker;
use super::frame::{PADDING, Side, TICK_SIZE, draw_axes_with_ticks, draw_heading, overhang};
use super::groups::look;
use super::legend::{Entry, Swatch, draw_entries, draw_swatch, line_attributes};
use super::scatter::{CANVAS, LEGEND, PANEL};
use super::svg::{Px, Rect, Svg};
use super::text::{Weight, shortened, text_width};
use crate::error::{Error, Problem, Result};

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// The title line, any text; shortened where it does not fit.
    pub title: String,
    /// The sub line; may be empty.
    pub note: String,
    /// What the axis that goes up is called.
    pub metric: String,
    /// In the legend's order.
    pub lines: Vec<Line>,
    /// What training on everything gives, drawn across the whole picture.
    pub whole: Option<Level>,
}

/// A selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// How it is drawn.
    pub kind: LineKind,
    /// What it gives, by ascending fractions; any may be missing.
    pub points: Vec<LinePoint>,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// With a colour and marker of its own.
    Selection,
    /// What the others are compared with: in grey.
    Reference,
}

/// What a selection gives at a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinePoint {
    /// The share of the training set, above 0 and at most 1.
    pub fraction: f64,
    /// What it gives.
    pub level: Level,
}

/// A mean, and where it may lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The mean, a finite number.
    pub mean: f64,
    /// The ends of its interval, finite numbers; none where nothing is known of it.
    pub interval: Option<(f64, f64)>,
}

/// The grey of the line that others are compared with.
const REFERENCE: (&str, Marker) = ("#6e7781", Marker::Circle);

/// Dashes for the first lines with a colour and marker, and for those that have to share a colour.
const DASHES: [&str; 3] = ["", "8 4", "2 4"];

/// From so many lines on, dashes tell those of one colour apart.
const N_COLOURS: usize = 8;

const WHOLE_COLOUR: &str = "#24292f";
const WHOLE_DASHES: &str = "1 5";

/// The picture as an SVG document of 1060 by 660 pixels: fractions across on a logarithmic axis
/// with a tick at each of them, the metric up, a line with a marker at each mean and a band for
/// the intervals per selection, a dotted line across for the whole training set, and the legend at
/// the right. Where there is only one fraction, the selections lie side by side with bars. The
/// same input gives the same bytes.
///
/// # Errors
/// A data error where there is nothing to draw or a number is not finite.
pub fn curves_svg(curves: &Curves) -> Result<String> {
    check(curves)?;
    let y = Side::new(curves.metric.as_str(), Axis::of(&shown_range(curves)));
    let shift = overhang(&y)?;
    let panel = Rect {
        x: PANEL.x + shift,
        width: PANEL.width - shift,
        ..PANEL
    };
    let across = Across::new(curves, panel);
    let (x_name, ticks) = across.ticks(curves)?;
    let up = |value: f64| {
        let inside = panel.inset(PADDING);
        let place = inside.bottom() - y.axis.fraction(value) * inside.height;
        // Far outside of the panel is as good as infinitely far, and a small file's numbers.
        place.clamp(panel.y - CANVAS.1, panel.bottom() + CANVAS.1)
    };

    let mut svg = Svg::new(CANVAS.0, CANVAS.1, &curves.title, &description(curves));
    draw_axes_with_ticks(&mut svg, panel, (&x_name, &ticks), &y)?;
    svg.push(format_args!(
        "<clipPath id=\"panel\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n",
        Px(panel.x),
        Px(panel.y),
        Px(panel.width),
        Px(panel.height)
    ));
    let looks = looks(&curves.lines);
    let places: Vec<Vec<Place>> = (curves.lines.iter().enumerate())
        .map(|(i, line)| {
            let places = line.points.iter().map(|point| Place {
                x: across.place(i, point.fraction),
                mean: up(point.level.mean),
                ends: point.level.interval.map(|(low, high)| (up(low), up(high))),
            });
            places.collect()
        })
        .collect();
    svg.group("clip-path=\"url(#panel)\"", |svg| {
        if let Some(whole) = curves.whole {
            draw_whole(
                svg,
                panel,
                up(whole.mean),
                whole.interval.map(|(a, b)| (up(a), up(b))),
            );
        }
        for (places, look) in places.iter().zip(&looks) {
            draw_spread(svg, places, look, looks.len());
        }
        for (places, look) in places.iter().zip(&looks) {
            draw_line(svg, places, look);
        }
    });
    draw_legend(&mut svg, curves, &looks)?;
    let sides = (panel.x, LEGEND.right());
    draw_heading(&mut svg, sides, &curves.title, &curves.note)?;
    Ok(svg.finish())
}

fn check(curves: &Curves) -> Result<()> {
    let points = || curves.lines.iter().flat_map(|line| &line.points);
    if points().next().is_none() {
        return Err(Error::data(Problem::new("there is no score to draw")));
    }
    let numbers = |level: &Level| {
        let (low, high) = level.interval.unwrap_or((level.mean, level.mean));
        [level.mean, low, high]
    };
    let levels = points().map(|point| &point.level).chain(&curves.whole);
    if let Some(number) = levels.flat_map(numbers).find(|x| !x.is_finite()) {
        let message = format!("a {} of `{number}` has no place on an axis", curves.metric);
        return Err(Error::data(Problem::new(message)));
    }
    let is_share = |fraction: f64| fraction > 0.0 && fraction <= 1.0;
    if let Some(point) = points().find(|point| !is_share(point.fraction)) {
        let message = format!("`{}` is no share of a training set", point.fraction);
        return Err(Error::data(Problem::new(message)));
    }
    Ok(())
}

/// The ends of what the picture shows up: all means, and the intervals as far as they do not
/// press the means together. Student's interval of two seeds is six times as wide as what they
/// differ by; it goes on beyond the frame. Where all means lie between 0 and 1, as accuracies do,
/// so does what is shown.
fn shown_range(curves: &Curves) -> Vec<f64> {
    /// How far beyond the means intervals count, in terms of the means' range.
    const REACH: f64 = 1.0;
    /// The least range of means that the rule above is for.
    const LEAST_RANGE: f64 = 0.04;
    let points = curves.lines.iter().flat_map(|line| &line.points);
    let levels: Vec<Level> = points
        .map(|point| point.level)
        .chain(curves.whole)
        .collect();
    let means = levels.iter().map(|level| level.mean);
    let least = means.clone().fold(f64::INFINITY, f64::min);
    let greatest = means.fold(f64::NEG_INFINITY, f64::max);
    let beyond = REACH * (greatest - least).max(LEAST_RANGE * greatest.abs().min(1.0));
    let (mut from, mut to) = (least - beyond, greatest + beyond);
    if least >= 0.0 {
        from = from.max(0.0);
    }
    if least >= 0.0 && greatest <= 1.0 {
        to = to.min(1.0);
    }
    let ends = levels.iter().filter_map(|level| level.interval);
    let ends = ends.flat_map(|(low, high)| [low, high]);
    let mut range: Vec<f64> = ends.map(|end| end.clamp(from, to)).collect();
    range.extend([least, greatest]);
    range
}

/// Where things lie across.
enum Across {
    /// By the logarithm of their fraction, between these two.
    Fractions {
        inside: Rect,
        least: f64,
        greatest: f64,
    },
    /// There is one fraction: each line at a place of its own.
    SideBySide { inside: Rect, n_lines: usize },
}

impl Across {
    fn new(curves: &Curves, panel: Rect) -> Self {
        let inside = panel.inset(PADDING);
        let points = curves.lines.iter().flat_map(|line| &line.points);
        let fractions = points.map(|point| point.fraction);
        let least = fractions.clone().fold(f64::INFINITY, f64::min);
        let greatest = fractions.fold(f64::NEG_INFINITY, f64::max);
        if least < greatest {
            Self::Fractions {
                inside,
                least,
                greatest,
            }
        } else {
            let n_lines = curves.lines.len();
            Self::SideBySide { inside, n_lines }
        }
    }

    fn place(&self, line: usize, fraction: f64) -> f64 {
        match self {
            Self::Fractions {
                inside,
                least,
                greatest,
            } => inside.x + (fraction / least).ln() / (greatest / least).ln() * inside.width,
            Self::SideBySide { inside, n_lines } => {
                inside.x + (line as f64 + 0.5) / *n_lines as f64 * inside.width
            }
        }
    }

    /// The axis's title, and its ticks: at each fraction that was run, without a label where
    /// that would meet the one before; or the selections' names, shortened where they would meet,
    /// and none where so little would be left of them that the legend is better.
    fn ticks(&self, curves: &Curves) -> Result<(String, Vec<(f64, String)>)> {
        const GAP: f64 = 6.0;
        /// What a name needs to be known when it is cut.
        const LEAST_ROOM: f64 = 80.0;
        let points = curves.lines.iter().flat_map(|line| &line.points);
        let mut fractions: Vec<f64> = points.map(|point| point.fraction).collect();
        fractions.sort_by(f64::total_cmp);
        fractions.dedup();
        let width = |label: &str| text_width(label, TICK_SIZE, Weight::Regular);
        match self {
            Self::Fractions { .. } => {
                let mut ticks = Vec::new();
                let mut taken = f64::NEG_INFINITY;
                for fraction in fractions {
                    let (place, label) = (self.place(0, fraction), percent(fraction));
                    let half = width(&label)? / 2.0;
                    let fits = place - half > taken + GAP;
                    if fits {
                        taken = place + half;
                    }
                    ticks.push((place, if fits { label } else { String::new() }));
                }
                Ok(("share of the training set (%)".to_owned(), ticks))
            }
            Self::SideBySide { inside, n_lines } => {
                let room = inside.width / *n_lines as f64 - GAP;
                let has_room = room >= LEAST_ROOM;
                let mut ticks = Vec::new();
                for (i, line) in curves.lines.iter().enumerate() {
                    let label = if has_room {
                        shortened(&line.name, TICK_SIZE, Weight::Regular, room)?
                    } else {
                        String::new()
                    };
                    ticks.push((self.place(i, 1.0), label));
                }
                let order = if has_room {
                    ""
                } else {
                    " in the legend's order"
                };
                let share = percent(fractions[0]);
                let name = format!("selection{order}, {share} % of the training set");
                Ok((name, ticks))
            }
        }
    }
}

/// The fraction in percent, in as many of four decimals as it needs.
pub fn percent(fraction: f64) -> String {
    let text = format!("{:.4}", fraction * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How a line looks.
struct Look {
    colour: &'static str,
    marker: Marker,
    dashes: &'static str,
}

fn looks(lines: &[Line]) -> Vec<Look> {
    let mut n_selections = 0;
    let mut look_of = |line: &Line| match line.kind {
        LineKind::Reference => Look {
            colour: REFERENCE.0,
            marker: REFERENCE.1,
            dashes: "6 3",
        },
        LineKind::Selection => {
            let place = n_selections;
            n_selections += 1;
            let (colour, marker) = look(place);
            let dashes = DASHES[place / N_COLOURS % DASHES.len()];
            Look {
                colour,
                marker,
                dashes,
            }
        }
    };
    lines.iter().map(&mut look_of).collect()
}

/// A point of a line on the canvas: across, its mean down, and its interval's ends down.
struct Place {
    x: f64,
    mean: f64,
    ends: Option<(f64, f64)>,
}

fn draw_whole(svg: &mut Svg, panel: Rect, mean: f64, ends: Option<(f64, f64)>) {
    if let Some((low, high)) = ends {
        let band = Rect {
            y: high,
            height: low - high,
            ..panel
        };
        svg.rect(
            band,
            &format!("fill=\"{WHOLE_COLOUR}\" fill-opacity=\".06\""),
        );
    }
    let attributes = format!(
        "{} stroke-linecap=\"round\"",
        line_attributes(WHOLE_COLOUR, WHOLE_DASHES)
    );
    svg.group(&attributes, |svg| {
        svg.lines([[(panel.x, mean), (panel.right(), mean)]]);
    });
}

/// The band of each run of neighbours with intervals, and a bar where one has none beside it.
fn draw_spread(svg: &mut Svg, places: &[Place], look: &Look, n_lines: usize) {
    /// From so many lines on bands are fainter: their sum must not hide the lines.
    const MANY: usize = 7;
    let colour = look.colour;
    let opacity = if n_lines < MANY { 0.15 } else { 0.07 };
    for run in places.chunk_by(|a, b| a.ends.is_some() == b.ends.is_some()) {
        let ends: Vec<(f64, (f64, f64))> = run
            .iter()
            .filter_map(|place| Some((place.x, place.ends?)))
            .collect();
        match ends[..] {
            [] => {}
            [(x, (low, high))] => {
                const CAP: f64 = 6.0;
                let bar = [
                    [(x, low), (x, high)],
                    [(x - CAP, low), (x + CAP, low)],
                    [(x - CAP, high), (x + CAP, high)],
                ];
                svg.group(
                    &format!("stroke=\"{colour}\" stroke-width=\"1.6\" fill=\"none\""),
                    |svg| svg.lines(bar),
                );
            }
            _ => {
                let there = ends.iter().map(|(x, (_, high))| (*x, *high));
                let back = ends.iter().rev().map(|(x, (low, _))| (*x, *low));
                let outline = points_of(there.chain(back));
                svg.push(format_args!(
                    "<polygon fill=\"{colour}\" fill-opacity=\"{opacity:.2}\" points=\"{outline}\"/>\n"
                ));
            }
        }
    }
}

fn draw_line(svg: &mut Svg, places: &[Place], look: &Look) {
    let means = || places.iter().map(|place| (place.x, place.mean));
    if places.len() > 1 {
        svg.group(&line_attributes(look.colour, look.dashes), |svg| {
            svg.push(format_args!(
                "<polyline points=\"{}\"/>\n",
                points_of(means())
            ));
        });
    }
    for middle in means() {
        draw_swatch(svg, middle, Swatch::Marker(look.marker), look.colour);
    }
}

/// Places as the attribute `points` has them.
fn points_of(places: impl Iterator<Item = (f64, f64)>) -> String {
    let places = places.map(|(x, y)| format!("{},{}", Px(x), Px(y)));
    places.collect::<Vec<_>>().join(" ")
}

fn draw_legend(svg: &mut Svg, curves: &Curves, looks: &[Look]) -> Result<()> {
    let mut entries = Vec::new();
    if curves.whole.is_some() {
        entries.push(Entry {
            swatch: Swatch::Line(WHOLE_DASHES, None),
            colour: WHOLE_COLOUR.to_owned(),
            name: "all (100 %)".to_owned(),
            note: String::new(),
        });
    }
    entries.extend(curves.lines.iter().zip(looks).map(|(line, look)| Entry {
        swatch: Swatch::Line(look.dashes, Some(look.marker)),
        colour: look.colour.to_owned(),
        name: line.name.clone(),
        note: String::new(),
    }));
    draw_entries(svg, LEGEND, ("selection", ""), &entries)
}

/// What a screen reader says after the title.
fn description(curves: &Curves) -> String {
    let mut lines: Vec<String> = curves
        .lines
        .iter()
        .map(|line| {
            let points = line.points.iter();
            let points = points
                .map(|point| format!("{} % {:.4}", percent(point.fraction), point.level.mean));
            format!("{}: {}", line.name, points.collect::<Vec<_>>().join(", "))
        })
        .collect();
    if let Some(whole) = curves.whole {
        lines.push(format!("all: {:.4}", whole.mean));
    }
    format!(
        "Mean {} by share of the training set. {}.",
        curves.metric,
        lines.join("; ")
    )
}
