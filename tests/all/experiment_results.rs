//! What a grid of experiments leaves: statistics over seeds, tables, and the paper's figures.

use std::fs;

use enginora_rs::config::{Fraction, MetricConfig};
use enginora_rs::metrics::{over_seeds, paired_difference};
use enginora_rs::pipeline::{CellScore, StageScores, write_results};
use enginora_rs::report::curves::{Curves, Level, Line, LineKind, LinePoint, curves_svg};
use enginora_rs::report::raster::png;
use enginora_rs::train::MetricSet;
use serde_json::Value;

use crate::report::{assert_texts_on_canvas, dimensions, texts};
use crate::scratch::Scratch;

fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() < 1e-9
}

/// The expected numbers are those of numpy's `std(ddof=1)` and scipy's `stats.t.ppf(0.975, n - 1)`.
#[test]
fn means_over_seeds_have_students_interval() {
    let check = |values: &[f64], mean: f64, deviation: f64, low: f64, high: f64| {
        let got = over_seeds(values.iter().copied()).unwrap();
        let spread = got.spread.unwrap();
        assert_eq!(got.n, values.len());
        for (got, expected) in [
            (got.mean, mean),
            (spread.standard_deviation, deviation),
            (spread.low, low),
            (spread.high, high),
        ] {
            assert!(close(got, expected), "{values:?}: {got} is not {expected}");
        }
    };
    check(
        &[0.5, 0.75],
        0.625,
        0.176_776_695_297,
        -0.963_275_592_022,
        2.213_275_592_022,
    );
    check(
        &[0.7, 0.72, 0.77],
        0.73,
        0.036_055_512_755,
        0.640_433_141_05,
        0.819_566_858_95,
    );
    check(
        &[1.0, 2.0, 4.0, 8.0],
        3.75,
        3.095_695_936_834,
        -1.175_943_048_23,
        8.675_943_048_23,
    );
    check(
        &[0.81, 0.79, 0.8, 0.83, 0.77, 0.8, 0.82, 0.76, 0.79, 0.81],
        0.798,
        0.021_499_353_995,
        0.782_620_288_645,
        0.813_379_711_355,
    );
}

#[test]
fn one_seed_has_no_interval_and_a_score_that_is_not_defined_does_not_count() {
    let one = over_seeds([0.75]).unwrap();
    assert_eq!((one.n, one.mean, one.spread), (1, 0.75, None));
    let two = over_seeds([0.5, f64::NAN, 0.75]).unwrap();
    assert_eq!(Some(two), over_seeds([0.5, 0.75]));
    let equal = over_seeds([0.5, 0.5, 0.5]).unwrap().spread.unwrap();
    assert_eq!((equal.low, equal.high), (0.5, 0.5));
    assert_eq!(over_seeds([]), None);
    assert_eq!(over_seeds([f64::NAN]), None);
}

#[test]
fn differences_are_taken_over_the_seeds_that_both_have() {
    let a = [(1, 0.75), (2, 0.5), (4, 1.0), (5, f64::NAN)];
    let b = [(3, 0.0), (2, 0.25), (1, 0.0), (5, 0.5)];
    assert_eq!(paired_difference(&a, &b), over_seeds([0.75, 0.25]));
    assert_eq!(paired_difference(&a, &[(9, 0.5)]), None);
    // What all scores of a seed have in common drops out of the interval.
    let shifted = [(1, 0.3), (2, 0.9), (3, 0.6)];
    let lower = shifted.map(|(seed, value)| (seed, value - 0.125));
    let spread = paired_difference(&shifted, &lower).unwrap().spread.unwrap();
    assert!(close(spread.low, 0.125) && close(spread.high, 0.125));
}

fn cell(selection: &str, fraction: &str, seed: u64, test: f64, control: f64) -> CellScore {
    let fraction: Fraction = fraction.parse().unwrap();
    let scores = |stage: &str, accuracy: f64| StageScores {
        stage: stage.to_owned(),
        metrics: vec![
            ("loss".to_owned(), 1.0 - accuracy),
            ("accuracy_score".to_owned(), accuracy),
        ],
    };
    CellScore {
        id: format!("cell{seed}"),
        selection: selection.to_owned(),
        fraction,
        seed,
        n_examples: fraction.of(100),
        stages: vec![
            scores("train", 1.0),
            scores("test", test),
            scores("control", control),
        ],
    }
}

fn metrics() -> MetricSet {
    MetricSet::new(&[MetricConfig::with_default_args("accuracy_score")])
}

/// Everything, random and two regions at a third, two seeds each.
fn grid() -> Vec<CellScore> {
    vec![
        cell("random", "0.33", 1, 0.7, 0.6),
        cell("random", "0.33", 2, 0.72, 0.58),
        cell("ambiguous", "0.33", 1, 0.75, 0.625),
        cell("ambiguous", "0.33", 2, 0.77, 0.605),
        cell("easy_to_learn", "0.33", 1, 0.5, 0.7),
        cell("easy_to_learn", "0.33", 2, 0.52, 0.5),
        cell("all", "1", 1, 0.8, 0.65),
        cell("all", "1", 2, 0.81, 0.66),
    ]
}

/// The results of these cells: the text of `results.md`, and the folder.
fn results_of(cells: &[CellScore]) -> (String, Scratch) {
    let folder = Scratch::new();
    let text = write_results(cells, &metrics(), folder.path()).unwrap();
    (text, folder)
}

fn read(folder: &Scratch, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[test]
fn tables_have_every_score_and_every_mean() {
    let (text, folder) = results_of(&grid());
    assert_eq!(text, read(&folder, "results.md"));
    let csv = read(&folder, "results.csv");
    assert_eq!(csv.lines().count(), 1 + 8 * 3 * 2);
    assert!(
        csv.contains("\nambiguous,0.33,2,33,test,accuracy_score,0.77,cell2\n"),
        "{csv}"
    );

    let summary = read(&folder, "summary.csv");
    let head = "selection,fraction,n_examples,stage,metric,n,mean,standard_deviation,low,high,\
                against_random_n,";
    assert!(summary.starts_with(head), "{summary}");
    assert_eq!(summary.lines().count(), 1 + 4 * 3 * 2);

    let json: Value = serde_json::from_str(&read(&folder, "results.json")).unwrap();
    assert_eq!(json["cells"].as_array().unwrap().len(), 8);
    let row = |selection: &str, stage: &str| {
        let mut rows = json["summary"].as_array().unwrap().iter();
        rows.find(|row| {
            row["selection"] == selection
                && row["stage"] == stage
                && row["metric"] == "accuracy_score"
        })
        .unwrap()
    };
    let ambiguous = row("ambiguous", "test");
    assert!(close(ambiguous["scores"]["mean"].as_f64().unwrap(), 0.76));
    let against = &ambiguous["against_random"];
    assert!(close(against["mean"].as_f64().unwrap(), 0.05));
    assert_eq!(against["n"], 2);
    assert!(close(
        ambiguous["against_all"]["mean"].as_f64().unwrap(),
        -0.045
    ));
    assert_eq!(row("random", "test")["against_random"], Value::Null);
    assert_eq!(row("all", "test")["against_all"], Value::Null);
    // Each cell was trained on other examples.
    for against in ["against_random", "against_all"] {
        assert_eq!(row("ambiguous", "train")[against], Value::Null);
    }
}

#[test]
fn the_best_subset_of_each_size_is_marked_and_so_are_clear_differences() {
    let (text, _folder) = results_of(&grid());
    let line = |section: &str, selection: &str| {
        let part = &text[text.find(section).unwrap_or_else(|| panic!("{text}"))..];
        let mut lines = part.lines();
        let of = |line: &&str| line.contains(&format!("| {selection} |"));
        lines.find(of).unwrap().to_owned()
    };
    let ambiguous = line("## accuracy_score", "ambiguous");
    assert!(
        ambiguous.starts_with(
            "| 33 % | ambiguous | 33 | 2 | **0.7600 \u{b1} 0.0141 [0.6329, 0.8871]** | **0.6150"
        ),
        "{ambiguous}"
    );
    // Everything is no subset, and nothing else is bold in its line or that of random subsets.
    assert!(!line("## accuracy_score", "all").contains("**"));
    assert!(!line("## accuracy_score", "random").contains("**"));
    // A small loss is a good one.
    assert!(line("## loss", "ambiguous").contains("**0.2400"));
    assert!(!line("## loss", "easy_to_learn").contains("**"));
    let difference = line("from `random`", "ambiguous");
    assert!(
        difference.contains("**+0.0500 [+0.0500, +0.0500]** | **+0.0250"),
        "{difference}"
    );
    assert!(
        line("from `random`", "easy_to_learn").contains(" +0.0100 ["),
        "{text}"
    );
    // Training and validation scores of different subsets cannot be compared.
    assert!(!text.contains("train"), "{text}");
}

#[test]
fn scores_that_no_seed_changes_are_explained() {
    let explanation = "\u{b1} 0.0000 over several seeds is";
    assert!(!results_of(&grid()).0.contains(explanation));
    let mut cells = grid();
    for seed in [1, 2] {
        cells.push(cell("hard_to_learn", "0.33", seed, 0.482, 0.5));
    }
    assert!(results_of(&cells).0.contains(explanation));
}

#[test]
fn without_test_and_control_sets_the_validation_set_is_shown_and_training_scores_are_not_compared()
{
    let mut cells = grid();
    for cell in &mut cells {
        cell.stages.truncate(1);
    }
    let (text, _folder) = results_of(&cells);
    assert!(text.contains("| seeds | train |"), "{text}");
    // A bold phrase in the legend is the only one.
    assert_eq!(text.matches("**").count(), 2, "{text}");
    for cell in &mut cells {
        let mut validation = cell.stages[0].clone();
        validation.stage = "validation".to_owned();
        cell.stages.push(validation);
    }
    let (text, _folder) = results_of(&cells);
    assert!(text.contains("| seeds | validation |"), "{text}");
}

#[test]
fn missing_cells_and_scores_are_left_empty() {
    let mut cells = grid();
    cells.remove(3);
    cells.remove(1);
    cells[0].stages[1].metrics[1].1 = f64::NAN;
    cells[1].stages.pop();
    let (text, folder) = results_of(&cells);
    assert!(
        text.contains("| 33 % | ambiguous | 33 | 1 | **0.7500** |  |"),
        "{text}"
    );
    for name in ["results.md", "results.csv", "summary.csv", "results.json"] {
        let written = read(&folder, name);
        assert!(
            !written.contains("NaN") && !written.contains("inf"),
            "{name}: {written}"
        );
    }
    assert!(folder.path().join("results_test.png").is_file());
    // Nothing at all is no reason to fail: a grid may be collected before its first cell.
    let (text, folder) = results_of(&[]);
    assert!(text.contains("0 cells"), "{text}");
    assert!(!folder.path().join("results_test.png").exists());
}

fn curves(n_lines: usize, fractions: &[f64], interval: Option<f64>) -> Curves {
    let level = |mean: f64| Level {
        mean,
        interval: interval.map(|half| (mean - half, mean + half)),
    };
    let line = |i: usize| Line {
        name: match i {
            0 => "random".to_owned(),
            i => format!("selection_number_{i}"),
        },
        kind: if i == 0 {
            LineKind::Reference
        } else {
            LineKind::Selection
        },
        points: (fractions.iter().enumerate())
            .map(|(j, fraction)| LinePoint {
                fraction: *fraction,
                level: level(0.6 + 0.03 * j as f64 + 0.011 * ((i * 7) % 5) as f64),
            })
            .collect(),
    };
    Curves {
        title: "accuracy_score on test".to_owned(),
        note: "mean over 3 seeds".to_owned(),
        metric: "accuracy_score".to_owned(),
        lines: (0..n_lines).map(line).collect(),
        whole: Some(level(0.88)),
    }
}

/// Those of the paper's code.
const FRACTIONS: [f64; 8] = [0.01, 0.05, 0.1, 0.1667, 0.25, 0.3319, 0.5, 0.75];

#[test]
fn curves_of_any_number_are_legible_pictures() {
    for n_lines in [1, 2, 5, 12, 24] {
        for fractions in [&FRACTIONS[..], &[0.33], &[0.3, 0.301, 0.302], &[1e-4, 1.0]] {
            for interval in [None, Some(0.02), Some(3.0)] {
                let svg = curves_svg(&curves(n_lines, fractions, interval)).unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert_texts_on_canvas(&svg);
                assert!(texts(&svg).contains(&"all (100 %)".to_owned()));
            }
        }
    }
    let svg = curves_svg(&curves(5, &FRACTIONS, Some(0.01))).unwrap();
    let labels = ["1", "5", "10", "16.67", "25", "33.19", "50", "75"];
    for label in labels {
        assert!(texts(&svg).contains(&label.to_owned()), "{label}");
    }
    assert_eq!(dimensions(&png(&svg, 1.0).unwrap()), (1060, 660));
    assert_eq!(svg, curves_svg(&curves(5, &FRACTIONS, Some(0.01))).unwrap());
}

#[test]
fn selections_of_one_size_stand_above_their_names_as_far_as_there_is_room() {
    let texts_of = |n_lines: usize| texts(&curves_svg(&curves(n_lines, &[0.33], None)).unwrap());
    let count = |n_lines: usize, is: &dyn Fn(&str) -> bool| {
        let found = texts_of(n_lines);
        found.iter().filter(|text| is(text)).count()
    };
    // The legend has each name once.
    assert_eq!(count(5, &|text| text == "selection_number_4"), 2);
    let is_shortened = |text: &str| text.starts_with("selection_") && text.ends_with('\u{2026}');
    assert_eq!(count(6, &is_shortened), 5);
    assert_eq!(count(12, &is_shortened), 0);
    assert_eq!(
        count(12, &|text| text
            .starts_with("selection in the legend's order, 33 %")),
        1
    );
}

#[test]
fn wide_intervals_do_not_press_the_means_together() {
    // The places of the means of the one line, from its polyline.
    let height = |interval: Option<f64>| {
        let svg = curves_svg(&curves(1, &FRACTIONS, interval)).unwrap();
        let line = svg.split("<polyline points=\"").nth(1).unwrap();
        let line = line.split('"').next().unwrap();
        let mut down = line.split(' ').map(|place| {
            let (_, y) = place.split_once(',').unwrap();
            y.parse::<f64>().unwrap()
        });
        let first = down.next().unwrap();
        first - down.next_back().unwrap()
    };
    assert!(height(None) > 200.0);
    assert!(height(Some(100.0)) > 100.0);
}

#[test]
fn curves_refuse_what_has_no_place() {
    let of = |fraction: f64, mean: f64| {
        let mut curves = curves(1, &[0.1, 0.5], None);
        curves.lines[0].points[0].fraction = fraction;
        curves.lines[0].points[0].level.mean = mean;
        curves_svg(&curves).unwrap_err().to_string()
    };
    assert!(of(0.0, 0.5).contains("`0` is no share"), "{}", of(0.0, 0.5));
    assert!(of(0.1, f64::NAN).contains("`NaN` has no place"));
    let mut none = curves(1, &[0.1], None);
    none.lines.clear();
    assert!(curves_svg(&none).is_err());
}
