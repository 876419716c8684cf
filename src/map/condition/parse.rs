//! The text of a condition to an expression.

use std::cmp::Ordering;

use super::Fault;

/// A condition as a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// One of them holds.
    Either(Vec<Expression>),
    /// All of them hold.
    Both(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// A column's value compares so.
    Comparison(Comparison),
}

/// A column compared with a value; places are bytes of the condition's text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    pub column: String,
    pub column_at: usize,
    pub operator: Operator,
    pub value: Value,
    pub value_at: usize,
}

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// The word `never`: of an example that was never learnt.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    /// The operators as they are written; one that begins another comes after it.
    const WRITTEN: [(&'static str, Self); 7] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Whether two values of this order compare so; none for two that have no order.
    pub fn holds(self, order: Option<Ordering>) -> bool {
        order.is_some_and(|order| match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        })
    }
}

/// How deep parentheses and `not`s may be nested: far more than anybody writes, and few enough
/// for the stack.
const MAX_DEPTH: usize = 100;

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    let expression = parser.either()?;
    parser.skip_space();
    match parser.rest() {
        "" => Ok(expression),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The byte to read next; always at a character's start.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn fault(at: usize, message: impl Into<String>) -> Fault {
        let message = message.into();
        Fault { at, message }
    }

    fn expected(&self, what: &str) -> Fault {
        let message = match self.rest().chars().next() {
            Some(c) => format!("expected {what}, not `{c}`"),
            None => format!("expected {what}, but this is its end"),
        };
        Self::fault(self.at, message)
    }

    fn either(&mut self) -> Result<Expression, Fault> {
        self.joined("or", Self::both, Expression::Either)
    }

    fn both(&mut self) -> Result<Expression, Fault> {
        self.joined("and", Self::negation, Expression::Both)
    }

    /// One member, or several with `word` between them.
    fn joined(
        &mut self,
        word: &str,
        member: fn(&mut Self) -> Result<Expression, Fault>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, Fault> {
        let first = member(self)?;
        let mut members = vec![first];
        while self.takes_word(word) {
            members.push(member(self)?);
        }
        Ok(match members.len() {
            1 => members.remove(0),
            _ => join(members),
        })
    }

    fn negation(&mut self) -> Result<Expression, Fault> {
        self.skip_space();
        let start = self.at;
        if self.takes_word("not") {
            let inner = self.nested(start, Self::negation)?;
            return Ok(Expression::Not(Box::new(inner)));
        }
        if !self.takes("(") {
            return self.comparison();
        }
        let inner = self.nested(start, Self::either)?;
        self.skip_space();
        if self.takes(")") {
            Ok(inner)
        } else {
            Err(self.expected("`and`, `or` or `)`"))
        }
    }

    fn nested(
        &mut self,
        start: usize,
        inner: fn(&mut Self) -> Result<Expression, Fault>,
    ) -> Result<Expression, Fault> {
        if self.depth == MAX_DEPTH {
            let message = format!("this is nested more than {MAX_DEPTH} times");
            return Err(Self::fault(start, message));
        }
        self.depth += 1;
        let inner = inner(self);
        self.depth -= 1;
        inner
    }

    fn comparison(&mut self) -> Result<Expression, Fault> {
        let column_at = self.at;
        let column = self.column()?;
        self.skip_space();
        let written = Operator::WRITTEN.iter();
        let operator = written
            .copied()
            .find_map(|(symbol, operator)| self.takes(symbol).then_some(operator))
            .ok_or_else(|| self.expected("one of = != < <= > >="))?;
        self.skip_space();
        let value_at = self.at;
        let value = self.value()?;
        Ok(Expression::Comparison(Comparison {
            column,
            column_at,
            operator,
            value,
            value_at,
        }))
    }

    fn column(&mut self) -> Result<String, Fault> {
        if self.rest().starts_with('`') {
            return self.quoted('`');
        }
        let starts_well = |c: char| c.is_alphabetic() || c == '_';
        let word = self.word();
        if word.is_empty() || !word.starts_with(starts_well) {
            return Err(self.expected("a column's name"));
        }
        let is_reserved = ["and", "or", "not"]
            .iter()
            .any(|reserved| word.eq_ignore_ascii_case(reserved));
        if is_reserved {
            let message = format!("expected a column's name, not the word `{word}`");
            return Err(Self::fault(self.at, message));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => Ok(Value::Text(self.quoted(quote)?)),
            Some(c) if c.is_ascii_digit() || matches!(c, '.' | '-' | '+') => {
                let word = self.number();
                let number = word.parse().ok().filter(|x: &f64| x.is_finite());
                match number {
                    Some(number) => {
                        self.at += word.len();
                        Ok(Value::Number(number))
                    }
                    None => Err(Self::fault(start, format!("`{word}` is not a number"))),
                }
            }
            Some(_) if self.takes_word("never") => Ok(Value::Never),
            Some(_) if !self.word().is_empty() => {
                let word = self.word();
                let message = format!("`{word}` is not a number; a text is in quotes: '{word}'");
                Err(Self::fault(start, message))
            }
            _ => Err(self.expected("a number, or a text in quotes")),
        }
    }

    /// A text in quotes; the quote itself is written twice.
    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let start = self.at;
        self.at += quote.len_utf8();
        let mut content = String::new();
        loop {
            let Some(length) = self.rest().find(quote) else {
                let message = format!("this {quote} is not closed");
                return Err(Self::fault(start, message));
            };
            content.push_str(&self.rest()[..length]);
            self.at += length + quote.len_utf8();
            if !self.takes(&quote.to_string()) {
                return Ok(content);
            }
            content.push(quote);
        }
    }

    /// The letters, digits, `_`, `.` and `-` that come next.
    fn word(&self) -> &'a str {
        let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let rest = self.rest();
        &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())]
    }

    /// What a number may be made of, as far as it comes next: a sign may begin it and follow `e`.
    fn number(&self) -> &'a str {
        let rest = self.rest();
        let mut before = 'e';
        let end = rest.find(|c: char| {
            let is_sign = matches!(c, '+' | '-');
            let belongs =
                c.is_alphanumeric() || c == '.' || (is_sign && matches!(before, 'e' | 'E'));
            before = c;
            !belongs
        });
        &rest[..end.unwrap_or(rest.len())]
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Takes the word in any case, if the next one is it and no more.
    fn takes_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let found = self.word().eq_ignore_ascii_case(word);
        if found {
            self.at += word.len();
        }
        found
    }
}
