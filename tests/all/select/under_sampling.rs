//! Fewer examples of the larger classes, as many as imbalanced-learn keeps.

use std::collections::{BTreeMap, BTreeSet};

use enginora_rs::config::SelectorSpec;
use enginora_rs::data::{Dataset, Example, LabelSpace};
use enginora_rs::error::{Error, ErrorKind};
use enginora_rs::select::{Chain, Commands, Selection, run_selectors};
use serde_json::{Map, Value, json};

use super::{in_selector, no_map};

/// Examples of the classes in turn, as long as there are any, with their label space.
fn classes(sizes: &Map<String, Value>) -> (Dataset, LabelSpace) {
    let labels = LabelSpace::from_labels(sizes.keys().map(String::as_str));
    let mut left: Vec<(u32, u64)> = sizes
        .iter()
        .map(|(name, n)| (labels.index_of(name).unwrap(), n.as_u64().unwrap()))
        .collect();
    let mut examples = Vec::new();
    while left.iter().any(|(_, n)| *n > 0) {
        for (label, n) in left.iter_mut().filter(|(_, n)| *n > 0) {
            *n -= 1;
            examples.push(Example {
                guid: format!("g{}", examples.len()),
                label: *label,
                ..Example::default()
            });
        }
    }
    let dataset = Dataset {
        path: "train.csv".into(),
        examples,
        extra: BTreeMap::new(),
        warnings: Vec::new(),
    };
    (dataset, labels)
}

/// The selection of one under-sampler, or why not: when its arguments are read, or later.
fn sample(sizes: &Value, args: &Value, seed: u64) -> Result<Selection, Error> {
    let (mut dataset, labels) = classes(sizes.as_object().unwrap());
    let config = json!({"name": "random_under_sampler", "args": args});
    let config = serde_json::from_value(config).unwrap();
    let spec = SelectorSpec::parse(&config, "s").map_err(|problems| {
        assert_eq!(problems.len(), 1);
        Error::new(
            ErrorKind::Usage,
            enginora_rs::error::Problem::new(&problems[0].message),
        )
    })?;
    let chain = Chain {
        selectors: &[spec],
        stage: "train",
        labels: &labels,
        seed,
        commands: Commands::Run,
        place: &in_selector,
    };
    let all = dataset.all();
    run_selectors(&chain, &mut dataset, all, &mut no_map)
}

#[test]
fn as_many_are_kept_of_each_class_as_imbalanced_learn_keeps() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../fixtures/under_sampling/expected.json")).unwrap();
    assert!(cases.len() > 300);
    for case in &cases {
        let (dataset, labels) = classes(case["sizes"].as_object().unwrap());
        for replacement in [false, true] {
            let args = json!({"sampling_strategy": case["strategy"], "replacement": replacement});
            let Ok(selection) = sample(&case["sizes"], &args, 1) else {
                // Where nothing is left, there is nothing to train on.
                let nothing = case["kept"]
                    .as_object()
                    .is_none_or(|kept| kept.values().all(|n| n == 0));
                assert!(nothing, "{case}");
                continue;
            };
            let mut kept: Map<String, Value> = labels
                .names()
                .iter()
                .map(|name| (name.clone(), json!(0)))
                .collect();
            for index in selection.draws() {
                let class = dataset.examples[index as usize].label;
                let n = &mut kept[labels.name(class)];
                *n = json!(n.as_u64().unwrap() + 1);
            }
            assert_eq!(json!(kept), case["kept"], "{case}");
            if !replacement {
                assert!(selection.repeats.is_empty());
            }
        }
    }
}

#[test]
fn draws_depend_on_the_seed_and_favour_nobody() {
    let sizes = json!({"a": 20, "b": 10});
    let with = |args: Value, seed: u64| sample(&sizes, &args, seed).unwrap().draws();
    let plain = || json!({});
    assert_eq!(with(plain(), 1), with(plain(), 1));
    assert_ne!(with(plain(), 1), with(plain(), 2));
    // A seed of its own goes over the run's.
    assert_eq!(with(json!({"random_state": 2}), 1), with(plain(), 2));
    // Of 1,000 seeds each of class a is drawn by half, give or take 5 standard deviations; with
    // replacement 500 times in all, each.
    for replacement in [false, true] {
        let mut counts = [0_u32; 30];
        let mut n_repeats = 0;
        for seed in 0..1000 {
            let args = json!({"replacement": replacement, "sampling_strategy": "majority"});
            let selection = sample(&sizes, &args, seed).unwrap();
            n_repeats += selection.repeats.len();
            assert_eq!(selection.n_draws(), 20);
            assert_eq!(
                selection.subset.len() + selection.dropped.len(),
                30,
                "each is either taken or dropped"
            );
            for index in selection.draws() {
                counts[index as usize] += 1;
            }
        }
        let (dataset, _) = classes(sizes.as_object().unwrap());
        for (count, example) in counts.iter().zip(&dataset.examples) {
            match example.label {
                0 => assert!(count.abs_diff(500) < 112, "{counts:?}"),
                _ => assert_eq!(*count, 1000),
            }
        }
        assert_eq!(n_repeats > 0, replacement);
    }
}

#[test]
fn what_cannot_be_balanced_is_an_error_at_its_argument() {
    let two = json!({"neg": 6, "pos": 12});
    let three = json!({"a": 6, "b": 12, "c": 3});
    for (sizes, strategy, expected) in [
        (
            &three,
            json!(0.5),
            "0.sampling_strategy: `sampling_strategy` is a number, and there are 3 classes; expected two\n  hint: name the classes, as in `{neg: 100, pos: 100}`",
        ),
        (
            &two,
            json!(0.4),
            "0.sampling_strategy: `sampling_strategy` is 0.4, which asks for 15 examples of `pos`; there are 12\n  hint: the classes already stand at 0.500; give more than that",
        ),
        (
            &two,
            json!({"pos": 13}),
            "0.sampling_strategy: `sampling_strategy` asks for 13 examples of `pos`; there are 12",
        ),
        (
            &two,
            json!({"pso": 3}),
            "0.sampling_strategy: `sampling_strategy` names the class `pso`, of which there is no example; there are `neg`, `pos`",
        ),
        (
            &json!({"neg": 6}),
            json!("auto"),
            "0.sampling_strategy: all examples are of one class: there is nothing to balance",
        ),
        (
            &two,
            json!({"pos": 0, "neg": 0}),
            "train.csv: the selectors leave no example: `random_under_sampler` takes none of 18",
        ),
    ] {
        let args = json!({"sampling_strategy": strategy});
        let error = sample(sizes, &args, 1).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let selection = sample(&two, &json!({}), 1).unwrap();
    assert_eq!(
        selection.steps[0].report,
        "random_under_sampler: 12 examples: 6 neg (of 6), 6 pos (of 12)"
    );
    let reasons: BTreeSet<&str> = selection.dropped.iter().map(|d| &*d.reason).collect();
    assert_eq!(
        reasons,
        BTreeSet::from(["not among the 6 drawn of 12 of `pos`"])
    );
}
