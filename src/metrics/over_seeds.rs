//! What is known of a number that several seeds gave: its mean, and where that may lie.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The probability with which an interval is to hold the true mean.
pub const CONFIDENCE_LEVEL: f64 = 0.95;

/// The mean of a number over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverSeeds {
    /// The number of seeds, at least 1.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// How far the seeds lie apart; none of a single seed, which says nothing about others.
    pub spread: Option<Spread>,
}

/// How far seeds lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The sample standard deviation, with n - 1 in the denominator.
    pub standard_deviation: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// The mean of the values that are numbers, with Student's interval of 95 %: mean plus and minus
/// t(0.975, n - 1) s / sqrt(n) (Student 1908, "The probable error of a mean"). None without a value.
pub fn over_seeds(values: impl IntoIterator<Item = f64>) -> Option<OverSeeds> {
    let values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let spread = (n > 1).then(|| {
        let standard_deviation = (squares / (n - 1) as f64).sqrt();
        let half = t_quantile(n - 1) * standard_deviation / (n as f64).sqrt();
        Spread {
            standard_deviation,
            low: mean - half,
            high: mean + half,
        }
    });
    Some(OverSeeds { n, mean, spread })
}

/// The mean of `a - b` over the seeds that both have a number for, as [`over_seeds`] gives it: the
/// seeds' common part, such as an easy order of examples, drops out. Each seed occurs once.
pub fn paired_difference(a: &[(u64, f64)], b: &[(u64, f64)]) -> Option<OverSeeds> {
    let of_b = |seed: u64| b.iter().find(|(other, _)| *other == seed);
    let pairs = a
        .iter()
        .filter_map(|(seed, value)| Some(value - of_b(*seed)?.1));
    over_seeds(pairs)
}

/// Student's t of so many degrees of freedom, at least 1, that is exceeded with half of what the
/// confidence level leaves.
fn t_quantile(degrees_of_freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom as f64)
        .expect("there is at least one degree of freedom")
        .inverse_cdf(0.5 + CONFIDENCE_LEVEL / 2.0)
}
