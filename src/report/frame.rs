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
pub(super) struct Side<'a> {
    /// What the axis is called.
    pub name: &'a str,
    /// Its range and ticks.
    pub axis: Axis,
}

impl<'a> Side<'a> {
    /// A side with this name and axis.
    pub fn new(name: &'a str, axis: Axis) -> Self {
        Self { name, axis }
    }
}

/// By how many pixels the axis's tick labels at the left of a panel are too wide for the usual
/// margin of 72 pixels.
pub(super) fn overhang(axis: Axis) -> Result<f64> {
    let mut widest = LABEL_WIDTH;
    for tick in axis.ticks() {
        let width = text_width(&axis.label(tick), TICK_SIZE, Weight::Regular)?;
        widest = widest.max(width);
    }
    Ok((widest - LABEL_WIDTH).ceil())
}

/// Draws the frame, grid, tick labels and axis titles; labels and titles lie outside of
/// `panel`, left and below.
pub(super) fn draw_axes(svg: &mut Svg, panel: Rect, x: &Side, y: &Side) -> Result<()> {
    let inside = panel.inset(PADDING);
    let x_ticks = x.axis.ticks().map(|tick| {
        let place = inside.x + x.axis.fraction(tick) * inside.width;
        (place, x.axis.label(tick))
    });
    draw_axes_with_ticks(svg, panel, (x.name, &x_ticks.collect::<Vec<_>>()), y)
}

/// As [`draw_axes`], with ticks across at any places of the canvas; a label may be empty.
pub(super) fn draw_axes_with_ticks(
    svg: &mut Svg,
    panel: Rect,
    (x_name, x_ticks): (&str, &[(f64, String)]),
    y: &Side,
) -> Result<()> {
    let inside = panel.inset(PADDING);
    let y_ticks: Vec<(f64, String)> = y
        .axis
        .ticks()
        .map(|tick| {
            let place = inside.bottom() - y.axis.fraction(tick) * inside.height;
            (place, y.axis.label(tick))
        })
        .collect();
    let x_title = shortened(x_name, AXIS_TITLE_SIZE, Weight::Regular, panel.width)?;
    let y_title = shortened(y.name, AXIS_TITLE_SIZE, Weight::Regular, panel.height)?;
    let overhang = overhang(y.axis)?;

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
