//! Dropout by counter: the mask is drawn again in the backward pass, never kept.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
use crate::nn::{Saved, Vars, raw};
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
        /// Values of one task: a multiple of four, so that no two share a block of draws.
        const CHUNK: usize = 1 << 12;
        let Some(masks) = self.masks(saved) else {
            return Ok(x.clone());
        };
        let mut y = raw::read::<f32>(x)?.to_vec();
        y.par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(i, values)| masks.apply(i * CHUNK, values));
        raw::tensor(y, x.dims(), x.device())
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
    /// Multiplies the values whose first one has number `first` by their masks: 0 or the scale.
    pub fn apply(&self, first: usize, values: &mut [f32]) {
        let mut index = first;
        let mut rest = values;
        while !rest.is_empty() {
            let within = index % 4;
            let (now, later) = rest.split_at_mut((4 - within).min(rest.len()));
            let draws = self.stream.block((index / 4) as u32);
            for (value, draw) in now.iter_mut().zip(&draws[within..]) {
                *value *= if *draw >= self.threshold {
                    self.scale
                } else {
                    0.0
                };
            }
            index += now.len();
            rest = later;
        }
    }
}
