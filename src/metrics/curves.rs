//! The areas under the curves that a threshold on a class's probability draws: ROC AUC and
//! average precision.

use crate::config::metric::{Average, Label, MultiClass};
use crate::error::{Problem, Result};

use super::classes::{config_error, resolve};
use super::confusion::Confusion;
use super::probabilities::check_probabilities;
use super::{MetricValue, Scores, Warnings};

/// What is said where the area under an ROC curve is not defined.
const ONE_CLASS: &str = "an area under an ROC curve needs examples of the class and of others";

/// Whether the arguments of `roc_auc_score` suit this number of classes.
///
/// # Errors
/// A config error if they do not.
pub(super) fn check_roc_auc(
    average: Average,
    multi_class: MultiClass,
    max_fpr: Option<f64>,
    n_classes: usize,
) -> Result<()> {
    if n_classes <= 2 {
        return Ok(());
    }
    let refused = |message: String, hint: &str| Err(config_error(Problem::new(message).hint(hint)));
    if multi_class == MultiClass::Raise {
        return refused(
            format!("`roc_auc_score` of {n_classes} classes needs `multi_class`"),
            "set the metric's `args` to {multi_class: ovr}; also: ovo",
        );
    }
    if max_fpr.is_some_and(|rate| rate < 1.0) {
        return refused(
            format!("`max_fpr` is for two classes, but there are {n_classes}"),
            "leave it out",
        );
    }
    if multi_class == MultiClass::OneVsOne && matches!(average, Average::Micro | Average::PerClass)
    {
        return refused(
            "`roc_auc_score` with `multi_class: ovo` has no `average: micro` or `null`".to_owned(),
            "set `average` to macro or weighted, or `multi_class` to ovr",
        );
    }
    Ok(())
}

/// The area under the ROC curve of the second of two classes, or of more classes against
/// each other. Not defined, NaN, where a class has no example or no other.
///
/// # Errors
/// As for [`check_roc_auc`] and [`check_probabilities`].
pub(super) fn roc_auc(
    average: Average,
    multi_class: MultiClass,
    max_fpr: Option<f64>,
    scores: &Scores<'_>,
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> Result<MetricValue> {
    check_roc_auc(average, multi_class, max_fpr, scores.labels.len())?;
    check_probabilities("roc_auc_score", scores)?;
    if scores.labels.len() == 2 {
        let area = area(&Thresholds::of_class(scores, 1), max_fpr, warnings);
        return Ok(MetricValue::Number(area));
    }
    if multi_class == MultiClass::OneVsOne {
        return Ok(MetricValue::Number(one_vs_one(
            average, scores, confusion, warnings,
        )));
    }
    let one = |thresholds: &Thresholds| area(thresholds, None, warnings);
    Ok(averaged(average, scores, confusion, one))
}

/// The mean over all pairs of classes that have examples, (a, b), of the areas for a among
/// the examples of both and for b among them (Hand and Till 2001); `weighted`: by the pair's
/// share of the examples.
fn one_vs_one(
    average: Average,
    scores: &Scores<'_>,
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> f64 {
    let present: Vec<usize> = (0..scores.labels.len())
        .filter(|&class| confusion.gold(class) > 0)
        .collect();
    let (mut sum, mut sum_of_weights) = (0.0, 0.0);
    for (i, &a) in present.iter().enumerate() {
        for &b in &present[i + 1..] {
            let weight = match average {
                Average::Weighted => (confusion.gold(a) + confusion.gold(b)) as f64,
                _ => 1.0,
            };
            let [of_a, of_b] =
                [(a, b), (b, a)].map(|(class, other)| Thresholds::of_pair(scores, class, other));
            sum += weight * (area(&of_a, None, warnings) + area(&of_b, None, warnings)) / 2.0;
            sum_of_weights += weight;
        }
    }
    if sum_of_weights == 0.0 {
        warnings.push(ONE_CLASS);
        return f64::NAN;
    }
    sum / sum_of_weights
}

/// Whether `pos_label` of `average_precision_score` suits the labels.
///
/// # Errors
/// A config error if it does not.
pub(super) fn check_average_precision(pos_label: &Label, labels: &[String]) -> Result<()> {
    if labels.len() == 2 {
        return resolve(pos_label, "pos_label", labels).map(|_| ());
    }
    if *pos_label == Label::Integer(1) {
        return Ok(());
    }
    Err(config_error(
        Problem::new(format!(
            "`average_precision_score` has `pos_label` for two classes, but there are {}",
            labels.len()
        ))
        .hint("leave `pos_label` out"),
    ))
}

/// The average precision of `pos_label` of two classes, or of each of more.
///
/// # Errors
/// A config error if of two classes both have examples but `pos_label` is neither, or if one
/// of more classes has no example; as for [`check_probabilities`].
pub(super) fn average_precision(
    average: Average,
    pos_label: &Label,
    scores: &Scores<'_>,
    confusion: &Confusion,
    warnings: &mut Warnings,
) -> Result<MetricValue> {
    check_average_precision(pos_label, scores.labels)?;
    check_probabilities("average_precision_score", scores)?;
    let mut one = |thresholds: &Thresholds| precision(thresholds, warnings);
    if scores.labels.len() == 2 {
        let class = resolve(pos_label, "pos_label", scores.labels)?;
        let value = one(&Thresholds::of_class(scores, class));
        return Ok(MetricValue::Number(value));
    }
    let absent = (0..scores.labels.len()).find(|&class| confusion.gold(class) == 0);
    if let Some(class) = absent {
        return Err(config_error(Problem::new(format!(
            "`average_precision_score` needs examples of every class, but none has the label `{}`",
            scores.labels[class]
        ))));
    }
    Ok(averaged(average, scores, confusion, one))
}

/// One number per class against all others, averaged; `weighted` leaves out classes without
/// examples.
fn averaged(
    average: Average,
    scores: &Scores<'_>,
    confusion: &Confusion,
    mut one: impl FnMut(&Thresholds) -> f64,
) -> MetricValue {
    if average == Average::Micro {
        return MetricValue::Number(one(&Thresholds::of_all(scores)));
    }
    let n_classes = scores.labels.len();
    let per_class: Vec<f64> = (0..n_classes)
        .map(|class| one(&Thresholds::of_class(scores, class)))
        .collect();
    match average {
        Average::PerClass => MetricValue::numbers(per_class),
        Average::Weighted => {
            let weighted = per_class.iter().enumerate();
            let weighted = weighted.filter(|(class, _)| confusion.gold(*class) > 0);
            let sum: f64 = weighted
                .map(|(class, value)| confusion.gold(class) as f64 * value)
                .sum();
            MetricValue::Number(sum / confusion.n_examples() as f64)
        }
        _ => MetricValue::Number(per_class.iter().sum::<f64>() / n_classes as f64),
    }
}

/// Average precision and area under the ROC curve of any scores, of which high ones are to belong
/// to positives, by the curves that scikit-learn's metrics have.
///
/// # Panics
/// If there are not as many of both.
pub fn ranking_quality(scores: &[f64], is_positive: &[bool]) -> (f64, f64) {
    assert_eq!(scores.len(), is_positive.len());
    let pairs = scores.iter().copied().zip(is_positive.iter().copied());
    let thresholds = Thresholds::new(pairs.collect());
    let mut warnings = Warnings::new();
    (
        precision(&thresholds, &mut warnings),
        area(&thresholds, None, &mut warnings),
    )
}

/// How many positives and negatives score at least as much as each distinct score, from the
/// highest score down.
struct Thresholds {
    /// True and false positives at each threshold; the last has them all.
    positives: Vec<(u64, u64)>,
}

impl Thresholds {
    /// Examples of `class` against all others, by its probability.
    fn of_class(scores: &Scores<'_>, class: usize) -> Self {
        let n_classes = scores.labels.len();
        let rows = scores.probabilities.chunks_exact(n_classes);
        let pairs = rows.zip(scores.gold);
        Self::new(
            pairs
                .map(|(row, &gold)| (row[class], gold as usize == class))
                .collect(),
        )
    }

    /// Examples of `class` against those of `other`, by the probability of `class`.
    fn of_pair(scores: &Scores<'_>, class: usize, other: usize) -> Self {
        let rows = scores.probabilities.chunks_exact(scores.labels.len());
        let pairs = rows.zip(scores.gold.iter().map(|&gold| gold as usize));
        let pairs = pairs.filter(|(_, gold)| *gold == class || *gold == other);
        Self::new(
            pairs
                .map(|(row, gold)| (row[class], gold == class))
                .collect(),
        )
    }

    /// Each class of each example as an example of its own.
    fn of_all(scores: &Scores<'_>) -> Self {
        let n_classes = scores.labels.len();
        let all = scores.probabilities.iter().enumerate();
        let is_gold = |i: usize| scores.gold[i / n_classes] as usize == i % n_classes;
        Self::new(all.map(|(i, &score)| (score, is_gold(i))).collect())
    }

    /// Of scores and whether each belongs to a positive.
    fn new(mut scores: Vec<(f64, bool)>) -> Self {
        scores.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut positives: Vec<(u64, u64)> = Vec::new();
        let (mut hits, mut wrong) = (0, 0);
        let mut last = f64::NAN;
        for (score, is_positive) in scores {
            hits += u64::from(is_positive);
            wrong += u64::from(!is_positive);
            if score.total_cmp(&last).is_eq() {
                positives.pop();
            }
            positives.push((hits, wrong));
            last = score;
        }
        Self { positives }
    }

    /// The numbers of positives and negatives.
    fn totals(&self) -> (u64, u64) {
        self.positives.last().copied().unwrap_or((0, 0))
    }
}

/// The area under the ROC curve in [0, 1], by trapezoids; up to a false positive rate it is
/// standardised so that guessing has 0.5 (`McClish` 1989). NaN without positives or negatives.
fn area(thresholds: &Thresholds, max_fpr: Option<f64>, warnings: &mut Warnings) -> f64 {
    let (n_positive, n_negative) = thresholds.totals();
    if n_positive == 0 || n_negative == 0 {
        warnings.push(ONE_CLASS);
        return f64::NAN;
    }
    let rates = thresholds.positives.iter().map(|&(hits, wrong)| {
        (
            wrong as f64 / n_negative as f64,
            hits as f64 / n_positive as f64,
        )
    });
    let limit = max_fpr.unwrap_or(1.0);
    let mut area = 0.0;
    let (mut x, mut y) = (0.0, 0.0);
    for (next_x, next_y) in rates {
        if next_x > limit {
            let at_limit = y + (next_y - y) * (limit - x) / (next_x - x);
            area += (limit - x) * (y + at_limit) / 2.0;
            break;
        }
        area += (next_x - x) * (y + next_y) / 2.0;
        (x, y) = (next_x, next_y);
    }
    if limit < 1.0 {
        let by_chance = limit * limit / 2.0;
        0.5 * (1.0 + (area - by_chance) / (limit - by_chance))
    } else {
        area
    }
}

/// The sum over the thresholds of the precision times the recall that each adds, in [0, 1];
/// 0 without positives.
fn precision(thresholds: &Thresholds, warnings: &mut Warnings) -> f64 {
    let (n_positive, _) = thresholds.totals();
    if n_positive == 0 {
        warnings.push("an average precision needs examples of the class; it counts as 0");
        return 0.0;
    }
    let mut before = 0;
    let mut sum = 0.0;
    for &(hits, wrong) in &thresholds.positives {
        sum += (hits - before) as f64 * hits as f64 / (hits + wrong) as f64;
        before = hits;
    }
    sum / n_positive as f64
}
