//! A histogram of one signal: bars of counts, stacked by correctness from hard to easy.

use super::axis::Axis;
use super::classes::{Classes, MAX_CLASSES};
use super::svg::{Px, Rect, Svg};

/// What one histogram shows.
#[derive(Debug)]
pub(super) struct Histogram {
    /// The signal's name, under the axis.
    pub title: &'static str,
    /// For each bar, from left to right, how many examples of each class it holds.
    pub bars: Vec<[usize; MAX_CLASSES]>,
    /// Where along the axis, from 0 to 1, which label stands.
    pub ticks: Vec<(f64, String)>,
}

/// How many bars a histogram of a continuous signal has.
const N_BARS: usize = 20;

/// The most values of correctness with a bar of their own; more share bars.
const MOST_WHOLE_BARS: usize = 25;

impl Histogram {
    /// The histogram of a signal from 0 to the axis's limit; `values` are values and classes.
    pub fn continuous(
        title: &'static str,
        axis: Axis,
        values: impl Iterator<Item = (f64, usize)>,
    ) -> Self {
        let mut bars = vec![[0; MAX_CLASSES]; N_BARS];
        for (value, class) in values {
            let bar = (axis.fraction(value) * N_BARS as f64) as usize;
            bars[bar.min(N_BARS - 1)][class] += 1;
        }
        let ticks = axis
            .ticks()
            .map(|tick| (axis.fraction(tick), axis.label(tick)))
            .collect();
        Self { title, bars, ticks }
    }

    /// The histogram of whole numbers from 0 to `greatest`; `values` are numbers and classes.
    pub fn whole(
        title: &'static str,
        greatest: usize,
        values: impl Iterator<Item = (u32, usize)>,
    ) -> Self {
        let per_bar = (greatest + 1).div_ceil(MOST_WHOLE_BARS);
        let n_bars = (greatest + 1).div_ceil(per_bar);
        let mut bars = vec![[0; MAX_CLASSES]; n_bars];
        for (value, class) in values {
            bars[value as usize / per_bar][class] += 1;
        }
        // A number's label stands under the middle of the span that the number has.
        let span = (n_bars * per_bar) as f64;
        let axis = Axis::counts(greatest);
        let ticks = if greatest <= 10 {
            (0..=greatest).collect()
        } else {
            axis.ticks()
                .map(|tick| tick as usize)
                .filter(|tick| *tick <= greatest)
                .collect::<Vec<_>>()
        }
        .into_iter()
        .map(|tick| ((tick as f64 + 0.5) / span, tick.to_string()))
        .collect();
        Self { title, bars, ticks }
    }

    /// Draws bars, axes and labels; the labels lie outside of `area`, left and below.
    pub fn draw(&self, svg: &mut Svg, area: Rect, classes: Classes) {
        let tallest = self.bars.iter().map(|bar| bar.iter().sum()).max();
        let counts = Axis::counts(tallest.unwrap_or(0));
        let height_of = |count: f64| counts.fraction(count) * area.height;
        let y_ticks: Vec<(f64, String)> = counts
            .ticks()
            .map(|tick| (area.bottom() - height_of(tick), counts.label(tick)))
            .collect();

        svg.group("stroke=\"#e4e7eb\" fill=\"none\"", |svg| {
            svg.lines(
                y_ticks
                    .iter()
                    .map(|(y, _)| [(area.x, *y), (area.right(), *y)]),
            );
        });
        self.draw_bars(svg, area, classes, height_of);
        svg.group("stroke=\"#8c959f\" fill=\"none\"", |svg| {
            let axis = [(area.x, area.bottom()), (area.right(), area.bottom())];
            let ticks = self.ticks.iter().map(|(at, _)| {
                let x = area.x + at * area.width;
                [(x, area.bottom()), (x, area.bottom() + 4.0)]
            });
            svg.lines(std::iter::once(axis).chain(ticks));
        });
        svg.group(
            "font-size=\"11\" fill=\"#57606a\" text-anchor=\"middle\"",
            |svg| {
                for (at, label) in &self.ticks {
                    svg.text(area.x + at * area.width, area.bottom() + 16.0, label);
                }
            },
        );
        svg.group(
            "font-size=\"11\" fill=\"#57606a\" text-anchor=\"end\"",
            |svg| {
                for (y, label) in &y_ticks {
                    svg.text(area.x - 6.0, y + 4.0, label);
                }
            },
        );
        svg.group(
            "font-size=\"13\" fill=\"#24292f\" text-anchor=\"middle\"",
            |svg| {
                svg.text(area.centre().0, area.bottom() + 33.0, self.title);
                svg.text_upwards(area.x - 48.0, area.centre().1, "examples");
            },
        );
    }

    /// One path for each class.
    fn draw_bars(
        &self,
        svg: &mut Svg,
        area: Rect,
        classes: Classes,
        height_of: impl Fn(f64) -> f64,
    ) {
        let width = area.width / self.bars.len() as f64;
        let gap = (0.12 * width).min(3.0);
        for class in 0..classes.len() {
            if self.bars.iter().all(|bar| bar[class] == 0) {
                continue;
            }
            svg.push(format_args!(
                "<path fill=\"{}\" fill-opacity=\".9\" d=\"",
                classes.colour(class)
            ));
            for (i, bar) in self
                .bars
                .iter()
                .enumerate()
                .filter(|(_, bar)| bar[class] > 0)
            {
                let below: usize = bar[..class].iter().sum();
                let bottom = area.bottom() - height_of(below as f64);
                let top = area.bottom() - height_of((below + bar[class]) as f64);
                let left = area.x + i as f64 * width + gap / 2.0;
                svg.push(format_args!(
                    "M{} {}V{}H{}V{}z",
                    Px(left),
                    Px(bottom),
                    Px(top),
                    Px(left + width - gap),
                    Px(bottom)
                ));
            }
            svg.push(format_args!("\"/>\n"));
        }
    }
}
