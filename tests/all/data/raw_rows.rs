//! Rows of data files, copied as they are.

use std::io::{Read, Write};

use enginora_rs::config::DataConfig;
use enginora_rs::data::{Column, DataFiles, RawRows, Table};
use enginora_rs::error::ErrorKind;

use crate::scratch::Scratch;

/// Keeps the rows with these guids.
fn kept(folder: &Scratch, name: &str, guids: &str, output: &str) {
    let path = folder.at(name);
    let files = DataFiles::from(&path);
    let rows = RawRows::read(&files, &DataConfig::default()).unwrap();
    let guids: Vec<&str> = guids.split(' ').collect();
    let is_kept: Vec<bool> = rows
        .guids
        .iter()
        .map(|g| guids.contains(&g.as_str()))
        .collect();
    assert_eq!(
        is_kept.iter().filter(|is| **is).count(),
        guids.len(),
        "{name}: {guids:?}"
    );
    RawRows::check_output(&path, &folder.at(output)).unwrap();
    rows.write(&is_kept, &folder.at(output)).unwrap();
}

#[test]
fn text_files_keep_the_bytes_of_every_row() {
    for (name, text, guids, expected) in [
        (
            "a.csv",
            "id,text,label\na,x,0\nb,y,1\nc,z,0\n",
            "a c",
            "id,text,label\na,x,0\nc,z,0\n",
        ),
        (
            "a.csv",
            "id,text,label\r\na,x,0\r\nb,y,1\r\n",
            "b",
            "id,text,label\r\nb,y,1\r\n",
        ),
        // A byte order mark, quotes around everything, spaces, a last line without an end.
        (
            "a.csv",
            "\u{feff}\"id\",\"text\",\"label\"\na,\"x\",0\n\"b\",  y ,\"1\"",
            "b",
            "\u{feff}\"id\",\"text\",\"label\"\n\"b\",  y ,\"1\"",
        ),
        // Line breaks and quotes inside quotes; blank lines are no rows.
        (
            "a.csv",
            "\nid,text,label\n\na,\"one\n\ntwo, \"\"three\"\"\n\",0\n \r\nb,y,1\n\n",
            "a b",
            "id,text,label\na,\"one\n\ntwo, \"\"three\"\"\n\",0\nb,y,1\n",
        ),
        // With tabs a quote is a character, unless every row says otherwise.
        (
            "a.tsv",
            "id\ttext\tlabel\na\t\" x\t0\nb\ty \"\"\t1\nc\t\t0\n",
            "a c",
            "id\ttext\tlabel\na\t\" x\t0\nc\t\t0\n",
        ),
        (
            "a.tsv",
            "id\ttext\tlabel\na\t\"x\ny\"\t0\nb\tz\t1\n",
            "a",
            "id\ttext\tlabel\na\t\"x\ny\"\t0\n",
        ),
        // Without a header: the first of three columns, or row numbers from 0.
        ("a.tsv", "a\tx\t0\nb\ty\t1\n", "b", "b\ty\t1\n"),
        ("a.txt", "x\t0\n\ny\t1\nz\t0", "0 2", "x\t0\nz\t0"),
        ("a.csv", "text,label\nx,0\ny,1\n", "1", "text,label\ny,1\n"),
        // Texts and labels need not be found.
        (
            "a.csv",
            "guid,premise,stars\na,x,\nb,y,\n",
            "a",
            "guid,premise,stars\na,x,\n",
        ),
        (
            "a.jsonl",
            "{\"id\": 7, \"text\":\"x\\n\"}\r\n\n  {\"text\":\"\u{e9}\",\"id\": \"8\"}  \n{\"text\":\"z\",\"id\":9}",
            "7 8",
            "{\"id\": 7, \"text\":\"x\\n\"}\r\n  {\"text\":\"\u{e9}\",\"id\": \"8\"}  \n",
        ),
        (
            "a.jsonl",
            "{\"text\":\"x\"}\n\n{\"text\":\"y\"}",
            "1",
            "{\"text\":\"y\"}",
        ),
    ] {
        let folder = Scratch::new();
        folder.write(name, text);
        let output = name.replace("a.", "out.");
        kept(&folder, name, guids, &output);
        let got = std::fs::read_to_string(folder.at(&output)).unwrap();
        assert_eq!(got, expected, "{name} {text:?}");
    }
}

/// Any rows of any text come out as they went in, and all of them are the whole file.
#[test]
fn all_rows_together_are_the_file() {
    let cells = [
        "x",
        "\"a, b\"",
        "\"two\r\nlines\"",
        "\"\"\"\"",
        "\"\"",
        " ",
        "\u{fc}",
    ];
    let ends = ["\n", "\r\n"];
    let mut n = 0;
    let mut next = |limit: usize| {
        n = (n * 48_271 + 11) % 0x7fff_ffff;
        n % limit
    };
    for _ in 0..50 {
        let folder = Scratch::new();
        let rows: Vec<String> = (0..20)
            .map(|i| format!("{i},{},{}{}", cells[next(7)], next(2), ends[next(2)]))
            .collect();
        let header = "id,text,label\n";
        folder.write("a.csv", header.to_owned() + &rows.concat());
        let path = folder.at("a.csv");
        let files = DataFiles::from(&path);
        let read = RawRows::read(&files, &DataConfig::default()).unwrap();
        let is_kept: Vec<bool> = (0..20).map(|_| next(3) > 0).collect();
        read.write(&is_kept, &folder.at("b.csv")).unwrap();
        let expected = rows.iter().zip(&is_kept).filter(|(_, is)| **is);
        let expected: String = expected.map(|(row, _)| row.as_str()).collect();
        assert_eq!(
            std::fs::read_to_string(folder.at("b.csv")).unwrap(),
            header.to_owned() + &expected
        );
        read.write(&[true; 20], &folder.at("b.csv")).unwrap();
        assert_eq!(
            std::fs::read(folder.at("b.csv")).unwrap(),
            std::fs::read(&path).unwrap()
        );
    }
}

#[test]
fn compressed_files_are_read_and_written_where_their_names_say_so() {
    let folder = Scratch::new();
    let text = "id,text,label\na,x,0\nb,y,1\n";
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    folder.write("a.csv.gz", encoder.finish().unwrap());
    kept(&folder, "a.csv.gz", "b", "plain.csv");
    kept(&folder, "a.csv.gz", "b", "out.csv.gz");
    let bytes = std::fs::read(folder.at("out.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "id,text,label\nb,y,1\n");
    assert_eq!(
        std::fs::read_to_string(folder.at("plain.csv")).unwrap(),
        text
    );
}

#[test]
fn parquet_files_keep_their_columns_and_types() {
    let folder = Scratch::new();
    let n = 20_000;
    let table = |rows: &[i64]| {
        Table::new()
            .with(
                "text",
                Column::Text(rows.iter().map(|i| format!("text {i}")).collect()),
            )
            .with(
                "id",
                Column::Integer(rows.iter().map(|i| i + 100).collect()),
            )
            .with(
                "weight",
                Column::Real(rows.iter().map(|i| *i as f64 / 7.0).collect()),
            )
            .with(
                "label",
                Column::Text(rows.iter().map(|i| (i % 2).to_string()).collect()),
            )
    };
    table(&(0..n).collect::<Vec<_>>())
        .write(&folder.at("a.parquet"))
        .unwrap();
    kept(&folder, "a.parquet", "100 8300 8301 20099", "b.parquet");
    let expected = table(&[0, 8200, 8201, 19_999]);
    assert_eq!(Table::read(&folder.at("b.parquet")).unwrap(), expected);

    // Without an id column they are row numbers.
    let mut unnamed = table(&[5, 6, 7]);
    unnamed.remove("id");
    unnamed.write(&folder.at("c.parquet")).unwrap();
    kept(&folder, "c.parquet", "0 2", "d.parquet");
    let texts = Table::read(&folder.at("d.parquet"))
        .unwrap()
        .texts("text")
        .unwrap();
    assert_eq!(texts, ["text 5", "text 7"]);
}

/// What Hugging Face's `datasets` notes of a file's columns is kept, and read again.
#[test]
fn parquet_files_keep_their_writers_notes() {
    let name = "tests/fixtures/parquet/class_label.parquet";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let folder = Scratch::new();
    let files = DataFiles::from(&path);
    let rows = RawRows::read(&files, &DataConfig::default()).unwrap();
    let all = vec![true; rows.guids.len()];
    rows.write(&all, &folder.at("b.parquet")).unwrap();
    let read = |path| enginora_rs::data::read_training(path, &DataConfig::default(), None);
    let (before, labels_before) = read(&path).unwrap();
    let (after, labels_after) = read(&folder.at("b.parquet")).unwrap();
    assert_eq!(after.examples, before.examples);
    assert_eq!(labels_after, labels_before);
    assert!(!labels_after.are_integers());
}

#[test]
fn rows_that_cannot_be_told_apart_are_an_error_with_their_lines() {
    for (name, text, expected) in [
        ("a.csv", "", "a.csv: the file is empty"),
        ("a.csv", "id,text,label\n", "a.csv: the file has no rows"),
        ("a.jsonl", "\n\n", "a.jsonl: the file has no rows"),
        (
            "a.csv",
            "id,text,label\na,x,0\nb,y\n",
            "a.csv:3: 2 cells where the first row has 3",
        ),
        (
            "a.csv",
            "id,text,label\na,x,0\n ,y,1\n",
            "a.csv:3: the id is empty",
        ),
        (
            "a.csv",
            "id,text,label\na,\"x,0\nb,y,1\n",
            "a.csv:2:3: this quote is never closed",
        ),
        (
            "a.csv",
            "id,text,label\na,x,0\nb,x,0\na,y,1\n",
            "a.csv:4: the id `a` is that of line 2 too",
        ),
        (
            "a.jsonl",
            "{\"id\":1}\n{\"id\":1.5}\n",
            "a.jsonl:2: `id` is `1.5`, expected a string",
        ),
        (
            "a.jsonl",
            "{\"id\":1}\n{\"x\":2}\n",
            "a.jsonl:2: no key `id`",
        ),
        (
            "a.jsonl",
            "{\"id\":1}\n[2]\n",
            "a.jsonl:2: expected a JSON object",
        ),
        (
            "a.csv",
            "id,id,label\na,x,0\n",
            "a.csv:1: two columns are called `id`",
        ),
        (
            "a.parquet",
            "PAR1",
            "a.parquet: not a readable Parquet file",
        ),
    ] {
        let folder = Scratch::new();
        let path = folder.write(name, text);
        let files = DataFiles::from(&path);
        let error = RawRows::read(&files, &DataConfig::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Data);
        let shown = folder.shown(&error);
        assert!(shown.starts_with(expected), "{shown}");
    }
}

/// Whatever a file holds, there are rows or an error.
#[test]
fn no_bytes_make_the_reader_panic() {
    let table = Table::new()
        .with("id", Column::Text(vec!["a".into(), "b".into()]))
        .with("text", Column::Text(vec!["x".into(), "y".into()]));
    let folder = Scratch::new();
    table.write(&folder.at("good.parquet")).unwrap();
    let parquet = std::fs::read(folder.at("good.parquet")).unwrap();
    let csv = "\u{feff}id,text,label\r\na,\"x\n\"\"y\",0\n\nb,z,1".as_bytes();
    let json = "{\"id\":1,\"text\":\"x\"}\n\n{\"id\":\"b\"}".as_bytes();
    let strange = [0, b'\n', b'\r', b'"', b',', b'\t', b'{', b' ', 0x80, 0xff];
    let mut n_read = 0;
    for (name, good) in [
        ("a.csv", csv),
        ("a.tsv", csv),
        ("a.txt", csv),
        ("a.jsonl", json),
        ("a.parquet", &parquet),
    ] {
        let n = good.len();
        let step = n.div_ceil(60);
        for at in (0..n).step_by(step) {
            let cut = good[..at].to_vec();
            let changed = strange.iter().map(|byte| {
                let mut bytes = good.to_vec();
                bytes[at] = *byte;
                bytes
            });
            for bytes in changed.chain([cut]) {
                let path = folder.write(name, &bytes);
                let files = DataFiles::from(&path);
                let read = RawRows::read(&files, &DataConfig::default());
                let Ok(rows) = read else { continue };
                n_read += 1;
                // Not all of them: every file is synced.
                if n_read % 20 == 0 || name == "a.parquet" && n_read % 4 == 0 {
                    let is_kept = vec![true; rows.guids.len()];
                    let _ = rows.write(&is_kept, &folder.at("out"));
                }
            }
        }
    }
    assert!(n_read > 500, "{n_read}");
}

#[test]
fn the_rows_of_several_files_follow_one_another_below_one_header() {
    let check = |files: &[(&str, &str)], kept: &str, output: &str, expected: &str| {
        let folder = Scratch::new();
        let paths: Vec<_> = files
            .iter()
            .map(|(name, text)| folder.write(name, text))
            .collect();
        let files = DataFiles::find(std::path::Path::new(""), &paths).unwrap();
        let rows = RawRows::read(&files, &DataConfig::default()).unwrap();
        let kept: Vec<&str> = kept.split(' ').collect();
        let is_kept = rows.guids.iter().map(|guid| kept.contains(&guid.as_str()));
        let is_kept: Vec<bool> = is_kept.collect();
        rows.write(&is_kept, &folder.at(output)).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.at(output)).unwrap(),
            expected
        );
    };
    let first = ("a.csv", "id,text,label\r\n1,one,x\r\n2,\"t\nwo\",y");
    let second = ("b.csv", "\u{feff}id,text,label\n3,three,x\n4,four,y\n");
    // The last row of a file may have no end of its line; the file's own comes after it.
    let both = "id,text,label\r\n2,\"t\nwo\",y\r\n3,three,x\n";
    check(&[first, second], "2 3", "out.csv", both);
    check(
        &[first, second],
        "4",
        "out.csv",
        "id,text,label\r\n4,four,y\n",
    );
    check(
        &[second, first],
        "4 2",
        "out.csv",
        "\u{feff}id,text,label\n4,four,y\n2,\"t\nwo\",y",
    );
    check(
        &[
            ("a.jsonl", "{\"id\":\"1\"}"),
            ("b.jsonl", "{\"id\":\"2\"}\n"),
        ],
        "1 2",
        "out.jsonl",
        "{\"id\":\"1\"}\n{\"id\":\"2\"}\n",
    );
    // Without ids they are the row numbers over all files.
    let without = |name| (name, "text,label\na,x\nb,y\n");
    check(
        &[without("a.csv"), without("b.csv")],
        "1 2",
        "out.csv",
        "text,label\nb,y\na,x\n",
    );
}

#[test]
fn files_that_cannot_be_one_are_refused() {
    let check = |files: &[(&str, &str)], expected: &str| {
        let folder = Scratch::new();
        let paths: Vec<_> = files
            .iter()
            .map(|(name, text)| folder.write(name, text))
            .collect();
        let files = DataFiles::find(std::path::Path::new(""), &paths).unwrap();
        let error = RawRows::read(&files, &DataConfig::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Data);
        let shown = folder.shown(&error);
        assert!(shown.starts_with(expected), "{shown}");
    };
    let csv = ("a.csv", "id,text,label\n1,one,x\n2,two,y\n");
    check(
        &[csv, ("b.tsv", "id\ttext\tlabel\n3\tone\tx\n")],
        "b.tsv: the file has another format than `a.csv`",
    );
    check(
        &[csv, ("b.csv", "id,label,text\n3,x,one\n")],
        "b.csv: the file has the columns id, label, text, separated by commas, but `a.csv` has the columns id, text, label, separated by commas",
    );
    check(
        &[csv, ("b.csv", "3,x,one\n4,y,two\n")],
        "b.csv: the file has 3 columns without a header, separated by commas, but `a.csv` has the columns",
    );
    check(
        &[csv, ("b.csv", "id,text,label\n2,three,x\n")],
        "b.csv:2: the id `2` is that of a.csv:3 too",
    );
    check(
        &[
            ("a.jsonl", "{\"id\":\"1\"}\n"),
            ("b.jsonl", "{\"text\":\"2\"}\n"),
        ],
        "b.jsonl: the file has no ids, but `a.jsonl` has ids",
    );
}

#[test]
fn the_rows_of_several_parquet_files_are_put_together() {
    let folder = Scratch::new();
    let table = |ids: &[i64]| {
        let texts = ids.iter().map(|id| format!("text {id}")).collect();
        Table::new()
            .with("id", Column::Integer(ids.to_vec()))
            .with("text", Column::Text(texts))
    };
    let paths = [("a.parquet", vec![1, 2, 3]), ("b.parquet", vec![4, 5])].map(|(name, ids)| {
        table(&ids).write(&folder.at(name)).unwrap();
        folder.at(name)
    });
    let files = DataFiles::find(std::path::Path::new(""), &paths).unwrap();
    let rows = RawRows::read(&files, &DataConfig::default()).unwrap();
    assert_eq!(rows.guids, ["1", "2", "3", "4", "5"]);
    rows.write(&[false, true, false, true, true], &folder.at("c.parquet"))
        .unwrap();
    assert_eq!(
        Table::read(&folder.at("c.parquet")).unwrap(),
        table(&[2, 4, 5])
    );

    Table::new()
        .with("id", Column::Text(vec!["6".to_owned()]))
        .with("text", Column::Text(vec!["t".to_owned()]))
        .write(&folder.at("b.parquet"))
        .unwrap();
    let error = RawRows::read(&files, &DataConfig::default()).err().unwrap();
    let expected = "b.parquet: the file has the columns id (Utf8), text (Utf8), but `a.parquet` has the columns id (Int64), text (Utf8)";
    assert!(folder.shown(&error).starts_with(expected), "{error}");
}
