//! Multiple choice as a user has it: options in columns, a blank in the text.

use std::fmt::Write;
use std::path::Path;

use enginora_rs::config::DataConfig;
use enginora_rs::data::{read_evaluation, read_training};

use crate::project::{CONFIG, LOOP, Project};
use crate::scratch::Scratch;

fn columns(options: &[&str], blank: Option<&str>) -> DataConfig {
    let options: Vec<String> = options.iter().map(|&name| name.to_owned()).collect();
    DataConfig {
        extra_columns: options.clone(),
        option_columns: options,
        option_blank: blank.map(str::to_owned),
        ..DataConfig::default()
    }
}

/// The pairs of the first example, `first|second` each.
fn pairs(path: &Path, config: &DataConfig) -> Vec<String> {
    let (dataset, _) = read_training(path, config, None).unwrap();
    let pairs = dataset.examples[0].options.iter();
    pairs
        .map(|[first, second]| format!("{first}|{second}"))
        .collect()
}

#[test]
fn each_option_makes_a_pair_with_the_text() {
    let folder = Scratch::new();
    let check = |name: &str, text: &str, config: &DataConfig, expected: [&str; 2]| {
        let path = folder.write(name, text.as_bytes());
        assert_eq!(pairs(&path, config), expected, "{name}");
    };
    let named = columns(&["a", "b"], None);
    let two = "text,a,b,label\nIt was,a cat,a dog,0\nWho,you,me,1\n";
    check("a.csv", two, &named, ["It was|a cat", "It was|a dog"]);
    let json = "{\"text\": \"It was\", \"a\": \"a cat\", \"b\": 7, \"label\": 1}\n\
                {\"text\": \"Who\", \"a\": \"you\", \"b\": \"me\", \"label\": 2}\n";
    check("b.jsonl", json, &named, ["It was|a cat", "It was|7"]);
    // After a second text, as in SWAG.
    let pair = "sentence1,sentence2,a,b,label\nIt rains.,He,sings,runs,0\nX,Y,z,w,1\n";
    check(
        "c.csv",
        pair,
        &named,
        ["It rains.|He sings", "It rains.|He runs"],
    );
    // In a blank, as in WinoGrande.
    let blank = columns(&["option1", "option2"], Some("_"));
    let text = "sentence,option1,option2,label\n\
                The cup missed the bag as the _ was small.,cup,bag,2\nA _,x,y,1\n";
    check(
        "d.csv",
        text,
        &blank,
        [
            "The cup missed the bag as the|cup was small.",
            "The cup missed the bag as the|bag was small.",
        ],
    );
    // Without a header columns go by their positions.
    let mut positions = columns(&["1", "2"], None);
    (positions.text_column_id, positions.label_column_id) = (Some(0), Some(3));
    let bare = "It was,a cat,a dog,0\nWho,you,me,1\nWhy,so,not,1\nIs,it,he,0\n";
    check("e.csv", bare, &positions, ["It was|a cat", "It was|a dog"]);
}

#[test]
fn what_is_wrong_with_options_is_said_with_its_line() {
    let folder = Scratch::new();
    let check = |text: &str, config: &DataConfig, expected: &[&str]| {
        let path = folder.write("train.csv", text.as_bytes());
        let error = read_training(&path, config, None).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error}");
        }
    };
    let named = columns(&["a", "b"], None);
    let blank = columns(&["a", "b"], Some("_"));
    check(
        "text,a,label\nx,y,0\nz,w,1\n",
        &named,
        &[
            "no column `b` for `data.option_columns`",
            "`text`, `a`, `label`",
        ],
    );
    check(
        "text,a,b,label\nx,y,z,0\nz,w, ,1\n",
        &named,
        &["train.csv:3", "the option `b` is empty"],
    );
    check(
        "text,a,b,label\nx _,y,z,0\nx,y,z,1\n_ and _,y,z,1\n",
        &blank,
        &[
            "train.csv:3: the text has no `_`",
            "train.csv:4: the text has more than one `_`",
        ],
    );
    check(
        "text,a,b,label\nx,y,z,0\nx,y,z,1\nx,y,z,2\n",
        &named,
        &["has 2 columns, but the training set has 3 labels: `0`, `1`, `2`"],
    );
}

#[test]
fn an_evaluation_set_needs_its_options_too() {
    let folder = Scratch::new();
    let train = folder.write("train.csv", b"text,a,b,label\nx,y,z,0\nz,w,v,1\n");
    let test = folder.write("test.csv", b"text,a,label\nx,y,0\nz,w,1\n");
    let config = columns(&["a", "b"], None);
    let (_, labels) = read_training(&train, &config, None).unwrap();
    let error = read_evaluation(&test, &config, &labels, "test").unwrap_err();
    assert!(error.to_string().contains("no column `b`"), "{error}");
}

/// `n` questions whose answer is the option that is an animal.
fn questions(n: usize) -> String {
    let animals = ["cat", "dog", "horse"];
    let things = ["cup", "door", "stone"];
    let mut text = String::from("id,sentence,option1,option2,answer\n");
    for i in 0..n {
        let (animal, thing) = (animals[i % 3], things[i / 3 % 3]);
        let (first, second) = match i % 2 {
            0 => (animal, thing),
            _ => (thing, animal),
        };
        let answer = 1 + i % 2;
        let _ = writeln!(
            text,
            "q{i},we saw that the _ could run,{first},{second},{answer}"
        );
    }
    text
}

fn project() -> Project {
    let project = Project::new();
    project.write("train.csv", &questions(64));
    project.write("test.csv", &questions(18));
    let config = CONFIG.replace("control: {dataset_path: control.csv}\n", "").replace(
        "data: {output_dir: out}",
        "data: {output_dir: out, label_column: answer, option_columns: [option1, option2], option_blank: _}",
    );
    project.write("run.yaml", &config);
    project
}

#[test]
fn a_run_learns_to_choose_makes_a_map_and_predicts() {
    let project = project();
    project.succeed(&[&LOOP[..], &["--set", "training.epochs=12"]].concat());
    let metrics = project.read("out/metrics.yaml");
    let test = metrics.split("\ntest:").nth(1).unwrap();
    let accuracy = test.split("accuracy_score: ").nth(1).unwrap();
    let accuracy: f64 = accuracy.lines().next().unwrap().parse().unwrap();
    assert!(accuracy >= 0.9, "{metrics}");
    // The map has a row for every question that is trained on, its label an option's.
    let map = project.read("out/map.jsonl");
    assert_eq!(map.lines().count(), 48, "{map}");
    let config = project.read("out/best_model/config.json");
    assert!(config.contains("BertForMultipleChoice"), "{config}");

    let said = project.succeed(&["predict", "out", "--data", "test.csv"]);
    assert_eq!(said, {
        let all = project.read("out/predictions_test.csv");
        without_column(&all, "label")
    });
    let measured = project.succeed(&["evaluate", "out", "--data", "test.csv"]);
    assert!(measured.contains("accuracy_score: "), "{measured}");

    let output = project.run(&["predict", "out", "--text", "we saw that the _ could run"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("picks one of 2 options"), "{said}");
}

fn without_column(csv: &str, name: &str) -> String {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = header.iter().position(|column| column == name).unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(header).chain(reader.records().map(Result::unwrap)) {
        let cells = row.iter().enumerate().filter(|(i, _)| *i != at);
        writer.write_record(cells.map(|(_, cell)| cell)).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

#[test]
fn a_blank_without_options_and_one_option_alone_are_refused_with_their_line() {
    let project = Project::new();
    project.write("train.csv", &questions(8));
    project.write(
        "run.yaml",
        "data: {option_blank: _}\ntraining: {dataset_path: train.csv}\n",
    );
    let output = project.run(&["validate", "--config", "run.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("run.yaml:1:"), "{said}");
    assert!(said.contains("without `data.option_columns`"), "{said}");
    project.write(
        "run.yaml",
        "data: {option_columns: [option1]}\ntraining: {dataset_path: train.csv}\n",
    );
    let output = project.run(&["validate", "--config", "run.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("expected at least two"), "{said}");
}
