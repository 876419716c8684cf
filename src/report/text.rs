//! How wide texts are in the bundled fonts, and what fits.

use resvg::usvg::Node;

use super::raster::parse;
use super::svg::{FONT_FAMILY, escape};
use crate::error::Result;

/// A font's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// `normal`
    Regular,
    /// `bold`
    Bold,
}

/// How many pixels the text takes in the bundled font of this size.
pub(super) fn text_width(text: &str, size: f64, weight: Weight) -> Result<f64> {
    let weight = match weight {
        Weight::Regular => "normal",
        Weight::Bold => "bold",
    };
    let tree = parse(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\" \
         font-family=\"{FONT_FAMILY}\" font-size=\"{size}\" font-weight=\"{weight}\">\
         <text>{}</text></svg>",
        escape(text)
    ))?;
    let widths = tree.root().children().iter().map(|node| match node {
        Node::Text(text) => f64::from(text.bounding_box().width()),
        _ => 0.0,
    });
    Ok(widths.sum())
}

/// The text, or as much of it as fits before an ellipsis.
pub(super) fn shortened(text: &str, size: f64, weight: Weight, width: f64) -> Result<String> {
    // No bundled character is narrower than a fifth of its size, so that this many are
    // enough to fill the line; measuring a whole book would take long.
    let most = (width / (0.2 * size)) as usize;
    let characters: Vec<char> = text.chars().take(most + 1).collect();
    let whole: String = characters.iter().collect();
    if characters.len() <= most && safe_width(&whole, size, weight)? <= width {
        return Ok(whole);
    }
    let cut = |n: usize| {
        let kept: String = characters[..n].iter().collect();
        format!("{}\u{2026}", kept.trim_end())
    };
    let (mut fits, mut too_many) = (0, characters.len());
    while too_many - fits > 1 {
        let middle = usize::midpoint(fits, too_many);
        if safe_width(&cut(middle), size, weight)? <= width {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(cut(fits))
}

/// The text's width: as measured, but characters that the bundled font lacks count as wide
/// as they are high, which hardly any font exceeds.
fn safe_width(text: &str, size: f64, weight: Weight) -> Result<f64> {
    let (known, other): (String, String) = text.chars().partition(|c| is_bundled(*c));
    let measured = text_width(&known, size, weight)?;
    Ok(measured + other.chars().count() as f64 * size)
}

/// The first character of the text that the bundled fonts lack and a PNG has as `?`.
pub fn first_unbundled(text: &str) -> Option<char> {
    text.chars().find(|c| !c.is_control() && !is_bundled(*c))
}

/// The text with a question mark for each character that the bundled fonts lack, so that
/// something is to be seen in its place.
pub(super) fn with_bundled_characters(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() || is_bundled(c) {
            c
        } else {
            '?'
        }
    };
    text.chars().map(shown).collect()
}

/// Whether the bundled fonts have the character; `fonts/README.md` lists the blocks.
fn is_bundled(c: char) -> bool {
    let blocks = [
        ' '..='\u{24f}',
        '\u{370}'..='\u{4ff}',
        '\u{1e00}'..='\u{1eff}',
        '\u{2010}'..='\u{2027}',
        '\u{2030}'..='\u{203a}',
        '\u{2190}'..='\u{2195}',
    ];
    blocks.iter().any(|block| block.contains(&c))
        || "\u{2202}\u{2206}\u{220f}\u{2211}\u{2212}\u{221a}\u{221e}\u{2248}\u{2260}\u{2264}\u{2265}"
            .contains(c)
}
