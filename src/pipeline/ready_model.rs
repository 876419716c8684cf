//! The model of a run: loaded or made, with its tokenizer and the tokens of all data.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use crate::config::Config;
use crate::data::{Dataset, ExampleIndex, TokenCache, TokenizedDataset, Tokenizer, Truncation};
use crate::error::Result;
use crate::model::{self, Classifier, ModelConfig, Task};
use crate::nn::{Precision, Use, raw};
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::run_folder::RunFolder;

/// Where the tokens of large data sets are kept, in the output folder: the runs on the same data
/// share it, and who deletes the results deletes it too.
const TOKEN_CACHE: &str = ".cache/tokens";

/// A model that is ready to be trained.
pub struct ReadyModel {
    /// The encoder and its head.
    pub classifier: Classifier,
    /// All data as the model reads it.
    pub tokens: Arc<Tokens>,
    tokenizer: Arc<Tokenizer>,
    max_length: usize,
    /// The parameters that come from the checkpoint; the others are drawn from the seed.
    loaded: BTreeSet<String>,
    precision: Precision,
}

/// What many models start from: the checkpoint's weights, read once, and the tokens of all data.
pub struct ModelStart {
    shape: ModelConfig,
    n_classes: usize,
    /// The weights before any training; those that are not `loaded` are of some seed.
    values: Vec<f32>,
    loaded: BTreeSet<String>,
    precision: Precision,
    device: Device,
    tokens: Arc<Tokens>,
    tokenizer: Arc<Tokenizer>,
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
        match *inputs.validation {
            ValidationSet::None => None,
            ValidationSet::File(_) => Some((self.validation.as_ref()?, &self.validation_indices)),
            ValidationSet::Split(_) => Some((&self.training, &self.validation_indices)),
        }
    }
}

impl ReadyModel {
    /// Loads the checkpoint from its folder, or makes a small BERT with a vocabulary of the training texts, and
    /// tokenizes all data.
    ///
    /// # Errors
    /// A checkpoint that cannot be used.
    pub fn prepare(
        config: &Config,
        inputs: &Inputs,
        checkpoint: Option<&Path>,
        device: &Device,
    ) -> Result<Self> {
        let (tokenizer, classifier, loaded) = if let Some(folder) = checkpoint {
            load(folder, config, inputs, device)?
        } else {
            make(config, inputs, device)?
        };
        let precision = Precision::of(config.training.precision, device);
        let classifier = classifier.in_precision(precision)?;
        tracing::info!(
            "{} threads, products in {}",
            rayon::current_num_threads(),
            precision.describe(device)
        );
        let max_length = fitting_length(config.model.max_length, classifier.config().max_length());
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
        let cache = TokenCache::new(config.output_dir().join(TOKEN_CACHE));
        let tokenize = |dataset: &Dataset| {
            let tokens = cache.tokenize(&tokenizer, dataset, max_length, truncation)?;
            say_truncated(
                &dataset.path,
                tokens.n_truncated(),
                tokens.len(),
                max_length,
            );
            Ok::<_, crate::error::Error>(tokens)
        };
        let training = tokenize(&inputs.training)?;
        let (validation, validation_indices) = match &*inputs.validation {
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
            tokens: Arc::new(Tokens {
                training,
                validation,
                stages,
                validation_indices,
            }),
            tokenizer: Arc::new(tokenizer),
            max_length,
            loaded,
            precision,
        })
    }

    /// What it started from, if it has not been trained yet.
    ///
    /// # Errors
    /// A device without kernels.
    pub fn into_start(self) -> Result<ModelStart> {
        let parameters = self.classifier.parameters();
        let values = raw::read::<f32>(&parameters.flat()?)?.to_vec();
        Ok(ModelStart {
            shape: self.classifier.config().clone(),
            n_classes: self.classifier.n_classes(),
            values,
            loaded: self.loaded,
            precision: self.precision,
            device: self.classifier.device().clone(),
            tokens: self.tokens,
            tokenizer: self.tokenizer,
            max_length: self.max_length,
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

impl ModelStart {
    /// A model as [`ReadyModel::prepare`] makes it for a config with this `random_state`.
    ///
    /// # Errors
    /// No memory.
    pub fn model(&self, seed: u64) -> Result<ReadyModel> {
        let shape = self.shape.clone();
        let classifier = Classifier::zeros(shape, self.n_classes, Use::Training, &self.device)?;
        let classifier = classifier.in_precision(self.precision)?;
        raw::update(&classifier.parameters().flat()?, |values| {
            values.copy_from_slice(&self.values);
        })?;
        classifier.parameters().initialize(seed, &self.loaded)?;
        Ok(ReadyModel {
            classifier,
            tokens: Arc::clone(&self.tokens),
            tokenizer: Arc::clone(&self.tokenizer),
            max_length: self.max_length,
            loaded: self.loaded.clone(),
            precision: self.precision,
        })
    }

    /// What products are computed in, in words.
    pub fn products_in(&self) -> &'static str {
        self.precision.describe(&self.device)
    }

    /// The number of the model's weights.
    pub fn n_parameters(&self) -> usize {
        self.values.len()
    }

    /// All data as the models read it.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

/// A tokenizer, a classifier, and the names of its parameters that come from a checkpoint.
type Parts = (Tokenizer, Classifier, BTreeSet<String>);

fn load(folder: &Path, config: &Config, inputs: &Inputs, device: &Device) -> Result<Parts> {
    let tokenizer = Tokenizer::read(folder)?;
    ModelConfig::read(folder)?.check_tokenizer(&tokenizer, folder)?;
    let (n_classes, seed) = (inputs.labels.len(), config.random_state);
    let (classifier, report) = model::load_for(
        task_of(&inputs.training),
        folder,
        n_classes,
        seed,
        Use::Training,
        device,
    )?;
    say_loaded(&report);
    say_sentence_transformer(folder, config.model.max_length);
    let specs = classifier.parameters().specs().iter();
    let names = specs.map(|spec| spec.name.clone());
    let loaded = names.filter(|name| !report.initialized.contains(name));
    let loaded = loaded.collect();
    Ok((tokenizer, classifier, loaded))
}

/// What a model is to do with examples such as these.
fn task_of(dataset: &Dataset) -> Task {
    if dataset.sequences_per_example() > 1 {
        Task::MultipleChoice
    } else {
        Task::SequenceClassification
    }
}

/// A model from scratch. Its vocabulary comes from all training examples, before any selector,
/// so that runs on different subsets start from the same model.
fn make(config: &Config, inputs: &Inputs, device: &Device) -> Result<Parts> {
    let examples = inputs.training_part.examples(&inputs.training);
    let texts: Vec<&str> = examples
        .flat_map(|(_, example)| example.sequences())
        .flat_map(|(first, second)| std::iter::once(first).chain(second))
        .collect();
    let sizes = &config.model.scratch;
    let tokenizer = Tokenizer::train(texts.into_iter(), sizes.vocab_size)?;
    let shape = ModelConfig::scratch(
        sizes,
        tokenizer.vocab_size(),
        config.model.max_length,
        task_of(&inputs.training),
    )?;
    let classifier = Classifier::zeros(shape, inputs.labels.len(), Use::Training, device)?;
    let parameters = classifier.parameters();
    parameters.initialize(config.random_state, &BTreeSet::new())?;
    Ok((tokenizer, classifier, BTreeSet::new()))
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

fn say_sentence_transformer(folder: &Path, max_length: usize) {
    let Some(sentence) = model::sentence_transformer(folder) else {
        return;
    };
    tracing::info!(
        "the model is a sentence-transformer's: its encoder is used, with a classifier's usual head in place of its pooling"
    );
    if let Some(n) = sentence.max_seq_length.filter(|n| *n < max_length) {
        tracing::info!(
            "it was made for texts of up to {n} tokens; `model.max_length` is {max_length}"
        );
    }
}

/// Warns of texts that were cut, `n_cut` of the `n_texts` of `name`.
pub fn say_truncated(name: &Path, n_cut: usize, n_texts: usize, max_length: usize) {
    if n_cut > 0 {
        let percent = 100.0 * n_cut as f64 / n_texts as f64;
        tracing::warn!(
            "{}: {n_cut} of {n_texts} texts ({percent:.1} %) have more than {max_length} tokens and are cut",
            name.display(),
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
