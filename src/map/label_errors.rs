//! How likely it is that an example's label is wrong, from what a model said of it.
//!
//! ```text
//! confident_learning  Northcutt et al. 2021: thresholds, joint of given and true labels, pruning
//! detection           how well a score finds the labels that are known to be wrong
//! ```
//!
//! Shapes: N examples, C classes, E epochs; probabilities are (N, C), row by row.

mod confident_learning;
mod detection;

pub use confident_learning::ConfidentLearning;
pub use detection::{Detection, detection};

use rayon::prelude::*;

use super::signals::{Accumulator, Variability};
use crate::dynamics::{TrainingDynamics, ValueKind};
use crate::metrics::{argmax, softmax_f64};

/// The labels of N examples and what a model says of them.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The given classes, (N), each below C.
    pub gold: &'a [u32],
    /// (N, C), each row in [0, 1] with the sum 1.
    pub probabilities: &'a [f64],
    /// C, at least 1.
    pub n_classes: usize,
}

impl<'a> Judged<'a> {
    /// These labels and probabilities.
    pub fn new(gold: &'a [u32], probabilities: &'a [f64], n_classes: usize) -> Self {
        Self {
            gold,
            probabilities,
            n_classes,
        }
    }

    /// The given class and the probabilities of each example.
    fn rows(&self) -> impl ExactSizeIterator<Item = (usize, &'a [f64])> + use<'a> {
        let rows = self.probabilities.chunks_exact(self.n_classes);
        self.gold.iter().map(|gold| *gold as usize).zip(rows)
    }

    /// The probability of each example's given class.
    pub fn self_confidence(&self) -> Vec<f64> {
        self.rows().map(|(gold, row)| row[gold]).collect()
    }

    /// That probability less the largest other one, -1 to 1 (0 for a class alone).
    pub fn margin(&self) -> Vec<f64> {
        let rows = self.rows();
        rows.map(|(gold, row)| match largest_other(gold, row) {
            Some(other) => row[gold] - row[other],
            None => 0.0,
        })
        .collect()
    }

    /// For each example the most probable other class, where that is more probable than the
    /// given one.
    pub fn suggested_labels(&self) -> Vec<Option<u32>> {
        let rows = self.rows();
        rows.map(|(gold, row)| {
            let other = largest_other(gold, row)?;
            (row[other] > row[gold]).then_some(other as u32)
        })
        .collect()
    }
}

/// The most probable class but `gold`; none where there is only one class.
fn largest_other(gold: usize, row: &[f64]) -> Option<usize> {
    let others = (0..row.len()).filter(|class| *class != gold);
    others.reduce(|best, class| if row[class] > row[best] { class } else { best })
}

/// What points to a wrong label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspect {
    /// Low values.
    Low,
    /// High values.
    High,
}

/// A score of all examples.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelScore {
    /// The column's name.
    pub name: &'static str,
    /// Which values are suspect.
    pub suspect: Suspect,
    /// One per example, none missing.
    pub values: Vec<f64>,
}

impl LabelScore {
    fn new(name: &'static str, suspect: Suspect, values: Vec<f64>) -> Self {
        Self {
            name,
            suspect,
            values,
        }
    }

    /// The values, turned so that high ones are suspect.
    pub fn suspicion(&self) -> Vec<f64> {
        match self.suspect {
            Suspect::High => self.values.clone(),
            Suspect::Low => self.values.iter().map(|value| -value).collect(),
        }
    }
}

/// What cross-validation says of N examples.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossValidated {
    /// The mean over the epochs of the probabilities by the model that did not train on the
    /// example, (N, C).
    pub held_out: Vec<f64>,
    /// Those after the last epoch, (N, C).
    pub held_out_last: Vec<f64>,
    /// The mean over the epochs and the models that trained on the example, (N, C).
    pub trained_on: Vec<f64>,
}

/// All that is known of N labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelEvidence {
    /// Every score, the combined one last.
    pub scores: Vec<LabelScore>,
    /// The map's variability, for pictures.
    pub variability: Vec<f64>,
    /// What confident learning says.
    pub learning: ConfidentLearning,
    /// How many of the labels the models of a cross-validation predict that have not seen the
    /// example, 0 to 1.
    pub held_out_accuracy: Option<f64>,
    /// The class that each example should perhaps have: the most probable other one by the
    /// combined probabilities, where it is more probable than the given one.
    pub suggested: Vec<Option<u32>>,
}

impl LabelEvidence {
    /// Scores the labels of dynamics, and of cross-validation where there was one.
    ///
    /// The combined score, 0 to 1, is (1 - margin) / 2 of the mean probabilities: over the epochs
    /// of the run, and with cross-validation the mean of those, of the held-out ones and of those
    /// by the folds' models that trained on the example. It has no constant to choose. A mean over
    /// the epochs knows more than the last epoch, by which a model has learnt wrong labels by
    /// heart. Dividing each class by its mean beforehand, as for annotators who fall back on one
    /// label, helps where that is so and the classes are as frequent; where one class is rare it
    /// takes the other's examples for errors, so it is not done.
    pub fn new(dynamics: &TrainingDynamics, crossed: Option<&CrossValidated>) -> Self {
        let gold: Vec<u32> = dynamics.examples.iter().map(|e| e.gold).collect();
        let n_classes = dynamics.n_classes;
        let mean = mean_probabilities(dynamics);
        let last = probabilities_of(dynamics, dynamics.epochs.len() - 1);
        let (mut scores, variability) = map_scores(dynamics);
        scores.push(LabelScore::new(
            "last_confidence",
            Suspect::Low,
            Judged::new(&gold, &last, n_classes).self_confidence(),
        ));
        scores.push(LabelScore::new(
            "normalized_margin",
            Suspect::Low,
            Judged::new(&gold, &mean, n_classes).margin(),
        ));
        let held_out_accuracy = crossed.map(|crossed| {
            let held_out = Judged::new(&gold, &crossed.held_out_last, n_classes);
            let right = predictions(&held_out).into_iter().zip(&gold);
            let n_right = right
                .filter(|(class, gold)| *class == **gold as usize)
                .count();
            n_right as f64 / gold.len() as f64
        });
        let mut all = mean;
        let learning = if let Some(crossed) = crossed {
            let held_out = Judged::new(&gold, &crossed.held_out_last, n_classes);
            scores.push(LabelScore::new(
                "held_out_last_confidence",
                Suspect::Low,
                held_out.self_confidence(),
            ));
            let over_epochs = Judged::new(&gold, &crossed.held_out, n_classes);
            scores.push(LabelScore::new(
                "held_out_confidence",
                Suspect::Low,
                over_epochs.self_confidence(),
            ));
            let learning = ConfidentLearning::new(&over_epochs);
            scores.push(learning.score(&over_epochs));
            let parts = all
                .iter_mut()
                .zip(&crossed.held_out)
                .zip(&crossed.trained_on);
            for ((p, held_out), trained_on) in parts {
                *p = (*p + held_out + trained_on) / 3.0;
            }
            learning
        } else {
            let learning = ConfidentLearning::new(&Judged::new(&gold, &all, n_classes));
            scores.push(learning.score(&Judged::new(&gold, &all, n_classes)));
            learning
        };
        let all = Judged::new(&gold, &all, n_classes);
        let combined = all.margin();
        let combined = combined.iter().map(|margin| (1.0 - margin) / 2.0).collect();
        scores.push(LabelScore::new("combined", Suspect::High, combined));
        Self {
            scores,
            variability,
            learning,
            held_out_accuracy,
            suggested: all.suggested_labels(),
        }
    }

    /// The combined score.
    pub fn combined(&self) -> &[f64] {
        self.scores.last().map_or(&[], |score| &score.values)
    }

    /// The positions of the examples, the most suspect first; ties go to the smaller position.
    pub fn ranking(&self) -> Vec<usize> {
        let combined = self.combined();
        let mut order: Vec<usize> = (0..combined.len()).collect();
        order.sort_by(|a, b| combined[*b].total_cmp(&combined[*a]));
        order
    }
}

/// The mean over the epochs of the probabilities, (N, C).
pub fn mean_probabilities(dynamics: &TrainingDynamics) -> Vec<f64> {
    let mut mean = vec![0.0; dynamics.examples.len() * dynamics.n_classes];
    for epoch in 0..dynamics.epochs.len() {
        for (sum, p) in mean.iter_mut().zip(probabilities_of(dynamics, epoch)) {
            *sum += p;
        }
    }
    for sum in &mut mean {
        *sum /= dynamics.epochs.len() as f64;
    }
    mean
}

/// The probabilities of an epoch, (N, C).
pub fn probabilities_of(dynamics: &TrainingDynamics, epoch: usize) -> Vec<f64> {
    let values = &dynamics.epochs[epoch];
    match dynamics.kind {
        ValueKind::Probabilities => values.clone(),
        ValueKind::Logits => values
            .chunks_exact(dynamics.n_classes)
            .flat_map(softmax_f64)
            .collect(),
    }
}

/// The scores that the map has as well, and its variability.
fn map_scores(dynamics: &TrainingDynamics) -> (Vec<LabelScore>, Vec<f64>) {
    let signals: Vec<_> = (0..dynamics.examples.len())
        .into_par_iter()
        .map(|position| {
            let gold = dynamics.examples[position].gold as usize;
            let mut accumulator = Accumulator::default();
            for values in dynamics.of_example(position) {
                match dynamics.kind {
                    ValueKind::Logits => accumulator.add_logits(values, gold),
                    ValueKind::Probabilities => accumulator.add_probabilities(values, gold),
                }
            }
            accumulator.signals(Variability::Plain)
        })
        .collect();
    let of = |f: &dyn Fn(&super::Signals) -> f64| signals.iter().map(f).collect::<Vec<f64>>();
    let mut scores = vec![LabelScore::new(
        "confidence",
        Suspect::Low,
        of(&|s| s.confidence),
    )];
    if signals.iter().all(|s| s.aum.is_some()) {
        let aum = of(&|s| s.aum.unwrap_or_default());
        scores.push(LabelScore::new("aum", Suspect::Low, aum));
    }
    let el2n = of(&|s| s.el2n);
    scores.push(LabelScore::new("el2n", Suspect::High, el2n));
    let loss = of(&|s| s.loss);
    scores.push(LabelScore::new("loss", Suspect::High, loss));
    let forgetfulness = of(&|s| f64::from(s.forgetfulness.exported()));
    scores.push(LabelScore::new(
        "forgetfulness",
        Suspect::High,
        forgetfulness,
    ));
    (scores, of(&|s| s.variability))
}

/// The most probable class of each row, (N).
pub(super) fn predictions(judged: &Judged<'_>) -> Vec<usize> {
    judged.rows().map(|(_, row)| argmax(row)).collect()
}
