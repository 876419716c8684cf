//! The arguments of `random_under_sampler`: those of imbalanced-learn's `RandomUnderSampler`
//! (version 0.14.0), with its defaults.

use serde_json::Value;

use super::arguments::{Arguments, shown};
use crate::config::source::KeyProblem;

/// How many examples of each class are kept, and how they are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct UnderSampling {
    /// How many of which class.
    pub strategy: SamplingStrategy,
    /// Whether an example may be drawn more than once.
    pub replacement: bool,
    /// The seed of the draws; none: the run's.
    pub random_state: Option<u64>,
}

/// How many examples of each class are kept. The smallest class is the first one of the fewest
/// examples, the largest the first one of the most.
#[derive(Debug, Clone, PartialEq)]
pub enum SamplingStrategy {
    /// Of the largest class as many as the smallest has (`majority`).
    Majority,
    /// Of every class but the smallest as many as that has (`not minority`, `auto`).
    NotMinority,
    /// Of every class but the largest as many as the smallest has (`not majority`).
    NotMajority,
    /// Of every class as many as the smallest has (`all`).
    All,
    /// Of the larger of two classes the size of the smaller one divided by this, which is in
    /// (0, 1], rounded down.
    Ratio(f64),
    /// Of each named class so many, of the others all.
    Counts(Vec<(String, usize)>),
}

impl UnderSampling {
    pub(super) fn parse(mut arguments: Arguments<'_>) -> Result<Self, Vec<KeyProblem>> {
        let strategy = match arguments.value("sampling_strategy") {
            None => Some(SamplingStrategy::NotMinority),
            Some((here, Value::Object(counts))) => {
                let mut found = Vec::new();
                for (class, count) in counts {
                    if let Some(count) = count.as_u64() {
                        found.push((class.clone(), count as usize));
                        continue;
                    }
                    let here = here.key(class);
                    let count = shown(count);
                    let message =
                        format!("`{here}` is {count}; expected a whole number, at least 0");
                    arguments.push(KeyProblem::new(here, message));
                }
                Some(SamplingStrategy::Counts(found))
            }
            Some(_) => arguments.take(
                "sampling_strategy",
                "`auto`, `majority`, `not minority`, `not majority`, `all`, a number above 0 \
                 and at most 1, or a mapping of classes to counts",
                named_or_ratio,
            ),
        };
        let replacement = arguments.take("replacement", "`true` or `false`", Value::as_bool);
        let random_state =
            arguments.take("random_state", "a whole number, at least 0", Value::as_u64);
        arguments.finish(strategy.map(|strategy| Self {
            strategy,
            replacement: replacement.unwrap_or(false),
            random_state,
        }))
    }
}

fn named_or_ratio(value: &Value) -> Option<SamplingStrategy> {
    match value {
        Value::String(name) => match name.as_str() {
            "majority" => Some(SamplingStrategy::Majority),
            "not minority" | "auto" => Some(SamplingStrategy::NotMinority),
            "not majority" => Some(SamplingStrategy::NotMajority),
            "all" => Some(SamplingStrategy::All),
            _ => None,
        },
        Value::Number(number) => {
            let ratio = number.as_f64()?;
            (ratio > 0.0 && ratio <= 1.0).then_some(SamplingStrategy::Ratio(ratio))
        }
        _ => None,
    }
}
