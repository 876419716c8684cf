//! The paper's figures: a metric against the share of the training set, for each test and control
//! set.

use std::path::Path;

use crate::error::Result;
use crate::fsio;
use crate::metrics::OverSeeds;
use crate::pipeline::PICTURE_SCALE;
use crate::report::curves::{Curves, Level, Line, LineKind, LinePoint, curves_svg};
use crate::report::raster;

use super::summary::SummaryRow;
use super::{ALL, RANDOM};

/// Draws `metric` on each of the stages as `results_STAGE.svg` and `.png`, where any selection has
/// it; the names of the latter.
///
/// # Errors
/// Files that cannot be written.
pub(super) fn draw(
    rows: &[SummaryRow],
    metric: &str,
    stages: &[&str],
    folder: &Path,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for stage in stages {
        let rows: Vec<&SummaryRow> = rows
            .iter()
            .filter(|row| row.stage == *stage && row.metric == metric)
            .collect();
        let Some(curves) = curves(&rows, metric, stage) else {
            continue;
        };
        let svg = curves_svg(&curves)?;
        fsio::write(&folder.join(format!("results_{stage}.svg")), svg.as_bytes())?;
        let name = format!("results_{stage}.png");
        fsio::write(&folder.join(&name), &raster::png(&svg, PICTURE_SCALE)?)?;
        names.push(name);
    }
    Ok(names)
}

/// The picture of one stage's rows; none where there is no subset with a number.
fn curves(rows: &[&SummaryRow], metric: &str, stage: &str) -> Option<Curves> {
    let mut lines: Vec<Line> = Vec::new();
    let mut whole = None;
    let mut n_seeds: Vec<usize> = Vec::new();
    for row in rows {
        let Some(scores) = row.scores.filter(|scores| scores.mean.is_finite()) else {
            continue;
        };
        n_seeds.push(scores.n);
        if row.selection == ALL {
            whole = Some(level(&scores));
            continue;
        }
        let point = LinePoint {
            fraction: row.fraction.to_f64(),
            level: level(&scores),
        };
        match lines.iter_mut().find(|line| line.name == row.selection) {
            Some(line) => line.points.push(point),
            None => lines.push(Line {
                name: row.selection.to_owned(),
                kind: if row.selection == RANDOM {
                    LineKind::Reference
                } else {
                    LineKind::Selection
                },
                points: vec![point],
            }),
        }
    }
    (!lines.is_empty()).then(|| Curves {
        title: format!("{metric} on {stage} by selected subset"),
        note: note(&n_seeds),
        metric: metric.to_owned(),
        lines,
        whole,
    })
}

fn level(scores: &OverSeeds) -> Level {
    let interval = scores.spread.map(|spread| (spread.low, spread.high));
    Level {
        mean: scores.mean,
        interval: interval.filter(|(low, high)| low.is_finite() && high.is_finite()),
    }
}

fn note(n_seeds: &[usize]) -> String {
    let least = n_seeds.iter().min().copied().unwrap_or(0);
    let most = n_seeds.iter().max().copied().unwrap_or(0);
    let seeds = match (least, most) {
        (_, 1) => return "one seed, which says nothing of the spread".to_owned(),
        (least, most) if least == most => format!("{most} seeds"),
        (least, most) => format!("{least} to {most} seeds"),
    };
    format!("mean over {seeds}, shaded or barred: 95 % interval (Student's t)")
}
