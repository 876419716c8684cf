//! Cells to numbers over seeds: a mean for each selection, fraction, stage and metric, and its
//! difference from random subsets and from the whole training set.

use crate::config::Fraction;
use crate::metrics::{OverSeeds, over_seeds, paired_difference};

use super::{ALL, CellScore, RANDOM, TRAIN};

/// The cells of one selection and fraction.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub selection: &'a str,
    pub fraction: Fraction,
    /// One for each seed that is there, in the order of the seeds.
    pub cells: Vec<&'a CellScore>,
}

/// What the seeds of one group gave on one stage by one metric.
#[derive(Debug)]
pub(super) struct SummaryRow<'a> {
    pub selection: &'a str,
    pub fraction: Fraction,
    /// Of the first seed; those of others may differ where data are split by seed.
    pub n_examples: usize,
    pub stage: &'a str,
    pub metric: &'a str,
    /// None where no seed has a number.
    pub scores: Option<OverSeeds>,
    /// This minus random at the same fraction, seed by seed; none for random itself and for what
    /// was trained on, which differs.
    pub against_random: Option<OverSeeds>,
    /// This minus everything, seed by seed; none for everything itself and for what was trained on.
    pub against_all: Option<OverSeeds>,
}

impl Group<'_> {
    /// Seed and value of each cell that has this metric.
    pub fn values(&self, stage: &str, metric: &str) -> Vec<(u64, f64)> {
        let cells = self.cells.iter();
        cells
            .filter_map(|cell| Some((cell.seed, cell.value(stage, metric)?)))
            .collect()
    }
}

/// The groups by fraction, and of one fraction in the order of [`selections`]; everything comes
/// first.
pub(super) fn groups(cells: &[CellScore]) -> Vec<Group<'_>> {
    let selections = selections(cells);
    let mut keys: Vec<(bool, Fraction, usize)> = Vec::new();
    let key_of = |cell: &CellScore| {
        let rank = selections.iter().position(|name| *name == cell.selection);
        (
            cell.selection != ALL,
            cell.fraction,
            rank.unwrap_or(usize::MAX),
        )
    };
    for cell in cells {
        let key = key_of(cell);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_unstable();
    let group_of = |key: &(bool, Fraction, usize)| {
        let mut members: Vec<&CellScore> =
            cells.iter().filter(|cell| key_of(cell) == *key).collect();
        members.sort_by_key(|cell| cell.seed);
        Group {
            selection: selections[key.2],
            fraction: key.1,
            cells: members,
        }
    };
    keys.iter().map(group_of).collect()
}

/// The selections: everything, random, then the others in the order of the cells.
pub(super) fn selections(cells: &[CellScore]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in [ALL, RANDOM] {
        if cells.iter().any(|cell| cell.selection == name) {
            names.push(name);
        }
    }
    for cell in cells {
        if !names.contains(&cell.selection.as_str()) {
            names.push(&cell.selection);
        }
    }
    names
}

/// The stages that any cell has, in the order of the first that has them.
pub(super) fn stages(cells: &[CellScore]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for stage in cells.iter().flat_map(|cell| &cell.stages) {
        if !names.contains(&stage.stage.as_str()) {
            names.push(&stage.stage);
        }
    }
    names
}

/// The metrics that any stage has, in the order of the first that has them.
pub(super) fn metrics(cells: &[CellScore]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let stages = cells.iter().flat_map(|cell| &cell.stages);
    for (name, _) in stages.flat_map(|stage| &stage.metrics) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// A row for each group, stage and metric, in this order; stages that lack a metric have none.
pub(super) fn summary<'a>(cells: &'a [CellScore], groups: &[Group<'a>]) -> Vec<SummaryRow<'a>> {
    let (stages, metrics) = (stages(cells), metrics(cells));
    let all = groups.iter().find(|group| group.selection == ALL);
    let mut rows = Vec::new();
    for group in groups {
        let random = groups
            .iter()
            .find(|other| other.selection == RANDOM && other.fraction == group.fraction);
        for stage in &stages {
            for metric in &metrics {
                let values = group.values(stage, metric);
                if values.is_empty() {
                    continue;
                }
                let against = |other: Option<&Group>| {
                    let other = other.filter(|other| other.selection != group.selection)?;
                    if *stage == TRAIN {
                        return None;
                    }
                    paired_difference(&values, &other.values(stage, metric))
                };
                rows.push(SummaryRow {
                    selection: group.selection,
                    fraction: group.fraction,
                    n_examples: group.cells[0].n_examples,
                    stage,
                    metric,
                    scores: over_seeds(values.iter().map(|(_, value)| *value)),
                    against_random: against(random),
                    against_all: against(all),
                });
            }
        }
    }
    rows
}
