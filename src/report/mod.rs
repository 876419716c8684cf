//! What a reader looks at: the static data map, as SVG and as PNG.
//!
//! [`figure::data_map_svg`] draws figure 1 of Swayamdipta et al. 2020 with the three
//! histograms that the authors' code puts beside it; [`raster::png`] turns an SVG into pixels
//! with the fonts in `fonts/`, so that a picture does not depend on the machine's fonts.
//!
//! ```text
//! figure      what goes where on the canvas, and in which words
//!   cloud     the examples: a marker each, or hexagons where there are too many
//!   regions   the three boxed labels, and where they hide the fewest examples
//!   histogram counts of one signal, stacked by correctness
//!   classes   correctness to class, colour, marker and label
//!   axis      round limits, ticks and their labels
//!   svg       the writer: escaping, numbers, groups
//! raster      SVG to PNG, and how wide a text is
//! ```
//!
//! The SVG elements are written directly and not through plotters: its backends take whole
//! pixels, which shifts small markers visibly, and its SVG backend repeats every attribute on
//! every element and has no groups, no markers of six shapes, and no boxed labels.

mod axis;
mod classes;
mod cloud;
pub mod figure;
mod histogram;
pub mod raster;
mod regions;
mod svg;
