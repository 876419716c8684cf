//! Conditions on a table's columns, as in `forgetfulness >= 1 and label = 'neg'`.
//!
//! ```text
//! either     = both ("or" both)*
//! both       = negation ("and" negation)*
//! negation   = "not" negation | "(" either ")" | comparison
//! comparison = column ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") (number | text | "never")
//! column     = letters, digits, `_`, `.` and `-`, or anything in backticks
//! text       = '...' or "...", in which the quote is written twice to mean itself
//! ```
//!
//! `and`, `or` and `not` may be written in any case. A number is compared with the column's
//! numbers, a text with its texts, for which there are `=` and `!=` alone; whole numbers are
//! texts as well. A missing value, which is an empty cell or NaN, fulfils no comparison.
//!
//! An example that was never learnt was not forgotten any number of times, though tables have a
//! number for it: `forgetfulness` compares with `never`, by `=` and `!=`, and what is never learnt
//! fulfils no comparison with a number below that of the tables.

mod parse;

use crate::config::nearest;
use crate::data::Table;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::map::Forgetfulness;

use parse::{Comparison, Expression, Operator, Value, parse};

/// A condition that was parsed and whose columns are yet to be looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    expression: Expression,
}

/// What is wrong with a condition, and where: the byte of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    at: usize,
    message: String,
}

impl Condition {
    /// Parses a condition; `columns` are those it may name, for the errors.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where the text is none, with the place in it.
    pub fn parse<'a>(text: &str, columns: impl Iterator<Item = &'a str>) -> Result<Self> {
        match parse(text) {
            Ok(expression) => Ok(Self {
                text: text.to_owned(),
                expression,
            }),
            Err(fault) => Err(refusal(text, &fault, &columns.collect::<Vec<_>>())),
        }
    }

    /// For each row of the table, whether it fulfils the condition.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a column that the table lacks, or one that cannot be compared
    /// with what the condition has, with the place in its text.
    pub fn rows(&self, table: &Table) -> Result<Vec<bool>> {
        rows(&self.expression, table)
            .map_err(|fault| refusal(&self.text, &fault, &table.names().collect::<Vec<_>>()))
    }
}

fn rows(expression: &Expression, table: &Table) -> Result<Vec<bool>, Fault> {
    let all = |members: &[Expression]| -> Result<Vec<Vec<bool>>, Fault> {
        members.iter().map(|member| rows(member, table)).collect()
    };
    let joined = |members: Vec<Vec<bool>>, join: fn(bool, bool) -> bool| {
        let joined = members.into_iter().reduce(|mut left, right| {
            for (left, right) in left.iter_mut().zip(right) {
                *left = join(*left, right);
            }
            left
        });
        joined.unwrap_or_default()
    };
    match expression {
        Expression::Either(members) => Ok(joined(all(members)?, |a, b| a || b)),
        Expression::Both(members) => Ok(joined(all(members)?, |a, b| a && b)),
        Expression::Not(inner) => Ok(rows(inner, table)?.into_iter().map(|x| !x).collect()),
        Expression::Comparison(comparison) => compare(comparison, table),
    }
}

fn compare(comparison: &Comparison, table: &Table) -> Result<Vec<bool>, Fault> {
    let Comparison {
        column,
        column_at,
        operator,
        value,
        value_at,
    } = comparison;
    let fault = |at: &usize, message: String| Err(Fault { at: *at, message });
    if !table.names().any(|name| name == column) {
        return fault(column_at, format!("there is no column `{column}`"));
    }
    let never_learnt = f64::from(Forgetfulness::NeverLearnt.exported());
    let is_forgetfulness = column == "forgetfulness";
    // Somebody may take the word for a text.
    let value = match value {
        Value::Text(text) if is_forgetfulness && text.eq_ignore_ascii_case("never") => {
            &Value::Never
        }
        value => value,
    };
    match value {
        Value::Number(number) => match table.reals(column) {
            // NaN must not be unequal to anything, so that a missing value fulfils nothing.
            Some(values) => {
                let is_number = |x: f64| {
                    let is_never = is_forgetfulness && x >= never_learnt;
                    !x.is_nan() && (!is_never || *number >= never_learnt)
                };
                let holds = |x: &f64| is_number(*x) && operator.holds(x.partial_cmp(number));
                Ok(values.iter().map(holds).collect())
            }
            None => fault(
                value_at,
                format!("`{column}` does not hold numbers, compare it with a text in quotes"),
            ),
        },
        Value::Never if !is_forgetfulness => fault(
            value_at,
            "`never` is for `forgetfulness` alone; a text is in quotes: 'never'".to_owned(),
        ),
        Value::Never => match table.reals(column) {
            Some(values) if matches!(operator, Operator::Equal | Operator::Unequal) => {
                let is_never = |x: f64| (x >= never_learnt) == (*operator == Operator::Equal);
                Ok(values.iter().map(|x| !x.is_nan() && is_never(*x)).collect())
            }
            Some(_) => fault(
                column_at,
                "never learnt is no number of times; compare it with = or !=".to_owned(),
            ),
            None => fault(column_at, format!("`{column}` does not hold numbers")),
        },
        Value::Text(text) => match table.texts(column) {
            None => fault(
                value_at,
                format!("`{column}` holds no texts, compare it with a number"),
            ),
            Some(_) if !matches!(operator, Operator::Equal | Operator::Unequal) => fault(
                value_at,
                "texts are equal or not; to compare numbers leave the quotes out".to_owned(),
            ),
            Some(values) => Ok(values
                .iter()
                .map(|x| !x.is_empty() && operator.holds(x.partial_cmp(text)))
                .collect()),
        },
    }
}

/// The error with the text and a mark under the place, and the columns there are.
fn refusal(text: &str, fault: &Fault, columns: &[&str]) -> Error {
    // A line break or another control character would tear the mark from its place.
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let before = text.get(..fault.at).unwrap_or(text).chars().count();
    let message = format!(
        "the condition cannot be used: {}\n    {line}\n    {}^",
        fault.message,
        " ".repeat(before)
    );
    let quoted = fault.message.split('`').nth(1);
    let meant = quoted
        .filter(|name| !columns.contains(name))
        .and_then(|name| nearest(name, columns.iter().copied()));
    let meant = meant.map_or_else(String::new, |name| format!("is `{name}` meant? "));
    let hint = format!("{meant}the columns are {}", columns.join(", "));
    Error::new(ErrorKind::Usage, Problem::new(message).hint(hint))
}
