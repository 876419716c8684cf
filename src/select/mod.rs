//! Selectors: from a data set (and a map) to the subset to train or test on.

mod cartography;

pub use cartography::{Pick, select_regions};

use crate::config::SelectorSpec;
use crate::data::{Dataset, Subset};
use crate::error::{Error, Problem, Result};
use crate::map::MapTable;

/// What a selector picked, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The examples, in the order of their rows.
    pub subset: Subset,
    /// One per example that a region of the map gave, in the order of picking; empty for
    /// selectors that take everything.
    pub picks: Vec<Pick>,
    /// One sentence per thing worth knowing: how many of which.
    pub report: Vec<String>,
}

/// Runs selectors one after the other, each on what the one before it left.
///
/// `map` is asked for at most once, by the first selector that needs a data map; `seed` decides
/// the random picks.
///
/// # Errors
/// No map, a guid that the map lacks, or a selection without a single example.
pub fn run_selectors(
    selectors: &[SelectorSpec],
    dataset: &Dataset,
    start: Subset,
    map: &mut dyn FnMut() -> Result<MapTable>,
    seed: u64,
) -> Result<Selection> {
    let mut selection = Selection {
        subset: start,
        picks: Vec::new(),
        report: Vec::new(),
    };
    let mut known_map = None;
    // How many selectors have drawn random picks so far.
    let mut position = 0;
    for selector in selectors {
        match selector {
            SelectorSpec::Dummy => {
                let n = selection.subset.len();
                selection.report.push(format!("dummy: all {n} examples"));
            }
            SelectorSpec::DataCartography(fractions) => {
                let map = match &mut known_map {
                    Some(map) => map,
                    None => known_map.insert(map()?),
                };
                let coordinates = coordinates_of(map, dataset, &selection.subset)?;
                selection.picks = cartography::select_with(
                    fractions,
                    &coordinates,
                    cartography::random_picks(seed, position),
                );
                position += 1;
                selection.report.push(cartography::describe(
                    fractions,
                    selection.subset.len(),
                    &selection.picks,
                ));
                selection.subset = selection
                    .picks
                    .iter()
                    .map(|pick| pick.index)
                    .collect::<Vec<_>>()
                    .into();
            }
        }
        if selection.subset.is_empty() {
            let message =
                "the selectors leave no example: the fractions are too small for this data set";
            return Err(Error::data(Problem::new(message).in_file(&dataset.path)));
        }
    }
    Ok(selection)
}

/// An example's place on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinates {
    /// The example's row in its file.
    pub index: crate::data::ExampleIndex,
    /// In [0, 1].
    pub confidence: f64,
    /// At least 0.
    pub variability: f64,
}

/// The coordinates of the subset's examples, in the order of their rows.
fn coordinates_of(map: &MapTable, dataset: &Dataset, subset: &Subset) -> Result<Vec<Coordinates>> {
    let rows: std::collections::HashMap<&str, usize> = map
        .guids
        .iter()
        .enumerate()
        .map(|(row, guid)| (guid.as_str(), row))
        .collect();
    let mut missing = Vec::new();
    let mut coordinates = Vec::with_capacity(subset.len());
    for (index, example) in subset.examples(dataset) {
        match rows.get(example.guid.as_str()) {
            Some(&row) => coordinates.push(Coordinates {
                index,
                confidence: map.confidence[row],
                variability: map.variability[row],
            }),
            None => missing.push(example.guid.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(coordinates);
    }
    let message = format!(
        "{} of {} training examples are not in the data map, the first of them `{}`",
        missing.len(),
        subset.len(),
        missing[0]
    );
    Err(Error::data(
        Problem::new(message)
            .in_file(&dataset.path)
            .hint("the map must come from this training set: make it anew with `perform_data_cartography: true`, or set `training.data_cartography_results`"),
    ))
}
