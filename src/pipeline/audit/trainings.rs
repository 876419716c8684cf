//! Further trainings with a run's own config: cross-validation, and one with known wrong labels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use sha2::{Digest, Sha256};

use super::audited_run::AuditedRun;
use crate::config::{LabelNoiseConfig, LabelNoiseKind, Record, to_yaml};
use crate::data::{Column, ExampleIndex, Subset, Table, add_label_noise, stratified_folds};
use crate::dynamics::{DynamicsFiles, TrainingDynamics};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::label_errors::{
    CrossValidated, LabelEvidence, mean_probabilities, probabilities_of,
};
use crate::pipeline::Console;
use crate::pipeline::begun::origin_of_part;
use crate::pipeline::inputs::{Inputs, ValidationSet};
use crate::pipeline::progress::Progress;
use crate::pipeline::ready_model::{ModelStart, ReadyModel, thousands};
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::start::open_part;
use crate::pipeline::training_run::{Recording, train_and_record};
use crate::random::{Purpose, Stream};
use crate::select::{Commands, Selection};
use crate::train::Callback;

/// The share of labels that calibration makes wrong: enough to measure with, and too few to
/// change much of what the model learns.
const CALIBRATION_SHARE: f64 = 0.05;

/// Trains a model for each of `n_folds` folds on the others, and gathers what the models say of
/// all examples after each epoch; `held_out.parquet` beside the folds has it for other programs.
///
/// # Errors
/// Fewer examples than folds; data or model that are not there any more; training that fails.
pub fn cross_validate(
    run: &AuditedRun,
    n_folds: usize,
    output: &Path,
    device: &Device,
    console: &Console,
) -> Result<CrossValidated> {
    let stream = Stream::new(run.loaded.config.random_state, Purpose::Folds, 0, 0);
    let folds = stratified_folds(&run.gold(), n_folds, stream)
        .map_err(|e| Error::new(ErrorKind::Usage, e.problems()[0].clone()))?;
    let base = output.join(format!("{n_folds}-folds-{}", key(run)?));
    let trainer = Trainer::new(run, device, console)?;
    let mut start = None;
    let n_classes = run.dynamics.n_classes;
    let n_values = run.dynamics.examples.len() * n_classes;
    let mut crossed = CrossValidated {
        held_out: vec![0.0; n_values],
        held_out_last: vec![0.0; n_values],
        trained_on: vec![0.0; n_values],
    };
    for fold in 0..n_folds {
        let indices = run.dynamics.examples.iter().map(|e| e.index).zip(&folds);
        let part: Vec<ExampleIndex> = indices
            .filter(|(_, of)| **of != fold)
            .map(|(index, _)| index)
            .collect();
        let what = format!("fold {} of {n_folds}", fold + 1);
        let folder = base.join((fold + 1).to_string());
        let dynamics = trainer.train(&what, part.into(), &folder, &mut start)?;
        crossed.add(&dynamics, |position| folds[position] == fold);
    }
    for p in &mut crossed.trained_on {
        *p /= (n_folds - 1) as f64;
    }
    held_out_table(run, &folds, &crossed).write(&base.join("held_out.parquet"))?;
    Ok(crossed)
}

/// What other programs need of a cross-validation: each example's class index, its fold from 1,
/// and the probabilities after the last epoch of the model that did not train on it.
fn held_out_table(run: &AuditedRun, folds: &[usize], crossed: &CrossValidated) -> Table {
    let examples = &run.dynamics.examples;
    let guids = examples.iter().map(|e| e.guid.clone());
    let gold = examples.iter().map(|e| i64::from(e.gold));
    let folds = folds.iter().map(|fold| *fold as i64 + 1);
    let rows = crossed.held_out_last.chunks_exact(run.dynamics.n_classes);
    Table::new()
        .with("guid", Column::Text(guids.collect()))
        .with("gold", Column::Integer(gold.collect()))
        .with("fold", Column::Integer(folds.collect()))
        .with(
            "probabilities",
            Column::RealList(rows.map(<[f64]>::to_vec).collect()),
        )
}

impl CrossValidated {
    /// Adds what one fold's model says; `is_held_out` by the example's position.
    fn add(&mut self, dynamics: &TrainingDynamics, is_held_out: impl Fn(usize) -> bool) {
        let mean = mean_probabilities(dynamics);
        let last = probabilities_of(dynamics, dynamics.epochs.len() - 1);
        for (i, (mean, last)) in mean.into_iter().zip(last).enumerate() {
            if is_held_out(i / dynamics.n_classes) {
                self.held_out[i] = mean;
                self.held_out_last[i] = last;
            } else {
                self.trained_on[i] += mean;
            }
        }
    }
}

/// What a training with known wrong labels tells.
pub struct Calibration {
    /// How many labels were made wrong.
    pub n_flipped: usize,
    /// The combined scores of these examples, ascending.
    scores: Vec<f64>,
}

impl Calibration {
    /// The share of the labels made wrong whose combined score is at least `threshold`.
    pub fn recall(&self, threshold: f64) -> f64 {
        let n_below = self.scores.partition_point(|score| *score < threshold);
        (self.scores.len() - n_below) as f64 / self.scores.len().max(1) as f64
    }
}

/// Trains once more on the same examples, of which a share gets random wrong labels on top of
/// what may be wrong already, and scores these.
///
/// # Errors
/// As [`cross_validate`]; so few examples that none would get a wrong label.
pub fn calibrate(
    run: &AuditedRun,
    output: &Path,
    device: &Device,
    console: &Console,
) -> Result<Calibration> {
    let mut trainer = Trainer::new(run, device, console)?;
    let indices: Vec<ExampleIndex> = run.dynamics.examples.iter().map(|e| e.index).collect();
    let noise = LabelNoiseConfig {
        fraction: CALIBRATION_SHARE,
        kind: LabelNoiseKind::Uniform,
        seed: run.loaded.config.random_state,
    };
    let mut dataset = run.dataset.clone();
    let flipped = add_label_noise(&mut dataset, &indices, &noise)?;
    if flipped.is_empty() {
        let message = format!("{} examples are too few to calibrate with", indices.len());
        let problem = Problem::new(message).hint("leave `--calibrate` out");
        return Err(Error::new(ErrorKind::Usage, problem));
    }
    trainer.inputs.training = Arc::new(dataset);
    let what = format!(
        "calibration, with {} wrong labels",
        thousands(flipped.len())
    );
    let folder = output.join(format!("calibration-{}", key(run)?));
    let dynamics = trainer.train(&what, indices.into(), &folder, &mut None)?;
    let evidence = LabelEvidence::new(&dynamics, None);
    let scored = dynamics.examples.iter().zip(evidence.combined());
    let mut scores: Vec<f64> = scored
        .filter(|(example, _)| flipped.binary_search(&example.index).is_ok())
        .map(|(_, score)| *score)
        .collect();
    scores.sort_by(f64::total_cmp);
    Ok(Calibration {
        n_flipped: flipped.len(),
        scores,
    })
}

/// Trains on parts of a run's training set.
struct Trainer<'a> {
    run: &'a AuditedRun,
    inputs: Inputs,
    /// All examples of the run, of which every model says something.
    all: Subset,
    device: &'a Device,
    console: &'a Console,
}

impl<'a> Trainer<'a> {
    fn new(run: &'a AuditedRun, device: &'a Device, console: &'a Console) -> Result<Self> {
        let mut inputs = Inputs::read(&run.loaded, Commands::Run)?;
        // Nothing is chosen by a validation set, so that every epoch counts.
        inputs.validation = Arc::new(ValidationSet::None);
        let indices = run.dynamics.examples.iter().map(|example| example.index);
        Ok(Self {
            run,
            inputs,
            all: indices.collect::<Vec<_>>().into(),
            device,
            console,
        })
    }

    /// The dynamics of all examples in a training on `part`, kept in `folder`: trained now, unless
    /// it was before. `start` is what the models start from, once it was made.
    fn train(
        &self,
        what: &str,
        part: Subset,
        folder: &Path,
        start: &mut Option<ModelStart>,
    ) -> Result<TrainingDynamics> {
        let loaded = &self.run.loaded;
        let dynamics = folder.join("training_dynamics");
        if RunFolder::is_complete(folder) {
            tracing::info!("{what}: kept from before in {}", folder.display());
            RunFolder::of_part(folder, folder).remove_checkpoints()?;
            return DynamicsFiles::Enginora(dynamics).read(None);
        }
        tracing::info!("{what}: training on {} examples", thousands(part.len()));
        let selection = Selection {
            subset: part,
            ..Selection::default()
        };
        let inputs = self.inputs.with_selection(loaded, selection)?;
        if start.is_none() {
            *start = Some(self.start(&inputs)?);
        }
        let start = start.as_ref().ok_or_else(|| Error::internal("no start"))?;
        let model = start.model(loaded.config.random_state)?;
        let key = folder.to_string_lossy();
        let origin = origin_of_part(&key, &inputs, start);
        let save_steps = loaded.config.training.save_steps;
        let (run, mut checkpoints) = open_part(folder, folder, save_steps, origin)?;
        run.write_config(&loaded.config)?;
        let recording = Recording {
            when: Some(Record::EpochEnd),
            examples: &self.all,
            folder: &dynamics,
        };
        let mut progress = Progress::new(self.console, recording.when);
        let watchers: &mut [&mut dyn Callback] = &mut [&mut progress];
        train_and_record(
            loaded,
            &inputs,
            &model,
            &recording,
            watchers,
            &mut checkpoints,
        )?;
        run.complete()?;
        DynamicsFiles::Enginora(dynamics).read(None)
    }

    fn start(&self, inputs: &Inputs) -> Result<ModelStart> {
        let loaded = &self.run.loaded;
        let checkpoint = inputs.model.bring(&loaded.source, self.console)?;
        ReadyModel::prepare(&loaded.config, inputs, checkpoint.as_deref(), self.device)?
            .into_start()
    }
}

/// What all further trainings depend on, in 16 hexadecimal digits: config, examples, version.
fn key(run: &AuditedRun) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // With its length before it, no text can run into the next.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    let mut config = run.loaded.config.clone();
    // Where results go changes none of them.
    config.data.output_dir = PathBuf::new();
    config.training.output_dir = None;
    add(to_yaml(&config)?.as_bytes());
    for recorded in &run.dynamics.examples {
        let example = &run.dataset.examples[recorded.index as usize];
        add(&recorded.index.to_le_bytes());
        for (first, second) in example.sequences() {
            add(first.as_bytes());
            add(second.unwrap_or_default().as_bytes());
        }
        add(&recorded.gold.to_le_bytes());
    }
    let mut digits = crate::fsio::hexadecimal(&hash.finalize());
    digits.truncate(16);
    Ok(digits)
}
