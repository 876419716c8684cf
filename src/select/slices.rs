//! Named subsets by length, pattern or column.

use crate::config::{CellTest, Condition, LengthUnit, Slice};
use crate::data::{Dataset, Example, ExampleIndex};

/// Whether each of the examples at `indices` is in the slice.
///
/// # Errors
/// The name of a column that the dataset lacks.
pub fn slice_members<'a>(
    slice: &'a Slice,
    dataset: &Dataset,
    indices: &[ExampleIndex],
) -> Result<Vec<bool>, &'a str> {
    let mut members = vec![true; indices.len()];
    for condition in &slice.conditions {
        let cells = match condition {
            Condition::Column { column, .. } => {
                Some(dataset.extra.get(column).ok_or(column.as_str())?)
            }
            _ => None,
        };
        for (is_member, index) in members.iter_mut().zip(indices) {
            let at = *index as usize;
            let cell = cells.and_then(|cells| cells[at].as_deref());
            *is_member = *is_member && holds(condition, &dataset.examples[at], cell);
        }
    }
    Ok(members)
}

/// Whether a condition holds for an example with a cell in the condition's column.
fn holds(condition: &Condition, example: &Example, cell: Option<&str>) -> bool {
    let mut texts = std::iter::once(example.text.as_str()).chain(example.text_pair.as_deref());
    match condition {
        Condition::Length { unit, range } => {
            let length: usize = match unit {
                LengthUnit::Words => texts.map(|text| text.split_whitespace().count()).sum(),
                LengthUnit::Characters => texts.map(|text| text.chars().count()).sum(),
            };
            range.contains(length as f64)
        }
        Condition::Pattern(pattern) => texts.any(|text| pattern.is_match(text)),
        Condition::Column { test, .. } => cell.is_some_and(|cell| match test {
            CellTest::OneOf(values) => values.iter().any(|value| is_same(value, cell)),
            CellTest::Within(range) => number(cell).is_some_and(|x| range.contains(x)),
        }),
    }
}

/// Whether two cells are the same text, or the same number written in two ways.
fn is_same(a: &str, b: &str) -> bool {
    let is_same_number = || Some(number(a)?.total_cmp(&number(b)?).is_eq());
    a == b.trim() || is_same_number().unwrap_or(false)
}

fn number(cell: &str) -> Option<f64> {
    cell.trim().parse().ok().filter(|x: &f64| x.is_finite())
}
