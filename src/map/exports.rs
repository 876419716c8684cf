//! The map as the tables of the programs that this one replaces.

use std::io::Write;

use rayon::prelude::*;

use crate::map::{Forgetfulness, Point};

/// Rows that are written by one task.
const ROWS_PER_TASK: usize = 1024;

/// Writes points as lines of allenai/cartography's `td_metrics.jsonl`, with its columns in its
/// order: `guid index threshold_closeness confidence variability correctness forgetfulness`.
///
/// Ids that were numbers are numbers.
///
/// # Errors
/// What `to` says.
pub fn write_td_metrics(points: &[Point], to: &mut dyn Write) -> std::io::Result<()> {
    in_parallel(points, to, |point, line| {
        let (example, signals) = (&point.example, &point.signals);
        line.write_all(b"{\"guid\":")?;
        if example.guid_is_number {
            line.write_all(example.guid.as_bytes())?;
        } else {
            serde_json::to_writer(&mut *line, &example.guid)?;
        }
        write_field("index", &example.index, line)?;
        write_field("threshold_closeness", &signals.threshold_closeness, line)?;
        write_field("confidence", &signals.confidence, line)?;
        write_field("variability", &signals.variability, line)?;
        write_field("correctness", &signals.correctness, line)?;
        write_field("forgetfulness", &signals.forgetfulness.exported(), line)?;
        line.write_all(b"}\n")
    })
}

/// A further field of a JSON object.
fn write_field(name: &str, value: &impl serde::Serialize, to: &mut Vec<u8>) -> std::io::Result<()> {
    to.extend_from_slice(b",\"");
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b"\":");
    Ok(serde_json::to_writer(to, value)?)
}

/// The columns of TrustAI's table.
const TRUSTAI_COLUMNS: [&str; 15] = [
    "id",
    "label",
    "s_label",
    "correct_times",
    "correct_ratio",
    "avg_probs",
    "label_var",
    "max_label_probs",
    "min_label_probs",
    "forgetting_times",
    "learnt_times",
    "first_forget",
    "first_learn",
    "pred_label",
    "pred_dist",
];

/// Writes the first line of TrustAI's table.
///
/// # Errors
/// What `to` says.
pub fn write_trustai_header(to: &mut dyn Write) -> std::io::Result<()> {
    writeln!(to, "{}", TRUSTAI_COLUMNS.join("\t"))
}

/// Writes points as lines of TrustAI's table, by its rules: `label_var` is the variance, an
/// example that was never learnt was forgotten 0 times, states count from the first evaluation.
///
/// # Errors
/// What `to` says.
pub fn write_trustai_rows(points: &[Point], to: &mut dyn Write) -> std::io::Result<()> {
    in_parallel(points, to, |point, line| {
        let (example, signals) = (&point.example, &point.signals);
        write_cell(&example.guid, line)?;
        let forgetting_times = match signals.forgetfulness {
            Forgetfulness::NeverLearnt => 0,
            Forgetfulness::Times(n) => n,
        };
        for count in [example.gold, example.noisy_label, signals.correctness] {
            write_tabbed(&count, line)?;
        }
        for real in [
            signals.correct_ratio,
            signals.confidence,
            signals.label_var,
            signals.max_label_probs,
            signals.min_label_probs,
        ] {
            write_tabbed(&real, line)?;
        }
        for count in [
            forgetting_times,
            signals.learnt_times,
            signals.first_forget,
            signals.first_learn,
        ] {
            write_tabbed(&count, line)?;
        }
        write_tabbed(&signals.predictions, line)?;
        write_tabbed(&signals.pred_dist, line)?;
        line.write_all(b"\n")
    })
}

/// A number or list as JSON, which is also how Python reads it, after a tab.
fn write_tabbed(value: &impl serde::Serialize, to: &mut Vec<u8>) -> std::io::Result<()> {
    to.push(b'\t');
    Ok(serde_json::to_writer(to, value)?)
}

/// A cell of a table whose cells are separated by tabs; in quotes where it must be.
fn write_cell(text: &str, to: &mut Vec<u8>) -> std::io::Result<()> {
    if text.contains(['\t', '\n', '\r', '"']) {
        write!(to, "\"{}\"", text.replace('"', "\"\""))
    } else {
        to.write_all(text.as_bytes())
    }
}

/// Writes the lines of all points in their order; all threads make them.
fn in_parallel(
    points: &[Point],
    to: &mut dyn Write,
    line: impl Fn(&Point, &mut Vec<u8>) -> std::io::Result<()> + Sync,
) -> std::io::Result<()> {
    let parts: Vec<std::io::Result<Vec<u8>>> = points
        .par_chunks(ROWS_PER_TASK)
        .map(|points| {
            let mut lines = Vec::with_capacity(256 * points.len());
            for point in points {
                line(point, &mut lines)?;
            }
            Ok(lines)
        })
        .collect();
    for lines in parts {
        to.write_all(&lines?)?;
    }
    Ok(())
}
