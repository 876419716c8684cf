//! TrustAI's log of evaluations: one line per example and evaluation, evaluation after evaluation,
//! `{'id': .., 'label': .., 'pred_label': .., 'noisy_label': .., 'correct': 'true', 'loss': ..,
//! 'probs': [..], 'label_probs': ..}`, in Python's spelling or as JSON.
//!
//! The n-th line of an example is its n-th evaluation. A log that ends in the middle of an
//! evaluation is read without that one. Where classes share the highest probability, the
//! prediction is the lowest of them, whatever `pred_label` and `correct` say: another program may
//! break ties in its own way, and a printed probability does not show how it did.

use std::path::{Path, PathBuf};

use super::gathering::{Coverage, Import, Room, Rules};
use super::required;
use crate::dynamics::lines::{Fields, read_lines};
use crate::dynamics::scanner::{Fault, Scanner};
use crate::dynamics::training_dynamics::{TrainingDynamics, ValueKind};
use crate::error::{Error, Problem, Result};
use crate::metrics::argmax;

/// How far a line's `label_probs` may be from its `probs`, which are the same numbers.
const ROUNDING: f64 = 1e-6;

/// Reads a log, and no more than the first `n_epochs` evaluations of it, and hands it over as
/// [`super::DynamicsFiles::read_in_parts`] says.
///
/// # Errors
/// A file that cannot be read or written; a line that is no record, or says different things of one
/// example; an example that was evaluated less often than the others; what `take` says.
pub(super) fn read(
    path: &PathBuf,
    n_epochs: Option<usize>,
    room: Room<'_>,
    take: &mut dyn FnMut(TrainingDynamics) -> Result<()>,
) -> Result<usize> {
    let rules = Rules {
        kind: ValueKind::Probabilities,
        files: std::slice::from_ref(path),
        n_epochs,
        room,
    };
    let mut import = Import::new(&rules);
    read_lines(path, read_line, |parts| import.add(None, parts))?;
    if import
        .in_memory()
        .is_some_and(|dynamics| dynamics.len() == 0)
    {
        return Err(Error::data(
            Problem::new("the file holds no example").in_file(path),
        ));
    }
    import.finish(|coverage| n_finished_evaluations(coverage, path), take)
}

/// How many evaluations have every example; a last one that lacks some is left out.
fn n_finished_evaluations(coverage: &Coverage, path: &Path) -> Result<usize> {
    let n_epochs = coverage.n_epochs;
    match coverage.complete() {
        (n_complete, _) if n_complete == n_epochs => Ok(n_epochs),
        (last, guid) if last > 0 && last + 1 == n_epochs => {
            tracing::warn!(
                "{}: evaluation {} lacks examples, `{guid}` among them, and is left out",
                path.display(),
                last + 1,
            );
            Ok(last)
        }
        (epoch, guid) => {
            let message =
                format!("`{guid}` was evaluated {epoch} times, another example {n_epochs} times");
            let hint = "each evaluation must have a line for every example; only the last one may be unfinished";
            Err(Error::data(Problem::new(message).in_file(path).hint(hint)))
        }
    }
}

fn read_line<'a>(line: &mut Scanner<'a>, values: &mut Vec<f64>) -> Result<Fields<'a>, Fault> {
    let (mut id, mut label, mut correct, mut label_probs) = (None, None, None, None);
    let mut noisy_label = 0;
    let start = values.len();
    line.dict(|name, line| {
        match name {
            "id" => id = Some(line.id()?),
            "label" => label = Some(line.whole()?),
            "noisy_label" => noisy_label = line.whole()?,
            "correct" => correct = Some(line.truth()?),
            "label_probs" => label_probs = Some(line.number()?),
            "probs" if values.len() == start => line.numbers(values)?,
            _ => line.skip()?,
        }
        Ok(())
    })?;
    let (guid, guid_is_number) = required(id, "id", line)?;
    let gold = required(label, "label", line)?;
    let probs = &values[start..];
    required((!probs.is_empty()).then_some(()), "probs", line)?;
    let stated = required(label_probs, "label_probs", line)?;
    let is_right = required(correct, "correct", line)?;
    // What is beyond the classes is told with the other checks of values.
    if let Some(p) = probs.get(gold as usize) {
        if (p - stated).abs() > ROUNDING {
            return line.fault(format!(
                "`label_probs` is {stated}, but `probs` has {p} there"
            ));
        }
        let predicted = argmax(probs);
        let highest = probs[predicted];
        let are_tied = *p >= highest && probs.iter().filter(|q| **q >= highest).count() > 1;
        if is_right != (predicted == gold as usize) && !are_tied {
            return line.fault(format!(
                "`correct` is {is_right}, but `probs` is highest at {predicted} and the label is {gold}"
            ));
        }
    }
    Ok(Fields {
        guid,
        guid_is_number,
        gold,
        noisy_label,
    })
}
