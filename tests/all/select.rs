//! Which examples selectors take.

mod chains;
mod command;
mod from_map;
mod rules;
mod slices;
mod under_sampling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use enginora_rs::config::{Fractions, Region, Rule, SelectorSpec, Share};
use enginora_rs::data::{Dataset, Example, LabelSpace, Subset};
use enginora_rs::error::{Error, ErrorKind, Problem};
use enginora_rs::map::{MapTable, read_map};
use enginora_rs::random::{Purpose, Stream};
use enginora_rs::select::{Chain, Commands, Coordinates, Selection, run_selectors, select_regions};
use sha2::{Digest, Sha256};

use crate::scratch::uniform;

/// `hard_to_learn=0.1 random=0.2`.
fn fractions(text: &str) -> Fractions {
    let share = |text: &str| {
        let (region, fraction) = text.split_once('=').unwrap();
        Share {
            region: region.parse().unwrap(),
            fraction: fraction.parse().unwrap(),
        }
    };
    let shares: Vec<Share> = text.split(' ').map(share).collect();
    Fractions::from_shares(&shares).unwrap()
}

/// `n` places all over the map, in few enough steps to have many ties.
fn coordinates(n: u32) -> Vec<Coordinates> {
    let mut uniform = uniform(n.into());
    let mut step = || (uniform() * 20.0).floor() / 20.0;
    (0..n)
        .map(|i| Coordinates {
            index: 3 * i + 5,
            confidence: step(),
            variability: step() / 2.0,
        })
        .collect()
}

/// The picks as `region: index index ...`, region by region.
fn picked(text: &str, coordinates: &[Coordinates], seed: u64) -> String {
    let picks = select_regions(&fractions(text), coordinates, seed);
    let regions = picks.chunk_by(|a, b| a.rule == b.rule).map(|picks| {
        let indices: Vec<String> = picks.iter().map(|p| p.index.to_string()).collect();
        format!("{}: {}", picks[0].rule, indices.join(" "))
    });
    regions.collect::<Vec<_>>().join("; ")
}

#[test]
fn each_region_takes_its_best_that_the_ones_before_it_left() {
    // Index: (confidence, variability).
    let places = [
        (0.1, 0.4),
        (0.2, 0.1),
        (0.3, 0.3),
        (0.5, 0.5),
        (0.5, 0.5),
        (0.6, 0.2),
        (0.9, 0.0),
        (0.9, 0.1),
        (0.8, 0.4),
        (0.9, 0.0),
    ];
    let coordinates: Vec<Coordinates> = (0..)
        .zip(places)
        .map(|(index, (confidence, variability))| Coordinates {
            index,
            confidence,
            variability,
        })
        .collect();
    for (text, expected) in [
        ("hard_to_learn=0.3", "hard_to_learn: 0 1 2"),
        // Of three equal ones the first two rows.
        ("easy_to_learn=0.2", "easy_to_learn: 6 7"),
        ("ambiguous=0.4", "ambiguous: 3 4 0 8"),
        // Number 0 is taken when its turn as an ambiguous one comes; so is number 8.
        (
            "ambiguous=0.4 hard_to_learn=0.1",
            "hard_to_learn: 0; ambiguous: 3 4 8 2",
        ),
        (
            "ambiguous=0.3 easy_to_learn=0.4 hard_to_learn=0.3",
            "hard_to_learn: 0 1 2; easy_to_learn: 6 7 9 8; ambiguous: 3 4 5",
        ),
        // floor(0.39 x 10), floor(0.09 x 10).
        (
            "hard_to_learn=0.39 easy_to_learn=0.09",
            "hard_to_learn: 0 1 2",
        ),
        ("hard_to_learn=1", "hard_to_learn: 0 1 2 3 4 5 8 6 7 9"),
    ] {
        assert_eq!(picked(text, &coordinates, 1), expected, "{text}");
    }
    let hard = picked("hard_to_learn=0.9 random=0.1", &coordinates, 1);
    assert_eq!(hard, "hard_to_learn: 0 1 2 3 4 5 8 6 7; random: 9");
}

#[test]
fn picks_say_where_they_come_from() {
    let coordinates = coordinates(50);
    let all = fractions("hard_to_learn=0.1 easy_to_learn=0.2 ambiguous=0.3 random=0.4");
    let picks = select_regions(&all, &coordinates, 9);
    assert_eq!(picks.len(), 50);
    let mut expected = Vec::new();
    for (region, n) in [
        (Region::HardToLearn, 5),
        (Region::EasyToLearn, 10),
        (Region::Ambiguous, 15),
        (Region::Random, 20),
    ] {
        expected.extend((1..=n).map(|rank| (Rule::Region(region), rank)));
    }
    assert_eq!(
        picks
            .iter()
            .map(|p| (p.rule.clone(), p.rank))
            .collect::<Vec<_>>(),
        expected
    );
    for pick in &picks {
        let place = coordinates.iter().find(|c| c.index == pick.index).unwrap();
        let score = match pick.rule.signal() {
            Some("confidence") => Some(place.confidence),
            Some(_) => Some(place.variability),
            None => None,
        };
        assert_eq!(pick.score, score);
    }
}

#[test]
fn a_fraction_is_taken_exactly_and_rounded_down() {
    for (fraction, n, expected) in [
        ("0.29", 100, 29),
        ("0.57", 100, 57),
        ("0.7", 10, 7),
        ("0.33", 40_398, 13_331),
        ("0.999", 1000, 999),
        ("1", 7, 7),
        ("1.0", 7, 7),
        ("0.1", 9, 0),
        ("0.5", 3, 1),
    ] {
        for region in Region::ALL {
            let fractions = fractions(&format!("{region}={fraction}"));
            let picks = select_regions(&fractions, &coordinates(n), 1);
            assert_eq!(picks.len(), expected, "{region} {fraction} of {n}");
        }
    }
    // 0.3 + 0.1 + 0.6 is 1: everything, each once.
    let all = fractions("easy-to-learn=0.3 ambiguous=0.1 random=0.6");
    let picks = select_regions(&all, &coordinates(1000), 1);
    assert_eq!(
        picks.iter().map(|p| p.index).collect::<BTreeSet<_>>().len(),
        1000
    );
}

#[test]
fn the_order_of_the_map_does_not_matter() {
    let mut permuted = coordinates(300);
    let everything = "hard_to_learn=0.2 easy_to_learn=0.2 ambiguous=0.2 random=0.2";
    let expected = picked(everything, &permuted, 4);
    for round in 0..5 {
        Stream::new(round, Purpose::Order, 0, 0).shuffle(&mut permuted);
        assert_eq!(picked(everything, &permuted, 4), expected);
    }
}

#[test]
fn random_picks_depend_on_the_seed_and_favour_nobody() {
    let coordinates = coordinates(100);
    assert_eq!(
        picked("random=0.5", &coordinates, 1),
        picked("random=0.5", &coordinates, 1)
    );
    assert_ne!(
        picked("random=0.5", &coordinates, 1),
        picked("random=0.5", &coordinates, 2)
    );
    // Of 1,000 seeds each example is picked by half, give or take 5 standard deviations.
    let mut counts = vec![0_u32; 100];
    let half = fractions("random=0.5");
    for seed in 0..1000 {
        for pick in select_regions(&half, &coordinates, seed) {
            counts[(pick.index as usize - 5) / 3] += 1;
        }
    }
    assert!(counts.iter().all(|n| n.abs_diff(500) < 80), "{counts:?}");
}

fn dataset(n: u32) -> Dataset {
    let examples = (0..n).map(|i| Example {
        guid: format!("ex-{i}"),
        text: "a text".to_owned(),
        label: i % 2,
        ..Example::default()
    });
    Dataset {
        path: "train.csv".into(),
        examples: examples.collect(),
        extra: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

/// A map of the dataset's examples, backwards, with one more that the dataset lacks.
fn map(n: u32) -> MapTable {
    let places = coordinates(n + 1);
    MapTable {
        guids: (0..=n).rev().map(|i| format!("ex-{i}")).collect(),
        confidence: places.iter().rev().map(|c| c.confidence).collect(),
        variability: places.iter().rev().map(|c| c.variability).collect(),
        others: vec![("aum".to_owned(), (0..=n).rev().map(f64::from).collect())],
    }
}

/// Runs selectors of two classes, `neg` and `pos`, on part of a data set; the place of a problem
/// is the selector's position and its argument.
fn run_on(
    selectors: &[SelectorSpec],
    dataset: &mut Dataset,
    start: Subset,
    map: &mut dyn FnMut() -> Result<MapTable, Error>,
) -> Result<Selection, Error> {
    let labels = LabelSpace::from_labels(["neg", "pos"]);
    let chain = Chain {
        selectors,
        stage: "train",
        labels: &labels,
        seed: 1,
        commands: Commands::Run,
        place: &in_selector,
    };
    run_selectors(&chain, dataset, start, map)
}

fn in_selector(position: usize, argument: &str, problem: Problem) -> Problem {
    problem.in_file(format!("{position}.{argument}"))
}

/// For selectors that need no map.
fn no_map() -> Result<MapTable, Error> {
    panic!("nobody needs it")
}

/// A selector as a config has it, in YAML.
fn selector(yaml: &str) -> SelectorSpec {
    SelectorSpec::parse(&serde_yaml::from_str(yaml).unwrap(), "s").unwrap()
}

fn run(selectors: &[SelectorSpec], start: Subset, map: MapTable) -> Result<Selection, String> {
    let mut map = Some(map);
    let mut once = || Ok(map.take().expect("the map is read once"));
    let selection = run_on(selectors, &mut dataset(100), start, &mut once);
    selection.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Data);
        error.to_string()
    })
}

fn by_map(text: &str) -> SelectorSpec {
    SelectorSpec::DataCartography(fractions(text))
}

#[test]
fn selectors_find_examples_by_their_guids() {
    let start = Subset::from((0..100).filter(|i| i % 10 != 3).collect::<Vec<_>>());
    let selection = run(&[by_map("ambiguous=0.2")], start.clone(), map(100)).unwrap();
    let places = coordinates(101);
    let mut expected: Vec<u32> = start.indices().to_vec();
    expected.sort_by(|a, b| {
        let variability = |i: &u32| places[*i as usize].variability;
        variability(b).total_cmp(&variability(a))
    });
    expected.truncate(18);
    assert_eq!(
        selection.picks.iter().map(|p| p.index).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(selection.subset, Subset::from(expected));
    let report = "data_cartography: 18 examples: 18 ambiguous (0.2 of 90)";
    assert_eq!(selection.steps[0].report, report);
}

#[test]
fn no_map_is_read_for_selectors_that_need_none() {
    for selectors in [&[][..], &[SelectorSpec::Dummy, SelectorSpec::Dummy]] {
        let all = dataset(5).all();
        let selection = run_on(selectors, &mut dataset(5), all.clone(), &mut no_map).unwrap();
        assert_eq!((selection.subset, selection.picks), (all, Vec::new()));
        assert_eq!(selection.steps.len(), selectors.len());
    }
}

#[test]
fn chained_selectors_pick_from_what_the_one_before_left() {
    let all = || dataset(100).all();
    let half = || by_map("random=0.5");
    let first = run(&[half()], all(), map(100)).unwrap();
    assert_eq!(
        run(&[SelectorSpec::Dummy, half()], all(), map(100))
            .unwrap()
            .subset,
        first.subset
    );
    let both = run(&[half(), half()], all(), map(100)).unwrap();
    assert_eq!(
        (first.subset.len(), both.subset.len(), both.steps.len()),
        (50, 25, 2)
    );
    let within = first.subset.indices();
    assert!(both.subset.indices().iter().all(|i| within.contains(i)));
    // The second draws other numbers than the first.
    let again = run(&[half()], first.subset, map(100)).unwrap();
    assert_ne!(again.subset, both.subset);
}

#[test]
fn what_cannot_be_selected_is_an_error_that_says_why() {
    let all = || dataset(100).all();
    let mut short = map(100);
    short.guids[60] = "somebody else".to_owned();
    short.guids[70] = "007".to_owned();
    let error = run(&[by_map("random=1")], all(), short).unwrap_err();
    let message = "train.csv: 2 of 100 training examples are not in the data map, the first of them `ex-30`\n  hint: ";
    assert!(error.starts_with(message), "{error}");

    let message =
        "train.csv: the selectors leave no example: the fractions are too small for this data set";
    let tiny = run(&[by_map("random=0.009")], all(), map(100));
    assert_eq!(tiny.unwrap_err(), message);
    let tiny = run(
        &[by_map("random=0.01"), by_map("hard_to_learn=0.99")],
        all(),
        map(100),
    );
    assert_eq!(tiny.unwrap_err(), message);
    assert!(run(&[SelectorSpec::Dummy], Subset::default(), map(100)).is_err());

    // The map's own error comes through.
    let nowhere = || read_map(Path::new("/nowhere/map.parquet"));
    let error = run_on(
        &[by_map("random=1")],
        &mut dataset(2),
        dataset(2).all(),
        &mut { nowhere },
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::MissingInput);
}

/// The authors' map of `WinoGrande` is not shipped; where it is at hand, a third of each region
/// is what an implementation in another language picked.
#[test]
fn the_regions_of_the_papers_map_are_the_known_ones() {
    let name = "../shared/reference/winogrande_roberta_0_6_data_map_coordinates.jsonl";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return;
    }
    let map = read_map(&path).unwrap();
    assert_eq!(map.guids.len(), 40_398);
    let coordinates: Vec<Coordinates> = (0..map.guids.len())
        .map(|row| Coordinates {
            index: row as u32,
            confidence: map.confidence[row],
            variability: map.variability[row],
        })
        .collect();
    for (region, sum) in [
        (
            "ambiguous",
            "2dae65e3283cfa275075baf73de27ac219902ab3b05ee14868b59b94b453f5d7",
        ),
        (
            "hard_to_learn",
            "1f5f10324f3f17c033b59fe856d0faf5280053336e5c5552f2d4d5e42674a231",
        ),
        (
            "easy_to_learn",
            "ecd59b5587a7c8cdb23e99200baaee832d152be6e0947a0fd7755670c96c47f2",
        ),
    ] {
        let picks = select_regions(&fractions(&format!("{region}=0.33")), &coordinates, 0);
        let guid = |index: u32| map.guids[index as usize].parse::<u64>().unwrap();
        let mut guids: Vec<u64> = picks.iter().map(|pick| guid(pick.index)).collect();
        guids.sort_unstable();
        let lines: Vec<String> = guids.iter().map(ToString::to_string).collect();
        let digest = Sha256::digest(lines.join("\n"));
        let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), sum, "{region}");
    }
}
