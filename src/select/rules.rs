//! Picking by rules from a map alone: its regions, and the ends of any of its signals.

use std::collections::BTreeMap;

use crate::config::{End, Fraction, Rule, RuleShares};
use crate::data::ExampleIndex;
use crate::random::Stream;

use super::cartography::{order_of, random_picks};
use super::ranking::{Left, Order};

/// The examples to pick from, by their positions in a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Candidates {
    /// Each example's row in its file; no two are the same.
    pub indices: Vec<ExampleIndex>,
    /// The classes that are picked from one by one, if they are: numbers from 0.
    pub classes: Option<Vec<u32>>,
    /// The signals that the rules rank by, finite numbers.
    pub signals: BTreeMap<String, Vec<f64>>,
}

/// What one rule picked.
#[derive(Debug, Clone, PartialEq)]
pub struct RulePicks {
    /// The rule.
    pub rule: Rule,
    /// The class that it picked from, where each is picked from by itself.
    pub class: Option<u32>,
    /// The positions of the examples, first pick first, and what each was ranked by: none for
    /// random picks.
    pub picks: Vec<(usize, Option<f64>)>,
}

/// The share of a pick from both ends that comes from the hard end, in tenths: seven, as in the
/// paper's code (allenai/cartography 1bf67e0, `write_filtered_data`).
const TENTHS_FROM_HARD_END: usize = 7;

/// Picks by each rule floor(fraction N) of the N examples, or of each class's, without
/// replacement across rules; see [`RuleShares::quotas`] for `min_easy`.
///
/// Ties go to the smaller row, so the order of the candidates does not matter. The picks of a
/// class are those that it would give alone.
///
/// # Panics
/// If the signal of a rule is not there: that is a bug of the caller.
pub fn select_by_rules(
    shares: &RuleShares,
    min_easy: Fraction,
    candidates: &Candidates,
    seed: u64,
) -> Vec<RulePicks> {
    let mut groups: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
    for position in 0..candidates.indices.len() {
        let class = candidates.classes.as_ref().map(|classes| classes[position]);
        groups.entry(class).or_default().push(position);
    }
    let mut picked = Vec::new();
    for (class, positions) in groups {
        let mut left = Left::new(positions, &candidates.indices);
        let random = random_picks(seed, class.unwrap_or(0) as usize);
        let quotas = shares.quotas(left.len(), min_easy);
        picked.extend(take_all(quotas, class, &mut left, candidates, random));
    }
    picked
}

/// Picks by each rule as many of the candidates as it is to give, without replacement across
/// rules, whatever their classes; ties as for [`select_by_rules`].
///
/// # Panics
/// As [`select_by_rules`].
pub fn select_by_quotas(
    quotas: Vec<(Rule, usize)>,
    candidates: &Candidates,
    seed: u64,
) -> Vec<RulePicks> {
    let positions = (0..candidates.indices.len()).collect();
    let mut left = Left::new(positions, &candidates.indices);
    take_all(quotas, None, &mut left, candidates, random_picks(seed, 0))
}

fn take_all(
    quotas: Vec<(Rule, usize)>,
    class: Option<u32>,
    left: &mut Left,
    candidates: &Candidates,
    random: Stream,
) -> Vec<RulePicks> {
    let picked = quotas.into_iter().map(|(rule, n)| {
        let picks = take(&rule, n, left, candidates, random);
        RulePicks { rule, class, picks }
    });
    picked.collect()
}

/// Takes the best `n` by a rule.
fn take(
    rule: &Rule,
    n: usize,
    left: &mut Left,
    candidates: &Candidates,
    random: Stream,
) -> Vec<(usize, Option<f64>)> {
    let signal = |name: &str| {
        let values = candidates.signals.get(name);
        values
            .expect("the signals of all rules are there")
            .as_slice()
    };
    let order = |end, name| match end {
        End::Low => Order::Lowest(signal(name)),
        End::High => Order::Highest(signal(name)),
    };
    match rule {
        Rule::Region(region) => left.take(n, &order_of(*region, signal, random)),
        Rule::OneEnd { end, signal } => left.take(n, &order(*end, signal)),
        Rule::BothEnds { hard, signal } => {
            let easy = match hard {
                End::Low => End::High,
                End::High => End::Low,
            };
            let n_hard = n * TENTHS_FROM_HARD_END / 10;
            let mut picks = left.take(n_hard, &order(*hard, signal));
            picks.extend(left.take(n - n_hard, &order(easy, signal)));
            picks
        }
    }
}
