//! `results.md`: the means with their intervals, and how they differ from random subsets and
//! from the whole training set.

use std::fmt::Write;

use crate::config::metric::Direction;
use crate::metrics::OverSeeds;
use crate::report::curves::percent;

use super::summary::{Group, SummaryRow};
use super::{ALL, RANDOM, TRAIN};

/// What the page shows.
pub(super) struct Page<'a> {
    pub groups: &'a [Group<'a>],
    pub rows: &'a [SummaryRow<'a>],
    /// The stages, each a column.
    pub stages: &'a [&'a str],
    /// Each metric, and which way is better where that is known; differences are those of the
    /// first.
    pub metrics: &'a [(&'a str, Option<Direction>)],
    /// The files of the pictures.
    pub pictures: &'a [String],
}

impl Page<'_> {
    /// The page's text.
    pub fn text(&self) -> String {
        let mut text = String::from("# Results of the experiment\n\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", self.legend());
        for picture in self.pictures {
            let _ = writeln!(text, "![{picture}]({picture})\n");
        }
        for (i, (metric, direction)) in self.metrics.iter().enumerate() {
            let _ = writeln!(text, "## {metric}\n");
            self.means(&mut text, metric, *direction);
            if i > 0 {
                continue;
            }
            if self.groups.iter().any(|group| group.selection == RANDOM) {
                let _ = writeln!(text, "### Difference of {metric} from `{RANDOM}`\n");
                self.differences(&mut text, metric, |row| row.against_random);
            }
            if self.groups.iter().any(|group| group.selection == ALL) {
                let _ = writeln!(text, "### Difference of {metric} from `{ALL}`\n");
                self.differences(&mut text, metric, |row| row.against_all);
            }
        }
        text
    }

    fn legend(&self) -> String {
        let n_cells: usize = self.groups.iter().map(|group| group.cells.len()).sum();
        let shown = self
            .rows
            .iter()
            .filter(|row| self.stages.contains(&row.stage));
        let mut spreads = shown.filter_map(|row| row.scores?.spread);
        let note = if spreads.any(|spread| spread.standard_deviation < 0.000_05) {
            " \u{b1} 0.0000 over several seeds is most often that of models which say one class of \
             every example, and learnt nothing."
        } else {
            ""
        };
        format!(
            "{n_cells} cells. A number is the mean over seeds \u{b1} their standard deviation, then the \
             interval that holds the true mean with 95 % probability (Student's t), where there is \
             more than one seed. **Bold** is the best mean of its column among the subsets of one size. \
             A difference is taken seed by seed, and is bold where its interval does not hold 0; \
             among twenty such intervals one is expected to miss by chance. `results.csv` has every \
             cell, `summary.csv` these numbers for every metric.{note}"
        )
    }

    /// The stages across, the groups down.
    fn means(&self, text: &mut String, metric: &str, direction: Option<Direction>) {
        self.head(text, "seeds");
        for group in self.groups {
            row_head(text, group, group.cells.len());
            for stage in self.stages {
                let scores = self.row(group, stage, metric).and_then(|row| row.scores);
                let cell = scores.map_or_else(String::new, |scores| number(&scores));
                let is_best = scores.is_some_and(|scores| {
                    self.is_best(group, stage, metric, scores.mean, direction)
                });
                let _ = write!(text, " {} |", emphasised(cell, is_best));
            }
            text.push('\n');
        }
        text.push('\n');
    }

    /// The stages across, the groups that have such a difference down.
    fn differences(
        &self,
        text: &mut String,
        metric: &str,
        difference: impl Fn(&SummaryRow) -> Option<OverSeeds>,
    ) {
        self.head(text, "pairs");
        for group in self.groups {
            let cells: Vec<Option<OverSeeds>> = self
                .stages
                .iter()
                .map(|stage| difference(self.row(group, stage, metric)?))
                .collect();
            let Some(n_pairs) = cells.iter().flatten().map(|cell| cell.n).max() else {
                continue;
            };
            row_head(text, group, n_pairs);
            for cell in cells {
                let shown = cell.map_or_else(String::new, |cell| signed(&cell));
                let is_clear = cell
                    .and_then(|cell| cell.spread)
                    .is_some_and(|spread| spread.low > 0.0 || spread.high < 0.0);
                let _ = write!(text, " {} |", emphasised(shown, is_clear));
            }
            text.push('\n');
        }
        text.push('\n');
    }

    fn head(&self, text: &mut String, counted: &str) {
        let _ = write!(text, "| share | selection | examples | {counted} |");
        for stage in self.stages {
            let _ = write!(text, " {stage} |");
        }
        let _ = writeln!(
            text,
            "\n| ---: | --- | ---: | ---: |{}",
            " --- |".repeat(self.stages.len())
        );
    }

    fn row(&self, group: &Group, stage: &str, metric: &str) -> Option<&SummaryRow<'_>> {
        self.rows.iter().find(|row| {
            row.selection == group.selection
                && row.fraction == group.fraction
                && row.stage == stage
                && row.metric == metric
        })
    }

    /// Whether no other subset of the size has a better mean on the same examples, and there is
    /// another.
    fn is_best(
        &self,
        group: &Group,
        stage: &str,
        metric: &str,
        mean: f64,
        direction: Option<Direction>,
    ) -> bool {
        let Some(direction) = direction else {
            return false;
        };
        let others = self.rows.iter().filter(|row| {
            row.fraction == group.fraction
                && row.selection != group.selection
                && row.selection != ALL
                && row.stage == stage
                && row.metric == metric
        });
        let mut others = others.filter_map(|row| row.scores).peekable();
        let no_better = |other: OverSeeds| match direction {
            Direction::HigherIsBetter => other.mean <= mean,
            Direction::LowerIsBetter => other.mean >= mean,
        };
        group.selection != ALL && stage != TRAIN && others.peek().is_some() && others.all(no_better)
    }
}

fn row_head(text: &mut String, group: &Group, n: usize) {
    let _ = write!(
        text,
        "| {} % | {} | {} | {n} |",
        percent(group.fraction.to_f64()),
        escaped(group.selection),
        group.cells[0].n_examples
    );
}

fn number(scores: &OverSeeds) -> String {
    match scores.spread {
        None => format!("{:.4}", scores.mean),
        Some(spread) => format!(
            "{:.4} \u{b1} {:.4} [{:.4}, {:.4}]",
            scores.mean, spread.standard_deviation, spread.low, spread.high
        ),
    }
}

fn signed(difference: &OverSeeds) -> String {
    match difference.spread {
        None => format!("{:+.4}", difference.mean),
        Some(spread) => format!(
            "{:+.4} [{:+.4}, {:+.4}]",
            difference.mean, spread.low, spread.high
        ),
    }
}

fn emphasised(cell: String, yes: bool) -> String {
    if yes { format!("**{cell}**") } else { cell }
}

/// A name that cannot end its cell.
fn escaped(name: &str) -> String {
    name.replace('|', "\\|")
}
