//! From labels, as a config names them, to class indices.

use crate::config::metric::Label;
use crate::error::{Error, ErrorKind, Problem, Result};

use super::confusion::Confusion;

/// The class indices that a metric reports, (K): the `wanted` ones in their order, or else
/// those seen in gold or predictions, ascending.
pub(super) fn reported(
    wanted: Option<&[Label]>,
    labels: &[String],
    confusion: &Confusion,
) -> Result<Vec<usize>> {
    match wanted {
        Some(wanted) => resolve_all(wanted, labels),
        None => Ok(confusion.present()),
    }
}

/// The class indices of the argument `labels`.
pub(super) fn resolve_all(wanted: &[Label], labels: &[String]) -> Result<Vec<usize>> {
    let mut classes = Vec::with_capacity(wanted.len());
    for label in wanted {
        let class = resolve(label, "labels", labels)?;
        if classes.contains(&class) {
            return Err(config_error(
                Problem::new(format!("`labels` names `{}` twice", labels[class]))
                    .hint("name each label once"),
            ));
        }
        classes.push(class);
    }
    Ok(classes)
}

/// The index of one class.
///
/// An integer is the label of that number, as it is for scikit-learn. Where the labels are
/// words it is a class index, so that scikit-learn's default `pos_label: 1` means the second
/// of two classes whatever they are called.
pub(super) fn resolve(wanted: &Label, argument: &str, labels: &[String]) -> Result<usize> {
    let found = match wanted {
        Label::Name(name) => labels.iter().position(|label| label == name),
        Label::Integer(number) => {
            let numbers: Vec<_> = labels.iter().map(|label| label.parse::<i64>()).collect();
            if numbers.iter().all(Result::is_ok) {
                numbers.iter().position(|label| *label == Ok(*number))
            } else {
                usize::try_from(*number)
                    .ok()
                    .filter(|&class| class < labels.len())
            }
        }
    };
    found.ok_or_else(|| {
        config_error(Problem::new(format!(
            "`{argument}` names the label `{wanted}`, which does not exist; the labels are {}",
            listed(labels)
        )))
    })
}

/// The names in backticks; the first twenty of many.
pub(super) fn listed<S: AsRef<str>>(labels: &[S]) -> String {
    const SHOWN: usize = 20;
    let names: Vec<String> = labels
        .iter()
        .take(SHOWN)
        .map(|label| format!("`{}`", label.as_ref()))
        .collect();
    match labels.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(others) => format!("{} and {others} others", names.join(", ")),
    }
}

pub(super) fn config_error(problem: Problem) -> Error {
    Error::new(ErrorKind::Config, problem)
}
