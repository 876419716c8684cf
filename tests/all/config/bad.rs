//! What is refused, and in which words.

use enginora_rs::config;
use enginora_rs::error::ErrorKind;

use super::{MINIMAL, read, read_raw};

const REFUSED: &str = include_str!("../../fixtures/config/refused.txt");

#[test]
fn every_problem_is_said_with_its_place() {
    let cases = REFUSED.split("\n==== ").skip(1);
    let mut n_cases = 0;
    for case in cases {
        let (name, rest) = case.split_once('\n').unwrap();
        let (given, expected) = rest.split_once("----\n").unwrap();
        let (options, text) = options_and_text(given);
        let error = read(text, &options).expect_err(name);
        assert_eq!(error, expected.trim_end_matches('\n'), "case: {name}");
        n_cases += 1;
    }
    assert!(n_cases >= 35, "only {n_cases} cases were read");
}

fn options_and_text(given: &str) -> (Vec<&str>, &str) {
    let mut options = Vec::new();
    let mut text = given;
    while let Some(rest) = text.strip_prefix("--set ") {
        let (option, rest) = rest.split_once('\n').unwrap();
        options.push(option);
        text = rest;
    }
    (options, text)
}

#[test]
fn texts_that_are_not_yaml_are_refused_where_they_go_wrong() {
    let check = |text: &[u8], expected: &str| {
        assert_eq!(read(text, &[]).unwrap_err(), expected);
    };
    let training =
        "`training` is missing\n  hint: `training`: the training set and how to train on it";
    check(b"", &format!("run.yaml:1:1: {training}"));
    check(b"# nothing\n", &format!("run.yaml:2:1: {training}"));
    check(
        b"a:\n\tb: 1\n",
        "run.yaml:2:1: not a valid YAML config: found character that cannot start any token, \
         while scanning for the next token\n  hint: indent with spaces; YAML takes no tabs there",
    );
    check(
        "a: é\u{1}\n".as_bytes(),
        "run.yaml:1:5: not a valid YAML config: the character U+0001 is not allowed in YAML",
    );
    check(
        b"training:\n  \xc3\xa9: \xff\n",
        "run.yaml:2:6: this byte is not valid UTF-8\n  hint: save the file as UTF-8",
    );
    check(
        "[".repeat(500).as_bytes(),
        "run.yaml:1:129: not a valid YAML config: lists and mappings are nested too deeply",
    );
    check(
        "- ".repeat(5000).as_bytes(),
        "run.yaml:1:257: not a valid YAML config: lists and mappings are nested too deeply",
    );
    check(
        "#".repeat(300_000).as_bytes(),
        "run.yaml: a config has at most 262144 bytes; this file has more",
    );
}

#[test]
fn anchors_may_not_make_a_small_file_large() {
    let items = "1,".repeat(2000);
    let aliases = "*a,".repeat(100);
    let text = format!("a: &a [{items}]\nb: [{aliases}]\n");
    let expected = "run.yaml:1:3904: not a valid YAML config: \
                    there are more than 100000 values, anchors expanded";
    assert_eq!(read(text, &[]).unwrap_err(), expected);
}

#[test]
fn places_are_right_after_a_byte_order_mark_and_with_carriage_returns() {
    let text = "\u{feff}epoch: 1\r\ntraining: {dataset_path: a}\r\ndata:\r\n  é: 1\r\n";
    let expected = [
        "run.yaml:1:1: unknown key `epoch`",
        "  hint: the keys of a config are `random_state`, `data`, `model`, `metrics`, \
         `training`, `testing`, `control`, `confidence_intervals`, `cartography`, `experiment`, \
         `mlflow` and \
         `dvc`",
        "run.yaml:4:3: unknown key `é`",
        "  hint: the keys of `data` are `data_dir`, `output_dir`, `has_header`, \
         `text_column_id`, `label_column_id`, `text_column`, `text_pair_column`, \
         `option_columns`, `option_blank`, \
         `label_column`, `id_column`, `true_label_column`, `quoting` and `label_noise`",
    ];
    assert_eq!(read(text, &[]).unwrap_err(), expected.join("\n"));
}

#[test]
fn a_flood_of_problems_is_counted_beyond_the_first_fifty() {
    use std::fmt::Write as _;
    let mut text = MINIMAL.to_owned();
    for i in 0..2_000 {
        writeln!(text, "key{i}: 1").unwrap();
    }
    let error = read_raw(text, &[]).unwrap_err();
    assert_eq!(error.problems().len(), 51);
    let last = &error.problems()[50];
    assert_eq!(last.message, "there are 1950 more problems");
}

#[test]
fn each_kind_of_trouble_has_its_exit_code() {
    let check = |text: &str, options: &[&str], kind: ErrorKind, code: u8| {
        let error = read_raw(text, options).unwrap_err();
        assert_eq!((error.kind(), error.kind().exit_code()), (kind, code));
    };
    check("a: [", &[], ErrorKind::Config, 78);
    check("epochs: 1", &[], ErrorKind::Config, 78);
    check(MINIMAL, &["training.epochs"], ErrorKind::Usage, 2);
    check(MINIMAL, &["training.epochs=0"], ErrorKind::Config, 78);
    check(MINIMAL, &["training.epochs=["], ErrorKind::Config, 78);
    let missing = config::read("/nowhere/run.yaml".as_ref(), &[]).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::MissingInput);
    assert!(
        missing
            .to_string()
            .starts_with("/nowhere/run.yaml: cannot read: ")
    );
}
