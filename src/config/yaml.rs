//! YAML text to a checked tree of values, and the places of values in the text.
//!
//! One parser does both: to find a place, the text is read again by a visitor that refuses
//! the wanted value, and the parser says where that happened. A second parser that keeps
//! marks would disagree with the first (saphyr 0.3.3, for one, does not take a flow
//! collection's closing brace to the left of the block around it, which `PyYAML` and libyaml
//! do); and configs are short.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_yaml::Value;

use super::key_path::Step;

/// The most values that a config may hold once its anchors are expanded: far more than any
/// real one has, and few enough to stay in a few megabytes.
const MAX_VALUES: usize = 100_000;

/// A line and a column, both counted from 1, columns in characters.
pub(super) type Place = (u64, u64);

/// What is wrong with a text that is not the YAML we take.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What is wrong.
    pub(super) message: String,
    /// Where, if known.
    pub(super) place: Option<Place>,
    /// The remedy, if there is an obvious one.
    pub(super) hint: Option<&'static str>,
}

/// Reads one YAML document in which every mapping's keys are text and occur once, no value
/// has a tag of its own, and merge keys (`<<`) are merged. An empty text is null.
pub(super) fn parse(text: &str) -> Result<Value, Refusal> {
    refuse_control_characters(text)?;
    let mut documents = serde_yaml::Deserializer::from_str(text);
    if let Some(document) = documents.next() {
        let values_left = Cell::new(MAX_VALUES);
        Census(&values_left)
            .deserialize(document)
            .map_err(|e| refusal(text, &e))?;
    }
    if let Some(document) = documents.next() {
        return Err(Refusal {
            message: "a second document starts here; a config is one document".to_owned(),
            place: Probe::root().run(document),
            hint: None,
        });
    }
    let mut value = serde_yaml::from_str::<Value>(text).map_err(|e| refusal(text, &e))?;
    value.apply_merge().map_err(|e| refusal(text, &e))?;
    Ok(value)
}

/// Which part of a key and its value to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The key.
    Key,
    /// The value, if it is a scalar that is written out, or an item of a list; otherwise the key.
    Value,
}

/// Where in `text`, which [`parse`] took, the value at the end of `steps` is; `None` where
/// there is no such value.
///
/// A step into item 0 of what is no list stays where it is, and a step by key into a list
/// goes into its first item, so that what may be written as one thing or as a list of one
/// has the same path either way.
pub(super) fn find(text: &str, steps: &[Step], part: Part) -> Option<Place> {
    let run = |at| Probe { steps, at }.run(serde_yaml::Deserializer::from_str(text));
    let ends_in_key = matches!(steps.last(), Some(Step::Key(_)));
    match part {
        _ if !ends_in_key => run(At::Value),
        Part::Value => run(At::Scalar).or_else(|| run(At::Key)),
        Part::Key => run(At::Key),
    }
}

/// Refuses what YAML does not allow in a text, for which the parser gives no place.
fn refuse_control_characters(text: &str) -> Result<(), Refusal> {
    let refused = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
            || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let Some(index) = text.find(refused) else {
        return Ok(());
    };
    let character = text[index..].chars().next().unwrap_or_default();
    Err(Refusal {
        message: format!(
            "the character U+{:04X} is not allowed in YAML",
            u32::from(character)
        ),
        place: Some(place_of(&text[..index])),
        hint: None,
    })
}

/// The place right after `before`, the first part of a text.
pub(super) fn place_of(before: &str) -> Place {
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (line as u64, column as u64)
}

fn refusal(text: &str, error: &serde_yaml::Error) -> Refusal {
    let message = match error.to_string().as_str() {
        // The parser's own bounds, in the user's words.
        "repetition limit exceeded" => "anchors repeat too many values".to_owned(),
        text if text.starts_with("recursion limit exceeded") => {
            "lists and mappings are nested too deeply".to_owned()
        }
        text => text.to_owned(),
    };
    let Some(location) = error.location() else {
        return Refusal {
            message,
            place: None,
            hint: None,
        };
    };
    let (line, column) = (location.line(), location.column());
    let message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
    // A message of our own comes with the path of keys before it, which the place makes needless.
    let message = match message.split_once(OWN) {
        Some((_, own)) => own.to_owned(),
        None => message,
    };
    let at = text
        .lines()
        .nth(line - 1)
        .and_then(|l| l.chars().nth(column - 1));
    Refusal {
        message,
        place: Some((line as u64, column as u64)),
        hint: (at == Some('\t')).then_some("indent with spaces; YAML takes no tabs there"),
    }
}

/// Marks a message as one of ours; the parser has no such character in its own.
const OWN: char = '\u{1}';

fn own<E: Error>(message: impl fmt::Display) -> E {
    E::custom(format!("{OWN}{message}"))
}

/// Visits every value, anchors expanded, without keeping any, and refuses what [`parse`]
/// does not take.
struct Census<'a>(&'a Cell<usize>);

impl Census<'_> {
    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| {
            own(format!(
                "there are more than {MAX_VALUES} values, anchors expanded"
            ))
        })?;
        self.0.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Census<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The scalar methods of a visitor to which only the kind of a scalar matters.
macro_rules! scalars {
    (|$this:ident| $does:expr; $($method:ident($type:ty),)*) => {
        $(fn $method<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            let $this = self;
            $does
        })*
    };
}

impl<'de> Visitor<'de> for Census<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(|this| this.count(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str),);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.count()
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.count()
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<(), E> {
        Err(own(format!("`{number}` is below every number we can hold")))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<(), E> {
        Err(own(format!("`{number}` is above every number we can hold")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.count()?;
        while items.next_element_seed(Census(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.count()?;
        let mut seen = HashSet::new();
        while entries.next_key_seed(NewKey(&mut seen))?.is_some() {
            entries.next_value_seed(Census(self.0))?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (tag, _) = data.variant::<String>()?;
        Err(own(format!("the tag `!{tag}` has no meaning here")))
    }
}

/// Takes a key that is text and that its mapping has not had yet.
struct NewKey<'a>(&'a mut HashSet<String>);

fn not_text<E: Error>() -> Result<(), E> {
    Err(own(
        "a key must be text; put a number or a word of YAML's own in quotes",
    ))
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is text")
    }

    scalars!(|_this| not_text(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64),);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        not_text()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        not_text()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        not_text()
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) {
            Ok(())
        } else {
            Err(own(format!("duplicate key `{key}`")))
        }
    }
}

/// Where the probe stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the last step's key.
    Key,
    /// At the value, if it is a scalar that is not null.
    Scalar,
    /// At the value, whatever it is.
    Value,
}

/// Goes along `steps` and then refuses to go on; the parser says where that was.
#[derive(Clone, Copy)]
struct Probe<'a> {
    steps: &'a [Step],
    at: At,
}

impl Probe<'static> {
    fn root() -> Self {
        Self {
            steps: &[],
            at: At::Value,
        }
    }
}

impl Probe<'_> {
    fn run(self, document: serde_yaml::Deserializer<'_>) -> Option<Place> {
        let error = self.deserialize(document).err()?;
        let location = error.location()?;
        Some((location.line() as u64, location.column() as u64))
    }

    fn after_first(self) -> Self {
        Self {
            steps: &self.steps[1..],
            ..self
        }
    }

    fn stops<E: Error>(self, at_this: bool) -> Result<(), E> {
        if self.steps.is_empty() && at_this {
            Err(E::custom("found"))
        } else {
            Ok(())
        }
    }

    fn scalar<E: Error>(self) -> Result<(), E> {
        if let Some(Step::Index(0)) = self.steps.first() {
            return self.after_first().scalar();
        }
        self.stops(self.at != At::Key)
    }

    fn null<E: Error>(self) -> Result<(), E> {
        self.stops(self.at == At::Value)
    }
}

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(|this| this.scalar(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str),);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.null()
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.null()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (wanted, next) = match self.steps.first() {
            None => {
                self.stops(self.at == At::Value)?;
                (usize::MAX, self)
            }
            Some(Step::Index(index)) => (*index, self.after_first()),
            Some(Step::Key(_)) => (0, self),
        };
        for index in 0.. {
            let item = if index == wanted {
                items.next_element_seed(next)?
            } else {
                items.next_element::<IgnoredAny>()?.map(|_| ())
            };
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let wanted = match self.steps.first() {
            None => {
                self.stops(self.at == At::Value)?;
                None
            }
            Some(Step::Index(0)) => return self.after_first().visit_map(entries),
            Some(Step::Index(_)) => None,
            Some(Step::Key(key)) => Some(key.as_str()),
        };
        let seed = WantedKey {
            key: wanted,
            refuse: self.at == At::Key && self.steps.len() == 1,
        };
        while let Some(is_wanted) = entries.next_key_seed(seed)? {
            if is_wanted {
                entries.next_value_seed(self.after_first())?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Says whether a key is the wanted one, or refuses it.
#[derive(Clone, Copy)]
struct WantedKey<'a> {
    key: Option<&'a str>,
    refuse: bool,
}

impl<'de> DeserializeSeed<'de> for WantedKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for WantedKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match (Some(key) == self.key, self.refuse) {
            (true, true) => Err(E::custom("found")),
            (is_wanted, _) => Ok(is_wanted),
        }
    }
}
