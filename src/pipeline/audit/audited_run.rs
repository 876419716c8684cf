//! The run that is audited.

use std::path::{Path, PathBuf};

use crate::config::{self, LoadedConfig};
use crate::data::{Dataset, LabelSpace};
use crate::dynamics::{DynamicsFiles, DynamicsFormat, TrainingDynamics};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::pipeline::inputs::TrainingSet;
use crate::pipeline::run_folder::RunFolder;
use serde_json::Value;

/// A run's config, data and dynamics.
pub struct AuditedRun {
    /// The run's folder.
    pub folder: PathBuf,
    /// The config, without what a further training for the audit does not do: selectors,
    /// evaluations, reports to trackers.
    pub loaded: LoadedConfig,
    /// The training file, with the labels that were trained on.
    pub dataset: Dataset,
    /// Its classes.
    pub labels: LabelSpace,
    /// Of the examples that were trained on.
    pub dynamics: TrainingDynamics,
}

impl AuditedRun {
    /// Reads what a run left and its training file.
    ///
    /// # Errors
    /// A path that is no run with training dynamics; data that is no longer what was trained on.
    pub fn read(path: &Path) -> Result<Self> {
        let folder = run_of(path)?;
        let mut loaded = config::read(&folder.join("config.resolved.yaml"), &[])?;
        let config = &mut loaded.config;
        config.training.selectors.clear();
        config.training.early_stopping_patience = None;
        config.training.results_file = None;
        config.training.report_to.clear();
        config.testing = None;
        config.control.clear();
        config.mlflow = None;
        let files = DynamicsFiles::find(&folder, Some(DynamicsFormat::Enginora))?;
        let dynamics = files.read(None)?;
        let TrainingSet {
            dataset, labels, ..
        } = TrainingSet::read(&loaded)?;
        for example in &dynamics.examples {
            let found = dataset.examples.get(example.index as usize);
            let same = found.filter(|e| e.guid == example.guid && e.label == example.gold);
            if same.is_none() {
                let message = format!(
                    "the training file is no longer what the run was trained on: `{}` is another example there, or has another label",
                    example.guid
                );
                let problem = Problem::new(message).in_file(&dataset.path);
                return Err(Error::data(problem.hint(
                    "audit a run that was trained on this file, or bring the old file back",
                )));
            }
        }
        Ok(Self {
            folder,
            loaded,
            dataset,
            labels,
            dynamics,
        })
    }

    /// The classes that were trained on, (N).
    pub fn gold(&self) -> Vec<u32> {
        self.dynamics.examples.iter().map(|e| e.gold).collect()
    }

    /// The true classes (N), where any is known.
    pub fn true_labels(&self) -> Option<Vec<Option<u32>>> {
        let examples = self.dynamics.examples.iter();
        let labels: Vec<Option<u32>> = examples
            .map(|e| self.dataset.examples[e.index as usize].true_label)
            .collect();
        labels.iter().any(Option::is_some).then_some(labels)
    }
}

/// The key of `audit.yaml` that says of which run it is; null for one that is not complete.
pub const MANIFEST_HASH: &str = "manifest_sha256";

/// The table of an audit of the run that `path` means, a run's folder or an output folder, where
/// there is one. That of another run, as an earlier one of the output folder, is warned of.
pub fn findings_of(path: &Path) -> Option<PathBuf> {
    let table = default_output(path).join("audit.csv");
    if !path.is_dir() || !table.is_file() {
        return None;
    }
    let summary = fsio::read(&table.with_extension("yaml")).unwrap_or_default();
    let summary: Value = serde_yaml::from_slice(&summary).unwrap_or_default();
    let run = run_of(path)
        .ok()
        .and_then(|run| RunFolder::manifest_hash(&run));
    if summary[MANIFEST_HASH].as_str() == run.as_deref() {
        return Some(table);
    }
    tracing::warn!(
        "{} is an audit of another run and left out; `audit {}` makes one of this run",
        table.display(),
        path.display()
    );
    None
}

/// The folder of the run that `path` means. An output folder shows the dynamics of the last run
/// that recorded any, and perhaps the config of a later one.
fn run_of(path: &Path) -> Result<PathBuf> {
    let not_a_run = |message: &str| {
        let hint = "name a run of `enginora-rs loop` with `training.perform_data_cartography: true`, or its output folder";
        let problem = Problem::new(message).in_file(path).hint(hint);
        Error::new(ErrorKind::MissingInput, problem)
    };
    if !path.is_dir() {
        let message = if path.exists() {
            "not a folder"
        } else {
            "no such folder"
        };
        return Err(not_a_run(message));
    }
    let dynamics = path.join("training_dynamics");
    let dynamics = dynamics
        .canonicalize()
        .map_err(|_| not_a_run("there are no training dynamics in this folder"))?;
    let real = dynamics.parent().map(Path::to_path_buf);
    let mut folders = real.into_iter().chain([path.to_owned()]);
    folders
        .find(|folder| folder.join("config.resolved.yaml").is_file())
        .ok_or_else(|| not_a_run("there is no `config.resolved.yaml` beside the training dynamics"))
}

/// `audit` in the output folder of the run: never in the run itself, which does not change.
pub fn default_output(run: &Path) -> PathBuf {
    if run.join("runs").is_dir() {
        return run.join("audit");
    }
    let runs = run.parent().filter(|parent| parent.ends_with("runs"));
    let output_dir = runs.and_then(Path::parent);
    output_dir.map_or_else(|| PathBuf::from("audit"), |folder| folder.join("audit"))
}
