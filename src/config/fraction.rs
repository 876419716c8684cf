//! A share of the training set, as an exact decimal.

use std::fmt;
use std::str::FromStr;

/// A fraction from 0 to 1, exact as it was written: 0.29 of 100 examples are 29, which
/// floating point would make 28.
///
/// Its text is a decimal such as `0.29`, `.5`, `1` or `1e-3`, with at most 19 decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction {
    /// In units of 10^-19.
    units: u64,
}

/// The number of decimals that a fraction can have: 10^19 is the largest power of ten in 64
/// bits, and shares of so many units times any number of examples fit into 128.
const MAX_DECIMALS: usize = 19;

const ONE: u64 = 10_u64.pow(MAX_DECIMALS as u32);

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self { units: 0 };
    /// All.
    pub const ONE: Self = Self { units: ONE };

    /// The whole number of examples that this fraction of `n` has: floor(f n), exactly.
    pub fn of(self, n: usize) -> usize {
        let product = u128::from(self.units) * n as u128;
        (product / u128::from(ONE)) as usize
    }

    /// The least whole number that is at least this fraction of `n`: ceil(f n), exactly.
    pub fn of_rounded_up(self, n: usize) -> usize {
        let product = u128::from(self.units) * n as u128;
        product.div_ceil(u128::from(ONE)) as usize
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self.units == 0
    }

    /// The number nearest to it.
    pub fn to_f64(self) -> f64 {
        self.units as f64 / ONE as f64
    }

    /// The exact sum of some fractions, or its text where it is above 1.
    pub(super) fn sum(fractions: impl IntoIterator<Item = Self>) -> Result<Self, String> {
        let units: u128 = fractions.into_iter().map(|f| u128::from(f.units)).sum();
        match u64::try_from(units) {
            Ok(units) if units <= ONE => Ok(Self { units }),
            _ => Err(decimal_text(units)),
        }
    }
}

fn decimal_text(units: u128) -> String {
    let one = u128::from(ONE);
    let decimals = format!("{:0width$}", units % one, width = MAX_DECIMALS);
    match decimals.trim_end_matches('0') {
        "" => (units / one).to_string(),
        decimals => format!("{}.{decimals}", units / one),
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_text(u128::from(self.units)))
    }
}

impl FromStr for Fraction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|expected| format!("`{text}` is no fraction; {expected}"))
    }
}

impl Fraction {
    /// As [`FromStr`], but the error says only what is expected.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const RANGE: &str = "expected a number from 0 to 1";
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().map_err(|_| RANGE)?;
        let mantissa = mantissa.strip_prefix('+').unwrap_or(mantissa);
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{decimals}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(RANGE);
        }
        let significant = digits.trim_end_matches('0');
        let dropped = (digits.len() - significant.len()) as i64;
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        // The value is significant x 10^-places.
        let places = decimals.len() as i64 - dropped - i64::from(exponent);
        if places > MAX_DECIMALS as i64 {
            return Err("expected at most 19 decimals");
        }
        let scale = (MAX_DECIMALS as i64 - places) as usize;
        // A number of units with more digits than ONE has is above 1.
        if significant.len() + scale > MAX_DECIMALS + 1 {
            return Err(RANGE);
        }
        let units = format!("{significant}{}", "0".repeat(scale)).parse();
        match units {
            Ok(units) if units <= ONE => Ok(Self { units }),
            _ => Err(RANGE),
        }
    }
}
