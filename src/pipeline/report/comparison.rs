//! What changed from one map to another of the same examples.

use serde_json::{Value, json};

use crate::error::{Error, Problem, Result};
use crate::pipeline::report::map_blocks::{MapOfPage, placed};
use crate::pipeline::stability::spearman;
use crate::report::page::Page;

/// The signals of the other map that the page has, too.
const SHOWN: [&str; 3] = ["confidence", "variability", "correctness"];

/// Adds where `other` has the map's examples; what the page is to know of it.
///
/// # Errors
/// Maps that share no example.
pub fn facts(page: &mut Page, map: &MapOfPage, other: &MapOfPage) -> Result<Value> {
    let positions = map.positions();
    let rows: Vec<Option<usize>> = other
        .guids
        .iter()
        .map(|guid| positions.get(guid.as_str()).copied())
        .collect();
    let n_shared = rows.iter().flatten().count();
    if n_shared == 0 {
        let message = "the two runs have no example in common, by their guids";
        return Err(Error::data(Problem::new(message)));
    }
    let mut correlations = Vec::new();
    let mut signals = Vec::new();
    for (name, values) in &map.signals {
        let Some(others) = other.signal(name) else {
            continue;
        };
        let pairs = rows.iter().zip(others);
        let pairs = pairs.filter_map(|(row, other)| Some((values[(*row)?], *other)));
        let known = pairs.filter(|(a, b)| !a.is_nan() && !b.is_nan());
        let (a, b): (Vec<f64>, Vec<f64>) = known.unzip();
        correlations.push(json!({"name": name, "spearman": spearman(&a, &b), "n": a.len()}));
        if SHOWN.contains(&name.as_str()) {
            let block = page.f32s(&placed(&rows, others, map.guids.len()));
            signals.push(json!({"name": name, "block": block}));
        }
    }
    Ok(json!({
        "n_shared": n_shared,
        "n_only_here": map.guids.len() - n_shared,
        "n_only_there": other.guids.len() - n_shared,
        "correlations": correlations,
        "signals": signals,
    }))
}
