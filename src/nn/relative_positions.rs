//! Which row of a table of relative embeddings belongs to two tokens at some distance.
//!
//! A distance is the query's place less the key's. The table has a row for each distance from
//! -span to span - 1, or, with buckets, for each bucket: near distances have buckets of their
//! own, far ones share buckets whose widths grow with the logarithm of the distance (He et al.
//! 2023, "DeBERTaV3", and `make_log_bucket_position` of transformers 5.23).

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::nn::kernels::numbers;

/// The rule by which distances get their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelativePositions {
    /// The number of buckets to each side, at least 2; none where each distance is its own.
    pub buckets: Option<usize>,
    /// The distance from which on all share the last row, at least 1; with buckets, more than
    /// half their number and one.
    pub max_distance: usize,
}

impl RelativePositions {
    /// The number of rows of the table.
    pub fn n_rows(self) -> usize {
        2 * self.span()
    }

    /// The row of a distance; it never falls as the distance rises.
    pub fn row(self, distance: isize) -> usize {
        let near = distance.unsigned_abs();
        let bucket = match self.buckets {
            Some(buckets) => bucket(near, buckets / 2, self.max_distance),
            None => near,
        };
        if distance < 0 {
            self.span().saturating_sub(bucket)
        } else {
            (self.span() + bucket).min(self.n_rows() - 1)
        }
    }

    fn span(self) -> usize {
        self.buckets.unwrap_or(self.max_distance)
    }
}

/// The bucket of a distance that is not negative: up to `middle` it is the distance, beyond it
/// grows with the logarithm. The arithmetic is in f32, as transformers', since a bucket's edge
/// depends on its rounding.
fn bucket(distance: usize, middle: usize, max_distance: usize) -> usize {
    if distance <= middle {
        return distance;
    }
    let last = ((max_distance - 1) as f64 / middle as f64) as f32;
    let share = (distance as f32 / middle as f32).ln() / last.ln();
    (share * (middle as f32 - 1.0)).ceil() as usize + middle
}

/// The rows of all distances in a batch.
#[derive(Debug, Clone)]
pub struct DistanceRows {
    /// Of the distances longest - 1 down to 1 - longest.
    rows: Vec<usize>,
    longest: usize,
    /// Those of [`DistanceRows::on`], once it was asked.
    on_device: OnceLock<Tensor>,
}

impl DistanceRows {
    /// The rows for sequences of at most `longest` tokens, at least 1.
    pub fn new(positions: RelativePositions, longest: usize) -> Self {
        let farthest = longest as isize - 1;
        let distances = (-farthest..=farthest).rev();
        Self {
            rows: distances.map(|distance| positions.row(distance)).collect(),
            longest,
            on_device: OnceLock::new(),
        }
    }

    /// The number of tokens of the longest sequence.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The row of each distance from longest - 1 down to 1 - longest, counted from the first of
    /// [`DistanceRows::used`], u32: on the one device that the batch is on.
    pub(super) fn on(&self, device: &Device) -> Result<Tensor> {
        if let Some(rows) = self.on_device.get() {
            return Ok(rows.clone());
        }
        let first = self.used().start;
        let rows: Vec<u32> = self.rows.iter().map(|row| (row - first) as u32).collect();
        let rows = numbers(&rows, &[rows.len()], device)?;
        Ok(self.on_device.get_or_init(|| rows).clone())
    }

    /// The part of the table that such sequences use.
    pub fn used(&self) -> Range<usize> {
        self.used_by(self.longest)
    }

    /// The part of the table that a sequence of `length` tokens uses.
    fn used_by(&self, length: usize) -> Range<usize> {
        let [first, last] = [self.longest + length - 2, self.longest - length];
        self.rows[first]..self.rows[last] + 1
    }

    /// For a sequence of `length` tokens: which of the rows [`DistanceRows::used`] it uses, and,
    /// for the distances length - 1 down to 1 - length, the row within those. The rows of query
    /// i to the keys 0, 1, ... then begin at length - 1 - i.
    pub(super) fn of_length(&self, length: usize) -> (Range<usize>, Vec<usize>) {
        let of_batch = self.used().start;
        let used = self.used_by(length);
        let distances = self.longest - length..self.longest + length - 1;
        let rows = self.rows[distances].iter().map(|row| row - used.start);
        (used.start - of_batch..used.end - of_batch, rows.collect())
    }
}
