//! Parquet files of other programs; `tests/fixtures/parquet/make.py` wrote them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use enginora_rs::config::DataConfig;
use enginora_rs::data::{read_evaluation, read_training};
use enginora_rs::error::ErrorKind;

use super::config;
use super::good_files::contents;
use crate::scratch::Scratch;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/parquet")
        .join(name)
}

type GoodCase<'a> = (
    &'a str,
    fn(&mut DataConfig),
    &'a [&'a str],
    &'a [[&'a str; 4]],
);

#[test]
fn parquet_files_are_read_like_files_with_a_header() {
    let cases: &[GoodCase] = &[
        (
            "class_label.parquet",
            |_| (),
            &["neg", "neutral", "pos"],
            &[
                ["0", "a fine film", "-", "pos"],
                ["1", "a dull one", "-", "neg"],
                ["2", "so so", "-", "neutral"],
                ["3", "lovely", "-", "pos"],
                ["4", "weak", "-", "neg"],
                ["5", "a bore", "-", "neg"],
            ],
        ),
        (
            "types.parquet",
            |c| c.text_column = Some("sentence1".into()),
            &["-1", "7"],
            &[
                ["9223372036854775808", "a", "-", "7"],
                ["2", "b", "-", "-1"],
                ["3", "a", "-", "7"],
            ],
        ),
        (
            "types.parquet",
            |c| {
                c.text_column = Some("long".into());
                c.text_pair_column = Some("sentence2".into());
                c.label_column = Some("kind".into());
                c.id_column = Some("small".into());
            },
            &["no", "yes"],
            &[
                ["1", "x", "p", "no"],
                ["2", "y", "", "yes"],
                ["3", "z", "\u{e9}\n\"q\"", "no"],
            ],
        ),
        (
            "types.parquet",
            |c| {
                c.text_column_id = Some(3);
                c.label_column_id = Some(8);
            },
            &["1", "2", "3"],
            &[
                ["9223372036854775808", "p", "-", "1"],
                ["2", "", "-", "2"],
                ["3", "\u{e9}\n\"q\"", "-", "3"],
            ],
        ),
        (
            "pandas.parquet",
            |_| (),
            &["no", "yes"],
            &[["0", "a", "-", "yes"], ["1", "b", "-", "no"]],
        ),
    ];
    for (name, change, labels, expected) in cases {
        let (dataset, space) = read_training(&fixture(name), &config(change), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(space.names(), *labels, "{name}");
        assert_eq!(contents(&dataset, &space), *expected, "{name}");
    }
}

#[test]
fn the_names_of_classes_hold_for_true_labels_and_for_other_sets() {
    let columns = config(|c| c.true_label_column = Some("gold".into()));
    let path = fixture("class_label.parquet");
    let (dataset, space) = read_training(&path, &columns, None).unwrap();
    let true_labels: Vec<_> = dataset.examples.iter().map(|e| e.true_label).collect();
    assert_eq!(
        true_labels,
        [Some(2), Some(0), Some(1), None, None, Some(1)]
    );
    let folder = Scratch::new();
    let path = folder.write("test.csv", "text,label\na,pos\nb,neg\n");
    let test = read_evaluation(&path, &columns, &space, "test").unwrap();
    assert_eq!(test.labels(), [2, 0]);
}

#[test]
fn further_columns_are_kept_as_texts() {
    let columns = config(|c| {
        c.text_column = Some("sentence1".into());
        c.extra_columns = ["text", "sentence1", "vector", "other"]
            .map(String::from)
            .into();
    });
    let (dataset, _) = read_training(&fixture("types.parquet"), &columns, None).unwrap();
    let names: Vec<&String> = dataset.extra.keys().collect();
    assert_eq!(names, ["sentence1", "text"]);
    let cells = |name: &str| {
        dataset.extra[name]
            .iter()
            .map(|c| c.clone().unwrap())
            .collect()
    };
    let all: [Vec<String>; 2] = [cells("text"), cells("sentence1")];
    assert_eq!(all, [["1.5", "2.5", "3.5"], ["a", "b", "a"]]);
}

type BadCase<'a> = (&'a str, fn(&mut DataConfig), &'a str);

#[test]
fn what_is_wrong_with_a_parquet_file_is_said_with_its_row() {
    let cases: &[BadCase] = &[
        (
            "bad_rows.parquet",
            |_| (),
            "bad_rows.parquet: row 3: `text` is null\n\
             bad_rows.parquet: row 4: `id` is empty\n\
             bad_rows.parquet: row 4: `label` is `-1`, which is none of the classes that the file names: `neg`, `pos`\n\
             bad_rows.parquet: row 5: `id` is null\n\
             bad_rows.parquet: row 5: `label` is `7`, which is none of the classes that the file names: `neg`, `pos`\n\
             bad_rows.parquet: row 6: `label` is null",
        ),
        (
            "types.parquet",
            |c| c.label_column = Some("vector".into()),
            "types.parquet: the column `vector` holds List(Float32, field: 'element') values, expected texts or whole numbers\n\
             types.parquet: the column `text` holds Float64 values, expected texts",
        ),
        (
            "types.parquet",
            |c| c.text_column = Some("small".into()),
            "types.parquet: the column `small` holds UInt16 values, expected texts",
        ),
        (
            "class_label.parquet",
            |c| (c.text_column, c.true_label_column) = (Some("txt".into()), Some("truth".into())),
            "class_label.parquet: no column `txt` for `data.text_column`; the columns are `text`, `label`, `gold`",
        ),
        (
            "class_label.parquet",
            |c| c.true_label_column = Some("truth".into()),
            "class_label.parquet: no column `truth` for `data.true_label_column`; the columns are `text`, `label`, `gold`",
        ),
        (
            "pandas.parquet",
            |c| c.id_column = Some("label".into()),
            "pandas.parquet: the id and the label cannot be the same column",
        ),
    ];
    let folder = format!("{}/", fixture("").display()).replace("//", "/");
    for (name, change, expected) in cases {
        let error = read_training(&fixture(name), &config(change), None).unwrap_err();
        assert_eq!(error.to_string().replace(&folder, ""), *expected, "{name}");
        assert_eq!(error.kind(), ErrorKind::Data, "{name}");
    }
}

#[test]
fn duplicate_ids_of_a_parquet_file_are_told_by_their_rows() {
    let folder = Scratch::new();
    let path = folder.at("train.parquet");
    fs::copy(fixture("types.parquet"), &path).unwrap();
    let columns = config(|c| {
        c.text_column = Some("long".into());
        c.id_column = Some("sentence1".into());
    });
    let error = read_training(&path, &columns, None).unwrap_err();
    assert_eq!(
        folder.shown(&error),
        "train.parquet: row 3: the id `a` is that of row 1 too\n\
         \x20 hint: ids are unique in a data set; without an id column the row number is the id"
    );
}

#[test]
fn a_damaged_parquet_file_is_an_error_without_the_library_s_panic() {
    let whole = fs::read(fixture("class_label.parquet")).unwrap();
    let folder = Scratch::new();
    let mut panicking = None;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let path = folder.write("train.parquet", &bytes);
        if let Err(error) = read_training(&path, &config(|_| ()), None) {
            assert_eq!(error.kind(), ErrorKind::Data, "byte {at}: {error}");
            let said = folder.shown(&error);
            assert!(said.starts_with("train.parquet: "), "byte {at}: {said}");
            if said.ends_with("the file is damaged") {
                panicking.get_or_insert(bytes);
            }
        }
    }
    for n in 0..whole.len() {
        let path = folder.write("train.parquet", &whole[..n]);
        let error = read_training(&path, &config(|_| ()), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{n} bytes: {error}");
    }
    // Should the library one day panic nowhere, this part has done its duty.
    let bytes = panicking.expect("a byte at which the library panics");
    folder.write("train.parquet", &bytes);
    let text =
        "random_state: 1\nmodel: {model_name: scratch}\ntraining: {dataset_path: train.parquet}\n";
    folder.write("run.yaml", text);
    let output = Command::new(env!("CARGO_BIN_EXE_enginora-rs"))
        .args(["validate", "--config", "run.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(65), "{said}");
    let expected = "train.parquet: not a readable Parquet file: the file is damaged";
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
