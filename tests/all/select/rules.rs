//! Rules: regions and the ends of signals, from a map alone.

use std::collections::{BTreeMap, BTreeSet};

use enginora_rs::config::{Fraction, Region, Rule, RuleShare, RuleShares};
use enginora_rs::random::{Purpose, Stream};
use enginora_rs::select::{Candidates, RulePicks, select_by_rules, select_regions};

use super::{coordinates, fractions};
use crate::scratch::uniform;

/// `hard_to_learn=0.1 low_aum=0.2`.
fn shares(text: &str) -> Result<RuleShares, String> {
    let shares = text.split(' ').map(str::parse);
    RuleShares::new(shares.collect::<Result<Vec<RuleShare>, _>>()?)
}

fn fraction(text: &str) -> Fraction {
    text.parse().unwrap()
}

/// `n` examples with many ties, on the same places as [`coordinates`].
fn candidates(n: u32) -> Candidates {
    let places = coordinates(n);
    let mut uniform = uniform(u64::from(n) + 99);
    let aum = places.iter().map(|_| (uniform() * 9.0).floor() - 4.0);
    let aum: Vec<f64> = aum.collect();
    Candidates {
        indices: places.iter().map(|c| c.index).collect(),
        classes: None,
        signals: BTreeMap::from([
            ("aum".to_owned(), aum),
            (
                "confidence".to_owned(),
                places.iter().map(|c| c.confidence).collect(),
            ),
            (
                "variability".to_owned(),
                places.iter().map(|c| c.variability).collect(),
            ),
        ]),
    }
}

fn with_classes(n: u32, n_classes: f64) -> Candidates {
    let mut uniform = uniform(u64::from(n) + 5);
    let classes = (0..n).map(|_| (uniform() * n_classes) as u32);
    Candidates {
        classes: Some(classes.collect()),
        ..candidates(n)
    }
}

/// The picks as rule, class and rows.
fn rows(picked: &[RulePicks], from: &Candidates) -> Vec<(String, Option<u32>, Vec<u32>)> {
    let rows = |by_rule: &RulePicks| {
        by_rule
            .picks
            .iter()
            .map(|(at, _)| from.indices[*at])
            .collect()
    };
    let picked = picked.iter();
    picked
        .map(|by_rule| (by_rule.rule.to_string(), by_rule.class, rows(by_rule)))
        .collect()
}

fn select(text: &str, from: &Candidates) -> Vec<(String, Option<u32>, Vec<u32>)> {
    let shares = shares(text).unwrap();
    rows(&select_by_rules(&shares, Fraction::ZERO, from, 7), from)
}

const MIXTURES: [&str; 6] = [
    "random=1",
    "hard_to_learn=0.33 both_ends_aum=0.29",
    "high_aum=0.1 low_aum=0.1 random=0.8",
    "both_ends_confidence=0.57 ambiguous=0.07 easy_to_learn=0.36",
    "low_variability=0.999",
    "random=0.5 both_ends_variability=0.3 hard-to-learn=0.05 easy-to-learn=0.05 ambiguous=0.1",
];

#[test]
fn names_of_rules_are_read_and_written() {
    for (text, expected) in [
        ("hard-to-learn=0.1", Ok("hard_to_learn=0.1")),
        ("ambiguous=.5", Ok("ambiguous=0.5")),
        ("high_aum=0.25", Ok("high_aum=0.25")),
        ("low-threshold-closeness=1", Ok("low_threshold_closeness=1")),
        ("both-ends-confidence=0.3", Ok("both_ends_confidence=0.3")),
        ("low_my score=0.3", Ok("low_my score=0.3")),
        ("high_=0.3", Err("unknown rule `high_`")),
        ("ambigous=0.3", Err("did you mean `ambiguous`?")),
        (
            "ambiguous",
            Err("`ambiguous` is not of the form NAME=FRACTION"),
        ),
        (
            "ambiguous=33",
            Err("`33` is no fraction; expected a number from 0 to 1"),
        ),
        (
            "both_ends_index=0.3",
            Err("give `low_index` and `high_index` their own fractions"),
        ),
    ] {
        match (text.parse::<RuleShare>(), expected) {
            (Ok(share), Ok(expected)) => assert_eq!(share.to_string(), expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
    for (text, expected) in [
        ("random=0.5 random=0.1", "`random` is given twice"),
        ("low_aum=0.5 low-aum=0.1", "`low_aum` is given twice"),
        (
            "random=0.5 high_aum=0.6",
            "the fractions add up to 1.1; expected at most 1",
        ),
        (
            "random=0 high_aum=0",
            "every fraction is 0; expected one above 0",
        ),
    ] {
        assert_eq!(shares(text).unwrap_err(), expected);
    }
}

#[test]
fn every_rule_picks_exactly_its_fraction_of_distinct_examples() {
    for text in MIXTURES {
        for n in [1, 2, 7, 100, 333] {
            let picked = select(text, &candidates(n));
            for share in shares(text).unwrap().shares() {
                let name = share.rule.to_string();
                let (_, _, rows) = picked.iter().find(|(rule, ..)| *rule == name).unwrap();
                assert_eq!(rows.len(), share.fraction.of(n as usize), "{share} of {n}");
            }
            let all: Vec<u32> = picked.into_iter().flat_map(|(_, _, rows)| rows).collect();
            let distinct: BTreeSet<&u32> = all.iter().collect();
            assert_eq!(distinct.len(), all.len(), "{text} of {n}");
        }
    }
}

#[test]
fn the_order_of_the_table_does_not_matter() {
    for text in MIXTURES {
        let from = with_classes(200, 3.0);
        let whole = Candidates {
            classes: None,
            ..from.clone()
        };
        for from in [from, whole] {
            let mut order: Vec<usize> = (0..200).collect();
            Stream::new(3, Purpose::Order, 0, 0).shuffle(&mut order);
            let permuted = |values: &Vec<f64>| order.iter().map(|at| values[*at]).collect();
            let signals = from.signals.iter();
            let other = Candidates {
                indices: order.iter().map(|at| from.indices[*at]).collect(),
                classes: from
                    .classes
                    .as_ref()
                    .map(|classes| order.iter().map(|at| classes[*at]).collect()),
                signals: signals
                    .map(|(name, values)| (name.clone(), permuted(values)))
                    .collect(),
            };
            assert_ne!(from.indices, other.indices);
            assert_eq!(select(text, &from), select(text, &other), "{text}");
        }
    }
}

#[test]
fn regions_are_those_of_the_selector_in_the_loop() {
    let text = "hard_to_learn=0.1 easy_to_learn=0.2 ambiguous=0.3 random=0.4";
    let from = candidates(250);
    let picks = select_regions(&fractions(text), &coordinates(250), 7);
    let expected = Region::ALL.map(|region| {
        let of_region = picks
            .iter()
            .filter(|pick| pick.rule == Rule::Region(region));
        (
            region.to_string(),
            None,
            of_region.map(|pick| pick.index).collect(),
        )
    });
    assert_eq!(select(text, &from), expected);
    for (region, end) in [
        ("hard_to_learn", "low_confidence"),
        ("easy_to_learn", "high_confidence"),
        ("ambiguous", "high_variability"),
    ] {
        let by_region = select(&format!("{region}=0.3"), &from).remove(0).2;
        let by_end = select(&format!("{end}=0.3"), &from).remove(0).2;
        assert_eq!(by_region, by_end, "{region}");
    }
}

#[test]
fn rules_take_turns_and_random_comes_last() {
    let from = candidates(100);
    let given = "random=0.1 high_aum=0.1 ambiguous=0.1 low_aum=0.1 hard_to_learn=0.1";
    let turns: Vec<String> = select(given, &from)
        .into_iter()
        .map(|(rule, ..)| rule)
        .collect();
    let expected = [
        "hard_to_learn",
        "ambiguous",
        "high_aum",
        "low_aum",
        "random",
    ];
    assert_eq!(turns, expected);
}

#[test]
fn both_ends_give_seven_tenths_from_the_hard_one() {
    // Confidence rises with the row, so low rows are hard; loss too, so high rows are.
    let ramp: Vec<f64> = (0..20).map(f64::from).collect();
    let from = Candidates {
        indices: (0..20).collect(),
        classes: None,
        signals: BTreeMap::from([
            ("confidence".to_owned(), ramp.clone()),
            ("loss".to_owned(), ramp),
        ]),
    };
    for (text, expected) in [
        ("both_ends_confidence=0.05", &[19][..]),
        ("both_ends_confidence=0.1", &[0, 19]),
        (
            "both_ends_confidence=0.5",
            &[0, 1, 2, 3, 4, 5, 6, 19, 18, 17],
        ),
        (
            "both_ends_confidence=0.55",
            &[0, 1, 2, 3, 4, 5, 6, 19, 18, 17, 16],
        ),
        ("both_ends_loss=0.2", &[19, 18, 0, 1]),
    ] {
        assert_eq!(select(text, &from)[0].2, expected, "{text}");
    }
    let all = select("both_ends_loss=1", &from).remove(0).2;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn each_class_gives_what_it_would_give_alone() {
    for text in MIXTURES {
        let from = with_classes(300, 3.0);
        let classes = from.classes.clone().unwrap();
        let picked = select(text, &from);
        for class in 0..3 {
            let members: Vec<usize> = (0..300).filter(|at| classes[*at] == class).collect();
            let of_class: Vec<_> = picked
                .iter()
                .filter(|(_, c, _)| *c == Some(class))
                .collect();
            for share in shares(text).unwrap().shares() {
                let name = share.rule.to_string();
                let (_, _, rows) = of_class.iter().find(|(rule, ..)| *rule == name).unwrap();
                assert_eq!(rows.len(), share.fraction.of(members.len()), "{share}");
                let all: Vec<u32> = members.iter().map(|at| from.indices[*at]).collect();
                assert!(rows.iter().all(|row| all.contains(row)));
            }
            if text.contains("random") {
                continue;
            }
            let alone = Candidates {
                indices: members.iter().map(|at| from.indices[*at]).collect(),
                classes: None,
                signals: from
                    .signals
                    .iter()
                    .map(|(name, values)| {
                        (name.clone(), members.iter().map(|at| values[*at]).collect())
                    })
                    .collect(),
            };
            let rows =
                |(rule, _, rows): &(String, Option<u32>, Vec<u32>)| (rule.clone(), rows.clone());
            let alone: Vec<_> = select(text, &alone).iter().map(rows).collect();
            assert_eq!(of_class.into_iter().map(rows).collect::<Vec<_>>(), alone);
        }
    }
}

/// The quotas as `rule n, rule n`.
fn quotas(text: &str, n: usize, min_easy: &str) -> String {
    let quotas = shares(text).unwrap().quotas(n, fraction(min_easy));
    let shown: Vec<String> = quotas
        .iter()
        .map(|(rule, n)| format!("{rule} {n}"))
        .collect();
    shown.join(", ")
}

#[test]
fn lacking_easy_examples_take_the_places_of_the_last_picks() {
    for (text, n, min_easy, expected) in [
        ("ambiguous=0.33", 100, "0", "ambiguous 33"),
        // A tenth of 33 is 3.3, so 4 are the least.
        (
            "ambiguous=0.33",
            100,
            "0.1",
            "easy_to_learn 4, ambiguous 29",
        ),
        ("ambiguous=0.3", 100, "0.1", "easy_to_learn 3, ambiguous 27"),
        (
            "hard_to_learn=0.2 ambiguous=0.2 random=0.02",
            100,
            "0.1",
            "hard_to_learn 20, easy_to_learn 5, ambiguous 17, random 0",
        ),
        (
            "easy_to_learn=0.04 high_aum=0.2 low_aum=0.2",
            100,
            "0.25",
            "easy_to_learn 11, high_aum 20, low_aum 13",
        ),
        (
            "easy_to_learn=0.2 ambiguous=0.2",
            100,
            "0.5",
            "easy_to_learn 20, ambiguous 20",
        ),
        ("random=1", 3, "1", "easy_to_learn 3, random 0"),
        ("ambiguous=0.3", 3, "1", "easy_to_learn 0, ambiguous 0"),
    ] {
        assert_eq!(quotas(text, n, min_easy), expected, "{text} {min_easy}");
    }
}

#[test]
fn a_minimum_of_easy_examples_changes_no_total() {
    let easy = Rule::Region(Region::EasyToLearn);
    for text in MIXTURES {
        for n in [1, 10, 97] {
            let from = candidates(n);
            let shares = shares(text).unwrap();
            let total = |min_easy| {
                let picked = select_by_rules(&shares, fraction(min_easy), &from, 7);
                let rows = rows(&picked, &from)
                    .into_iter()
                    .flat_map(|(_, _, rows)| rows);
                let rows: Vec<u32> = rows.collect();
                assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());
                let of_easy = picked.iter().filter(|by_rule| by_rule.rule == easy);
                (
                    rows.len(),
                    of_easy.map(|by_rule| by_rule.picks.len()).sum::<usize>(),
                )
            };
            let (plain, _) = total("0");
            for min_easy in ["0.1", "0.5", "0.77", "1"] {
                let (n_picked, n_easy) = total(min_easy);
                assert_eq!(n_picked, plain, "{text} {min_easy}");
                assert!(
                    n_easy >= fraction(min_easy).of_rounded_up(plain),
                    "{text} {min_easy}"
                );
            }
        }
    }
}
