//! A map's signals, categories and texts as blocks of a page.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::data::{Dataset, ExampleIndex, Table};
use crate::error::Result;
use crate::fsio::hexadecimal;
use crate::map::MapFile;
use crate::pipeline::report::source::Source;
use crate::report::page::Page;

/// A column of texts with more values than these is no category.
const MOST_CATEGORIES: usize = 200;

/// Columns that say which example it is, and the class, which has its own name.
const NO_SIGNALS: [&str; 5] = ["guid", "id", "index", "label", "gold"];

/// The numbers that an audit gives an example, and what the page calls them.
const OF_AUDIT: [(&str, &str); 2] = [
    ("rank", "suspect_rank"),
    ("likely_error", "likely_label_error"),
];

/// A map's table, with what every example is called.
pub struct MapOfPage {
    /// The examples' ids, each once.
    pub guids: Vec<String>,
    /// The examples' rows in their file, which decide ties.
    pub indices: Vec<ExampleIndex>,
    /// The examples' labels; none in a map that does not have them.
    pub labels: Option<Vec<String>>,
    /// Columns of numbers by name, the two coordinates first.
    pub signals: Vec<(String, Vec<f64>)>,
    texts: Vec<(String, Vec<String>)>,
}

impl MapOfPage {
    /// Reads the table of a map.
    ///
    /// # Errors
    /// One that is missing or no map.
    pub fn read(path: &Path) -> Result<Self> {
        let file = MapFile::read(path)?;
        let coordinates = ["confidence", "variability"];
        let mut signals = Vec::new();
        for name in coordinates {
            signals.push((name.to_owned(), file.reals(name)?));
        }
        let table = file.table();
        let mut texts = Vec::new();
        for name in table.names() {
            if coordinates.contains(&name) || NO_SIGNALS.contains(&name) {
                continue;
            }
            if let Some(values) = table.reals(name) {
                // A column of empty texts has no number at all.
                if values.iter().any(|x| !x.is_nan()) {
                    signals.push((name.to_owned(), values));
                }
            } else if let Some(values) = table.texts(name) {
                texts.push((name.to_owned(), values));
            }
        }
        if let Some(values) = table.texts("true_label") {
            // Labels are often numbers, but no signal.
            signals.retain(|(name, _)| name != "true_label");
            texts.retain(|(name, _)| name != "true_label");
            texts.insert(0, ("true_label".to_owned(), values));
        }
        Ok(Self {
            guids: file.guids()?,
            indices: file.indices()?,
            labels: file.labels().ok(),
            signals,
            texts,
        })
    }

    /// The values of a column of numbers.
    pub fn signal(&self, name: &str) -> Option<&[f64]> {
        let (_, values) = self.signals.iter().find(|(other, _)| other == name)?;
        Some(values)
    }

    /// Each example's position by its id.
    pub fn positions(&self) -> HashMap<&str, usize> {
        self.guids.iter().map(String::as_str).zip(0..).collect()
    }

    /// Adds all of it to a page, with the texts of `dataset`; what the page is to know of it.
    ///
    /// # Errors
    /// A selection or an audit beside the map that cannot be read.
    pub fn facts(
        &self,
        page: &mut Page,
        source: &Source,
        dataset: Option<&Dataset>,
    ) -> Result<Map<String, Value>> {
        let mut signals = Vec::new();
        let mut categories = Vec::new();
        for (name, values) in &self.signals {
            signals.push(signal_facts(page, name, values));
        }
        if let Some(labels) = &self.labels {
            categories.extend(category_facts(page, "label", labels));
        }
        for (name, values) in &self.texts {
            categories.extend(category_facts(page, name, values));
        }
        let positions = self.positions();
        if let Some(subset) = subset(&source.folder, &positions)? {
            categories.extend(category_facts(page, "subset", &subset));
        }
        if let Some(audit) = source.audit.as_deref() {
            let table = Table::read(audit)?;
            if let Some(guids) = table.texts("guid") {
                let rows: Vec<Option<usize>> = guids
                    .iter()
                    .map(|guid| positions.get(guid.as_str()).copied())
                    .collect();
                for (column, name) in OF_AUDIT {
                    if let Some(values) = table.reals(column) {
                        let placed = placed(&rows, &values, self.guids.len());
                        signals.push(signal_facts(page, name, &placed));
                    }
                }
                if let Some(values) = table.texts("suggested") {
                    let mut suggested = vec![String::new(); self.guids.len()];
                    for (row, value) in rows.iter().zip(values) {
                        if let Some(row) = row {
                            suggested[*row] = value;
                        }
                    }
                    categories.extend(category_facts(page, "suggested_label", &suggested));
                }
            }
        }
        let mut facts = Map::new();
        facts.insert("id".into(), json!(self.id()));
        facts.insert("n".into(), json!(self.guids.len()));
        let guids = page.texts(self.guids.iter().map(String::as_str));
        facts.insert("guids".into(), json!(guids));
        facts.insert("indices".into(), json!(page.u32s(&self.indices)));
        facts.insert("signals".into(), json!(signals));
        facts.insert("categories".into(), json!(categories));
        if let Some(dataset) = dataset {
            self.add_texts(page, dataset, &mut facts);
        }
        Ok(facts)
    }

    /// What tells this set of examples from others: marks of a reader are kept under it.
    fn id(&self) -> String {
        let mut hash = Sha256::new();
        for guid in &self.guids {
            hash.update((guid.len() as u64).to_le_bytes());
            hash.update(guid.as_bytes());
        }
        hexadecimal(&hash.finalize()[..8])
    }

    fn add_texts(&self, page: &mut Page, dataset: &Dataset, facts: &mut Map<String, Value>) {
        let rows: HashMap<&str, usize> = dataset
            .examples
            .iter()
            .map(|example| example.guid.as_str())
            .zip(0..)
            .collect();
        let examples: Vec<_> = self
            .guids
            .iter()
            .map(|guid| rows.get(guid.as_str()).map(|row| &dataset.examples[*row]))
            .collect();
        let found = || examples.iter().flatten();
        let n_missing = examples.len() - found().count();
        if n_missing > 0 {
            tracing::warn!("{n_missing} examples of the map are not in the training file");
        }
        if found().count() == 0 {
            return;
        }
        let texts = examples.iter().map(|e| e.map_or("", |e| e.text.as_str()));
        facts.insert("texts".into(), json!(page.texts(texts)));
        if found().any(|example| example.text_pair.is_some()) {
            let pair = |e: &crate::data::Example| e.text_pair.clone().unwrap_or_default();
            let pairs: Vec<String> = examples
                .iter()
                .map(|e| e.map_or(String::new(), pair))
                .collect();
            facts.insert(
                "pairs".into(),
                json!(page.texts(pairs.iter().map(String::as_str))),
            );
        }
        if found().any(|example| !example.options.is_empty()) {
            let options: Vec<String> = examples
                .iter()
                .map(|e| json!(e.map_or(&[][..], |e| &e.options)).to_string())
                .collect();
            let options = page.texts(options.iter().map(String::as_str));
            facts.insert("options".into(), json!(options));
        }
    }
}

/// Values at the rows that they belong to, NaN elsewhere.
pub fn placed(rows: &[Option<usize>], values: &[f64], n: usize) -> Vec<f64> {
    let mut placed = vec![f64::NAN; n];
    for (row, value) in rows.iter().zip(values) {
        if let Some(row) = row {
            placed[*row] = *value;
        }
    }
    placed
}

/// A column of numbers: exact for the coordinates, by which examples are picked.
fn signal_facts(page: &mut Page, name: &str, values: &[f64]) -> Value {
    let finite = values.iter().filter(|x| x.is_finite());
    let is_whole = finite.clone().all(|x| x.fract() == 0.0 && x.abs() < 1e7);
    let is_coordinate = matches!(name, "confidence" | "variability");
    let block = if is_coordinate {
        page.f64s(values)
    } else {
        page.f32s(values)
    };
    json!({"name": name, "whole": is_whole && !is_coordinate, "block": block})
}

/// A column of few texts; none where there are too many.
fn category_facts(page: &mut Page, name: &str, values: &[String]) -> Option<Value> {
    let distinct = crate::data::LabelSpace::from_labels(values.iter().map(String::as_str));
    if distinct.len() > MOST_CATEGORIES || distinct.is_empty() {
        return None;
    }
    let of: BTreeMap<&str, u16> = distinct
        .names()
        .iter()
        .map(String::as_str)
        .zip(0..)
        .collect();
    let class = |value: &String| match of.get(value.as_str()) {
        Some(class) => *class,
        None => distinct.index_of(value).unwrap_or_default() as u16,
    };
    let block = page.u16s(&values.iter().map(class).collect::<Vec<_>>());
    Some(json!({"name": name, "values": distinct.names(), "block": block}))
}

/// Which examples the run's selectors took, and by which region; none for a run without them.
fn subset(folder: &Path, positions: &HashMap<&str, usize>) -> Result<Option<Vec<String>>> {
    let path = folder.join("selection.csv");
    if !path.is_file() {
        return Ok(None);
    }
    let table = Table::read(&path)?;
    let Some(guids) = table.texts("guid") else {
        return Ok(None);
    };
    let regions = table.texts("region");
    let mut subset = vec!["not selected".to_owned(); positions.len()];
    for (row, guid) in guids.iter().enumerate() {
        if let Some(position) = positions.get(guid.as_str()) {
            let region = regions.as_ref().map(|regions| regions[row].clone());
            subset[*position] = region.unwrap_or_else(|| "selected".to_owned());
        }
    }
    Ok(Some(subset))
}
