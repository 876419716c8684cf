//! The rules of `select`: the regions of the data map, and the ends of any signal.

use std::fmt;
use std::str::FromStr;

use super::regions::{Region, check_sum};
use super::unknown;
use crate::config::fraction::Fraction;

/// A way of picking examples by the columns of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// As the selector `data_cartography` does.
    Region(Region),
    /// From one end of a signal.
    OneEnd {
        /// Which values come first.
        end: End,
        /// The column's name, with `_` for `-`.
        signal: String,
    },
    /// From the hard end of a signal, and fewer from its easy end.
    BothEnds {
        /// Which values are hard.
        hard: End,
        /// The column's name, with `_` for `-`.
        signal: String,
    },
}

/// An end of a signal's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The smallest values.
    Low,
    /// The largest values.
    High,
}

/// One rule's share, as `--fraction high_aum=0.1` gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleShare {
    /// What to pick.
    pub rule: Rule,
    /// How much of the whole.
    pub fraction: Fraction,
}

/// How much each rule gives, in the order in which the rules take turns; together more than 0
/// and at most 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleShares(Vec<RuleShare>);

/// The end of each signal where the hard examples are. Of confidence, correctness, variability,
/// forgetfulness and threshold closeness it is that of the paper's code
/// (allenai/cartography 1bf67e0, `consider_ascending_order`).
const HARD_ENDS: [(&str, End); 12] = [
    ("confidence", End::Low),
    ("correctness", End::Low),
    ("variability", End::High),
    ("forgetfulness", End::High),
    ("threshold_closeness", End::High),
    ("aum", End::Low),
    ("el2n", End::High),
    ("entropy", End::High),
    ("loss", End::High),
    ("correct_ratio", End::Low),
    ("max_label_probs", End::Low),
    ("min_label_probs", End::Low),
];

impl Rule {
    /// Its turn: hard, easy, ambiguous, then by the ends of signals, random last.
    fn turn(&self) -> usize {
        match self {
            Self::Region(Region::HardToLearn) => 0,
            Self::Region(Region::EasyToLearn) => 1,
            Self::Region(Region::Ambiguous) => 2,
            Self::OneEnd { .. } | Self::BothEnds { .. } => 3,
            Self::Region(Region::Random) => 4,
        }
    }

    /// The column that it ranks by; none for random picks.
    pub fn signal(&self) -> Option<&str> {
        match self {
            Self::Region(Region::HardToLearn | Region::EasyToLearn) => Some("confidence"),
            Self::Region(Region::Ambiguous) => Some("variability"),
            Self::Region(Region::Random) => None,
            Self::OneEnd { signal, .. } | Self::BothEnds { signal, .. } => Some(signal),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => region.fmt(f),
            Self::OneEnd {
                end: End::Low,
                signal,
            } => write!(f, "low_{signal}"),
            Self::OneEnd {
                end: End::High,
                signal,
            } => write!(f, "high_{signal}"),
            Self::BothEnds { signal, .. } => write!(f, "both_ends_{signal}"),
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Reads a name, in which `-` stands for `_`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.replace('-', "_");
        if let Some(region) = Region::ALL.into_iter().find(|r| r.name() == name) {
            return Ok(Self::Region(region));
        }
        let signal_after = |prefix| {
            let signal = name.strip_prefix(prefix)?;
            (!signal.is_empty()).then(|| signal.to_owned())
        };
        if let Some(signal) = signal_after("both_ends_") {
            let hard = hard_end(&signal)?;
            return Ok(Self::BothEnds { hard, signal });
        }
        for (prefix, end) in [("low_", End::Low), ("high_", End::High)] {
            if let Some(signal) = signal_after(prefix) {
                return Ok(Self::OneEnd { end, signal });
            }
        }
        let regions = Region::ALL.map(Region::name);
        let ends = ["low_SIGNAL", "high_SIGNAL", "both_ends_SIGNAL"];
        Err(unknown("rule", text, &[&regions[..], &ends].concat()))
    }
}

fn hard_end(signal: &str) -> Result<End, String> {
    let known = HARD_ENDS.iter().find(|(name, _)| *name == signal);
    known.map(|(_, end)| *end).ok_or_else(|| {
        let names = HARD_ENDS.map(|(name, _)| name).join(", ");
        format!(
            "which end of `{signal}` is the hard one is not known, only of {names}; give `low_{signal}` and `high_{signal}` their own fractions"
        )
    })
}

impl fmt::Display for RuleShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.rule, self.fraction)
    }
}

impl FromStr for RuleShare {
    type Err = String;

    /// Reads `high_aum=0.1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, fraction) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` is not of the form NAME=FRACTION"))?;
        Ok(Self {
            rule: name.parse()?,
            fraction: fraction.parse()?,
        })
    }
}

impl RuleShares {
    /// Puts shares into the order of their turns: hard, easy, ambiguous, the ends of signals
    /// as given, random.
    ///
    /// # Errors
    /// A rule with two shares; a sum of 0 or above 1.
    pub fn new(mut shares: Vec<RuleShare>) -> Result<Self, String> {
        for (i, share) in shares.iter().enumerate() {
            if shares[..i].iter().any(|other| other.rule == share.rule) {
                return Err(format!("`{}` is given twice", share.rule));
            }
        }
        check_sum(shares.iter().map(|share| share.fraction))?;
        shares.sort_by_key(|share| share.rule.turn());
        Ok(Self(shares))
    }

    /// How many of `n` examples each rule picks, in the order of their turns: floor(fraction n).
    ///
    /// At least ceil(`min_easy` total) of them are picked as easy-to-learn: where the fractions
    /// ask for fewer, that rule picks so many, and the last rules as many fewer, so that the
    /// total stays. With a `min_easy` above 0 that rule is there, even if it picks none.
    pub fn quotas(&self, n: usize, min_easy: Fraction) -> Vec<(Rule, usize)> {
        with_min_easy(self.rounded_down(n), min_easy)
    }

    /// How the rules share exactly `total` picks: floor(share total) each, and what that leaves
    /// goes to the largest share, of equal ones the first; `min_easy` as in
    /// [`RuleShares::quotas`]. The shares add up to 1.
    pub fn split(&self, total: usize, min_easy: Fraction) -> Vec<(Rule, usize)> {
        let mut quotas = self.rounded_down(total);
        let n: usize = quotas.iter().map(|(_, n)| n).sum();
        let largest = self.0.iter().map(|share| share.fraction).max();
        let mut shares = self.0.iter();
        if let Some(at) = shares.position(|share| Some(share.fraction) == largest) {
            quotas[at].1 += total - n;
        }
        with_min_easy(quotas, min_easy)
    }

    fn rounded_down(&self, n: usize) -> Vec<(Rule, usize)> {
        let shares = self.0.iter();
        shares
            .map(|share| (share.rule.clone(), share.fraction.of(n)))
            .collect()
    }

    /// The shares in the order of their turns.
    pub fn shares(&self) -> &[RuleShare] {
        &self.0
    }
}

/// Quotas of which at least ceil(`min_easy` total) are easy-to-learn, see [`RuleShares::quotas`].
fn with_min_easy(mut quotas: Vec<(Rule, usize)>, min_easy: Fraction) -> Vec<(Rule, usize)> {
    const EASY: Rule = Rule::Region(Region::EasyToLearn);
    let total = quotas.iter().map(|(_, n)| n).sum();
    let easy = quotas.iter().find(|(rule, _)| *rule == EASY);
    let has = easy.map_or(0, |(_, n)| *n);
    let wanted = min_easy.of_rounded_up(total).max(has);
    let mut lacking = wanted - has;
    for (rule, n) in quotas.iter_mut().rev() {
        if *rule != EASY {
            let given = lacking.min(*n);
            *n -= given;
            lacking -= given;
        }
    }
    match quotas.iter_mut().find(|(rule, _)| *rule == EASY) {
        Some((_, n)) => *n = wanted,
        None if !min_easy.is_zero() => quotas.push((EASY, wanted)),
        None => {}
    }
    quotas.sort_by_key(|(rule, _)| rule.turn());
    quotas
}
