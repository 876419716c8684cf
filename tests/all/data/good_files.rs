//! Good files of every shape: the examples that are in them.

use enginora_rs::config::{DataConfig, HasHeader};
use enginora_rs::data::{Dataset, Example, LabelSpace, read_evaluation, read_training};

use super::config;
use crate::scratch::Scratch;

#[test]
fn a_first_example_with_a_label_of_its_own_is_fine_where_training_has_that_label() {
    let folder = Scratch::new();
    let path = folder.write("test.txt", b"a,yes\nb,no\nc,no\n");
    let space = LabelSpace::from_labels(["yes", "no"]);
    let read = read_evaluation(&path, &config(|_| ()), &space, "test").unwrap();
    assert_eq!(read.labels(), [1, 0, 0]);
}

/// Guid, text, second text and label name of every example.
pub fn contents(dataset: &Dataset, space: &LabelSpace) -> Vec<[String; 4]> {
    let content = |example: &Example| {
        [
            example.guid.clone(),
            example.text.clone(),
            example.text_pair.clone().unwrap_or_else(|| "-".into()),
            space.name(example.label).to_owned(),
        ]
    };
    dataset.examples.iter().map(content).collect()
}

type GoodCase<'a> = (&'a str, &'a [u8], fn(&mut DataConfig), &'a [[&'a str; 4]]);

#[test]
fn good_files_of_every_shape_give_their_examples() {
    let plain: &[[&str; 4]] = &[["0", "a", "-", "1"], ["1", "b", "-", "0"]];
    let with_ids: &[[&str; 4]] = &[["x", "a", "-", "1"], ["y", "b", "-", "0"]];
    let quoted: &[[&str; 4]] = &[["0", "a\tb\nc\n\"d\"", "-", "1"], ["1", "", "-", "0"]];
    let pair: &[[&str; 4]] = &[["0", "a", "p", "1"], ["1", "b", "q", "0"]];
    let cases: &[GoodCase] = &[
        ("header.csv", b"text,label\na,1\nb,0\n", |_| (), plain),
        ("other_order.csv", b"label,text\n1,a\n0,b\n", |_| (), plain),
        ("upper_case.csv", b"TEXT , Label\na,1\nb,0\n", |_| (), plain),
        ("sentence.tsv", b"sentence\tlabel\na\t1\nb\t0\n", |_| (), plain),
        ("byte_order_mark.csv", b"\xef\xbb\xbflabel,text\n1,a\n0,b\n", |_| (), plain),
        ("windows.csv", b"text,label\r\na,1\r\nb,0\r\n", |_| (), plain),
        ("windows.tsv", b"text\tlabel\r\na\t1\r\nb\t0\r\n", |_| (), plain),
        ("no_last_newline.csv", b"text,label\na,1\nb,0", |_| (), plain),
        ("no_last_newline_on_windows.csv", b"label,text\r\n1,a\r\n0,b\r", |_| (), plain),
        ("blank_lines.csv", b"\n\r\ntext,label\n\na,1\n  \r\nb,0\n\n", |_| (), plain),
        ("two_columns.txt", b"a,1\nb,0\n", |_| (), plain),
        ("two_columns_with_tabs.txt", b"a\t1\nb\t0\n", |_| (), plain),
        ("two_columns.dat", b"a,1\nb,0\n", |_| (), plain),
        ("three_columns.txt", b"x,a,1\ny,b,0\n", |_| (), with_ids),
        ("three_columns.tsv", b"x\ta\t1\ny\tb\t0\n", |_| (), with_ids),
        ("guid.csv", b"guid,label,text\nx,1,a\ny,0,b\n", |_| (), with_ids),
        ("id_column.csv", b"uid,label,text\nx,1,a\ny,0,b\n", |c| c.id_column = Some("uid".into()), with_ids),
        ("no_id_among_these.csv", b"uid,label,text\nx,1,a\ny,0,b\n", |_| (), plain),
        ("unused_columns.csv", b"n,text,x,label\n,a,,1\n,b,,0\n", |_| (), plain),
        ("spaces_around_labels.csv", b"text,label\na, 1\nb,0 \n", |_| (), plain),
        ("floats.csv", b"text,label\na,1.0\nb,0.0\n", |_| (), plain),
        (
            "by_position.csv",
            b"q,1,a,q\nq,0,b,q\n",
            |c| { c.text_column_id = Some(2); c.label_column_id = Some(1); },
            plain,
        ),
        (
            "by_position_with_header.csv",
            b"gold,review\n1,a\n0,b\n",
            |c| { c.has_header = HasHeader::Yes; c.text_column_id = Some(1); c.label_column_id = Some(0); },
            plain,
        ),
        (
            "positions_of_the_usual_three.csv",
            b"x,a,1\ny,b,0\n",
            |c| { c.text_column_id = Some(1); c.label_column_id = Some(2); },
            with_ids,
        ),
        (
            "by_name.csv",
            b"gold,review,text\n1,a,\n0,b,\n",
            |c| { c.text_column = Some("review".into()); c.label_column = Some("gold".into()); },
            plain,
        ),
        (
            "headerless_on_request.csv",
            b"text,label\na,1\nb,1\n",
            |c| c.has_header = HasHeader::No,
            &[["0", "text", "-", "label"], ["1", "a", "-", "1"], ["2", "b", "-", "1"]],
        ),
        (
            "pair.tsv",
            b"sentence1\tsentence2\tlabel\na\tp\t1\nb\tq\t0\n",
            |_| (),
            pair,
        ),
        (
            "named_pair.csv",
            b"premise,hypothesis,label\na,p,1\nb,q,0\n",
            |c| { c.text_column = Some("premise".into()); c.text_pair_column = Some("hypothesis".into()); },
            pair,
        ),
        (
            "one_text_of_a_pair.tsv",
            b"sentence1\tsentence2\tlabel\na\tp\t1\nb\tq\t0\n",
            |c| c.text_column = Some("sentence1".into()),
            plain,
        ),
        ("quotes.csv", b"text,label\n\"a\tb\nc\n\"\"d\"\"\",1\n\"\",0\n", |_| (), quoted),
        ("quotes.tsv", b"text\tlabel\n\"a\tb\nc\n\"\"d\"\"\"\t1\n\"\"\t0\n", |_| (), quoted),
        (
            "all_quoted.tsv",
            b"\"text\"\t\"label\"\n\"a\"\t\"1\"\n\"b\"\t\"0\"\n",
            |_| (),
            plain,
        ),
        ("quoted_commas_with_tabs.txt", b"\"a, b\"\t1\nc, d\t0\n", |_| (), &[["0", "\"a, b\"", "-", "1"], ["1", "c, d", "-", "0"]]),
        ("quoted_tabs_with_commas.txt", b"\"a\tb\",1\nc,0\n", |_| (), &[["0", "a\tb", "-", "1"], ["1", "c", "-", "0"]]),
        ("quotes_inside.csv", b"text,label\na \"b\" c,1\n\"a \"\"b\"\", c\",0\n", |_| (), &[["0", "a \"b\" c", "-", "1"], ["1", "a \"b\", c", "-", "0"]]),
        (
            "quoted_line_breaks_on_windows.csv",
            b"text,label\r\n\"a\r\nb\",1\r\nc,0\r\n",
            |_| (),
            &[["0", "a\r\nb", "-", "1"], ["1", "c", "-", "0"]],
        ),
        (
            "quotes_that_are_text.tsv",
            b"text\tlabel\n\" a \"\t1\n\" b\t0\n\" c \" d\t1\ne \"\t0\n",
            |_| (),
            &[["0", "\" a \"", "-", "1"], ["1", "\" b", "-", "0"], ["2", "\" c \" d", "-", "1"], ["3", "e \"", "-", "0"]],
        ),
        (
            "quotes_that_are_text_on_two_lines.tsv",
            b"label\ttext\n1\t\" a\n0\tb \"\n1\tc\n",
            |_| (),
            &[["0", "\" a", "-", "1"], ["1", "b \"", "-", "0"], ["2", "c", "-", "1"]],
        ),
        ("text_untouched.csv", "text,label\n  a\u{a0}é ,1\n\u{1f600}\r,0\n".as_bytes(), |_| (), &[["0", "  a\u{a0}é ", "-", "1"], ["1", "\u{1f600}\r", "-", "0"]]),
        (
            "plain.jsonl",
            b"{\"label\": 1, \"text\": \"a\"}\n\n{\"text\": \"b\", \"more\": [], \"label\": \"0\"}",
            |_| (),
            plain,
        ),
        (
            "ids.ndjson",
            b"\xef\xbb\xbf{\"id\": 7, \"text\": \"a\\n\\u00e9\", \"label\": 1}\r\n{\"id\": \"x\", \"text\": \"b\", \"label\": -2}\r\n",
            |c| { c.text_column_id = Some(0); c.label_column_id = Some(9); },
            &[["7", "a\n\u{e9}", "-", "1"], ["x", "b", "-", "-2"]],
        ),
        (
            "pair.jsonl",
            b"{\"sentence1\": \"a\", \"sentence2\": \"p\", \"gold\": true, \"label\": 1}\n{\"sentence1\": \"b\", \"sentence2\": \"q\", \"label\": 0}\n",
            |_| (),
            pair,
        ),
        (
            "named.jsonl",
            b"{\"text\": 0, \"s\": \"a\", \"y\": 1, \"k\": \"x\"}\n{\"s\": \"b\", \"y\": 0, \"k\": \"y\"}\n",
            |c| { c.text_column = Some("s".into()); c.label_column = Some("y".into()); c.id_column = Some("k".into()); },
            with_ids,
        ),
    ];
    let folder = Scratch::new();
    for (name, bytes, change, expected) in cases {
        let path = folder.write(name, bytes);
        let (dataset, space) = read_training(&path, &config(change), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(contents(&dataset, &space), *expected, "{name}");
        assert_eq!(dataset.path, path);
    }
}

#[test]
fn empty_texts_are_allowed_with_a_warning() {
    let folder = Scratch::new();
    for (bytes, expected) in [
        (b"text,label\na,1\nb,0\n".as_slice(), vec![]),
        (
            b"text,label\na,1\n,0\n",
            vec!["train.csv:3: the text is empty"],
        ),
        (
            b"text,label\n ,1\n,0\na,1\n,1\n",
            vec!["train.csv:2: the text is empty, and so are 2 more"],
        ),
    ] {
        let path = folder.write("train.csv", bytes);
        let (dataset, _) = read_training(&path, &config(|_| ()), None).unwrap();
        let warnings: Vec<String> = dataset
            .warnings
            .iter()
            .map(|warning| folder.shown(warning))
            .collect();
        assert_eq!(warnings, expected);
    }
}
