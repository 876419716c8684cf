//! Which share of the learning rate each parameter has: layer-wise decay and freezing.

use glob::Pattern;

use crate::config::TrainingConfig;
use crate::model::Classifier;

/// A pattern of `training.freeze` that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeProblem {
    /// The number of the pattern in the list; none: all of them together.
    pub pattern: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// The share of the learning rate of each parameter, in the order of the names: in [0, 1],
/// 0 for a frozen one.
///
/// With `layerwise_lr_decay` d, a parameter at depth k ([`Classifier::depth_of`]) has the share
/// d^k (Clark et al. 2020, ELECTRA, and Howard and Ruder 2018 before it).
///
/// # Errors
/// A pattern that fits no parameter; patterns that freeze all of them.
pub fn learning_rate_shares(
    model: &Classifier,
    config: &TrainingConfig,
) -> Result<Vec<f64>, FreezeProblem> {
    let decay = config.layerwise_lr_decay.unwrap_or(1.0);
    let specs = model.parameters().specs();
    let mut shares: Vec<f64> = specs
        .iter()
        .map(|spec| decay.powi(model.depth_of(&spec.name) as i32))
        .collect();
    for (i, pattern) in config.freeze.iter().enumerate() {
        let problem = |message| FreezeProblem {
            pattern: Some(i),
            message,
        };
        let matcher = Pattern::new(pattern).map_err(|e| problem(e.to_string()))?;
        let mut n_frozen = 0;
        for (spec, share) in specs.iter().zip(&mut shares) {
            if matcher.matches(&spec.name) {
                *share = 0.0;
                n_frozen += 1;
            }
        }
        if n_frozen == 0 {
            let (first, last) = (&specs[0].name, &specs[specs.len() - 1].name);
            return Err(problem(format!(
                "`{pattern}` fits none of the {} parameters, `{first}` to `{last}`",
                specs.len()
            )));
        }
    }
    if shares.iter().all(|share| *share == 0.0) {
        return Err(FreezeProblem {
            pattern: None,
            message: "every parameter of the model is frozen".to_owned(),
        });
    }
    Ok(shares)
}
