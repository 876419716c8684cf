//! The order of a curriculum: by length, by a column of the training file or of a data map.

use std::collections::HashMap;

use crate::config::{CurriculumOrder, DEFAULT_CURRICULUM_COLUMN, LoadedConfig, TrainingConfig};
use crate::data::{Dataset, ExampleIndex, TokenizedDataset};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::read_map_column;
use crate::pipeline::inputs::{Inputs, map_path};
use crate::select::Selection;

/// The value that each example of the training file is sorted by, or none where it is its
/// number of tokens or there is no curriculum.
///
/// # Errors
/// A column that is missing, an example without a number in it, a map without the example.
pub fn curriculum_values(
    loaded: &LoadedConfig,
    training: &Dataset,
    selection: &Selection,
) -> Result<Option<Vec<f64>>> {
    let config = &loaded.config.training;
    if !config.curriculum_learning || order_of_a_command(config, selection).is_some() {
        return Ok(None);
    }
    let part = selection.subset.indices();
    let key = "training.curriculum_order";
    let at_key = |problem: Problem| {
        let placed = loaded.source.problem(key, problem.message);
        let placed = match problem.hint {
            Some(hint) => placed.hint(hint),
            None => placed,
        };
        Error::new(ErrorKind::Data, placed)
    };
    match &config.curriculum_order {
        Some(CurriculumOrder::Length) => Ok(None),
        Some(CurriculumOrder::Map(column)) => {
            let path = map_path(&loaded.config, &loaded.source, key)?;
            let (guids, values) = read_map_column(&path, column)?;
            let value_of: HashMap<&str, f64> =
                guids.iter().map(String::as_str).zip(values).collect();
            let mut sorted_by = vec![f64::NAN; training.len()];
            for index in part {
                let guid = training.examples[*index as usize].guid.as_str();
                let value = value_of.get(guid).ok_or_else(|| {
                    let message = format!("the data map lacks the training example `{guid}`");
                    at_key(Problem::new(message))
                })?;
                sorted_by[*index as usize] = *value;
            }
            Ok(Some(sorted_by))
        }
        Some(CurriculumOrder::Column(column)) => column_values(training, part, column)
            .map(Some)
            .map_err(at_key),
        None => column_values(training, part, DEFAULT_CURRICULUM_COLUMN)
            .map(Some)
            .map_err(at_key),
    }
}

fn column_values(
    training: &Dataset,
    part: &[ExampleIndex],
    column: &str,
) -> Result<Vec<f64>, Problem> {
    let file = training.path.display();
    let cells = training.extra.get(column).ok_or_else(|| {
        Problem::new(format!(
            "{file} has no column `{column}` for the curriculum"
        ))
        .hint("name a column, `length` or `map.COLUMN` in `training.curriculum_order`")
    })?;
    let mut values = vec![f64::NAN; training.len()];
    for index in part {
        let cell = cells[*index as usize].as_deref().unwrap_or_default();
        let value = cell.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        values[*index as usize] = value.ok_or_else(|| {
            let guid = &training.examples[*index as usize].guid;
            Problem::new(format!(
                "the curriculum's column `{column}` of the example `{guid}` in {file} is `{cell}`, which is no number"
            ))
        })?;
    }
    Ok(values)
}

/// The order in which a command printed the examples, where the config names no other.
fn order_of_a_command<'a>(
    config: &TrainingConfig,
    selection: &'a Selection,
) -> Option<&'a [ExampleIndex]> {
    let order = selection.order.as_deref();
    order.filter(|_| config.curriculum_order.is_none() && selection.repeats.is_empty())
}

/// The order of every epoch: the examples of the run by their values, ties by row; none for a
/// run without a curriculum.
pub fn curriculum(
    loaded: &LoadedConfig,
    inputs: &Inputs,
    tokens: &TokenizedDataset,
) -> Option<Vec<ExampleIndex>> {
    let config = &loaded.config.training;
    if !config.curriculum_learning {
        return None;
    }
    if let Some(order) = order_of_a_command(config, &inputs.selection) {
        let mut order = order.to_vec();
        if config.curriculum_descending {
            order.reverse();
        }
        return Some(order);
    }
    let value = |index: ExampleIndex| match &inputs.curriculum_values {
        Some(values) => values[index as usize],
        None => tokens.length(index) as f64,
    };
    let mut order = inputs.selection.draws();
    // A stable sort of ascending rows, so that ties keep the order of the file.
    if config.curriculum_descending {
        order.sort_by(|a, b| value(*b).total_cmp(&value(*a)));
    } else {
        order.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
    }
    Some(order)
}
