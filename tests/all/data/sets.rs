//! Several files as one set, and true labels beside noisy ones.

use std::path::{Path, PathBuf};

use enginora_rs::config::DataConfig;
use enginora_rs::data::{DataFiles, Dataset, LabelSpace, read_evaluation, read_training};
use enginora_rs::error::{ErrorKind, Result};

use super::config;
use super::good_files::contents;
use crate::scratch::Scratch;

fn find(folder: &Path, names: &[&str]) -> Result<DataFiles> {
    let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    DataFiles::find(folder, &names)
}

fn read(
    folder: &Scratch,
    names: &[&str],
    change: fn(&mut DataConfig),
) -> Result<(Dataset, LabelSpace)> {
    read_training(find(folder.path(), names)?, &config(change), None)
}

#[test]
fn names_and_globs_stand_for_their_files() {
    // A folder whose name would be a glob itself.
    let outer = Scratch::new();
    let folder = outer.at("[a] *");
    for name in [
        "train-10.csv",
        "train-2.csv",
        "train-1.csv",
        ".train-0.csv",
        "train-[ab].csv",
        "deep/er/train-3.csv",
        "a?.csv",
        "ab.csv",
        "train-folder.csv/x",
    ] {
        outer.write(&format!("[a] */{name}"), "text,label\na,1\nb,0\n");
    }
    let check = |names: &[&str], expected: &[&str], shown: &str| {
        let files = find(&folder, names).unwrap();
        let paths: Vec<String> = files
            .paths()
            .iter()
            .map(|path| path.strip_prefix(&folder).unwrap().display().to_string())
            .collect();
        assert_eq!(paths, expected, "{names:?}");
        assert_eq!(files.name(), folder.join(shown), "{names:?}");
    };
    check(&["ab.csv"], &["ab.csv"], "ab.csv");
    check(&["not_there.csv"], &["not_there.csv"], "not_there.csv");
    check(&["a?.csv"], &["a?.csv"], "a?.csv");
    check(&["train-[ab].csv"], &["train-[ab].csv"], "train-[ab].csv");
    check(
        &["train-[0-9]*.csv"],
        &["train-1.csv", "train-10.csv", "train-2.csv"],
        "train-[0-9]*.csv",
    );
    check(&["**/train-3.*"], &["deep/er/train-3.csv"], "**/train-3.*");
    check(
        &["train-2.csv", "*1.csv", "ab.csv"],
        &["train-2.csv", "train-1.csv", "ab.csv"],
        "train-2.csv and 2 more",
    );
    let absolute = folder.join("ab.csv");
    let files = find(Path::new("elsewhere"), &[absolute.to_str().unwrap()]).unwrap();
    assert_eq!(files.paths(), [absolute]);
}

#[test]
fn a_glob_without_files_and_a_file_named_twice_are_errors() {
    let folder = Scratch::new();
    folder.write("a.csv", "text,label\na,1\nb,0\n");
    folder.write("other/b.csv", "");
    let check = |names: &[&str], kind, expected: &str| {
        let error = find(folder.path(), names).unwrap_err();
        assert_eq!(folder.shown(&error), expected);
        assert_eq!(error.kind(), kind);
    };
    for glob in ["*.tsv", "b*.csv", "other*"] {
        let expected = format!(
            "{glob}: no file matches\n\
             \x20 hint: a relative glob starts at the working directory, or at `data.data_dir` where that is set"
        );
        check(&["a.csv", glob], ErrorKind::MissingInput, &expected);
    }
    let twice = "a.csv: the data set names this file twice";
    check(&["a.csv", "*.csv"], ErrorKind::Data, twice);
    check(
        &["a.csv", "./a.csv"],
        ErrorKind::Data,
        "./a.csv: the data set has this file as `a.csv` too",
    );
    let error = find(folder.path(), &["a[.csv"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput);
    assert!(
        folder
            .shown(&error)
            .starts_with("a[.csv: no file of this name, and not a glob"),
        "{error}"
    );
}

#[test]
fn files_of_one_set_follow_each_other() {
    let folder = Scratch::new();
    folder.write("a.csv", "text,label\na,1\n\nb,0\n");
    folder.write("b.tsv", "label\ttext\n1\tc\n");
    folder.write("c.jsonl", "{\"text\": \"d\", \"label\": 2}\n");
    let (dataset, space) = read(&folder, &["c.jsonl", "a.csv", "b.tsv"], |_| ()).unwrap();
    let expected = [
        ["0", "d", "-", "2"],
        ["1", "a", "-", "1"],
        ["2", "b", "-", "0"],
        ["3", "c", "-", "1"],
    ];
    assert_eq!(contents(&dataset, &space), expected);
    assert_eq!(dataset.path, folder.at("c.jsonl and 2 more"));
    // Neither file alone has two labels or three rows, the set has.
    folder.write("x-1.txt", "a,yes\n");
    folder.write("x-2.txt", "b,no\nc,no\n");
    folder.write("x-3.txt", "d,yes\n");
    let (dataset, space) = read(&folder, &["x-*"], |_| ()).unwrap();
    assert_eq!(space.names(), ["no", "yes"]);
    assert_eq!(dataset.labels(), [1, 0, 0, 1]);
    assert_eq!(dataset.path, folder.at("x-*"));
}

#[test]
fn what_is_wrong_with_a_set_is_said_with_file_and_line() {
    let folder = Scratch::new();
    folder.write("a.csv", "id,text,label\nx,a,1\ny,b,0\n");
    folder.write("b.csv", "id,text,label\n\nx,c,1\nz,d\n");
    folder.write("c.jsonl", "{\"id\": \"z\", \"text\": \"\", \"label\": 1}\n{\"id\": \"z\", \"text\": \"d\", \"label\": 0}\n");
    folder.write("plain.csv", "text,label\na,1\nb,0\n");
    folder.write("plain_2.csv", "text,label\na,1\n,0\n");
    folder.write("headed.txt", "sentence\tscore\na\t1\nb\t0\n");
    let unique =
        "\n  hint: ids are unique in a data set; without an id column the row number is the id";
    let check = |names: &[&str], expected: &str| {
        let error = read(&folder, names, |_| ()).unwrap_err();
        assert_eq!(folder.shown(&error), expected, "{names:?}");
        assert_eq!(error.kind(), ErrorKind::Data, "{names:?}");
    };
    check(
        &["c.jsonl", "b.csv", "a.csv"],
        &format!(
            "c.jsonl:2: the id `z` is that of line 1 too{unique}\n\
             b.csv:4: 2 cells where the first row has 3\n\
             a.csv:2: the id `x` is that of b.csv:3 too"
        )
        .replace(
            "that of b.csv",
            &format!("that of {}", folder.at("b.csv").display()),
        )
        .replace(&format!("{}/", folder.path().display()), ""),
    );
    check(
        &["plain.csv", "a.csv"],
        "a.csv: the file has ids, which `plain.csv` has not\n\
         \x20 hint: the files of one data set have the same columns",
    );
    check(
        &["a.csv", "plain.csv"],
        "plain.csv: the file has no ids, which `a.csv` has\n\
         \x20 hint: the files of one data set have the same columns",
    );
    check(
        &["plain.csv", "headed.txt"],
        "headed.txt:1: is this row a header? Its label `score` occurs nowhere else\n\
         \x20 hint: set `data.has_header` to `true` if it names the columns (and `data.label_column` to the label column's name), to `false` if it is an example",
    );
    folder.write("headed_2.txt", "sentence\tscore\nc\t1\n");
    let error = read(&folder, &["headed*"], |_| ()).unwrap_err();
    let lines = error.problems().iter().map(|problem| folder.shown(problem));
    let lines: Vec<String> = lines
        .map(|text| text[..text.len().min(14)].to_owned())
        .collect();
    assert_eq!(lines, ["headed.txt:1: ", "headed_2.txt:1"]);
    let (dataset, _) = read(&folder, &["plain*.csv"], |_| ()).unwrap();
    let warnings: Vec<String> = dataset.warnings.iter().map(|w| folder.shown(w)).collect();
    assert_eq!(warnings, ["plain_2.csv:3: the text is empty"]);
}

#[test]
fn true_labels_are_kept_beside_the_labels() {
    let folder = Scratch::new();
    let noisy = |c: &mut DataConfig| c.true_label_column = Some("gt".into());
    for (name, text) in [
        ("a.csv", "text,label,gt\na,1,0\nb,0, \nc,2,2.0\n"),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"label\": 1, \"gt\": 0}\n{\"text\": \"b\", \"label\": 0, \"gt\": null}\n{\"text\": \"c\", \"label\": 2, \"gt\": \"2\"}\n",
        ),
    ] {
        let path = folder.write(name, text);
        let (dataset, space) = read_training(&path, &config(noisy), None).unwrap();
        assert_eq!(dataset.labels(), [1, 0, 2], "{name}");
        let true_labels: Vec<_> = dataset.examples.iter().map(|e| e.true_label).collect();
        assert_eq!(true_labels, [Some(0), None, Some(2)], "{name}");
        // Another set need not have them.
        let path = folder.write("test.csv", "text,label\na,1\nb,0\n");
        let test = read_evaluation(&path, &config(noisy), &space, "test").unwrap();
        assert!(test.examples.iter().all(|e| e.true_label.is_none()));
    }
}

#[test]
fn what_is_wrong_with_true_labels_is_said() {
    let folder = Scratch::new();
    let check = |name: &str, text: &str, expected: &str| {
        folder.write(name, text);
        let noisy = |c: &mut DataConfig| c.true_label_column = Some("gt".into());
        let error = read(&folder, &[name], noisy).unwrap_err();
        assert_eq!(folder.shown(&error), expected);
        assert_eq!(error.kind(), ErrorKind::Data);
    };
    check(
        "none.csv",
        "text,label\na,1\nb,0\n",
        "none.csv: no column `gt` for `data.true_label_column`; the columns are `text`, `label`",
    );
    check(
        "no_header.csv",
        "a,1\nb,0\n",
        "no_header.csv: no column `gt` for `data.true_label_column`\n\
         \x20 hint: a column has a name only if the first row is a header (`data.has_header`)",
    );
    check(
        "unknown.csv",
        "text,label,gt\na,1,1\nb,0,2\n",
        "unknown.csv:3: the true label `2` is none of the set's labels, `0`, `1`",
    );
    check(
        "list.jsonl",
        "{\"text\": \"a\", \"label\": 1, \"gt\": [1]}\n",
        "list.jsonl:1: `gt` is `[1]`, expected a string, a whole number or null",
    );
    check(
        "same.csv",
        "text,gt,label\na,1,1\n",
        "same.csv: every example has the label `1`: a classifier needs at least two labels",
    );
}
