//! `predict` and `evaluate`: a finished model on new texts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use serde_json::{Map, Value};

use crate::config::{self, Config, DataConfig, MetricConfig, ResultLocation, result_location};
use crate::data::{
    DataFiles, Dataset, Example, LabelSpace, Table, TableWriter, Tokenizer, Truncation,
    read_evaluation, read_unlabelled,
};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::model::{self, Classifier, ModelConfig, Task};
use crate::nn::{Precision, Use};
use crate::pipeline::inputs::say_warnings;
use crate::pipeline::ready_model::say_truncated;
use crate::pipeline::stages::prediction_table;
use crate::pipeline::{Console, DeviceChoice, open_device, print_text};
use crate::train::{MetricSet, Predictions, predict};

/// What both commands need of the command line.
#[derive(Debug, Clone, Default)]
pub struct PredictOptions {
    /// A run's folder, an output folder, or a model folder in Hugging Face's layout.
    pub model: PathBuf,
    /// The data files; globs are allowed.
    pub data: Vec<PathBuf>,
    /// Texts instead of files, for `predict`.
    pub texts: Vec<String>,
    /// Where the predictions go, the format by extension; for `predict`, none: CSV to standard
    /// output.
    pub output: Option<PathBuf>,
    /// The columns, where they are neither those of the run nor found by their names.
    pub columns: ColumnNames,
    /// The metrics to compute instead of the run's (or the usual ones).
    pub metrics: Vec<String>,
}

/// Names of columns.
#[derive(Debug, Clone, Default)]
pub struct ColumnNames {
    /// The text's.
    pub text: Option<String>,
    /// The second text's.
    pub text_pair: Option<String>,
    /// The label's.
    pub label: Option<String>,
    /// The id's.
    pub id: Option<String>,
}

/// Writes a label, its probability and those of all classes for each text.
///
/// # Errors
/// A model without a classification head; files that cannot be read or written.
pub fn run_predict(
    options: &PredictOptions,
    device: DeviceChoice,
    console: &Console,
) -> Result<()> {
    if let Some(output) = &options.output {
        Table::check_format(output)?;
    }
    let device = open_device(device)?;
    let finished = Finished::load(&options.model, &device)?;
    let mut n_texts = 0;
    let mut n_cut = 0;
    let mut write_to = |write: &mut dyn FnMut(&Table) -> Result<()>| {
        let mut label = |dataset: Dataset| {
            say_warnings(&dataset);
            let (predictions, n_cut_here) = finished.predict(&dataset, console)?;
            n_texts += dataset.len();
            n_cut += n_cut_here;
            let mut table = prediction_table(&predictions, &dataset, finished.labels.names());
            table.remove("label");
            write(&table)
        };
        if options.texts.is_empty() {
            let files = DataFiles::find(Path::new(""), &options.data)?;
            read_unlabelled(files, &finished.columns(&options.columns), label)
        } else {
            label(of_texts(&options.texts))
        }
    };
    if let Some(path) = &options.output {
        TableWriter::write_file(path, |writer| write_to(&mut |table| writer.write(table)))?;
    } else {
        let is_closed = AtomicBool::new(false);
        let output = StandardOutput {
            is_closed: &is_closed,
        };
        let mut writer = TableWriter::csv(Path::new("standard output"), output);
        let written = write_to(&mut |table| writer.write(table));
        // A reader that has seen enough, as `head` has, is no failure.
        if is_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        written?;
        writer.finish()?;
    }
    say_truncated(Path::new("the data"), n_cut, n_texts, finished.max_length);
    if let Some(path) = &options.output {
        tracing::info!("{n_texts} predictions are in {}", path.display());
    }
    Ok(())
}

/// Prints the loss and the metrics of a labelled data set as YAML.
///
/// # Errors
/// As [`run_predict`]; a label that the model does not know; a metric that does not exist.
pub fn run_evaluate(
    options: &PredictOptions,
    device: DeviceChoice,
    console: &Console,
) -> Result<()> {
    if let Some(output) = &options.output {
        Table::check_format(output)?;
    }
    let metrics = metrics_by_name(&options.metrics)?;
    let device = open_device(device)?;
    let finished = Finished::load(&options.model, &device)?;
    let metrics = metrics.unwrap_or_else(|| finished.metrics());
    for (_, metric) in &metrics.metrics {
        crate::metrics::check(metric, finished.labels.names())?;
    }
    let files = DataFiles::find(Path::new(""), &options.data)?;
    let columns = finished.columns(&options.columns);
    let dataset = read_evaluation(files, &columns, &finished.labels, "evaluation")?;
    say_warnings(&dataset);
    let (predictions, n_cut) = finished.predict(&dataset, console)?;
    say_truncated(&dataset.path, n_cut, dataset.len(), finished.max_length);
    if let Some(path) = &options.output {
        prediction_table(&predictions, &dataset, finished.labels.names()).write(path)?;
    }
    let measured = metrics.measure(&predictions, finished.labels.names())?;
    for warning in &measured.warnings {
        tracing::warn!("{warning}");
    }
    let mut shown = Map::new();
    shown.insert("n_examples".into(), Value::from(dataset.len()));
    shown.extend(measured.to_json());
    let text = serde_yaml::to_string(&shown).map_err(|e| Error::internal(e.to_string()))?;
    print_text(&text)
}

/// Standard output, which remembers that nobody reads it any more.
struct StandardOutput<'a> {
    is_closed: &'a AtomicBool,
}

impl Write for StandardOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = io::stdout().write(bytes);
        if matches!(&written, Err(e) if e.kind() == io::ErrorKind::BrokenPipe) {
            self.is_closed.store(true, Ordering::Relaxed);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = io::stdout().flush();
        if matches!(&flushed, Err(e) if e.kind() == io::ErrorKind::BrokenPipe) {
            self.is_closed.store(true, Ordering::Relaxed);
        }
        flushed
    }
}

/// A model that was trained.
struct Finished {
    classifier: Classifier,
    tokenizer: Tokenizer,
    labels: LabelSpace,
    max_length: usize,
    /// The config of its run, where it is a run's.
    config: Option<Config>,
}

impl Finished {
    fn load(path: &Path, device: &Device) -> Result<Self> {
        let (folder, config) = find_model(path)?;
        let tokenizer = Tokenizer::read(&folder)?;
        let shape = ModelConfig::read(&folder)?;
        shape.check_tokenizer(&tokenizer, &folder)?;
        let no_head = || {
            let message =
                "has no classification head: it is an encoder that was not yet fine-tuned";
            Error::data(Problem::new(message).in_file(&folder)).with_hint(
                "name a run of `enginora-rs loop`, or a model for sequence classification",
            )
        };
        let labels = shape.label_names().ok_or_else(no_head)?;
        let (classifier, report) = model::load(&folder, labels.len(), 0, Use::Inference, device)?;
        if !report.initialized.is_empty() {
            let message = format!(
                "its weights have no head for the {} labels of its config.json: `{}` is missing or of another size",
                labels.len(),
                report.initialized.join("`, `"),
            );
            return Err(Error::data(Problem::new(message).in_file(&folder)));
        }
        // A run's model says here what it said in its run.
        let precision = config.as_ref().map(|config| config.training.precision);
        let classifier =
            classifier.in_precision(Precision::of(precision.unwrap_or_default(), device))?;
        let wanted = config.as_ref().map(|config| config.model.max_length);
        let wanted = wanted.or_else(|| tokenizer.max_length());
        let positions = classifier.config().max_length();
        Ok(Self {
            classifier,
            max_length: wanted.map_or(positions, |wanted| wanted.min(positions)),
            tokenizer,
            labels: LabelSpace::from_names(labels),
            config,
        })
    }

    /// The columns of the run, but for those that were named.
    fn columns(&self, named: &ColumnNames) -> DataConfig {
        let mut columns = match &self.config {
            Some(config) => config.data.clone(),
            None => DataConfig::default(),
        };
        if named.text.is_some() {
            columns.text_column_id = None;
            columns.text_column.clone_from(&named.text);
        }
        if named.label.is_some() {
            columns.label_column_id = None;
            columns.label_column.clone_from(&named.label);
        }
        if named.text_pair.is_some() {
            columns.text_pair_column.clone_from(&named.text_pair);
        }
        if named.id.is_some() {
            columns.id_column.clone_from(&named.id);
        }
        columns
    }

    fn metrics(&self) -> MetricSet {
        match &self.config {
            Some(config) => MetricSet::new(&config.metrics),
            None => MetricSet::new(&MetricConfig::defaults()),
        }
    }

    /// Whether the data has as many options as the model knows, or none where it knows none.
    fn check_options(&self, dataset: &Dataset) -> Result<()> {
        let wanted = match self.classifier.config().task {
            Task::SequenceClassification => 1,
            Task::MultipleChoice => self.labels.len(),
        };
        let found = dataset.sequences_per_example();
        if found == wanted {
            return Ok(());
        }
        let message = format!("the model picks one of {wanted} options, and the texts have none");
        let hint = "name the run that made the model, whose config says which columns hold the options, and a file with `--data`";
        Err(Error::data(
            Problem::new(message).in_file(&dataset.path).hint(hint),
        ))
    }

    /// What the model says of all texts, and how many of them it saw only in part.
    fn predict(&self, dataset: &Dataset, console: &Console) -> Result<(Predictions, usize)> {
        self.check_options(dataset)?;
        let tokens = self
            .tokenizer
            .tokenize(dataset, self.max_length, Truncation::Cut)?;
        let bar = console.bar(dataset.len() as u64);
        let all = dataset.all();
        let predictions = predict(&self.classifier, &tokens, all.indices(), |n| {
            if let Some(bar) = &bar {
                bar.inc(n as u64);
            }
            Ok(())
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        Ok((predictions?, tokens.n_truncated()))
    }
}

/// The folder of the model that `path` means, and the config of its run.
fn find_model(path: &Path) -> Result<(PathBuf, Option<Config>)> {
    if path.join("config.json").is_file() {
        return Ok((path.to_owned(), None));
    }
    let resolved = path.join("config.resolved.yaml");
    if resolved.is_file() {
        let config = config::read(&resolved, &[])?.config;
        let folder = match result_location(&config.model.output_path) {
            ResultLocation::InRun(name) => path.join(name),
            ResultLocation::At(folder) => folder,
        };
        if !folder.is_dir() {
            let message = "the run's model is not there";
            let problem = Problem::new(message).in_file(folder);
            let hint = "was the run finished? `model.output_path` in its config.resolved.yaml says where its model lies";
            return Err(Error::new(ErrorKind::MissingInput, problem.hint(hint)));
        }
        return Ok((folder, Some(config)));
    }
    let message = if path.exists() {
        "neither a run nor a model folder: it has no config.resolved.yaml and no config.json"
    } else {
        "there is no such folder"
    };
    let problem = Problem::new(message).in_file(path);
    let hint =
        "name a run (`results/runs/0001`), an output folder, or a folder in Hugging Face's layout";
    Err(Error::new(ErrorKind::MissingInput, problem.hint(hint)))
}

fn of_texts(texts: &[String]) -> Dataset {
    let example = |(i, text): (usize, &String)| Example {
        guid: i.to_string(),
        text: text.clone(),
        ..Example::default()
    };
    Dataset {
        path: PathBuf::from("--text"),
        examples: texts.iter().enumerate().map(example).collect(),
        extra: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
    }
}

/// The metrics of these names, or none where none are named.
fn metrics_by_name(names: &[String]) -> Result<Option<MetricSet>> {
    if names.is_empty() {
        return Ok(None);
    }
    let metrics = names
        .iter()
        .map(|name| MetricConfig::with_default_args(name));
    let metrics: Vec<MetricConfig> = metrics.collect();
    for metric in &metrics {
        config::metric::Metric::parse(metric).map_err(|problem| {
            let found = Problem::new(problem.message);
            let found = match problem.hint {
                Some(hint) => found.hint(hint),
                None => found,
            };
            Error::new(ErrorKind::Usage, found)
        })?;
    }
    Ok(Some(MetricSet::new(&metrics)))
}
