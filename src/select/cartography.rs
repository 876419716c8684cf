//! Picking by the regions of the data map.
//!
//! Swayamdipta et al. 2020, section 3: hard-to-learn examples have the lowest confidence,
//! easy-to-learn ones the highest, ambiguous ones the highest variability.

use std::collections::HashMap;

use crate::config::{Fractions, Region, Rule};
use crate::data::{Dataset, ExampleIndex, Subset};
use crate::error::{Error, Problem, Result};
use crate::map::MapTable;
use crate::random::{Purpose, Stream};

use super::ranking::{Left, Order};

/// An example's place on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinates {
    /// The example's row in its file.
    pub index: ExampleIndex,
    /// In [0, 1].
    pub confidence: f64,
    /// At least 0.
    pub variability: f64,
}

/// One example that was picked.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    /// The example's row in its file.
    pub index: ExampleIndex,
    /// The rule that gave it: a region of the map, or another in an experiment.
    pub rule: Rule,
    /// Its place among the picks of the rule, from 1.
    pub rank: usize,
    /// What it was ranked by, as confidence or variability; none for random picks.
    pub score: Option<f64>,
}

/// Picks floor(fraction N) of the N examples for each region, without replacement across
/// regions: an example that one has taken is not there for the next, which takes its next best.
///
/// Ties go to the smaller row index, so the order of `coordinates` does not matter.
pub fn select_regions(fractions: &Fractions, coordinates: &[Coordinates], seed: u64) -> Vec<Pick> {
    select_with(fractions, coordinates, random_picks(seed, 0))
}

/// The random numbers of the `position`-th (from 0) of the selectors that pick by the map:
/// were they the same for all, the picks of one would say what the next one picks.
pub(super) fn random_picks(seed: u64, position: usize) -> Stream {
    Stream::new(seed, Purpose::Selection, position as u32, 0)
}

/// As [`select_regions`], with the stream that shuffles the examples for random picks.
pub(super) fn select_with(
    fractions: &Fractions,
    coordinates: &[Coordinates],
    random: Stream,
) -> Vec<Pick> {
    let indices: Vec<ExampleIndex> = coordinates.iter().map(|c| c.index).collect();
    let confidence: Vec<f64> = coordinates.iter().map(|c| c.confidence).collect();
    let variability: Vec<f64> = coordinates.iter().map(|c| c.variability).collect();
    let signal = |name: &str| match name {
        "confidence" => confidence.as_slice(),
        _ => variability.as_slice(),
    };
    let mut left = Left::new((0..coordinates.len()).collect(), &indices);
    let mut picks = Vec::new();
    for region in Region::ALL {
        let n = fractions.share(region).of(coordinates.len());
        let taken = left.take(n, &order_of(region, signal, random));
        let ranked = taken.into_iter().zip(1..);
        picks.extend(ranked.map(|((position, score), rank)| Pick {
            index: indices[position],
            rule: Rule::Region(region),
            rank,
            score,
        }));
    }
    picks
}

/// What a region ranks examples by; `signal` gives the values of a column.
pub(super) fn order_of<'a>(
    region: Region,
    signal: impl Fn(&str) -> &'a [f64],
    random: Stream,
) -> Order<'a> {
    match region {
        Region::HardToLearn => Order::Lowest(signal("confidence")),
        Region::EasyToLearn => Order::Highest(signal("confidence")),
        Region::Ambiguous => Order::Highest(signal("variability")),
        Region::Random => Order::Random(random),
    }
}

/// How many examples of which region, as one line.
pub(super) fn describe(fractions: &Fractions, n_examples: usize, picks: &[Pick]) -> String {
    let parts: Vec<String> = Region::ALL
        .iter()
        .filter(|region| !fractions.share(**region).is_zero())
        .map(|region| {
            let n = picks
                .iter()
                .filter(|pick| pick.rule == Rule::Region(*region))
                .count();
            format!(
                "{n} {} ({} of {n_examples})",
                region.name(),
                fractions.share(*region)
            )
        })
        .collect();
    format!(
        "data_cartography: {} examples: {}",
        picks.len(),
        parts.join(", ")
    )
}

/// The coordinates of the subset's examples, in the order of their rows.
pub(super) fn coordinates_of(
    map: &MapTable,
    dataset: &Dataset,
    subset: &Subset,
    stage: &str,
) -> Result<Vec<Coordinates>> {
    let rows = map_rows(map, dataset, subset, stage)?;
    let examples = subset.indices().iter().zip(rows);
    let coordinates = examples.map(|(index, row)| Coordinates {
        index: *index,
        confidence: map.confidence[row],
        variability: map.variability[row],
    });
    Ok(coordinates.collect())
}

/// The map's row of each of the subset's examples.
pub(super) fn map_rows(
    map: &MapTable,
    dataset: &Dataset,
    subset: &Subset,
    stage: &str,
) -> Result<Vec<usize>> {
    let rows: HashMap<&str, usize> = map
        .guids
        .iter()
        .enumerate()
        .map(|(row, guid)| (guid.as_str(), row))
        .collect();
    let mut missing = Vec::new();
    let mut found = Vec::with_capacity(subset.len());
    for (_, example) in subset.examples(dataset) {
        match rows.get(example.guid.as_str()) {
            Some(row) => found.push(*row),
            None => missing.push(example.guid.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let (stage, hint) = match stage {
        "train" => (
            "training",
            "the map must come from this training set: make it anew with `perform_data_cartography: true`, or set `training.data_cartography_results`",
        ),
        other => (
            other,
            "the map must have this set's ids; that of a training set has others",
        ),
    };
    let message = format!(
        "{} of {} {stage} examples are not in the data map, the first of them `{}`",
        missing.len(),
        subset.len(),
        missing[0]
    );
    Err(Error::data(
        Problem::new(message).in_file(&dataset.path).hint(hint),
    ))
}
