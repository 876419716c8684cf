//! Bad files: every message with its line, what was got and what to do about it.

use std::fs;

use enginora_rs::config::{DataConfig, HasHeader};
use enginora_rs::data::{LabelSpace, read_evaluation, read_training};
use enginora_rs::error::ErrorKind;

use super::config;
use crate::scratch::Scratch;

fn many_ragged_rows() -> Vec<u8> {
    let mut text = String::from("text,label\na,0\nb,1\n");
    text.push_str(&"c\n".repeat(25));
    text.into_bytes()
}

type BadCase<'a> = (&'a str, &'a [u8], fn(&mut DataConfig), &'a str);

#[test]
fn what_is_wrong_with_a_training_file_is_said_with_its_line_and_remedy() {
    let many = many_ragged_rows();
    let cases: &[BadCase] = &[
        (
            "empty.csv",
            b"",
            |_| (),
            "empty.csv: the file is empty",
        ),
        (
            "blank.csv",
            b"\n\r\n  \n",
            |_| (),
            "blank.csv: the file is empty",
        ),
        (
            "bom_only.csv",
            b"\xef\xbb\xbf",
            |_| (),
            "bom_only.csv: the file is empty",
        ),
        (
            "header_only.csv",
            b"text,label\n",
            |_| (),
            "header_only.csv: the file has a header and no examples",
        ),
        (
            "one_row.csv",
            b"text,label\na,1\n",
            |_| (),
            "one_row.csv: every example has the label `1`: a classifier needs at least two labels",
        ),
        (
            "one_class.csv",
            b"a,1\nb,1\nc,1\n",
            |_| (),
            "one_class.csv: every example has the label `1`: a classifier needs at least two labels",
        ),
        (
            "too_long_row.csv",
            b"text,label\na,1\nb, or c,0\nd,1\n",
            |_| (),
            "too_long_row.csv:3: 3 cells where the first row has 2\n\
             \x20 hint: a text that holds a comma must be in double quotes",
        ),
        (
            "too_short_row.csv",
            b"id,text,label\n1,a,1\n2,b\n3\n4,d,0\n",
            |_| (),
            "too_short_row.csv:3: 2 cells where the first row has 3\n\
             too_short_row.csv:4: 1 cell where the first row has 3",
        ),
        (
            "too_long_row.tsv",
            b"text\tlabel\na\tb\t1\nc\t0\n",
            |_| (),
            "too_long_row.tsv:2: 3 cells where the first row has 2\n\
             \x20 hint: a text that holds a tab must be in double quotes, with each quote inside written twice; `data.quoting: minimal` says that they are quotes",
        ),
        (
            "latin1.csv",
            b"text,label\na,1\nfianc\xe9,0\n",
            |_| (),
            "latin1.csv:3: invalid UTF-8: byte 6 of the line is 0xe9\n\
             \x20 hint: save the file as UTF-8",
        ),
        (
            "utf16.csv",
            b"\xff\xfet\0,\0l\0",
            |_| (),
            "utf16.csv:1: invalid UTF-8: byte 1 of the line is 0xff\n\
             \x20 hint: save the file as UTF-8",
        ),
        (
            "zero_byte.csv",
            b"text,label\na\0b,1\n",
            |_| (),
            "zero_byte.csv:2: not a text file: byte 2 of the line is 0\n\
             \x20 hint: save the file as UTF-8",
        ),
        (
            "unclosed.csv",
            b"text,label\na,1\nb \xc3\xa9,\"0\nc,1\n",
            |_| (),
            "unclosed.csv:3:5: this quote is never closed\n\
             \x20 hint: enclose a text that holds quotes in quotes, and write each of its own twice",
        ),
        (
            "unclosed_text.csv",
            b"text,label\na,1\n\"b,0\nc,1\n",
            |_| (),
            "unclosed_text.csv:3:1: this quote is never closed\n\
             \x20 hint: enclose a text that holds quotes in quotes, and write each of its own twice",
        ),
        (
            "unclosed_first.csv",
            b"\"text,label\na,1\n",
            |_| (),
            "unclosed_first.csv:1:1: this quote is never closed\n\
             \x20 hint: enclose a text that holds quotes in quotes, and write each of its own twice",
        ),
        (
            "after_quote.csv",
            b"text,label\n\"a\"b,1\nc,0\n",
            |_| (),
            "after_quote.csv:2:4: text after the closing quote of a cell\n\
             \x20 hint: write a quote inside a quoted cell twice",
        ),
        (
            "after_quote_below.csv",
            b"text,label\nx,0\n\"a,1\nb \"c\" d,0\ne,1\n",
            |_| (),
            "after_quote_below.csv:4:4: text after the closing quote of a cell that was opened on line 3\n\
             \x20 hint: write a quote inside a quoted cell twice",
        ),
        (
            "unclosed.tsv",
            b"\"text\"\t\"label\"\n\"a\"\t1\n\"b\t0\n",
            |_| (),
            "unclosed.tsv:3:1: this quote is never closed\n\
             \x20 hint: enclose a text that holds quotes in quotes, and write each of its own twice",
        ),
        (
            "no_comma.csv",
            b"text\tlabel\na\t1\n",
            |_| (),
            "no_comma.csv:1: only one column: the first row has no comma\n\
             \x20 hint: columns are separated by commas in .csv and by tabs in .tsv files; a .txt file may have either",
        ),
        (
            "no_tab.tsv",
            b"text,label\na,1\n",
            |_| (),
            "no_tab.tsv:1: only one column: the first row has no tab\n\
             \x20 hint: columns are separated by commas in .csv and by tabs in .tsv files; a .txt file may have either",
        ),
        (
            "one_column.txt",
            b"a\nb\n",
            |_| (),
            "one_column.txt:1: only one column: the first row has no comma\n\
             \x20 hint: columns are separated by commas in .csv and by tabs in .tsv files; a .txt file may have either",
        ),
        (
            "carriage_returns.csv",
            b"text,label\ra,1\rb,0\r",
            |_| (),
            "carriage_returns.csv:1: the lines end with a bare carriage return\n\
             \x20 hint: save the file with lines that end with a line feed",
        ),
        (
            "duplicate_id.csv",
            b"id,text,label\nx,a,1\ny,b,0\nx,c,1\nx,d,0\n",
            |_| (),
            "duplicate_id.csv:4: the id `x` is that of line 2 too\n\
             \x20 hint: ids are unique in a data set; without an id column the row number is the id\n\
             duplicate_id.csv:5: the id `x` is that of line 2 too",
        ),
        (
            "duplicate_id_below_a_long_text.csv",
            b"id,text,label\nx,\"a\nb\",1\n\nx,c,0\n",
            |_| (),
            "duplicate_id_below_a_long_text.csv:5: the id `x` is that of line 2 too\n\
             \x20 hint: ids are unique in a data set; without an id column the row number is the id",
        ),
        (
            "duplicate_id_without_header.txt",
            b"7,a,1\n7,b,0\n",
            |_| (),
            "duplicate_id_without_header.txt:2: the id `7` is that of line 1 too\n\
             \x20 hint: ids are unique in a data set; without an id column the row number is the id",
        ),
        (
            "empty_id.csv",
            b"id,text,label\n,a,1\n ,b,0\n",
            |_| (),
            "empty_id.csv:2: the id is empty\n\
             empty_id.csv:3: the id is empty",
        ),
        (
            "empty_label.csv",
            b"text,label\na,\nb,1\nc, \n",
            |_| (),
            "empty_label.csv:2: the label is empty\n\
             empty_label.csv:4: the label is empty",
        ),
        (
            "no_text_column.csv",
            b"id,review,label\n1,a,1\n2,b,0\n",
            |_| (),
            "no_text_column.csv:1: no text column (`text` or `sentence` or `sentence1`); the columns are `id`, `review`, `label`\n\
             \x20 hint: set `data.text_column` to its name",
        ),
        (
            "no_label_column.csv",
            b"text,score\na,1\nb,0\n",
            |c| c.has_header = HasHeader::Yes,
            "no_label_column.csv:1: no label column (`label`); the columns are `text`, `score`\n\
             \x20 hint: set `data.label_column` to its name",
        ),
        (
            "neither_column.csv",
            b"review,score,x,y\na,1,,\n",
            |c| c.has_header = HasHeader::Yes,
            "neither_column.csv:1: no text column (`text` or `sentence` or `sentence1`); the columns are `review`, `score`, `x`, `y`\n\
             \x20 hint: set `data.text_column` to its name\n\
             neither_column.csv:1: no label column (`label`); the columns are `review`, `score`, `x`, `y`\n\
             \x20 hint: set `data.label_column` to its name",
        ),
        (
            "no_named_label.csv",
            b"text,label\na,1\nb,0\n",
            |c| c.label_column = Some("gold".into()),
            "no_named_label.csv:1: no column `gold` for `data.label_column`; the columns are `text`, `label`",
        ),
        (
            "no_named_columns.csv",
            b"id,text,label\n1,a,1\n",
            |c| { c.text_column = Some("review".into()); c.id_column = Some("key".into()); },
            "no_named_columns.csv:1: no column `review` for `data.text_column`; the columns are `id`, `text`, `label`\n\
             no_named_columns.csv:1: no column `key` for `data.id_column`; the columns are `id`, `text`, `label`",
        ),
        (
            "named_without_header.csv",
            b"a,1\nb,0\n",
            |c| c.label_column = Some("gold".into()),
            "named_without_header.csv:1: no column `gold` for `data.label_column`; the first row is `a`, `1`\n\
             \x20 hint: a column has a name only if the first row is a header (`data.has_header`); else give `data.text_column_id` and `data.label_column_id`",
        ),
        (
            "named_but_no_header.csv",
            b"text,label\na,1\n",
            |c| { c.has_header = HasHeader::No; c.label_column = Some("label".into()); },
            "named_but_no_header.csv:1: no column `label` for `data.label_column`; the first row is `text`, `label`\n\
             \x20 hint: a column has a name only if the first row is a header (`data.has_header`); else give `data.text_column_id` and `data.label_column_id`",
        ),
        (
            "two_labels.csv",
            b"text,label,Label\na,1,1\n",
            |_| (),
            "two_labels.csv:1: two columns are called `label`",
        ),
        (
            "position_too_far.csv",
            b"a,1\nb,0\n",
            |c| c.label_column_id = Some(2),
            "position_too_far.csv:1: `data.label_column_id: 2` is not a column: the file has 2 columns, counted from 0",
        ),
        (
            "same_column.csv",
            b"a,1\nb,0\n",
            |c| c.label_column_id = Some(0),
            "same_column.csv:1: the text and the label cannot be the same column",
        ),
        (
            "pair_is_text.csv",
            b"text,label\na,1\nb,0\n",
            |c| c.text_pair_column = Some("text".into()),
            "pair_is_text.csv:1: the text and the second text cannot be the same column",
        ),
        (
            "four_columns.csv",
            b"1,a,x,0\n2,b,y,1\n",
            |_| (),
            "four_columns.csv:1: 4 columns without a header: which is the text and which the label is not known\n\
             \x20 hint: set `data.text_column_id` and `data.label_column_id` (counted from 0), or give the file a header",
        ),
        (
            "four_columns_text_known.csv",
            b"1,a,x,0\n2,b,y,1\n",
            |c| c.text_column_id = Some(1),
            "four_columns_text_known.csv:1: 4 columns without a header: which is the label is not known\n\
             \x20 hint: set `data.label_column_id` (counted from 0), or give the file a header",
        ),
        (
            "four_columns_label_known.csv",
            b"1,a,x,0\n2,b,y,1\n",
            |c| c.label_column_id = Some(3),
            "four_columns_label_known.csv:1: 4 columns without a header: which is the text is not known\n\
             \x20 hint: set `data.text_column_id` (counted from 0), or give the file a header",
        ),
        (
            "suspected_header.tsv",
            b"sentence\tscore\na\t1\nb\t0\nc\t1\n",
            |_| (),
            "suspected_header.tsv:1: is this row a header? Its label `score` occurs nowhere else\n\
             \x20 hint: set `data.has_header` to `true` if it names the columns (and `data.label_column` to the label column's name), to `false` if it is an example",
        ),
        (
            "many.csv",
            &many,
            |_| (),
            "many.csv:4: 1 cell where the first row has 2\n\
             many.csv:5: 1 cell where the first row has 2\n\
             many.csv:6: 1 cell where the first row has 2\n\
             many.csv:7: 1 cell where the first row has 2\n\
             many.csv:8: 1 cell where the first row has 2\n\
             many.csv:9: 1 cell where the first row has 2\n\
             many.csv:10: 1 cell where the first row has 2\n\
             many.csv:11: 1 cell where the first row has 2\n\
             many.csv:12: 1 cell where the first row has 2\n\
             many.csv:13: 1 cell where the first row has 2\n\
             many.csv:14: 1 cell where the first row has 2\n\
             many.csv:15: 1 cell where the first row has 2\n\
             many.csv:16: 1 cell where the first row has 2\n\
             many.csv:17: 1 cell where the first row has 2\n\
             many.csv:18: 1 cell where the first row has 2\n\
             many.csv:19: 1 cell where the first row has 2\n\
             many.csv:20: 1 cell where the first row has 2\n\
             many.csv:21: 1 cell where the first row has 2\n\
             many.csv:22: 1 cell where the first row has 2\n\
             many.csv:23: 1 cell where the first row has 2\n\
             many.csv: and 5 more",
        ),
        (
            "several.csv",
            b"id,text,label\n1,a,\n1,b\n2,c,1\n2,d,0\n",
            |_| (),
            "several.csv:2: the label is empty\n\
             several.csv:3: 2 cells where the first row has 3\n\
             several.csv:5: the id `2` is that of line 4 too\n\
             \x20 hint: ids are unique in a data set; without an id column the row number is the id",
        ),
        (
            "table.xlsx",
            b"PK",
            |_| (),
            "table.xlsx: cannot read `.xlsx` files, only .csv, .tsv, .txt, .jsonl and .ndjson (also with .gz) and .parquet",
        ),
        (
            "empty.jsonl",
            b"\n\n",
            |_| (),
            "empty.jsonl: the file is empty",
        ),
        (
            "bad.jsonl",
            b"{\"text\": \"\xc3\xa9\", \"label\": 1}\n{\"text\": \"\xc3\xa9\xc3\xa9\", label: 0}\n",
            |_| (),
            "bad.jsonl:2:16: not JSON: key must be a string\n\
             \x20 hint: a JSON Lines file has one whole object on every line",
        ),
        (
            "cut_off.jsonl",
            b"{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"lab\n",
            |_| (),
            "cut_off.jsonl:2:18: not JSON: EOF while parsing a string\n\
             \x20 hint: a JSON Lines file has one whole object on every line",
        ),
        (
            "array.json",
            b"[{\"text\": \"a\", \"label\": 1}]\n",
            |_| (),
            "array.json:1: expected a JSON object, got `[{\"text\":\"a\",\"label\":1}]`\n\
             \x20 hint: a JSON Lines file has one whole object on every line",
        ),
        (
            "not_objects.ndjson",
            b"[1, 2]\n\n\"text\"\n",
            |_| (),
            "not_objects.ndjson:1: expected a JSON object, got `[1,2]`\n\
             \x20 hint: a JSON Lines file has one whole object on every line\n\
             not_objects.ndjson:3: expected a JSON object, got `\"text\"`",
        ),
        (
            "no_key_in_first.jsonl",
            b"{\"sentence\": \"a\", \"gold\": 1}\n{\"sentence\": \"b\", \"gold\": 0}\n",
            |_| (),
            "no_key_in_first.jsonl:1: no label key (`label`); the keys are `sentence`, `gold`\n\
             \x20 hint: set `data.label_column` to its name",
        ),
        (
            "no_named_key.jsonl",
            b"{\"text\": \"a\", \"label\": 1}\n",
            |c| c.id_column = Some("uid".into()),
            "no_named_key.jsonl:1: no key `uid` for `data.id_column`; the keys are `text`, `label`",
        ),
        (
            "key_missing_later.jsonl",
            b"{\"text\": \"a\", \"label\": 1}\n{\"label\": 0}\n{\"text\": \"c\"}\n",
            |_| (),
            "key_missing_later.jsonl:2: no key `text`; the keys are `label`\n\
             key_missing_later.jsonl:3: no key `label`; the keys are `text`",
        ),
        (
            "label_types.jsonl",
            b"{\"text\": \"a\", \"label\": 1.0}\n{\"text\": \"b\", \"label\": null}\n{\"text\": \"c\", \"label\": true}\n{\"text\": \"d\", \"label\": \"\"}\n{\"text\": \"e\", \"label\": [1]}\n",
            |_| (),
            "label_types.jsonl:1: `label` is `1.0`, expected a string that is not empty, or a whole number\n\
             label_types.jsonl:2: `label` is `null`, expected a string that is not empty, or a whole number\n\
             label_types.jsonl:3: `label` is `true`, expected a string that is not empty, or a whole number\n\
             label_types.jsonl:4: `label` is `\"\"`, expected a string that is not empty, or a whole number\n\
             label_types.jsonl:5: `label` is `[1]`, expected a string that is not empty, or a whole number",
        ),
        (
            "text_types.jsonl",
            b"{\"id\": 1.5, \"text\": 7, \"label\": 1}\n{\"id\": \"\", \"text\": null, \"label\": {}}\n",
            |_| (),
            "text_types.jsonl:1: `id` is `1.5`, expected a string that is not empty, or a whole number\n\
             text_types.jsonl:1: `text` is `7`, expected a string\n\
             text_types.jsonl:2: `id` is `\"\"`, expected a string that is not empty, or a whole number\n\
             text_types.jsonl:2: `text` is `null`, expected a string\n\
             text_types.jsonl:2: `label` is `{}`, expected a string that is not empty, or a whole number",
        ),
        (
            "duplicate_id.jsonl",
            b"{\"id\": 1, \"text\": \"a\", \"label\": 1}\n{\"id\": \"1\", \"text\": \"b\", \"label\": 0}\n",
            |_| (),
            "duplicate_id.jsonl:2: the id `1` is that of line 1 too\n\
             \x20 hint: ids are unique in a data set; without an id column the row number is the id",
        ),
        (
            "one_class.jsonl",
            b"{\"text\": \"a\", \"label\": \"yes\"}\n",
            |_| (),
            "one_class.jsonl: every example has the label `yes`: a classifier needs at least two labels",
        ),
    ];
    let folder = Scratch::new();
    for (name, bytes, change, expected) in cases {
        let path = folder.write(name, bytes);
        let error = read_training(&path, &config(change), None).unwrap_err();
        assert_eq!(folder.shown(&error), *expected, "{name}");
        assert_eq!(error.kind(), ErrorKind::Data, "{name}");
    }
}

#[test]
fn a_file_that_is_not_there_and_a_folder_are_missing_input() {
    let folder = Scratch::new();
    fs::create_dir(folder.path().join("data.csv")).unwrap();
    for (name, expected) in [
        (
            "train.csv",
            "train.csv: cannot read: no such file or directory (os error 2)\n\
             \x20 hint: a relative path starts at the working directory, or at `data.data_dir` where that is set",
        ),
        ("data.csv", "data.csv: a folder, expected a data file"),
    ] {
        let error = read_training(&folder.path().join(name), &config(|_| ()), None).unwrap_err();
        assert_eq!(folder.shown(&error), expected);
        assert_eq!(error.kind(), ErrorKind::MissingInput);
    }
}

#[test]
fn what_is_wrong_with_an_evaluation_file_names_the_labels_of_training() {
    let yes_no = ["no", "yes"].as_slice();
    let many: Vec<String> = (0..12).map(|label| label.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: &[(&str, &[u8], &[&str], &str)] = &[
        (
            "unknown.csv",
            b"text,label\na,yes\nb,maybe\nc,no\nd,Yes\n",
            yes_no,
            "unknown.csv:3: the test set has the label `maybe`, which the training set lacks; its labels are `no`, `yes`\n\
             unknown.csv:5: the test set has the label `Yes`, which the training set lacks; its labels are `no`, `yes`",
        ),
        (
            "many.jsonl",
            b"{\"text\": \"a\", \"label\": 12}\n",
            &many,
            "many.jsonl:1: the test set has the label `12`, which the training set lacks; its labels are `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, 2 more",
        ),
        (
            "header.csv",
            b"sentence,score\na,yes\nb,no\n",
            yes_no,
            "header.csv:1: is this row a header? Its label `score` occurs nowhere else\n\
             \x20 hint: set `data.has_header` to `true` if it names the columns (and `data.label_column` to the label column's name), to `false` if it is an example",
        ),
        (
            "both.csv",
            b"id,text,label\n1,a,maybe\n1,b,no\n",
            yes_no,
            "both.csv:2: the test set has the label `maybe`, which the training set lacks; its labels are `no`, `yes`\n\
             both.csv:3: the id `1` is that of line 2 too\n\
             \x20 hint: ids are unique in a data set; without an id column the row number is the id",
        ),
    ];
    let folder = Scratch::new();
    for (name, bytes, labels, expected) in cases {
        let path = folder.write(name, bytes);
        let space = LabelSpace::from_labels(labels.iter().copied());
        let error = read_evaluation(&path, &config(|_| ()), &space, "test").unwrap_err();
        assert_eq!(folder.shown(&error), *expected, "{name}");
        assert_eq!(error.kind(), ErrorKind::Data, "{name}");
    }
}
