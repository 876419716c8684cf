//! Selectors one after the other.

use std::sync::Arc;

use enginora_rs::config::SelectorSpec;
use enginora_rs::data::{LabelSpace, Subset};
use enginora_rs::select::{Chain, Commands, run_selectors};

use super::{by_map, dataset, in_selector, map, no_map, run, run_on, selector};

#[test]
fn each_selector_works_on_what_the_one_before_it_left() {
    let selectors = [
        selector("{name: slicing, args: {slices: {s: {column: n, max: 59}}, keep: [s]}}"),
        selector("{name: random_under_sampler, args: {sampling_strategy: {neg: 20}}}"),
        by_map("random=0.5"),
        selector("{name: command, args: {command: 'tac | head -n 5'}}"),
        SelectorSpec::Dummy,
        selector(
            "{name: random-under-sampler, args: {random-state: 3, sampling-strategy: {pos: 1}}}",
        ),
    ];
    let mut data = dataset(100);
    let n = (0..100).map(|i| Some(i.to_string())).collect();
    data.extra.insert("n".to_owned(), n);
    let all = data.all();
    let selection = run_on(&selectors, &mut data, all, &mut || Ok(map(100))).unwrap();
    let flow: Vec<_> = selection.steps.iter().map(|s| (s.n_in, s.n_out)).collect();
    assert_eq!(flow[..5], [(100, 60), (60, 50), (50, 25), (25, 5), (5, 5)]);
    // The order is the command's, without what was dropped later.
    let order = selection.order.clone().unwrap();
    assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    assert_eq!(Subset::from(order), selection.subset);
    // The picks are those that are left.
    assert_eq!(selection.picks.len(), selection.subset.len());
    // Every example is either taken or dropped by one selector.
    let mut indices: Vec<u32> = selection.dropped.iter().map(|d| d.index).collect();
    indices.extend(selection.subset.indices());
    indices.sort_unstable();
    assert_eq!(indices, (0..100).collect::<Vec<_>>());
    for (step, reason) in [
        (0, "in none of the slices s"),
        (1, "not among the 20 drawn of 30 of `neg`"),
        (2, "in no region's share"),
        (3, "not printed by the command"),
    ] {
        let (n_in, n_out) = flow[step];
        let dropped = selection.dropped.iter().filter(|d| d.step == step);
        let reasons: Vec<Arc<str>> = dropped.map(|d| Arc::clone(&d.reason)).collect();
        assert_eq!(reasons.len(), n_in - n_out);
        assert!(reasons.iter().all(|r| **r == *reason), "{reasons:?}");
    }
}

#[test]
fn random_draws_of_different_positions_differ() {
    let half = || selector("{name: random_under_sampler, args: {sampling_strategy: {pos: 25}}}");
    let after = |before: &[SelectorSpec]| {
        let selectors: Vec<SelectorSpec> = before.iter().cloned().chain([half()]).collect();
        run(&selectors, dataset(100).all(), map(100))
            .unwrap()
            .subset
    };
    // One that draws nothing changes nothing; one that takes everything at random does.
    assert_eq!(after(&[]), after(&[SelectorSpec::Dummy]));
    assert_ne!(after(&[]), after(&[by_map("random=1")]));
    assert_ne!(
        after(&[by_map("random=1")]),
        after(&[by_map("random=1"), by_map("random=1")])
    );
}

#[test]
fn a_later_selector_sees_the_texts_of_a_command() {
    let selectors = [
        selector("{name: command, args: {command: \"sed 's/a text/a new text/; 2q'\"}}"),
        selector("{name: slicing, args: {slices: {s: {pattern: new}}, keep: [s]}}"),
        selector("{name: command, args: {command: [\"sed\", \"s/a new text/the last text/\"]}}"),
    ];
    let mut data = dataset(4);
    let all = data.all();
    let selection = run_on(&selectors, &mut data, all, &mut no_map).unwrap();
    assert_eq!(selection.subset.indices(), [0, 1]);
    assert_eq!(data.examples[1].text, "the last text");
    assert_eq!(data.examples[2].text, "a text");
    let before: Vec<_> = selection
        .new_texts
        .iter()
        .map(|new| (new.step, new.index, new.text_before.as_str()))
        .collect();
    assert_eq!(
        before,
        [
            (0, 0, "a text"),
            (0, 1, "a text"),
            (2, 0, "a new text"),
            (2, 1, "a new text")
        ]
    );
}

#[test]
fn a_command_that_is_not_to_be_run_is_described() {
    let labels = LabelSpace::from_labels(["neg", "pos"]);
    let describe = |selectors: &[SelectorSpec]| {
        let chain = Chain {
            selectors,
            stage: "train",
            labels: &labels,
            seed: 1,
            commands: Commands::Describe,
            place: &in_selector,
        };
        run_selectors(&chain, &mut dataset(10), dataset(10).all(), &mut no_map)
    };
    let under_sampler =
        selector("{name: random_under_sampler, args: {sampling_strategy: {pos: 2}}}");
    let command =
        selector("{name: command, args: {command: [sh, -c, 'touch /nowhere/ever; false']}}");
    // The map that the last one needs is not asked for.
    let selection = describe(&[under_sampler, command, by_map("random=0.5")]).unwrap();
    assert_eq!(selection.subset.len(), 7);
    assert_eq!(selection.steps.len(), 2);
    let report = "command: would run `sh -c 'touch /nowhere/ever; false'` on 7 examples; that and what comes after it is left out here";
    assert_eq!(selection.steps[1].report, report);
    // A program that is not there can be said without running it.
    let missing = selector("{name: command, args: {command: [no-such-program-here]}}");
    let error = describe(&[missing]).unwrap_err().to_string();
    assert!(
        error.starts_with("0.command: there is no program `no-such-program-here`"),
        "{error}"
    );
}
