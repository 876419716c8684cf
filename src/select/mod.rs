//! Selectors: from a data set (and a map) to the subset to train or test on.

mod cartography;
mod command;
mod process;
mod ranking;
mod rules;
mod slices;
mod under_sampling;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use cartography::{Coordinates, Pick, select_regions};
pub use rules::{Candidates, RulePicks, select_by_quotas, select_by_rules};
pub use slices::slice_members;

use crate::config::{CommandSpec, Fractions, SelectorSpec, Slicing, UnderSampling};
use crate::data::{Dataset, ExampleIndex, LabelSpace, Subset};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::MapTable;

/// What selectors picked, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// The examples, in the order of their rows.
    pub subset: Subset,
    /// Examples that were drawn with replacement, once for each time beyond the first, in the
    /// order of their rows.
    pub repeats: Vec<ExampleIndex>,
    /// The examples in the order that the last `command` printed them in; none without one.
    /// Only a curriculum follows it.
    pub order: Option<Vec<ExampleIndex>>,
    /// One per example that a region of the map gave and no later selector dropped, in the
    /// order of picking; empty where nothing picks by the map.
    pub picks: Vec<Pick>,
    /// What each selector did.
    pub steps: Vec<Step>,
    /// The examples that are not taken, in the order of the selectors that dropped them.
    pub dropped: Vec<Dropped>,
    /// The examples whose texts a command changed; the data set has the new ones.
    pub new_texts: Vec<NewText>,
}

/// What one selector did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The selector's name.
    pub name: &'static str,
    /// How many examples it was given.
    pub n_in: usize,
    /// How many it took.
    pub n_out: usize,
    /// How many of these have new texts.
    pub n_new_texts: usize,
    /// How many of which, in one line.
    pub report: String,
}

/// An example that a selector did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its row.
    pub index: ExampleIndex,
    /// The selector's position, from 0.
    pub step: usize,
    /// What is known of the reason.
    pub reason: Arc<str>,
}

/// An example's texts before a command changed one or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewText {
    /// Its row.
    pub index: ExampleIndex,
    /// The selector's position, from 0.
    pub step: usize,
    /// The text that it had.
    pub text_before: String,
    /// The second text that it had.
    pub text_pair_before: Option<String>,
}

/// Whether the programs that a config names are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commands {
    /// They are.
    Run,
    /// They are only said, and so is what comes after one, which depends on it.
    Describe,
}

/// The selectors of a stage and what they go by.
#[derive(Clone, Copy)]
pub struct Chain<'a> {
    /// In the order in which they run.
    pub selectors: &'a [SelectorSpec],
    /// `train` or `test`.
    pub stage: &'a str,
    /// The classes.
    pub labels: &'a LabelSpace,
    /// Decides the random draws of selectors without a seed of their own.
    pub seed: u64,
    /// Whether programs are run.
    pub commands: Commands,
    /// Gives a problem its place: that of the selector at a position, or of the argument in
    /// it that is named.
    pub place: &'a dyn Fn(usize, &str, Problem) -> Problem,
}

/// What a selector took and did, before it is checked and written down.
struct Picked {
    /// Each example as often as it is taken, in row order, or in that of a command.
    indices: Vec<ExampleIndex>,
    report: String,
    reason: Box<dyn Fn(ExampleIndex) -> String>,
}

/// Runs selectors one after the other, each on what the one before it left.
///
/// `map` is asked for at most once, by the first selector that needs a data map. New texts
/// that a command prints replace those of `dataset`.
///
/// # Errors
/// No map, a guid that the map lacks, classes that cannot be balanced as asked, a column that
/// the file lacks, a command that fails, or a selection without a single example.
pub fn run_selectors(
    chain: &Chain<'_>,
    dataset: &mut Dataset,
    start: Subset,
    map: &mut dyn FnMut() -> Result<MapTable>,
) -> Result<Selection> {
    let mut selection = Selection {
        subset: start,
        ..Selection::default()
    };
    let mut known_map = None;
    // How many selectors have drawn random numbers so far.
    let mut n_random = 0;
    for (position, selector) in chain.selectors.iter().enumerate() {
        let subset = &selection.subset;
        let n_in = subset.len();
        let mut n_new_texts = 0;
        let at = Place { chain, position };
        let picked = match selector {
            SelectorSpec::Dummy => everything(subset, format!("dummy: all {n_in} examples")),
            SelectorSpec::DataCartography(fractions) => {
                let coordinates = cartography::coordinates_of(
                    known(&mut known_map, map)?,
                    dataset,
                    subset,
                    chain.stage,
                )?;
                let random = cartography::random_picks(chain.seed, n_random);
                n_random += 1;
                selection.picks = cartography::select_with(fractions, &coordinates, random);
                by_map(fractions, n_in, &selection.picks)
            }
            SelectorSpec::RandomUnderSampler(spec) => {
                n_random += 1;
                under_sample(spec, dataset, subset, &at, n_random - 1)?
            }
            SelectorSpec::Slicing(slicing) => by_slice(slicing, dataset, subset, &at)?,
            SelectorSpec::Command(spec) if chain.commands == Commands::Describe => {
                command::check_program(&spec.program)
                    .map_err(|found| at.error("command", found))?;
                let report = format!(
                    "command: would run `{}` on {n_in} examples; that and what comes after it is left out here",
                    spec.program
                );
                selection.steps.push(Step {
                    name: selector.name(),
                    n_in,
                    n_out: n_in,
                    n_new_texts,
                    report,
                });
                break;
            }
            SelectorSpec::Command(spec) => {
                let signals = spec
                    .signals
                    .then(|| known(&mut known_map, map))
                    .transpose()?;
                let answers = ask(spec, dataset, subset, signals, &at)?;
                let before = selection.new_texts.len();
                let indices = answers.iter().map(|answer| answer.index).collect();
                for answer in answers {
                    selection.new_texts.extend(renew(dataset, answer, position));
                }
                n_new_texts = selection.new_texts.len() - before;
                by_command(spec, n_in, indices, n_new_texts)
            }
        };
        if picked.indices.is_empty() {
            let message = match selector {
                SelectorSpec::DataCartography(_) => {
                    "the selectors leave no example: the fractions are too small for this data set"
                        .to_owned()
                }
                other => format!(
                    "the selectors leave no example: `{}` takes none of {n_in}",
                    other.name()
                ),
            };
            return Err(Error::data(Problem::new(message).in_file(&dataset.path)));
        }
        let report = picked.report.clone();
        selection.take(picked, matches!(selector, SelectorSpec::Command(_)));
        selection.steps.push(Step {
            name: selector.name(),
            n_in,
            n_out: selection.n_draws(),
            n_new_texts,
            report,
        });
    }
    if selection.subset.is_empty() {
        let message = "the selectors leave no example: there was none to begin with";
        return Err(Error::data(Problem::new(message).in_file(&dataset.path)));
    }
    Ok(selection)
}

impl Selection {
    /// The number of examples, each as often as it was drawn.
    pub fn n_draws(&self) -> usize {
        self.subset.len() + self.repeats.len()
    }

    /// The examples in the order of their rows, each as often as it was drawn.
    pub fn draws(&self) -> Vec<ExampleIndex> {
        let mut draws = [self.subset.indices(), &self.repeats].concat();
        draws.sort_unstable();
        draws
    }

    /// Narrows the selection to what a selector picked.
    fn take(&mut self, picked: Picked, is_ordered: bool) {
        let step = self.steps.len();
        let before = std::mem::take(&mut self.subset);
        self.subset = picked.indices.clone().into();
        let taken: HashSet<ExampleIndex> = self.subset.indices().iter().copied().collect();
        let mut reasons: HashMap<String, Arc<str>> = HashMap::new();
        let out = before
            .indices()
            .iter()
            .filter(|index| !taken.contains(index));
        self.dropped.extend(out.map(|&index| {
            let reason = (picked.reason)(index);
            let shared = reasons
                .entry(reason)
                .or_insert_with_key(|text| text.as_str().into());
            Dropped {
                index,
                step,
                reason: Arc::clone(shared),
            }
        }));
        self.picks.retain(|pick| taken.contains(&pick.index));
        if is_ordered {
            self.order = Some(picked.indices);
        } else {
            if let Some(order) = &mut self.order {
                order.retain(|index| taken.contains(index));
            }
            let all = picked.indices.windows(2);
            self.repeats = all.filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        }
    }
}

/// The map, read when it is first needed.
fn known<'a>(
    known: &'a mut Option<MapTable>,
    map: &mut dyn FnMut() -> Result<MapTable>,
) -> Result<&'a MapTable> {
    match known {
        Some(known) => Ok(known),
        None => Ok(known.insert(map()?)),
    }
}

/// Where a selector stands.
struct Place<'a> {
    chain: &'a Chain<'a>,
    position: usize,
}

impl Place<'_> {
    /// The error of what was found wrong with an argument.
    fn error(&self, argument: &str, (kind, problem): (ErrorKind, Problem)) -> Error {
        Error::new(kind, (self.chain.place)(self.position, argument, problem))
    }
}

fn everything(subset: &Subset, report: String) -> Picked {
    Picked {
        indices: subset.indices().to_vec(),
        report,
        reason: Box::new(|_| String::new()),
    }
}

fn by_map(fractions: &Fractions, n_in: usize, picks: &[Pick]) -> Picked {
    let mut indices: Vec<ExampleIndex> = picks.iter().map(|pick| pick.index).collect();
    indices.sort_unstable();
    Picked {
        indices,
        report: cartography::describe(fractions, n_in, picks),
        reason: Box::new(|_| "in no region's share".to_owned()),
    }
}

fn under_sample(
    spec: &UnderSampling,
    dataset: &Dataset,
    subset: &Subset,
    at: &Place<'_>,
    position: usize,
) -> Result<Picked> {
    let labels = at.chain.labels;
    let draw = under_sampling::draw(spec, dataset, subset, labels, at.chain.seed, position)
        .map_err(|problem| at.error("sampling_strategy", (ErrorKind::Config, problem)))?;
    let reasons: Vec<String> = (0..labels.len() as u32)
        .map(|class| draw.reason(class, labels))
        .collect();
    let classes = dataset.labels();
    Ok(Picked {
        report: draw.describe(labels),
        indices: draw.indices,
        reason: Box::new(move |index| reasons[classes[index as usize] as usize].clone()),
    })
}

fn by_slice(
    slicing: &Slicing,
    dataset: &Dataset,
    subset: &Subset,
    at: &Place<'_>,
) -> Result<Picked> {
    let mut is_kept = vec![slicing.keep.is_none(); subset.len()];
    let mut counts = Vec::new();
    for slice in &slicing.slices {
        let members = slice_members(slice, dataset, subset.indices()).map_err(|column| {
            let message = format!(
                "the slice `{}` goes by the column `{column}`, which `{}` does not have",
                slice.name,
                dataset.path.display()
            );
            let hint = "columns have names where the first row is a header (`data.has_header`); in a file without one give the position, counted from 0";
            at.error("slices", (ErrorKind::Config, Problem::new(message).hint(hint)))
        })?;
        let n = members.iter().filter(|is| **is).count();
        counts.push(format!("{} {n}", slice.name));
        if slicing
            .keep
            .as_ref()
            .is_some_and(|keep| keep.contains(&slice.name))
        {
            for (is_kept, is_member) in is_kept.iter_mut().zip(members) {
                *is_kept |= is_member;
            }
        }
    }
    let rows = subset.indices().iter().zip(is_kept);
    let indices: Vec<ExampleIndex> = rows
        .filter(|(_, is)| *is)
        .map(|(index, _)| *index)
        .collect();
    let reason = format!(
        "in none of the slices {}",
        slicing
            .keep
            .iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(Picked {
        report: format!(
            "slicing: {} of {} examples; {}",
            indices.len(),
            subset.len(),
            counts.join(", ")
        ),
        indices,
        reason: Box::new(move |_| reason.clone()),
    })
}

fn ask(
    spec: &CommandSpec,
    dataset: &Dataset,
    subset: &Subset,
    map: Option<&MapTable>,
    at: &Place<'_>,
) -> Result<Vec<command::Answer>> {
    let signals = map.map(|map| {
        Ok::<_, Error>((
            map,
            cartography::map_rows(map, dataset, subset, at.chain.stage)?,
        ))
    });
    let feed = command::Feed {
        dataset,
        subset,
        stage: at.chain.stage,
        labels: at.chain.labels,
        signals: signals.transpose()?,
    };
    command::ask(spec, &feed).map_err(|found| at.error("command", found))
}

fn by_command(
    spec: &CommandSpec,
    n_in: usize,
    indices: Vec<ExampleIndex>,
    n_new_texts: usize,
) -> Picked {
    let new_texts = if n_new_texts > 0 {
        format!(", {n_new_texts} with new texts")
    } else {
        String::new()
    };
    Picked {
        report: format!(
            "command: {} of {n_in} examples by `{}`{new_texts}",
            indices.len(),
            spec.program
        ),
        indices,
        reason: Box::new(|_| "not printed by the command".to_owned()),
    }
}

/// Puts an answer's texts into the data set; what was there before, if it has any.
fn renew(dataset: &mut Dataset, answer: command::Answer, step: usize) -> Option<NewText> {
    let command::Answer {
        index,
        text,
        text_pair,
    } = answer;
    if text.is_none() && text_pair.is_none() {
        return None;
    }
    let example = &mut dataset.examples[index as usize];
    let before = NewText {
        index,
        step,
        text_before: example.text.clone(),
        text_pair_before: example.text_pair.clone(),
    };
    if let Some(text) = text {
        example.text = text;
    }
    if text_pair.is_some() {
        example.text_pair = text_pair;
    }
    Some(before)
}
