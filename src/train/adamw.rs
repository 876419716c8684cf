//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019), one parallel pass in place.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::config::TrainingConfig;
use crate::error::Result;
use crate::nn::cpu::vectorized;
use crate::nn::kernels::{Arriving, DeviceAdamW, Kernels, Piece, StepFactors};
use crate::nn::{Decay, Gradients, Parameters, Rows, raw};
use crate::train::states::{States, unusable};

/// The name of what a checkpoint keeps of it, beside the moments.
const STATE: &str = "optimizer.bin";

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
    /// What a device needs, made at the first step.
    on_device: Option<DeviceAdamW>,
}

/// The norm of a step's gradients.
#[derive(Debug)]
pub enum GradientNorm {
    /// It is known.
    Known(f64),
    /// One f64 that a device has yet to say.
    Arriving(Arriving),
}

impl GradientNorm {
    /// The number; the step that it is of is waited for.
    ///
    /// # Errors
    /// A device that failed.
    pub fn wait(self) -> Result<f64> {
        match self {
            Self::Known(norm) => Ok(norm),
            Self::Arriving(norm) => Ok(raw::read::<f64>(&norm.wait()?)?[0]),
        }
    }
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
                width: *spec.shape.last().unwrap_or(&1),
                trained_rows: match spec.rows {
                    Rows::All => None,
                    Rows::LookedUp => Some(vec![false; spec.shape[0]]),
                },
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
            on_device: None,
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
    ) -> Result<GradientNorm> {
        if let Some(kernels) = Kernels::of(parameters.state()) {
            let norm = self.step_by(kernels, parameters, grads, learning_rate)?;
            return Ok(GradientNorm::Arriving(Arriving::of(&norm)?));
        }
        self.list_trained_rows(grads);
        let gradients = raw::read::<f32>(grads.flat()?)?;
        let norm = self.norm(&gradients);
        if !norm.is_finite() {
            return Ok(GradientNorm::Known(norm));
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
                    self.for_each_part(i * CHUNK, values.len(), |range, segment, part| {
                        let factors = update.factors(segment);
                        let values = &mut values[range.clone()];
                        match part {
                            Part::Trained => step_values(
                                &factors,
                                values,
                                &mut first[range.clone()],
                                &mut second[range.clone()],
                                &gradients[range],
                            ),
                            // Gradient and moments are 0, so only the decay is left.
                            Part::NeverLookedUp if factors.shrink < 1.0 => {
                                for value in values {
                                    *value *= factors.shrink;
                                }
                            }
                            Part::NeverLookedUp | Part::Frozen => {}
                        }
                    });
                });
        })?;
        Ok(GradientNorm::Known(norm))
    }

    /// [`AdamW::step`] where there are kernels, with every row of a table: where gradient and
    /// moments are 0, only the decay is left.
    fn step_by(
        &mut self,
        kernels: Kernels,
        parameters: &Parameters,
        grads: &Gradients,
        learning_rate: f64,
    ) -> Result<Tensor> {
        let on_device = match &mut self.on_device {
            Some(on_device) => on_device,
            none => {
                // Who goes on from a checkpoint without kernels must leave out none.
                let tables = self.segments.iter_mut();
                for rows in tables.filter_map(|segment| segment.trained_rows.as_mut()) {
                    rows.fill(true);
                }
                let ends = self.segments.iter().map(|segment| segment.end);
                let starts = std::iter::once(0).chain(ends);
                let trained = starts.zip(&self.segments).filter(|(_, s)| s.share > 0.0);
                let pieces: Vec<Piece> = trained
                    .map(|(start, segment)| Piece {
                        start,
                        length: segment.end - start,
                        decays: segment.decay == Decay::Yes,
                        share: segment.share as f32,
                    })
                    .collect();
                none.insert(DeviceAdamW::new(kernels, parameters.state(), &pieces)?)
            }
        };
        self.n_steps += 1;
        let factors = StepFactors {
            max_grad_norm: self.max_grad_norm,
            learning_rate,
            weight_decay: self.weight_decay,
            first_correction: 1.0 - self.beta1.powi(self.n_steps),
            second_correction: (1.0 - self.beta2.powi(self.n_steps)).sqrt() as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: self.epsilon as f32,
        };
        on_device.step(parameters.state(), grads.flat()?, &factors)
    }

    /// Keeps what is not in the parameters' storage: the number of steps (4 bytes, little-endian),
    /// then a byte for each row of each table, 1 where it was trained.
    pub fn save(&self, states: &mut States) {
        let mut bytes = self.n_steps.to_le_bytes().to_vec();
        let tables = self.segments.iter().filter_map(|s| s.trained_rows.as_ref());
        bytes.extend(tables.flatten().map(|is_trained| u8::from(*is_trained)));
        states.put(STATE, bytes);
    }

    /// Goes on from what [`AdamW::save`] kept of an optimizer of the same parameters.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Integrity`] where it is of other parameters.
    pub fn restore(&mut self, states: &States) -> Result<()> {
        let other = || unusable(STATE, "is of another model");
        let bytes = states.get(STATE)?;
        let (n_steps, mut rows) = bytes.split_first_chunk().ok_or_else(other)?;
        self.n_steps = i32::from_le_bytes(*n_steps);
        for table in self
            .segments
            .iter_mut()
            .filter_map(|s| s.trained_rows.as_mut())
        {
            let (of_table, rest) = rows.split_at_checked(table.len()).ok_or_else(other)?;
            for (is_trained, byte) in table.iter_mut().zip(of_table) {
                *is_trained = *byte == 1;
            }
            rows = rest;
        }
        if rows.is_empty() {
            Ok(())
        } else {
            Err(other())
        }
    }

    /// Notes which rows of tables have had a gradient by now; the others' moments are 0.
    fn list_trained_rows(&mut self, grads: &Gradients) {
        for (slot, segment) in self.segments.iter_mut().enumerate() {
            if let Some(trained) = &mut segment.trained_rows {
                grads.for_looked_up(slot, |rows| {
                    for row in rows {
                        trained[*row as usize] = true;
                    }
                });
            }
        }
    }

    /// The Euclidean norm of the gradients of all that are not frozen, added up in f64 in an
    /// order that the number of threads does not change.
    fn norm(&self, gradients: &[f32]) -> f64 {
        let sums: Vec<f64> = gradients
            .par_chunks(CHUNK)
            .enumerate()
            .map(|(i, chunk)| {
                let mut sum = 0.0;
                self.for_each_part(i * CHUNK, chunk.len(), |range, _, part| {
                    if part == Part::Trained {
                        sum += sum_of_squares(&chunk[range]);
                    }
                });
                sum
            })
            .collect();
        sums.iter().sum::<f64>().sqrt()
    }

    /// Cuts the `length` values from `start` on where one parameter ends and the next begins,
    /// and tables also where rows that were trained end or begin.
    fn for_each_part(
        &self,
        start: usize,
        length: usize,
        mut act: impl FnMut(Range<usize>, &Segment, Part),
    ) {
        let mut at = self
            .segments
            .partition_point(|segment| segment.end <= start);
        let mut done = 0;
        while done < length {
            let segment = &self.segments[at];
            let segment_end = (segment.end - start).min(length);
            while done < segment_end {
                let (part, n_values) = segment.part_at(start + done);
                let until = segment_end.min(done + n_values);
                act(done..until, segment, part);
                done = until;
            }
            at += 1;
        }
    }
}

/// What a step does with some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Trained,
    /// Rows of a table for which there was no gradient yet.
    NeverLookedUp,
    Frozen,
}

/// One parameter among all values.
#[derive(Debug, Clone)]
struct Segment {
    end: usize,
    decay: Decay,
    /// Of the learning rate, in [0, 1].
    share: f64,
    /// Values in a row.
    width: usize,
    /// For a table: whether each row has ever had a gradient.
    trained_rows: Option<Vec<bool>>,
}

impl Segment {
    /// What to do with the value at `index` of all values, which is the parameter's, and with how
    /// many that follow it.
    fn part_at(&self, index: usize) -> (Part, usize) {
        let to_end = self.end - index;
        let Some(trained) = &self.trained_rows else {
            let part = if self.share == 0.0 {
                Part::Frozen
            } else {
                Part::Trained
            };
            return (part, to_end);
        };
        if self.share == 0.0 {
            return (Part::Frozen, to_end);
        }
        let rows_left = to_end.div_ceil(self.width);
        let row = trained.len() - rows_left;
        let n_rows = trained[row..]
            .iter()
            .take_while(|is_trained| **is_trained == trained[row])
            .count();
        let part = if trained[row] {
            Part::Trained
        } else {
            Part::NeverLookedUp
        };
        (part, to_end - (rows_left - n_rows) * self.width)
    }
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
    /// What the values of one parameter are changed by.
    fn factors(&self, segment: &Segment) -> Factors {
        let rate = self.learning_rate * segment.share;
        Factors {
            clip: self.clip,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            step_size: (rate / self.first_correction) as f32,
            second_correction: self.second_correction,
            shrink: match segment.decay {
                Decay::Yes => (1.0 - rate * self.weight_decay) as f32,
                Decay::No => 1.0,
            },
        }
    }
}

/// The numbers that one step uses for every value of a parameter.
struct Factors {
    clip: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    step_size: f32,
    second_correction: f32,
    shrink: f32,
}

vectorized! {
    fn step_values(
        by: &Factors,
        values: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradients: &[f32],
    ) {
        for (((value, m), v), g) in values.iter_mut().zip(first).zip(second).zip(gradients) {
            let g = g * by.clip;
            *m += (1.0 - by.beta1) * (g - *m);
            *v = by.beta2 * *v + (1.0 - by.beta2) * g * g;
            let denominator = v.sqrt() / by.second_correction + by.epsilon;
            *value = *value * by.shrink - by.step_size * *m / denominator;
        }
    }

    fn sum_of_squares(values: &[f32]) -> f64 {
        const LANES: usize = 16;
        let mut sums = [0.0_f64; LANES];
        for chunk in values.chunks(LANES) {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(*x) * f64::from(*x);
            }
        }
        sums.iter().sum()
    }
}
