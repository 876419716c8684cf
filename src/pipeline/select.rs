//! `select`: a subset of a data set, from a map alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::config::{DataConfig, Fraction, RuleShare, RuleShares, by_nearness};
use crate::data::{Column, DataFiles, LabelSpace, RawRows, Table};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::map::MapFile;
use crate::pipeline::find_map::{config_beside, find_map};
use crate::select::{Candidates, RulePicks, select_by_rules};

/// What the command needs of the command line.
#[derive(Debug, Clone)]
pub struct SelectOptions {
    /// A map's table, or a run's or an output folder.
    pub map: PathBuf,
    /// What to pick, and how much of it.
    pub shares: Vec<RuleShare>,
    /// Whether each class is picked from by itself.
    pub per_class: bool,
    /// The least share of easy-to-learn examples among the picks.
    pub min_easy: Fraction,
    /// Decides the random picks.
    pub seed: u64,
    /// Guids that are left out.
    pub drop: Option<PathBuf>,
    /// The data files, or globs, whose rows are written; none: the guids are.
    pub data: Vec<PathBuf>,
    /// The data file's id column, where its name does not say so.
    pub id_column: Option<String>,
    /// Where every pick's rule, rank and score go beside the output.
    pub provenance: Option<PathBuf>,
    /// Where the selection goes.
    pub output: PathBuf,
}

/// Picks examples by a map and writes their guids, or the rows of their data file.
///
/// # Errors
/// Fractions that do not add up; a map, drop list or data file that cannot be read, lacks a
/// column or an example; an output that is an input, or of a format that it cannot have.
pub fn run_select(options: &SelectOptions) -> Result<()> {
    let usage = |message: String| Error::new(ErrorKind::Usage, Problem::new(message));
    let shares = RuleShares::new(options.shares.clone()).map_err(usage)?;
    let map = find_map(&options.map)?;
    let data = match &options.data[..] {
        [] => None,
        names => Some(DataFiles::find(Path::new(""), names)?),
    };
    check_outputs(options, &map, data.as_ref())?;
    let examples = Examples::read(&map, &shares, options)?;
    let picked = select_by_rules(
        &shares,
        options.min_easy,
        &examples.candidates,
        options.seed,
    );
    let n: usize = picked.iter().map(|by_rule| by_rule.picks.len()).sum();
    if n == 0 {
        let message = match examples.guids.len() {
            0 => "there is no example to pick from".to_owned(),
            left => format!(
                "the rules pick no example: the fractions are too small for {left} examples"
            ),
        };
        return Err(Error::data(Problem::new(message).in_file(&map)));
    }
    say(&picked, &shares, options.min_easy, &examples);

    match &data {
        Some(data) => write_rows(data, &examples.guids_of(&picked), options)?,
        None if is_list(&options.output) => {
            write_list(&examples.guids_of(&picked), &options.output)?;
        }
        None => provenance(&picked, &examples).write(&options.output)?,
    }
    if let Some(path) = &options.provenance {
        provenance(&picked, &examples).write(path)?;
        tracing::info!(
            "the rule, rank and score of every pick are in {}",
            path.display()
        );
    }
    tracing::info!("{n} examples are in {}", options.output.display());
    Ok(())
}

/// Whether every output can be written and is no input, before anything is computed.
fn check_outputs(options: &SelectOptions, map: &Path, data: Option<&DataFiles>) -> Result<()> {
    let data_paths = data.map_or(&[][..], DataFiles::paths);
    match data_paths {
        [data, ..] => RawRows::check_output(data, &options.output)?,
        [] if is_list(&options.output) => {}
        [] => Table::check_format(&options.output).map_err(|error| {
            error.with_hint("`.txt` gets the guids one a line; with `--data` the output has the extension of the data file")
        })?,
    }
    if let Some(provenance) = &options.provenance {
        Table::check_format(provenance)?;
    }
    let data_paths = data_paths.iter().map(PathBuf::as_path);
    let inputs = [Some(map), options.drop.as_deref()].into_iter().flatten();
    let inputs: Vec<&Path> = inputs.chain(data_paths).collect();
    let outputs = [
        Some(options.output.as_path()),
        options.provenance.as_deref(),
    ];
    for output in outputs.iter().flatten() {
        if inputs.iter().any(|input| is_same_file(input, output)) {
            return Err(taken(output, "is to be read and written"));
        }
    }
    if options.provenance.as_ref() == Some(&options.output) {
        return Err(taken(&options.output, "is to be written twice"));
    }
    Ok(())
}

fn taken(output: &Path, why: &str) -> Error {
    let problem = Problem::new(format!("`{}` {why}", output.display()));
    Error::new(
        ErrorKind::Usage,
        problem.hint("choose another name for the output"),
    )
}

/// Whether two names mean one file, which need not be there.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}

/// Whether a file is to have one guid a line.
fn is_list(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("txt"))
}

/// The examples that can be picked.
struct Examples {
    guids: Vec<String>,
    classes: Option<LabelSpace>,
    candidates: Candidates,
}

impl Examples {
    /// Reads the columns of the map that the rules need, without the examples to be dropped.
    fn read(path: &Path, shares: &RuleShares, options: &SelectOptions) -> Result<Self> {
        let map = MapFile::read(path)?;
        let guids = map.guids()?;
        let is_kept = match &options.drop {
            Some(drop) => not_dropped(&guids, drop)?,
            None => vec![true; guids.len()],
        };
        let labels = options.per_class.then(|| map.labels()).transpose()?;
        let labels = labels.map(|labels| kept(labels, &is_kept));
        let classes = labels
            .as_ref()
            .map(|labels| LabelSpace::from_labels(labels.iter().map(String::as_str)));
        let class_of = |label: &String| classes.as_ref().and_then(|c| c.index_of(label));
        let mut signals = BTreeMap::new();
        let of_shares = shares
            .shares()
            .iter()
            .filter_map(|share| share.rule.signal());
        let of_easy = (!options.min_easy.is_zero()).then_some("confidence");
        for signal in of_shares.chain(of_easy) {
            let values = kept(values_of(&map, path, signal)?, &is_kept);
            signals.insert(signal.to_owned(), values);
        }
        let candidates = Candidates {
            indices: kept(map.indices()?, &is_kept),
            classes: labels.map(|labels| labels.iter().filter_map(class_of).collect()),
            signals,
        };
        Ok(Self {
            guids: kept(guids, &is_kept),
            classes,
            candidates,
        })
    }
}

fn kept<T>(values: Vec<T>, is_kept: &[bool]) -> Vec<T> {
    let rows = values.into_iter().zip(is_kept);
    rows.filter(|(_, is)| **is)
        .map(|(value, _)| value)
        .collect()
}

impl Examples {
    /// The guids of the picks, in their order.
    fn guids_of(&self, picked: &[RulePicks]) -> Vec<&str> {
        let picks = picked.iter().flat_map(|by_rule| &by_rule.picks);
        picks.map(|(at, _)| self.guids[*at].as_str()).collect()
    }
}

/// A signal of the map, whose name may have `-` where that of the rule has `_`.
fn values_of(map: &MapFile, path: &Path, signal: &str) -> Result<Vec<f64>> {
    let mut names = map.names();
    let name = names.find(|name| name.replace('-', "_") == signal);
    // Without these two it is no map, or another program's.
    let is_of_every_map = matches!(signal, "confidence" | "variability");
    let is_known = match name {
        Some(name) => map.number_names().any(|other| other == name),
        None => is_of_every_map,
    };
    if is_known {
        return map.reals(name.unwrap_or(signal));
    }
    let message = match name {
        Some(name) => {
            format!("the map's column `{name}`, which a rule ranks by, does not hold numbers")
        }
        None => format!("the map has no column `{signal}`, which a rule ranks by"),
    };
    if is_of_every_map {
        return Err(Error::data(Problem::new(message).in_file(path)));
    }
    let others = map
        .number_names()
        .filter(|name| !["guid", "id", "index"].contains(name));
    let hint = format!("rules rank by {}", by_nearness(signal, others).join(", "));
    let problem = Problem::new(message).in_file(path).hint(hint);
    Err(Error::new(ErrorKind::Usage, problem))
}

/// Whether each example stays when those that `drop` names are left out.
fn not_dropped(guids: &[String], drop: &Path) -> Result<Vec<bool>> {
    let listed = read_list(drop)?;
    let mut found: HashSet<&str> = HashSet::new();
    let listed: HashSet<&str> = listed.iter().map(String::as_str).collect();
    let is_kept: Vec<bool> = guids
        .iter()
        .map(|guid| !(listed.contains(guid.as_str()) && found.insert(guid)))
        .collect();
    let n_unknown = listed.len() - found.len();
    if found.is_empty() && n_unknown > 0 {
        let message = format!("none of its {n_unknown} guids is in the map");
        return Err(Error::data(Problem::new(message).in_file(drop)));
    }
    if n_unknown > 0 {
        tracing::warn!(
            "{}: {n_unknown} of {} guids are not in the map",
            drop.display(),
            listed.len()
        );
    }
    tracing::info!(
        "{} of {} examples are left out by {}",
        found.len(),
        guids.len(),
        drop.display()
    );
    Ok(is_kept)
}

/// What the column `mark` of a reader's marks says of an example that is to go.
const MISLABELLED: &str = "mislabelled";

/// The guids that a file lists: a table has them in the column `guid`, any other file one a
/// line. Of a table with a column `mark`, as the page of a run gives it, these are the
/// examples that are marked as mislabelled.
fn read_list(path: &Path) -> Result<Vec<String>> {
    if Table::check_format(path).is_ok() {
        let table = Table::read(path)?;
        let guids = table.texts("guid").ok_or_else(|| {
            let message = "no column `guid` of texts or whole numbers";
            let hint = "a file with one guid a line has an extension such as `.txt`";
            Error::data(Problem::new(message).in_file(path).hint(hint))
        })?;
        let Some(marks) = table.texts("mark") else {
            return Ok(guids);
        };
        let is_listed: Vec<bool> = marks.iter().map(|mark| mark == MISLABELLED).collect();
        return Ok(kept(guids, &is_listed));
    }
    let text = String::from_utf8(fsio::read(path)?)
        .map_err(|_| Error::data(Problem::new("not a text in UTF-8").in_file(path)))?;
    let lines = text.trim_start_matches('\u{feff}').lines();
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Says how many examples each rule picked, and from where on its signal.
fn say(picked: &[RulePicks], shares: &RuleShares, min_easy: Fraction, examples: &Examples) {
    let n = examples.guids.len();
    if !min_easy.is_zero() {
        tracing::info!(
            "of the picks at least {min_easy} are by easy_to_learn, in the places of the last rules' picks"
        );
    }
    // A rule's turn comes once a class, in the same place.
    let n_rules = picked
        .iter()
        .take_while(|p| p.class == picked[0].class)
        .count();
    for turn in 0..n_rules {
        let of_rule: Vec<&RulePicks> = picked.iter().skip(turn).step_by(n_rules).collect();
        let rule = &of_rule[0].rule;
        let n_picked: usize = of_rule.iter().map(|by_class| by_class.picks.len()).sum();
        let share = shares.shares().iter().find(|share| share.rule == *rule);
        let share = share.map_or(Fraction::ZERO, |share| share.fraction);
        let scores = of_rule
            .iter()
            .flat_map(|p| &p.picks)
            .filter_map(|(_, score)| *score);
        let (low, high) = scores.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        let range = match rule.signal().filter(|_| low <= high) {
            Some(signal) => format!(", {signal} {low:.4} to {high:.4}"),
            None => String::new(),
        };
        let by_class: Vec<String> = of_rule
            .iter()
            .filter_map(|p| Some(format!("{} {}", class_name(examples, p)?, p.picks.len())))
            .collect();
        let by_class = if by_class.is_empty() {
            String::new()
        } else {
            format!("; by class: {}", by_class.join(", "))
        };
        tracing::info!("{rule}: {n_picked} of {n} examples ({share}){range}{by_class}");
    }
}

fn class_name<'a>(examples: &'a Examples, by_rule: &RulePicks) -> Option<&'a str> {
    Some(examples.classes.as_ref()?.name(by_rule.class?))
}

/// A row per pick, in the order of picking: which rule gave it, its place among the picks of
/// that rule (in its class, where each is picked from by itself), and what it was ranked by.
fn provenance(picked: &[RulePicks], examples: &Examples) -> Table {
    let mut rules = Vec::new();
    let mut classes = Vec::new();
    let mut ranks = Vec::new();
    let mut scores = Vec::new();
    for by_rule in picked {
        for ((_, score), rank) in by_rule.picks.iter().zip(1..) {
            rules.push(by_rule.rule.to_string());
            classes.extend(class_name(examples, by_rule).map(str::to_owned));
            ranks.push(rank);
            scores.push(score.unwrap_or(f64::NAN));
        }
    }
    let guids = examples.guids_of(picked).into_iter().map(str::to_owned);
    let mut table = Table::new()
        .with("guid", Column::Text(guids.collect()))
        .with("rule", Column::Text(rules));
    if examples.classes.is_some() {
        table = table.with("class", Column::Text(classes));
    }
    table
        .with("rank", Column::Integer(ranks))
        .with("score", Column::Real(scores))
}

/// Writes guids one a line.
fn write_list(guids: &[&str], output: &Path) -> Result<()> {
    if let Some(guid) = guids.iter().find(|guid| guid.contains(['\n', '\r'])) {
        let message = format!("the guid `{}` has a line break in it", guid.escape_debug());
        let problem = Problem::new(message).in_file(output);
        return Err(Error::data(problem).with_hint("write a table, such as `.csv`"));
    }
    let mut text = guids.join("\n");
    text.push('\n');
    fsio::write(output, text.as_bytes())
}

/// Writes the data files' rows with these guids.
fn write_rows(data: &DataFiles, guids: &[&str], options: &SelectOptions) -> Result<()> {
    let mut columns = match config_beside(&options.map)? {
        Some(config) => config.columns_of(&config.training.columns),
        None => DataConfig::default(),
    };
    if options.id_column.is_some() {
        columns.id_column.clone_from(&options.id_column);
    }
    let rows = RawRows::read(data, &columns)?;
    let name = data.name();
    tracing::info!("the guids of {} are {}", name.display(), rows.guids_are);
    let place: HashMap<&str, usize> = rows.guids.iter().map(String::as_str).zip(0..).collect();
    let mut is_kept = vec![false; rows.guids.len()];
    let mut missing = Vec::new();
    for guid in guids {
        match place.get(guid) {
            Some(row) => is_kept[*row] = true,
            None => missing.push(*guid),
        }
    }
    if let Some(first) = missing.first() {
        let message = format!(
            "{} of {} selected examples are not there, the first of them `{first}`; the guids are {}",
            missing.len(),
            guids.len(),
            rows.guids_are
        );
        let hint = "name all data files that the map was made of, and their id column with `--id-column` if that is not called `id` or `guid`";
        return Err(Error::data(Problem::new(message).in_file(name).hint(hint)));
    }
    rows.write(&is_kept, &options.output)
}
