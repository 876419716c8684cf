//! The arguments of a config's metrics, read and checked one by one.

use serde_json::{Map, Value};

use super::{
    Average, KappaWeights, Label, MetricProblem, MultiClass, Normalize, PrecisionRecallArguments,
    ZeroDivision, did_you_mean,
};

type Result<T> = std::result::Result<T, MetricProblem>;

/// Arguments of scikit-learn's that have no meaning here, and why.
const MEANINGLESS: [(&str, &str); 6] = [
    (
        "sample_weight",
        "all examples of a stage count alike; use a selector to leave some out",
    ),
    (
        "samplewise",
        "it is for examples with several labels, which are not supported",
    ),
    ("target_names", "the classes go by the labels of the data"),
    ("digits", "the report is written in full precision"),
    ("warn_for", "every score that is not defined is warned of"),
    (
        "labels",
        "the probabilities are always those of all the model's classes",
    ),
];

/// The arguments of one metric, none of them unknown.
pub(super) struct Arguments<'a> {
    name: &'a str,
    args: &'a Map<String, Value>,
}

impl<'a> Arguments<'a> {
    /// The arguments `args` of the metric `name`; refuses any that is not `allowed`.
    pub(super) fn take(
        name: &'a str,
        args: &'a Map<String, Value>,
        allowed: &[&str],
    ) -> Result<Self> {
        let Some(other) = args.keys().find(|key| !allowed.contains(&key.as_str())) else {
            return Ok(Self { name, args });
        };
        let message = if allowed.is_empty() {
            format!("`{name}` takes no arguments, got `{other}`")
        } else {
            format!(
                "`{name}` has no argument `{other}`; allowed: {}",
                allowed.join(", ")
            )
        };
        let mut problem = MetricProblem::new(other, message);
        problem.hint = match MEANINGLESS.iter().find(|(argument, _)| argument == other) {
            Some((_, why)) => Some(format!("leave it out: {why}")),
            None => did_you_mean(other, allowed),
        };
        Err(problem)
    }

    /// A value that is given; null is one.
    fn get(&self, argument: &str) -> Option<&'a Value> {
        self.args.get(argument)
    }

    pub(super) fn boolean(&self, argument: &str, default: bool) -> Result<bool> {
        match self.get(argument) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(not_allowed(argument, other, "true, false")),
        }
    }

    pub(super) fn at_least_one(&self, argument: &str, default: usize) -> Result<usize> {
        let Some(value) = self.get(argument) else {
            return Ok(default);
        };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        number
            .filter(|&n| n >= 1)
            .ok_or_else(|| not_allowed(argument, value, "a whole number of at least 1"))
    }

    /// What precision, recall and their kin share.
    pub(super) fn set_wise(&self, default: Average) -> Result<PrecisionRecallArguments> {
        Ok(PrecisionRecallArguments {
            average: self.average(default, true)?,
            pos_label: self.pos_label()?,
            labels: self.labels()?,
            zero_division: self.zero_division()?,
        })
    }

    /// The average of what is a number of one class's curve.
    pub(super) fn average_of_curves(&self) -> Result<Average> {
        self.average(Average::Macro, false)
    }

    fn average(&self, default: Average, has_binary: bool) -> Result<Average> {
        let Some(value) = self.get("average") else {
            return Ok(default);
        };
        let allowed = if has_binary {
            "binary, micro, macro, weighted, null"
        } else {
            "micro, macro, weighted, null"
        };
        match value {
            Value::Null => Ok(Average::PerClass),
            Value::String(word) => match word.as_str() {
                "binary" if has_binary => Ok(Average::Binary),
                "micro" => Ok(Average::Micro),
                "macro" => Ok(Average::Macro),
                "weighted" => Ok(Average::Weighted),
                "samples" => Err(not_allowed("average", value, allowed).hint(
                    "`samples` is for examples with several labels, which are not supported",
                )),
                _ => Err(not_allowed("average", value, allowed)),
            },
            other => Err(not_allowed("average", other, allowed)),
        }
    }

    /// `beta`; without a default it must be given.
    pub(super) fn beta(&self, default: Option<f64>) -> Result<f64> {
        let allowed = "a number of at least 0, inf";
        match (self.get("beta"), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => {
                let message = format!("`{}` needs the argument `beta`: {allowed}", self.name);
                Err(MetricProblem {
                    argument: None,
                    message,
                    hint: Some("above 1 recall counts more, below 1 precision does".to_owned()),
                })
            }
            (Some(Value::String(word)), _) if word == "inf" => Ok(f64::INFINITY),
            (Some(value), _) => value
                .as_f64()
                .filter(|&beta| beta >= 0.0)
                .ok_or_else(|| not_allowed("beta", value, allowed)),
        }
    }

    pub(super) fn normalize_by(&self) -> Result<Normalize> {
        match self.get("normalize") {
            None | Some(Value::Null) => Ok(Normalize::None),
            // An unquoted `true` is a boolean in YAML; here it can only mean the word.
            Some(Value::Bool(true)) => Ok(Normalize::True),
            Some(Value::String(word)) if word == "true" => Ok(Normalize::True),
            Some(Value::String(word)) if word == "pred" => Ok(Normalize::Pred),
            Some(Value::String(word)) if word == "all" => Ok(Normalize::All),
            Some(other) => Err(not_allowed("normalize", other, "true, pred, all, null")),
        }
    }

    pub(super) fn zero_division(&self) -> Result<ZeroDivision> {
        match self.get("zero_division") {
            None => Ok(ZeroDivision::Warn),
            Some(value) if is_nan(value) => Ok(ZeroDivision::Nan),
            Some(Value::String(word)) if word == "warn" => Ok(ZeroDivision::Warn),
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(ZeroDivision::Zero),
            Some(Value::Number(number)) if number.as_f64() == Some(1.0) => Ok(ZeroDivision::One),
            Some(other) => Err(not_allowed("zero_division", other, "0, 1, warn, nan")),
        }
    }

    /// scikit-learn has no such value for the Jaccard score.
    pub(super) fn refuse_nan_for_zero_division(&self) -> Result<()> {
        match self.get("zero_division") {
            Some(value) if is_nan(value) => Err(not_allowed("zero_division", value, "0, 1, warn")),
            _ => Ok(()),
        }
    }

    pub(super) fn pos_label(&self) -> Result<Label> {
        match self.get("pos_label") {
            None => Ok(Label::Integer(1)),
            Some(value) => label("pos_label", value),
        }
    }

    pub(super) fn optional_pos_label(&self) -> Result<Option<Label>> {
        match self.get("pos_label") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => label("pos_label", value).map(Some),
        }
    }

    pub(super) fn labels(&self) -> Result<Option<Vec<Label>>> {
        match self.get("labels") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) if !values.is_empty() => values
                .iter()
                .map(|value| label("labels", value))
                .collect::<Result<Vec<_>>>()
                .map(Some),
            Some(other) => Err(not_allowed(
                "labels",
                other,
                "a list of at least one label, null",
            )),
        }
    }

    pub(super) fn scale_by_half(&self) -> Result<Option<bool>> {
        match self.get("scale_by_half") {
            None => Ok(None),
            Some(Value::String(word)) if word == "auto" => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(not_allowed("scale_by_half", other, "auto, true, false")),
        }
    }

    pub(super) fn kappa_weights(&self) -> Result<KappaWeights> {
        match self.get("weights") {
            None | Some(Value::Null) => Ok(KappaWeights::None),
            Some(Value::String(word)) if word == "linear" => Ok(KappaWeights::Linear),
            Some(Value::String(word)) if word == "quadratic" => Ok(KappaWeights::Quadratic),
            Some(other) => Err(not_allowed("weights", other, "linear, quadratic, null")),
        }
    }

    pub(super) fn kappa_replacement(&self) -> Result<Option<f64>> {
        match self.get(UNDEFINED) {
            None => Ok(None),
            Some(value) => replacement(value, -1.0, 1.0)
                .map(unless_nan)
                .ok_or_else(|| not_allowed(UNDEFINED, value, "a number from -1 to 1, nan")),
        }
    }

    /// The positive and the negative ratio where the formula divides by zero.
    pub(super) fn likelihood_ratios(&self) -> Result<[Option<f64>; 2]> {
        let Some(value) = self.get(UNDEFINED) else {
            return Ok([None; 2]);
        };
        let refused = || {
            let allowed = "1, nan, or {LR+: from 1, LR-: from 0 to 1}, each also nan";
            not_allowed(UNDEFINED, value, allowed)
        };
        let ratios = match value {
            value if is_nan(value) => Some([None; 2]),
            Value::Number(number) if number.as_f64() == Some(1.0) => Some([Some(1.0); 2]),
            Value::Object(ratios) if ratios.len() == 2 => {
                let ratio = |key, least, most| replacement(ratios.get(key)?, least, most);
                ratio("LR+", 1.0, f64::INFINITY)
                    .zip(ratio("LR-", 0.0, 1.0))
                    .map(|(positive, negative)| [unless_nan(positive), unless_nan(negative)])
            }
            _ => None,
        };
        ratios.ok_or_else(refused)
    }

    pub(super) fn multi_class(&self) -> Result<MultiClass> {
        match self.get("multi_class") {
            None => Ok(MultiClass::Raise),
            Some(Value::String(word)) if word == "raise" => Ok(MultiClass::Raise),
            Some(Value::String(word)) if word == "ovr" => Ok(MultiClass::OneVsRest),
            Some(Value::String(word)) if word == "ovo" => Ok(MultiClass::OneVsOne),
            Some(other) => Err(not_allowed("multi_class", other, "ovr, ovo, raise")),
        }
    }

    pub(super) fn max_fpr(&self) -> Result<Option<f64>> {
        match self.get("max_fpr") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(rate) if rate > 0.0 && rate <= 1.0 => Ok(Some(rate)),
                _ => Err(not_allowed(
                    "max_fpr",
                    value,
                    "a number above 0 and at most 1, null",
                )),
            },
        }
    }

    /// The report is a structure, never a text.
    pub(super) fn structure_only(&self) -> Result<()> {
        match self.get("output_dict") {
            None | Some(Value::Bool(true)) => Ok(()),
            Some(other) => Err(not_allowed("output_dict", other, "true")),
        }
    }

    pub(super) fn l1_norm_only(&self) -> Result<()> {
        match self.get("norm") {
            None => Ok(()),
            Some(Value::String(word)) if word == "l1" => Ok(()),
            Some(other) => Err(not_allowed("norm", other, "l1")),
        }
    }
}

const UNDEFINED: &str = "replace_undefined_by";

/// JSON's data model has no such number, so that YAML's `.nan` arrives as null.
fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Null) || value == "nan"
}

/// A number in a range, or NaN; none for anything else.
fn replacement(value: &Value, least: f64, most: f64) -> Option<f64> {
    let number = match value {
        value if is_nan(value) => return Some(f64::NAN),
        Value::String(word) if word == "inf" => f64::INFINITY,
        value => value.as_f64()?,
    };
    (least..=most).contains(&number).then_some(number)
}

fn unless_nan(number: f64) -> Option<f64> {
    Some(number).filter(|number| !number.is_nan())
}

fn label(argument: &str, value: &Value) -> Result<Label> {
    let label = match value {
        Value::String(name) => Some(Label::Name(name.clone())),
        Value::Number(number) => number.as_i64().map(Label::Integer),
        _ => None,
    };
    label.ok_or_else(|| {
        let message = format!(
            "`{argument}` names a label `{}`; allowed: a label's name, an integer",
            shown(value)
        );
        MetricProblem::new(argument, message)
            .hint("put quotes around a name that YAML reads as something else")
    })
}

fn not_allowed(argument: &str, value: &Value, allowed: &str) -> MetricProblem {
    MetricProblem::new(
        argument,
        format!("`{argument}` is `{}`; allowed: {allowed}", shown(value)),
    )
}

/// A value as its writer knows it: text without JSON's quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl MetricProblem {
    fn new(argument: &str, message: String) -> Self {
        Self {
            argument: Some(argument.to_owned()),
            message,
            hint: None,
        }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}
