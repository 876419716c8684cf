//! SVG to PNG with bundled fonts only, so that a picture is the same on every machine.

use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::text::{first_unbundled, with_bundled_characters};
use crate::error::{Error, ErrorKind, Problem, Result};

/// The bundled fonts; `fonts/README.md` says how they were made.
const FONTS: [&[u8]; 2] = [
    include_bytes!("fonts/DejaVuSans.subset.ttf"),
    include_bytes!("fonts/DejaVuSans-Bold.subset.ttf"),
];

/// The greatest width and height of a picture, in pixels (1 GiB of memory).
const LARGEST_SIDE: f32 = 16_384.0;

/// The SVG as a PNG, `scale` pixels to each of its units, rounded up to whole pixels.
///
/// Texts are set in the bundled sans-serif, whatever fonts they name and the machine has;
/// characters outside of Latin, Greek, Cyrillic, punctuation, arrows and a few signs come out as
/// question marks ([`first_unbundled`] finds them).
///
/// # Errors
/// [`ErrorKind::Usage`] where the scale is not positive or the picture would be wider or
/// higher than 16,384 pixels; [`ErrorKind::Internal`] where `svg` is no SVG.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>> {
    let tree = match first_unbundled(svg) {
        None => parse(svg)?,
        Some(_) => parse(&with_bundled_characters(svg))?,
    };
    let (width, height) = (tree.size().width() * scale, tree.size().height() * scale);
    // Written so that a scale that is not a number is refused as well.
    let fits = |side: f32| side > 0.0 && side <= LARGEST_SIDE;
    if !fits(width) || !fits(height) {
        return Err(Error::new(
            ErrorKind::Usage,
            Problem::new(format!(
                "scale `{scale}` makes a picture of {width} by {height} pixels"
            ))
            .hint(format!(
                "the sides must lie between 1 and {LARGEST_SIDE} pixels"
            )),
        ));
    }
    let mut pixmap = Pixmap::new(width.ceil() as u32, height.ceil() as u32)
        .ok_or_else(|| Error::internal(format!("no pixmap of {width} by {height}")))?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixmap.as_mut(),
    );
    pixmap
        .encode_png()
        .map_err(|e| Error::internal(format!("cannot encode the picture as PNG: {e}")))
}

/// The SVG as a tree of shapes and texts set in the bundled fonts.
pub(super) fn parse(svg: &str) -> Result<Tree> {
    static FONT_DATABASE: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let fonts = FONT_DATABASE.get_or_init(|| {
        let mut database = fontdb::Database::new();
        for font in FONTS {
            database.load_font_data(font.to_vec());
        }
        database.set_sans_serif_family("DejaVu Sans");
        Arc::new(database)
    });
    let options = Options {
        fontdb: Arc::clone(fonts),
        font_family: "DejaVu Sans".to_owned(),
        ..Options::default()
    };
    Tree::from_str(svg, &options)
        .map_err(|e| Error::internal(format!("cannot read the SVG to draw: {e}")))
}
