//! One training run: train, record, map, evaluate. The main job does one, an experiment many.

use std::path::Path;

use crate::config::{Config, LoadedConfig, Record};
use crate::data::Subset;
use crate::dynamics::Recorder;
use crate::error::{Error, ErrorKind, Result};
use crate::map::{DataMap, Point, Variability, map_of_dynamics, map_table};
use crate::nn::CrossEntropy;
use crate::pipeline::curriculum::curriculum;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::ready_model::ReadyModel;
use crate::pipeline::records::Records;
use crate::pipeline::run_folder::RunFolder;
use crate::pipeline::signals::{self, Finishing};
use crate::pipeline::stages::{self, StageResult};
use crate::pipeline::{Console, PICTURE_SCALE};
use crate::report::figure::{FigurePoint, MapFigure, data_map_svg};
use crate::report::raster;
use crate::train::{
    Callback, Checkpoints, EarlyStopping, FreezeProblem, Outcome, Training, Validation,
    learning_rate_shares, train,
};

/// What came out of a training run.
pub struct Trained {
    /// How the training went.
    pub outcome: Outcome,
    /// The data map, where one was asked for.
    pub map: Option<DataMap>,
    /// What the best model reaches on every stage.
    pub results: Vec<StageResult>,
}

/// Trains the model on the selected examples, makes the map where the config asks for one,
/// evaluates on every stage, and leaves all of it but config and model in the run's folder.
/// Where there is a checkpoint, training goes on from there.
///
/// # Errors
/// Training that diverges, a watcher's own error, or a file that cannot be written.
pub fn train_and_evaluate(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    model: &ReadyModel,
    run: &RunFolder,
    watchers: &mut [&mut dyn Callback],
    checkpoints: &mut Checkpoints,
    console: &Console,
) -> Result<Trained> {
    let config = &loaded.config;
    let mut records = Records::new(run, &config.training);
    let recording = Recording {
        when: recording(config),
        examples: &inputs.selection.subset,
        folder: &run.dynamics_folder(),
    };
    let mut all: Vec<&mut dyn Callback> = vec![&mut records];
    for watcher in watchers {
        all.push(&mut **watcher);
    }
    let outcome = train_and_record(loaded, inputs, model, &recording, &mut all, checkpoints)?;
    let map = config.training.perform_data_cartography;
    let map = map.then(|| make_map(config, inputs, run)).transpose()?;
    let results = stages::evaluate_all(config, inputs, model, run, console)?;
    records.finish(run, &outcome, &results)?;
    Ok(Trained {
        outcome,
        map,
        results,
    })
}

/// When the logits of all examples are recorded, if they are.
pub fn recording(config: &Config) -> Option<Record> {
    let is_on = config.training.perform_data_cartography;
    is_on.then_some(config.cartography.record)
}

/// What is recorded of a training.
#[derive(Debug, Clone, Copy)]
pub struct Recording<'a> {
    /// When logits are taken, if they are.
    pub when: Option<Record>,
    /// Of which examples.
    pub examples: &'a Subset,
    /// Where they go.
    pub folder: &'a Path,
}

/// Trains the model on the selected examples and records their dynamics. Where there are
/// checkpoints, a signal stops it after one.
///
/// # Errors
/// As [`train_and_evaluate`].
pub fn train_and_record(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    model: &ReadyModel,
    recording: &Recording<'_>,
    watchers: &mut [&mut dyn Callback],
    checkpoints: &mut Checkpoints,
) -> Result<Outcome> {
    let config = &loaded.config;
    let smoothing = config.training.label_smoothing_factor;
    let loss = CrossEntropy::new(inputs.class_weights.clone(), smoothing);
    let shares = learning_rate_shares(&model.classifier, &config.training)
        .map_err(|problem| bad_freeze(loaded, &problem))?;
    let curriculum = curriculum(loaded, inputs, &model.tokens.training);
    let training = Training {
        config: &config.training,
        seed: config.random_state,
        dataset: &inputs.training,
        tokens: &model.tokens.training,
        subset: &inputs.selection.subset,
        recorded: recording.examples,
        repeats: &inputs.selection.repeats,
        curriculum: curriculum.as_deref(),
        loss: &loss,
        learning_rate_shares: &shares,
        record: recording.when,
        validation: model
            .tokens
            .validation(inputs)
            .map(|(tokens, indices)| Validation { tokens, indices }),
        labels: inputs.labels.names(),
        metrics: &inputs.metrics,
    };
    let mut recorder = Recorder::new(
        recording.folder,
        recording.when.unwrap_or_default(),
        &inputs.training,
        recording.examples,
        inputs.labels.len(),
    );
    let mut early_stopping = EarlyStopping::new(&config.training, &inputs.metrics);
    let mut callbacks: Vec<&mut dyn Callback> = Vec::new();
    for watcher in watchers {
        callbacks.push(&mut **watcher);
    }
    if let Some(early_stopping) = &mut early_stopping {
        callbacks.push(early_stopping);
    }
    if training.record.is_some() {
        callbacks.push(&mut recorder);
    }
    let finishing = checkpoints.are_kept().then(Finishing::begin);
    let outcome = train(&model.classifier, &training, &mut callbacks, checkpoints)?;
    drop(finishing);
    signals::check()?;
    Ok(outcome)
}

/// A pattern that cannot be followed is a problem of its place in the config.
fn bad_freeze(loaded: &LoadedConfig, problem: &FreezeProblem) -> Error {
    let key = match problem.pattern {
        Some(i) => format!("training.freeze[{i}]"),
        None => "training.freeze".to_owned(),
    };
    let message = format!("`{key}`: {}", problem.message);
    Error::new(ErrorKind::Config, loaded.source.problem(&key, message))
}

/// Makes the map of the run's dynamics; writes its table and its pictures.
fn make_map(config: &Config, inputs: &Inputs, run: &RunFolder) -> Result<DataMap> {
    let variability = if config.cartography.include_ci {
        Variability::WithConfidenceInterval
    } else {
        Variability::Plain
    };
    let map = map_of_dynamics(
        &run.dynamics_folder(),
        config.cartography.burn_out,
        variability,
    )?;
    if map.n_epochs == 1 {
        tracing::warn!("a map of one epoch has variability 0 everywhere: train for more epochs");
    }
    let labels = inputs.labels.names();
    let mut table = map_table(&map.points, labels);
    let indices = map.points.iter().map(|point| point.example.index);
    if let Some(true_labels) = inputs.training.true_label_column(indices, labels) {
        table = table.with("true_label", true_labels);
    }
    table.write(&run.result_path(&config.training.data_cartography_results))?;
    let points: Vec<FigurePoint> = map.points.iter().map(figure_point).collect();
    let file = inputs
        .training
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    draw_map(
        &format!("Data map of {file}"),
        map.n_epochs,
        &points,
        run.path(),
    )?;
    Ok(map)
}

pub fn figure_point(point: &Point) -> FigurePoint {
    FigurePoint {
        confidence: point.signals.confidence,
        variability: point.signals.variability,
        correctness: point.signals.correctness,
    }
}

/// Draws the map as `data_map.svg` and `data_map.png`.
pub fn draw_map(title: &str, n_epochs: usize, points: &[FigurePoint], folder: &Path) -> Result<()> {
    let svg = data_map_svg(&MapFigure {
        title,
        n_epochs,
        points,
    })?;
    write_pictures(&svg, &folder.join("data_map"))
}

/// Writes a picture as `.svg` and as `.png`.
///
/// # Errors
/// Files that cannot be written.
pub fn write_pictures(svg: &str, name: &Path) -> Result<()> {
    crate::fsio::write(&name.with_extension("svg"), svg.as_bytes())?;
    let pixels = raster::png(svg, PICTURE_SCALE)?;
    crate::fsio::write(&name.with_extension("png"), &pixels)
}
