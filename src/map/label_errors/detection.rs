//! How well a score finds the labels that are known to be wrong.

use crate::metrics::ranking_quality;

/// The quality of a ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Average precision, 0 to 1; a random order has the share of wrong labels.
    pub average_precision: f64,
    /// Area under the ROC curve, 0 to 1; a random order has 0.5. NaN where all labels are wrong,
    /// or none is.
    pub roc_auc: f64,
    /// For each depth k that was asked for: k, the share of wrong labels among the first k, and
    /// the share of all wrong labels that is among them.
    pub at: Vec<(usize, f64, f64)>,
}

/// How well `suspicion`, high where a label is suspect, finds the labels that are wrong, down to
/// each of the `depths`; of equal values the smaller position comes first.
///
/// # Panics
/// If there are not as many of both.
pub fn detection(suspicion: &[f64], is_wrong: &[bool], depths: &[usize]) -> Detection {
    assert_eq!(suspicion.len(), is_wrong.len());
    let (average_precision, roc_auc) = ranking_quality(suspicion, is_wrong);
    let mut order: Vec<usize> = (0..suspicion.len()).collect();
    order.sort_by(|a, b| suspicion[*b].total_cmp(&suspicion[*a]));
    let n_wrong = is_wrong.iter().filter(|is| **is).count();
    let at = depths.iter().map(|depth| {
        let k = (*depth).min(order.len());
        let n_found = order[..k].iter().filter(|i| is_wrong[**i]).count() as f64;
        (k, n_found / k as f64, n_found / n_wrong as f64)
    });
    Detection {
        average_precision,
        roc_auc,
        at: at.collect(),
    }
}
