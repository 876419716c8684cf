//! Arrays in `.npy` files: a short Python dict that says type and shape, then the numbers.

use std::path::Path;

use super::scanner::{Fault, Scanner};
use crate::error::{Error, Problem, Result};
use crate::fsio;

/// An array of numbers in rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NumpyArray {
    /// One or two numbers.
    pub shape: Vec<usize>,
    /// Row after row.
    pub values: Vec<f64>,
}

/// What the header says.
#[derive(Debug, Default)]
struct Header {
    kind: String,
    is_by_columns: bool,
    shape: Vec<usize>,
}

impl NumpyArray {
    /// Reads an array of one or two dimensions, of numbers of any kind.
    ///
    /// # Errors
    /// A file that cannot be read, is no such array or ends too early.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fsio::read(path)?;
        parse(&bytes).map_err(|message| {
            let message = format!("not a NumPy array of numbers: {message}");
            Error::data(Problem::new(message).in_file(path))
        })
    }
}

fn parse(bytes: &[u8]) -> Result<NumpyArray, String> {
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or("it does not begin as one")?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err("its version is none that is known".to_owned()),
    };
    let (header, data) = rest
        .split_at_checked(length)
        .ok_or("it ends in its header")?;
    let header = Header::parse(header).map_err(|fault| format!("its header: {}", fault.message))?;
    let n_values = header
        .shape
        .iter()
        .try_fold(1_usize, |product, n| product.checked_mul(*n))
        .ok_or("its shape is too large")?;
    if !matches!(header.shape.len(), 1 | 2) {
        return Err(format!(
            "it has {} dimensions, allowed are 1 and 2",
            header.shape.len()
        ));
    }
    let values = header.numbers(data, n_values)?;
    let values = match header.shape[..] {
        [n_rows, n_columns] if header.is_by_columns => {
            let places = (0..n_values).map(|i| (i % n_columns) * n_rows + i / n_columns);
            places.map(|place| values[place]).collect()
        }
        _ => values,
    };
    Ok(NumpyArray {
        shape: header.shape,
        values,
    })
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut header = Self::default();
        let text = std::str::from_utf8(bytes).map_err(|error| Fault {
            at: error.valid_up_to(),
            message: "it is not a text".to_owned(),
        })?;
        let mut scanner = Scanner::new(text);
        scanner.dict(|key, scanner| {
            match key {
                "descr" => header.kind = scanner.text()?.into_owned(),
                "fortran_order" => header.is_by_columns = scanner.truth()?,
                "shape" => scanner.list(|scanner| {
                    header.shape.push(scanner.whole()? as usize);
                    Ok(())
                })?,
                _ => scanner.skip()?,
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(header)
    }

    // One macro for all kinds: some need a cast, for the others it loses nothing.
    #[allow(clippy::cast_lossless)]
    fn numbers(&self, data: &[u8], n: usize) -> Result<Vec<f64>, String> {
        macro_rules! numbers {
            ($type:ty, $from:ident) => {
                numbers!($type, $from, |number| number as f64)
            };
            ($type:ty, $from:ident, $to_f64:expr) => {{
                let size = size_of::<$type>();
                let bytes = n.checked_mul(size).and_then(|length| data.get(..length));
                let bytes = bytes.ok_or_else(|| format!("it ends before its {n} numbers"))?;
                let one = |bytes: &[u8]| {
                    let to_f64: fn($type) -> f64 = $to_f64;
                    to_f64(<$type>::$from(bytes.try_into().unwrap_or_default()))
                };
                Ok(bytes.chunks_exact(size).map(one).collect())
            }};
        }
        match self.kind.as_str() {
            "<f2" => numbers!(half::f16, from_le_bytes, half::f16::to_f64),
            ">f2" => numbers!(half::f16, from_be_bytes, half::f16::to_f64),
            "<f4" => numbers!(f32, from_le_bytes),
            ">f4" => numbers!(f32, from_be_bytes),
            "<f8" => numbers!(f64, from_le_bytes),
            ">f8" => numbers!(f64, from_be_bytes),
            "<i8" => numbers!(i64, from_le_bytes),
            ">i8" => numbers!(i64, from_be_bytes),
            "<i4" => numbers!(i32, from_le_bytes),
            ">i4" => numbers!(i32, from_be_bytes),
            "<i2" => numbers!(i16, from_le_bytes),
            "<u4" => numbers!(u32, from_le_bytes),
            "<u8" => numbers!(u64, from_le_bytes),
            "<u2" => numbers!(u16, from_le_bytes),
            "|i1" => numbers!(i8, from_le_bytes),
            "|u1" | "|b1" => numbers!(u8, from_le_bytes),
            other => Err(format!(
                "its numbers are of the kind `{other}`; allowed: f2, f4, f8, i1 to i8, u1 to u8, b1"
            )),
        }
    }
}

/// The bytes of an array of f64, row after row (the format's version 1.0).
pub(super) fn real_array(shape: &[usize], values: &[f64]) -> Vec<u8> {
    array(
        "<f8",
        shape,
        values.iter().flat_map(|value| value.to_le_bytes()),
    )
}

/// The bytes of an array of whole numbers, row after row.
pub(super) fn whole_array(shape: &[usize], values: &[i64]) -> Vec<u8> {
    array(
        "<i8",
        shape,
        values.iter().flat_map(|value| value.to_le_bytes()),
    )
}

fn array(kind: &str, shape: &[usize], values: impl Iterator<Item = u8>) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!(
        "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}",
        shape.join(" ")
    );
    // The numbers begin at a multiple of 64 bytes, and a line ends before them.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(values);
    bytes
}
