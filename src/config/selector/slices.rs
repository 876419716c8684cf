//! The arguments of `slicing`, and of the metric `slicing_scores` that goes with it.

use regex::Regex;
use serde_json::Value;

use super::arguments::{Arguments, shown, text, texts};
use crate::config::key_path::KeyPath;
use crate::config::nearest::alternatives;
use crate::config::source::KeyProblem;
use crate::config::types::MetricConfig;

/// Named subsets.
#[derive(Debug, Clone, PartialEq)]
pub struct Slicing {
    /// At least one; no two have the same name.
    pub slices: Vec<Slice>,
    /// The slices whose examples are taken; none: all examples are.
    pub keep: Option<Vec<String>>,
}

/// A named subset: the examples for which all conditions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Its name in reports.
    pub name: String,
    /// At least one.
    pub conditions: Vec<Condition>,
}

/// What an example of a slice is like.
#[derive(Debug, Clone)]
pub enum Condition {
    /// The length of its text, of both texts together for a pair.
    Length {
        /// What is counted.
        unit: LengthUnit,
        /// The allowed counts.
        range: Range,
    },
    /// Its text, or one of its two, has a match of this.
    Pattern(Regex),
    /// The cell in a column of its file.
    Column {
        /// The column's name, or its position (from 0) in a file without a header.
        column: String,
        /// What the cell must be.
        test: CellTest,
    },
}

/// What a text's length is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthUnit {
    /// What lies between blanks.
    Words,
    /// Unicode's characters (code points).
    Characters,
}

/// Numbers from `min` to `max`, both included; an end without a number is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

/// What a column's cell must be.
#[derive(Debug, Clone, PartialEq)]
pub enum CellTest {
    /// One of these texts; numbers are compared as numbers.
    OneOf(Vec<String>),
    /// A number in the range.
    Within(Range),
}

/// What is measured on each slice, where the metric `slicing_scores` says it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicingScores {
    /// The names that the scores go by, and the metrics.
    pub metrics: Vec<(String, MetricConfig)>,
}

impl Slice {
    /// The columns that its conditions need.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        self.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Column { column, .. } => Some(column),
                _ => None,
            })
    }
}

impl Range {
    /// Whether `x` is in it.
    pub fn contains(&self, x: f64) -> bool {
        self.min.is_none_or(|min| x >= min) && self.max.is_none_or(|max| x <= max)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Length { unit, range },
                Self::Length {
                    unit: other_unit,
                    range: other_range,
                },
            ) => unit == other_unit && range == other_range,
            (Self::Pattern(pattern), Self::Pattern(other)) => pattern.as_str() == other.as_str(),
            (
                Self::Column { column, test },
                Self::Column {
                    column: other_column,
                    test: other_test,
                },
            ) => column == other_column && test == other_test,
            _ => false,
        }
    }
}

/// The name that the whole stage has among the slices.
pub const OVERALL: &str = "overall";

/// The slices that the Python enginora has by name.
const PYTHON_SLICES: [&str; 2] = ["short", "long"];

impl Slicing {
    pub(super) fn parse(mut arguments: Arguments<'_>) -> Result<Self, Vec<KeyProblem>> {
        // Where the Python project writes a NumPy array for its own metric.
        let _ = arguments.take("result_file", "text", text);
        let mut slices = Vec::new();
        let has_own = arguments.value("slices").is_some();
        match arguments.value("list_of_slicing_functions") {
            None if has_own => {}
            None => slices.extend(PYTHON_SLICES.map(python_slice)),
            Some((here, names)) => python_slices(&here, names, &mut slices, &mut arguments),
        }
        match arguments.value("slices") {
            None => {}
            Some((here, Value::Object(given))) if !given.is_empty() => {
                for (name, conditions) in given {
                    let slice = own_slice(name, conditions, here.key(name));
                    let slice = arguments.keep(slice);
                    if slices.iter().any(|other| other.name == *name) {
                        let message = format!("there are two slices `{name}`");
                        arguments.push(KeyProblem::new(here.key(name), message));
                    }
                    slices.extend(slice);
                }
            }
            Some((here, other)) => {
                let message = format!(
                    "`{here}` is {}; expected a mapping of names to conditions",
                    shown(other)
                );
                arguments.push(KeyProblem::new(here, message));
            }
        }
        let keep = arguments.take("keep", "a list of names of slices", texts);
        if let (Some(names), Some((here, _))) = (&keep, arguments.value("keep")) {
            for (i, name) in names.iter().enumerate() {
                // A slice that is wrong was reported already.
                let is_given = |(_, given): (KeyPath, &Value)| given.get(name).is_some();
                if slices.iter().all(|slice| slice.name != *name)
                    && !arguments.value("slices").is_some_and(is_given)
                {
                    let mut message = format!("there is no slice `{name}`");
                    if !slices.is_empty() {
                        let known = slices.iter().map(|slice| slice.name.as_str());
                        message = format!("{message}; expected {}", alternatives(known));
                    }
                    arguments.push(KeyProblem::new(here.item(i), message));
                }
            }
        }
        arguments.finish(Some(Self { slices, keep }))
    }
}

/// The Python project's slices: texts of fewer than 60 words, and of more than 100.
fn python_slice(name: &str) -> Slice {
    let range = match name {
        "short" => Range {
            min: None,
            max: Some(59.0),
        },
        _ => Range {
            min: Some(101.0),
            max: None,
        },
    };
    Slice {
        name: name.to_owned(),
        conditions: vec![Condition::Length {
            unit: LengthUnit::Words,
            range,
        }],
    }
}

fn python_slices(
    here: &KeyPath,
    names: &Value,
    slices: &mut Vec<Slice>,
    arguments: &mut Arguments<'_>,
) {
    let known = "`short` (fewer than 60 words) and `long` (more than 100)";
    let Some(names) = names.as_array().filter(|names| !names.is_empty()) else {
        let message = format!("`{here}` is {}; expected a list of {known}", shown(names));
        arguments.push(KeyProblem::new(here, message));
        return;
    };
    for (i, name) in names.iter().enumerate() {
        match name.as_str().filter(|name| PYTHON_SLICES.contains(name)) {
            Some(name) if slices.iter().all(|slice| slice.name != name) => {
                slices.push(python_slice(name));
            }
            Some(_) => {}
            None => {
                let message = format!("no slicing function {}; there are {known}", shown(name));
                let hint = "describe a slice of your own under `slices`";
                arguments.push(KeyProblem::new(here.item(i), message).hint(hint));
            }
        }
    }
}

/// One entry of `slices`.
fn own_slice(name: &str, given: &Value, here: KeyPath) -> Result<Slice, Vec<KeyProblem>> {
    let Value::Object(given) = given else {
        let message = format!("`{here}` is {}; expected conditions", shown(given));
        let hint =
            "as in `{words: {max: 20}}`, `{pattern: \"not\"}` or `{column: source, equals: web}`";
        return Err(vec![KeyProblem::new(here, message).hint(hint)]);
    };
    let mut arguments = Arguments::of(given, here);
    if name.is_empty() || name == OVERALL {
        let at = arguments.at().clone();
        let message = format!("a slice cannot be called `{name}`, which is the whole stage");
        arguments.push(KeyProblem::new(at, message).with_key());
    }
    let mut conditions = Vec::new();
    for (key, unit) in [
        ("words", LengthUnit::Words),
        ("characters", LengthUnit::Characters),
    ] {
        let Some((here, given)) = arguments.value(key) else {
            continue;
        };
        let range = match given {
            Value::Object(given) => {
                let mut ends = Arguments::of(given, here);
                let range = range(&mut ends);
                arguments.keep(ends.finish(range))
            }
            other => {
                let message = format!(
                    "`{here}` is {}; expected `min`, `max` or both, as in `{{max: 20}}`",
                    shown(other)
                );
                arguments.push(KeyProblem::new(here, message));
                None
            }
        };
        conditions.extend(range.map(|range| Condition::Length { unit, range }));
    }
    if let Some((here, given)) = arguments.value("pattern") {
        match text(given).map(|pattern| Regex::new(&pattern)) {
            Some(Ok(pattern)) => conditions.push(Condition::Pattern(pattern)),
            Some(Err(error)) => {
                // The library's message spans lines, the last of which says what is wrong.
                let said = error.to_string();
                let said = said.lines().last().unwrap_or_default();
                let said = said.trim_start_matches("error: ").to_owned();
                let message = format!("`{here}` is no regular expression: {said}");
                arguments.push(KeyProblem::new(here, message));
            }
            None => {
                let message = format!("`{here}` is {}; expected a text", shown(given));
                arguments.push(KeyProblem::new(here, message));
            }
        }
    }
    conditions.extend(column_condition(&mut arguments));
    let at = arguments.at().clone();
    let slice = Slice {
        name: name.to_owned(),
        conditions,
    };
    match arguments.finish(Some(slice)) {
        Ok(slice) if slice.conditions.is_empty() => {
            let message = format!("the slice `{name}` has no condition");
            let hint = "give it `words`, `characters`, `pattern` or `column`";
            Err(vec![KeyProblem::new(at, message).hint(hint)])
        }
        slice => slice,
    }
}

/// `column` with `equals`, `in`, or `min` and `max`.
fn column_condition(arguments: &mut Arguments<'_>) -> Option<Condition> {
    let column = arguments.take("column", "a column's name or position", cell);
    let equals = arguments.take("equals", "a text, a number, `true` or `false`", cell);
    let one_of = arguments.take("in", "a list of texts and numbers", |value| {
        let cells = value.as_array()?.iter().map(cell);
        cells.collect::<Option<Vec<String>>>()
    });
    let given = ["equals", "in", "min", "max"].map(|name| arguments.value(name).is_some());
    let has_column = arguments.value("column").is_some();
    let range = (given[2] || given[3]).then(|| range(arguments));
    if given.contains(&true) == has_column
        && [given[0], given[1], given[2] || given[3]]
            .iter()
            .filter(|is| **is)
            .count()
            <= 1
    {
        let tests = [
            equals.map(|cell| CellTest::OneOf(vec![cell])),
            one_of.map(CellTest::OneOf),
            range.flatten().map(CellTest::Within),
        ];
        let test = tests.into_iter().flatten().next()?;
        return Some(Condition::Column {
            column: column?,
            test,
        });
    }
    let at = arguments.at().clone();
    let message = format!(
        "`{at}`: `column` comes with one of `equals`, `in`, or `min` and `max`, and they with it"
    );
    arguments.push(KeyProblem::new(at, message));
    None
}

/// `min` and `max`, at least one of them and in this order.
fn range(arguments: &mut Arguments<'_>) -> Option<Range> {
    let at = arguments.at().clone();
    let is_given = ["min", "max"].map(|name| arguments.value(name).is_some());
    let [min, max] = ["min", "max"].map(|name| arguments.take(name, "a number", Value::as_f64));
    let message = match (min, max) {
        (None, None) if is_given == [false, false] => format!("`{at}` has neither `min` nor `max`"),
        (Some(min), Some(max)) if min > max => {
            format!("`{at}`: `min` is {min}, which is above `max`, {max}")
        }
        _ => return Some(Range { min, max }),
    };
    arguments.push(KeyProblem::new(at, message));
    None
}

/// A scalar as a file's cell would have it.
fn cell(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

impl SlicingScores {
    /// The metric's name in a config.
    pub const NAME: &str = "slicing_scores";

    /// Reads the metric's arguments; `at` is its key path. The metrics are Snorkel's names, as
    /// in the Python project, or scikit-learn's; none given: the accuracy.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse(config: &MetricConfig, at: &KeyPath) -> Result<Self, Vec<KeyProblem>> {
        let mut arguments = Arguments::of(&config.args, at.key("args"));
        // Where the Python project keeps what its selector leaves for its metric.
        for name in ["slice_file", "base_directory", "default_file_name"] {
            let _ = arguments.take(name, "text", text);
        }
        let names = arguments.take("metrics", "a list of metrics' names", texts);
        let names = names.unwrap_or_else(|| vec!["accuracy".to_owned()]);
        let metrics = names.into_iter().map(|name| {
            let metric = snorkel_metric(&name);
            (name, metric)
        });
        let metrics = metrics.collect();
        arguments.finish(Some(Self { metrics }))
    }
}

/// The metric that Snorkel's `Scorer` has under a name; any other is scikit-learn's own.
fn snorkel_metric(name: &str) -> MetricConfig {
    let (metric, average) = match name {
        "accuracy" => ("accuracy_score", None),
        "f1" => ("f1_score", Some("binary")),
        "f1_macro" => ("f1_score", Some("macro")),
        "f1_micro" => ("f1_score", Some("micro")),
        "precision" => ("precision_score", Some("binary")),
        "recall" => ("recall_score", Some("binary")),
        "roc_auc" => ("roc_auc_score", None),
        other => return MetricConfig::with_default_args(other),
    };
    let mut config = MetricConfig {
        name: metric.to_owned(),
        ..MetricConfig::default()
    };
    if let Some(average) = average {
        config.args.insert("average".to_owned(), average.into());
    }
    config
}
