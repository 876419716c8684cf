//! The section of the command `experiment`: which subsets to train on, how often and how long.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::fraction::Fraction;
use super::key_path::KeyPath;
use super::nearest::nearest;
use super::selector::{Region, Rule, RuleShare, RuleShares};
use super::source::KeyProblem;

/// A grid of trainings on subsets of the training set, for the command `experiment`; `loop` ignores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExperimentConfig {
    /// What picks the subsets: names of rules as `select` has them (`ambiguous`, `high_aum`, ...), or mappings of several rules; `random` is always among them.
    #[serde(deserialize_with = "selection_list")]
    #[schemars(with = "Vec<SelectionEntry>", extend("minItems" = 1))]
    pub selections: Vec<SelectionConfig>,
    /// The sizes of the subsets as shares of the training set after the validation split, above 0; 1 is training on everything.
    #[schemars(schema_with = "fractions_schema")]
    pub fractions: Vec<f64>,
    /// How many seeds, counted up from `random_state`, or a list of seeds: each trains every subset once, from its own initial head, order and dropout.
    #[schemars(schema_with = "seeds_schema")]
    pub seeds: Seeds,
    /// What all trainings have alike: their epochs, or their optimizer steps.
    pub budget: Budget,
}

/// What picks a subset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name", "rules"]))]
pub struct SelectionConfig {
    /// Its name in results.
    pub name: String,
    /// The rules and their shares of the subset, which add up to 1: `{ambiguous: 0.9, easy_to_learn: 0.1}`.
    pub rules: Map<String, Value>,
    /// The least share of `easy_to_learn` in the subset: where there is less, that rule picks so many (rounded up), and the last rules as many fewer.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub min_easy: f64,
    /// The seed of the training on everything whose map is gone by; none: `random_state`.
    pub map_seed: Option<u64>,
}

/// How many seeds, or which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seeds {
    /// So many, counted up from `random_state`.
    Count(u32),
    /// These.
    List(Vec<u64>),
}

/// What all trainings of an experiment have alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// The epochs: a smaller subset is trained on for fewer steps, as in the paper.
    #[default]
    Epochs,
    /// The optimizer steps of a training on everything: a smaller subset is gone through more often, as many whole epochs as come nearest.
    Steps,
}

/// The fractions of Swayamdipta et al. 2020, section 4, and everything.
const FRACTIONS: [f64; 9] = [0.01, 0.05, 0.1, 0.1667, 0.25, 0.3319, 0.5, 0.75, 1.0];

/// The most seeds that are counted.
const MAX_SEEDS: u32 = 1000;

/// The columns of numbers that the map of a run has.
const MAP_SIGNALS: [&str; 15] = [
    "confidence",
    "variability",
    "correctness",
    "forgetfulness",
    "threshold_closeness",
    "aum",
    "el2n",
    "entropy",
    "loss",
    "correct_ratio",
    "learnt_times",
    "first_learn",
    "first_forget",
    "max_label_probs",
    "min_label_probs",
];

/// The name of training on everything, which no selection may have.
const ALL: &str = "all";

impl Default for ExperimentConfig {
    fn default() -> Self {
        Self {
            selections: ["random", "easy_to_learn", "hard_to_learn", "ambiguous"]
                .map(SelectionConfig::of_rule)
                .to_vec(),
            fractions: FRACTIONS.to_vec(),
            seeds: Seeds::Count(3),
            budget: Budget::Epochs,
        }
    }
}

impl SelectionConfig {
    /// The selection that a rule's name alone stands for.
    fn of_rule(rule: &str) -> Self {
        Self {
            name: rule.replace('-', "_"),
            rules: Map::from_iter([(rule.to_owned(), Value::from(1.0))]),
            ..Self::default()
        }
    }
}

/// A selection: a rule's name alone, or a mapping.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum SelectionEntry {
    Name(String),
    Full(SelectionConfig),
}

fn selection_list<'de, D>(deserializer: D) -> Result<Vec<SelectionConfig>, D::Error>
where
    D: Deserializer<'de>,
{
    let entries = Vec::<SelectionEntry>::deserialize(deserializer)?;
    let entries = entries.into_iter().map(|entry| match entry {
        SelectionEntry::Full(selection) => selection,
        SelectionEntry::Name(name) => SelectionConfig::of_rule(&name),
    });
    Ok(entries.collect())
}

fn fractions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    })
}

fn seeds_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_SEEDS},
        {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
    ]})
}

/// An experiment whose section was found to be right.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// What picks subsets; one of them is `random`.
    pub selections: Vec<SubsetRule>,
    /// Above 0, ascending, each once.
    pub fractions: Vec<Fraction>,
    /// Each once.
    pub seeds: Vec<u64>,
    /// What all trainings have alike.
    pub budget: Budget,
}

/// What picks a subset of any size.
#[derive(Debug, Clone, PartialEq)]
pub struct SubsetRule {
    /// Its name in results.
    pub name: String,
    /// The rules and their shares of the subset, which add up to 1.
    pub shares: RuleShares,
    /// The least share of easy-to-learn examples in the subset.
    pub min_easy: Fraction,
    /// The seed of the training whose map is gone by; none: the run's own.
    pub map_seed: Option<u64>,
}

impl SubsetRule {
    /// The control: any examples, each as likely.
    ///
    /// # Panics
    /// Never: one share of everything is a whole.
    pub fn random() -> Self {
        let random = RuleShare {
            rule: Rule::Region(Region::Random),
            fraction: Fraction::ONE,
        };
        Self {
            name: Region::Random.name().to_owned(),
            shares: RuleShares::new(vec![random]).expect("one share of everything"),
            min_easy: Fraction::ZERO,
            map_seed: None,
        }
    }

    /// Whether all of it is picked at random, so that no map is needed.
    pub fn is_random(&self) -> bool {
        let mut shares = self.shares.shares().iter();
        self.min_easy.is_zero() && shares.all(|share| share.rule.signal().is_none())
    }

    /// It as the section has it.
    pub fn to_config(&self) -> SelectionConfig {
        let rules = self.shares.shares().iter();
        let number = |fraction: Fraction| fraction.to_string().parse::<f64>().unwrap_or(0.0);
        SelectionConfig {
            name: self.name.clone(),
            rules: rules
                .map(|share| (share.rule.to_string(), number(share.fraction).into()))
                .collect(),
            min_easy: number(self.min_easy),
            map_seed: self.map_seed,
        }
    }
}

impl ExperimentConfig {
    /// The experiment that the section asks for, in a config with this `random_state`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn resolve(&self, random_state: u64) -> Result<Experiment, Vec<KeyProblem>> {
        let at = KeyPath::from("experiment");
        let mut problems = Vec::new();
        let mut selections: Vec<SubsetRule> = Vec::new();
        for (i, config) in self.selections.iter().enumerate() {
            // One without a name was reported already.
            if config.name.is_empty() {
                continue;
            }
            let at = at.key("selections").item(i);
            match selection(config, &at) {
                Ok(new) if selections.iter().any(|other| other.name == new.name) => {
                    let message = format!("two selections have the name `{}`", new.name);
                    problems.push(KeyProblem::new(&at, message));
                }
                Ok(new) => selections.push(new),
                Err(found) => problems.extend(found),
            }
        }
        let random = SubsetRule::random();
        if selections.iter().all(|other| other.name != random.name) {
            selections.insert(0, random);
        }
        let mut fractions: Vec<Fraction> = Vec::new();
        for (i, fraction) in self.fractions.iter().enumerate() {
            let at = at.key("fractions").item(i);
            // The shortest decimal that is this number, which is what the user wrote.
            match Fraction::parse(&fraction.to_string()) {
                Ok(fraction) if fractions.contains(&fraction) => {
                    let message = format!("the fraction {fraction} is given twice");
                    problems.push(KeyProblem::new(at, message));
                }
                Ok(fraction) => fractions.push(fraction),
                Err(expected) => {
                    let message = format!("`{at}` is `{fraction}`; {expected}");
                    problems.push(KeyProblem::new(at, message));
                }
            }
        }
        fractions.sort_unstable();
        let seeds = match &self.seeds {
            Seeds::Count(n) => (0..u64::from(*n))
                .map(|i| random_state.wrapping_add(i))
                .collect(),
            Seeds::List(seeds) => seeds.clone(),
        };
        for (i, seed) in seeds.iter().enumerate() {
            if seeds[..i].contains(seed) {
                let message = format!("the seed {seed} is given twice");
                problems.push(KeyProblem::new(at.key("seeds").item(i), message));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Experiment {
            selections,
            fractions,
            seeds,
            budget: self.budget,
        })
    }
}

fn selection(config: &SelectionConfig, at: &KeyPath) -> Result<SubsetRule, Vec<KeyProblem>> {
    let mut problems = Vec::new();
    let is_alone = config == &SelectionConfig::of_rule(&config.name);
    let rules = at.key("rules");
    let key_of = |name: &str| {
        if is_alone {
            at.clone()
        } else {
            rules.key(name)
        }
    };
    let mut shares = Vec::new();
    for (name, value) in &config.rules {
        match share(name, value) {
            Ok(share) => shares.push(share),
            Err(message) => problems.push(KeyProblem::new(key_of(name), message)),
        }
    }
    if !is_alone && (config.name == ALL || config.name == Region::Random.name()) {
        let message = format!("`{}` is a name that every experiment has", config.name);
        problems.push(KeyProblem::new(at.key("name"), message));
    }
    let sum = Fraction::sum(shares.iter().map(|share| share.fraction));
    if problems.is_empty() && sum != Ok(Fraction::ONE) {
        let sum = sum.map_or_else(|sum| sum, |sum| sum.to_string());
        let message = format!("the shares of the rules add up to {sum}; expected 1");
        problems.push(KeyProblem::new(&rules, message));
    }
    // What the schema refused was said there.
    let min_easy = Fraction::parse(&config.min_easy.to_string()).unwrap_or_default();
    if !problems.is_empty() {
        return Err(problems);
    }
    let shares = RuleShares::new(shares);
    let shares = shares.map_err(|message| vec![KeyProblem::new(&rules, message)])?;
    Ok(SubsetRule {
        name: config.name.clone(),
        shares,
        min_easy,
        map_seed: config.map_seed,
    })
}

fn share(name: &str, value: &Value) -> Result<RuleShare, String> {
    let rule: Rule = name.parse()?;
    if let Some(signal) = rule.signal()
        && !MAP_SIGNALS.contains(&signal)
    {
        let meant = nearest(signal, MAP_SIGNALS);
        let meant = meant.map_or_else(
            || format!("; it has {}", MAP_SIGNALS.join(", ")),
            |meant| format!("; did you mean `{meant}`?"),
        );
        return Err(format!(
            "`{name}` goes by `{signal}`, which the map of a run does not have{meant}"
        ));
    }
    let Value::Number(number) = value else {
        return Err(format!("`{name}` needs a share, a number from 0 to 1"));
    };
    let fraction = Fraction::parse(&number.to_string())
        .map_err(|expected| format!("`{name}` is `{number}`; {expected}"))?;
    Ok(RuleShare { rule, fraction })
}
