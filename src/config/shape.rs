//! Whether a config's values have the shape that the schema says, key by key.
//!
//! Everything here follows the schema of [`super::types::Config`]: which keys there are,
//! which types they have and which values they may take. What depends on more than one key
//! is in [`super::checks`].

use serde_json::Value as Schema;
use serde_yaml::{Mapping, Value};

use super::key_path::KeyPath;
use super::nearest::{alternatives, listed, nearest};
use super::source::KeyProblem;

/// The longest value that a message shows whole, in characters.
const MAX_SHOWN: usize = 60;

/// Keeps of `config` what fits the schema and describes the rest.
///
/// Null and empty text mean a key's default and are dropped. Every list keeps its length, so
/// that the key paths of later checks stay right.
pub(super) fn check(schema: &Schema, config: Value) -> (Value, Vec<KeyProblem>) {
    let mut shape = Shape {
        root: schema,
        problems: Vec::new(),
    };
    let root = KeyPath::default();
    let config = match config {
        Value::Mapping(config) => shape.section(schema, config, &root),
        other => {
            if !is_default(&other) {
                let message = format!("the config is {}; expected sections", shown(&other));
                shape.problems.push(KeyProblem::new(&root, message));
                return (Value::Mapping(Mapping::new()), shape.problems);
            }
            shape.section(schema, Mapping::new(), &root)
        }
    };
    (config, shape.problems)
}

struct Shape<'a> {
    root: &'a Schema,
    problems: Vec<KeyProblem>,
}

impl Shape<'_> {
    /// A struct: the schema says every key.
    fn section(&mut self, schema: &Schema, given: Mapping, path: &KeyPath) -> Value {
        self.find_missing(schema, &given, path);
        let mut kept = Mapping::new();
        for (key, value) in given {
            let Value::String(key) = key else { continue };
            let here = path.key(&key);
            match schema["properties"].get(&key) {
                None => self.unknown(schema, &key, path),
                Some(_) if is_default(&value) => {}
                Some(property) => {
                    if let Some(value) = self.value(property, value, &here) {
                        kept.insert(Value::String(key), value);
                    }
                }
            }
        }
        Value::Mapping(kept)
    }

    fn find_missing(&mut self, schema: &Schema, given: &Mapping, path: &KeyPath) {
        let required = schema["required"].as_array().into_iter().flatten();
        for key in required.filter_map(Schema::as_str) {
            if given.get(key).is_none_or(is_default) {
                let here = path.key(key);
                let meaning = schema["properties"][key]["description"].as_str();
                let message = format!("`{here}` is missing");
                let problem = KeyProblem::new(here, message);
                self.problems.push(match meaning {
                    Some(meaning) => problem.hint(format!("`{key}`: {}", as_phrase(meaning))),
                    None => problem,
                });
            }
        }
    }

    fn unknown(&mut self, schema: &Schema, key: &str, path: &KeyPath) {
        let known: Vec<&str> = keys(schema).collect();
        let at = path.key(key);
        let problem = |message: String| KeyProblem::new(&at, message).with_key();
        let unknown = format!("unknown key `{key}`");
        let problem = if let Some(meant) = nearest(key, known.iter().copied()) {
            problem(format!("{unknown}; did you mean `{meant}`?"))
        } else if let Some(section) = self.section_of(key) {
            problem(unknown).hint(format!("`{key}` belongs in `{section}`"))
        } else {
            let names = listed(known, "and");
            let place = match path.0.as_slice() {
                [] => "a config".to_owned(),
                _ => format!("`{path}`"),
            };
            problem(unknown).hint(format!("the keys of {place} are {names}"))
        };
        self.problems.push(problem);
    }

    /// The top-level section that has `key`.
    fn section_of(&self, key: &str) -> Option<&str> {
        let sections = self.root["properties"].as_object()?;
        let has = |section: &Schema| section["properties"].get(key).is_some();
        let found = sections.iter().find(|(_, section)| has(section));
        found.map(|(name, _)| name.as_str())
    }

    /// Any value that is not a default: what of it can be kept, if anything.
    fn value(&mut self, schema: &Schema, value: Value, path: &KeyPath) -> Option<Value> {
        let Some(schema) = choice(schema, &value) else {
            self.mismatch(schema, &value, path);
            return None;
        };
        match value {
            Value::Mapping(given) if schema.get("properties").is_some() => {
                Some(self.section(schema, given, path))
            }
            Value::Sequence(items) if schema.get("items").is_some() => {
                let items = items.into_iter().enumerate();
                let kept = items.map(|(i, item)| self.item(&schema["items"], item, &path.item(i)));
                Some(Value::Sequence(kept.collect()))
            }
            free => {
                self.free_form(&free, path);
                Some(free)
            }
        }
    }

    /// A list's item: every list of a config holds mappings, texts, numbers or some words alone. What is
    /// refused leaves behind what can be read in its place.
    fn item(&mut self, schema: &Schema, item: Value, path: &KeyPath) -> Value {
        let nothing = if constants(schema).next().is_some() {
            Value::Null
        } else if schema["type"] == "string" {
            Value::String(String::new())
        } else if schema["type"] == "number" || schema["type"] == "integer" {
            Value::Number(0.into())
        } else {
            Value::Mapping(Mapping::new())
        };
        if is_default(&item) {
            self.mismatch(schema, &item, path);
            return nothing;
        }
        self.value(schema, item, path).unwrap_or(nothing)
    }

    /// A value whose shape the schema leaves open: arguments.
    fn free_form(&mut self, value: &Value, path: &KeyPath) {
        match value {
            Value::Number(number) if !number.is_finite() => {
                let message = format!("`{path}` is `{number}`; expected a finite number");
                self.problems.push(KeyProblem::new(path, message));
            }
            Value::Sequence(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.free_form(item, &path.item(i));
                }
            }
            Value::Mapping(entries) => {
                for (key, value) in entries {
                    let key = key.as_str().unwrap_or_default();
                    self.free_form(value, &path.key(key));
                }
            }
            _ => {}
        }
    }

    fn mismatch(&mut self, schema: &Schema, value: &Value, path: &KeyPath) {
        let expected = expected(schema);
        let message = format!("`{path}` is {}; expected {expected}", shown(value));
        let problem = KeyProblem::new(path, message);
        self.problems.push(match mismatch_hint(schema, value) {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
}

/// What the user probably meant by a value of the wrong type.
fn mismatch_hint(schema: &Schema, value: &Value) -> Option<String> {
    let wanted = schema["type"].as_str();
    match value {
        Value::String(word) if wanted == Some("boolean") => match word.to_lowercase().as_str() {
            "yes" | "on" | "y" => Some("write `true`".to_owned()),
            "no" | "off" | "n" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::String(word) if matches!(wanted, Some("integer" | "number")) => word
            .parse::<f64>()
            .is_ok()
            .then(|| "write it without quotes".to_owned()),
        Value::Number(number) if wanted == Some("number") && !number.is_finite() => {
            Some("write a finite number".to_owned())
        }
        Value::String(word) => {
            let meant = nearest(word, constants(schema).filter_map(Schema::as_str))?;
            Some(format!("did you mean `{meant}`?"))
        }
        Value::Number(_) | Value::Bool(_) if wanted == Some("string") => {
            Some(format!("put it in quotes: \"{}\"", plain(value)))
        }
        _ => None,
    }
}

/// The part of `schema` that takes `value`: itself, or the fitting one of its choices. A
/// mapping or list is taken by its kind, so that what is wrong inside is said there.
fn choice<'a>(schema: &'a Schema, value: &Value) -> Option<&'a Schema> {
    if let Some(choices) = schema.get("anyOf").and_then(Schema::as_array) {
        return choices.iter().find_map(|one| choice(one, value));
    }
    let mut constants = constants(schema).peekable();
    if constants.peek().is_some() {
        return constants.any(|c| is_same(c, value)).then_some(schema);
    }
    let fits = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_mapping(),
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            value
                .as_sequence()
                .is_some_and(|items| items.len() >= least)
        }
        Some("string") => value.is_string(),
        Some("boolean") => value.is_bool(),
        Some("integer") => (value.is_u64() || value.is_i64()) && in_range(schema, value),
        Some("number") => value.is_number() && in_range(schema, value),
        Some(_) => false,
    };
    fits.then_some(schema)
}

/// The only values that `schema` takes; none: it does not name them.
fn constants(schema: &Schema) -> impl Iterator<Item = &Schema> {
    let plain = schema.get("enum").and_then(Schema::as_array);
    let described = schema.get("oneOf").and_then(Schema::as_array);
    let described = described
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("const"));
    plain.into_iter().flatten().chain(described)
}

fn is_same(constant: &Schema, value: &Value) -> bool {
    match constant {
        Schema::String(word) => value.as_str() == Some(word),
        Schema::Bool(truth) => value.as_bool() == Some(*truth),
        _ => false,
    }
}

fn in_range(schema: &Schema, value: &Value) -> bool {
    let Some(x) = value.as_f64() else {
        return false;
    };
    let bound = |word: &str| schema.get(word).and_then(Schema::as_f64);
    x.is_finite()
        && bound("minimum").is_none_or(|b| x >= b)
        && bound("exclusiveMinimum").is_none_or(|b| x > b)
        && bound("maximum").is_none_or(|b| x <= b)
        && bound("exclusiveMaximum").is_none_or(|b| x < b)
}

/// What `schema` takes, in words.
fn expected(schema: &Schema) -> String {
    if let Some(choices) = schema.get("anyOf").and_then(Schema::as_array) {
        // That a key may be empty need not be said.
        let choices = choices.iter().filter(|choice| choice["type"] != "null");
        let choices: Vec<String> = choices.map(expected).collect();
        return choices.join(" or ");
    }
    let constants: Vec<String> = constants(schema)
        .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
        .collect();
    if !constants.is_empty() {
        return alternatives(constants.iter().map(String::as_str));
    }
    match schema["type"].as_str() {
        Some("object") => "a mapping".to_owned(),
        Some("array") if schema["minItems"] == 1 => "a list of at least one".to_owned(),
        Some("array") => "a list".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => format!("a whole number{}", range(schema)),
        Some("number") => format!("a number{}", range(schema)),
        _ => "something else".to_owned(),
    }
}

fn range(schema: &Schema) -> String {
    let bound = |word: &str| schema.get(word).filter(|b| b.is_number());
    let low = match (bound("minimum"), bound("exclusiveMinimum")) {
        (Some(b), _) => Some(("from", b)),
        (None, Some(b)) => Some(("above", b)),
        (None, None) => None,
    };
    let high = match (bound("maximum"), bound("exclusiveMaximum")) {
        (Some(b), _) => Some(("to", b)),
        (None, Some(b)) => Some(("below", b)),
        (None, None) => None,
    };
    match (low, high) {
        (None, None) => String::new(),
        (Some(("from", low)), None) => format!(", at least {low}"),
        (Some((word, low)), None) => format!(" {word} {low}"),
        (None, Some((word, high))) => format!(" {word} {high}"),
        (Some(("from", low)), Some(("to", high))) => format!(" from {low} to {high}"),
        (Some(("from", low)), Some((word, high))) => format!(", at least {low} and {word} {high}"),
        (Some((word, low)), Some(("to", high))) => format!(" {word} {low} and at most {high}"),
        (Some((word, low)), Some((end, high))) => format!(" {word} {low} and {end} {high}"),
    }
}

fn keys(schema: &Schema) -> impl Iterator<Item = &str> {
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
}

/// Whether a value stands for its key's default.
fn is_default(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Sequence(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        // Text that would be something else without its quotes is shown with them.
        Value::String(text) if !matches!(serde_yaml::from_str(text), Ok(Value::String(_))) => {
            format!("`\"{}\"`", shortened(text))
        }
        other => format!("`{}`", shortened(&plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}

fn shortened(text: &str) -> String {
    let line = text.replace('\n', " ");
    if line.chars().count() <= MAX_SHOWN {
        return line;
    }
    let start: String = line.chars().take(MAX_SHOWN).collect();
    format!("{start}...")
}

/// A description of the schema, which is a sentence, inside a sentence of ours.
fn as_phrase(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
