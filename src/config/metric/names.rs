//! The names under which files and `metric_for_best_model` know the metrics of a config.

use super::super::types::MetricConfig;

/// The name of each metric: its `name_as`; or else its own name, to which the arguments are
/// appended where an earlier metric has that name already, as in `f1_score(average=micro)`.
///
/// Names that are the same all the same are refused when a config is read.
pub fn metric_names(metrics: &[MetricConfig]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let name = match &metric.name_as {
            Some(name) => name.clone(),
            None if names.contains(&metric.name) => with_arguments(metric),
            None => metric.name.clone(),
        };
        names.push(name);
    }
    names
}

fn with_arguments(metric: &MetricConfig) -> String {
    if metric.args.is_empty() {
        return metric.name.clone();
    }
    let args: Vec<String> = metric
        .args
        .iter()
        .map(|(key, value)| format!("{key}={}", value.to_string().trim_matches('"')))
        .collect();
    format!("{}({})", metric.name, args.join(", "))
}
