//! The classifier: an encoder and a head over one storage of parameters, and its checkpoints.

mod after_attention;
mod bert;
mod checkpoint;
mod config;
mod deberta;
mod encoder;
mod head;
#[cfg(feature = "hub")]
mod hub;
mod modernbert;
mod sentence;
mod torch_file;
mod weights;
mod zip;

use candle_core::{Device, Tensor};

pub use checkpoint::{LoadReport, load, load_for, save};
pub use config::{
    Architecture, BertShape, DebertaConfig, Family, ModelConfig, ModernBertConfig, Pooling, Reach,
    RelativeEmbeddings, Sharing, Task,
};
#[cfg(feature = "hub")]
pub use hub::{DownloadEvent, HubModel, HubOptions};
pub use sentence::{SentenceTransformer, sentence_transformer, transformer_folder};

use crate::data::PackedBatch;
use crate::error::{Error, Result};
use crate::nn::kernels::{Kernels, check_head_width};
use crate::nn::{Gradients, Parameters, Precision, Saved, Use, Vars};
use encoder::Encoder;
use head::Head;

/// A text classifier: packed batches in, logits (B, C) out. In multiple choice the C classes are
/// the options, each a sequence of the batch that gets a score.
#[derive(Debug)]
pub struct Classifier {
    config: ModelConfig,
    n_classes: usize,
    parameters: Parameters,
    layers: Layers,
}

#[derive(Debug)]
struct Layers {
    encoder: Encoder,
    head: Head,
}

impl Layers {
    fn new(vars: &Vars<'_>, config: &ModelConfig, n_classes: usize) -> Result<Self> {
        let n_outputs = match config.task {
            Task::SequenceClassification => n_classes,
            Task::MultipleChoice => 1,
        };
        Ok(Self {
            encoder: Encoder::new(vars, config)?,
            head: Head::new(vars, config, n_outputs)?,
        })
    }
}

impl Classifier {
    /// A classifier of `n_classes` classes whose parameters are all 0.
    ///
    /// # Errors
    /// No memory on the device, or attention heads that it has no kernels for.
    pub fn zeros(
        config: ModelConfig,
        n_classes: usize,
        purpose: Use,
        device: &Device,
    ) -> Result<Self> {
        check_head_width(config.hidden_size / config.num_attention_heads, device)?;
        let build = |vars: &Vars<'_>| Layers::new(vars, &config, n_classes);
        let parameters = Parameters::declare(build, purpose, device)?;
        let layers = build(&parameters.binder().vars())?;
        Ok(Self {
            config,
            n_classes,
            parameters,
            layers,
        })
    }

    /// The same classifier, whose linear layers multiply in `precision`; at first it is f32.
    ///
    /// # Errors
    /// None but bugs: the layers are put together once more.
    pub fn in_precision(mut self, precision: Precision) -> Result<Self> {
        let binder = self.parameters.binder().in_precision(precision);
        self.layers = Layers::new(&binder.vars(), &self.config, self.n_classes)?;
        Ok(self)
    }

    /// A batch of B examples -> logits (B, C).
    ///
    /// # Errors
    /// A token id that the model lacks, another number of options than C, or a device without
    /// kernels.
    pub fn forward(&self, batch: &PackedBatch, saved: &mut Saved) -> Result<Tensor> {
        let x = self.layers.encoder.forward(batch, saved)?;
        let outputs = self.layers.head.forward(&x, &batch.sequences, saved)?;
        Ok(outputs.reshape((batch.len(), self.n_classes))?)
    }

    /// dlogits (B, C): adds the gradients of all parameters to `grads`.
    ///
    /// # Errors
    /// A stack that is not that of the batch's forward pass.
    pub fn backward(
        &self,
        d_logits: &Tensor,
        batch: &PackedBatch,
        saved: &mut Saved,
        grads: &Gradients,
    ) -> Result<()> {
        let head = &self.layers.head;
        let d_outputs = d_logits.reshape((batch.sequences.len(), ()))?;
        let dx = head.backward(&d_outputs, &batch.sequences, saved, grads)?;
        self.layers.encoder.backward(&dx, batch, saved, grads)?;
        if saved.is_empty() {
            Ok(())
        } else {
            Err(Error::internal("the backward pass left something saved"))
        }
    }

    /// The shape of the encoder.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// C.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Values and optimizer state.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How far below the head a parameter lies: 0 for the head (poolers and final norms
    /// included), 1 for the last block, and one more than the first block for the embeddings.
    pub fn depth_of(&self, name: &str) -> usize {
        self.config.depth_of(name)
    }

    /// Whether what is asked of the model is done while the host goes on.
    pub fn is_on_device(&self) -> bool {
        Kernels::of(self.parameters.state()).is_some()
    }

    /// Where the model lies.
    pub fn device(&self) -> &Device {
        self.parameters.state().device()
    }
}
