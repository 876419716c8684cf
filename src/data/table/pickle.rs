//! Python pickles that hold plain data: a list of dicts of texts, numbers and lists.
//!
//! Python's own reader runs whatever a pickle says, and a pickle of a few kilobytes may claim
//! any depth and, by naming one part twice over and over, any size. This reader knows the
//! opcodes of plain data alone, each of which makes at most one value, limits the depth, and
//! limits what repeated texts add up to.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Column, Table, bad};
use crate::error::Result;
use crate::pickle::{Opcode, Opcodes};

/// Plain rows have depth 3 (a list of dicts of lists); what drops a value recurses this deep.
const MAX_DEPTH: usize = 32;

/// Texts may add up to so many times the file's size: a column's name of 100 bytes and more
/// can be repeated by an opcode of two bytes.
const MAX_GROWTH: usize = 64;

/// Writes a table as a list of dicts in protocol 2, which every Python since 2.3 reads.
pub(super) fn write(table: &Table, mut to: impl Write) -> io::Result<()> {
    to.write_all(b"\x80\x02]")?;
    for row in 0..table.n_rows() {
        to.write_all(b"}(")?;
        for (i, (name, column)) in table.columns.iter().enumerate() {
            // A name is written once, and called by its number from then on.
            let number = (i as u32).to_le_bytes();
            if row == 0 {
                write_text(name, &mut to)?;
                to.write_all(b"r")?;
            } else {
                to.write_all(b"j")?;
            }
            to.write_all(&number)?;
            write_value(column, row, &mut to)?;
        }
        to.write_all(b"ua")?;
    }
    to.write_all(b".")
}

fn write_value(column: &Column, row: usize, to: &mut impl Write) -> io::Result<()> {
    match column {
        Column::Text(v) => write_text(&v[row], to),
        Column::Integer(v) => match i32::try_from(v[row]) {
            Ok(x) => write_all(to, &[b"J", &x.to_le_bytes()]),
            Err(_) => write_all(to, &[b"\x8a\x08", &v[row].to_le_bytes()]),
        },
        Column::Real(v) => write_all(to, &[b"G", &v[row].to_be_bytes()]),
        Column::RealList(v) => {
            to.write_all(b"](")?;
            for x in &v[row] {
                write_all(to, &[b"G", &x.to_be_bytes()])?;
            }
            to.write_all(b"e")
        }
    }
}

fn write_text(text: &str, to: &mut impl Write) -> io::Result<()> {
    let length = u32::try_from(text.len())
        .map_err(|_| io::Error::other("a text of 4 GiB or more does not fit into a pickle"))?;
    write_all(to, &[b"X", &length.to_le_bytes(), text.as_bytes()])
}

fn write_all(to: &mut impl Write, parts: &[&[u8]]) -> io::Result<()> {
    parts.iter().try_for_each(|part| to.write_all(part))
}

/// Reads a list of dicts.
pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Vec<Map<String, Value>>> {
    let mut reader = Reader {
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        text_left: bytes.len().saturating_mul(MAX_GROWTH),
    };
    let rows = reader.run(bytes).and_then(rows_of);
    rows.map_err(|what| bad(path, format!("not a pickled list of dicts: {what}")))
}

fn rows_of(value: Value) -> Result<Vec<Map<String, Value>>, String> {
    let Value::Array(rows) = value else {
        return Err("it holds something else than a list".to_owned());
    };
    let rows = rows.into_iter().enumerate().map(|(i, row)| match row {
        Value::Object(row) => Ok(row),
        _ => Err(format!("row {} is not a dict", i + 1)),
    });
    rows.collect()
}

/// What the opcodes work on.
struct Reader<'a> {
    stack: Vec<Item<'a>>,
    /// Where on the stack the marks lie.
    marks: Vec<usize>,
    /// What has a number: a text, or something that must not be called again.
    memo: HashMap<u32, Option<&'a str>>,
    /// Bytes that texts may still take.
    text_left: usize,
}

enum Item<'a> {
    /// Not yet copied, so that calling it by its number costs nothing.
    Text(&'a str),
    Whole {
        value: Value,
        /// 0 for a scalar, 1 for a list of scalars.
        depth: usize,
    },
}

type Step<T> = std::result::Result<T, String>;

impl<'a> Reader<'a> {
    fn run(&mut self, bytes: &'a [u8]) -> Step<Value> {
        let mut opcodes = Opcodes::new(bytes);
        loop {
            match opcodes.next_opcode()? {
                Opcode::Header => {}
                Opcode::Mark => self.marks.push(self.stack.len()),
                Opcode::Stop => break,
                Opcode::None => self.push(Value::Null, 0),
                Opcode::Bool(x) => self.push(json!(x), 0),
                Opcode::Integer(x) => self.push(integer(x), 0),
                Opcode::Real(x) => self.push(super::real_value(x), 0),
                Opcode::Text(text) => self.stack.push(Item::Text(text)),
                Opcode::EmptyList => self.push(json!([]), 1),
                Opcode::EmptyDict => self.push(json!({}), 1),
                Opcode::Tuple(n) => self.tuple(n)?,
                Opcode::TupleFromMark => {
                    let n = self.stack.len() - self.mark()?;
                    self.tuple(n)?;
                }
                Opcode::Append => self.extend(self.stack.len().saturating_sub(1))?,
                Opcode::SetItem => self.extend(self.stack.len().saturating_sub(2))?,
                Opcode::Appends | Opcode::SetItems => {
                    let mark = self.mark()?;
                    self.extend(mark)?;
                }
                Opcode::Memoize => self.memoize(self.memo.len() as u32)?,
                Opcode::Put(number) => self.memoize(number)?,
                Opcode::Get(number) => self.recall(number)?,
                Opcode::Global(module, name) => return Err(foreign_object(Some((module, name)))),
                Opcode::StackGlobal => {
                    return Err(foreign_object(match &self.stack[..] {
                        [.., Item::Text(module), Item::Text(name)] => Some((*module, *name)),
                        _ => None,
                    }));
                }
                Opcode::Reduce | Opcode::Build | Opcode::PersistentId => {
                    return Err(foreign_object(None));
                }
                Opcode::Other(byte) => {
                    let at = opcodes.position() - 1;
                    return Err(format!(
                        "the byte 0x{byte:02x} at {at} starts no plain value of protocols 2 to 5"
                    ));
                }
            }
        }
        if opcodes.position() != bytes.len() {
            return Err(format!(
                "{} bytes follow it",
                bytes.len() - opcodes.position()
            ));
        }
        let item = self.stack.pop().ok_or("it is empty")?;
        Ok(self.own(item)?.0)
    }

    fn push(&mut self, value: Value, depth: usize) {
        self.stack.push(Item::Whole { value, depth });
    }

    fn mark(&mut self) -> Step<usize> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        mark.ok_or_else(|| "a mark is missing".to_owned())
    }

    /// Makes a list of the last `n` values, which is how Python's tuples arrive.
    fn tuple(&mut self, n: usize) -> Step<()> {
        let start = self
            .stack
            .len()
            .checked_sub(n)
            .ok_or("a value is missing")?;
        let items = self.stack.split_off(start);
        self.push(json!([]), 1);
        self.stack.extend(items);
        self.extend(start + 1)
    }

    /// Puts the values from `start` on into the list or dict below them.
    fn extend(&mut self, start: usize) -> Step<()> {
        if start == 0 || start > self.stack.len() {
            return Err("a value is missing".to_owned());
        }
        let items = self.stack.split_off(start);
        let Some(Item::Whole {
            mut value,
            mut depth,
        }) = self.stack.pop()
        else {
            return Err("a text takes no values".to_owned());
        };
        let mut key: Option<String> = None;
        for item in items {
            let (new, new_depth) = self.own(item)?;
            depth = depth.max(new_depth + 1);
            match (&mut value, key.take(), new) {
                (Value::Array(list), _, new) => list.push(new),
                (Value::Object(dict), Some(key), new) => drop(dict.insert(key, new)),
                (Value::Object(_), None, Value::String(name)) => key = Some(name),
                (Value::Object(_), None, other) => {
                    return Err(format!("the key {other} is not a text"));
                }
                _ => return Err("a number takes no values".to_owned()),
            }
        }
        if key.is_some() {
            return Err("a key has no value".to_owned());
        }
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        self.push(value, depth);
        Ok(())
    }

    /// The value with its depth, texts copied.
    fn own(&mut self, item: Item<'_>) -> Step<(Value, usize)> {
        match item {
            Item::Whole { value, depth } => Ok((value, depth)),
            Item::Text(text) => {
                let left = self.text_left.checked_sub(text.len());
                self.text_left = left.ok_or("it repeats long texts too often")?;
                Ok((json!(text), 0))
            }
        }
    }

    fn memoize(&mut self, number: u32) -> Step<()> {
        let text = match self.stack.last().ok_or("a value is missing")? {
            Item::Text(text) => Some(*text),
            Item::Whole { .. } => None,
        };
        self.memo.insert(number, text);
        Ok(())
    }

    fn recall(&mut self, number: u32) -> Step<()> {
        match self.memo.get(&number) {
            Some(Some(text)) => {
                self.stack.push(Item::Text(text));
                Ok(())
            }
            Some(None) => Err("one list or dict stands in two places; copy it".to_owned()),
            None => Err(format!("the value number {number} is missing")),
        }
    }
}

/// Says which object of Python's there is where plain data is expected.
fn foreign_object(name: Option<(&str, &str)>) -> String {
    let name = name.map(|(module, name)| format!("{module}.{name}"));
    // Nobody's names are this long, unless the file is not a pickle.
    let name = name.filter(|name| name.len() < 100);
    let name = name.map_or(String::new(), |name| format!(", `{name}`"));
    format!("it holds a Python object{name}; convert it to `str`, `int`, `float`, `list` or `dict`")
}

fn integer(x: i128) -> Value {
    match (i64::try_from(x), u64::try_from(x)) {
        (Ok(x), _) => json!(x),
        (_, Ok(x)) => json!(x),
        // A text keeps all the digits, which an id may need.
        _ => json!(x.to_string()),
    }
}
