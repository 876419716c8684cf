//! What a program prints: ids of the examples it picks, in an order, with new texts if it likes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use serde_json::{Map, Value, json};

use crate::config::{CommandSpec, Program};
use crate::data::{Dataset, ExampleIndex, LabelSpace, Subset};
use crate::error::{ErrorKind, Problem};
use crate::map::MapTable;
use crate::select::process::{self, End};

/// As much of a line that makes no sense is shown, in characters.
const MOST_QUOTED: usize = 60;

/// What a program gets to see.
pub(super) struct Feed<'a> {
    pub dataset: &'a Dataset,
    pub subset: &'a Subset,
    /// `train` or `test`.
    pub stage: &'a str,
    pub labels: &'a LabelSpace,
    /// A map, and the row in it of each of the subset's examples.
    pub signals: Option<(&'a MapTable, Vec<usize>)>,
}

/// One line of what a program printed.
pub(super) struct Answer {
    pub index: ExampleIndex,
    pub text: Option<String>,
    pub text_pair: Option<String>,
}

/// Runs the program; its answers in its order.
///
/// # Errors
/// A program that cannot be run, fails or takes too long; a line that is not an answer. The
/// problem has no place.
pub(super) fn ask(
    spec: &CommandSpec,
    feed: &Feed<'_>,
) -> Result<Vec<Answer>, (ErrorKind, Problem)> {
    let mut listener = Listener::new(feed);
    let written = |stdin: &mut dyn Write| feed.write(stdin);
    let end = process::talk(
        &spec.program,
        spec.timeout,
        written,
        |line| match listener.hear(line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(message) => {
                listener.problem = Some(message);
                ControlFlow::Break(())
            }
        },
    );
    let end = end.map_err(|error| not_run(&spec.program, &error))?;
    match &listener.problem {
        Some(message) => Err(failed(&spec.program, message, &end)),
        None if end.timed_out => {
            let seconds = spec.timeout.unwrap_or_default().as_secs_f64();
            let message = format!("did not end within {seconds} s, and was killed");
            Err(failed(&spec.program, &message, &end))
        }
        None if !end.status.success() => Err(failed(
            &spec.program,
            &format!("failed: {}", end.status),
            &end,
        )),
        None => Ok(listener.answers),
    }
}

/// Whether there is a program of that name to run; the shell always is.
///
/// # Errors
/// The problem, without a place.
pub(super) fn check_program(program: &Program) -> Result<(), (ErrorKind, Problem)> {
    let Program::Arguments(arguments) = program else {
        return Ok(());
    };
    let name = arguments.first().map_or("", String::as_str);
    let is_there = if name.contains(std::path::is_separator) {
        std::path::Path::new(name).is_file()
    } else {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let with_ending = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&folders)
            .any(|folder| folder.join(name).is_file() || folder.join(&with_ending).is_file())
    };
    if is_there {
        return Ok(());
    }
    Err(not_run(program, &io::Error::from(io::ErrorKind::NotFound)))
}

fn not_run(program: &Program, error: &io::Error) -> (ErrorKind, Problem) {
    let name = match program {
        Program::Shell(_) => "sh",
        Program::Arguments(arguments) => arguments.first().map_or("", String::as_str),
    };
    if error.kind() == io::ErrorKind::NotFound {
        let problem = Problem::new(format!("there is no program `{name}`"));
        let hint = "a name is looked up in `PATH`, a path starts at the working directory";
        return (ErrorKind::MissingInput, problem.hint(hint));
    }
    let problem = Problem::new(format!("the command `{program}` cannot be run: {error}"));
    (ErrorKind::Io, problem)
}

fn failed(program: &Program, what: &str, end: &End) -> (ErrorKind, Problem) {
    let mut message = format!("the command `{program}` {what}");
    if !end.last_lines.is_empty() {
        message.push_str("; the last that it said:");
        for line in &end.last_lines {
            message.push_str("\n    ");
            message.push_str(line);
        }
    }
    (ErrorKind::Data, Problem::new(message))
}

impl Feed<'_> {
    /// Writes an object a line for every example.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (position, (index, example)) in self.subset.examples(self.dataset).enumerate() {
            let mut object = Map::new();
            object.insert("guid".into(), json!(example.guid));
            object.insert("index".into(), json!(index));
            object.insert("text".into(), json!(example.text));
            if let Some(text) = &example.text_pair {
                object.insert("text_pair".into(), json!(text));
            }
            object.insert("label".into(), self.label(example.label));
            object.insert("stage".into(), json!(self.stage));
            if let Some((map, rows)) = &self.signals {
                object.insert("signals".into(), signals(map, rows[position]));
            }
            serde_json::to_writer(&mut *out, &object)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// A label as the data has it: a number where all are.
    fn label(&self, class: u32) -> Value {
        let name = self.labels.name(class);
        let number = self.labels.are_integers().then(|| name.parse::<i64>().ok());
        number.flatten().map_or_else(|| json!(name), |n| json!(n))
    }
}

/// The signals of a map's row; null for NaN, which JSON lacks.
fn signals(map: &MapTable, row: usize) -> Value {
    let coordinates = [
        ("confidence", map.confidence[row]),
        ("variability", map.variability[row]),
    ];
    let others = map
        .others
        .iter()
        .map(|(name, values)| (name.as_str(), values[row]));
    let all = coordinates.into_iter().chain(others);
    Value::Object(all.map(|(name, x)| (name.to_owned(), json!(x))).collect())
}

/// Makes answers of lines.
struct Listener<'a> {
    feed: &'a Feed<'a>,
    /// The example and the line that named it, by guid.
    known: HashMap<&'a str, (ExampleIndex, u64)>,
    n_lines: u64,
    answers: Vec<Answer>,
    problem: Option<String>,
}

impl<'a> Listener<'a> {
    fn new(feed: &'a Feed<'a>) -> Self {
        let examples = feed.subset.examples(feed.dataset);
        Self {
            feed,
            known: examples
                .map(|(index, example)| (example.guid.as_str(), (index, 0)))
                .collect(),
            n_lines: 0,
            answers: Vec::new(),
            problem: None,
        }
    }

    /// Takes a line, a blank one as none; an error says what the command did.
    fn hear(&mut self, line: &[u8]) -> Result<(), String> {
        self.n_lines += 1;
        let n = self.n_lines;
        let line =
            std::str::from_utf8(line).map_err(|_| format!("printed invalid UTF-8 on line {n}"))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        // A guid may look like anything, even like JSON.
        if self.known.contains_key(line) {
            return self.take(line, None, None);
        }
        let line = line.trim();
        if line.is_empty() {
            return Ok(());
        }
        if !line.starts_with('{') {
            return self.take(line, None, None);
        }
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
            format!(
                "printed {} on line {n}, which is not JSON: {error}",
                quoted(line)
            )
        })?;
        let guid = match object.get("guid") {
            Some(Value::String(guid)) => guid.clone(),
            Some(Value::Number(guid)) if !guid.is_f64() => guid.to_string(),
            _ => return Err(format!("printed an object without a `guid` on line {n}")),
        };
        let text = |key: &str| match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("printed a `{key}` on line {n} that is no string")),
        };
        let (text, text_pair) = (text("text")?, text("text_pair")?);
        if let (Some(label), Some((index, _))) = (object.get("label"), self.known.get(&*guid)) {
            let example = &self.feed.dataset.examples[*index as usize];
            let own = self.feed.label(example.label);
            let is_same =
                *label == own || label.as_str() == Some(self.feed.labels.name(example.label));
            if !is_same {
                return Err(format!(
                    "printed another label on line {n}: {label} for `{guid}`, whose label is {own}; \
                     labels cannot be changed"
                ));
            }
        }
        self.take(&guid, text, text_pair)
    }

    fn take(
        &mut self,
        guid: &str,
        text: Option<String>,
        text_pair: Option<String>,
    ) -> Result<(), String> {
        let n = self.n_lines;
        let shown = quoted(guid);
        let Some((index, line)) = self.known.get_mut(guid) else {
            return Err(format!(
                "printed {shown} on line {n}, which is the id of none of the {} examples that it was given",
                self.feed.subset.len()
            ));
        };
        if *line > 0 {
            return Err(format!("printed {shown} twice, on lines {line} and {n}"));
        }
        *line = n;
        let example = &self.feed.dataset.examples[*index as usize];
        if text_pair.is_some() && example.text_pair.is_none() {
            return Err(format!(
                "printed a `text_pair` on line {n}, but {shown} has no second text"
            ));
        }
        let answer = Answer {
            index: *index,
            text: text.filter(|text| *text != example.text),
            text_pair: text_pair.filter(|text| Some(text) != example.text_pair.as_ref()),
        };
        let is_changed = answer.text.is_some() || answer.text_pair.is_some();
        if is_changed && !example.options.is_empty() {
            return Err(format!(
                "printed another text on line {n}: the text of {shown} has options and cannot be changed"
            ));
        }
        self.answers.push(answer);
        Ok(())
    }
}

/// A program's text in backticks, control characters escaped, shortened if it is long.
fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MOST_QUOTED)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if text.chars().nth(MOST_QUOTED).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}
