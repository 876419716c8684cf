//! Rotary positions: queries and keys turned by angles that grow with the position (Su et al.
//! 2021), so that a score depends on the distance of two tokens.
//!
//! Shapes: T tokens of B sequences laid end to end; H heads of width d; qkv (T, 3 D). At
//! position p, counted from 0 in each sequence, the features i and i + d / 2 of a query or key
//! are turned by the angle p theta^(-2 i / d).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::data::Sequences;
use crate::error::Result;
use crate::nn::kernels::{Kernels, positions};
use crate::nn::raw;

/// The turning of queries and keys; it has no parameters, and layers of one theta share it.
#[derive(Debug)]
pub struct Rotary {
    head_width: usize,
    /// theta^(-2 i / d) for i < d / 2.
    frequencies: Vec<f32>,
    /// Of all positions that were asked for so far.
    table: Mutex<Arc<Table>>,
}

/// The cosines and sines of each position's d / 2 angles.
#[derive(Debug, Default)]
struct Table {
    n_positions: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
    /// Both on the device, (positions, d / 2), where kernels asked for them.
    on_device: OnceLock<[Tensor; 2]>,
}

impl Table {
    fn on_device(&self, device: &Device) -> Result<[Tensor; 2]> {
        if let Some(tensors) = self.on_device.get() {
            return Ok(tensors.clone());
        }
        let n = self.cosines.len();
        let tensors = [
            Tensor::from_slice(&self.cosines, n, device)?,
            Tensor::from_slice(&self.sines, n, device)?,
        ];
        Ok(self.on_device.get_or_init(|| tensors).clone())
    }
}

impl Rotary {
    /// Rotary positions for heads of `head_width` (even) features and the base `theta`.
    pub fn new(head_width: usize, theta: f64) -> Self {
        let frequency = |i: usize| {
            let exponent = (2 * i) as f32 / head_width as f32;
            // Rounded where transformers rounds, since far positions multiply the rounding.
            1.0 / (f64::from(theta as f32).powf(f64::from(exponent)) as f32)
        };
        Self {
            head_width,
            frequencies: (0..head_width / 2).map(frequency).collect(),
            table: Mutex::default(),
        }
    }

    /// Turns the queries and keys of qkv (T, 3 D) in place.
    ///
    /// # Errors
    /// A tensor that is not contiguous f32, or a device without kernels.
    pub fn forward(&self, qkv: &Tensor, sequences: &Sequences) -> Result<()> {
        self.turn(qkv, sequences, 1.0)
    }

    /// Makes of the gradient of the turned qkv (T, 3 D) that of the original, in place.
    ///
    /// # Errors
    /// As [`Rotary::forward`].
    pub fn backward(&self, dqkv: &Tensor, sequences: &Sequences) -> Result<()> {
        self.turn(dqkv, sequences, -1.0)
    }

    /// Turns forwards (`direction` 1) or back (-1).
    fn turn(&self, qkv: &Tensor, sequences: &Sequences, direction: f32) -> Result<()> {
        let (_, columns) = qkv.dims2()?;
        let longest = sequences.ranges().map(|range| range.len()).max();
        let table = self.table(longest.unwrap_or(0));
        if let Some(kernels) = Kernels::of(qkv) {
            let [cosines, sines] = table.on_device(qkv.device())?;
            let positions = positions(sequences, qkv.device())?;
            let tables = [&cosines, &sines];
            return kernels.rotary(qkv, &positions, tables, self.head_width, direction);
        }
        let half = self.head_width / 2;
        let positions: Vec<usize> = sequences.ranges().flat_map(|r| 0..r.len()).collect();
        raw::update(qkv, |values| {
            values
                .par_chunks_mut(columns)
                .zip(positions.par_iter())
                .with_min_len(raw::ROWS_PER_TASK)
                .for_each(|(row, position)| {
                    let angles = position * half..(position + 1) * half;
                    let (cosines, sines) = (&table.cosines[angles.clone()], &table.sines[angles]);
                    // The last third, the values, stays as it is.
                    let (queries_and_keys, _) = row.split_at_mut(columns / 3 * 2);
                    for head in queries_and_keys.chunks_exact_mut(self.head_width) {
                        turn_head(head, cosines, sines, direction);
                    }
                });
        })
    }

    /// A table of at least `n_positions` positions.
    fn table(&self, n_positions: usize) -> Arc<Table> {
        // A table is put in place whole, so one that a panic left behind is sound.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.n_positions < n_positions {
            let angles = (0..n_positions).flat_map(|p| {
                self.frequencies
                    .iter()
                    .map(move |f| f64::from(p as f32 * f))
            });
            let (sines, cosines) = angles
                .map(f64::sin_cos)
                .map(|(sine, cosine)| (sine as f32, cosine as f32))
                .unzip();
            *table = Arc::new(Table {
                n_positions,
                cosines,
                sines,
                on_device: OnceLock::new(),
            });
        }
        Arc::clone(&table)
    }
}

fn turn_head(head: &mut [f32], cosines: &[f32], sines: &[f32], direction: f32) {
    let (first, second) = head.split_at_mut(cosines.len());
    for ((x, y), (cosine, sine)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
        let sine = direction * sine;
        (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
    }
}
