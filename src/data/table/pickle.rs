//! Python pickles that hold plain data: a list of dicts of texts, numbers and lists.
//!
//! Python's own reader runs whatever a pickle says, and a pickle of a few kilobytes may claim
//! any depth and, by naming one part twice over and over, any size. This reader knows the
//! opcodes of plain data in protocols 2 to 5 alone (documented in Python's `pickletools`), each
//! of which makes at most one value, limits the depth, and limits what repeated texts add up to.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Column, Table, bad};
use crate::error::Result;

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
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        text_left: bytes.len().saturating_mul(MAX_GROWTH),
    };
    let rows = reader.run().and_then(rows_of);
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
    bytes: &'a [u8],
    at: usize,
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
    fn run(&mut self) -> Step<Value> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                0x80 => drop(self.take(1)?), // PROTO
                0x95 => drop(self.take(8)?), // FRAME
                b'(' => self.marks.push(self.stack.len()),
                b'.' => break,
                b'N' => self.push(Value::Null, 0),
                0x88 => self.push(json!(true), 0),
                0x89 => self.push(json!(false), 0),
                b'K' => {
                    let x = self.take(1)?[0];
                    self.push(json!(x), 0);
                }
                b'M' => {
                    let x = u16::from_le_bytes(self.array()?);
                    self.push(json!(x), 0);
                }
                b'J' => {
                    let x = i32::from_le_bytes(self.array()?);
                    self.push(json!(x), 0);
                }
                0x8a => {
                    let length = self.take(1)?[0];
                    let value = integer(self.take(length.into())?)?;
                    self.push(value, 0);
                }
                b'G' => {
                    let x = f64::from_be_bytes(self.array()?);
                    self.push(super::real_value(x), 0);
                }
                0x8c => {
                    let length = self.take(1)?[0];
                    self.text(length.into())?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.array()?);
                    self.text(u64::from(length))?;
                }
                0x8d => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.text(length)?;
                }
                b']' | b')' => self.push(json!([]), 1),
                b'}' => self.push(json!({}), 1),
                0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
                b't' => {
                    let n = self.stack.len() - self.mark()?;
                    self.tuple(n)?;
                }
                b'a' => self.extend(self.stack.len().saturating_sub(1))?,
                b's' => self.extend(self.stack.len().saturating_sub(2))?,
                b'e' | b'u' => {
                    let mark = self.mark()?;
                    self.extend(mark)?;
                }
                0x94 => self.memoize(self.memo.len() as u32)?,
                b'q' => {
                    let number = self.take(1)?[0];
                    self.memoize(number.into())?;
                }
                b'r' => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.memoize(number)?;
                }
                b'h' => {
                    let number = self.take(1)?[0];
                    self.recall(number.into())?;
                }
                b'j' => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.recall(number)?;
                }
                b'c' | 0x93 => return Err(self.foreign_object(opcode)),
                _ => {
                    let at = self.at - 1;
                    return Err(format!(
                        "the byte 0x{opcode:02x} at {at} starts no plain value of protocols 2 to 5"
                    ));
                }
            }
        }
        if self.at != self.bytes.len() {
            return Err(format!("{} bytes follow it", self.bytes.len() - self.at));
        }
        let item = self.stack.pop().ok_or("it is empty")?;
        Ok(self.own(item)?.0)
    }

    fn take(&mut self, n: u64) -> Step<&'a [u8]> {
        let left = &self.bytes[self.at..];
        let n = usize::try_from(n).ok().filter(|n| *n <= left.len());
        let n = n.ok_or("it ends in the middle")?;
        self.at += n;
        Ok(&left[..n])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| "it ends in the middle".into())
    }

    fn push(&mut self, value: Value, depth: usize) {
        self.stack.push(Item::Whole { value, depth });
    }

    fn text(&mut self, length: u64) -> Step<()> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|e| format!("a text is not UTF-8: {e}"))?;
        self.stack.push(Item::Text(text));
        Ok(())
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

    /// Says which object of Python's there is where plain data is expected.
    fn foreign_object(&mut self, opcode: u8) -> String {
        let name = if opcode == b'c' {
            let mut lines = self.bytes[self.at..].split(|b| *b == b'\n');
            let mut line = || String::from_utf8_lossy(lines.next().unwrap_or_default());
            Some(format!("{}.{}", line(), line()))
        } else {
            match &self.stack[..] {
                [.., Item::Text(module), Item::Text(name)] => Some(format!("{module}.{name}")),
                _ => None,
            }
        };
        // Nobody's names are this long, unless the file is not a pickle.
        let name = name.filter(|name| name.len() < 100);
        let name = name.map_or(String::new(), |name| format!(", `{name}`"));
        format!(
            "it holds a Python object{name}; convert it to `str`, `int`, `float`, `list` or `dict`"
        )
    }
}

/// A whole number of any length, least byte first, in two's complement.
fn integer(bytes: &[u8]) -> Step<Value> {
    let filler = match bytes.last() {
        Some(byte) if byte & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut wide = [filler; 16];
    if bytes.len() > wide.len() {
        return Err("a whole number has more than 128 bits".to_owned());
    }
    wide[..bytes.len()].copy_from_slice(bytes);
    let x = i128::from_le_bytes(wide);
    Ok(match (i64::try_from(x), u64::try_from(x)) {
        (Ok(x), _) => json!(x),
        (_, Ok(x)) => json!(x),
        // A text keeps all the digits, which an id may need.
        _ => json!(x.to_string()),
    })
}
