//! Reports as event files, which `TensorBoard` shows while they grow.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::events::{self, Setting, Value};
use super::{Tracker, now};
use crate::config::{Config, to_yaml};
use crate::error::{Error, Result};
use crate::fsio::{self, FileWriter};
use crate::pipeline::run_folder::{RunFolder, TENSORBOARD};

/// The file, gone when the run is complete, that says which folder of `logging_dir` is its.
const FOLDER: &str = "tensorboard_folder";

/// The tracker that writes an event file.
pub struct TensorBoard {
    config: Config,
    file: Option<(PathBuf, FileWriter)>,
    /// The first step that is reported again, where the run was stopped after it had reported some.
    again_from: Option<usize>,
}

impl TensorBoard {
    /// A tracker without a file yet.
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            file: None,
            again_from: None,
        }
    }

    /// The folder of the run's event files; whether it had it before it was stopped.
    fn folder(&self, run: &RunFolder, name: &str) -> Result<(PathBuf, bool)> {
        let Some(logging_dir) = &self.config.training.logging_dir else {
            let folder = run.path().join(TENSORBOARD);
            let is_known = folder.exists();
            return Ok((folder, is_known));
        };
        let record = run.checkpoints_folder().join(FOLDER);
        let known = fsio::read(&record).ok();
        if let Some(known) = known.and_then(|bytes| String::from_utf8(bytes).ok()) {
            return Ok((PathBuf::from(known), true));
        }
        let folder = new_folder(logging_dir, name);
        fsio::write(&record, folder.to_string_lossy().as_bytes())?;
        Ok((folder, false))
    }

    /// Writes an event and everything before it, so that a run can be watched.
    fn write(&mut self, step: usize, values: &[(String, Value<'_>)]) -> Result<()> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        if let Some(from) = self.again_from.take() {
            events::write_restart(file, now().as_secs_f64(), from)
                .map_err(|e| Error::writing(path, &e))?;
        }
        events::write_event(file, now().as_secs_f64(), step, values)
            .and_then(|()| file.flush())
            .map_err(|e| Error::writing(path, &e))
    }

    fn write_scalars(&mut self, step: usize, values: &[(String, f64)]) -> Result<()> {
        let values: Vec<_> = values
            .iter()
            .map(|(tag, value)| (tag.clone(), Value::Scalar(*value)))
            .collect();
        self.write(step, &values)
    }
}

impl Tracker for TensorBoard {
    fn start(&mut self, run: &RunFolder, name: &str) -> Result<()> {
        let (folder, is_known) = self.folder(run, name)?;
        fsio::create_folder(&folder)?;
        // TensorBoard looks for `tfevents` in the name, and reads a folder's files in the order
        // of their names.
        let name = format!("events.out.tfevents.{}.enginora-rs", now().as_secs());
        let mut path = folder.join(&name);
        // A run that was stopped and taken up within a second.
        for number in 2.. {
            if !path.exists() {
                break;
            }
            path = folder.join(format!("{name}.{number}"));
        }
        let mut file = fsio::create(&path)?;
        events::write_header(&mut file, now().as_secs_f64())
            .map_err(|e| Error::writing(&path, &e))?;
        tracing::info!("TensorBoard: tensorboard --logdir {}", folder.display());
        self.file = Some((path, file));
        if is_known {
            // Without a checkpoint it begins with its first step again.
            self.again_from = Some(1);
            return Ok(());
        }

        // Indented, which is code in Markdown.
        let text: String = to_yaml(&self.config)?
            .lines()
            .flat_map(|line| ["    ", line, "\n"])
            .collect();
        let settings = settings(&self.config);
        self.write(
            0,
            &[
                ("config".to_owned(), Value::Text(&text)),
                (
                    "_hparams_/session_start_info".to_owned(),
                    Value::Settings(&settings),
                ),
            ],
        )
    }

    fn take_up(&mut self, _pending: Json, step: usize) {
        self.again_from = self.again_from.map(|_| step + 1);
    }

    /// Under transformers' tags: `train/loss`, `eval/f1_score`.
    fn log(&mut self, group: &str, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (format!("{group}/{name}"), *value))
            .collect();
        self.write_scalars(step, &values)
    }

    /// Under tags of their own, since `train/loss` is what it was while training.
    fn log_result(&mut self, stage: &str, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (format!("best_model/{stage}_{name}"), *value))
            .collect();
        self.write_scalars(step, &values)
    }

    fn finish(&mut self, run: &RunFolder) -> Result<()> {
        let picture = run.path().join("data_map.png");
        if picture.exists() {
            let png = fsio::read(&picture)?;
            if let Some((width, height)) = png_size(&png) {
                let value = Value::Png(&png, width, height);
                self.write(0, &[("data_map".to_owned(), value)])?;
            }
        }
        if let Some((path, file)) = self.file.take() {
            fsio::finish(file, &path)?;
        }
        Ok(())
    }
}

/// `parent/name`, with a number behind it where that is taken: two runs in one folder would be
/// one tangled curve.
fn new_folder(parent: &Path, name: &str) -> PathBuf {
    let mut folder = parent.join(name);
    let mut number = 1;
    while folder.exists() {
        number += 1;
        folder = parent.join(format!("{name}-{number}"));
    }
    folder
}

/// The settings by which runs are compared: all single values of `training`, `model` and the
/// seed.
fn settings(config: &Config) -> Vec<(String, Setting)> {
    let json = serde_json::to_value(config).unwrap_or_default();
    let sections = ["training", "model"].map(|name| json[name].as_object().cloned());
    let mut settings: Vec<(String, Setting)> = sections
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|(key, value)| Some((key, setting(&value)?)))
        .collect();
    settings.push((
        "random_state".to_owned(),
        Setting::Number(config.random_state as f64),
    ));
    settings
}

fn setting(value: &Json) -> Option<Setting> {
    match value {
        Json::Bool(yes) => Some(Setting::Bool(*yes)),
        Json::Number(number) => number.as_f64().map(Setting::Number),
        Json::String(text) => Some(Setting::Text(text.clone())),
        _ => None,
    }
}

/// Width and height in pixels, from the first chunk, which the format prescribes.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}
