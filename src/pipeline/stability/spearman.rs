//! Spearman's rank correlation.

/// Spearman's rank correlation, -1 to 1: Pearson's of the ranks, where equal values share the
/// mean of theirs. NaN where either side is constant.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |of: &mut dyn Iterator<Item = f64>| of.sum::<f64>();
    let covariance = sum(&mut a.iter().zip(&b).map(|(a, b)| (a - mean) * (b - mean)));
    let [of_a, of_b] = [&a, &b].map(|ranks| sum(&mut ranks.iter().map(|r| (r - mean).powi(2))));
    covariance / (of_a * of_b).sqrt()
}

/// Ranks from 0.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|i, j| values[*i].total_cmp(&values[*j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|i, j| values[*i].total_cmp(&values[*j]).is_eq()) {
        let mean = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        for i in equal {
            ranks[*i] = mean;
        }
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_spearman_defined() {
        // Expected: scipy.stats.spearmanr, version 1.17.1.
        let check = |a: &[f64], b: &[f64], expected: f64| {
            assert!(
                (spearman(a, b) - expected).abs() < 1e-12,
                "{a:?} {b:?} {}",
                spearman(a, b)
            );
        };
        check(&[1.0, 2.0, 3.0], &[10.0, 20.0, 1e9], 1.0);
        check(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], -1.0);
        check(&[1.0, 2.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 2.0], 0.5);
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }
}
