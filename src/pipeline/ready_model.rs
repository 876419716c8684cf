//! The model of a run: loaded or made, with its tokenizer and the tokens of all data.

use candle_core::Device;

use crate::config::Config;
use crate::data::{Dataset, ExampleIndex, TokenizedDataset, Tokenizer, Truncation};
use crate::error::Result;
use crate::model::{self, Classifier, ModelConfig};
use crate::nn::Use;
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::run_folder::RunFolder;

/// A model that is ready to be trained.
pub struct ReadyModel {
    /// The encoder and its head.
    pub classifier: Classifier,
    /// All data as the model reads it.
    pub tokens: Tokens,
    tokenizer: Tokenizer,
    max_length: usize,
}

/// The tokens of all data sets of a run.
pub struct Tokens {
    /// The whole training file.
    pub training: TokenizedDataset,
    /// The validation file, where there is one.
    validation: Option<TokenizedDataset>,
    /// Test and control sets, in the order of [`Inputs::stages`].
    pub stages: Vec<TokenizedDataset>,
    validation_indices: Vec<ExampleIndex>,
}

impl Tokens {
    /// The validation set: tokens, and which of their examples.
    pub fn validation(&self, inputs: &Inputs) -> Option<(&TokenizedDataset, &[ExampleIndex])> {
        match inputs.validation {
            ValidationSet::None => None,
            ValidationSet::File(_) => Some((self.validation.as_ref()?, &self.validation_indices)),
            ValidationSet::Split(_) => Some((&self.training, &self.validation_indices)),
        }
    }
}

impl ReadyModel {
    /// Loads the checkpoint, or makes a small BERT with a vocabulary of the training texts, and
    /// tokenizes all data.
    ///
    /// The vocabulary comes from all training examples, before any selector, so that runs on
    /// different subsets start from the same model.
    ///
    /// # Errors
    /// A checkpoint that cannot be used.
    pub fn prepare(config: &Config, inputs: &Inputs, device: &Device) -> Result<Self> {
        let wanted = config.model.max_length;
        let seed = config.random_state;
        let n_classes = inputs.labels.len();
        let (tokenizer, classifier, max_length) = match &inputs.checkpoint {
            Some(folder) => {
                let tokenizer = Tokenizer::read(folder)?;
                ModelConfig::read(folder)?.check_tokenizer(&tokenizer, folder)?;
                let (classifier, report) =
                    model::load(folder, n_classes, seed, Use::Training, device)?;
                say_loaded(&report);
                let max_length = fitting_length(wanted, classifier.config().max_length());
                (tokenizer, classifier, max_length)
            }
            None => {
                let examples = inputs.training_part.examples(&inputs.training);
                let texts: Vec<&str> = examples
                    .flat_map(|(_, e)| {
                        std::iter::once(e.text.as_str()).chain(e.text_pair.as_deref())
                    })
                    .collect();
                let tokenizer =
                    Tokenizer::train(texts.into_iter(), config.model.scratch.vocab_size)?;
                let shape =
                    ModelConfig::scratch(&config.model.scratch, tokenizer.vocab_size(), wanted)?;
                let classifier = Classifier::zeros(shape, n_classes, Use::Training, device)?;
                classifier
                    .parameters()
                    .initialize(seed, &std::collections::BTreeSet::new())?;
                (tokenizer, classifier, wanted)
            }
        };
        tracing::info!(
            "model {}: {} parameters, {} word pieces, texts of up to {max_length} tokens",
            config.model.model_name,
            thousands(classifier.parameters().n_elements()),
            thousands(tokenizer.vocab_size()),
        );
        let truncation = if config.model.truncation {
            Truncation::Cut
        } else {
            Truncation::Refuse
        };
        let tokenize = |dataset: &Dataset| {
            let tokens = tokenizer.tokenize(dataset, max_length, truncation)?;
            say_truncated(&tokens, dataset, max_length);
            Ok::<_, crate::error::Error>(tokens)
        };
        let training = tokenize(&inputs.training)?;
        let (validation, validation_indices) = match &inputs.validation {
            ValidationSet::None => (None, Vec::new()),
            ValidationSet::File(dataset) => {
                (Some(tokenize(dataset)?), dataset.all().indices().to_vec())
            }
            ValidationSet::Split(indices) => (None, indices.clone()),
        };
        let stages = inputs
            .stages
            .iter()
            .map(|set| tokenize(&set.dataset))
            .collect::<Result<_>>()?;
        Ok(Self {
            classifier,
            tokens: Tokens {
                training,
                validation,
                stages,
                validation_indices,
            },
            tokenizer,
            max_length,
        })
    }

    /// Writes the model and its tokenizer, as transformers reads them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, config: &Config, inputs: &Inputs, run: &RunFolder) -> Result<()> {
        let folder = run.result_path(&config.model.output_path);
        model::save(&self.classifier, inputs.labels.names(), &folder)?;
        self.tokenizer.save(&folder, self.max_length)
    }
}

/// The longest input that the model has positions for, at most what the config wants.
fn fitting_length(wanted: usize, positions: usize) -> usize {
    if wanted > positions {
        tracing::warn!(
            "`model.max_length` is {wanted}, but the model has positions for {positions} tokens: texts are cut there"
        );
    }
    wanted.min(positions)
}

fn say_loaded(report: &model::LoadReport) {
    if !report.initialized.is_empty() {
        tracing::info!(
            "new weights, which the checkpoint lacks: {}",
            report.initialized.join(", ")
        );
    }
    if !report.unused.is_empty() {
        tracing::info!("not used from the checkpoint: {}", report.unused.join(", "));
    }
}

fn say_truncated(tokens: &TokenizedDataset, dataset: &Dataset, max_length: usize) {
    let n = tokens.n_truncated();
    if n > 0 {
        let percent = 100.0 * n as f64 / tokens.len() as f64;
        tracing::warn!(
            "{}: {n} of {} texts ({percent:.1} %) have more than {max_length} tokens and are cut",
            dataset.path.display(),
            tokens.len(),
        );
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
