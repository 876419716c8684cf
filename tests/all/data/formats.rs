//! Compressed files, and quotes that are characters.

use std::io::Write;

use enginora_rs::config::{DataConfig, Quoting};
use enginora_rs::data::read_training;
use enginora_rs::error::ErrorKind;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::config;
use super::good_files::contents;
use crate::scratch::Scratch;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

const CSV: &[u8] = b"text,label\na,1\nb,0\n";

#[test]
fn every_text_format_may_be_compressed() {
    let two_members = [gzip(&CSV[..14]), gzip(b""), gzip(&CSV[14..])].concat();
    let folder = Scratch::new();
    for (name, bytes) in [
        ("train.csv.gz", gzip(CSV)),
        ("train.CSV.GZ", gzip(CSV)),
        ("named_as_if_it_were_not.csv", gzip(CSV)),
        ("two_members.csv.gz", two_members),
        ("train.tsv.gz", gzip(b"text\tlabel\na\t1\nb\t0\n")),
        ("train.txt.gz", gzip(b"a\t1\nb\t0\n")),
        ("train.gz", gzip(b"\xef\xbb\xbfa,1\nb,0\n")),
        (
            "train.jsonl.gz",
            gzip(b"{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 0}\n"),
        ),
    ] {
        let path = folder.write(name, bytes);
        let (dataset, space) = read_training(&path, &config(|_| ()), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = [["0", "a", "-", "1"], ["1", "b", "-", "0"]];
        assert_eq!(contents(&dataset, &space), expected, "{name}");
    }
}

#[test]
fn what_is_wrong_in_a_compressed_file_is_said_with_its_line() {
    let whole = gzip(&b"text,label\na,1\nb,0\n".repeat(50));
    let mut damaged = whole.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    let again = "\n  hint: copy or download it anew; `gzip -t` says whether a file is whole";
    let folder = Scratch::new();
    for (name, bytes, expected) in [
        (
            "short_row.csv.gz",
            [gzip(b"text,label\na,1\n"), gzip(b"b,0\nc\n")].concat(),
            "short_row.csv.gz:4: 1 cell where the first row has 2".to_owned(),
        ),
        (
            "latin1.csv.gz",
            gzip(b"text,label\na,1\n\xe9,0\n"),
            "latin1.csv.gz:3: invalid UTF-8: byte 1 of the line is 0xe9\n  hint: save the file as UTF-8".to_owned(),
        ),
        (
            "cut_off.csv.gz",
            whole[..whole.len() / 2].to_vec(),
            format!("cut_off.csv.gz: the gzip file is cut off{again}"),
        ),
        (
            "without_its_end.csv",
            whole[..whole.len() - 1].to_vec(),
            format!("without_its_end.csv: the gzip file is cut off{again}"),
        ),
        (
            "damaged.csv.gz",
            damaged,
            format!("damaged.csv.gz: the gzip file is damaged: corrupt gzip stream does not have a matching checksum{again}"),
        ),
        (
            "more_behind_it.csv.gz",
            [whole.as_slice(), b"text"].concat(),
            format!("more_behind_it.csv.gz: the gzip file is cut off{again}"),
        ),
        (
            "plain.csv.gz",
            CSV.to_vec(),
            "plain.csv.gz: not a gzip file\n  hint: if it is not compressed, give it a name without `.gz`".to_owned(),
        ),
        ("empty.csv.gz", Vec::new(), "empty.csv.gz: the file is empty".to_owned()),
        ("of_nothing.csv.gz", gzip(b""), "of_nothing.csv.gz: the file is empty".to_owned()),
        (
            "table.parquet.gz",
            gzip(b"PAR1"),
            "table.parquet.gz: cannot read compressed Parquet files\n  hint: Parquet compresses by itself: uncompress it with `gunzip`".to_owned(),
        ),
    ] {
        let path = folder.write(name, bytes);
        let error = read_training(&path, &config(|_| ()), None).unwrap_err();
        assert_eq!(folder.shown(&error), expected, "{name}");
        assert_eq!(error.kind(), ErrorKind::Data, "{name}");
    }
}

type QuoteCase<'a> = (&'a str, &'a str, fn(&mut DataConfig), &'a [&'a str]);

#[test]
fn quotes_enclose_cells_only_where_the_file_or_the_config_says_so() {
    let cases: &[QuoteCase] = &[
        (
            "glue.tsv",
            "sentence\tlabel\n\"\"\"loose\t1\n\"a \"\"b\"\"\"\t0\n\"c\t1\n\"\"\t0\nd \"\t1\n",
            |_| (),
            &["\"\"\"loose", "\"a \"\"b\"\"\"", "\"c", "\"\"", "d \""],
        ),
        (
            "as_pandas_writes_it.tsv",
            "text\tlabel\n\"a \"\"b\"\"\"\t0\nc\t1\n\"d\te\"\t1\n\"f\ng\"\t0\n",
            |_| (),
            &["a \"b\"", "c", "d\te", "f\ng"],
        ),
        (
            "one_loose_quote_makes_all_literal.tsv",
            "text\tlabel\n\"a \"\"b\"\"\"\t0\n5\" nails\t1\n",
            |_| (),
            &["\"a \"\"b\"\"\"", "5\" nails"],
        ),
        (
            "needlessly_quoted.tsv",
            "text\tlabel\n\" a \"\t0\nb\t1\n",
            |_| (),
            &["\" a \"", "b"],
        ),
        (
            "all_quoted_but_the_labels.tsv",
            "text\tlabel\n\"a\"\t0\n\"b\"\t1\n",
            |c| c.quoting = Quoting::Minimal,
            &["a", "b"],
        ),
        (
            "literal_on_request.tsv",
            "\"text\"\t\"label\"\n\"a\"\t1\n\"b\t0\n",
            |c| {
                c.quoting = Quoting::None;
                (c.text_column, c.label_column) =
                    (Some("\"text\"".into()), Some("\"label\"".into()));
            },
            &["\"a\"", "\"b"],
        ),
        (
            "literal_on_request.csv",
            "text,label\n\"a,1\nb \"\",0\n",
            |c| c.quoting = Quoting::None,
            &["\"a", "b \"\""],
        ),
        (
            "literal_on_request.txt",
            "\"a,b\t1\nc\"\t0\n",
            |c| c.quoting = Quoting::None,
            &["\"a,b", "c\""],
        ),
    ];
    let folder = Scratch::new();
    for (name, text, change, expected) in cases {
        let path = folder.write(name, text);
        let (dataset, _) = read_training(&path, &config(change), None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let texts: Vec<&str> = dataset.examples.iter().map(|e| e.text.as_str()).collect();
        assert_eq!(texts, *expected, "{name}");
    }
}
