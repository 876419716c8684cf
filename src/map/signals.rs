//! The signals of one example, over its epochs.
//!
//! With `p_e` the probability of the gold class after epoch e = 1..E (Swayamdipta et al. 2020,
//! section 2): confidence is the mean of `p_e`, variability its population standard deviation,
//! correctness the number of epochs whose prediction is right.

use crate::metrics::argmax;

/// What is known of one example; probabilities lie in [0, 1], logarithms are natural.
#[derive(Debug, Clone, PartialEq)]
pub struct Signals {
    /// Mean probability of the gold class.
    pub confidence: f64,
    /// Population standard deviation of the gold class's probability, in [0, 0.5]; up to 0.56
    /// [with the confidence interval](Variability::WithConfidenceInterval).
    pub variability: f64,
    /// Population variance of the gold class's probability, in [0, 0.25].
    pub label_var: f64,
    /// Epochs in which the prediction was right, 0 to E.
    pub correctness: u32,
    /// How often the example was forgotten.
    pub forgetfulness: Forgetfulness,
    /// confidence (1 - confidence).
    pub threshold_closeness: f64,
    /// Mean over the epochs of the gold logit less the largest other one (Pleiss et al. 2020);
    /// none where only probabilities are known.
    pub aum: Option<f64>,
    /// Mean Euclidean distance of the probabilities from the gold class's (Paul et al. 2021).
    pub el2n: f64,
    /// Entropy of the mean prediction, in nats.
    pub entropy: f64,
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// correctness / E.
    pub correct_ratio: f64,
    /// Times wrong and then right in the next epoch.
    pub learnt_times: u32,
    /// The epoch (from 0) of the first change from wrong to right; 0 where there is none.
    pub first_learn: u32,
    /// The epoch (from 0) of the first change from right to wrong; 0 where there is none.
    pub first_forget: u32,
    /// The largest probability of the gold class.
    pub max_label_probs: f64,
    /// The smallest probability of the gold class.
    pub min_label_probs: f64,
    /// How often each of the C classes was predicted.
    pub pred_dist: Vec<u32>,
    /// The class that was predicted in each of the E epochs.
    pub predictions: Vec<u32>,
}

/// How often an example was right in one epoch and wrong in the next (Toneva et al. 2019).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgetfulness {
    /// It was never right, so there was nothing to forget.
    NeverLearnt,
    /// So many times.
    Times(u32),
}

impl Forgetfulness {
    /// The number that tables hold; an example that was never learnt counts 1000, as in the
    /// paper's code.
    pub fn exported(self) -> u32 {
        match self {
            Self::NeverLearnt => 1000,
            Self::Times(n) => n,
        }
    }
}

/// Whether variability is widened as the paper's code does with `include_ci`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variability {
    /// sqrt(var).
    Plain,
    /// sqrt(var + var^2 / (E - 1)); 0 when E = 1.
    WithConfidenceInterval,
}

/// Takes in one epoch after the other and knows the signals of those so far.
#[derive(Debug, Clone, Default)]
pub struct Accumulator {
    n_epochs: u32,
    mean: f64,
    sum_of_squares: f64,
    min: f64,
    max: f64,
    correctness: u32,
    forgotten: u32,
    learnt: u32,
    first_forget: u32,
    first_learn: u32,
    was_right: bool,
    /// None as soon as an epoch has no logits.
    margin: Option<f64>,
    el2n: f64,
    loss: f64,
    mean_prediction: Vec<f64>,
    pred_dist: Vec<u32>,
    predictions: Vec<u32>,
    /// Room for the probabilities of one epoch.
    probabilities: Vec<f64>,
}

impl Accumulator {
    /// Forgets all epochs, and keeps the room for their numbers.
    pub fn clear(&mut self) {
        let Self {
            mut mean_prediction,
            mut pred_dist,
            mut predictions,
            probabilities,
            ..
        } = std::mem::take(self);
        mean_prediction.clear();
        pred_dist.clear();
        predictions.clear();
        *self = Self {
            mean_prediction,
            pred_dist,
            predictions,
            probabilities,
            ..Self::default()
        };
    }

    /// Takes in the logits of one epoch: C finite numbers, of which `gold` is the true class's.
    ///
    /// They are f32 as our own runs record them, or f64 as other programs' files hold them.
    ///
    /// # Panics
    /// If `gold` is not below C.
    pub fn add_logits<T: Copy + PartialOrd + Into<f64>>(&mut self, logits: &[T], gold: usize) {
        let gold_logit: f64 = logits[gold].into();
        let largest =
            |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
        let max = largest(&mut logits.iter().map(|x| (*x).into()));
        let others = logits
            .iter()
            .enumerate()
            .filter(|(class, _)| *class != gold);
        let largest_other = largest(&mut others.map(|(_, x)| (*x).into()));
        let mut probabilities = std::mem::take(&mut self.probabilities);
        probabilities.clear();
        probabilities.extend(logits.iter().map(|x| ((*x).into() - max).exp()));
        let sum: f64 = probabilities.iter().sum();
        for probability in &mut probabilities {
            *probability /= sum;
        }
        if self.n_epochs == 0 {
            self.margin = Some(0.0);
        }
        if let Some(margin) = &mut self.margin {
            *margin += gold_logit - largest_other;
        }
        self.loss += max + sum.ln() - gold_logit;
        self.add(&probabilities, argmax(logits), gold);
        self.probabilities = probabilities;
    }

    /// Takes in the probabilities of one epoch: C numbers in [0, 1] with the sum 1, of which
    /// `gold` is the true class's.
    ///
    /// # Panics
    /// If `gold` is not below C.
    pub fn add_probabilities(&mut self, probabilities: &[f64], gold: usize) {
        self.margin = None;
        self.loss -= probabilities[gold].ln();
        self.add(probabilities, argmax(probabilities), gold);
    }

    fn add(&mut self, probabilities: &[f64], predicted: usize, gold: usize) {
        let epoch = self.n_epochs;
        self.n_epochs += 1;
        let p = probabilities[gold];
        // Welford's recurrence: exact to the last digits also where the variance is tiny.
        let difference = p - self.mean;
        self.mean += difference / f64::from(self.n_epochs);
        self.sum_of_squares += difference * (p - self.mean);
        (self.min, self.max) = if epoch == 0 {
            (p, p)
        } else {
            (self.min.min(p), self.max.max(p))
        };

        let is_right = predicted == gold;
        self.correctness += u32::from(is_right);
        if epoch > 0 && self.was_right && !is_right {
            self.forgotten += 1;
            if self.forgotten == 1 {
                self.first_forget = epoch;
            }
        }
        if epoch > 0 && !self.was_right && is_right {
            self.learnt += 1;
            if self.learnt == 1 {
                self.first_learn = epoch;
            }
        }
        self.was_right = is_right;

        let distance: f64 = probabilities
            .iter()
            .enumerate()
            .map(|(class, q)| (q - f64::from(u8::from(class == gold))).powi(2))
            .sum();
        self.el2n += distance.sqrt();
        self.mean_prediction.resize(probabilities.len(), 0.0);
        self.pred_dist.resize(probabilities.len(), 0);
        for (sum, q) in self.mean_prediction.iter_mut().zip(probabilities) {
            *sum += q;
        }
        self.pred_dist[predicted] += 1;
        self.predictions.push(predicted as u32);
    }

    /// The signals of the epochs so far, of which there is at least one.
    pub fn signals(&self, variability: Variability) -> Signals {
        let n = f64::from(self.n_epochs.max(1));
        let variance = (self.sum_of_squares / n).max(0.0);
        let widened = match variability {
            Variability::WithConfidenceInterval if self.n_epochs > 1 => {
                variance + variance * variance / (n - 1.0)
            }
            _ => variance,
        };
        // A mean of numbers in [0, 1] that rounding has pushed out of it is pushed back.
        let confidence = self.mean.clamp(0.0, 1.0);
        let entropy = self
            .mean_prediction
            .iter()
            .map(|sum| sum / n)
            .filter(|q| *q > 0.0)
            .map(|q| -q * q.ln())
            .sum();
        Signals {
            confidence,
            variability: widened.sqrt(),
            label_var: variance,
            correctness: self.correctness,
            forgetfulness: match self.correctness {
                0 => Forgetfulness::NeverLearnt,
                _ => Forgetfulness::Times(self.forgotten),
            },
            threshold_closeness: confidence * (1.0 - confidence),
            aum: self.margin.map(|sum| sum / n),
            el2n: self.el2n / n,
            entropy,
            loss: self.loss / n,
            correct_ratio: f64::from(self.correctness) / n,
            learnt_times: self.learnt,
            first_learn: self.first_learn,
            first_forget: self.first_forget,
            max_label_probs: self.max,
            min_label_probs: self.min,
            pred_dist: self.pred_dist.clone(),
            predictions: self.predictions.clone(),
        }
    }
}
