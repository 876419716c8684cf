//! The regions of the data map and their shares.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::unknown;
use crate::config::fraction::Fraction;
use crate::config::key_path::KeyPath;
use crate::config::source::KeyProblem;
use crate::config::types::SelectorConfig;

/// A way of picking examples by the data map, in the order in which they take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// The lowest confidence.
    HardToLearn,
    /// The highest confidence.
    EasyToLearn,
    /// The highest variability.
    Ambiguous,
    /// Any, each as likely.
    Random,
}

/// How much each region gives, as a share of the whole training set; together more than 0
/// and at most 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fractions {
    /// The share with the lowest confidence.
    pub hard_to_learn: Fraction,
    /// The share with the highest confidence.
    pub easy_to_learn: Fraction,
    /// The share with the highest variability.
    pub ambiguous: Fraction,
    /// The share picked at random.
    pub random: Fraction,
}

/// One region's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What to pick.
    pub region: Region,
    /// How much of the whole.
    pub fraction: Fraction,
}

/// Reads the arguments of `data_cartography`.
pub(super) fn fractions(
    config: &SelectorConfig,
    at: &KeyPath,
) -> Result<Fractions, Vec<KeyProblem>> {
    let args = at.key("args");
    let mut problems = Vec::new();
    let mut shares = Vec::new();
    for (key, value) in &config.args {
        let here = args.key(key);
        match share(key, value, &here) {
            Ok(share) => shares.push((key, share)),
            Err(message) => problems.push(KeyProblem::new(here, message)),
        }
    }
    for (i, (key, share)) in shares.iter().enumerate() {
        let twin = shares[..i].iter().find(|(_, s)| s.region == share.region);
        if let Some((other, _)) = twin {
            problems.push(KeyProblem::new(
                args.key(key),
                format!("`{other}` and `{key}` are the same argument; give one of them"),
            ));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let shares: Vec<Share> = shares.into_iter().map(|(_, share)| share).collect();
    Fractions::from_shares(&shares).map_err(|message| {
        let message = format!("`{args}`: {message}");
        vec![KeyProblem::new(args, message)]
    })
}

/// One argument; null means that it is not given, and so 0.
fn share(key: &str, value: &Value, at: &KeyPath) -> Result<Share, String> {
    let region = Region::from_str(key)?;
    let fraction = match value {
        Value::Null => Ok(Fraction::ZERO),
        // The shortest decimal that is this number, which is what the user wrote.
        Value::Number(number) => Fraction::parse(&number.to_string()),
        _ => Err("expected a number from 0 to 1"),
    };
    let fraction = fraction.map_err(|expected| match value {
        Value::Object(_) => format!("`{at}` is a mapping; {expected}"),
        Value::Array(_) => format!("`{at}` is a list; {expected}"),
        _ => format!("`{at}` is `{value}`; {expected}"),
    })?;
    Ok(Share { region, fraction })
}

impl Region {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 4] = [
        Self::HardToLearn,
        Self::EasyToLearn,
        Self::Ambiguous,
        Self::Random,
    ];

    /// Its name in configs, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::HardToLearn => "hard_to_learn",
            Self::EasyToLearn => "easy_to_learn",
            Self::Ambiguous => "ambiguous",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Region {
    type Err = String;

    /// Reads a name, in which `-` stands for `_`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.replace('-', "_");
        let found = Self::ALL.into_iter().find(|region| region.name() == name);
        found.ok_or_else(|| unknown("argument", text, &Self::ALL.map(Self::name)))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.region, self.fraction)
    }
}

/// Whether fractions can share a whole.
///
/// # Errors
/// A sum of 0 or above 1.
pub(super) fn check_sum(fractions: impl IntoIterator<Item = Fraction>) -> Result<(), String> {
    let sum = Fraction::sum(fractions)
        .map_err(|sum| format!("the fractions add up to {sum}; expected at most 1"))?;
    if sum.is_zero() {
        return Err("every fraction is 0; expected one above 0".to_owned());
    }
    Ok(())
}

impl Fractions {
    /// Puts shares together; a region without one gives nothing.
    ///
    /// # Errors
    /// A region with two shares; a sum of 0 or above 1.
    pub fn from_shares(shares: &[Share]) -> Result<Self, String> {
        let mut fractions = Self::default();
        for (i, share) in shares.iter().enumerate() {
            if shares[..i].iter().any(|other| other.region == share.region) {
                return Err(format!("`{}` is given twice", share.region));
            }
            *fractions.share_mut(share.region) = share.fraction;
        }
        check_sum(Region::ALL.map(|region| fractions.share(region)))?;
        Ok(fractions)
    }

    /// All shares together.
    pub fn total(&self) -> Fraction {
        let shares = Region::ALL.map(|region| self.share(region));
        // More than everything was refused.
        Fraction::sum(shares).unwrap_or(Fraction::ONE)
    }

    /// The share of one region.
    pub fn share(&self, region: Region) -> Fraction {
        match region {
            Region::HardToLearn => self.hard_to_learn,
            Region::EasyToLearn => self.easy_to_learn,
            Region::Ambiguous => self.ambiguous,
            Region::Random => self.random,
        }
    }

    fn share_mut(&mut self, region: Region) -> &mut Fraction {
        match region {
            Region::HardToLearn => &mut self.hard_to_learn,
            Region::EasyToLearn => &mut self.easy_to_learn,
            Region::Ambiguous => &mut self.ambiguous,
            Region::Random => &mut self.random,
        }
    }
}

impl fmt::Display for Fractions {
    /// The regions that give something: `easy_to_learn=0.3, random=0.6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = Region::ALL.map(|region| Share {
            region,
            fraction: self.share(region),
        });
        let given = given.iter().filter(|share| !share.fraction.is_zero());
        for (i, share) in given.enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{share}")?;
        }
        Ok(())
    }
}
