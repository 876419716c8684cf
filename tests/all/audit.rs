//! `audit` and label noise, as a user runs them.

use std::fs;

use serde_json::Value;

use crate::project::{LOOP, Project, tiny_project};

/// A tenth of the 36 training examples: 3.
const NOISE: [&str; 2] = ["--set", "data.label_noise={fraction: 0.1, seed: 2}"];

fn rows(project: &Project, name: &str) -> Vec<Value> {
    let lines = project.read(name);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn yaml(project: &Project, name: &str) -> Value {
    serde_yaml::from_str(&project.read(name)).unwrap()
}

#[test]
fn a_run_with_label_noise_knows_the_true_labels() {
    let project = tiny_project();
    let output = project.run(&[&LOOP[..], &NOISE].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("labels of 3 of 36 training examples were made wrong"),
        "{said}"
    );
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(summary.contains("audit out"), "{summary}");
    let map = rows(&project, "out/map.jsonl");
    let wrong: Vec<&Value> = map
        .iter()
        .filter(|row| row["label"] != row["true_label"])
        .collect();
    assert_eq!((map.len(), wrong.len()), (36, 3));
    for row in &map {
        // The file's label is the parity of the guid.
        let guid = row["guid"].as_str().unwrap();
        let number: u32 = guid.rsplit('-').next().unwrap().parse().unwrap();
        assert_eq!(row["true_label"], (number % 2).to_string(), "{guid}");
    }
    // TrustAI's mark of the mislabelled.
    project.succeed(&["map", "out", "--no-plots", "--output", "maps", "-q"]);
    let table = project.read("maps/data_map.tsv");
    let marks = table.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        (cells[0].to_owned(), cells[2].to_owned())
    });
    let marked: Vec<String> = marks
        .filter(|(_, mark)| mark == "2")
        .map(|(guid, _)| guid)
        .collect();
    let expected: Vec<&str> = wrong
        .iter()
        .map(|row| row["guid"].as_str().unwrap())
        .collect();
    assert_eq!(marked, expected);
}

#[test]
fn an_audit_ranks_every_example_and_measures_the_scores_where_the_truth_is_known() {
    let project = tiny_project();
    project.succeed(&[&LOOP[..], &NOISE].concat());
    let run = project.manifest("out/runs/0001");
    let said = project.succeed(&["audit", "out"]);
    assert!(
        said.contains("3 of 36 labels are known to be wrong: 8.33 %"),
        "{said}"
    );
    // Where a model this small suspects no label there is nothing to estimate.
    let has_suspects = !said.contains("\n0 of 36 labels are likely to be wrong");
    assert_eq!(said.contains("is not estimated"), has_suspects, "{said}");
    assert!(said.contains("combined"), "{said}");
    let table = project.read("out/audit/audit.csv");
    let header =
        "rank,guid,text,gold,suggested,true_label,likely_error,combined,confident_learning,";
    assert!(table.starts_with(header), "{table}");
    assert_eq!(table.lines().count(), 37);
    let summary = yaml(&project, "out/audit/audit.yaml");
    assert_eq!(summary["n_examples"], 36);
    assert_eq!(summary["true_labels"]["n_wrong"], 3);
    assert_eq!(summary["threshold"]["expected_precision"], Value::Null);
    let combined = &summary["true_labels"]["scores"]["combined"];
    assert!(combined["average_precision"].as_f64().unwrap() > 0.0833);
    assert!(project.path().join("out/audit/audit.svg").exists());
    assert_eq!(
        run,
        project.manifest("out/runs/0001"),
        "the run does not change"
    );
    // The run itself, and another folder for what is found: the same bytes.
    project.succeed(&["audit", "out/runs/0001", "--output", "other"]);
    assert_eq!(table, project.read("other/audit.csv"));
}

#[test]
fn folds_are_trained_once() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let arguments = ["audit", "out", "--folds", "3"];
    project.succeed(&arguments);
    let first = project.read("out/audit/audit.csv");
    assert!(
        first.starts_with("rank,guid,text,gold,suggested,likely_error,combined,"),
        "{first}"
    );
    assert!(
        first
            .lines()
            .next()
            .unwrap()
            .contains("held_out_confidence")
    );
    assert_eq!(yaml(&project, "out/audit/audit.yaml")["n_folds"], 3);
    let folds: Vec<_> = fs::read_dir(project.path().join("out/audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    let [folds] = &folds[..] else {
        panic!("{folds:?}");
    };
    assert!(folds.join("held_out.parquet").exists());
    for fold in ["1", "2", "3"] {
        assert!(folds.join(fold).join("manifest.json").exists());
    }
    // One that was cut short is trained again, and nothing else is.
    fs::remove_file(folds.join("2/manifest.json")).unwrap();
    let again = project.run(&arguments);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.contains("fold 1 of 3: kept") && said.contains("fold 3 of 3: kept"),
        "{said}"
    );
    assert!(
        said.contains("fold 2 of 3: training on 24 examples"),
        "{said}"
    );
    assert_eq!(first, project.read("out/audit/audit.csv"));
}

#[test]
fn the_expected_precision_is_estimated_with_labels_made_wrong() {
    let project = tiny_project();
    project.succeed(&[&LOOP[..], &NOISE].concat());
    project.succeed(&["audit", "out", "--calibrate"]);
    let summary = yaml(&project, "out/audit/audit.yaml");
    if summary["confident_learning"]["n_likely_errors"] != 0 {
        let precision = summary["threshold"]["expected_precision"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&precision));
    }
}

#[test]
fn a_page_shows_the_audit_of_its_own_run_alone() {
    let project = tiny_project();
    project.succeed(&[&LOOP[..], &NOISE].concat());
    project.succeed(&["audit", "out"]);
    let left_out = |expected: bool| {
        let output = project.run(&["report", "out"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let warning = "audit.csv is an audit of another run and left out";
        assert_eq!(said.contains(warning), expected, "{said}");
    };
    left_out(false);
    // Without noise.
    project.succeed(&LOOP);
    left_out(true);
    project.succeed(&["audit", "out"]);
    left_out(false);
}

#[test]
fn what_cannot_be_audited_is_said() {
    let project = tiny_project();
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = project.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    check(&["audit", "out"], 66, "out: no such folder");
    fs::create_dir(project.path().join("out")).unwrap();
    check(
        &["audit", "out"],
        66,
        "there are no training dynamics in this folder",
    );
    check(&["audit", "train.csv"], 66, "train.csv: not a folder");
    project.succeed(&LOOP);
    check(&["audit", "out", "--folds", "1"], 2, "1 is not in");
    check(
        &["audit", "out", "--folds", "37"],
        2,
        "37 folds of 36 examples",
    );
    check(
        &["audit", "out", "--folds", "2", "--calibrate"],
        2,
        "cannot be used with",
    );
    let other = project.read("train.csv").replacen(",0\n", ",1\n", 20);
    project.write("train.csv", &other);
    check(
        &["audit", "out"],
        65,
        "no longer what the run was trained on",
    );
}
