//! What a reader looks at: pictures of maps, as SVG and as PNG.
//!
//! [`figure::data_map_svg`] draws figure 1 of Swayamdipta et al. 2020 with the three
//! histograms that the authors' code puts beside it; [`scatter::scatter_svg`] draws any two
//! signals, coloured by any third; [`curves::curves_svg`] compares selections by what they
//! lead to; [`raster::png`] turns an SVG into pixels
//! with the fonts in `fonts/`, so that a picture does not depend on the machine's fonts.
//!
//! ```text
//! figure      what goes where in the paper's figure, and in which words
//!   regions   the three boxed labels, and where they hide the fewest examples
//!   histogram counts of one signal, stacked by correctness
//! scatter     the same for any two signals
//!   groups    categories and other groups, with their colours and markers
//!   scale     numbers to colours
//!   spread    the axes of signals, and markers moved apart
//! curves      a metric against the share of the training set, a line per selection
//! all
//!   cloud     the examples: a marker each, or hexagons where there are too many
//!   frame     grid, tick labels, axis titles, heading
//!   legend    what colours and markers mean
//!   classes   correctness to class, colour, marker and label
//!   axis      round limits, ticks and their labels
//!   text      how wide a text is, and what fits
//!   svg       the writer: escaping, numbers, groups
//! raster      SVG to PNG
//! page        the map as one HTML page, with a script of its own
//! ```
//!
//! The SVG elements are written directly and not through plotters: its backends take whole
//! pixels, which shifts small markers visibly, and its SVG backend repeats every attribute on
//! every element and has no groups, no markers of six shapes, and no boxed labels.

mod axis;
mod classes;
mod cloud;
pub mod curves;
pub mod figure;
mod frame;
pub mod groups;
mod histogram;
mod legend;
pub mod page;
pub mod raster;
mod regions;
mod scale;
pub mod scatter;
mod spread;
mod svg;
pub mod text;
