//! The opcodes of Python's pickles, read one by one and never run.
//!
//! A pickle is a program for a small stack machine, and Python's own reader runs whatever it
//! says. Here are the opcodes that protocols 2 to 5 write for plain data and for tensors
//! (documented in Python's `pickletools`); what they do is up to the two readers that use them.

/// One opcode with its argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Opcode<'a> {
    /// A protocol's number or a frame's length, which a reader of whole bytes needs not.
    Header,
    /// `MARK`.
    Mark,
    /// `STOP`.
    Stop,
    /// `NONE`.
    None,
    /// `NEWTRUE` and `NEWFALSE`.
    Bool(bool),
    /// A whole number of at most 128 bits.
    Integer(i128),
    /// `BINFLOAT`.
    Real(f64),
    /// A text of any length.
    Text(&'a str),
    /// `EMPTY_LIST`.
    EmptyList,
    /// `EMPTY_DICT`.
    EmptyDict,
    /// The last so many values as a tuple.
    Tuple(usize),
    /// The values after the mark as a tuple.
    TupleFromMark,
    /// The last value goes into the list below it.
    Append,
    /// The values after the mark go into the list below it.
    Appends,
    /// The last two values, a key and its value, go into the dict below them.
    SetItem,
    /// The values after the mark go into the dict below it.
    SetItems,
    /// The last value gets the next free number.
    Memoize,
    /// The last value gets this number.
    Put(u32),
    /// The value with this number once more.
    Get(u32),
    /// Something of Python's by its module and name.
    Global(&'a str, &'a str),
    /// The same, with module and name on the stack.
    StackGlobal,
    /// Calls a function with a tuple of arguments.
    Reduce,
    /// Sets an object's state.
    Build,
    /// Something that lies outside the pickle.
    PersistentId,
    /// Any other byte, none of those above.
    Other(u8),
}

/// The opcodes of some bytes, in order.
#[derive(Debug, Clone)]
pub struct Opcodes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Opcodes<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next opcode.
    ///
    /// # Errors
    /// Bytes that end in the middle of it, a text that is not UTF-8, a number of more than 128
    /// bits.
    pub fn next_opcode(&mut self) -> Result<Opcode<'a>, String> {
        let opcode = self.take(1)?[0];
        Ok(match opcode {
            0x80 => self.header(1)?, // PROTO
            0x95 => self.header(8)?, // FRAME
            b'(' => Opcode::Mark,
            b'.' => Opcode::Stop,
            b'N' => Opcode::None,
            0x88 => Opcode::Bool(true),
            0x89 => Opcode::Bool(false),
            b'K' => Opcode::Integer(self.take(1)?[0].into()),
            b'M' => Opcode::Integer(u16::from_le_bytes(self.array()?).into()),
            b'J' => Opcode::Integer(i32::from_le_bytes(self.array()?).into()),
            0x8a => {
                let length = self.take(1)?[0];
                Opcode::Integer(integer(self.take(length.into())?)?)
            }
            b'G' => Opcode::Real(f64::from_be_bytes(self.array()?)),
            0x8c => {
                let length = self.take(1)?[0];
                self.text(length.into())?
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length.into())?
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                self.text(length)?
            }
            b']' => Opcode::EmptyList,
            b'}' => Opcode::EmptyDict,
            b')' => Opcode::Tuple(0),
            0x85..=0x87 => Opcode::Tuple(usize::from(opcode - 0x84)),
            b't' => Opcode::TupleFromMark,
            b'a' => Opcode::Append,
            b'e' => Opcode::Appends,
            b's' => Opcode::SetItem,
            b'u' => Opcode::SetItems,
            0x94 => Opcode::Memoize,
            b'q' => Opcode::Put(self.take(1)?[0].into()),
            b'r' => Opcode::Put(u32::from_le_bytes(self.array()?)),
            b'h' => Opcode::Get(self.take(1)?[0].into()),
            b'j' => Opcode::Get(u32::from_le_bytes(self.array()?)),
            b'c' => Opcode::Global(self.line()?, self.line()?),
            0x93 => Opcode::StackGlobal,
            b'R' => Opcode::Reduce,
            b'b' => Opcode::Build,
            b'Q' => Opcode::PersistentId,
            other => Opcode::Other(other),
        })
    }

    /// The next `n` bytes, which need not be opcodes.
    ///
    /// # Errors
    /// There are not so many.
    pub fn take(&mut self, n: u64) -> Result<&'a [u8], String> {
        let left = &self.bytes[self.at..];
        let n = usize::try_from(n).ok().filter(|n| *n <= left.len());
        let n = n.ok_or("it ends in the middle")?;
        self.at += n;
        Ok(&left[..n])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| "it ends in the middle".into())
    }

    fn header(&mut self, length: u64) -> Result<Opcode<'a>, String> {
        self.take(length).map(|_| Opcode::Header)
    }

    fn text(&mut self, length: u64) -> Result<Opcode<'a>, String> {
        self.take(length).and_then(utf8).map(Opcode::Text)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let left = &self.bytes[self.at..];
        let length = left.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or("it ends in the middle")?;
        let line = self.take(length as u64)?;
        self.at += 1;
        utf8(line)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|e| format!("a text is not UTF-8: {e}"))
}

/// A whole number of any length, least byte first, in two's complement.
fn integer(bytes: &[u8]) -> Result<i128, String> {
    let filler = match bytes.last() {
        Some(byte) if byte & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut wide = [filler; 16];
    if bytes.len() > wide.len() {
        return Err("a whole number has more than 128 bits".to_owned());
    }
    wide[..bytes.len()].copy_from_slice(bytes);
    Ok(i128::from_le_bytes(wide))
}
