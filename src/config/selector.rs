//! Selectors by name, with typed arguments.

mod arguments;
mod command;
mod regions;
mod rules;
mod slices;
mod under_sampling;

use super::key_path::KeyPath;
use super::nearest::{alternatives, nearest};
use super::source::KeyProblem;
use super::types::SelectorConfig;
use arguments::Arguments;

pub use command::{CommandSpec, Program};
pub use regions::{Fractions, Region, Share};
pub use rules::{End, Rule, RuleShare, RuleShares};
pub use slices::{CellTest, Condition, LengthUnit, OVERALL, Range, Slice, Slicing, SlicingScores};
pub use under_sampling::{SamplingStrategy, UnderSampling};

/// What picks examples of a data set.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectorSpec {
    /// Takes everything.
    Dummy,
    /// Takes a share of each region of the data map.
    DataCartography(Fractions),
    /// Takes fewer examples of the larger classes.
    RandomUnderSampler(UnderSampling),
    /// Names subsets, and takes everything or those in some of them.
    Slicing(Slicing),
    /// Takes what a program prints.
    Command(CommandSpec),
}

const NAMES: [&str; 5] = [
    "dummy",
    "data_cartography",
    "random_under_sampler",
    "slicing",
    "command",
];

impl SelectorSpec {
    /// Reads a selector whose entry stands at the key path `at`.
    ///
    /// # Errors
    /// Everything that is wrong with it: its name, its arguments' names, values and sum.
    pub fn parse(config: &SelectorConfig, at: impl Into<KeyPath>) -> Result<Self, Vec<KeyProblem>> {
        let at = at.into();
        match config.name.replace('-', "_").as_str() {
            "dummy" => no_args(config, &at).map(|()| Self::Dummy),
            "data_cartography" => regions::fractions(config, &at).map(Self::DataCartography),
            "random_under_sampler" => {
                UnderSampling::parse(Arguments::new(config, &at)).map(Self::RandomUnderSampler)
            }
            "slicing" => Slicing::parse(Arguments::new(config, &at)).map(Self::Slicing),
            "command" => CommandSpec::parse(Arguments::new(config, &at)).map(Self::Command),
            _ => Err(vec![KeyProblem::new(
                at.key("name"),
                unknown("selector", &config.name, &NAMES),
            )]),
        }
    }

    /// The named subsets that it describes.
    pub fn slices(&self) -> &[Slice] {
        match self {
            Self::Slicing(slicing) => &slicing.slices,
            _ => &[],
        }
    }

    /// Its name in configs and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dummy => NAMES[0],
            Self::DataCartography(_) => NAMES[1],
            Self::RandomUnderSampler(_) => NAMES[2],
            Self::Slicing(_) => NAMES[3],
            Self::Command(_) => NAMES[4],
        }
    }
}

/// ``unknown selector `dumy`; did you mean `dummy`?``, or else all that there are.
fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("unknown {what} `{name}`; did you mean `{meant}`?"),
        None => format!(
            "unknown {what} `{name}`; expected {}",
            alternatives(known.iter().copied())
        ),
    }
}

fn no_args(config: &SelectorConfig, at: &KeyPath) -> Result<(), Vec<KeyProblem>> {
    let problems: Vec<KeyProblem> = config
        .args
        .keys()
        .map(|key| {
            KeyProblem::new(
                at.key("args").key(key),
                format!("`{}` takes no arguments, but has `{key}`", config.name),
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}
