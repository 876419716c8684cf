//! The static data map as SVG and PNG.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use enginora_rs::error::ErrorKind;
use enginora_rs::report::figure::{FigurePoint, MapFigure, data_map_svg};
use enginora_rs::report::raster::png;
use enginora_rs::report::text::first_unbundled;
use resvg::usvg::{Group, Node, Options, Rect, Tree, fontdb, roxmltree};

const CANVAS: (u32, u32) = (1060, 660);

/// Points all over the map, the same at every call: a multiplicative congruential generator
/// (Park and Miller's) is random enough for a picture.
fn points(n: usize, n_epochs: usize) -> Vec<FigurePoint> {
    let mut state = 42u64;
    let mut uniform = || {
        state = state * 48_271 % 0x7fff_ffff;
        state as f64 / 2_147_483_647.0
    };
    (0..n)
        .map(|_| {
            let confidence = uniform();
            let widest = (confidence * (1.0 - confidence)).sqrt();
            FigurePoint {
                confidence,
                variability: uniform() * widest,
                correctness: (confidence * n_epochs as f64).round() as u32,
            }
        })
        .collect()
}

fn figure(points: &[FigurePoint], n_epochs: usize) -> String {
    let title = "Data map of train.csv";
    data_map_svg(&MapFigure {
        title,
        n_epochs,
        points,
    })
    .unwrap()
}

/// Width and height in a PNG's first chunk.
pub fn dimensions(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// The content of all text elements.
pub fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .map(|node| node.text().unwrap_or_default().to_owned())
        .collect()
}

/// The boxes of all text elements, as set in the bundled fonts.
fn text_boxes(svg: &str) -> Vec<Rect> {
    fn collect(group: &Group, boxes: &mut Vec<Rect>) {
        for node in group.children() {
            match node {
                Node::Group(group) => collect(group, boxes),
                Node::Text(text) => boxes.push(text.abs_bounding_box()),
                _ => {}
            }
        }
    }
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("../../src/report/fonts/DejaVuSans.subset.ttf").to_vec());
    fonts.load_font_data(
        include_bytes!("../../src/report/fonts/DejaVuSans-Bold.subset.ttf").to_vec(),
    );
    let options = Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).unwrap();
    let mut boxes = Vec::new();
    collect(tree.root(), &mut boxes);
    boxes
}

pub fn assert_texts_on_canvas(svg: &str) {
    let boxes = text_boxes(svg);
    assert_eq!(boxes.len(), texts(svg).len(), "a text was not set");
    for area in boxes {
        assert!(
            area.left() >= 0.0
                && area.top() >= 0.0
                && area.right() <= CANVAS.0 as f32
                && area.bottom() <= CANVAS.1 as f32,
            "{area:?}"
        );
    }
}

#[test]
fn figures_of_any_size_are_valid_and_small_and_become_pictures() {
    for (n, n_epochs) in [(1, 1), (1, 6), (2, 3), (200, 6), (2_000, 40), (30_000, 5)] {
        let svg = figure(&points(n, n_epochs), n_epochs);
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert!(document.root_element().has_tag_name("svg"));
        assert!(svg.len() < 3_000_000, "{n}: {} bytes", svg.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{n}");
        assert_texts_on_canvas(&svg);
        assert_eq!(dimensions(&png(&svg, 1.0).unwrap()), CANVAS);
    }
    let svg = figure(&points(2, 3), 3);
    assert_eq!(
        dimensions(&png(&svg, 1.5).unwrap()),
        (CANVAS.0 * 3 / 2, CANVAS.1 * 3 / 2)
    );
}

#[test]
fn the_largest_figure_of_markers_stays_small() {
    let svg = figure(&points(25_000, 6), 6);
    assert!(svg.len() < 3_000_000, "{} bytes", svg.len());
}

#[test]
fn the_same_points_give_the_same_bytes() {
    for n in [200, 30_000] {
        let (one, two) = (figure(&points(n, 4), 4), figure(&points(n, 4), 4));
        assert_eq!(one, two);
        assert_eq!(png(&one, 1.0).unwrap(), png(&two, 1.0).unwrap());
    }
}

#[test]
fn every_example_has_one_marker_up_to_25_000_and_shares_a_hexagon_above() {
    let n_markers = |n: usize| {
        let svg = figure(&points(n, 6), 6);
        svg.matches("<path d=\"M").count()
    };
    // The frame's grid and each histogram's grid and axis are paths without a colour as well.
    let others = n_markers(1) - 1;
    assert_eq!(n_markers(200) - others, 200);
    assert_eq!(n_markers(25_000) - others, 25_000);
    assert_eq!(n_markers(25_001) - others, 0);
}

#[test]
fn every_class_of_correctness_has_a_legend_entry() {
    let check = |n_epochs: usize, expected: &[&str]| {
        for n in [1, 30_000] {
            let svg = figure(&points(n, n_epochs), n_epochs);
            let document = roxmltree::Document::parse(&svg).unwrap();
            let legend = document
                .descendants()
                .find(|node| node.attribute("class") == Some("legend"))
                .unwrap();
            let entries: Vec<&str> = legend
                .children()
                .filter(|node| node.has_tag_name("text"))
                .skip(1)
                .map(|node| node.text().unwrap())
                .collect();
            assert_eq!(entries, expected, "{n_epochs} epochs, {n} examples");
            let swatches = legend.children().filter(|node| node.has_tag_name("path"));
            let colours: std::collections::BTreeSet<String> = swatches
                .map(|node| {
                    let colour = node.attribute("stroke").or(node.attribute("fill"));
                    colour.unwrap().to_owned()
                })
                .collect();
            assert_eq!(colours.len(), expected.len());
        }
    };
    check(1, &["0.0", "1.0"]);
    check(2, &["0.0", "0.5", "1.0"]);
    check(3, &["0.00", "0.33", "0.67", "1.00"]);
    check(4, &["0.00", "0.25", "0.50", "0.75", "1.00"]);
    check(5, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    check(6, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    check(40, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
}

#[test]
fn the_description_counts_the_examples_of_each_class() {
    // 6 epochs go to the nearest of 0.0, 0.2, ... 1.0, and 3 of 6 to the upper one.
    let points: Vec<FigurePoint> = (0..=6)
        .map(|correctness| FigurePoint {
            confidence: 0.5,
            variability: 0.1,
            correctness,
        })
        .collect();
    let svg = figure(&points, 6);
    let expected = "1 at 0.0, 1 at 0.2, 1 at 0.4, 2 at 0.6, 1 at 0.8, 1 at 1.0";
    assert!(svg.contains(expected));
    assert!(svg.contains("7 examples, 6 epochs"));
}

#[test]
fn any_title_is_escaped_and_fits() {
    let points = points(3, 2);
    let check = |title: &str, expected: &str| {
        let svg = data_map_svg(&MapFigure {
            title,
            n_epochs: 2,
            points: &points,
        })
        .unwrap();
        assert!(
            texts(&svg).iter().any(|text| text.starts_with(expected)),
            "{title:?}"
        );
        assert_texts_on_canvas(&svg);
    };
    check("a <b> & \"c\" 'd' ]]>", "a <b> & \"c\" 'd' ]]>");
    check("tab\tline\nbell\u{7}\u{ffff}", "tab line bell  ");
    check("Łódź, naïve, Ω → ∞", "Łódź, naïve, Ω → ∞");
    check("  ", "Data map");
    check(&"W".repeat(10_000), "WWWWWWWWWWWWWWWWWWWW");
    check(
        &"Data map of a long file name. ".repeat(9),
        "Data map of a long",
    );

    let long = "Data map of a long file name. ".repeat(9);
    let svg = data_map_svg(&MapFigure {
        title: &long,
        n_epochs: 2,
        points: &points,
    })
    .unwrap();
    assert!(texts(&svg).iter().any(|text| text.ends_with('\u{2026}')));
    // A screen reader gets the whole title.
    assert!(svg.contains(&format!("<title>{}</title>", long.trim())));
}

#[test]
fn titles_in_scripts_without_a_bundled_font_are_kept_in_the_svg() {
    let svg = data_map_svg(&MapFigure {
        title: "数据地图",
        n_epochs: 2,
        points: &points(3, 2),
    })
    .unwrap();
    assert!(texts(&svg).contains(&"数据地图".to_owned()));
    assert_eq!(dimensions(&png(&svg, 1.0).unwrap()), CANVAS);
}

#[test]
fn characters_that_no_bundled_font_has_are_question_marks_in_a_png() {
    let picture = |title: &str| {
        let points = points(3, 2);
        let figure = MapFigure {
            title,
            n_epochs: 2,
            points: &points,
        };
        png(&data_map_svg(&figure).unwrap(), 1.0).unwrap()
    };
    assert!(picture("a 数据 b") == picture("a ?? b"));
    for title in ["Ж", "ữ", "Ω", "→"] {
        assert!(picture(title) != picture("?"), "{title}");
        assert!(picture(title) != picture("\u{a0}"), "{title}");
        assert_eq!(first_unbundled(title), None);
    }
    assert_eq!(first_unbundled("a\n数据"), Some('数'));
}

#[test]
fn equal_points_and_points_at_the_corners_are_fine() {
    let point = |confidence, variability, correctness| FigurePoint {
        confidence,
        variability,
        correctness,
    };
    let check = |points: &[FigurePoint]| {
        let svg = figure(points, 6);
        assert!(!svg.contains("NaN"));
        assert_texts_on_canvas(&svg);
    };
    check(&vec![point(0.5, 0.25, 3); 500]);
    check(&vec![point(0.5, 0.25, 3); 30_000]);
    check(&[point(0.0, 0.0, 0), point(1.0, 0.0, 6), point(0.5, 0.5, 3)]);
    check(&[point(1.0, 1e-300, 6)]);
    // The corrected variability of two epochs, and rounding errors of another program.
    check(&[point(1.000_000_000_1, 0.559_017, 6), point(-1e-9, 0.1, 0)]);
}

#[test]
fn one_epoch_gives_a_map_without_an_ambiguous_region() {
    let mut points = points(300, 1);
    assert!(texts(&figure(&points, 1)).contains(&"ambiguous".to_owned()));
    for point in &mut points {
        point.variability = 0.0;
    }
    let texts = texts(&figure(&points, 1));
    assert!(!texts.contains(&"ambiguous".to_owned()));
    for expected in [
        "easy-to-learn",
        "hard-to-learn",
        "300 examples, 1 epoch  \u{b7}  variability is 0 throughout",
    ] {
        assert!(texts.contains(&expected.to_owned()), "{expected}");
    }
}

#[test]
fn the_variability_axis_ends_at_a_round_value_that_holds_all_points() {
    let check = |variability: f64, expected: &[&str]| {
        let point = FigurePoint {
            confidence: 0.3,
            variability,
            correctness: 1,
        };
        let svg = figure(&[point], 2);
        // The map's tick labels come first: variability's, then confidence's.
        let labels = &texts(&svg)[..=expected.len()];
        assert_eq!(&labels[..expected.len()], expected, "{variability}");
        assert_eq!(labels[expected.len()], "0.0");
    };
    check(0.0, &["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
    check(0.001, &["0.00", "0.01", "0.02", "0.03", "0.04", "0.05"]);
    check(
        0.3,
        &["0.00", "0.05", "0.10", "0.15", "0.20", "0.25", "0.30"],
    );
    check(0.43, &["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
    check(0.5, &["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
    check(0.55, &["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]);
}

#[test]
fn what_cannot_be_drawn_is_a_data_error() {
    let good = FigurePoint {
        confidence: 0.5,
        variability: 0.2,
        correctness: 1,
    };
    let check = |points: &[FigurePoint], n_epochs: usize, expected: &str| {
        let error = data_map_svg(&MapFigure {
            title: "t",
            n_epochs,
            points,
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(expected), "{error}");
    };
    let confidence = |confidence| FigurePoint { confidence, ..good };
    let variability = |variability| FigurePoint {
        variability,
        ..good
    };
    let correctness = |correctness| FigurePoint {
        correctness,
        ..good
    };
    check(&[], 3, "no example");
    check(&[good], 0, "0 epochs");
    check(
        &[good, confidence(f64::NAN)],
        3,
        "example 2 of the map has the confidence `NaN`",
    );
    check(&[confidence(1.1)], 3, "confidence `1.1`");
    check(&[variability(-0.1)], 3, "variability `-0.1`");
    check(&[variability(f64::INFINITY)], 3, "variability `inf`");
    check(
        &[correctness(4)],
        3,
        "correctness `4`, which is more than the 3 epochs",
    );
}

#[test]
fn a_picture_without_size_or_source_is_an_error() {
    let svg = figure(&points(2, 3), 3);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 16.0] {
        let error = png(&svg, scale).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{scale}");
    }
    assert_eq!(png("<svg", 1.0).unwrap_err().kind(), ErrorKind::Internal);
}
