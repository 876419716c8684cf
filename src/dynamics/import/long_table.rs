//! A long table in any table format, a row for each example and epoch in any order: `guid`,
//! `epoch`, `gold`, and either `logits` or `probs` as lists (a JSON list in a cell of CSV and TSV),
//! or a column for each class, `logits_0 logits_1 ..` or `probs_0 probs_1 ..`.

use std::path::Path;

use crate::data::{Table, at_row};
use crate::dynamics::is_canonical_number;
use crate::dynamics::scanner::Scanner;
use crate::dynamics::training_dynamics::{Builder, Row, TrainingDynamics, ValueKind};
use crate::error::{Error, Problem, Result};

/// Reads a table, and no more than its first `n_epochs` epochs.
///
/// # Errors
/// A file that cannot be read, columns that are missing or hold something else, an epoch that is
/// missing in the middle, an example that is missing in an epoch, there twice, or changed.
pub(super) fn read(path: &Path, n_epochs: Option<usize>) -> Result<TrainingDynamics> {
    let wrong = |message: String| Error::data(Problem::new(message).in_file(path));
    let wrong_row =
        |row: usize, message: String| Error::data(at_row(Problem::new(message), path, row));
    let table = Table::read(path)?;
    let lacks = |name: &str, kind: &str| {
        let names: Vec<&str> = table.names().collect();
        if names.is_empty() {
            return wrong("the file is empty".to_owned());
        }
        let cells = table.texts(name).unwrap_or_default();
        let is_number = |cell: &str| cell.is_empty() || cell.parse::<f64>().is_ok();
        if let Some(row) = cells.iter().position(|cell| !is_number(cell.trim())) {
            let message = format!("`{name}` is `{}`; expected {kind}", cells[row]);
            return wrong_row(row, message);
        }
        if names.contains(&name) {
            return wrong(format!("`{name}` holds other things than {kind}"));
        }
        wrong(format!(
            "no column `{name}` of {kind}; it has {}",
            names.join(", ")
        ))
    };
    let guids = table
        .texts("guid")
        .ok_or_else(|| lacks("guid", "texts or whole numbers"))?;
    let guids_are_numbers = table.are_integers("guid");
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let cells_are_texts = extension == "csv" || extension == "tsv";
    let whole = |name: &str| {
        let values = table
            .reals(name)
            .ok_or_else(|| lacks(name, "whole numbers from 0; a class is its index"))?;
        let is_whole = |x: &f64| x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(x);
        match values.iter().position(|x| !is_whole(x)) {
            None => Ok(values),
            Some(row) => {
                let value = if values[row].is_nan() {
                    "missing".to_owned()
                } else {
                    format!("`{}`", values[row])
                };
                let message = format!("`{name}` is {value}, not a whole number of at least 0");
                Err(wrong_row(row, message))
            }
        }
    };
    let (numbers, gold) = (whole("epoch")?, whole("gold")?);
    if guids.is_empty() {
        return Err(wrong("it holds no example".to_owned()));
    }
    let mut epochs: Vec<u32> = numbers.iter().map(|x| *x as u32).collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs.truncate(n_epochs.unwrap_or(usize::MAX).max(1));
    if let Some((from, to)) = epochs
        .iter()
        .zip(&epochs[1..])
        .find(|(from, to)| *to - *from > 1)
    {
        return Err(wrong(format!(
            "the epochs go from {from} to {to}: one is missing"
        )));
    }
    let (kind, values) = values_of(&table, path)?;
    let mut dynamics = Builder::new(kind);
    for (i, guid) in guids.iter().enumerate() {
        let epoch = (numbers[i] as u32 - epochs[0]) as usize;
        if n_epochs.is_some_and(|n| epoch >= n) {
            continue;
        }
        let row = Row {
            guid,
            guid_is_number: guids_are_numbers || (cells_are_texts && is_canonical_number(guid)),
            gold: gold[i] as u32,
            noisy_label: 0,
            values: &values[i],
        };
        dynamics
            .position(&row)
            .and_then(|position| dynamics.put(epoch, position, &row))
            .map_err(|message| wrong_row(i, format!("epoch {}: {message}", numbers[i])))?;
    }
    for epoch in 0..dynamics.n_epochs() {
        super::check_epoch(&dynamics, epoch, path)?;
    }
    Ok(dynamics.finish())
}

fn values_of(table: &Table, path: &Path) -> Result<(ValueKind, Vec<Vec<f64>>)> {
    let wrong = |message: String| Error::data(Problem::new(message).in_file(path));
    for (name, kind) in [
        ("logits", ValueKind::Logits),
        ("probs", ValueKind::Probabilities),
    ] {
        if let Some(lists) = table.lists(name) {
            return Ok((kind, lists));
        }
        if let Some(cells) = table.texts(name) {
            let list = |(row, cell): (usize, &String)| {
                let mut numbers = Vec::new();
                let mut scanner = Scanner::new(cell);
                let read = scanner.numbers(&mut numbers).and_then(|()| scanner.end());
                read.map(|()| numbers).map_err(|fault| {
                    let problem = Problem::new(format!("`{name}`: {}", fault.message));
                    Error::data(at_row(problem, path, row))
                })
            };
            let lists = cells.iter().enumerate().map(list);
            return Ok((kind, lists.collect::<Result<_>>()?));
        }
        // A column that is passed over would be a class that is lost.
        let prefix = format!("{name}_");
        let n_classes = table
            .names()
            .filter(|column| column.starts_with(&prefix))
            .count();
        let columns = (0..n_classes).map(|class| {
            let column = format!("{prefix}{class}");
            table.reals(&column).ok_or_else(|| {
                let names: Vec<&str> = table.names().filter(|c| c.starts_with(&prefix)).collect();
                wrong(format!(
                    "no column `{column}` of numbers, where the columns of the classes are {}; expected {prefix}0 to {prefix}{}",
                    names.join(", "),
                    n_classes - 1
                ))
            })
        });
        let columns: Vec<Vec<f64>> = columns.collect::<Result<_>>()?;
        if !columns.is_empty() {
            let rows = (0..table.n_rows()).map(|row| columns.iter().map(|c| c[row]).collect());
            return Ok((kind, rows.collect()));
        }
    }
    let names: Vec<&str> = table.names().collect();
    let message = format!(
        "neither `logits` nor `probs`, as lists or as `logits_0`, `logits_1` and so on; it has {}",
        names.join(", ")
    );
    Err(wrong(message))
}
