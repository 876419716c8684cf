//! The command `map`: what it leaves, of one run and of several.

use std::fmt::Write;
use std::path::PathBuf;

use enginora_rs::data::Table;
use enginora_rs::dynamics::{DynamicsFormat, ExportFormat, ValueKind, export};
use enginora_rs::error::ErrorKind;
use enginora_rs::map::read_map;
use enginora_rs::pipeline::{MapCommandOptions, PlotOptions, run_map, run_plot};

use super::{PLAIN, sample};
use crate::scratch::Scratch;

#[test]
fn several_runs_give_a_map_each_and_how_much_they_agree() {
    let scratch = Scratch::new();
    let mut dynamics = sample(ValueKind::Logits, 100, 4);
    export(&dynamics, ExportFormat::Allenai, &scratch.at("a")).unwrap();
    // The same examples in another order, without the last one.
    dynamics.examples.pop();
    dynamics.examples.reverse();
    for epoch in &mut dynamics.epochs {
        epoch.truncate(3 * 99);
        *epoch = epoch.chunks_exact(3).rev().flatten().copied().collect();
    }
    export(&dynamics, ExportFormat::Csv, &scratch.at("b")).unwrap();
    dynamics.epochs = sample(ValueKind::Logits, 99, 9).epochs[5..].to_vec();
    export(&dynamics, ExportFormat::Trustai, &scratch.at("c")).unwrap();
    let options = MapCommandOptions {
        paths: ["a", "b/training_dynamics.csv", "c"]
            .map(|path| scratch.at(path))
            .to_vec(),
        format: None,
        map: PLAIN,
        plots: false,
        output: scratch.at("maps"),
    };
    run_map(&options).unwrap();
    for i in 1..=3 {
        assert!(scratch.at(&format!("maps/{i}/td_metrics.jsonl")).is_file());
    }
    let table = Table::read(&scratch.at("maps/stability.tsv")).unwrap();
    let column = |name: &str| table.reals(name).unwrap();
    assert_eq!(table.n_rows(), 3);
    assert_eq!(column("n_examples"), [99.0; 3]);
    // Run a is run b, but for one example; run c is another.
    for name in [
        "spearman_confidence",
        "spearman_variability",
        "spearman_correctness",
        "spearman_forgetfulness",
        "spearman_el2n",
        "same_hard_to_learn",
        "same_easy_to_learn",
        "same_ambiguous",
    ] {
        let values = column(name);
        assert!((values[0] - 1.0).abs() < 1e-12, "{name}: {values:?}");
        assert!(
            values[1].abs() < 0.6 && values[1..].iter().all(|x| x.is_finite()),
            "{name}: {values:?}"
        );
    }
    // What only one of two has does not correlate.
    let aum = column("spearman_aum");
    assert!(
        aum[0] > 0.999 && aum[1].is_nan() && aum[2].is_nan(),
        "{aum:?}"
    );
}

/// Two runs of two examples, whose means are plain to see.
fn two_runs(scratch: &Scratch) -> Vec<PathBuf> {
    let log = |name: &str, p: [[f64; 2]; 2]| {
        let mut rows = String::from("guid,epoch,gold,probs_0,probs_1\n");
        for (epoch, p) in p.iter().enumerate() {
            let _ = writeln!(rows, "7,{epoch},0,{},{}", p[0], 1.0 - p[0]);
            let _ = writeln!(rows, "b,{epoch},1,{},{}", 1.0 - p[1], p[1]);
        }
        scratch.write(name, rows)
    };
    vec![
        log("one.csv", [[0.75, 0.25], [0.25, 0.25]]),
        log("two.csv", [[1.0, 0.25], [1.0, 0.125]]),
    ]
}

fn map_of(paths: Vec<PathBuf>, output: PathBuf) -> MapCommandOptions {
    MapCommandOptions {
        paths,
        format: None,
        map: PLAIN,
        plots: false,
        output,
    }
}

#[test]
fn several_runs_have_a_mean_map_that_is_a_map_like_any_other() {
    let scratch = Scratch::new();
    let options = MapCommandOptions {
        plots: true,
        ..map_of(two_runs(&scratch), scratch.at("maps"))
    };
    run_map(&options).unwrap();
    let table = Table::read(&scratch.at("maps/data_map.parquet")).unwrap();
    let run = Table::read(&scratch.at("maps/1/data_map.parquet")).unwrap();
    let names: Vec<&str> = table.names().collect();
    let of_run: Vec<&str> = run.names().collect();
    assert_eq!(names[..of_run.len()], of_run);
    assert_eq!(names[of_run.len()..], ["confidence_std", "variability_std"]);
    let check = |name: &str, expected: [f64; 2]| {
        let values = table.reals(name).unwrap();
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(
            values.iter().zip(&expected).all(is_near),
            "{name}: {values:?}"
        );
    };
    assert_eq!(table.texts("guid").unwrap(), ["7", "b"]);
    assert_eq!(table.texts("label").unwrap(), ["0", "1"]);
    check("index", [0.0, 1.0]);
    // Run one: confidence 0.5 and 0.25, variability 0.25 and 0; two: 1 and 0.1875, 0 and 0.0625.
    check("confidence", [0.75, 0.21875]);
    check("variability", [0.125, 0.03125]);
    check("threshold_closeness", [0.75 * 0.25, 0.21875 * 0.78125]);
    check("correctness", [1.5, 0.0]);
    check("correct_ratio", [0.75, 0.0]);
    // Forgotten once in run one and never in run two; learnt in neither.
    check("forgetfulness", [0.5, 1000.0]);
    check(
        "confidence_std",
        [0.5 / f64::sqrt(2.0), 0.0625 / f64::sqrt(2.0)],
    );
    check(
        "variability_std",
        [0.25 / f64::sqrt(2.0), 0.0625 / f64::sqrt(2.0)],
    );

    // Equal runs do not differ at all, though (a + a + a) / 3 is not always a.
    let copies = ["copy.csv", "another.csv"].map(|name| scratch.at(name));
    for copy in &copies {
        std::fs::copy(&options.paths[1], copy).unwrap();
    }
    let three = [&options.paths[1..], &copies].concat();
    run_map(&map_of(three, scratch.at("equal"))).unwrap();
    let equal = Table::read(&scratch.at("equal/data_map.parquet")).unwrap();
    assert_eq!(equal.reals("confidence_std").unwrap(), [0.0; 2]);
    let of_run = Table::read(&scratch.at("maps/2/data_map.parquet")).unwrap();
    assert_eq!(equal.reals("el2n"), of_run.reals("el2n"));

    let metrics = std::fs::read_to_string(scratch.at("maps/td_metrics.jsonl")).unwrap();
    let first = "{\"guid\":\"7\",\"index\":0,\"threshold_closeness\":0.1875,\"confidence\":0.75,\"variability\":0.125,\"correctness\":1.5,\"forgetfulness\":0.5}";
    assert_eq!(metrics.lines().next(), Some(first));
    for name in [
        "data_map.svg",
        "data_map.png",
        "stability.svg",
        "stability.png",
    ] {
        assert!(scratch.at("maps").join(name).is_file(), "{name}");
    }
    let picture = std::fs::read_to_string(scratch.at("maps/data_map.svg")).unwrap();
    assert!(
        picture.contains(">Mean data map of 2 runs<") && picture.contains(">2 examples, 2 epochs<")
    );

    // It is drawn, and picked from, by the commands and by the selectors of a run.
    let plot = PlotOptions {
        map: scratch.at("maps"),
        output: scratch.at("picture.svg"),
        ..PlotOptions::default()
    };
    run_plot(&plot).unwrap();
    run_plot(&PlotOptions {
        color: Some("confidence_std".to_owned()),
        condition: Some("forgetfulness != never".to_owned()),
        ..plot
    })
    .unwrap();
    let map = read_map(&scratch.at("maps/data_map.parquet")).unwrap();
    assert_eq!(map.guids, ["7", "b"]);
    assert!(map.others.iter().any(|(name, _)| name == "confidence_std"));
}

#[test]
fn runs_that_cannot_be_compared_are_refused() {
    let scratch = Scratch::new();
    let runs = two_runs(&scratch);
    let check = |text: &str, expected: &str| {
        let other = scratch.write("other.csv", text);
        let error = run_map(&map_of(vec![runs[0].clone(), other], scratch.at("maps"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        let shown = scratch.shown(&error);
        assert!(shown.starts_with(expected), "{shown}");
        assert!(!scratch.at("maps").exists());
    };
    check(
        "guid,epoch,gold,probs_0,probs_1\nx,0,0,0.5,0.5\n",
        "other.csv: no example is in all runs up to this one",
    );
    check(
        "guid,epoch,gold,probs_0,probs_1\n7,0,0,0.5,0.5\nb,0,0,0.5,0.5\n",
        "other.csv: `b` has the gold label `0` here and `1` in `one.csv`\n",
    );
    // Three classes of other names stand for two.
    check(
        "guid,epoch,gold,probs_0,probs_1,probs_2\n7,0,2,0.5,0.5,0\nb,0,2,0.5,0.5,0\n",
        "other.csv: `b` has the gold label `2` here and `1` in `one.csv`, where `2` of other examples is `0`",
    );
}

/// What a `map` that fails, or another one, leaves in the folder of an earlier one.
#[test]
fn a_map_is_there_whole_or_not_at_all_and_replaces_the_one_before() {
    let scratch = Scratch::new();
    let runs = two_runs(&scratch);
    let bad = scratch.write(
        "bad.csv",
        "guid,epoch,gold,probs_0,probs_1\n7,0,0,0.5,0.6\n",
    );
    let fail = |output: &str| {
        for paths in [vec![bad.clone()], vec![runs[0].clone(), bad.clone()]] {
            run_map(&map_of(paths, scratch.at(output))).unwrap_err();
        }
    };
    fail("new/folder/of/maps");
    assert!(!scratch.at("new").exists());

    let files = || {
        let mut names = Vec::new();
        let mut folders = vec![scratch.at("maps")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                let name = path.strip_prefix(scratch.at("maps")).unwrap();
                names.push(name.display().to_string());
            }
        }
        names.sort();
        names
    };
    let tables = ["data_map.parquet", "data_map.tsv", "td_metrics.jsonl"];
    let copy = scratch.at("copy.csv");
    std::fs::copy(&runs[0], &copy).unwrap();
    let three = vec![runs[0].clone(), runs[1].clone(), copy];
    run_map(&map_of(three, scratch.at("maps"))).unwrap();
    let of_three = files();
    assert_eq!(of_three.len(), 15, "{of_three:?}");
    fail("maps");
    assert_eq!(files(), of_three);

    // The user's own files stay, whatever they are called.
    scratch.write("maps/3/notes.txt", "mine");
    scratch.write("maps/4/data_map.tsv", "mine");
    let draw = MapCommandOptions {
        plots: true,
        ..map_of(runs.clone(), scratch.at("maps"))
    };
    run_map(&draw).unwrap();
    let of_two = files();
    assert!(
        of_two.contains(&"3/notes.txt".to_owned())
            && !of_two.contains(&"3/data_map.tsv".to_owned())
    );
    assert!(
        of_two.contains(&"stability.png".to_owned())
            && of_two.contains(&"1/data_map.svg".to_owned())
    );
    run_map(&map_of(vec![runs[0].clone()], scratch.at("maps"))).unwrap();
    let expected = ["3", "3/notes.txt", "4", "4/data_map.tsv"];
    assert_eq!(files(), [&expected[..], &tables].concat());

    // Nothing that is read is written over.
    std::fs::copy(&runs[0], scratch.at("maps/data_map.tsv")).unwrap();
    let over = MapCommandOptions {
        format: Some(DynamicsFormat::Table),
        ..map_of(vec![scratch.at("maps/data_map.tsv")], scratch.at("maps"))
    };
    let error = run_map(&over).unwrap_err();
    let message = "maps/data_map.tsv: the file that is read would be written over";
    assert!(scratch.shown(&error).starts_with(message), "{error}");
}
