//! A small writer of SVG: attributes belong to groups, so that elements stay short.

use std::fmt::{self, Write};

/// The document being written.
#[derive(Debug)]
pub(super) struct Svg {
    out: String,
}

/// A rectangle on the canvas, in pixels; `y` grows downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
}

impl Rect {
    /// The right edge.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// The lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// The middle, as x and y.
    pub fn centre(&self) -> (f64, f64) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    /// The rectangle that is `by` pixels smaller on each side.
    pub fn inset(&self, by: f64) -> Self {
        Self {
            x: self.x + by,
            y: self.y + by,
            width: self.width - 2.0 * by,
            height: self.height - 2.0 * by,
        }
    }
}

/// A length or coordinate: rounded to a tenth of a pixel and printed in as few characters as
/// that needs, so that the bytes do not depend on the last bits of a float.
#[derive(Debug, Clone, Copy)]
pub(super) struct Px(pub f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0).round() as i64;
        let sign = if tenths < 0 { "-" } else { "" };
        let (whole, tenth) = (tenths.abs() / 10, tenths.abs() % 10);
        match (whole, tenth) {
            (_, 0) => write!(f, "{sign}{whole}"),
            (0, _) => write!(f, "{sign}.{tenth}"),
            _ => write!(f, "{sign}{whole}.{tenth}"),
        }
    }
}

impl Svg {
    /// A white canvas. `title` and `description` are what a screen reader says.
    pub fn new(width: f64, height: f64, title: &str, description: &str) -> Self {
        let mut svg = Self { out: String::new() };
        let (w, h) = (Px(width), Px(height));
        svg.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{w}\" \
             height=\"{h}\" viewBox=\"0 0 {w} {h}\" font-family=\"{FONT_FAMILY}\">\n\
             <title>{}</title>\n<desc>{}</desc>\n<rect width=\"{w}\" height=\"{h}\" \
             fill=\"#fff\"/>\n",
            escape(title),
            escape(description),
        ));
        svg
    }

    /// Adds markup as it is; texts in it must have been escaped.
    pub fn push(&mut self, markup: fmt::Arguments<'_>) {
        self.out
            .write_fmt(markup)
            .expect("writing to a string does not fail");
    }

    /// Adds a group with these attributes around what `content` adds.
    pub fn group(&mut self, attributes: &str, content: impl FnOnce(&mut Self)) {
        self.push(format_args!("<g {attributes}>\n"));
        content(self);
        self.push(format_args!("</g>\n"));
    }

    /// A rectangle with these attributes.
    pub fn rect(&mut self, area: Rect, attributes: &str) {
        let space = if attributes.is_empty() { "" } else { " " };
        self.push(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{space}{attributes}/>\n",
            Px(area.x),
            Px(area.y),
            Px(area.width),
            Px(area.height),
        ));
    }

    /// One path of straight lines from and to these points.
    pub fn lines(&mut self, ends: impl IntoIterator<Item = [(f64, f64); 2]>) {
        self.push(format_args!("<path d=\""));
        for [(x1, y1), (x2, y2)] in ends {
            self.push(format_args!("M{} {}L{} {}", Px(x1), Px(y1), Px(x2), Px(y2)));
        }
        self.push(format_args!("\"/>\n"));
    }

    /// A text with its baseline at `y`; the group says size, colour and anchor.
    pub fn text(&mut self, x: f64, y: f64, text: &str) {
        self.push(format_args!(
            "<text x=\"{}\" y=\"{}\">{}</text>\n",
            Px(x),
            Px(y),
            escape(text)
        ));
    }

    /// A text that reads upwards, with its baseline through `x`.
    pub fn text_upwards(&mut self, x: f64, y: f64, text: &str) {
        self.push(format_args!(
            "<text transform=\"translate({} {})rotate(-90)\">{}</text>\n",
            Px(x),
            Px(y),
            escape(text)
        ));
    }

    /// The whole document.
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }
}

/// The bundled font, and what looks most like it where a viewer lacks it.
pub(super) const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

/// The text with XML's own characters escaped, and those that XML forbids as spaces.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
