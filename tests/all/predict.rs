//! A finished model on new texts: `predict` and `evaluate`.

use enginora_rs::data::Table;
use serde_json::Value;

use crate::project::{LOOP, Project, tiny_project};

/// A project with a finished run.
fn trained_project() -> Project {
    let project = tiny_project();
    project.succeed(&[&LOOP[..], &["--set", "training.epochs=2"]].concat());
    project
}

/// The columns `guid`, `prediction` and `probability` of a CSV table.
fn predictions(csv: &str) -> Vec<(String, String, String)> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let columns = [at("guid"), at("prediction"), at("probability")];
    let rows = reader.records().map(|row| row.unwrap());
    rows.map(|row| {
        let [guid, prediction, probability] = columns.map(|column| row[column].to_owned());
        (guid, prediction, probability)
    })
    .collect()
}

#[test]
fn a_run_predicts_what_it_predicted_when_it_was_made_whatever_folder_names_it() {
    let project = trained_project();
    let expected = predictions(&project.read("out/predictions_test.csv"));
    for model in [
        "out",
        "out/runs/0001",
        "out/best_model",
        "out/runs/0001/best_model",
    ] {
        let said = project.succeed(&["predict", model, "--data", "test.csv"]);
        assert_eq!(predictions(&said), expected, "{model}");
        assert!(!said.lines().next().unwrap().contains("label"), "{said}");
    }
}

#[test]
fn texts_need_no_labels_in_any_format() {
    let project = trained_project();
    let said = project.succeed(&["predict", "out", "--text", "the film was dull"]);
    let expected = predictions(&said);
    assert_eq!(expected.len(), 1);
    project.write("plain.txt", "the film was dull\n");
    project.write("named.csv", "text\nthe film was dull\n");
    project.write("ids.tsv", "id\ttext\n0\tthe film was dull\n");
    project.write("objects.jsonl", "{\"text\": \"the film was dull\"}\n");
    project.write(
        "labelled.csv",
        "id,text,label\n0,the film was dull,of another kind\n",
    );
    for data in [
        "plain.txt",
        "named.csv",
        "ids.tsv",
        "objects.jsonl",
        "labelled.csv",
    ] {
        let said = project.succeed(&["predict", "out", "--data", data]);
        assert_eq!(predictions(&said), expected, "{data}");
    }
    // Lines of text are taken as they are, and so are files that look like the training set's.
    project.write(
        "lines.txt",
        "the \"film\" was dull, I think\n\na moving film\n",
    );
    let said = project.succeed(&["predict", "out", "--data", "lines.txt"]);
    assert_eq!(predictions(&said).len(), 3);
    let alone = project.succeed(&["predict", "out", "--text", "the \"film\" was dull, I think"]);
    assert_eq!(predictions(&said)[0], predictions(&alone)[0]);
    project.write("table.txt", "id,text,label\n0,the film was dull,0\n");
    let said = project.succeed(&["predict", "out", "--data", "table.txt"]);
    assert_eq!(predictions(&said), expected);
    project.write("other.csv", "body\nthe film was dull\n");
    let named = ["--data", "other.csv", "--text-column", "body"];
    let said = project.succeed(&[&["predict", "out"][..], &named].concat());
    assert_eq!(predictions(&said), expected);
    for output in ["p.jsonl", "p.parquet", "p.tsv", "p.csv"] {
        project.succeed(&["predict", "out", "--data", "plain.txt", "--output", output]);
        let table = Table::read(&project.path().join(output)).unwrap();
        assert_eq!(
            table.texts("prediction").unwrap(),
            [expected[0].1.clone()],
            "{output}"
        );
        let probability: f64 = expected[0].2.parse().unwrap();
        assert!((table.reals("probability").unwrap()[0] - probability).abs() < 1e-12);
    }
}

#[test]
fn evaluation_gives_the_numbers_of_the_run_and_others_on_request() {
    let project = trained_project();
    let of_run: Value = serde_yaml::from_str(&project.read("out/metrics.yaml")).unwrap();
    let said = project.succeed(&["evaluate", "out", "--data", "test.csv"]);
    let measured: Value = serde_yaml::from_str(&said).unwrap();
    assert_eq!(measured["n_examples"], 10);
    for name in [
        "loss",
        "accuracy_score",
        "balanced_accuracy_score",
        "f1_score",
    ] {
        assert_eq!(measured[name], of_run["test"][name], "{name}");
    }
    let arguments = [
        "evaluate",
        "out",
        "--data",
        "test.csv",
        "--metric",
        "matthews_corrcoef",
    ];
    let said = project.succeed(&arguments);
    assert!(said.contains("matthews_corrcoef: "), "{said}");
    assert!(!said.contains("f1_score"), "{said}");
}

#[test]
fn what_cannot_be_predicted_is_refused_before_anything_is_computed() {
    let project = trained_project();
    project.write("strange.csv", "text,label\nthe film was dull,3\n");
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = project.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(
        &["predict", "nowhere", "--text", "a"],
        66,
        "nowhere: there is no such folder",
    );
    check(
        &["predict", ".", "--text", "a"],
        66,
        "neither a run nor a model folder",
    );
    check(&["predict", "out"], 2, "--data");
    check(
        &["predict", "out", "--data", "missing.csv"],
        66,
        "missing.csv",
    );
    check(
        &["predict", "out", "--text", "a", "--output", "p.xlsx"],
        65,
        "`.xlsx` is no table; allowed: .parquet",
    );
    check(
        &["evaluate", "out", "--data", "strange.csv"],
        65,
        "the label `3` is none that the model knows",
    );
    check(
        &["evaluate", "out", "--data", "test.csv", "--metric", "f1"],
        2,
        "`f1`",
    );
}
