//! The layers, each with an explicit backward pass.
//!
//! A layer has `forward(x, saved) -> y` and `backward(dy, saved, grads) -> dx`. The forward
//! pass pushes what the backward pass needs on a [`Saved`] stack; the backward pass pops it in
//! reverse order and adds the gradients of its weights in place. No graph is built.
//!
//! The letters of all shapes: T tokens in a batch, laid end to end without padding; B
//! sequences; D features of the model, H heads of d = D / H features; C classes; V rows of
//! a vocabulary. Everything is contiguous, and f32 unless a comment says otherwise: in
//! [`Precision::Bf16`] a layer that is made `compact` hands on bf16, and the next one reads it
//! through [`values`].

mod activation;
mod attention;
pub(crate) mod cpu;
mod cross_entropy;
mod disentangled_attention;
mod dropout;
mod embedding;
mod gate;
mod gradients;
pub mod kernels;
mod layer_norm;
mod linear;
mod math;
mod memory;
mod parameters;
pub mod product;
pub mod raw;
mod relative_positions;
mod rotary;
mod saved;
pub mod values;

pub use activation::Activation;
pub use attention::SelfAttention;
pub use cross_entropy::CrossEntropy;
pub use disentangled_attention::{DisentangledAttention, PositionTerms, RelativeRows};
pub use dropout::Dropout;
pub use embedding::{
    EmbeddingSum, first_tokens, first_tokens_backward, mean_tokens, mean_tokens_backward, shifted,
};
pub use gate::Gate;
pub use gradients::Gradients;
pub use layer_norm::{LayerNorm, ResidualLayerNorm};
pub use linear::{Linear, QueryKeyValue};
pub use memory::{CacheLineAllocator, keep_freed_memory};
pub use parameters::{
    Bias, Binder, Decay, Initialization, Parameter, ParameterSpec, Parameters, Rows, Use, Vars,
};
pub use product::{Precision, Start};
pub use relative_positions::{DistanceRows, RelativePositions};
pub use rotary::Rotary;
pub use saved::{DropoutKey, Saved};
