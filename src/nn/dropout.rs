//! Dropout by counter: the mask is drawn again in the backward pass, never kept.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::cpu::vectorized;
use crate::nn::kernels::Kernels;
use crate::nn::values::{Output, Values, row_ranges};
use crate::nn::{Saved, Vars};
use crate::random::Stream;

/// One place with dropout: in training each value becomes 0 with probability `rate`, and
/// value / (1 - rate) otherwise.
#[derive(Debug, Clone)]
pub struct Dropout {
    rate: f64,
    place: u32,
}

impl Dropout {
    /// A place with dropout at `rate`, in [0, 1).
    pub fn new(vars: &Vars<'_>, rate: f64) -> Self {
        Self {
            rate,
            place: vars.next_dropout(),
        }
    }

    /// The masks of this pass, or none in evaluation and at rate 0.
    pub(super) fn masks(&self, saved: &Saved) -> Option<Masks> {
        if self.rate <= 0.0 {
            return None;
        }
        saved.dropout_stream(self.place).map(|stream| Masks {
            stream,
            threshold: (self.rate * 4_294_967_296.0) as u32,
            scale: (1.0 / (1.0 - self.rate)) as f32,
        })
    }

    /// x (any shape) -> y (the same).
    ///
    /// # Errors
    /// A tensor that is not contiguous f32, or a device without kernels.
    pub fn forward(&self, x: &Tensor, saved: &Saved) -> Result<Tensor> {
        /// Values of one task.
        const CHUNK: usize = 1 << 12;
        let Some(masks) = self.masks(saved) else {
            return Ok(x.clone());
        };
        if let Some(kernels) = Kernels::of(x) {
            return kernels.dropout(x, masks);
        }
        let values = Values::of(x)?;
        let n_values = x.elem_count();
        let tasks: Vec<_> = (0..n_values)
            .step_by(CHUNK)
            .map(|first| first..(first + CHUNK).min(n_values))
            .collect();
        let ([y], _) = row_ranges(x.device(), &tasks, [Output::f32(1)], |task, [y]| {
            values.copy_to(tasks[task].start, y);
            masks.apply(tasks[task].start, y);
        })?;
        Ok(y.reshape(x.dims())?)
    }

    /// dy (any shape) -> dx (the same), with the forward pass's mask.
    ///
    /// # Errors
    /// As [`Dropout::forward`].
    pub fn backward(&self, dy: &Tensor, saved: &Saved) -> Result<Tensor> {
        self.forward(dy, saved)
    }
}

/// The masks of one place in one pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masks {
    stream: Stream,
    threshold: u32,
    scale: f32,
}

impl Masks {
    /// Draws that are made at once; applying masks is fastest from one of their multiples on.
    pub const GROUP: usize = 64;

    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// A draw below it makes its value 0.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// What the other values are multiplied by.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Multiplies the values whose first one has number `first` by their masks: 0 or the scale.
    pub fn apply(&self, first: usize, values: &mut [f32]) {
        multiply_by_masks(*self, first, values);
    }
}

vectorized! {
    fn multiply_by_masks(masks: Masks, first: usize, values: &mut [f32]) {
        let mut group = first / Masks::GROUP;
        let mut skipped = first % Masks::GROUP;
        let mut rest = values;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut((Masks::GROUP - skipped).min(rest.len()));
            let draws = masks.stream.group(group as u32);
            // A whole group is a loop of known length.
            if let Ok(now) = <&mut [f32; Masks::GROUP]>::try_from(&mut *now) {
                for (value, draw) in now.iter_mut().zip(&draws) {
                    *value *= masks.factor(*draw);
                }
            } else {
                for (value, draw) in now.iter_mut().zip(&draws[skipped..]) {
                    *value *= masks.factor(*draw);
                }
            }
            (group, skipped, rest) = (group + 1, 0, later);
        }
    }
}

impl Masks {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of a vectorized loop")]
    fn factor(self, draw: u32) -> f32 {
        if draw >= self.threshold {
            self.scale
        } else {
            0.0
        }
    }
}
