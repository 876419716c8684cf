//! Tables in five formats, there and back, and what is no table.

use std::fs;

use enginora_rs::data::{Column, Table};
use enginora_rs::error::ErrorKind;

use crate::scratch::{Scratch, uniform};

const EXTENSIONS: [&str; 5] = ["parquet", "csv", "tsv", "jsonl", "pickle"];

/// Whatever a format could take for something else.
const TEXTS: [&str; 18] = [
    "",
    " ",
    "a, b",
    "say \"no\"",
    "\"",
    "tab\there",
    "two\nlines",
    "cr\r\nlf",
    "é ü 中文 🙂",
    "007",
    "1e5",
    "nan",
    "inf",
    "1.50",
    "true",
    "null",
    "[1]",
    "\u{0}\u{1f}\\",
];

const INTEGERS: [i64; 18] = [
    0,
    1,
    -1,
    255,
    256,
    65_535,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    i32::MAX as i64 + 1,
    i32::MIN as i64 - 1,
    i64::MAX,
    i64::MIN,
    1 << 53,
    (1 << 53) + 1,
    -(1 << 53) - 1,
    42,
    -7,
];

const REALS: [f64; 18] = [
    0.0,
    1.0,
    -2.0,
    0.1 + 0.2,
    1e-300,
    5e-324,
    f64::MAX,
    f64::MIN_POSITIVE,
    1e300,
    -1e-7,
    std::f64::consts::PI,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.999_999_999_999_999_9,
    1e16,
    1e15,
    123_456_789.123_456_78,
];

fn everything() -> Table {
    let lists = (0..TEXTS.len()).map(|n| REALS[..n % 4].to_vec());
    Table::new()
        .with(
            "text, \"quoted\"",
            Column::Text(TEXTS.map(String::from).to_vec()),
        )
        .with("integer", Column::Integer(INTEGERS.to_vec()))
        .with("real", Column::Real(REALS.to_vec()))
        .with("list", Column::RealList(lists.collect()))
        .with("last", Column::Text(vec!["é".to_owned(); TEXTS.len()]))
}

/// The same numbers to the last bit, any NaN being a NaN.
fn same(a: &[f64], b: &[f64]) -> bool {
    let bits = |x: &f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
    a.iter().map(bits).eq(b.iter().map(bits))
}

#[test]
fn every_format_gives_back_what_went_in() {
    let scratch = Scratch::new();
    for extension in EXTENSIONS {
        let path = scratch.at(&format!("t.{extension}"));
        everything().write(&path).unwrap();
        let got = Table::read(&path).unwrap();
        assert_eq!(got.n_rows(), TEXTS.len(), "{extension}");
        assert_eq!(got.texts("text, \"quoted\"").unwrap(), TEXTS, "{extension}");
        let integers = got.texts("integer").unwrap();
        assert_eq!(integers, INTEGERS.map(|x| x.to_string()), "{extension}");
        assert!(same(
            &got.reals("integer").unwrap(),
            &INTEGERS.map(|x| x as f64)
        ));
        let reals = got.reals("real").unwrap();
        assert!(same(&reals, &REALS), "{extension}: {reals:?}");
        assert_eq!(got.texts("last").unwrap()[17], "é");
        assert!(got.texts("nothing").is_none() && got.reals("nothing").is_none());
        assert!(got.reals("text, \"quoted\"").is_none());
        // What has lists leaves them out; in the others they are cells of text.
        let lists = got.texts("list");
        match extension {
            "csv" | "tsv" => assert_eq!(lists.unwrap()[2..4], ["[0.0,1.0]", "[0.0,1.0,-2.0]"]),
            _ => assert!(lists.is_none() && got.reals("list").is_none()),
        }
    }
}

#[test]
fn a_table_without_rows_comes_back_without_rows() {
    let scratch = Scratch::new();
    let empty = Table::new()
        .with("guid", Column::Text(Vec::new()))
        .with("x", Column::Real(Vec::new()));
    for extension in EXTENSIONS {
        let path = scratch.at(&format!("t.{extension}"));
        empty.write(&path).unwrap();
        assert_eq!(Table::read(&path).unwrap().n_rows(), 0, "{extension}");
    }
}

#[test]
fn the_same_table_has_the_same_bytes() {
    let scratch = Scratch::new();
    for extension in EXTENSIONS {
        let (a, b) = (format!("a.{extension}"), format!("b.{extension}"));
        everything().write(&scratch.at(&a)).unwrap();
        everything().write(&scratch.at(&b)).unwrap();
        let read = |name: &str| fs::read(scratch.at(name)).unwrap();
        assert!(read(&a) == read(&b), "{extension}");
    }
}

#[test]
fn texts_stay_texts_where_the_format_tells_them_from_numbers() {
    let scratch = Scratch::new();
    let check = |name: &str, bytes: &[u8], texts: Option<&[&str]>, reals: Option<&[f64]>| {
        let table = Table::read(&scratch.write(name, bytes)).unwrap();
        let texts = texts.map(|t| t.iter().map(ToString::to_string).collect());
        assert_eq!(table.texts("a"), texts, "{name}");
        assert_eq!(table.reals("a").is_some(), reals.is_some(), "{name}");
        assert!(same(
            &table.reals("a").unwrap_or_default(),
            reals.unwrap_or_default()
        ));
    };
    let nan = f64::NAN;
    check(
        "t.csv",
        b"a\n007\n1\n",
        Some(&["007", "1"]),
        Some(&[7.0, 1.0]),
    );
    check(
        "bom.csv",
        b"\xef\xbb\xbfa,b\r\n 2 ,\r\n",
        Some(&[" 2 "]),
        Some(&[2.0]),
    );
    check(
        "t.tsv",
        b"b\ta\nx\t0.5\nx\t\n",
        Some(&["0.5", ""]),
        Some(&[0.5, nan]),
    );
    check(
        "t.JSONL",
        b"{\"a\":\"007\"}\n\n{\"a\":8}\n",
        Some(&["007", "8"]),
        Some(&[7.0, 8.0]),
    );
    check(
        "bom.jsonl",
        b"\xef\xbb\xbf{\"a\":1}\r\n{\"a\":2}",
        Some(&["1", "2"]),
        Some(&[1.0, 2.0]),
    );
    check(
        "null.jsonl",
        b"{\"a\":1}\n{\"a\":null}",
        None,
        Some(&[1.0, nan]),
    );
    check("bool.jsonl", b"{\"a\":true}", Some(&["true"]), None);
    let large = b"{\"a\":18446744073709551615}";
    check(
        "large.jsonl",
        large,
        Some(&["18446744073709551615"]),
        Some(&[u64::MAX as f64]),
    );
    check("nested.jsonl", b"{\"a\":[1,{\"b\":2}]}", None, None);
    // {'a': 2**64 - 1}, {'a': 2**100}, {'a': (1, 2)}, {'a': True}, {'a': None}
    let pickle = |value: &[u8]| [b"\x80\x04]}X\x01\0\0\0a", value, b"sa."].concat();
    let max = pickle(b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\0");
    check(
        "max.pkl",
        &max,
        Some(&["18446744073709551615"]),
        Some(&[u64::MAX as f64]),
    );
    let wide = pickle(b"\x8a\x0d\0\0\0\0\0\0\0\0\0\0\0\0\x10");
    let power = "1267650600228229401496703205376";
    check(
        "wide.pkl",
        &wide,
        Some(&[power]),
        Some(&[2.0_f64.powi(100)]),
    );
    check("tuple.pkl", &pickle(b"K\x01K\x02\x86"), None, None);
    check("true.pkl", &pickle(b"\x88"), Some(&["true"]), None);
    check("none.pkl", &pickle(b"N"), None, Some(&[nan]));
}

#[test]
fn pickles_of_python_are_read() {
    // pickle.dumps([{'guid': 'é', 'x': 0.5}, {'guid': 'b', 'x': 2}], protocol) of Python 3.11.7.
    let two = b"\x80\x02]q\0(}q\x01(X\x04\0\0\0guidq\x02X\x02\0\0\0\xc3\xa9q\x03X\x01\0\0\0xq\x04\
        G?\xe0\0\0\0\0\0\0u}q\x05(h\x02X\x01\0\0\0bq\x06h\x04K\x02ue.";
    let five = b"\x80\x05\x950\0\0\0\0\0\0\0]\x94(}\x94(\x8c\x04guid\x94\x8c\x02\xc3\xa9\x94\
        \x8c\x01x\x94G?\xe0\0\0\0\0\0\0u}\x94(h\x02\x8c\x01b\x94h\x04K\x02ue.";
    let scratch = Scratch::new();
    for bytes in [&two[..], &five[..]] {
        let table = Table::read(&scratch.write("t.pickle", bytes)).unwrap();
        assert_eq!(table.texts("guid").unwrap(), ["é", "b"]);
        assert_eq!(table.reals("x").unwrap(), [0.5, 2.0]);
    }
}

#[test]
fn what_is_no_table_is_refused() {
    let scratch = Scratch::new();
    let check = |name: &str, bytes: &[u8], message: &str| {
        let error = Table::read(&scratch.write(name, bytes)).unwrap_err();
        let shown = scratch.shown(&error);
        assert_eq!(error.kind(), ErrorKind::Data, "{shown}");
        assert!(shown.starts_with(message), "{shown}\nnot\n{message}");
    };
    check(
        "t.xlsx",
        b"",
        "t.xlsx: `.xlsx` is no table; allowed: .parquet, .csv,",
    );
    check("t", b"", "t: `.` is no table");
    check("t.csv", b"a,b\n1,2\n3\n", "t.csv:3: not a table: ");
    check("t.csv", b"a\n\xff\n", "t.csv:2: not a table: ");
    check(
        "t.jsonl",
        b"{\"a\":1}\n{\"a\":}\n",
        "t.jsonl:2:6: not a JSON object: ",
    );
    check(
        "t.jsonl",
        b"{\"a\":1}\n[1]\n",
        "t.jsonl:2:1: not a JSON object: ",
    );
    check(
        "t.jsonl",
        b"{\"a\":1}\n{\"b\":1}\n",
        "t.jsonl: row 2 lacks `a`, which row 1 has",
    );
    check(
        "t.jsonl",
        "{\"a\":".repeat(100_000).as_bytes(),
        "t.jsonl:1:",
    );
    check(
        "t.parquet",
        b"PAR1 and more",
        "t.parquet: not a Parquet table: ",
    );
    let no_list = "t.pickle: not a pickled list of dicts: ";
    let check = |bytes: &[u8], why: &str| check("t.pickle", bytes, &format!("{no_list}{why}"));
    check(b"", "it ends in the middle");
    check(b"\x80\x04}.", "it holds something else than a list");
    check(b"\x80\x04]K\x01a.", "row 1 is not a dict");
    check(b"\x80\x04].].", "2 bytes follow it");
    check(b"\x80\x04]}K\x01K\x02sa.", "the key 1 is not a text");
    check(b"\x80\x04]}(X\x01\0\0\0aua.", "a key has no value");
    check(
        b"(I1\nl.",
        "the byte 0x49 at 1 starts no plain value of protocols 2 to 5",
    );
    check(
        b"]cnumpy.core.multiarray\nscalar\n",
        "it holds a Python object, `numpy.core.multiarray.scalar`; convert it",
    );
    check(
        b"\x8c\x05numpy\x8c\x05dtype\x93",
        "it holds a Python object, `numpy.dtype`; convert it",
    );
}

#[test]
fn pickles_cannot_exhaust_the_stack_or_the_memory() {
    let scratch = Scratch::new();
    let check = |bytes: &[u8], why: &str| {
        let error = Table::read(&scratch.write("t.pickle", bytes)).unwrap_err();
        let shown = scratch.shown(&error);
        assert_eq!(
            shown,
            format!("t.pickle: not a pickled list of dicts: {why}")
        );
    };
    // A tuple in a tuple in a tuple, and lists in the same way.
    let deep = "it is nested more than 32 deep";
    check(
        &[b"]".to_vec(), vec![0x85; 3_000_000], b".".to_vec()].concat(),
        deep,
    );
    check(
        &[vec![b']'; 1_000_000], vec![b'a'; 999_999], vec![b'.']].concat(),
        deep,
    );
    // Sizes that the file does not have.
    check(b"]X\xff\xff\xff\xffa", "it ends in the middle");
    check(
        b"]\x8d\xff\xff\xff\xff\xff\xff\xff\xffa",
        "it ends in the middle",
    );
    // A list that holds itself twice, whose copies double: [x, x] with x = [y, y] with ...
    check(
        b"]q\x01]q\x02h\x01",
        "one list or dict stands in two places; copy it",
    );
    check(
        b"K\x012\x86",
        "the byte 0x32 at 2 starts no plain value of protocols 2 to 5",
    );
    // One long text, over and over.
    let text = [&b"](X\0\0\x10\0"[..], &b"x".repeat(1 << 20), b"q\x01"].concat();
    let many = [text, b"h\x01".repeat(1 << 20), b"e.".to_vec()].concat();
    check(&many, "it repeats long texts too often");
    // Marks without values, and values taken from below a mark.
    check(&b"(".repeat(1_000_000), "it ends in the middle");
    check(b"](ae.", "a value is missing");
}

#[test]
fn damaged_files_give_a_table_or_an_error() {
    let scratch = Scratch::new();
    for extension in EXTENSIONS {
        let path = scratch.at(&format!("t.{extension}"));
        everything().write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            if let Err(error) = Table::read(&path) {
                assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            }
        };
        for length in (0..whole.len()).step_by(5) {
            read(&whole[..length]);
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            read(&bytes);
        }
        let mut uniform = uniform(3);
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=(8.0 * uniform()) as usize {
                let at = (bytes.len() as f64 * uniform()) as usize;
                bytes[at] = (256.0 * uniform()) as u8;
            }
            read(&bytes);
        }
    }
}
