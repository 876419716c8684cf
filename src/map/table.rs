//! The map as a table: written with every signal, read back for the selectors.

use std::path::Path;

use crate::data::{Column, ExampleIndex, Table};
use crate::error::{Error, Problem, Result};
use crate::map::Point;

/// Writes the [`map_table`] in the format of the extension.
///
/// # Panics
/// If a point's class has no name: that is a bug of the caller.
///
/// # Errors
/// An extension that names no format, or a file that cannot be written.
pub fn write_map(points: &[Point], labels: &[String], path: &Path) -> Result<()> {
    map_table(points, labels).write(path)
}

/// A map as a table, one row per example; `labels` are the names of the classes.
///
/// # Panics
/// If a point's class has no name: that is a bug of the caller.
pub fn map_table(points: &[Point], labels: &[String]) -> Table {
    let integers = |f: &dyn Fn(&Point) -> i64| Column::Integer(points.iter().map(f).collect());
    let reals = |f: &dyn Fn(&Point) -> f64| Column::Real(points.iter().map(f).collect());
    let texts = |f: &dyn Fn(&Point) -> String| Column::Text(points.iter().map(f).collect());
    Table::new()
        .with("guid", texts(&|p| p.example.guid.clone()))
        .with("index", integers(&|p| i64::from(p.example.index)))
        .with("label", texts(&|p| labels[p.example.gold as usize].clone()))
        .with("confidence", reals(&|p| p.signals.confidence))
        .with("variability", reals(&|p| p.signals.variability))
        .with(
            "correctness",
            integers(&|p| i64::from(p.signals.correctness)),
        )
        .with(
            "forgetfulness",
            integers(&|p| i64::from(p.signals.forgetfulness.exported())),
        )
        .with(
            "threshold_closeness",
            reals(&|p| p.signals.threshold_closeness),
        )
        .with("aum", reals(&|p| p.signals.aum.unwrap_or(f64::NAN)))
        .with("el2n", reals(&|p| p.signals.el2n))
        .with("entropy", reals(&|p| p.signals.entropy))
        .with("loss", reals(&|p| p.signals.loss))
        .with("correct_ratio", reals(&|p| p.signals.correct_ratio))
        .with(
            "learnt_times",
            integers(&|p| i64::from(p.signals.learnt_times)),
        )
        .with(
            "first_learn",
            integers(&|p| i64::from(p.signals.first_learn)),
        )
        .with(
            "first_forget",
            integers(&|p| i64::from(p.signals.first_forget)),
        )
        .with("max_label_probs", reals(&|p| p.signals.max_label_probs))
        .with("min_label_probs", reals(&|p| p.signals.min_label_probs))
}

/// What selectors need of a map: guids, the two coordinates and whatever else is a number, in
/// the order of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct MapTable {
    /// The examples' ids.
    pub guids: Vec<String>,
    /// In [0, 1].
    pub confidence: Vec<f64>,
    /// At least 0.
    pub variability: Vec<f64>,
    /// The other columns of numbers by name, NaN where there is none.
    pub others: Vec<(String, Vec<f64>)>,
}

/// Columns that hold no signal: what an example is, and the coordinates, which have fields.
const NO_SIGNALS: [&str; 6] = ["guid", "id", "index", "label", "confidence", "variability"];

/// Reads a map, ours or another program's: any table with the columns `guid`, `confidence` and
/// `variability`, or TrustAI's with `id`, `avg_probs` and `label_var`.
///
/// # Errors
/// A missing file; one that is not a table, lacks a column, names an example twice or holds a
/// coordinate that is not a number.
pub fn read_map(path: &Path) -> Result<MapTable> {
    let file = MapFile::read(path)?;
    Ok(MapTable {
        guids: file.guids()?,
        confidence: file.reals("confidence")?,
        variability: file.reals("variability")?,
        others: file.others(),
    })
}

/// Reads one column of numbers of a map: the examples' ids and their values.
///
/// # Errors
/// As [`read_map`].
pub fn read_map_column(path: &Path, column: &str) -> Result<(Vec<String>, Vec<f64>)> {
    let file = MapFile::read(path)?;
    Ok((file.guids()?, file.reals(column)?))
}

/// A table that should be a map.
pub struct MapFile<'a> {
    path: &'a Path,
    table: Table,
}

impl<'a> MapFile<'a> {
    /// Reads the table.
    ///
    /// # Errors
    /// A missing file, or one that is not a table.
    pub fn read(path: &'a Path) -> Result<Self> {
        let table = Table::read(path)?;
        Ok(Self { path, table })
    }

    /// All of it, as it was read.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The columns' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.table.names()
    }

    /// The examples' ids, each once.
    ///
    /// # Errors
    /// No such column, or an id that two examples have.
    pub fn guids(&self) -> Result<Vec<String>> {
        // TrustAI's tables call it `id`.
        let guids = ["guid", "id"]
            .into_iter()
            .find_map(|name| self.table.texts(name));
        let guids = guids.ok_or_else(|| self.lacks("guid", "texts and whole numbers"))?;
        let mut seen = std::collections::HashSet::with_capacity(guids.len());
        match guids.iter().find(|guid| !seen.insert(guid.as_str())) {
            Some(guid) => Err(self.bad(format!("the example `{guid}` is in the map twice"))),
            None => Ok(guids),
        }
    }

    /// The examples' rows in their file, which decide ties: the column `index`, or else the
    /// order of the map.
    ///
    /// # Errors
    /// Indices that are not distinct whole numbers.
    pub fn indices(&self) -> Result<Vec<ExampleIndex>> {
        if !self.table.names().any(|name| name == "index") {
            return Ok((0..self.table.n_rows() as ExampleIndex).collect());
        }
        let mut seen = std::collections::HashSet::new();
        let rows = self.reals("index")?.into_iter().zip(1..);
        rows.map(|(index, row)| {
            let whole = index as ExampleIndex;
            if f64::from(whole).total_cmp(&index).is_eq() && seen.insert(whole) {
                return Ok(whole);
            }
            let message = format!(
                "`index` of row {row} is {index}; expected whole numbers from 0, each once"
            );
            Err(self.bad(message))
        })
        .collect()
    }

    /// The examples' labels: the column `label`, or else `gold`.
    ///
    /// # Errors
    /// Neither is there.
    pub fn labels(&self) -> Result<Vec<String>> {
        let mut labels = ["label", "gold"].into_iter();
        let labels = labels.find_map(|name| self.table.texts(name));
        labels.ok_or_else(|| {
            let names: Vec<&str> = self.table.names().collect();
            let message = format!(
                "no column `label` or `gold` says the classes; the map has {}",
                names.join(", ")
            );
            self.bad(message)
        })
    }

    /// A column of numbers, none missing; infinite ones, as the loss of an impossible class, are
    /// the largest, but not of confidence and variability. These two are found under TrustAI's
    /// names, too: `avg_probs`, and `label_var`, the variability's square.
    ///
    /// # Errors
    /// No such column, or other values in it.
    pub fn reals(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.table.reals(name).or_else(|| match name {
            "confidence" => self.table.reals("avg_probs"),
            "variability" => {
                let variances = self.table.reals("label_var")?;
                Some(variances.into_iter().map(f64::sqrt).collect())
            }
            _ => None,
        });
        let values = values.ok_or_else(|| self.lacks(name, "numbers"))?;
        let is_place = matches!(name, "confidence" | "variability");
        let is_bad = |x: &f64| x.is_nan() || (is_place && x.is_infinite());
        match values.iter().position(is_bad) {
            Some(row) => {
                let what = if is_place {
                    "a finite number"
                } else {
                    "a number"
                };
                let message = format!("`{name}` of row {} is not {what}", row + 1);
                Err(self.bad(message))
            }
            None => Ok(values),
        }
    }

    /// The columns of numbers that are no coordinates.
    fn others(&self) -> Vec<(String, Vec<f64>)> {
        let names = self.table.names().filter(|name| !NO_SIGNALS.contains(name));
        names
            .filter_map(|name| Some((name.to_owned(), self.table.reals(name)?)))
            .collect()
    }

    /// The names of the columns of numbers.
    pub fn number_names(&self) -> impl Iterator<Item = &str> {
        let names = self.table.names();
        names.filter(|name| self.table.reals(name).is_some())
    }

    /// What there is of a column that cannot be taken as `kind`.
    fn lacks(&self, name: &str, kind: &str) -> Error {
        let names: Vec<&str> = self.table.names().collect();
        let what = if names.contains(&name) {
            format!("`{name}` holds other things than {kind}")
        } else {
            format!("no column `{name}`; it has {}", names.join(", "))
        };
        self.bad(format!("not a data map: {what}"))
    }

    fn bad(&self, message: String) -> Error {
        Error::data(Problem::new(message).in_file(self.path))
    }
}
