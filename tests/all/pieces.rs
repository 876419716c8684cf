//! Texts from files of any size, a piece at a time.

use std::io::Write;
use std::path::Path;

use enginora_rs::config::DataConfig;
use enginora_rs::data::{DataFiles, read_in_pieces};
use enginora_rs::error::Result;

use crate::scratch::Scratch;

/// Ids, texts and second texts of all pieces, and how many pieces there were.
type Texts = Vec<(String, String, Option<String>)>;

fn read(path: &Path, piece_bytes: usize) -> Result<(Texts, usize)> {
    let mut texts = Vec::new();
    let mut n_pieces = 0;
    let files = DataFiles::from(path);
    read_in_pieces(&files, &DataConfig::default(), piece_bytes, |dataset| {
        n_pieces += 1;
        let examples = dataset.examples.into_iter();
        texts.extend(examples.map(|e| (e.guid, e.text, e.text_pair)));
        Ok(())
    })?;
    Ok((texts, n_pieces))
}

const WHOLE: usize = 1 << 20;

#[test]
fn pieces_of_any_size_hold_the_same_texts() {
    let scratch = Scratch::new();
    let check = |name: &str, content: &[u8], expected: &[(&str, &str)]| {
        let path = scratch.write(name, content);
        let (whole, n_pieces) = read(&path, WHOLE).unwrap();
        assert_eq!(n_pieces, 1, "{name}");
        let got: Vec<(&str, &str)> = whole.iter().map(|t| (&*t.0, &*t.1)).collect();
        assert_eq!(got, expected, "{name}");
        for piece_bytes in [1, 7, 16, 40] {
            let (texts, n_pieces) = read(&path, piece_bytes).unwrap();
            assert_eq!(texts, whole, "{name} in pieces of {piece_bytes} bytes");
            assert!(
                piece_bytes > 16 || n_pieces > 1,
                "{name} in {n_pieces} pieces"
            );
        }
    };
    check(
        "lines.txt",
        b"one, two\nthree\n\"four\n\nfive\n",
        &[
            ("0", "one, two"),
            ("1", "three"),
            ("2", "\"four"),
            ("3", ""),
            ("4", "five"),
        ],
    );
    check(
        "header.csv",
        b"text,label\n\"a\nb, c\",0\nsecond,1\n\"the \"\"third\"\"\",1\n",
        &[("0", "a\nb, c"), ("1", "second"), ("2", "the \"third\"")],
    );
    check(
        "none.csv",
        b"first text,0\nsecond text,1\nlabel,1\nfourth text,1",
        &[
            ("0", "first text"),
            ("1", "second text"),
            ("2", "label"),
            ("3", "fourth text"),
        ],
    );
    check(
        "ids.tsv",
        b"id\ttext\na\tplain enough\nb\tit's 5\" long\nc\tmore\n",
        &[("a", "plain enough"), ("b", "it's 5\" long"), ("c", "more")],
    );
    check(
        "objects.jsonl",
        b"{\"text\": \"a \\\" b\"}\n\n{\"text\": \"c\"}\n{\"text\": \"d\"}\n",
        &[("0", "a \" b"), ("1", "c"), ("2", "d")],
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"one line\nand another\nand a third\n")
        .unwrap();
    check(
        "lines.txt.gz",
        &gzip.finish().unwrap(),
        &[
            ("0", "one line"),
            ("1", "and another"),
            ("2", "and a third"),
        ],
    );
}

#[test]
fn what_is_wrong_in_a_later_piece_is_said_with_its_line_in_the_file() {
    let scratch = Scratch::new();
    let check = |name: &str, content: &[u8], expected: &str| {
        let path = scratch.write(name, content);
        for piece_bytes in [1, 9, WHOLE] {
            let error = read(&path, piece_bytes).unwrap_err().to_string();
            let error = error.replace(&*path.to_string_lossy(), name);
            assert!(error.starts_with(expected), "{piece_bytes}: {error}");
        }
    };
    check(
        "a.csv",
        b"text,note\none,1\ntwo,2\nthree,3,4\n",
        "a.csv:4: 3 cells",
    );
    check(
        "b.jsonl",
        b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n{\"text\": 3}\n",
        "b.jsonl:3: `text` is `3`",
    );
    check("c.txt", b"one\ntwo\n\xff\n", "c.txt:3: invalid UTF-8");
    check("d.csv", b"", "d.csv: the file is empty");
    check("d.txt", b"", "d.txt: the file is empty");
    check("e.csv.gz", b"text\n", "e.csv.gz: not a gzip file");
}
