//! Embedding tables and the rows that a head reads.
//!
//! Shapes: V rows of D features; T ids give (T, D).

use candle_core::Tensor;

use crate::data::Sequences;
use crate::error::{Error, Result};
use crate::nn::kernels::{Kernels, limits};
use crate::nn::values::{Output, rows};
use crate::nn::{Gradients, Initialization, Parameter, Saved, Vars, raw};

/// The sum of several embedding tables, each looked up with its own ids.
#[derive(Debug)]
pub struct EmbeddingSum {
    tables: Vec<Parameter>,
}

impl EmbeddingSum {
    /// Tables named (name, rows), of `width` features each, first drawn with `std`.
    ///
    /// # Errors
    /// Parameters that were not declared.
    pub fn new(vars: &Vars<'_>, tables: &[(&str, usize)], width: usize, std: f64) -> Result<Self> {
        let tables = tables
            .iter()
            .map(|(name, rows)| {
                let shape = [*rows, width];
                vars.pp(name)
                    .table("weight", shape, Initialization::Normal(std))
            })
            .collect::<Result<_>>()?;
        Ok(Self { tables })
    }

    /// ids (T) u32 for each table -> the sum of their rows (T, D). The ids are saved.
    ///
    /// # Errors
    /// An id that its table lacks (on a GPU its values are not numbers instead), or a device
    /// without kernels.
    pub fn forward(&self, ids: &[&Tensor], saved: &mut Saved) -> Result<Tensor> {
        if let Some(kernels) = Kernels::of(self.tables[0].value()) {
            let tables = self.tables.iter().map(Parameter::value);
            // A model without token types has no table for the last ids.
            let tables: Vec<_> = tables.zip(ids.iter().copied()).collect();
            for (_, ids) in &tables {
                saved.push(ids);
            }
            return kernels.embedding_forward(&tables);
        }
        let n_tokens = ids[0].elem_count();
        let width = self.tables[0].value().dim(1)?;
        let mut tables = Vec::with_capacity(self.tables.len());
        for (table, ids) in self.tables.iter().zip(ids) {
            let n_rows = table.value().dim(0)?;
            let host_ids = raw::read::<u32>(ids)?;
            if let Some(id) = host_ids.iter().find(|id| **id as usize >= n_rows) {
                return Err(Error::internal(format!(
                    "id {id} is outside an embedding table of {n_rows} rows"
                )));
            }
            tables.push((raw::read::<f32>(table.value())?, host_ids));
            saved.push(ids);
        }
        let device = self.tables[0].value().device();
        let ([sums], _) = rows(device, n_tokens, [Output::f32(width)], |tokens, [sums]| {
            sums.fill(0.0);
            for (values, ids) in &tables {
                let ids = &ids[tokens.clone()];
                for (sum, id) in sums.chunks_exact_mut(width).zip(ids) {
                    let start = *id as usize * width;
                    raw::add_to(sum, &values[start..start + width]);
                }
            }
        })?;
        Ok(sums)
    }

    /// dy (T, D): adds each row to the gradients of the rows that were looked up, in the
    /// order of the tokens.
    ///
    /// # Errors
    /// A stack that does not match, or a device without kernels.
    pub fn backward(&self, dy: &Tensor, saved: &mut Saved, grads: &Gradients) -> Result<()> {
        if let Some(kernels) = Kernels::of(dy) {
            for table in self.tables.iter().rev() {
                grads.add_rows_by(&kernels, table, &saved.pop()?, dy)?;
            }
            return Ok(());
        }
        let dy = raw::read::<f32>(dy)?;
        for table in self.tables.iter().rev() {
            let ids = saved.pop()?;
            grads.add_rows(table, &raw::read::<u32>(&ids)?, &dy)?;
        }
        Ok(())
    }
}

/// ids + number, each u32.
///
/// # Errors
/// No memory on the device.
pub fn shifted(ids: &Tensor, number: u32) -> Result<Tensor> {
    if number == 0 {
        return Ok(ids.clone());
    }
    match Kernels::of(ids) {
        Some(kernels) => kernels.add_number(ids, number),
        None => Ok(ids.broadcast_add(&Tensor::new(number, ids.device())?)?),
    }
}

/// x (T, D) -> the rows of the sequences' first tokens (B, D).
///
/// # Errors
/// A tensor that is not contiguous f32, or a device without kernels.
pub fn first_tokens(x: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    if let Some(kernels) = Kernels::of(x) {
        return kernels.first_tokens(x, &limits(sequences, x.device())?);
    }
    let width = x.dim(1)?;
    let values = raw::read::<f32>(x)?;
    let rows: Vec<f32> = sequences
        .ranges()
        .flat_map(|range| &values[range.start * width..(range.start + 1) * width])
        .copied()
        .collect();
    raw::tensor(rows, &[sequences.len(), width], x.device())
}

/// The gradient of [`first_tokens`]: dy (B, D) -> dx (T, D), 0 at all other tokens.
///
/// # Errors
/// As [`first_tokens`].
pub fn first_tokens_backward(dy: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    if let Some(kernels) = Kernels::of(dy) {
        let limits = limits(sequences, dy.device())?;
        return kernels.first_tokens_backward(dy, &limits, sequences.n_tokens());
    }
    let width = dy.dim(1)?;
    let values = raw::read::<f32>(dy)?;
    let mut dx = vec![0.0; sequences.n_tokens() * width];
    for (range, row) in sequences.ranges().zip(values.chunks_exact(width)) {
        dx[range.start * width..(range.start + 1) * width].copy_from_slice(row);
    }
    raw::tensor(dx, &[sequences.n_tokens(), width], dy.device())
}

/// x (T, D) -> the means of each sequence's rows (B, D).
///
/// # Errors
/// A tensor that is not contiguous f32, or a device without kernels.
pub fn mean_tokens(x: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    if let Some(kernels) = Kernels::of(x) {
        return kernels.mean_tokens(x, &limits(sequences, x.device())?);
    }
    let width = x.dim(1)?;
    let values = raw::read::<f32>(x)?;
    let mut means = vec![0.0; sequences.len() * width];
    for (range, mean) in sequences.ranges().zip(means.chunks_exact_mut(width)) {
        let n_tokens = range.len() as f32;
        for row in values[range.start * width..range.end * width].chunks_exact(width) {
            raw::add_to(mean, row);
        }
        for value in mean {
            *value /= n_tokens;
        }
    }
    raw::tensor(means, &[sequences.len(), width], x.device())
}

/// The gradient of [`mean_tokens`]: dy (B, D) -> dx (T, D), the same for all tokens of a
/// sequence.
///
/// # Errors
/// As [`mean_tokens`].
pub fn mean_tokens_backward(dy: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    if let Some(kernels) = Kernels::of(dy) {
        let limits = limits(sequences, dy.device())?;
        return kernels.mean_tokens_backward(dy, &limits, sequences.n_tokens());
    }
    let width = dy.dim(1)?;
    let values = raw::read::<f32>(dy)?;
    let mut dx = Vec::with_capacity(sequences.n_tokens() * width);
    for (range, row) in sequences.ranges().zip(values.chunks_exact(width)) {
        let n_tokens = range.len() as f32;
        for _ in range {
            dx.extend(row.iter().map(|g| g / n_tokens));
        }
    }
    raw::tensor(dx, &[sequences.n_tokens(), width], dy.device())
}
