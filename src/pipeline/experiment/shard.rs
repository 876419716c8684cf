//! Which part of a grid a process does, when several share it.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Problem, Result};

/// One of `n` parts of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1 to `n`.
    number: usize,
    n: usize,
}

/// A job array's variables: a task's number, the number of tasks, the first task's number and
/// what numbers differ by.
struct Array {
    number: &'static str,
    count: &'static str,
    first: Option<&'static str>,
    step: Option<&'static str>,
}

const ARRAYS: [Array; 2] = [
    // Slurm's tasks begin anywhere: `--array=1-8`, `--array=0-14:2`.
    Array {
        number: "SLURM_ARRAY_TASK_ID",
        count: "SLURM_ARRAY_TASK_COUNT",
        first: Some("SLURM_ARRAY_TASK_MIN"),
        step: Some("SLURM_ARRAY_TASK_STEP"),
    },
    // Kubernetes counts the pods of an Indexed Job from 0; the manifest gives their number.
    Array {
        number: "JOB_COMPLETION_INDEX",
        count: "JOB_COMPLETION_COUNT",
        first: None,
        step: None,
    },
];

impl Shard {
    /// The part that a task of a job array does, by the array's variables, which `value_of`
    /// gives; none outside of one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for variables that are no part of anything.
    pub fn of_job_array(value_of: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let number_in = |name: &str| {
            let text = value_of(name).filter(|text| !text.is_empty());
            text.map(|text| {
                let whole = text.trim().parse::<usize>();
                whole.map_err(|_| wrong(format!("`{name}` is `{text}`; expected a whole number")))
            })
            .transpose()
        };
        for array in ARRAYS {
            let Some(number) = number_in(array.number)? else {
                continue;
            };
            let Some(n) = number_in(array.count)? else {
                let message = format!("`{}` is set, but `{}` is not", array.number, array.count);
                return Err(wrong(message));
            };
            let or = |name: Option<&str>, default| {
                let given = name.map(number_in).transpose();
                given.map(|given| given.flatten().unwrap_or(default))
            };
            let (first, step) = (or(array.first, 0)?, or(array.step, 1)?.max(1));
            let past = number.checked_sub(first);
            let at = past.filter(|past| past.is_multiple_of(step) && past / step < n);
            let Some(past) = at else {
                let message = format!(
                    "`{}` is {number}, which is none of the {n} tasks from {first} on",
                    array.number
                );
                return Err(wrong(message));
            };
            let number = past / step + 1;
            return Ok(Some(Self { number, n }));
        }
        Ok(None)
    }

    /// Whether the part has what comes at `position` (from 0) of the whole, which is dealt out
    /// one by one.
    pub fn has(self, position: usize) -> bool {
        position % self.n == self.number - 1
    }
}

fn wrong(message: String) -> Error {
    let hint = "say which part to do with `--shard i/n`, or all of it with `--shard 1/1`";
    Error::new(ErrorKind::Usage, Problem::new(message).hint(hint))
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `2/8`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(number, n)| Some((number.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, n)) if 1 <= number && number <= n => Ok(Self { number, n }),
            _ => Err("expected i/n with i from 1 to n, as in 2/8".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.n)
    }
}
