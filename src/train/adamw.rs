//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019), one parallel pass in place.

use rayon::prelude::*;

use crate::config::TrainingConfig;
use crate::error::Result;
use crate::nn::{Decay, Gradients, Parameters, raw};

/// Values that one task works on; fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// The optimizer's settings; its state lies beside the parameters.
#[derive(Debug, Clone)]
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    segments: Vec<Segment>,
    n_steps: i32,
}

impl AdamW {
    /// An optimizer of `parameters`, whose moments must be 0. Each parameter, in the order of
    /// the names, has its share of the learning rate in `shares`; one of 0 is frozen.
    pub fn new(config: &TrainingConfig, parameters: &Parameters, shares: &[f64]) -> Self {
        let segments = parameters
            .specs()
            .iter()
            .zip(parameters.offsets())
            .zip(shares)
            .map(|((spec, offset), share)| Segment {
                end: offset + spec.n_elements(),
                decay: spec.decay,
                share: *share,
            })
            .collect();
        Self {
            beta1: config.adam_beta1,
            beta2: config.adam_beta2,
            epsilon: config.adam_epsilon,
            weight_decay: config.weight_decay,
            max_grad_norm: config.max_grad_norm,
            segments,
            n_steps: 0,
        }
    }

    /// Changes the parameters by one step at `learning_rate`; returns the norm of the gradients
    /// of all that are not frozen before clipping, which is not finite when a gradient is not
    /// (nothing is changed then).
    ///
    /// # Errors
    /// A device without kernels.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        grads: &Gradients,
        learning_rate: f64,
    ) -> Result<f64> {
        self.clear_frozen(grads)?;
        let gradients = raw::read::<f32>(grads.flat())?;
        let norm = norm(&gradients);
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.n_steps += 1;
        // The small number is torch.nn.utils.clip_grad_norm_'s.
        let clip = if self.max_grad_norm > 0.0 {
            (self.max_grad_norm / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        let update = Update {
            clip: clip as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: self.epsilon as f32,
            learning_rate,
            first_correction: 1.0 - self.beta1.powi(self.n_steps),
            second_correction: (1.0 - self.beta2.powi(self.n_steps)).sqrt() as f32,
            weight_decay: self.weight_decay,
        };
        let n = parameters.n_elements();
        raw::update(parameters.state(), |state| {
            let (values, moments) = state.split_at_mut(n);
            let (first, second) = moments.split_at_mut(n);
            values
                .par_chunks_mut(CHUNK)
                .zip(first.par_chunks_mut(CHUNK))
                .zip(second.par_chunks_mut(CHUNK))
                .zip(gradients.par_chunks(CHUNK))
                .enumerate()
                .for_each(|(i, (((values, first), second), gradients))| {
                    self.for_each_segment(i * CHUNK, values.len(), |range, segment| {
                        update.apply(
                            segment,
                            &mut values[range.clone()],
                            &mut first[range.clone()],
                            &mut second[range.clone()],
                            &gradients[range],
                        );
                    });
                });
        })?;
        Ok(norm)
    }

    /// Makes the gradients of frozen parameters 0, so that they count in no norm.
    fn clear_frozen(&self, grads: &Gradients) -> Result<()> {
        for (segment, gradient) in self.segments.iter().zip(grads.values()) {
            if segment.share == 0.0 {
                raw::update(gradient, |values| values.fill(0.0))?;
            }
        }
        Ok(())
    }

    /// Cuts the `length` values from `start` on where one parameter ends and the next begins.
    fn for_each_segment(
        &self,
        start: usize,
        length: usize,
        mut act: impl FnMut(std::ops::Range<usize>, &Segment),
    ) {
        let mut at = self
            .segments
            .partition_point(|segment| segment.end <= start);
        let mut done = 0;
        while done < length {
            let segment = &self.segments[at];
            let until = (segment.end - start).min(length);
            act(done..until, segment);
            done = until;
            at += 1;
        }
    }
}

/// One parameter among all values.
#[derive(Debug, Clone)]
struct Segment {
    end: usize,
    decay: Decay,
    /// Of the learning rate, in [0, 1].
    share: f64,
}

/// The numbers that one step uses for every value.
struct Update {
    clip: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    learning_rate: f64,
    first_correction: f64,
    second_correction: f32,
    weight_decay: f64,
}

impl Update {
    fn apply(
        &self,
        segment: &Segment,
        values: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradients: &[f32],
    ) {
        let rate = self.learning_rate * segment.share;
        let step_size = (rate / self.first_correction) as f32;
        let shrink = match segment.decay {
            Decay::Yes => (1.0 - rate * self.weight_decay) as f32,
            Decay::No => 1.0,
        };
        for (((value, m), v), g) in values.iter_mut().zip(first).zip(second).zip(gradients) {
            let g = g * self.clip;
            *m += (1.0 - self.beta1) * (g - *m);
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            let denominator = v.sqrt() / self.second_correction + self.epsilon;
            *value = *value * shrink - step_size * *m / denominator;
        }
    }
}

/// The Euclidean norm, added up in f64 in an order that the number of threads does not change.
fn norm(gradients: &[f32]) -> f64 {
    let sums: Vec<f64> = gradients
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().map(|g| f64::from(*g) * f64::from(*g)).sum())
        .collect();
    sums.iter().sum::<f64>().sqrt()
}
