//! A config file and `--set` options to a checked, resolved [`Config`].

use std::path::Path;

use super::metric::metric_names;
use super::overrides::Override;
use super::selector::{SelectorSpec, Slice};
use super::source::{KeyProblem, Source};
use super::types::{
    Config, CurriculumOrder, DEFAULT_CURRICULUM_COLUMN, DEFAULT_RANDOM_STATE, MetricConfig,
};
use super::{checks, schema, shape, yaml};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;

/// The longest config file, in bytes; a longer one is surely another kind of file.
const MAX_BYTES: usize = 1 << 18;

/// The most problems that one error lists; finding the place of each costs some time.
const MAX_PROBLEMS: usize = 50;

/// A config that was read.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// Every key with its value or default; checked.
    pub config: Config,
    /// What the user should know though it does not stop the run.
    pub warnings: Vec<Problem>,
    /// Where it came from, for the places of later problems.
    pub source: Source,
}

/// Reads the config at `path`, with `overrides` of the form `a.b=c` over it, and checks
/// everything that needs no other file.
///
/// # Errors
/// [`ErrorKind::MissingInput`] where there is no such file; [`ErrorKind::Usage`] for an
/// override that is not of the form KEY=VALUE; [`ErrorKind::Config`] for everything that is
/// wrong in the config, with all problems that can be found at once.
pub fn read(path: &Path, overrides: &[String]) -> Result<LoadedConfig> {
    let overrides = overrides.iter().map(|text| Override::parse(text));
    let overrides = overrides.collect::<Result<Vec<Override>>>()?;
    let text = text_of(path, fsio::read_start(path, MAX_BYTES + 1)?)?;
    let mut value = yaml::parse(&text).map_err(|refusal| {
        let problem = Problem::new(format!("not a valid YAML config: {}", refusal.message));
        let problem = match refusal.place {
            Some((line, column)) => problem.at(path, line, column),
            None => problem.in_file(path),
        };
        refused(match refusal.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    })?;
    let mut problems = Vec::new();
    for option in &overrides {
        problems.extend(option.apply(&mut value).err());
    }
    let source = Source::new(path, text, overrides);
    let (value, mut found) = shape::check(&schema::strict_schema(), value);
    let has_seed = value.get("random_state").is_some();
    let mut config = match serde_yaml::from_value::<Config>(value) {
        Ok(config) => config,
        // The shape was checked, so that this only tells what the schema does not know.
        Err(error) => {
            problems.push(Problem::new(error.to_string()).in_file(path));
            return Err(all_of(problems, found, &source));
        }
    };
    let warnings = resolve(&mut config, has_seed, &source);
    found.extend(checks::check(&config));
    if problems.is_empty() && found.is_empty() {
        Ok(LoadedConfig {
            config,
            warnings,
            source,
        })
    } else {
        Err(all_of(problems, found, &source))
    }
}

/// The file's text, without a byte order mark.
fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String> {
    if bytes.len() > MAX_BYTES {
        let message = format!("a config has at most {MAX_BYTES} bytes; this file has more");
        return Err(refused(Problem::new(message).in_file(path)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        let (line, column) = yaml::place_of(&before);
        let problem = Problem::new("this byte is not valid UTF-8").at(path, line, column);
        refused(problem.hint("save the file as UTF-8"))
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

fn refused(problem: Problem) -> Error {
    Error::new(ErrorKind::Config, problem)
}

/// Fills in what a default depends on, and says what was decided for the user.
fn resolve(config: &mut Config, has_seed: bool, source: &Source) -> Vec<Problem> {
    let mut warnings = Vec::new();
    if !has_seed {
        let message = format!("`random_state` is not given; using {DEFAULT_RANDOM_STATE}");
        warnings.push(Problem::new(message).in_file(source.path()));
    }
    let training = &mut config.training;
    if training.validation_dataset_path.is_some() && training.validation_size.take().is_some() {
        let message = "`training.validation_size` is ignored, because \
                       `training.validation_dataset_path` is given";
        let problem = KeyProblem::new("training.validation_size", message).with_key();
        warnings.push(source.place(problem));
    }
    if training.curriculum_learning {
        let column = match &training.curriculum_order {
            Some(CurriculumOrder::Column(column)) => Some(column.as_str()),
            Some(CurriculumOrder::Length | CurriculumOrder::Map(_)) => None,
            None => Some(DEFAULT_CURRICULUM_COLUMN),
        };
        let extra = &mut config.data.extra_columns;
        extra.extend(column.map(str::to_owned));
    }
    let options = config.data.option_columns.clone();
    config.data.extra_columns.extend(options);
    if config.metrics.is_empty() {
        config.metrics = MetricConfig::defaults();
    }
    add_slice_columns(config);
    let best = &mut config.training.metric_for_best_model;
    if let Some(name) = best.strip_prefix("eval_") {
        *best = name.to_owned();
    }
    if best != "loss" && !metric_names(&config.metrics).contains(best) {
        config.metrics.push(MetricConfig::with_default_args(best));
    }
    warnings
}

/// Asks for the columns that slices go by; what is wrong with a selector is found later.
fn add_slice_columns(config: &mut Config) {
    let testing = config.testing.iter().flat_map(|testing| &testing.selectors);
    let selectors = config.training.selectors.iter().chain(testing);
    let columns = &mut config.data.extra_columns;
    for selector in selectors.filter_map(|config| SelectorSpec::parse(config, "").ok()) {
        for column in selector.slices().iter().flat_map(Slice::columns) {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
    }
}

/// One error of all problems in the order of the file, those of options last; too many are
/// only counted.
fn all_of(mut problems: Vec<Problem>, mut found: Vec<KeyProblem>, source: &Source) -> Error {
    let n_more = found.len().saturating_sub(MAX_PROBLEMS);
    found.truncate(MAX_PROBLEMS);
    problems.extend(found.into_iter().map(|problem| source.place(problem)));
    problems.sort_by_key(|problem| {
        let location = problem.location.as_ref();
        let line = location.and_then(|l| l.line).unwrap_or(u64::MAX);
        (line, location.and_then(|l| l.column))
    });
    if n_more > 0 {
        problems
            .push(Problem::new(format!("there are {n_more} more problems")).in_file(source.path()));
    }
    Error::all(ErrorKind::Config, problems)
}
