//! The conditions of `--where`.

use enginora_rs::data::{Column, Table};
use enginora_rs::error::{ErrorKind, Result};
use enginora_rs::map::Condition;

fn table() -> Table {
    let texts = |texts: [&str; 5]| Column::Text(texts.map(str::to_owned).to_vec());
    Table::new()
        .with("guid", Column::Integer(vec![10, 11, 12, 13, 14]))
        .with("label", texts(["neg", "pos", "pos", "it's", ""]))
        .with("cell", texts(["1", "2.5", "", " 3 ", "-4e0"]))
        .with("x", Column::Real(vec![0.5, -1.0, f64::NAN, 2.0, 1e-3]))
        .with("forgetfulness", Column::Integer(vec![0, 1, 2, 1000, 0]))
        .with("is old", Column::Integer(vec![0, 1, 0, 1, 0]))
        .with("Größe", Column::Integer(vec![1, 2, 3, 4, 5]))
        .with("or", Column::Integer(vec![1, 0, 0, 0, 0]))
        .with("a`b", Column::Integer(vec![0, 0, 0, 0, 7]))
}

fn rows(condition: &str) -> Result<Vec<bool>> {
    let table = table();
    Condition::parse(condition, table.names())?.rows(&table)
}

#[test]
fn conditions_keep_the_rows_that_fulfil_them() {
    let check = |condition: &str, expected: &[usize]| {
        let rows = rows(condition).unwrap();
        let kept: Vec<usize> = (0..rows.len()).filter(|row| rows[*row]).collect();
        assert_eq!(kept, expected, "{condition}");
    };
    check("forgetfulness>=1", &[1, 2]);
    // What was never learnt is no number of times, but for the table's own number.
    check("forgetfulness = never", &[3]);
    check("forgetfulness = 'never'", &[3]);
    check("forgetfulness=NEVER or forgetfulness = 0", &[0, 3, 4]);
    check("forgetfulness != never", &[0, 1, 2, 4]);
    check("forgetfulness < 2", &[0, 1, 4]);
    check("forgetfulness != 0", &[1, 2]);
    check("not forgetfulness >= 1", &[0, 3, 4]);
    check("forgetfulness < 1000", &[0, 1, 2, 4]);
    check("forgetfulness = 1000", &[3]);
    check("forgetfulness >= 1000", &[3]);
    check("guid >= 12 and forgetfulness != never", &[2, 4]);
    check("forgetfulness >= 1 and label='pos'", &[1, 2]);
    check("forgetfulness>=1 and label=\"neg\"", &[]);
    check("x<0.5", &[1, 4]);
    check("x<=.5", &[0, 1, 4]);
    check("x=5e-1", &[0]);
    check("x==+0.5E0", &[0]);
    check("x>-1", &[0, 3, 4]);
    check("\tx\n> 1\r\n", &[3]);
    // A missing value is neither equal nor unequal to anything.
    check("x!=0.5", &[1, 3, 4]);
    check("not x=0.5", &[1, 2, 3, 4]);
    check("label!='neg'", &[1, 2, 3]);
    check("label=''", &[]);
    check("label='it''s'", &[3]);
    check("label=\"it's\"", &[3]);
    // Numbers written as texts, and whole numbers as texts.
    check("cell>=1", &[0, 1, 3]);
    check("cell='2.5'", &[1]);
    check("guid='12'", &[2]);
    check("guid!='12'", &[0, 1, 3, 4]);
    // `and` binds tighter than `or`, `not` tighter than both.
    check("guid=10 or guid=11 and x>0", &[0]);
    check("(guid=10 or guid=11) and x<0", &[1]);
    check("not guid=10 and not guid=11", &[2, 3, 4]);
    check("not (guid=10 or guid=11)", &[2, 3, 4]);
    check("NOT not guid=10 OR guid=14", &[0, 4]);
    check("guid=10 or guid=12 or guid=14", &[0, 2, 4]);
    check("((guid>10))and(guid<13)", &[1, 2]);
    // Any column has a name in backticks.
    check("`is old`=1 and Größe<3", &[1]);
    check("`or`=1", &[0]);
    check("`a``b`=7", &[4]);
}

#[test]
fn a_wrong_condition_is_shown_with_a_mark_under_the_place() {
    let check = |condition: &str, message: &str, column: usize| {
        let error = rows(condition).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{condition}");
        let problem = &error.problems()[0];
        let lines: Vec<&str> = problem.message.lines().collect();
        assert_eq!(lines.len(), 3, "{problem}");
        assert!(lines[0].contains(message), "{condition}: {problem}");
        assert_eq!(
            lines[2].chars().count(),
            4 + column,
            "{condition}: {problem}"
        );
        assert!(lines[2].trim_start() == "^");
        let hint = problem.hint.as_deref().unwrap();
        assert!(hint.contains("the columns are guid, label, cell, x, forgetfulness"));
    };
    check("", "expected a column's name, but this is its end", 1);
    check("  ", "expected a column's name, but this is its end", 3);
    check("5<x", "expected a column's name, not `5`", 1);
    check(
        "x",
        "expected one of = != < <= > >=, but this is its end",
        2,
    );
    check("x ~ 3", "expected one of = != < <= > >=, not `~`", 3);
    check("x >", "expected a number, or a text in quotes, but", 4);
    check(
        "x > >",
        "expected a number, or a text in quotes, not `>`",
        5,
    );
    check("x > 1..2", "`1..2` is not a number", 5);
    check("x > 1e999", "`1e999` is not a number", 5);
    check("x > 5and guid=1", "`5and` is not a number", 5);
    check("label = neg", "a text is in quotes: 'neg'", 9);
    check("x > nan", "`nan` is not a number", 5);
    check("x = never", "`never` is for `forgetfulness` alone", 5);
    check("forgetfulness = nev", "`nev` is not a number", 17);
    check(
        "forgetfulness > never",
        "never learnt is no number of times",
        1,
    );
    check("label = 'neg", "this ' is not closed", 9);
    check("`x > 1", "this ` is not closed", 1);
    check("x > 1 x < 2", "expected `and`, `or` or the end, not `x`", 7);
    check(
        "x > 1 and",
        "expected a column's name, but this is its end",
        10,
    );
    check("x > 1 and or", "not the word `or`", 11);
    check(
        "(x > 1",
        "expected `and`, `or` or `)`, but this is its end",
        7,
    );
    check("x > 1)", "expected `and`, `or` or the end, not `)`", 6);
    check("not", "expected a column's name, but this is its end", 4);
    check("x > 1 && x < 2", "not `&`", 7);
    check("x > 1 and y > 2", "there is no column `y`", 11);
    check("Größe > 1 and größe > 2", "there is no column `größe`", 15);
    check("label > 3", "`label` does not hold numbers", 9);
    check("x = 'a'", "`x` holds no texts", 5);
    check("label > 'a'", "texts are equal or not", 9);
    check(
        &format!("{}x>1", "(".repeat(101)),
        "nested more than 100",
        101,
    );
    check(
        &format!("{}x>1", "not ".repeat(101)),
        "nested more than",
        401,
    );
}

#[test]
fn a_column_that_was_nearly_named_is_suggested() {
    let error = rows("forgetfullness>1").unwrap_err();
    let said = error.to_string();
    assert!(said.contains("is `forgetfulness` meant?"), "{said}");
}

/// A multiplicative congruential generator (Park and Miller's).
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed % 0x7fff_fffe + 1;
    move |below| {
        state = state * 48_271 % 0x7fff_ffff;
        state as usize % below
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    let pieces = [
        "x", "label", "`is old`", "and", "or", "not", "AND", "(", ")", "=", "==", "!=", "<", "<=",
        ">", ">=", "1", "-2.5e3", "'neg'", "\"pos\"", "'", "\"", "`", "``", " ", "\t", "\n",
        "\u{0}", "é", "日本", "\u{301}", "🙂", "e", "-", "+", ".", "!", "\\", "\u{feff}", "\u{85}",
        "\u{2003}",
    ];
    let mut random = numbers(11);
    let mut n_parsed = 0;
    for _ in 0..20_000 {
        let length = random(14);
        let text: String = (0..length).map(|_| pieces[random(pieces.len())]).collect();
        n_parsed += usize::from(rows(&text).is_ok());
    }
    assert!(n_parsed > 0, "some of the texts are conditions");
    for _ in 0..5_000 {
        let bytes: Vec<u8> = (0..random(40)).map(|_| random(256) as u8).collect();
        let _ = rows(&String::from_utf8_lossy(&bytes));
    }
    let deep = 100_000;
    for text in [
        "(".repeat(deep),
        "not ".repeat(deep),
        "x>1 or ".repeat(deep),
    ] {
        assert!(rows(&text).is_err());
    }
}

/// A condition and what it means for the table, built together.
fn condition(random: &mut impl FnMut(usize) -> usize, depth: usize) -> (String, Vec<bool>) {
    let guids = [10, 11, 12, 13, 14];
    let number = 9 + random(7) as u32;
    if depth == 0 || random(4) == 0 {
        let (symbol, holds): (&str, fn(u32, u32) -> bool) = [
            ("=", (|a, b| a == b) as fn(u32, u32) -> bool),
            ("!=", |a, b| a != b),
            ("<", |a, b| a < b),
            ("<=", |a, b| a <= b),
            (">", |a, b| a > b),
            (">=", |a, b| a >= b),
        ][random(6)];
        let rows = guids.iter().map(|guid| holds(*guid, number)).collect();
        return (format!("guid {symbol} {number}"), rows);
    }
    let (left, of_left) = condition(random, depth - 1);
    if random(3) == 0 {
        return (
            format!("not ({left})"),
            of_left.iter().map(|x| !x).collect(),
        );
    }
    let (right, of_right) = condition(random, depth - 1);
    let pairs = of_left.into_iter().zip(of_right);
    if random(2) == 0 {
        let rows = pairs.map(|(a, b)| a && b).collect();
        (format!("({left}) and ({right})"), rows)
    } else {
        let rows = pairs.map(|(a, b)| a || b).collect();
        (format!("({left}) or ({right})"), rows)
    }
}

#[test]
fn random_conditions_mean_what_they_were_built_from() {
    let mut random = numbers(5);
    for _ in 0..500 {
        let (text, expected) = condition(&mut random, 5);
        assert_eq!(rows(&text).unwrap(), expected, "{text}");
    }
}
