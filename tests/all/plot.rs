//! The command `plot` and its pictures.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use enginora_rs::data::Table;
use enginora_rs::error::{ErrorKind, Result};
use enginora_rs::pipeline::{PlotOptions, run_plot};
use enginora_rs::report::groups::categories;
use enginora_rs::report::scatter::{Colour, Scatter, Signal, scatter_svg};
use resvg::usvg::roxmltree::{Document, Node};

use crate::report::{assert_texts_on_canvas, dimensions, texts};
use crate::scratch::Scratch;

/// A map of `n` examples over 5 epochs with three labels, the same at every call.
fn map(n: usize) -> Vec<String> {
    let mut state = 7u64;
    let mut uniform = || {
        state = state * 48_271 % 0x7fff_ffff;
        state as f64 / 2_147_483_647.0
    };
    let row = |i: usize| {
        let confidence = uniform();
        let variability = uniform() * (confidence * (1.0 - confidence)).sqrt();
        let correctness = (confidence * 5.0).round();
        let forgetfulness = if correctness == 0.0 { 1000 } else { i % 4 };
        let label = ["neg", "pos", "mid"][i % 3];
        let aum = 20.0 * confidence - 12.5;
        format!(
            "g{i},{i},{label},{confidence},{variability},{correctness},{},{forgetfulness},{aum}",
            correctness / 5.0
        )
    };
    (0..n).map(row).collect()
}

const HEADER: &str =
    "guid,index,label,confidence,variability,correctness,correct_ratio,forgetfulness,aum";

/// A folder with the map of `n` examples as `map.csv`.
fn folder(n: usize) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("map.csv", format!("{HEADER}\n{}\n", map(n).join("\n")));
    scratch
}

/// Plots with options like those of the command line, and reads the picture.
fn plot(scratch: &Scratch, map: &str, options: &[&str]) -> Result<String> {
    let output = scratch.at("picture.svg");
    run_plot(&plot_options(&scratch.at(map), options, &output))?;
    Ok(std::fs::read_to_string(output).unwrap())
}

fn plot_options(map: &Path, options: &[&str], output: &Path) -> PlotOptions {
    let value = |name: &str| {
        let at = options.iter().position(|option| *option == name)?;
        Some(options[at + 1].to_owned())
    };
    PlotOptions {
        map: map.to_owned(),
        x: value("--x"),
        y: value("--y"),
        color: value("--color"),
        condition: value("--where"),
        output: output.to_owned(),
    }
}

/// The legend's texts: heading, names, numbers.
fn legend(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let legend = document
        .descendants()
        .find(|node| node.attribute("class") == Some("legend"))
        .unwrap();
    let texts = legend
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    texts
        .map(|node| node.text().unwrap_or_default().to_owned())
        .collect()
}

/// How many markers there are in this colour.
fn n_markers(svg: &str, colour: &str) -> usize {
    let document = Document::parse(svg).unwrap();
    let is_of_colour = |node: &Node<'_, '_>| {
        node.attribute("fill") == Some(colour) || node.attribute("stroke") == Some(colour)
    };
    let groups = document
        .descendants()
        .filter(|node| node.has_tag_name("g") && is_of_colour(node));
    groups
        .map(|group| group.children().filter(Node::is_element).count())
        .sum()
}

#[test]
fn without_options_it_is_the_papers_figure() {
    let scratch = folder(300);
    let svg = plot(&scratch, "map.csv", &[]).unwrap();
    let texts = texts(&svg);
    for expected in ["easy-to-learn", "ambiguous", "300 examples, 5 epochs"] {
        assert!(texts.contains(&expected.to_owned()), "{expected}");
    }
    let asked = [
        "--x",
        "variability",
        "--y",
        "confidence",
        "--color",
        "correctness",
    ];
    assert_eq!(plot(&scratch, "map.csv", &asked).unwrap(), svg);
}

#[test]
fn the_number_of_epochs_comes_from_the_map() {
    let check = |header: &str, rows: &str, expected: &str| {
        let scratch = Scratch::new();
        let table = format!("guid,variability,confidence,{header}\n{rows}");
        scratch.write("map.csv", table);
        let svg = plot(&scratch, "map.csv", &[]).unwrap();
        assert!(texts(&svg).contains(&expected.to_owned()), "{header}");
    };
    check("correctness", "a,.1,1,3\nb,0,0,0\n", "2 examples, 3 epochs");
    check(
        "correctness",
        "a,0,1,0\n",
        "1 example, 1 epoch  \u{b7}  variability is 0 throughout",
    );
    // The most often right example was right in 4 of 10 epochs.
    check(
        "correctness,correct_ratio",
        "a,.1,1,1,.1\nb,0,0,4,0.4\n",
        "2 examples, 10 epochs",
    );
    // A condition does not change it.
    let scratch = folder(100);
    let svg = plot(&scratch, "map.csv", &["--where", "correctness<=1"]).unwrap();
    assert!(texts(&svg).iter().any(|text| text.ends_with(" 5 epochs")));
}

#[test]
fn any_two_signals_are_the_axes_and_any_third_the_colour() {
    let scratch = folder(300);
    let options = [
        "--x",
        "aum",
        "--y",
        "forgetfulness",
        "--color",
        "variability",
    ];
    let svg = plot(&scratch, "map.csv", &options).unwrap();
    let texts = texts(&svg);
    let x_ticks = ["-15", "-10", "-5", "0", "5", "10"];
    assert_eq!(&texts[..6], x_ticks);
    // Whole numbers have whole ticks, and what was never learnt a place of its own.
    assert_eq!(&texts[6..11], ["0", "1", "2", "3", "never learnt"]);
    let titles = ["aum", "forgetfulness (markers are spread by up to 0.3)"];
    assert_eq!(&texts[11..13], titles);
    assert!(texts.contains(&"300 examples".to_owned()));
    let legend = legend(&svg);
    assert_eq!(legend[0], "variability");
    assert_eq!(&legend[1..4], ["0.0", "0.1", "0.2"]);
    assert_texts_on_canvas(&svg);
}

#[test]
fn categories_have_a_colour_and_a_count_each() {
    let scratch = folder(300);
    let svg = plot(&scratch, "map.csv", &["--color", "label"]).unwrap();
    assert_eq!(
        legend(&svg),
        ["label", "mid", "neg", "pos", "100", "100", "100"]
    );
    for colour in ["#0072b2", "#e69f00", "#009e73"] {
        assert_eq!(n_markers(&svg, colour), 100, "{colour}");
    }
    // A condition takes categories away, and the others keep their colours.
    let options = ["--color", "label", "--where", "label != 'mid'"];
    let svg = plot(&scratch, "map.csv", &options).unwrap();
    assert_eq!(legend(&svg), ["label", "neg", "pos", "100", "100"]);
    assert_eq!(n_markers(&svg, "#0072b2"), 0);
    assert_eq!(n_markers(&svg, "#009e73"), 100);
    let title = "Data map of map.csv, only label != 'mid'";
    assert!(texts(&svg).contains(&title.to_owned()));
}

#[test]
fn of_many_categories_the_largest_seven_are_told_apart() {
    let check = |values: &[&str], expected: &[&str]| {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let groups = categories(&values);
        let names: Vec<&str> = groups.groups.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, expected);
        assert!(groups.of.iter().all(|group| *group < names.len()));
    };
    check(&["b", "a", "b"], &["a", "b"]);
    check(&["10", "9", "-1", ""], &["(none)", "-1", "9", "10"]);
    check(&["10", "9", "x"], &["10", "9", "x"]);
    check(
        &["h", "g", "f", "e", "d", "c", "b", "a"],
        &["a", "b", "c", "d", "e", "f", "g", "h"],
    );
    check(
        &["i", "i", "h", "h", "g", "f", "e", "d", "c", "b", "a"],
        &["a", "b", "c", "d", "e", "h", "i", "2 others"],
    );
}

/// A map with `TrustAI`'s columns: never, sometimes and always right, and forgotten 1 to 4 times.
const TRUSTAI: &str = "id\tlabel\ts_label\tcorrect_times\tcorrect_ratio\tavg_probs\tlabel_var\tforgetting_times\tlearnt_times\tpred_label
0\t1\t0\t0\t0.0\t0.1\t0.01\t0\t0\t[0, 0]
1\t1\t2\t4\t0.4\t0.4\t0.02\t0\t1\t[0, 1]
2\t1\t0\t10\t1.0\t0.9\t0.03\t0\t0\t[1, 1]
3\t0\t1\t5\t0.5\t0.5\t0.04\t1\t2\t[0, 1]
4\t0\t2\t5\t0.5\t0.6\t0.05\t2\t2\t[0, 1]
5\t0\t0\t5\t0.5\t0.7\t0.06\t3\t2\t[0, 1]
6\t0\t0\t5\t0.5\t0.8\t0.07\t4\t3\t[0, 1]
";

#[test]
fn trustais_pictures_come_from_its_own_columns() {
    let scratch = Scratch::new();
    scratch.write("map.tsv", TRUSTAI);
    let check = |options: &[&str], expected: &[&str]| {
        let svg = plot(&scratch, "map.tsv", options).unwrap();
        assert_eq!(legend(&svg), expected, "{options:?}");
        let texts = texts(&svg);
        assert!(texts.contains(&"label_var".to_owned()) && texts.contains(&"avg_probs".to_owned()));
    };
    check(
        &[],
        &[
            "correct_ratio",
            "fraction of epochs, nearest 0.2",
            "0.0",
            "0.2",
            "0.4",
            "0.6",
            "0.8",
            "1.0",
            "1",
            "0",
            "1",
            "4",
            "0",
            "1",
        ],
    );
    check(
        &["--color", "forgetting_times"],
        &[
            "forgetting_times",
            "never right",
            "0, sometimes right",
            "0, always right",
            "1",
            "2",
            "3 or more",
            "1",
            "1",
            "1",
            "1",
            "1",
            "2",
        ],
    );
    check(
        &[
            "--color",
            "forgetting_times",
            "--where",
            "forgetting_times>=1",
        ],
        &["forgetting_times", "1", "2", "3 or more", "1", "1", "2"],
    );
    check(
        &["--color", "learnt_times"],
        &[
            "learnt_times",
            "never right",
            "0, always right",
            "1",
            "2",
            "3 or more",
            "1",
            "1",
            "1",
            "3",
            "1",
        ],
    );
    check(
        &["--color", "s_label"],
        &["s_label", "2, mislabelled", "others", "2", "5"],
    );
}

#[test]
fn mislabelled_examples_lie_on_top() {
    let scratch = Scratch::new();
    scratch.write("map.tsv", TRUSTAI);
    let svg = plot(&scratch, "map.tsv", &["--color", "s_label"]).unwrap();
    let (others, dirty) = (svg.find("#8fb3d1").unwrap(), svg.find("#d55e00").unwrap());
    assert!(others < dirty);
    assert_eq!(n_markers(&svg, "#d55e00"), 2);
    // Also above hexagons.
    let mut rows = String::from("variability,confidence,s_label\n");
    for i in 0..30_000 {
        let mark = if i % 1000 == 0 { 2 } else { i % 2 };
        let _ = writeln!(rows, "{},{},{mark}", f64::from(i) / 1e5, 0.5);
    }
    scratch.write("large.csv", rows);
    let svg = plot(&scratch, "large.csv", &["--color", "s_label"]).unwrap();
    assert!(svg.find("#8fb3d1").unwrap() < svg.find("#d55e00").unwrap());
    assert_eq!(n_markers(&svg, "#d55e00"), 30);
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    for n in [400, 26_000] {
        let scratch = folder(n);
        let mut rows = map(n);
        rows.reverse();
        rows.rotate_left(n / 3);
        scratch.write("other.csv", format!("{HEADER}\n{}\n", rows.join("\n")));
        // Without an index the order of what is drawn decides.
        let without = |rows: &[String]| {
            let cut = |row: &String| {
                let mut cells: Vec<&str> = row.split(',').collect();
                cells.remove(1);
                cells.join(",")
            };
            let rows: Vec<String> = rows.iter().map(cut).collect();
            format!("{}\n{}\n", HEADER.replace("index,", ""), rows.join("\n"))
        };
        scratch.write("a/map.csv", without(&map(n)));
        scratch.write("b/map.csv", without(&rows));
        for options in [
            &[][..],
            &["--color", "label"],
            &["--color", "aum"],
            &["--x", "aum", "--color", "forgetfulness"],
            &["--x", "aum", "--where", "label='neg'"],
            &["--color", "count"],
        ] {
            let one = plot(&scratch, "map.csv", options).unwrap();
            let two = plot(&scratch, "other.csv", options).unwrap();
            assert!(one == two.replace("other.csv", "map.csv"), "{options:?}");
            let one = plot(&scratch, "a/map.csv", options).unwrap();
            assert!(
                one == plot(&scratch, "b/map.csv", options).unwrap(),
                "{options:?}"
            );
        }
    }
}

#[test]
fn large_sets_become_hexagons_whatever_the_colours_show() {
    let scratch = folder(25_001);
    for color in ["label", "aum", "count", "forgetfulness", "correctness"] {
        let svg = plot(&scratch, "map.csv", &["--x", "aum", "--color", color]).unwrap();
        assert!(svg.len() < 400_000, "{color}: {} bytes", svg.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{color}");
        assert_texts_on_canvas(&svg);
    }
    let scratch = folder(50);
    let svg = plot(&scratch, "map.csv", &["--color", "count"]).unwrap();
    assert_eq!(legend(&svg)[0], "examples per hexagon");
}

/// The places of the markers, across and up: where their paths begin.
fn places(svg: &str) -> Vec<(String, String)> {
    let cloud = &svg[..svg.find("class=\"legend\"").unwrap_or(svg.len())];
    let paths = cloud.split(" d=\"M").skip(1);
    let place = |path: &str| {
        let numbers = path.split(['a', 'l', 'h', 'L', 'v']).next()?;
        let (x, y) = numbers.split_once(' ')?;
        Some((x.to_owned(), y.to_owned()))
    };
    paths.filter_map(place).collect()
}

#[test]
fn whole_numbers_are_spread_so_that_examples_do_not_hide_one_another() {
    let scratch = Scratch::new();
    let mut rows =
        String::from("guid,confidence,variability,correctness,learnt_times,forgetfulness,index\n");
    for i in 0..200 {
        let forgetfulness = [0, 1, 2, 1000][i % 4];
        let _ = writeln!(rows, "g{i},0.5,0.1,{},{},{forgetfulness},{i}", i % 3, i % 2);
    }
    scratch.write("map.csv", rows);
    let spread = |name: &str| format!("{name} (markers are spread by up to 0.3)");
    let options = ["--x", "forgetfulness", "--y", "learnt_times"];
    let svg = plot(&scratch, "map.csv", &options).unwrap();
    let said = texts(&svg);
    assert!(said.contains(&spread("forgetfulness")) && said.contains(&spread("learnt_times")));
    let all = places(&svg);
    let distinct: BTreeSet<&(String, String)> = all.iter().collect();
    // Rounded to tenths of pixels, hardly any two of 200 fall together.
    assert!(distinct.len() > 190, "{} of {}", distinct.len(), all.len());
    assert_eq!(plot(&scratch, "map.csv", &options).unwrap(), svg);
    // So are means of a few whole numbers, as in a mean map; never as far as the next one.
    let thirds: Vec<f64> = (0..60).map(|i| f64::from(i % 6) / 3.0).collect();
    let svg = scatter(&thirds, &thirds, Colour::Plain);
    let said = texts(&svg);
    assert_eq!(
        said.iter()
            .filter(|text| *text == "x (markers are spread by up to 0.1)")
            .count(),
        1
    );
    assert_texts_on_canvas(&svg);
    // Signals with other values stay where they are, and so do numbers of a wide range.
    let svg = plot(&scratch, "map.csv", &["--x", "index", "--y", "confidence"]).unwrap();
    assert!(!svg.contains("spread"));
    let svg = plot(
        &scratch,
        "map.csv",
        &[
            "--x",
            "correctness",
            "--y",
            "learnt_times",
            "--color",
            "count",
        ],
    );
    assert!(
        !svg.unwrap().contains("spread"),
        "hexagons show how many there are"
    );
}

#[test]
fn infinite_values_have_a_strip_of_their_own() {
    let svg = scatter(
        &[0.5, 1.5, f64::INFINITY, f64::INFINITY],
        &[0.1, 0.2, 0.3, 0.3],
        Colour::Plain,
    );
    assert!(texts(&svg).contains(&"infinite".to_owned()));
    assert_texts_on_canvas(&svg);
    let x: Vec<f64> = places(&svg)
        .iter()
        .map(|(x, _)| x.parse().unwrap())
        .collect();
    let (finite, infinite) = x[x.len() - 4..].split_at(2);
    assert!(
        finite.iter().all(|x| *x < infinite[0] && *x < infinite[1]),
        "{x:?}"
    );
    assert!((infinite[0] - infinite[1]).abs() > 1.0);
    let none = scatter(&[f64::INFINITY], &[f64::INFINITY], Colour::Plain);
    assert!(!none.contains("NaN") && !none.contains("inf\""));
    assert_texts_on_canvas(&none);
}

fn scatter(x: &[f64], y: &[f64], colour: Colour) -> String {
    let signal = |name: &str, values: &[f64]| Signal {
        name: name.to_owned(),
        values: values.to_vec(),
    };
    scatter_svg(&Scatter {
        title: "t".to_owned(),
        note: String::new(),
        x: signal("x", x),
        y: signal("y", y),
        colour,
    })
    .unwrap()
}

#[test]
fn axes_have_round_ticks_for_any_range() {
    let check = |values: &[f64], expected: &[&str]| {
        let svg = scatter(values, &vec![0.5; values.len()], Colour::Plain);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}");
        assert_texts_on_canvas(&svg);
        assert_eq!(&texts(&svg)[..expected.len()], expected, "{values:?}");
        let up = scatter(&vec![0.5; values.len()], values, Colour::Plain);
        assert_texts_on_canvas(&up);
        let color = Signal {
            name: "z".to_owned(),
            values: values.to_vec(),
        };
        let coloured = scatter(values, values, Colour::Signal(color));
        assert_texts_on_canvas(&coloured);
    };
    check(&[-7.3, 12.9], &["-10", "-5", "0", "5", "10", "15"]);
    check(
        &[-0.31, -0.12],
        &["-0.35", "-0.30", "-0.25", "-0.20", "-0.15", "-0.10"],
    );
    check(&[0.0, 6.0], &["0", "1", "2", "3", "4", "5", "6"]);
    check(&[-1.0, 1.0], &["-1", "0", "1"]);
    check(&[3.0, 3.0], &["2", "3", "4"]);
    check(&[0.0], &["-1", "0", "1"]);
    check(&[-4.25], &["-7", "-6", "-5", "-4", "-3", "-2"]);
    check(&[1e-300, -1e-300], &["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
    check(
        &[1e-9, 3e-9],
        &["1.0e-9", "1.5e-9", "2.0e-9", "2.5e-9", "3.0e-9"],
    );
    check(&[0.0, 2e12], &["0", "5e11", "1.0e12", "1.5e12", "2.0e12"]);
    check(
        &[-45_000.0, 20_000.0],
        &["-60k", "-40k", "-20k", "0", "20k"],
    );
    check(&[f64::MIN, f64::MAX], &[]);
    check(&[f64::MIN_POSITIVE, 5e-324], &[]);
    check(&[1e15, 1e15 + 1.0], &[]);
    check(&[123_456.701, 123_456.702], &[]);
}

#[test]
fn values_that_are_missing_have_a_colour_of_their_own() {
    let color = Signal {
        name: "z".to_owned(),
        values: vec![1.0, f64::NAN, f64::INFINITY, 2.0],
    };
    let svg = scatter(&[0.0, 1.0, 2.0, 3.0], &[0.0; 4], Colour::Signal(color));
    let legend = legend(&svg);
    let end = ["infinite", "1", "no value", "1"];
    assert_eq!(&legend[legend.len() - 4..], end);
    // The infinite one has the colour of the largest values.
    assert_eq!(svg.matches("fill=\"#440154\" d=").count(), 2);
    let color = Signal {
        name: "z".to_owned(),
        values: vec![f64::NAN],
    };
    let svg = scatter(&[0.0], &[0.0], Colour::Signal(color));
    assert!(!svg.contains("NaN"));
}

#[test]
fn long_and_foreign_names_fit() {
    let long = "W".repeat(300);
    let labels = [
        long.as_str(),
        "日本語 (ja)",
        "Łódź",
        "позитивный",
        "a <b> & \"c\"",
        "",
        "ngữ",
    ];
    let mut rows = format!("confidence,variability,{long},label\n");
    for (i, label) in labels.iter().enumerate() {
        let quoted = label.replace('"', "\"\"");
        let _ = writeln!(rows, "0.{i},0.{i},1e{i},\"{quoted}\"");
    }
    let scratch = Scratch::new();
    scratch.write("map.csv", rows);
    for options in [
        &["--color", "label"][..],
        &["--color", "label", "--x", &long, "--y", &long],
        &["--color", &long],
    ] {
        let svg = plot(&scratch, "map.csv", options).unwrap();
        assert_texts_on_canvas(&svg);
        let output = scratch.at("picture.PNG");
        run_plot(&plot_options(&scratch.at("map.csv"), options, &output)).unwrap();
        assert_eq!(dimensions(&std::fs::read(output).unwrap()), (2120, 1320));
    }
    let svg = plot(&scratch, "map.csv", &["--color", "label"]).unwrap();
    let names: BTreeSet<String> = legend(&svg).into_iter().collect();
    for expected in [
        "日本語 (ja)",
        "позитивный",
        "a <b> & \"c\"",
        "(none)",
        "ngữ",
    ] {
        assert!(names.contains(expected), "{expected}: {names:?}");
    }
}

#[test]
fn what_cannot_be_plotted_is_said() {
    let scratch = folder(20);
    scratch.write("empty.csv", format!("{HEADER}\n"));
    scratch.write("others.csv", "a,b\n1,2\n");
    scratch.write("holes.csv", "confidence,variability\n0.5,\n,0.2\n");
    scratch.write(
        "wrong.csv",
        "confidence,variability,correctness\n0.5,0.1,-2.5\n",
    );
    std::fs::create_dir(scratch.at("folder")).unwrap();
    let check = |map: &str, options: &[&str], kind: ErrorKind, expected: &str| {
        let error = plot(&scratch, map, options).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let said = scratch.shown(&error);
        assert!(said.contains(expected), "{said}");
    };
    let usage = ErrorKind::Usage;
    let no_column = "`--x confidense`: the map has no such column\n  hint: is `confidence` meant? the columns are guid, index,";
    check("map.csv", &["--x", "confidense"], usage, no_column);
    check(
        "map.csv",
        &["--y", "label"],
        usage,
        "does not hold numbers, `neg` of row 1",
    );
    check(
        "map.csv",
        &["--color", "nothing"],
        usage,
        "`--color nothing`: the map has no such column",
    );
    check(
        "map.csv",
        &["--color", "guid"],
        usage,
        "no two examples have the same",
    );
    check(
        "map.csv",
        &["--where", "x>"],
        usage,
        "the condition cannot be used",
    );
    check(
        "map.csv",
        &["--where", "confidence>2"],
        ErrorKind::Data,
        "no example fulfils the condition",
    );
    check("empty.csv", &[], ErrorKind::Data, "the map has no examples");
    check(
        "holes.csv",
        &[],
        ErrorKind::Data,
        "no example has values on both axes",
    );
    check(
        "wrong.csv",
        &[],
        ErrorKind::Data,
        "`correctness` of row 1 is `-2.5`",
    );
    check(
        "others.csv",
        &[],
        ErrorKind::Data,
        "no column variability or label_var",
    );
    check(
        "missing.csv",
        &[],
        ErrorKind::MissingInput,
        "missing.csv: cannot read",
    );
    check(
        "folder",
        &[],
        ErrorKind::MissingInput,
        "no data map in this folder; looked for",
    );
    let output = PathBuf::from("map.pdf");
    let error = run_plot(&plot_options(&scratch.at("map.csv"), &[], &output)).unwrap_err();
    assert!(error.to_string().contains("allowed: .svg, .png"), "{error}");
}

#[test]
fn a_folder_with_a_map_is_a_map() {
    let scratch = folder(20);
    let expected = plot(&scratch, "map.csv", &[]).unwrap();
    let table = std::fs::read_to_string(scratch.at("map.csv")).unwrap();
    let rows = Table::read(&scratch.at("map.csv")).unwrap();
    rows.write(&scratch.at("of_map/td_metrics.jsonl")).unwrap();
    let got = plot(&scratch, "of_map", &[]).unwrap();
    assert!(got.replace("td_metrics.jsonl", "map.csv") == expected);
    // A run's picture says what its training file is.
    let config = "training: {dataset_path: data/map.csv, data_cartography_results: points.csv}\n";
    scratch.write("run/config.resolved.yaml", config);
    scratch.write("run/points.csv", &table);
    assert!(plot(&scratch, "run", &[]).unwrap() == expected);
    scratch.write("run/other.csv", &table);
    let got = plot(&scratch, "run/other.csv", &[]).unwrap();
    assert!(got.replace("other.csv", "map.csv") == expected);
}

#[test]
fn groups_of_similar_size_are_mixed_and_rare_ones_lie_above() {
    let scratch = Scratch::new();
    let mut rows = String::from("confidence,variability,label\n");
    for i in 0..400 {
        let label = ["a", "b", "a", if i < 40 { "rare" } else { "b" }][i % 4];
        let _ = writeln!(rows, "0.5,0.{i:03},{label}");
    }
    scratch.write("map.csv", rows);
    let svg = plot(&scratch, "map.csv", &["--color", "label"]).unwrap();
    let cloud = &svg[..svg.find("class=\"legend\"").unwrap()];
    let [a, b, rare] = ["#0072b2", "#e69f00", "#009e73"];
    assert!(cloud.find(a) < cloud.find(b) && cloud.find(b) < cloud.rfind(a));
    assert!(cloud.rfind(a) < cloud.find(rare) && cloud.rfind(b) < cloud.find(rare));
    assert_eq!((n_markers(&svg, a), n_markers(&svg, rare)), (200, 10));
}
