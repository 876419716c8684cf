//! What an audit found: `audit.csv`, `audit.yaml`, the picture, and what is printed.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::audited_run::{AuditedRun, MANIFEST_HASH};
use super::trainings::Calibration;
use crate::data::{Column, Table};
use crate::error::{Error, Result};
use crate::fsio;
use crate::map::label_errors::{Detection, LabelEvidence, detection};
use crate::pipeline::PICTURE_SCALE;
use crate::pipeline::ready_model::thousands;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::summary::{aligned, listed, print_text};
use crate::report::groups::highlighted;
use crate::report::raster;
use crate::report::scatter::{Colour, Scatter, Signal, scatter_svg};

/// How many examples are printed.
const N_PRINTED: usize = 10;

/// How many characters of a text are printed.
const TEXT_WIDTH: usize = 70;

/// The depths at which precision and recall are measured, beside the number of likely errors.
const DEPTHS: [usize; 3] = [10, 100, 1000];

/// All that an audit found.
pub struct Findings<'a> {
    /// The run.
    pub run: &'a AuditedRun,
    /// What points to wrong labels.
    pub evidence: &'a LabelEvidence,
    /// The folds of the cross-validation, where there was one.
    pub n_folds: Option<usize>,
    /// What known wrong labels told, where there were any.
    pub calibration: Option<&'a Calibration>,
}

/// From which score on labels are said to be likely wrong.
struct Threshold {
    /// How many there are.
    n_suspects: usize,
    /// The lowest combined score of them; none where there are none.
    combined: Option<f64>,
    /// The expected share of them that is wrong, if that was estimated.
    expected_precision: Option<f64>,
}

/// How well each score finds the wrong labels that are known.
struct Known {
    n_with_truth: usize,
    n_wrong: usize,
    scores: Vec<(&'static str, Detection)>,
}

impl Findings<'_> {
    /// Writes all files into `output`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, output: &Path) -> Result<()> {
        fsio::create_folder(output)?;
        self.table().write(&output.join("audit.csv"))?;
        let summary = serde_yaml::to_string(&self.summary())
            .map_err(|e| Error::internal(format!("audit.yaml: {e}")))?;
        fsio::write(&output.join("audit.yaml"), summary.as_bytes())?;
        let svg = scatter_svg(&self.picture())?;
        fsio::write(&output.join("audit.svg"), svg.as_bytes())?;
        fsio::write(
            &output.join("audit.png"),
            &raster::png(&svg, PICTURE_SCALE)?,
        )
    }

    /// Prints the first examples, how many there are, and how good the scores are where that is
    /// known.
    ///
    /// # Errors
    /// Standard output that cannot be written.
    pub fn print(&self, output: &Path) -> Result<()> {
        let mut text = self.first_examples();
        let n = self.evidence.combined().len();
        let threshold = self.threshold();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{} of {} labels are likely to be wrong by confident learning over {}.",
            thousands(threshold.n_suspects),
            thousands(n),
            match self.n_folds {
                Some(n_folds) => format!("{n_folds} folds"),
                None => "the run's dynamics".to_owned(),
            }
        );
        if let Some(accuracy) = self.evidence.held_out_accuracy {
            let _ = writeln!(
                text,
                "The folds' models predict {:.1} % of the labels that they were not trained on; where that is low they take many right labels for wrong.",
                100.0 * accuracy
            );
        }
        if let Some(combined) = threshold.combined {
            let _ = write!(
                text,
                "As many have a combined score of at least {combined:.3}. "
            );
            let _ = match (threshold.expected_precision, self.calibration) {
                (Some(precision), Some(calibration)) => writeln!(
                    text,
                    "About {:.0} % of them are expected to be wrong, judging by {} labels that were made wrong.",
                    100.0 * precision,
                    thousands(calibration.n_flipped)
                ),
                _ => writeln!(
                    text,
                    "How many of them are wrong is not estimated; `--calibrate` does, with another training run."
                ),
            };
        }
        if let Some(known) = self.known() {
            let _ = write!(text, "\n{}", known.table());
        }
        let _ = writeln!(text, "\nResults in {}:", output.display());
        let files = [
            ("every example", "audit.csv"),
            ("all numbers", "audit.yaml"),
            ("map with the suspects", "audit.svg"),
        ];
        let files =
            files.map(|(what, name)| (what.to_owned(), output.join(name).display().to_string()));
        text.push_str(&listed(&files));
        print_text(&text)
    }

    fn name(&self, class: u32) -> &str {
        self.run.labels.name(class)
    }

    /// The texts of an example.
    fn text(&self, position: usize) -> String {
        let index = self.run.dynamics.examples[position].index;
        let example = &self.run.dataset.examples[index as usize];
        let texts = example.sequences();
        let texts = texts.flat_map(|(first, second)| std::iter::once(first).chain(second));
        texts.collect::<Vec<_>>().join(" | ")
    }

    /// One row per example, the most suspect first.
    fn table(&self) -> Table {
        let order = self.evidence.ranking();
        let examples = &self.run.dynamics.examples;
        let texts =
            |f: &dyn Fn(usize) -> String| Column::Text(order.iter().map(|i| f(*i)).collect());
        let suggested = |i: usize| {
            let class = self.evidence.suggested[i];
            class.map_or_else(String::new, |class| self.name(class).to_owned())
        };
        let is_likely = |i: &usize| i64::from(self.evidence.learning.is_likely_error[*i]);
        let mut table = Table::new()
            .with("rank", Column::Integer((1..=order.len() as i64).collect()))
            .with("guid", texts(&|i| examples[i].guid.clone()))
            .with("text", texts(&|i| self.text(i)))
            .with("gold", texts(&|i| self.name(examples[i].gold).to_owned()))
            .with("suggested", texts(&suggested));
        if let Some(true_labels) = self.run.true_labels() {
            let name = |i: usize| {
                let class = true_labels[i];
                class.map_or_else(String::new, |class| self.name(class).to_owned())
            };
            table = table.with("true_label", texts(&name));
        }
        table = table.with(
            "likely_error",
            Column::Integer(order.iter().map(is_likely).collect()),
        );
        for score in self.evidence.scores.iter().rev() {
            let values = order.iter().map(|i| score.values[*i]).collect();
            table = table.with(score.name, Column::Real(values));
        }
        table
    }

    /// As many of the most suspect examples as confident learning says are likely errors.
    fn threshold(&self) -> Threshold {
        let n_suspects = self.evidence.learning.n_likely_errors();
        let order = self.evidence.ranking();
        let last = n_suspects.checked_sub(1).map(|at| order[at]);
        let combined = last.map(|position| self.evidence.combined()[position]);
        let expected_precision = combined
            .zip(self.calibration)
            .map(|(threshold, calibration)| {
                // Of the estimated errors as many lie above the threshold as of the labels made wrong.
                let n_errors = self.evidence.learning.n_estimated_errors() as f64;
                (n_errors * calibration.recall(threshold) / n_suspects as f64).min(1.0)
            });
        Threshold {
            n_suspects,
            combined,
            expected_precision,
        }
    }

    /// How well the scores find the wrong labels, where true ones are known. Examples whose true
    /// label is not known are left out.
    fn known(&self) -> Option<Known> {
        let true_labels = self.run.true_labels()?;
        let gold = self.run.gold();
        let known: Vec<usize> = (0..gold.len())
            .filter(|i| true_labels[*i].is_some())
            .collect();
        let is_wrong: Vec<bool> = known
            .iter()
            .map(|i| true_labels[*i] != Some(gold[*i]))
            .collect();
        let n_wrong = is_wrong.iter().filter(|is| **is).count();
        let mut depths = DEPTHS.to_vec();
        depths.push(self.evidence.learning.n_likely_errors());
        depths.retain(|depth| (1..=known.len()).contains(depth));
        depths.sort_unstable();
        depths.dedup();
        let scores = self.evidence.scores.iter().rev().map(|score| {
            let suspicion = score.suspicion();
            let suspicion: Vec<f64> = known.iter().map(|i| suspicion[*i]).collect();
            (score.name, detection(&suspicion, &is_wrong, &depths))
        });
        Some(Known {
            n_with_truth: known.len(),
            n_wrong,
            scores: scores.collect(),
        })
    }

    /// What `audit.yaml` holds.
    fn summary(&self) -> Value {
        let learning = &self.evidence.learning;
        let names = self.run.labels.names();
        let joint: Map<String, Value> = names
            .iter()
            .zip(&learning.joint)
            .map(|(given, row)| {
                let row: Map<String, Value> = names
                    .iter()
                    .cloned()
                    .zip(row.iter().map(|n| json!(n)))
                    .collect();
                (given.clone(), Value::Object(row))
            })
            .collect();
        let thresholds: Map<String, Value> = names
            .iter()
            .cloned()
            .zip(learning.thresholds.iter().map(|t| json!(t)))
            .collect();
        let threshold = self.threshold();
        json!({
            (MANIFEST_HASH): RunFolder::manifest_hash(&self.run.folder),
            "n_examples": self.evidence.combined().len(),
            "n_epochs": self.run.dynamics.epochs.len(),
            "n_folds": self.n_folds,
            "held_out_accuracy": self.evidence.held_out_accuracy,
            "confident_learning": {
                "n_likely_errors": threshold.n_suspects,
                "n_estimated_errors": learning.n_estimated_errors(),
                "thresholds": thresholds,
                "joint": joint,
            },
            "threshold": {
                "combined": threshold.combined,
                "expected_precision": threshold.expected_precision,
            },
            "true_labels": self.known().map(|known| known.summary()),
        })
    }

    fn first_examples(&self) -> String {
        let mut rows = vec![
            ["", "gold", "suggested", "combined", "text"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for (rank, i) in self
            .evidence
            .ranking()
            .into_iter()
            .take(N_PRINTED)
            .enumerate()
        {
            let example = &self.run.dynamics.examples[i];
            let suggested = self.evidence.suggested[i];
            rows.push(vec![
                format!("{} {}", rank + 1, shortened(&example.guid, 24)),
                shortened(self.name(example.gold), 24),
                suggested.map_or_else(String::new, |class| shortened(self.name(class), 24)),
                format!("{:.3}", self.evidence.combined()[i]),
                shortened(&self.text(i), TEXT_WIDTH),
            ]);
        }
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..4).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", row[4]);
        }
        text
    }

    /// The map with the likely errors above all others.
    fn picture(&self) -> Scatter {
        let confidence = self.evidence.scores.iter().find(|s| s.name == "confidence");
        let file = self.run.dataset.path.file_name().unwrap_or_default();
        let is_likely = &self.evidence.learning.is_likely_error;
        Scatter {
            title: format!("Likely label errors of {}", file.to_string_lossy()),
            note: String::new(),
            x: Signal {
                name: "variability".to_owned(),
                values: self.evidence.variability.clone(),
            },
            y: Signal {
                name: "confidence".to_owned(),
                values: confidence.map_or_else(Vec::new, |score| score.values.clone()),
            },
            colour: Colour::Groups {
                name: "label".to_owned(),
                groups: highlighted(is_likely, "likely wrong", "others"),
            },
        }
    }
}

impl Known {
    fn random_rate(&self) -> f64 {
        self.n_wrong as f64 / self.n_with_truth as f64
    }

    fn summary(&self) -> Value {
        let scores: Map<String, Value> = self
            .scores
            .iter()
            .map(|(name, found)| {
                let at: Vec<Value> = found
                    .at
                    .iter()
                    .map(|(k, precision, recall)| {
                        json!({"k": k, "precision": precision, "recall": recall})
                    })
                    .collect();
                let value = json!({
                    "average_precision": found.average_precision,
                    "roc_auc": found.roc_auc,
                    "at": at,
                });
                ((*name).to_owned(), value)
            })
            .collect();
        json!({
            "n_with_truth": self.n_with_truth,
            "n_wrong": self.n_wrong,
            "random_rate": self.random_rate(),
            "scores": scores,
        })
    }

    /// The same for people.
    fn table(&self) -> String {
        let mut text = format!(
            "{} of {} labels are known to be wrong: {:.2} %, which is the precision of a random order.\n",
            thousands(self.n_wrong),
            thousands(self.n_with_truth),
            100.0 * self.random_rate()
        );
        let mut rows = vec![vec![
            String::new(),
            "average precision".to_owned(),
            "ROC AUC".to_owned(),
        ]];
        for (_, found) in self.scores.iter().take(1) {
            for (k, ..) in &found.at {
                rows[0].extend([format!("precision@{k}"), format!("recall@{k}")]);
            }
        }
        for (name, found) in &self.scores {
            let mut row = vec![
                (*name).to_owned(),
                format!("{:.3}", found.average_precision),
                format!("{:.3}", found.roc_auc),
            ];
            for (_, precision, recall) in &found.at {
                row.extend([format!("{precision:.3}"), format!("{recall:.3}")]);
            }
            rows.push(row);
        }
        text.push_str(&aligned(&rows));
        text
    }
}

/// The start of a text, on one line.
fn shortened(text: &str, width: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= width {
        return line;
    }
    let start: String = line.chars().take(width - 3).collect();
    format!("{start}...")
}
