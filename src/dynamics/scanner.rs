//! Values as other programs write them into their logs: JSON, or the way that Python prints a
//! dict, with single quotes, `True`, `None` and `nan`.
//!
//! Nothing is built in memory that the caller does not ask for, which is what makes reading half
//! a gigabyte of logits a matter of seconds. Any text at all is read without a panic.

use std::borrow::Cow;

/// What is wrong, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: usize,
    pub message: String,
}

/// Letters, digits, signs and points: what numbers and words like `None` are made of.
const IS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        table[byte] = character.is_ascii_alphanumeric() || matches!(character, b'+' | b'-' | b'.');
        byte += 1;
    }
    table
};

/// Lists and dicts inside one another, at most; deeper ones are nobody's dynamics.
const MOST_LEVELS: usize = 64;

/// Reads one value after the other.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The bytes that are left.
    fn left(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// A fault at the next byte.
    pub fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault {
            at: self.at,
            message: message.into(),
        })
    }

    /// The next byte that is no space.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Whether `byte` comes next, which is then passed.
    #[inline]
    fn pass(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.pass(byte) {
            return Ok(());
        }
        self.lacks(byte)
    }

    #[cold]
    fn lacks(&mut self, byte: u8) -> Result<(), Fault> {
        let expected = char::from(byte);
        match self.peek() {
            None => self.fault(format!("it ends where `{expected}` should come")),
            Some(_) => self.fault(format!("expected `{expected}`, found {}", self.found())),
        }
    }

    /// What comes next, for messages.
    fn found(&self) -> String {
        let left = self.text.get(self.at..).unwrap_or_default();
        let shown: String = left.chars().take(20).take_while(|c| *c != '\n').collect();
        format!("`{shown}`")
    }

    /// A dict: `field` gets each key and must take its value.
    pub fn dict(
        &mut self,
        mut field: impl FnMut(&str, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'{')?;
        if self.pass(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            field(&key, self)?;
            if self.pass(b',') {
                // Python allows one more comma.
                if self.pass(b'}') {
                    return Ok(());
                }
            } else {
                return self.expect(b'}');
            }
        }
    }

    /// A list: `item` must take each of its values.
    pub fn list(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let end = if self.pass(b'(') {
            b')'
        } else {
            self.expect(b'[')?;
            b']'
        };
        if self.pass(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.pass(b',') {
                return self.expect(end);
            }
            if self.pass(end) {
                return Ok(());
            }
        }
    }

    /// A list of numbers, added to `numbers`.
    pub fn numbers(&mut self, numbers: &mut Vec<f64>) -> Result<(), Fault> {
        self.list(|scanner| {
            numbers.push(scanner.number()?);
            Ok(())
        })
    }

    /// A number of any size; `NaN`, `nan`, `Infinity` and `inf` are numbers, too.
    pub fn number(&mut self) -> Result<f64, Fault> {
        self.peek();
        if let Some((number, length)) = short_decimal(self.left()) {
            self.at += length;
            return Ok(number);
        }
        let word = self.word();
        match word.parse::<f64>() {
            // Rust's own names for these are the same words.
            Ok(number) => {
                self.at += word.len();
                Ok(number)
            }
            Err(_) if self.peek().is_none() => self.fault("it ends where a number should come"),
            Err(_) => self.fault(format!("expected a number, found {}", self.found())),
        }
    }

    /// A whole number that is not negative, or the text of one.
    pub fn whole(&mut self) -> Result<u32, Fault> {
        let start = self.clone();
        let number = if matches!(self.peek(), Some(b'"' | b'\'')) {
            self.text()?.trim().parse().ok()
        } else {
            let number = self.number()?;
            let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
            is_whole.then_some(number as u32)
        };
        let mut start = start;
        number.ok_or(()).or_else(|()| {
            start.peek();
            start.fault(format!(
                "expected a whole number of at least 0, found {}",
                start.found()
            ))
        })
    }

    /// `true` or `false`, in Python's spelling or as a text, too.
    pub fn truth(&mut self) -> Result<bool, Fault> {
        let start = self.at;
        let word = if matches!(self.peek(), Some(b'"' | b'\'')) {
            self.text()?
        } else {
            let word = self.word();
            self.at += word.len();
            Cow::Borrowed(word)
        };
        match word.as_ref() {
            "true" | "True" => Ok(true),
            "false" | "False" => Ok(false),
            _ => {
                self.at = start;
                self.peek();
                self.fault(format!("expected true or false, found {}", self.found()))
            }
        }
    }

    /// A text, or a whole number as it is written; and whether it is a number.
    pub fn id(&mut self) -> Result<(Cow<'a, str>, bool), Fault> {
        if matches!(self.peek(), Some(b'"' | b'\'')) {
            return Ok((self.text()?, false));
        }
        let word = self.word();
        let digits = word.strip_prefix('-').unwrap_or(word);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.fault(format!(
                "expected a text or a whole number, found {}",
                self.found()
            ));
        }
        self.at += word.len();
        Ok((Cow::Borrowed(word), true))
    }

    /// The letters, digits and signs that come next; not passed.
    fn word(&mut self) -> &'a str {
        self.peek();
        let length = self
            .left()
            .iter()
            .position(|byte| !IS_WORD[usize::from(*byte)]);
        let end = length.map_or(self.text.len(), |length| self.at + length);
        self.slice(self.at, end)
    }

    /// The text between two places that lie before or after ASCII characters.
    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// A text in double or single quotes.
    pub fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => quote,
            None => return self.fault("it ends where a text should come"),
            Some(_) => return self.fault(format!("expected a text, found {}", self.found())),
        };
        let start = self.at + 1;
        let left = &self.text.as_bytes()[start..];
        let end = left
            .iter()
            .position(|byte| *byte == quote || *byte == b'\\');
        match end {
            Some(length) if left[length] == quote => {
                self.at = start + length + 1;
                Ok(Cow::Borrowed(self.slice(start, start + length)))
            }
            Some(_) => self.escaped(start, quote).map(Cow::Owned),
            None => self.fault("the text that begins here does not end"),
        }
    }

    /// The rest of a text with escapes in it.
    fn escaped(&mut self, start: usize, quote: u8) -> Result<String, Fault> {
        let mut text = String::new();
        let mut at = start;
        loop {
            let left = &self.text.as_bytes()[at..];
            let Some(length) = left
                .iter()
                .position(|byte| *byte == quote || *byte == b'\\')
            else {
                return self.fault("the text that begins here does not end");
            };
            text.push_str(self.slice(at, at + length));
            at += length;
            if self.text.as_bytes()[at] == quote {
                self.at = at + 1;
                return Ok(text);
            }
            let (character, length) = self.escape(at)?;
            text.push(character);
            at += length;
        }
    }

    /// The character that the escape at `at` stands for, and the escape's length in bytes.
    fn escape(&self, at: usize) -> Result<(char, usize), Fault> {
        let wrong = || Fault {
            at,
            message: "the text has a backslash before something that it does not escape".to_owned(),
        };
        let kind = *self.text.as_bytes().get(at + 1).ok_or_else(wrong)?;
        let simple = match kind {
            b'n' => Some('\n'),
            b't' => Some('\t'),
            b'r' => Some('\r'),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'"' | b'\'' | b'\\' | b'/' => Some(char::from(kind)),
            _ => None,
        };
        if let Some(character) = simple {
            return Ok((character, 2));
        }
        let n_digits = match kind {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => return Err(wrong()),
        };
        let high = self.hexadecimal(at + 2, n_digits).ok_or_else(wrong)?;
        let length = 2 + n_digits;
        if let Some(character) = char::from_u32(high) {
            return Ok((character, length));
        }
        // JSON writes characters beyond 16 bits as two halves.
        let is_pair = (0xd800..0xdc00).contains(&high)
            && self.text.as_bytes()[at + length..].starts_with(b"\\u");
        let low = self
            .hexadecimal(at + length + 2, 4)
            .filter(|_| is_pair)
            .ok_or_else(wrong)?;
        let whole = 0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
        let character = char::from_u32(whole).filter(|_| (0xdc00..0xe000).contains(&low));
        Ok((character.ok_or_else(wrong)?, length + 6))
    }

    fn hexadecimal(&self, at: usize, n_digits: usize) -> Option<u32> {
        let digits = self.text.get(at..at + n_digits)?;
        let is_good = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = is_good.then_some(digits)?;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Passes a value of any kind.
    pub fn skip(&mut self) -> Result<(), Fault> {
        self.skip_level(0)
    }

    fn skip_level(&mut self, level: usize) -> Result<(), Fault> {
        if level == MOST_LEVELS {
            return self.fault(format!("values lie more than {MOST_LEVELS} levels deep"));
        }
        match self.peek() {
            Some(b'{') => self.dict(|_, scanner| scanner.skip_level(level + 1)),
            Some(b'[' | b'(') => self.list(|scanner| scanner.skip_level(level + 1)),
            Some(b'"' | b'\'') => self.text().map(|_| ()),
            _ => {
                let word = self.word();
                let is_known =
                    matches!(word, "null" | "None" | "true" | "True" | "false" | "False");
                if is_known || word.parse::<f64>().is_ok() {
                    self.at += word.len();
                    return Ok(());
                }
                match self.peek() {
                    None => self.fault("it ends where a value should come"),
                    Some(_) => self.fault(format!("expected a value, found {}", self.found())),
                }
            }
        }
    }

    /// Sees that nothing follows.
    pub fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault(format!(
                "expected the end of the line, found {}",
                self.found()
            )),
        }
    }
}

/// The powers of ten that f64 holds exactly and that have no more digits than 64 bits hold.
const POWERS_OF_TEN: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19,
];

/// A decimal number of few digits, such as `-1.25`, and its length; none for any other, which is
/// left to the standard library.
///
/// Its digits as a whole number and the power of ten are exact, so that their quotient is the
/// nearest f64, as everywhere else (Clinger 1990, How to Read Floating Point Numbers Accurately).
fn short_decimal(text: &[u8]) -> Option<(f64, usize)> {
    /// Whole numbers up to here are exact.
    const LARGEST_EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    let is_negative = text.first() == Some(&b'-');
    let mut length = usize::from(is_negative);
    let (mut digits, mut n_digits, mut n_before_point) = (0_u64, 0_usize, None);
    while let Some(byte) = text.get(length) {
        match byte {
            b'0'..=b'9' => {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                n_digits += 1;
            }
            b'.' if n_before_point.is_none() => n_before_point = Some(n_digits),
            byte if IS_WORD[usize::from(*byte)] => return None,
            _ => break,
        }
        length += 1;
    }
    // More digits may have overflowed.
    if n_digits == 0 || n_digits >= POWERS_OF_TEN.len() || digits > LARGEST_EXACT {
        return None;
    }
    let n_after_point = n_digits - n_before_point.unwrap_or(n_digits);
    let number = digits as f64 / POWERS_OF_TEN[n_after_point];
    Some((if is_negative { -number } else { number }, length))
}
