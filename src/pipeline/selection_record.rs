//! What a run writes down about its selectors: who took what, and why.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::config::Slice;
use crate::data::{Column, Dataset, ExampleIndex, Table};
use crate::error::{Error, Result};
use crate::fsio;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::run_folder::RunFolder;
use crate::select::{Selection, slice_members};

/// Whether a selector did more than take everything.
pub fn is_worth_a_record(selection: &Selection) -> bool {
    selection.steps.iter().any(|step| step.name != "dummy")
}

/// The stages that have a record, with what their files' names begin with.
fn recorded(inputs: &Inputs) -> impl Iterator<Item = (&str, String, &Dataset, &Selection)> {
    let training = (
        "train",
        "selection".to_owned(),
        &*inputs.training,
        &inputs.selection,
    );
    let others = inputs.stages.iter().map(|set| {
        let name = format!("selection_{}", set.stage);
        (set.stage.as_str(), name, &set.dataset, &set.selection)
    });
    let all = std::iter::once(training).chain(others);
    all.filter(|(_, _, _, selection)| is_worth_a_record(selection))
}

/// The names that the record's files may have.
pub fn names(inputs: &Inputs) -> impl Iterator<Item = String> {
    let tables = recorded(inputs).flat_map(|(_, name, _, _)| {
        [".csv", "_dropped.csv", "_texts.jsonl"].map(|ending| format!("{name}{ending}"))
    });
    let has_record = recorded(inputs).next().is_some();
    tables.chain(has_record.then(|| "selection.yaml".to_owned()))
}

/// Writes the record of every stage with selectors: `selection.yaml` says what each selector
/// did, `selection.csv` which examples are taken, `selection_dropped.csv` which are not, and
/// `selection_texts.jsonl` which texts were changed. Those of the test set begin with
/// `selection_test`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(run: &RunFolder, inputs: &Inputs) -> Result<()> {
    let mut stages = Map::new();
    for (stage, name, dataset, selection) in recorded(inputs) {
        stages.insert(stage.to_owned(), steps(selection));
        let at = |ending: &str| run.path().join(format!("{name}{ending}"));
        taken(dataset, selection, &inputs.slices).write(&at(".csv"))?;
        if !selection.dropped.is_empty() {
            dropped(dataset, selection).write(&at("_dropped.csv"))?;
        }
        if !selection.new_texts.is_empty() {
            let text = new_texts(dataset, selection);
            fsio::write(&at("_texts.jsonl"), text.as_bytes())?;
        }
    }
    if stages.is_empty() {
        return Ok(());
    }
    let text = serde_yaml::to_string(&stages)
        .map_err(|e| Error::internal(format!("selection.yaml: {e}")))?;
    fsio::write(&run.path().join("selection.yaml"), text.as_bytes())
}

fn steps(selection: &Selection) -> Value {
    let steps = selection.steps.iter().map(|step| {
        json!({
            "selector": step.name,
            "examples_in": step.n_in,
            "examples_out": step.n_out,
            "new_texts": step.n_new_texts,
            "report": step.report,
        })
    });
    steps.collect()
}

/// A row per example that is taken: in the order of picking, that of a command, or that of the
/// rows. A column is there only where it says something.
fn taken(dataset: &Dataset, selection: &Selection, slices: &[Slice]) -> Table {
    let rows: Vec<ExampleIndex> = match (&selection.order, selection.picks.as_slice()) {
        (Some(order), _) => order.clone(),
        (None, []) => selection.subset.indices().to_vec(),
        (None, picks) => picks.iter().map(|pick| pick.index).collect(),
    };
    let mut table = examples(dataset, &rows);
    if !selection.picks.is_empty() {
        let picks: HashMap<ExampleIndex, _> =
            selection.picks.iter().map(|p| (p.index, p)).collect();
        let of = |index: &ExampleIndex| picks[index];
        let region = rows.iter().map(|i| of(i).rule.to_string());
        let rank = rows.iter().map(|i| of(i).rank as i64);
        let score = rows.iter().map(|i| of(i).score.unwrap_or(f64::NAN));
        table = table
            .with("region", Column::Text(region.collect()))
            .with("rank", Column::Integer(rank.collect()))
            .with("score", Column::Real(score.collect()));
    }
    if !selection.repeats.is_empty() {
        let mut draws: HashMap<ExampleIndex, i64> = HashMap::new();
        for index in selection.draws() {
            *draws.entry(index).or_default() += 1;
        }
        let draws = rows.iter().map(|index| draws[index]);
        table = table.with("draws", Column::Integer(draws.collect()));
    }
    for slice in slices {
        if let Ok(members) = slice_members(slice, dataset, &rows) {
            let members = members.into_iter().map(i64::from);
            let name = format!("slice_{}", slice.name);
            table = table.with(name, Column::Integer(members.collect()));
        }
    }
    table
}

/// A row per example that is not taken, in the order of the selectors that dropped them.
fn dropped(dataset: &Dataset, selection: &Selection) -> Table {
    let dropped = &selection.dropped;
    let rows: Vec<ExampleIndex> = dropped.iter().map(|dropped| dropped.index).collect();
    let selector = dropped
        .iter()
        .map(|d| selection.steps[d.step].name.to_owned());
    let step = dropped.iter().map(|d| d.step as i64 + 1);
    let reason = dropped.iter().map(|d| d.reason.as_ref().to_owned());
    examples(dataset, &rows)
        .with("selector", Column::Text(selector.collect()))
        .with("position", Column::Integer(step.collect()))
        .with("reason", Column::Text(reason.collect()))
}

fn examples(dataset: &Dataset, rows: &[ExampleIndex]) -> Table {
    let guid = rows
        .iter()
        .map(|i| dataset.examples[*i as usize].guid.clone());
    let index = rows.iter().map(|i| i64::from(*i));
    Table::new()
        .with("guid", Column::Text(guid.collect()))
        .with("index", Column::Integer(index.collect()))
}

/// An object a line for every change of a text: the example as the run has it, and what it was.
fn new_texts(dataset: &Dataset, selection: &Selection) -> String {
    let mut lines = String::new();
    for new in &selection.new_texts {
        let example = &dataset.examples[new.index as usize];
        let line = json!({
            "guid": example.guid,
            "index": new.index,
            "position": new.step + 1,
            "text": example.text,
            "text_pair": example.text_pair,
            "text_before": new.text_before,
            "text_pair_before": new.text_pair_before,
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines
}
