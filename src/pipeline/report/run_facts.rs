//! A run at a glance: what its files say, for the page.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::config::{Config, ResultLocation, result_location};
use crate::data::{LabelSpace, Table};
use crate::error::{Error, Problem, Result};
use crate::fsio;
use crate::pipeline::report::source::Source;

/// Classes beyond these make no matrix that a page could show.
const MOST_CLASSES: usize = 60;

/// What the files of a run say. What is not there is null.
///
/// # Errors
/// A file that is there but cannot be read.
pub fn facts(source: &Source) -> Result<Value> {
    let folder = source.folder.as_path();
    let metrics = yaml(&folder.join("metrics.yaml"))?;
    let config = source.config.as_ref().map(|loaded| &loaded.config);
    let confusions = match (&metrics, config) {
        (Value::Object(metrics), Some(config)) => confusions(folder, config, metrics)?,
        _ => Value::Null,
    };
    Ok(json!({
        "version": version(folder),
        "config": text(&folder.join("config.resolved.yaml"))?,
        "metrics": metrics,
        "history": lines(&folder.join("history.jsonl"))?,
        "training_log": training_log(folder)?,
        "selection": yaml(&folder.join("selection.yaml"))?,
        "confusions": confusions,
        "experiment": experiment(&folder.join("summary.csv"))?,
        "audit": match &source.audit {
            Some(audit) => yaml(&audit.with_extension("yaml"))?,
            None => Value::Null,
        },
    }))
}

/// The version that made the run; that of this program where the run does not say, as one that
/// is being made.
fn version(folder: &Path) -> Value {
    let manifest = fsio::read(&folder.join("manifest.json")).ok();
    let manifest = manifest.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    match manifest {
        Some(mut manifest) => manifest["enginora_rs_version"].take(),
        None => json!(env!("CARGO_PKG_VERSION")),
    }
}

fn text(path: &Path) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fsio::read(path)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn yaml(path: &Path) -> Result<Value> {
    let Some(text) = text(path)? else {
        return Ok(Value::Null);
    };
    serde_yaml::from_str(&text).map_err(|error| bad(path, &error.to_string()))
}

/// The objects of a file of JSON Lines; null where there is none.
fn lines(path: &Path) -> Result<Value> {
    let Some(text) = text(path)? else {
        return Ok(Value::Null);
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines = lines.map(|line| {
        serde_json::from_str::<Value>(line).map_err(|error| bad(path, &error.to_string()))
    });
    Ok(Value::Array(lines.collect::<Result<_>>()?))
}

/// The training loss, learning rate and gradient norm at the end of every epoch.
fn training_log(folder: &Path) -> Result<Value> {
    let path = folder.join("trainer_state.json");
    let Some(text) = text(&path)? else {
        return Ok(Value::Null);
    };
    let state: Value =
        serde_json::from_str(&text).map_err(|error| bad(&path, &error.to_string()))?;
    let log = state["log_history"].as_array();
    let of_training = log
        .into_iter()
        .flatten()
        .filter(|line| line.get("loss").is_some());
    Ok(of_training.cloned().collect())
}

fn bad(path: &Path, message: &str) -> Error {
    Error::data(Problem::new(message.to_owned()).in_file(path))
}

/// For every stage with predictions how many examples of each label were predicted as what.
fn confusions(folder: &Path, config: &Config, metrics: &Map<String, Value>) -> Result<Value> {
    let mut confusions = Map::new();
    for stage in metrics.keys() {
        let path = predictions_file(folder, config, stage);
        if path.is_file()
            && let Some(confusion) = confusion(&path)?
        {
            confusions.insert(stage.clone(), confusion);
        }
    }
    Ok(Value::Object(confusions))
}

/// Where a run with this config leaves the predictions of a stage.
fn predictions_file(folder: &Path, config: &Config, stage: &str) -> PathBuf {
    let named = match stage {
        "train" => config.training.results_file.clone(),
        "test" => config.testing.as_ref().and_then(|t| t.results_file.clone()),
        _ => config.control.iter().find_map(|control| {
            let is_it = match &control.name {
                Some(name) => stage.strip_prefix("control_") == Some(name.as_str()),
                None => stage == "control",
            };
            is_it.then(|| control.results_file.clone()).flatten()
        }),
    };
    let file = named.unwrap_or_else(|| PathBuf::from(format!("predictions_{stage}.csv")));
    match result_location(&file) {
        ResultLocation::InRun(name) => folder.join(name),
        ResultLocation::At(path) => path,
    }
}

fn confusion(path: &Path) -> Result<Option<Value>> {
    let table = Table::read(path)?;
    let (Some(gold), Some(predicted)) = (table.texts("label"), table.texts("prediction")) else {
        return Ok(None);
    };
    let all = gold.iter().chain(&predicted).map(String::as_str);
    let classes = LabelSpace::from_labels(all);
    let n = classes.len();
    if n > MOST_CLASSES {
        return Ok(None);
    }
    let mut counts = vec![vec![0_usize; n]; n];
    for (gold, predicted) in gold.iter().zip(&predicted) {
        if let (Some(row), Some(column)) = (classes.index_of(gold), classes.index_of(predicted)) {
            counts[row as usize][column as usize] += 1;
        }
    }
    Ok(Some(
        json!({"classes": classes.names(), "counts": counts, "n": gold.len()}),
    ))
}

/// The means of a grid of experiments, over its seeds.
fn experiment(path: &Path) -> Result<Value> {
    if !path.is_file() {
        return Ok(Value::Null);
    }
    let table = Table::read(path)?;
    let texts = |name: &str| table.texts(name).unwrap_or_default();
    let reals = |name: &str| table.reals(name).unwrap_or_default();
    let (selections, stages, metrics) = (texts("selection"), texts("stage"), texts("metric"));
    let names = [
        "fraction",
        "n_examples",
        "n",
        "mean",
        "standard_deviation",
        "low",
        "high",
    ];
    let columns: Vec<Vec<f64>> = names.map(reals).into();
    let n = selections.len();
    if n == 0 || [stages.len(), metrics.len()] != [n, n] || columns.iter().any(|c| c.len() != n) {
        return Ok(Value::Null);
    }
    let rows = (0..n).map(|row| {
        let mut facts = Map::new();
        facts.insert("selection".into(), json!(selections[row]));
        facts.insert("stage".into(), json!(stages[row]));
        facts.insert("metric".into(), json!(metrics[row]));
        for (name, values) in names.iter().zip(&columns) {
            facts.insert((*name).into(), json!(values[row]));
        }
        Value::Object(facts)
    });
    Ok(rows.collect())
}
