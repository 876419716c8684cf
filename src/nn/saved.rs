//! What a forward pass leaves for its backward pass.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};

/// A stack: each layer's forward pushes what its backward needs, the backward pops it in
/// reverse order. In evaluation nothing is kept and there is no dropout.
#[derive(Debug)]
pub struct Saved {
    tensors: Option<Vec<Tensor>>,
    dropout: Option<DropoutKey>,
}

/// What dropout masks are a function of, beside the layer and the position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0, below 2^20.
    pub epoch: u32,
    /// The batch in the epoch, from 0.
    pub step: u32,
}

impl Saved {
    /// For a forward pass without a backward pass: keeps nothing, drops nothing.
    pub fn evaluation() -> Self {
        Self {
            tensors: None,
            dropout: None,
        }
    }

    /// For a training pass; without a key there is no dropout.
    pub fn training(dropout: Option<DropoutKey>) -> Self {
        Self {
            tensors: Some(Vec::new()),
            dropout,
        }
    }

    /// Keeps a tensor, in training.
    pub fn push(&mut self, tensor: &Tensor) {
        if let Some(tensors) = &mut self.tensors {
            tensors.push(tensor.clone());
        }
    }

    /// Whether tensors are kept; a layer that would compute one only to keep it asks first.
    pub fn keeps(&self) -> bool {
        self.tensors.is_some()
    }

    /// The tensor kept last.
    ///
    /// # Errors
    /// Nothing was kept: the backward pass does not mirror the forward pass, a bug of ours.
    pub fn pop(&mut self) -> Result<Tensor> {
        self.tensors
            .as_mut()
            .and_then(Vec::pop)
            .ok_or_else(|| Error::internal("a backward pass found nothing saved for it"))
    }

    /// Whether everything that was kept has been used.
    pub fn is_empty(&self) -> bool {
        self.tensors.as_ref().is_none_or(Vec::is_empty)
    }

    /// The random numbers of one dropout place, or none where nothing is dropped.
    pub(super) fn dropout_stream(&self, place: u32) -> Option<Stream> {
        self.dropout.map(|key| {
            debug_assert!(place < 1 << 12 && key.epoch < 1 << 20);
            Stream::new(
                key.seed,
                Purpose::Dropout,
                key.step,
                key.epoch << 12 | place,
            )
        })
    }
}
