//! Softmax cross entropy of integer labels.
//!
//! Shapes: B examples, C classes; logits (B, C), labels (B) u32.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::raw;

/// logits (B, C), labels (B) -> the B losses, in nats.
///
/// # Errors
/// Tensors that are not contiguous, or a device without kernels.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (n_examples, n_classes) = logits.dims2()?;
    let values = raw::read::<f32>(logits)?;
    let labels = raw::read::<u32>(labels)?;
    let losses = values
        .chunks_exact(n_classes)
        .zip(labels.iter())
        .map(|(row, label)| log_sum_exp(row) - row[*label as usize])
        .collect();
    raw::tensor(losses, &[n_examples], logits.device())
}

/// The gradient of `scale` times the sum of the losses: (softmax - onehot) scale, (B, C).
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_backward(logits: &Tensor, labels: &Tensor, scale: f32) -> Result<Tensor> {
    let n_classes = logits.dim(1)?;
    let labels = raw::read::<u32>(labels)?;
    let mut gradient = raw::read::<f32>(logits)?.to_vec();
    for (row, label) in gradient.chunks_exact_mut(n_classes).zip(labels.iter()) {
        let log_sum = log_sum_exp(row);
        for (class, value) in row.iter_mut().enumerate() {
            let target = f32::from(class == *label as usize);
            *value = ((*value - log_sum).exp() - target) * scale;
        }
    }
    raw::tensor(gradient, logits.dims(), logits.device())
}

fn log_sum_exp(row: &[f32]) -> f32 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    max + row.iter().map(|x| (x - max).exp()).sum::<f32>().ln()
}
