//! Which examples a cell trains on.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::config::SubsetRule;
use crate::data::ExampleIndex;
use crate::error::Result;
use crate::map::MapFile;
use crate::pipeline::experiment::cells::Cell;
use crate::pipeline::inputs::Inputs;
use crate::select::{Candidates, Pick, Selection, Step, select_by_quotas};

/// The examples of a cell, of those that the config's own selectors leave.
///
/// Random subsets are drawn anew for each seed; what picks by a map picks the same for all.
///
/// # Errors
/// A map that cannot be read.
pub fn selection_of(cell: &Cell, inputs: &Inputs, map: Option<&Path>) -> Result<Selection> {
    let base = &inputs.selection;
    let Some(rule) = &cell.rule else {
        return Ok(base.clone());
    };
    let candidates = match map {
        Some(map) => on_the_map(rule, map)?,
        None => Candidates {
            indices: base.subset.indices().to_vec(),
            ..Candidates::default()
        },
    };
    let quotas = rule.shares.split(cell.n_examples, rule.min_easy);
    let seed = match map {
        Some(_) => cell.config.random_state,
        None => cell.seed,
    };
    let mut picks = Vec::with_capacity(cell.n_examples);
    let mut parts = Vec::new();
    for by_rule in select_by_quotas(quotas, &candidates, seed) {
        parts.push(format!("{} {}", by_rule.picks.len(), by_rule.rule));
        let ranked = by_rule.picks.into_iter().zip(1..);
        picks.extend(ranked.map(|((position, score), rank)| Pick {
            index: candidates.indices[position],
            rule: by_rule.rule.clone(),
            rank,
            score,
        }));
    }
    let n_in = base.subset.len();
    let report = format!(
        "experiment: {} of {n_in} examples: {}",
        picks.len(),
        parts.join(", ")
    );
    let step = Step {
        name: "experiment",
        n_in,
        n_out: picks.len(),
        n_new_texts: 0,
        report,
    };
    let indices: Vec<ExampleIndex> = picks.iter().map(|pick| pick.index).collect();
    let taken: HashSet<ExampleIndex> = indices.iter().copied().collect();
    let order = base.order.as_ref().map(|order| {
        let order = order.iter().copied();
        order.filter(|index| taken.contains(index)).collect()
    });
    Ok(Selection {
        subset: indices.into(),
        repeats: Vec::new(),
        order,
        picks,
        steps: base.steps.iter().cloned().chain([step]).collect(),
        // A list of all that every cell leaves out would be longer than everything else.
        dropped: Vec::new(),
        new_texts: Vec::new(),
    })
}

/// The examples of a map with what the rules go by.
fn on_the_map(rule: &SubsetRule, map: &Path) -> Result<Candidates> {
    let map = MapFile::read(map)?;
    let rules = rule.shares.shares().iter();
    let of_rules = rules.filter_map(|share| share.rule.signal());
    let of_easy = (!rule.min_easy.is_zero()).then_some("confidence");
    let mut signals = BTreeMap::new();
    for signal in of_rules.chain(of_easy) {
        signals.insert(signal.to_owned(), map.reals(signal)?);
    }
    Ok(Candidates {
        indices: map.indices()?,
        classes: None,
        signals,
    })
}
