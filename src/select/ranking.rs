//! Picking without replacement: rank what is left, take the best.

use crate::data::ExampleIndex;
use crate::random::Stream;

/// What examples are ranked by; values are those of all examples, by their positions.
pub(super) enum Order<'a> {
    /// The smallest values first.
    Lowest(&'a [f64]),
    /// The largest values first.
    Highest(&'a [f64]),
    /// Any order, each as likely.
    Random(Stream),
}

/// The examples that nobody has picked yet, as positions in a table.
pub(super) struct Left {
    /// In the order of their rows in the file, which decides ties.
    positions: Vec<usize>,
}

impl Left {
    /// The examples at `positions`; `indices` are the rows of all examples, each another.
    pub fn new(mut positions: Vec<usize>, indices: &[ExampleIndex]) -> Self {
        positions.sort_unstable_by_key(|position| indices[*position]);
        Self { positions }
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Takes the first `n` examples, best first, with the values that they were ranked by.
    ///
    /// Ties go to the smaller row, whatever the order of the table.
    pub fn take(&mut self, n: usize, order: &Order) -> Vec<(usize, Option<f64>)> {
        if n == 0 {
            return Vec::new();
        }
        let mut ranked = self.positions.clone();
        match order {
            Order::Lowest(values) => ranked.sort_by(|a, b| values[*a].total_cmp(&values[*b])),
            Order::Highest(values) => ranked.sort_by(|a, b| values[*b].total_cmp(&values[*a])),
            Order::Random(stream) => stream.shuffle(&mut ranked),
        }
        ranked.truncate(n);
        let score = |position: usize| match order {
            Order::Lowest(values) | Order::Highest(values) => Some(values[position]),
            Order::Random(_) => None,
        };
        let taken: std::collections::HashSet<usize> = ranked.iter().copied().collect();
        self.positions.retain(|position| !taken.contains(position));
        ranked.into_iter().map(|p| (p, score(p))).collect()
    }
}
