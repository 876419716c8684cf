//! What must hold between keys, and what a key's own schema cannot say.

use std::path::{Path, PathBuf};

use super::key_path::KeyPath;
use super::metric::{Metric, metric_names};
use super::nearest::alternatives;
use super::paths::{ResultLocation, TABLE_EXTENSIONS, is_table, result_location};
use super::selector::{SelectorSpec, Slice, SlicingScores};
use super::source::KeyProblem;
use super::types::{ClassWeights, Config, MetricConfig};

/// One group of checks.
type Check = fn(&Config) -> Vec<KeyProblem>;

/// Every check; each finds all the problems of its kind.
const CHECKS: [Check; 10] = [
    columns,
    label_noise,
    model,
    metrics,
    selectors,
    control_names,
    result_paths,
    mlflow,
    training,
    experiment,
];

/// All problems of a config whose values have the right shape.
pub(super) fn check(config: &Config) -> Vec<KeyProblem> {
    CHECKS.iter().flat_map(|check| check(config)).collect()
}

/// A column is given by position or by name, and no column is both text and label.
fn columns(config: &Config) -> Vec<KeyProblem> {
    let data = &config.data;
    let mut problems = Vec::new();
    for (id, name, by_id, by_name) in [
        (
            "text_column_id",
            "text_column",
            data.text_column_id,
            &data.text_column,
        ),
        (
            "label_column_id",
            "label_column",
            data.label_column_id,
            &data.label_column,
        ),
    ] {
        if by_id.is_some() && by_name.is_some() {
            let message = format!("`data.{id}` and `data.{name}` name the same column twice");
            let problem = KeyProblem::new(format!("data.{id}").as_str(), message);
            problems.push(problem.hint("give one of them"));
        }
    }
    if let [only] = &data.option_columns[..] {
        let message = format!("`data.option_columns` has `{only}` alone; expected at least two");
        problems.push(KeyProblem::new("data.option_columns", message));
    }
    if data.option_blank.is_some() {
        let mut problem = |message: String| {
            problems.push(KeyProblem::new("data.option_blank", message));
        };
        if data.option_columns.is_empty() {
            problem("`data.option_blank` is given without `data.option_columns`".to_owned());
        }
        if let Some(pair) = &data.text_pair_column {
            problem(format!(
                "`data.option_blank` makes the second text of what follows the blank; `data.text_pair_column` is `{pair}`"
            ));
        }
    }
    let same_id = data.text_column_id.is_some() && data.text_column_id == data.label_column_id;
    let same_name = data.text_column.is_some() && data.text_column == data.label_column;
    for (same, key, text) in [
        (same_id, "label_column_id", "text_column_id"),
        (same_name, "label_column", "text_column"),
    ] {
        if same {
            let message = format!("`data.{key}` is the same column as `data.{text}`");
            problems.push(KeyProblem::new(format!("data.{key}").as_str(), message));
        }
    }
    problems
}

/// The share of wrong labels can be taken exactly.
fn label_noise(config: &Config) -> Vec<KeyProblem> {
    let noise = config.data.label_noise.iter();
    let problem = |expected: &str| {
        let key = "data.label_noise.fraction";
        KeyProblem::new(key, format!("`{key}`: {expected}"))
    };
    noise
        .filter_map(|noise| Some(problem(noise.share().err()?)))
        .collect()
}

fn model(config: &Config) -> Vec<KeyProblem> {
    let scratch = &config.model.scratch;
    let (width, heads) = (scratch.hidden_size, scratch.num_attention_heads);
    if width.is_multiple_of(heads) {
        return Vec::new();
    }
    let message = format!(
        "`model.scratch.hidden_size` is `{width}`; expected a multiple of \
         `num_attention_heads`, which is {heads}"
    );
    vec![KeyProblem::new("model.scratch.hidden_size", message)]
}

/// Every metric is known, takes its arguments and has a name of its own, and the best model is
/// decided by a number.
fn metrics(config: &Config) -> Vec<KeyProblem> {
    let best = &config.training.metric_for_best_model;
    let best_key = KeyPath::from("training.metric_for_best_model");
    let names = metric_names(&config.metrics);
    let mut problems = Vec::new();
    if best == SlicingScores::NAME {
        let message = format!("`{best_key}` is `{best}`, which is not a single number");
        problems.push(KeyProblem::new(&best_key, message));
    }
    for (i, metric) in config.metrics.iter().enumerate() {
        let entry = KeyPath::from("metrics").item(i);
        problems.extend(taken_name(config, &names, i));
        if metric.name == SlicingScores::NAME {
            problems.extend(slicing_scores(metric, &entry));
            continue;
        }
        match Metric::parse(metric) {
            // The entry without a name was reported already.
            Err(_) if metric.name.is_empty() => {}
            Err(problem) => {
                let key = match &problem.argument {
                    Some(argument) => entry.key("args").key(argument),
                    // It may well be listed only on behalf of this key.
                    None if names[i] == *best => best_key.clone(),
                    None => entry.key("name"),
                };
                let found = KeyProblem::new(key, problem.message);
                problems.push(match problem.hint {
                    Some(hint) => found.hint(hint),
                    None => found,
                });
            }
            Ok(parsed) if names[i] == *best && parsed.direction().is_none() => {
                let message = format!("`{best_key}` is `{best}`, which is not a single number");
                problems.push(KeyProblem::new(&best_key, message));
            }
            Ok(_) => {}
        }
    }
    problems
}

/// The problem of the metric `i` whose name another or the loss has, or that is there twice.
fn taken_name(config: &Config, names: &[String], i: usize) -> Option<KeyProblem> {
    let (metric, name) = (&config.metrics[i], &names[i]);
    let entry = KeyPath::from("metrics").item(i);
    let key = match metric.name_as {
        Some(_) => entry.key("name_as"),
        None => entry,
    };
    if metric.name_as.as_deref() == Some("loss") {
        let message = format!("`{key}` is `loss`, which is always computed");
        return Some(KeyProblem::new(&key, message));
    }
    if metric.name.is_empty() {
        return None;
    }
    let other = (0..i).find(|&j| {
        let other = &config.metrics[j];
        let is_same = other.name == metric.name && other.args == metric.args;
        names[j] == *name || (is_same && other.name_as.is_none() && metric.name_as.is_none())
    })?;
    let message = format!(
        "`{key}` has the name `{}`, as `metrics[{other}]` has",
        names[other]
    );
    let problem = KeyProblem::new(&key, message);
    Some(problem.hint("give it a `name_as` of its own, or leave one of them out"))
}

/// What is measured on slices: not a metric of its own, and so no best model goes by it.
fn slicing_scores(config: &MetricConfig, entry: &KeyPath) -> Vec<KeyProblem> {
    match SlicingScores::parse(config, entry) {
        Err(problems) => problems,
        Ok(scores) => {
            let at = entry.key("args").key("metrics");
            let wrong = |(name, metric): &(String, MetricConfig)| {
                let problem = Metric::parse(metric).err()?;
                let message = format!("`{name}` cannot be scored: {}", problem.message);
                Some(KeyProblem::new(&at, message))
            };
            scores.metrics.iter().filter_map(wrong).collect()
        }
    }
}

/// Every selector is known and takes its arguments, and a slice is the same wherever it is named.
fn selectors(config: &Config) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    let mut slices: Vec<Slice> = Vec::new();
    let testing = config.testing.iter().map(|t| ("testing", &t.selectors));
    for (stage, selectors) in
        std::iter::once(("training", &config.training.selectors)).chain(testing)
    {
        for (i, selector) in selectors
            .iter()
            .enumerate()
            .filter(|(_, s)| !s.name.is_empty())
        {
            let key = KeyPath::from(stage).key("selectors").item(i);
            let found = match SelectorSpec::parse(selector, &key) {
                Ok(spec) if is_repeating(&spec) && i + 1 < selectors.len() => {
                    let message = "a selector that draws with replacement must be the last: the others take an example once";
                    problems.push(KeyProblem::new(key.key("args").key("replacement"), message));
                    spec
                }
                Ok(spec) => spec,
                Err(found) => {
                    problems.extend(found);
                    continue;
                }
            };
            for slice in found.slices() {
                match slices.iter().find(|other| other.name == slice.name) {
                    Some(other) if other != slice => {
                        let name = &slice.name;
                        let message =
                            format!("there are two slices `{name}` that are not the same");
                        let key = key.key("args").key("slices").key(name);
                        let hint =
                            "every slice is scored on all stages; give one of them another name";
                        problems.push(KeyProblem::new(key, message).hint(hint));
                    }
                    Some(_) => {}
                    None => slices.push(slice.clone()),
                }
            }
        }
    }
    problems
}

fn is_repeating(selector: &SelectorSpec) -> bool {
    matches!(selector, SelectorSpec::RandomUnderSampler(spec) if spec.replacement)
}

/// What the options of training need of each other.
fn training(config: &Config) -> Vec<KeyProblem> {
    let training = &config.training;
    let mut problems = Vec::new();
    let has_validation =
        training.validation_dataset_path.is_some() || training.validation_size.is_some();
    if training.early_stopping_patience.is_some() && !has_validation {
        let message = "`training.early_stopping_patience` needs a validation set to watch";
        let problem = KeyProblem::new("training.early_stopping_patience", message);
        let hint = "give `training.validation_size` or `training.validation_dataset_path`";
        problems.push(problem.hint(hint));
    }
    let without_curriculum = [
        ("curriculum_order", training.curriculum_order.is_some()),
        ("curriculum_descending", training.curriculum_descending),
    ];
    for (key, given) in without_curriculum {
        if given && !training.curriculum_learning {
            let message = format!("`training.{key}` is given, but there is no curriculum");
            let problem = KeyProblem::new(format!("training.{key}").as_str(), message);
            problems.push(problem.hint("set `training.curriculum_learning: true`"));
        }
    }
    if let Some(ClassWeights::Given(weights)) = &training.class_weights {
        for (label, weight) in weights {
            if !(*weight > 0.0 && weight.is_finite()) {
                let key = KeyPath::from("training.class_weights").key(label);
                let message = format!("`{key}` is `{weight}`; expected a number above 0");
                problems.push(KeyProblem::new(&key, message));
            }
        }
    }
    for (i, pattern) in training.freeze.iter().enumerate() {
        if let Err(error) = glob::Pattern::new(pattern) {
            let key = KeyPath::from("training.freeze").item(i);
            let message = format!("`{key}` is `{pattern}`, not a pattern: {}", error.msg);
            problems.push(KeyProblem::new(&key, message));
        }
    }
    problems
}

/// The subsets of an experiment can be picked.
fn experiment(config: &Config) -> Vec<KeyProblem> {
    let experiment = config.experiment.as_ref();
    let resolved = experiment.map(|experiment| experiment.resolve(config.random_state));
    resolved.and_then(Result::err).unwrap_or_default()
}

/// Several control sets need names, because their stages, metrics and files go by them.
fn control_names(config: &Config) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    for (i, control) in config.control.iter().enumerate() {
        let key = format!("{}.name", config.control_key(i));
        match &control.name {
            None if config.control.len() < 2 => {}
            None => {
                let message = format!("`{key}` is missing; several control sets need names");
                problems.push(KeyProblem::new(&key, message));
            }
            Some(name) if !is_part_of_a_file_name(name) => {
                let message = format!(
                    "`{key}` is `{name}`; expected a name without slashes and control characters, since files are called by it"
                );
                problems.push(KeyProblem::new(&key, message));
            }
            Some(name) => {
                let before = &config.control[..i];
                if before.iter().any(|other| other.name.as_ref() == Some(name)) {
                    let message = format!("`{key}` is `{name}`, which another control set has");
                    problems.push(KeyProblem::new(&key, message));
                }
            }
        }
    }
    problems
}

fn is_part_of_a_file_name(name: &str) -> bool {
    let stays = |c: char| !matches!(c, '/' | '\\') && !c.is_control();
    !name.is_empty() && name.chars().all(stays)
}

/// A server is named by an address without a password, and tags are single values.
fn mlflow(config: &Config) -> Vec<KeyProblem> {
    let Some(mlflow) = &config.mlflow else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if let Some(uri) = &mlflow.tracking_uri {
        let key = "mlflow.tracking_uri";
        let address = uri.split_once("://").map(|(_, rest)| rest);
        if address.is_some_and(|rest| rest.split('/').next().unwrap_or_default().contains('@')) {
            // Not quoted: the config is copied into the run and reported with it.
            let message = format!("`{key}` holds a user name, which would be stored with the run");
            let hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead";
            problems.push(KeyProblem::new(key, message).hint(hint));
        } else if !uri.starts_with("http://") && !uri.starts_with("https://") {
            let message =
                format!("`{key}` is `{uri}`; expected a server's `http://` or `https://` address");
            let hint = "start a server over such a store with `mlflow server --backend-store-uri ...` and name its address";
            problems.push(KeyProblem::new(key, message).hint(hint));
        }
    }
    for (name, value) in &mlflow.tags {
        if value.is_array() || value.is_object() {
            let key = KeyPath::from("mlflow.tags").key(name);
            let message = format!("`{key}` is not a single value; expected a text or a number");
            problems.push(KeyProblem::new(key, message));
        }
    }
    problems
}

/// Results need a known format, and each a file of its own.
fn result_paths(config: &Config) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    let mut taken: Vec<(String, ResultLocation)> = Vec::new();
    for (key, path) in results(config) {
        if !is_table(path) {
            let message = format!("`{key}` is `{}`; its format is not known", path.display());
            let hint = format!(
                "end it in {}",
                alternatives(endings().iter().map(String::as_str))
            );
            problems.push(KeyProblem::new(&key, message).hint(hint));
        }
        let location = result_location(path);
        if location == ResultLocation::InRun(PathBuf::from("history.jsonl")) {
            let message = format!("`{key}` is `history.jsonl`, where the run keeps its history");
            problems.push(KeyProblem::new(&key, message));
        }
        if let Some((other, _)) = taken.iter().find(|(_, l)| *l == location) {
            let message = format!("`{key}` is `{}`, and so is `{other}`", path.display());
            let problem = KeyProblem::new(&key, message);
            problems.push(problem.hint("one would replace the other; name two files"));
        }
        taken.push((key, location));
    }
    problems
}

/// The tables that the run writes or (the map, for a selector) reads, with the keys that name them.
fn results(config: &Config) -> Vec<(String, &Path)> {
    let training = &config.training;
    let map = training.data_cartography_results.as_path();
    let mut results = vec![("training.data_cartography_results".to_owned(), map)];
    if let Some(path) = &training.results_file {
        results.push(("training.results_file".to_owned(), path));
    }
    if let Some(path) = config
        .testing
        .as_ref()
        .and_then(|t| t.results_file.as_ref())
    {
        results.push(("testing.results_file".to_owned(), path));
    }
    for (i, control) in config.control.iter().enumerate() {
        if let Some(path) = &control.results_file {
            results.push((format!("{}.results_file", config.control_key(i)), path));
        }
    }
    results
}

fn endings() -> [String; 5] {
    TABLE_EXTENSIONS.map(|extension| format!(".{extension}"))
}
