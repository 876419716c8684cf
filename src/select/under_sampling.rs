//! Fewer examples of the larger classes.
//!
//! How many of which class, and what is refused, is as in imbalanced-learn 0.14.0
//! (`RandomUnderSampler` and `check_sampling_strategy`); which ones, our own random numbers
//! say.

use crate::config::{SamplingStrategy, UnderSampling};
use crate::data::{Dataset, ExampleIndex, LabelSpace, Subset};
use crate::error::Problem;
use crate::random::{Purpose, Stream};

/// As many classes are named in a report.
const MOST_NAMED: usize = 10;

/// What was drawn.
pub(super) struct Draw {
    /// Each example as often as it was drawn, in ascending order.
    pub indices: Vec<ExampleIndex>,
    /// For each class of the label space: how many there were and how many are wanted.
    counts: Vec<(usize, usize)>,
}

/// Draws from the examples of `subset`; `position` tells selectors of one chain apart.
///
/// # Errors
/// What imbalanced-learn refuses: the problem, without a place.
pub(super) fn draw(
    spec: &UnderSampling,
    dataset: &Dataset,
    subset: &Subset,
    labels: &LabelSpace,
    seed: u64,
    position: usize,
) -> Result<Draw, Problem> {
    let mut members: Vec<Vec<ExampleIndex>> = vec![Vec::new(); labels.len()];
    for (index, example) in subset.examples(dataset) {
        members[example.label as usize].push(index);
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let wanted = class_sizes(&spec.strategy, &sizes, labels)?;
    let seed = spec.random_state.unwrap_or(seed);
    let mut indices = Vec::new();
    let mut counts = Vec::new();
    for (class, (mut members, wanted)) in members.into_iter().zip(wanted).enumerate() {
        let n = members.len();
        counts.push((n, wanted.unwrap_or(n)));
        // The picks by the map have stream 0 of a position.
        let stream = Stream::new(seed, Purpose::Selection, position as u32, class as u32 + 1);
        match wanted {
            None => indices.extend(members),
            Some(wanted) if spec.replacement => indices.extend((0..wanted as u64).map(|i| {
                let wide = u128::from(stream.u64_at(i)) * n as u128;
                members[(wide >> 64) as usize]
            })),
            Some(wanted) => {
                stream.shuffle(&mut members);
                indices.extend_from_slice(&members[..wanted]);
            }
        }
    }
    indices.sort_unstable();
    Ok(Draw { indices, counts })
}

impl Draw {
    /// How many of which class, as one line.
    pub fn describe(&self, labels: &LabelSpace) -> String {
        let present = self.counts.iter().zip(labels.names());
        let present: Vec<String> = present
            .filter(|((n, _), _)| *n > 0)
            .map(|((n, wanted), name)| format!("{wanted} {name} (of {n})"))
            .collect();
        let mut named = present[..present.len().min(MOST_NAMED)].join(", ");
        if present.len() > MOST_NAMED {
            named.push_str(", ...");
        }
        let n = self.indices.len();
        format!("random_under_sampler: {n} examples: {named}")
    }

    /// Why an example of a class was not taken.
    pub fn reason(&self, class: u32, labels: &LabelSpace) -> String {
        let (n, wanted) = self.counts[class as usize];
        format!(
            "not among the {wanted} drawn of {n} of `{}`",
            labels.name(class)
        )
    }
}

/// How many examples of each class are to be drawn, of `sizes`; none: all are kept.
///
/// # Errors
/// What imbalanced-learn refuses.
pub(super) fn class_sizes(
    strategy: &SamplingStrategy,
    sizes: &[usize],
    labels: &LabelSpace,
) -> Result<Vec<Option<usize>>, Problem> {
    let present: Vec<usize> = (0..sizes.len()).filter(|class| sizes[*class] > 0).collect();
    if present.len() < 2 {
        let message = "all examples are of one class: there is nothing to balance";
        return Err(Problem::new(message));
    }
    // Of equally large ones the first: `max_by_key` would take the last.
    let smallest = present.iter().copied().min_by_key(|class| sizes[*class]);
    let largest = present
        .iter()
        .rev()
        .copied()
        .max_by_key(|class| sizes[*class]);
    let (smallest, largest) = (smallest.unwrap_or(0), largest.unwrap_or(0));
    let least = sizes[smallest];
    let mut wanted = vec![None; sizes.len()];
    match strategy {
        SamplingStrategy::Majority => wanted[largest] = Some(least),
        SamplingStrategy::NotMinority | SamplingStrategy::NotMajority | SamplingStrategy::All => {
            let spared = match strategy {
                SamplingStrategy::NotMinority => Some(smallest),
                SamplingStrategy::NotMajority => Some(largest),
                _ => None,
            };
            for class in present.into_iter().filter(|class| Some(*class) != spared) {
                wanted[class] = Some(least);
            }
        }
        SamplingStrategy::Ratio(ratio) => {
            if present.len() > 2 {
                let message = format!(
                    "`sampling_strategy` is a number, and there are {} classes; expected two",
                    present.len()
                );
                let hint = "name the classes, as in `{neg: 100, pos: 100}`";
                return Err(Problem::new(message).hint(hint));
            }
            let class = present.into_iter().find(|class| *class != smallest);
            let class = class.unwrap_or(smallest);
            let target = (least as f64 / ratio) as usize;
            if target > sizes[class] {
                let message = format!(
                    "`sampling_strategy` is {ratio}, which asks for {target} examples of `{}`; \
                     there are {}",
                    labels.names()[class],
                    sizes[class]
                );
                let hint = format!(
                    "the classes already stand at {:.3}; give more than that",
                    least as f64 / sizes[class] as f64
                );
                return Err(Problem::new(message).hint(hint));
            }
            wanted[class] = Some(target);
        }
        SamplingStrategy::Counts(counts) => {
            for (name, count) in counts {
                let class = labels.index_of(name).map(|class| class as usize);
                let Some(class) = class.filter(|class| sizes[*class] > 0) else {
                    let there = present
                        .iter()
                        .map(|class| format!("`{}`", labels.names()[*class]));
                    let there: Vec<String> = there.take(MOST_NAMED).collect();
                    let message = format!(
                        "`sampling_strategy` names the class `{name}`, of which there is no \
                         example; there are {}",
                        there.join(", ")
                    );
                    return Err(Problem::new(message));
                };
                if *count > sizes[class] {
                    let message = format!(
                        "`sampling_strategy` asks for {count} examples of `{name}`; there are {}",
                        sizes[class]
                    );
                    return Err(Problem::new(message));
                }
                wanted[class] = Some(*count);
            }
        }
    }
    Ok(wanted)
}
