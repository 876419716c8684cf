//! Fractions and selectors.

use enginora_rs::config::{
    Fraction, Fractions, Region, SelectorConfig, SelectorSpec, Share, nearest,
};

#[test]
fn every_two_decimal_fraction_of_every_n_is_exact() {
    for percent in 0..=100_usize {
        let texts = [
            format!("{}.{:02}", percent / 100, percent % 100),
            // The shortest text of the floating-point number, as JSON and YAML give it.
            format!("{}", percent as f64 / 100.0),
            format!("{percent}e-2"),
        ];
        for text in texts {
            let fraction: Fraction = text.parse().unwrap();
            for n in 0..=1000 {
                assert_eq!(fraction.of(n), percent * n / 100, "{text} of {n}");
            }
        }
    }
}

#[test]
fn a_fraction_is_read_exactly_and_shown_shortest() {
    let check = |text: &str, shown: &str| {
        let fraction: Fraction = text.parse().unwrap();
        assert_eq!(fraction.to_string(), shown, "{text}");
        assert_eq!(shown.parse(), Ok(fraction), "{text}");
    };
    check("0", "0");
    check("0.0", "0");
    check("0e5", "0");
    check("1", "1");
    check("1.000", "1");
    check("+.5", "0.5");
    check("0.30", "0.3");
    check("1e-3", "0.001");
    check("1E-19", "0.0000000000000000001");
    check("10e-1", "1");
    check("0.1e1", "1");
    check("0.3333333333333333", "0.3333333333333333");
    check("0.0100000000000000000000000", "0.01");
}

#[test]
fn what_is_no_fraction_is_refused() {
    let range = "expected a number from 0 to 1";
    let check = |text: &str, expected: &str| {
        let error = text.parse::<Fraction>().unwrap_err();
        assert_eq!(error, format!("`{text}` is no fraction; {expected}"));
    };
    for text in [
        "",
        ".",
        "a",
        "-0.1",
        "1.1",
        "1.0000000000000000001",
        "2",
        "1e1",
        "1e999999999",
        "1e99999999999",
        "0,5",
        "33%",
        "nan",
        "inf",
        "1e",
        "e1",
        "0x1",
        "1 ",
    ] {
        check(text, range);
    }
    check("1e-20", "expected at most 19 decimals");
    check("0.00000000000000000001", "expected at most 19 decimals");
    check("1e-999999999", "expected at most 19 decimals");
}

#[test]
fn a_fraction_of_the_largest_number_does_not_overflow() {
    assert_eq!(Fraction::ONE.of(usize::MAX), usize::MAX);
    assert_eq!(Fraction::ZERO.of(usize::MAX), 0);
}

fn shares(texts: &[&str]) -> Result<Fractions, String> {
    let share = |text: &&str| -> Result<Share, String> {
        let (region, fraction) = text.split_once('=').unwrap();
        Ok(Share {
            region: region.parse()?,
            fraction: fraction.parse()?,
        })
    };
    let shares: Result<Vec<Share>, String> = texts.iter().map(share).collect();
    Fractions::from_shares(&shares?)
}

#[test]
fn shares_are_put_together_if_they_add_up_exactly() {
    let check = |texts: &[&str], expected: Result<&str, &str>| {
        let got = shares(texts).map(|fractions| fractions.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected);
    };
    check(
        &["random=0.6", "ambiguous=0.1", "easy-to-learn=0.3"],
        Ok("easy_to_learn=0.3, ambiguous=0.1, random=0.6"),
    );
    check(&["hard_to_learn=1"], Ok("hard_to_learn=1"));
    check(
        &["random=0.61", "ambiguous=0.1", "easy-to-learn=0.3"],
        Err("the fractions add up to 1.01; expected at most 1"),
    );
    check(
        &[
            "random=1",
            "ambiguous=1",
            "hard_to_learn=1",
            "easy-to-learn=1",
        ],
        Err("the fractions add up to 4; expected at most 1"),
    );
    check(
        &["random=0"],
        Err("every fraction is 0; expected one above 0"),
    );
    check(&[], Err("every fraction is 0; expected one above 0"));
    check(
        &["easy-to-learn=0.1", "easy_to_learn=0.1"],
        Err("`easy_to_learn` is given twice"),
    );
    check(
        &["randm=0.1"],
        Err("unknown argument `randm`; did you mean `random`?"),
    );
    check(
        &["random=x"],
        Err("`x` is no fraction; expected a number from 0 to 1"),
    );
}

#[test]
fn a_region_keeps_its_share() {
    let fractions = shares(&["hard-to-learn=0.1", "ambiguous=0.25"]).unwrap();
    let got = Region::ALL.map(|region| fractions.share(region).to_string());
    assert_eq!(got, ["0.1", "0", "0.25", "0"]);
}

#[test]
fn selectors_are_read_in_either_spelling() {
    let check = |json: &str, expected: &str| {
        let config: SelectorConfig = serde_json::from_str(json).unwrap();
        match SelectorSpec::parse(&config, "s").unwrap() {
            SelectorSpec::Dummy => assert_eq!("dummy", expected),
            SelectorSpec::DataCartography(fractions) => {
                assert_eq!(fractions.to_string(), expected);
            }
            other => panic!("{other:?}"),
        }
    };
    check(r#"{"name": "dummy"}"#, "dummy");
    check(
        r#"{"name": "data_cartography", "args": {"hard_to_learn": 0, "random": 1e-3}}"#,
        "random=0.001",
    );
    check(
        r#"{"name": "data-cartography", "args": {"hard-to-learn": 0.29, "random": null}}"#,
        "hard_to_learn=0.29",
    );
}

#[test]
fn the_nearest_word_is_the_one_probably_meant() {
    let check = |word: &str, expected: Option<&str>| {
        let words = ["epochs", "batch_size", "learning_rate", "data_dir"];
        assert_eq!(nearest(word, words), expected, "{word}");
    };
    check("epoch", Some("epochs"));
    check("EPOCHS", Some("epochs"));
    check("epcohs", Some("epochs"));
    check("batch-size", Some("batch_size"));
    check("batchsize", Some("batch_size"));
    check("lerning_rat", Some("learning_rate"));
    check("dir", None);
    check("", None);
    check("momentum", None);
}
