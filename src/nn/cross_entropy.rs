//! Softmax cross entropy of integer labels, with class weights and label smoothing.
//!
//! Shapes: B examples, C classes; logits (B, C), labels (B) u32. With `p = softmax(logits)`, a
//! weight `w[c]` of each class and the smoothing `e`, the loss of an example of class `y` is
//! the sum over c of `-t[c] ln p[c]`, for the targets `t[c] = (1 - e) w[y] [c = y] + e w[c] / C`,
//! as `torch.nn.CrossEntropyLoss` has it; its mean over examples is their sum divided by the sum
//! of their `w[y]`.

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::kernels::Kernels;
use crate::nn::raw;

/// A cross entropy; the default one has no weights and no smoothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CrossEntropy {
    class_weights: Option<Vec<f32>>,
    label_smoothing: f32,
}

impl CrossEntropy {
    /// A loss with a weight above 0 for each of the C classes (or none) and `label_smoothing`
    /// in [0, 1).
    pub fn new(class_weights: Option<Vec<f32>>, label_smoothing: f64) -> Self {
        Self {
            class_weights,
            label_smoothing: label_smoothing as f32,
        }
    }

    /// logits (B, C), labels (B) -> the B losses, in nats times the class weight.
    ///
    /// # Errors
    /// Tensors that are not contiguous, or a device without kernels.
    pub fn losses(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(logits) {
            let weights = self.weights_on(logits)?;
            let smoothing = self.label_smoothing;
            return kernels.cross_entropy_forward(logits, labels, weights.as_ref(), smoothing);
        }
        let (n_examples, n_classes) = logits.dims2()?;
        let values = raw::read::<f32>(logits)?;
        let labels = raw::read::<u32>(labels)?;
        let rows = values.chunks_exact(n_classes).zip(labels.iter());
        let losses = if self.is_plain() {
            rows.map(|(row, label)| log_sum_exp(row) - row[*label as usize])
                .collect()
        } else {
            rows.map(|(row, label)| {
                let log_sum = log_sum_exp(row);
                let terms = row.iter().enumerate();
                terms
                    .map(|(class, x)| self.target(*label, class, n_classes) * (log_sum - x))
                    .sum()
            })
            .collect()
        };
        raw::tensor(losses, &[n_examples], logits.device())
    }

    /// The gradient of `scale` times the sum of the losses, (B, C):
    /// `scale (p[c] sum(t) - t[c])`.
    ///
    /// # Errors
    /// As [`CrossEntropy::losses`].
    pub fn backward(&self, logits: &Tensor, labels: &Tensor, scale: f32) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(logits) {
            let weights = self.weights_on(logits)?;
            let smoothing = self.label_smoothing;
            let weights = weights.as_ref();
            return kernels.cross_entropy_backward(logits, labels, weights, smoothing, scale);
        }
        let n_classes = logits.dim(1)?;
        let labels = raw::read::<u32>(labels)?;
        let mut gradient = raw::read::<f32>(logits)?.to_vec();
        for (row, label) in gradient.chunks_exact_mut(n_classes).zip(labels.iter()) {
            let log_sum = log_sum_exp(row);
            let targets = (0..n_classes).map(|class| self.target(*label, class, n_classes));
            // One target of 1 needs no adding up.
            let total = if self.is_plain() { 1.0 } else { targets.sum() };
            for (class, value) in row.iter_mut().enumerate() {
                let target = self.target(*label, class, n_classes);
                *value = ((*value - log_sum).exp() * total - target) * scale;
            }
        }
        raw::tensor(gradient, logits.dims(), logits.device())
    }

    /// How much an example of class `label` counts in a mean.
    pub fn weight(&self, label: u32) -> f32 {
        let weights = self.class_weights.as_ref();
        weights.map_or(1.0, |weights| weights[label as usize])
    }

    /// The class weights, if there are any, where the logits are.
    fn weights_on(&self, logits: &Tensor) -> Result<Option<Tensor>> {
        let weights = self.class_weights.as_ref();
        let weights = weights.map(|w| Tensor::from_slice(w, w.len(), logits.device()));
        Ok(weights.transpose()?)
    }

    fn target(&self, label: u32, class: usize, n_classes: usize) -> f32 {
        let spread = self.label_smoothing / n_classes as f32 * self.weight(class as u32);
        if class == label as usize {
            (1.0 - self.label_smoothing) * self.weight(label) + spread
        } else {
            spread
        }
    }

    fn is_plain(&self) -> bool {
        self.class_weights.is_none() && self.label_smoothing == 0.0
    }
}

fn log_sum_exp(row: &[f32]) -> f32 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    max + row.iter().map(|x| (x - max).exp()).sum::<f32>().ln()
}
