//! Checkpoints in Hugging Face's layout, in and out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::Device;
use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::model::weights::Weights;
use crate::model::{Architecture, Classifier, ModelConfig, Task};
use crate::nn::{Use, raw};

/// What loading a checkpoint found beside the weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters that the file lacks (or has for another number of classes) and that got new
    /// random values: a pooler or a head.
    pub initialized: Vec<String>,
    /// Tensors in the file that the classifier has no use for.
    pub unused: Vec<String>,
}

/// [`load_for`] the task of the class that `config.json` names, or the classification of sequences.
///
/// # Errors
/// As [`load_for`].
pub fn load(
    folder: &Path,
    n_classes: usize,
    seed: u64,
    purpose: Use,
    device: &Device,
) -> Result<(Classifier, LoadReport)> {
    let task = ModelConfig::read(folder)?.task;
    load_for(task, folder, n_classes, seed, purpose, device)
}

/// Reads `folder/config.json` and the weights beside it (f32, f16, bf16 or f64):
/// `model.safetensors`, else `pytorch_model.bin`, either of them whole or in parts with an index.
///
/// The encoder may stand with or without its prefix (`bert.`), layer norms may be called
/// `gamma` and `beta`. A pooler or head that is missing, or made for another number of
/// classes, is drawn from `seed` and listed in the report.
///
/// # Errors
/// A missing file ([`ErrorKind::MissingInput`]); a file that is not what its name says, would
/// run something, lacks an encoder weight, or has one of another shape or with a value that is
/// not finite ([`ErrorKind::Data`]).
pub fn load_for(
    task: Task,
    folder: &Path,
    n_classes: usize,
    seed: u64,
    purpose: Use,
    device: &Device,
) -> Result<(Classifier, LoadReport)> {
    let config = ModelConfig::read_for(folder, task)?;
    let weights = Weights::read(folder)?;
    let path = weights.path();
    let architecture = config.architecture;
    let head = config.head();
    // Of two names for one weight, today's wins: it is the last to be put into the map.
    let mut names: Vec<&str> = weights.names().collect();
    names.sort_unstable_by_key(|name| (modern_name(name, architecture) == *name, *name));
    let available: BTreeMap<String, String> = names
        .into_iter()
        .map(|name| (modern_name(name, architecture), name.to_owned()))
        .collect();
    // Files that are a little off get a message for each weight below; this is about memory.
    if config.n_encoder_weights() > 8 * weights.most_numbers() {
        let message = "holds far fewer weights than config.json asks for";
        return Err(Error::data(Problem::new(message).in_file(path)));
    }

    let classifier = Classifier::zeros(config, n_classes, purpose, device)?;
    let mut report = LoadReport::default();
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for spec in classifier.parameters().specs() {
        let found = available.get(&spec.name);
        let stored = found.and_then(|name| Some((name, weights.shape(name)?)));
        match stored {
            Some((name, shape)) if shape == spec.shape => match weights.to_f32(name) {
                Ok(values) => classifier.parameters().set(&spec.name, &values)?,
                Err(message) => problems.push(format!("the weight `{}` {message}", spec.name)),
            },
            _ if head.holds(&spec.name) => report.initialized.push(spec.name.clone()),
            Some((_, shape)) => problems.push(format!(
                "the weight `{}` is {shape:?}; config.json makes it {:?}",
                spec.name, spec.shape
            )),
            None => problems.push(format!("the weight `{}` is missing", spec.name)),
        }
        used.extend(found);
    }
    if !problems.is_empty() {
        /// Of weights that do not fit, a model may have hundreds.
        const SHOWN: usize = 10;
        let n_more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        if n_more > 0 {
            problems.push(format!("and so it is with {n_more} more"));
        }
        let problems = problems
            .into_iter()
            .map(|message| Problem::new(message).in_file(path))
            .collect();
        return Err(Error::all(ErrorKind::Data, problems));
    }
    report.unused = available
        .values()
        .filter(|name| !used.contains(name) && !name.ends_with("position_ids"))
        .cloned()
        .collect();
    let missing: BTreeSet<&String> = report.initialized.iter().collect();
    let loaded = classifier
        .parameters()
        .specs()
        .iter()
        .map(|spec| spec.name.clone())
        .filter(|name| !missing.contains(name))
        .collect();
    classifier.parameters().initialize(seed, &loaded)?;
    Ok((classifier, report))
}

/// Writes `config.json` and `model.safetensors` (f32) to `folder`, as transformers reads them.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn save(classifier: &Classifier, labels: &[String], folder: &Path) -> Result<()> {
    let parameters = classifier.parameters();
    let bytes: Vec<Vec<u8>> = parameters
        .values()
        .iter()
        .map(|tensor| {
            let values = raw::read::<f32>(tensor)?;
            Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .collect::<Result<_>>()?;
    let tensors = parameters
        .specs()
        .iter()
        .zip(&bytes)
        .map(|(spec, bytes)| {
            let view = TensorView::new(Dtype::F32, spec.shape.clone(), bytes);
            view.map(|view| (spec.name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Error::internal(format!("safetensors: {e}")))?;
    // transformers refuses a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file = safetensors::serialize(tensors, Some(metadata))
        .map_err(|e| Error::internal(format!("safetensors: {e}")))?;
    fsio::write(&folder.join("model.safetensors"), &file)?;
    let config = classifier.config().to_json(labels);
    fsio::write(&folder.join("config.json"), config.as_bytes())
}

/// The name that transformers gives a weight today: with the encoder's prefix, and with
/// `weight` and `bias` for the layer norms that older files call `gamma` and `beta`.
fn modern_name(name: &str, architecture: Architecture) -> String {
    let name: Cow<'_, str> = if let Some(stem) = name.strip_suffix("LayerNorm.gamma") {
        format!("{stem}LayerNorm.weight").into()
    } else if let Some(stem) = name.strip_suffix("LayerNorm.beta") {
        format!("{stem}LayerNorm.bias").into()
    } else {
        name.into()
    };
    let parts = architecture.encoder_parts();
    if parts.iter().any(|part| name.starts_with(part)) {
        format!("{}.{name}", architecture.prefix())
    } else {
        name.into_owned()
    }
}
