//! A panel's frame: grid, tick labels and axis titles; and the heading of the whole picture.

use super::axis::Axis;
use super::svg::{Rect, Svg};
use super::text::{Weight, shortened, text_width};
use crate::error::Result;

/// The axes begin and end so far inside of the frame, so that markers at their ends lie wholly
/// within it.
pub(super) const PADDING: f64 = 12.0;

const TITLE_SIZE: f64 = 20.0;
const SUB_LINE_SIZE: f64 = 13.0;
const AXIS_TITLE_SIZE: f64 = 14.0;
pub(super) const TICK_SIZE: f64 = 12.0;

/// Tick labels at the left take so many pixels before the axis's title gives way.
const LABEL_WIDTH: f64 = 26.0;

/// One side of a panel.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// What the axis is called.
    pub name: String,
    /// Its range and ticks.
    pub axis: Axis,
    /// What infinity is called, which has a strip of its own at the axis's end.
    pub infinity: Option<&'static str>,
}

/// The part of a side that is infinity's strip.
const STRIP: f64 = 0.14;

/// The part of a side between its numbers and the strip, so that labels do not meet.
const BEFORE_STRIP: f64 = 0.03;

impl Side {
    /// A side with this name and axis, without a place for infinity.
    pub fn new(name: impl Into<String>, axis: Axis) -> Self {
        Self {
            name: name.into(),
            axis,
            infinity: None,
        }
    }

    /// Where a value lies that was moved by `offset`, from 0 at the side's start to 1 at its end.
    /// The strip of infinity is as wide as the distance of two whole numbers.
    pub fn fraction(&self, value: f64, offset: f64) -> f64 {
        match self.infinity {
            Some(_) if value == f64::INFINITY => 1.0 - STRIP / 2.0 + offset * STRIP,
            Some(_) => (1.0 - STRIP - BEFORE_STRIP) * self.axis.fraction(value + offset),
            None => self.axis.fraction(value + offset),
        }
    }

    /// Where the strip of infinity begins.
    fn strip(&self) -> Option<f64> {
        self.infinity.map(|_| 1.0 - STRIP)
    }

    /// The ticks' places and labels.
    fn ticks(&self) -> Vec<(f64, String)> {
        let ticks = self.axis.ticks();
        let ticks = ticks.map(|tick| (self.fraction(tick, 0.0), self.axis.label(tick)));
        let infinity = self.infinity.into_iter();
        let infinity = infinity.map(|name| (self.fraction(f64::INFINITY, 0.0), name.to_owned()));
        ticks.chain(infinity).collect()
    }
}

/// By how many pixels the tick labels of a side at the left of a panel are too wide for the usual
/// margin of 72 pixels.
pub(super) fn overhang(side: &Side) -> Result<f64> {
    let mut widest = LABEL_WIDTH;
    for (_, label) in side.ticks() {
        widest = widest.max(text_width(&label, TICK_SIZE, Weight::Regular)?);
    }
    Ok((widest - LABEL_WIDTH).ceil())
}

/// Draws the frame, grid, tick labels and axis titles; labels and titles lie outside of
/// `panel`, left and below.
pub(super) fn draw_axes(svg: &mut Svg, panel: Rect, x: &Side, y: &Side) -> Result<()> {
    let inside = panel.inset(PADDING);
    let across = |fraction: f64| inside.x + fraction * inside.width;
    let x_ticks = x.ticks().into_iter();
    let x_ticks: Vec<(f64, String)> = x_ticks
        .map(|(fraction, label)| (across(fraction), label))
        .collect();
    draw_axes_with_ticks(svg, panel, (&x.name, &x_ticks), y)?;
    draw_strip(
        svg,
        x.strip().map(|fraction| {
            let x = across(fraction);
            [(x, panel.y), (x, panel.bottom())]
        }),
    );
    Ok(())
}

/// Draws where the strip of infinity begins, if there is one.
fn draw_strip(svg: &mut Svg, line: Option<[(f64, f64); 2]>) {
    if let Some(line) = line {
        svg.group(
            "stroke=\"#b6bdc5\" fill=\"none\" stroke-dasharray=\"4 3\"",
            |svg| {
                svg.lines([line]);
            },
        );
    }
}

/// As [`draw_axes`], with ticks across at any places of the canvas; a label may be empty.
pub(super) fn draw_axes_with_ticks(
    svg: &mut Svg,
    panel: Rect,
    (x_name, x_ticks): (&str, &[(f64, String)]),
    y: &Side,
) -> Result<()> {
    let inside = panel.inset(PADDING);
    let up = |fraction: f64| inside.bottom() - fraction * inside.height;
    let y_ticks = y.ticks().into_iter();
    let y_ticks: Vec<(f64, String)> = y_ticks
        .map(|(fraction, label)| (up(fraction), label))
        .collect();
    let x_title = shortened(x_name, AXIS_TITLE_SIZE, Weight::Regular, panel.width)?;
    let y_title = shortened(&y.name, AXIS_TITLE_SIZE, Weight::Regular, panel.height)?;
    let overhang = overhang(y)?;

    svg.group("stroke=\"#e4e7eb\" fill=\"none\"", |svg| {
        let upright = x_ticks
            .iter()
            .map(|(x, _)| [(*x, panel.y), (*x, panel.bottom())]);
        let level = y_ticks
            .iter()
            .map(|(y, _)| [(panel.x, *y), (panel.right(), *y)]);
        svg.lines(upright.chain(level));
        svg.rect(panel, "stroke=\"#b6bdc5\"");
    });
    draw_strip(
        svg,
        y.strip().map(|fraction| {
            let y = up(fraction);
            [(panel.x, y), (panel.right(), y)]
        }),
    );
    let attributes = format!("font-size=\"{TICK_SIZE}\" fill=\"#57606a\"");
    svg.group(&attributes, |svg| {
        svg.group("text-anchor=\"middle\"", |svg| {
            for (x, label) in x_ticks.iter().filter(|(_, label)| !label.is_empty()) {
                svg.text(*x, panel.bottom() + 18.0, label);
            }
        });
        svg.group("text-anchor=\"end\"", |svg| {
            for (y, label) in &y_ticks {
                svg.text(panel.x - 8.0, y + 4.3, label);
            }
        });
    });
    let attributes =
        format!("font-size=\"{AXIS_TITLE_SIZE}\" fill=\"#24292f\" text-anchor=\"middle\"");
    svg.group(&attributes, |svg| {
        let (x, y) = panel.centre();
        svg.text(x, panel.bottom() + 42.0, &x_title);
        svg.text_upwards(panel.x - 42.0 - overhang, y, &y_title);
    });
    Ok(())
}

/// Draws title and sub line between two places across; what is too wide ends in an ellipsis.
pub(super) fn draw_heading(
    svg: &mut Svg,
    (left, right): (f64, f64),
    title: &str,
    sub_line: &str,
) -> Result<()> {
    let title = shortened(title, TITLE_SIZE, Weight::Bold, right - left)?;
    let sub_line = shortened(sub_line, SUB_LINE_SIZE, Weight::Regular, right - left)?;
    svg.group("class=\"heading\" fill=\"#24292f\"", |svg| {
        svg.group(
            &format!("font-size=\"{TITLE_SIZE}\" font-weight=\"bold\""),
            |svg| svg.text(left, 38.0, &title),
        );
        let attributes = format!("font-size=\"{SUB_LINE_SIZE}\" fill=\"#57606a\"");
        svg.group(&attributes, |svg| svg.text(left, 61.0, &sub_line));
    });
    Ok(())
}
