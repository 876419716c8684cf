//! Disentangled self-attention (He et al. 2021, "DeBERTa", section 3.1), packed as
//! [`SelfAttention`](crate::nn::SelfAttention) is.
//!
//! Shapes: T tokens of B sequences laid end to end; H heads of width d, D = H d; qkv (T, 3 D)
//! with the queries first; R rows of the table of relative embeddings, projected to keys and
//! queries (R, D). Per sequence of length L and per head, with r(i, j) the row of the distance
//! i - j and K', Q' the projected rows:
//!
//! S = scale (Q K^T + (Q K'^T)[i, r(i, j)] + (K Q'^T)[j, r(i, j)]), P = softmax(S),
//! A = dropout(P), output = A V.
//!
//! The terms with positions are (L, R) products whose values are gathered by row, so nothing of
//! size (L, L, d) is ever made; R is at most 2 L - 1. The backward pass computes P again.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::data::Sequences;
use crate::error::Result;
use crate::nn::attention::{exponentials, softmax, softmax_backward, tiles};
use crate::nn::dropout::Masks;
use crate::nn::kernels::{Disentangled, Kernels, Tiles};
use crate::nn::product::{Matrix, MatrixMut, Start, multiply_small};
use crate::nn::raw::Slice;
use crate::nn::values::Values;
use crate::nn::{DistanceRows, Dropout, Saved, Vars, raw};

/// The part of a disentangled attention block between its projections; it has no parameters.
#[derive(Debug)]
pub struct DisentangledAttention {
    n_heads: usize,
    scale: f32,
    terms: PositionTerms,
    dropout: Dropout,
}

/// Which terms with positions the scores have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionTerms {
    /// What a query asks of a position, `c2p`.
    pub content_to_position: bool,
    /// What a position asks of a key, `p2c`.
    pub position_to_content: bool,
}

/// The projected rows of the table of relative embeddings that a batch uses, or their
/// gradients; one for each term there is.
#[derive(Debug, Clone, Default)]
pub struct RelativeRows {
    /// (R, D), for content to position.
    pub keys: Option<Tensor>,
    /// (R, D), for position to content.
    pub queries: Option<Tensor>,
}

impl DisentangledAttention {
    /// Attention of `n_heads` heads whose scores, the sum of all `terms`, are multiplied by
    /// `scale`, its weights dropped at `rate`.
    pub fn new(
        vars: &Vars<'_>,
        n_heads: usize,
        terms: PositionTerms,
        scale: f64,
        rate: f64,
    ) -> Self {
        Self {
            n_heads,
            scale: scale as f32,
            terms,
            dropout: Dropout::new(vars, rate),
        }
    }

    /// qkv (T, 3 D) and the relative rows that `distances` uses -> y (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(
        &self,
        qkv: &Tensor,
        relative: &RelativeRows,
        distances: &DistanceRows,
        sequences: &Sequences,
        saved: &mut Saved,
    ) -> Result<Tensor> {
        let (n_tokens, width) = (qkv.dim(0)?, qkv.dim(1)? / 3);
        let masks = self.dropout.masks(saved);
        if let Some(kernels) = Kernels::of(qkv) {
            let tiles = self.tiles(sequences, width, qkv)?;
            let pass = self.for_kernels(relative, distances, tiles, masks);
            let (y, log_sums) = kernels.disentangled_forward(qkv, &pass)?;
            saved.push(&y);
            save(qkv, relative, &log_sums, saved);
            return Ok(y);
        }
        let mut y = vec![0.0; n_tokens * width];
        let mut log_sums = vec![0.0; n_tokens * self.n_heads];
        {
            let values = raw::read::<f32>(qkv)?;
            let relative = HostRows::read(relative)?;
            jobs(self.n_heads, sequences, &mut y, width, &mut log_sums)
                .into_par_iter()
                .for_each(|job| {
                    let length = job.length;
                    let mut scores = Scores::new(&relative, distances, length, self.scale);
                    for (h, head) in job.heads(self.n_heads, &values, width).iter().enumerate() {
                        let weights = scores.compute(h, head, width);
                        for (i, row) in weights.chunks_exact_mut(length).enumerate() {
                            job.log_sums[i * self.n_heads + h] = softmax(row);
                        }
                        job.drop_out(masks, h, weights);
                        let y = &mut job.output[h * head.width..];
                        let mut y = MatrixMut::rows_of(y, length, head.width, width);
                        let weights = square(weights, length);
                        multiply_small(&mut y, &weights, &head.v, 1.0, Start::Zeros);
                    }
                });
        }
        let shape = [n_tokens, self.n_heads];
        let log_sums = raw::tensor(log_sums, &shape, qkv.device())?;
        save(qkv, relative, &log_sums, saved);
        raw::tensor(y, &[n_tokens, width], qkv.device())
    }

    /// dy (T, D) -> dqkv (T, 3 D) and the gradients of the relative rows.
    ///
    /// # Errors
    /// As [`DisentangledAttention::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        distances: &DistanceRows,
        sequences: &Sequences,
        saved: &mut Saved,
    ) -> Result<(Tensor, RelativeRows)> {
        let log_sums = saved.pop()?;
        let mut rows = |has_term: bool| has_term.then(|| saved.pop()).transpose();
        let queries = rows(self.terms.position_to_content)?;
        let keys = rows(self.terms.content_to_position)?;
        let relative = RelativeRows { keys, queries };
        let qkv = saved.pop()?;
        let (n_tokens, width) = dy.dims2()?;
        let masks = self.dropout.masks(saved);
        if let Some(kernels) = Kernels::of(dy) {
            let tiles = self.tiles(sequences, width, dy)?;
            let pass = self.for_kernels(&relative, distances, tiles, masks);
            let kept = [&saved.pop()?, &qkv, &log_sums];
            return kernels.disentangled_backward(dy, kept, &pass);
        }
        let mut log_sums = raw::read::<f32>(&log_sums)?.to_vec();
        let gradients = Values::of(dy)?;
        let pass = Pass {
            attention: self,
            qkv: raw::read::<f32>(&qkv)?,
            dy: gradients.all(),
            relative: HostRows::read(&relative)?,
            distances,
            width,
            masks,
        };
        let mut dqkv = vec![0.0; n_tokens * 3 * width];
        let shares: Vec<Share> = jobs(self.n_heads, sequences, &mut dqkv, 3 * width, &mut log_sums)
            .into_par_iter()
            .map(|mut job| pass.sequence(&mut job))
            .collect();
        let dqkv = raw::tensor(dqkv, &[n_tokens, 3 * width], dy.device())?;
        let n_rows = distances.used().len();
        let sum = |term: &Option<Tensor>, part: fn(&Share) -> &[f32]| {
            term.is_some()
                .then(|| {
                    raw::tensor(
                        sum_of(&shares, part, n_rows, width),
                        &[n_rows, width],
                        dy.device(),
                    )
                })
                .transpose()
        };
        let gradients = RelativeRows {
            keys: sum(&relative.keys, |share| &share.keys)?,
            queries: sum(&relative.queries, |share| &share.queries)?,
        };
        Ok((dqkv, gradients))
    }

    fn tiles(&self, sequences: &Sequences, width: usize, like: &Tensor) -> Result<Tiles> {
        tiles(sequences, self.n_heads, None, width / self.n_heads, like)
    }

    fn for_kernels<'a>(
        &self,
        relative: &'a RelativeRows,
        distances: &'a DistanceRows,
        tiles: Tiles,
        masks: Option<Masks>,
    ) -> Disentangled<'a> {
        Disentangled {
            relative,
            distances,
            n_heads: self.n_heads,
            scale: self.scale,
            tiles,
            masks,
        }
    }
}

/// Keeps what every backward pass needs.
fn save(qkv: &Tensor, relative: &RelativeRows, log_sums: &Tensor, saved: &mut Saved) {
    saved.push(qkv);
    for rows in [&relative.keys, &relative.queries].into_iter().flatten() {
        saved.push(rows);
    }
    saved.push(log_sums);
}

/// One sequence's share of the work.
struct Job<'a> {
    /// The number of its first token in the batch.
    first: usize,
    length: usize,
    /// Its rows of the result.
    output: &'a mut [f32],
    /// Its (L, H) logarithms of sums of exponentials.
    log_sums: &'a mut [f32],
    /// The number of its first dropout draw.
    first_draw: usize,
}

/// One job per sequence, each with its own rows of the output.
fn jobs<'a>(
    n_heads: usize,
    sequences: &Sequences,
    mut output: &'a mut [f32],
    row_width: usize,
    mut log_sums: &'a mut [f32],
) -> Vec<Job<'a>> {
    let mut next_draw = 0;
    let mut jobs = Vec::with_capacity(sequences.len());
    for range in sequences.ranges() {
        let length = range.len();
        let (rows, later_rows) = output.split_at_mut(length * row_width);
        let (sums, later_sums) = log_sums.split_at_mut(length * n_heads);
        (output, log_sums) = (later_rows, later_sums);
        let job = Job {
            first: range.start,
            length,
            output: rows,
            log_sums: sums,
            first_draw: next_draw,
        };
        next_draw += job.draws_per_head() * n_heads;
        jobs.push(job);
    }
    jobs
}

impl Job<'_> {
    /// A multiple of a group, so that no two heads share one.
    fn draws_per_head(&self) -> usize {
        (self.length * self.length).next_multiple_of(Masks::GROUP)
    }

    /// Multiplies the (L, L) values of head `h` by its masks.
    fn drop_out(&self, masks: Option<Masks>, h: usize, values: &mut [f32]) {
        if let Some(masks) = masks {
            masks.apply(self.first_draw + h * self.draws_per_head(), values);
        }
    }

    /// The heads of the sequence, out of qkv (T, 3 D).
    fn heads<'q>(&self, n_heads: usize, qkv: &'q [f32], width: usize) -> Vec<Head<'q>> {
        let d = width / n_heads;
        let part = |kind: usize, h: usize| {
            let start = (3 * self.first + kind) * width + h * d;
            Matrix::rows_of(&qkv[start..], self.length, d, 3 * width)
        };
        (0..n_heads)
            .map(|h| Head {
                q: part(0, h),
                k: part(1, h),
                v: part(2, h),
                width: d,
            })
            .collect()
    }
}

/// One head of one sequence: (L, d) views into qkv.
struct Head<'a> {
    q: Matrix<'a>,
    k: Matrix<'a>,
    v: Matrix<'a>,
    width: usize,
}

fn square(values: &[f32], length: usize) -> Matrix<'_> {
    Matrix::rows_of(values, length, length, length)
}

/// [`RelativeRows`] in host memory.
struct HostRows<'a> {
    keys: Option<Slice<'a, f32>>,
    queries: Option<Slice<'a, f32>>,
}

impl<'a> HostRows<'a> {
    fn read(relative: &'a RelativeRows) -> Result<Self> {
        let read = |rows: &'a Option<Tensor>| rows.as_ref().map(raw::read::<f32>).transpose();
        Ok(Self {
            keys: read(&relative.keys)?,
            queries: read(&relative.queries)?,
        })
    }
}

/// The scores of one sequence's heads, in buffers that serve one head after the other.
struct Scores<'a> {
    relative: &'a HostRows<'a>,
    distances: SequenceDistances,
    scale: f32,
    /// (L, L).
    values: Vec<f32>,
    /// (L, R).
    by_row: Vec<f32>,
}

impl<'a> Scores<'a> {
    fn new(
        relative: &'a HostRows<'a>,
        distances: &DistanceRows,
        length: usize,
        scale: f32,
    ) -> Self {
        let (used, rows) = distances.of_length(length);
        Self {
            relative,
            scale,
            values: vec![0.0; length * length],
            by_row: vec![0.0; length * used.len()],
            distances: SequenceDistances { length, used, rows },
        }
    }

    /// S of head `h`, (L, L).
    fn compute(&mut self, h: usize, head: &Head<'_>, width: usize) -> &mut [f32] {
        let (length, n_rows) = (self.distances.length, self.distances.used.len());
        let mut scores = MatrixMut::rows_of(&mut self.values, length, length, length);
        let keys = head.k.t();
        multiply_small(&mut scores, &head.q, &keys, self.scale, Start::Zeros);
        for (table, content, side) in [
            (&self.relative.keys, &head.q, Side::Query),
            (&self.relative.queries, &head.k, Side::Key),
        ] {
            let Some(table) = table else { continue };
            let table = self.distances.table(table, h, head.width, width).t();
            let mut by_row = MatrixMut::rows_of(&mut self.by_row, length, n_rows, n_rows);
            multiply_small(&mut by_row, content, &table, self.scale, Start::Zeros);
            let (scores, by_row) = (&mut self.values, &self.by_row);
            self.distances
                .for_each_pair(side, |pair, place| scores[pair] += by_row[place]);
        }
        &mut self.values
    }
}

/// Which token's content a term with positions has.
#[derive(Clone, Copy)]
enum Side {
    Query,
    Key,
}

/// The rows of the relative table that one sequence uses.
struct SequenceDistances {
    length: usize,
    /// Which of the batch's rows they are, R of them.
    used: Range<usize>,
    /// The row by distance, see [`DistanceRows::of_length`].
    rows: Vec<usize>,
}

impl SequenceDistances {
    /// The sequence's rows of a head in a projected table, (R, d).
    fn table<'a>(&self, values: &'a [f32], h: usize, d: usize, width: usize) -> Matrix<'a> {
        let start = self.used.start * width + h * d;
        Matrix::rows_of(&values[start..], self.used.len(), d, width)
    }

    /// Calls `visit` with the place of each pair (i, j) in (L, L) and the place of its value in
    /// (L, R), which lies in the row of the query i or in that of the key j.
    #[inline]
    fn for_each_pair(&self, side: Side, mut visit: impl FnMut(usize, usize)) {
        /// Queries that are visited together for one key: their values lie side by side in the
        /// key's row, and that many rows of pairs stay in the nearest cache.
        const TILE: usize = 16;
        let (length, n_rows) = (self.length, self.used.len());
        match side {
            Side::Query => {
                for i in 0..length {
                    let rows = &self.rows[length - 1 - i..2 * length - 1 - i];
                    for (j, row) in rows.iter().enumerate() {
                        visit(i * length + j, i * n_rows + row);
                    }
                }
            }
            Side::Key => {
                for first in (0..length).step_by(TILE) {
                    let last = (first + TILE).min(length) - 1;
                    for j in 0..length {
                        // Of the last query of the tile to the first one.
                        let rows = &self.rows[length - 1 - last + j..length - first + j];
                        for (back, row) in rows.iter().enumerate() {
                            visit((last - back) * length + j, j * n_rows + row);
                        }
                    }
                }
            }
        }
    }
}

/// What the backward passes of all sequences have in common.
struct Pass<'a> {
    attention: &'a DisentangledAttention,
    qkv: Slice<'a, f32>,
    dy: Cow<'a, [f32]>,
    relative: HostRows<'a>,
    distances: &'a DistanceRows,
    width: usize,
    masks: Option<Masks>,
}

/// One sequence's share of the gradients of the relative rows.
struct Share {
    /// Which of the batch's rows.
    rows: Range<usize>,
    /// (R, D), or nothing.
    keys: Vec<f32>,
    /// (R, D), or nothing.
    queries: Vec<f32>,
}

impl Pass<'_> {
    /// Writes dqkv of one sequence; returns its share of the gradients of the relative rows.
    fn sequence(&self, job: &mut Job<'_>) -> Share {
        let (length, width, n_heads) = (job.length, self.width, self.attention.n_heads);
        let scale = self.attention.scale;
        let mut scores = Scores::new(&self.relative, self.distances, length, scale);
        let n_rows = scores.distances.used.len();
        let room = |has_term: bool| vec![0.0; if has_term { n_rows * width } else { 0 }];
        let mut share = Share {
            rows: scores.distances.used.clone(),
            keys: room(self.relative.keys.is_some()),
            queries: room(self.relative.queries.is_some()),
        };
        let mut dropped = vec![0.0; length * length];
        let mut d_scores = vec![0.0; length * length];
        let mut d_by_row = vec![0.0; length * n_rows];
        for (h, head) in job.heads(n_heads, &self.qkv, width).iter().enumerate() {
            let dy = &self.dy[job.first * width + h * head.width..];
            let dy = Matrix::rows_of(dy, length, head.width, width);
            let weights = scores.compute(h, head, width);
            for (i, row) in weights.chunks_exact_mut(length).enumerate() {
                let log_sum = job.log_sums[i * n_heads + h];
                exponentials(row, log_sum);
            }
            dropped.copy_from_slice(weights);
            job.drop_out(self.masks, h, &mut dropped);

            // dA = dy V^T, dP = mask dA, dS = P (dP - sum_j P dP).
            let mut d_weights = MatrixMut::rows_of(&mut d_scores, length, length, length);
            multiply_small(&mut d_weights, &dy, &head.v.t(), 1.0, Start::Zeros);
            job.drop_out(self.masks, h, &mut d_scores);
            for (ds, p) in d_scores
                .chunks_exact_mut(length)
                .zip(weights.chunks_exact(length))
            {
                softmax_backward(ds, p);
            }

            // dV = A^T dy, dQ = scale dS K, dK = scale dS^T Q.
            let mut write =
                |kind: usize, a: &Matrix<'_>, b: &Matrix<'_>, scale, start: Start<'_>| {
                    let rows = &mut job.output[kind * width + h * head.width..];
                    let mut rows = MatrixMut::rows_of(rows, length, head.width, 3 * width);
                    multiply_small(&mut rows, a, b, scale, start);
                };
            let ds = square(&d_scores, length);
            write(2, &square(&dropped, length).t(), &dy, 1.0, Start::Zeros);
            write(0, &ds, &head.k, scale, Start::Zeros);
            write(1, &ds.t(), &head.q, scale, Start::Zeros);

            // With G the scores' gradients gathered by row, (L, R): dQ += scale G K' and
            // dK' = scale G^T Q, and so for K and Q'.
            for (side, kind, table, content, d_table) in [
                (
                    Side::Query,
                    0,
                    &self.relative.keys,
                    &head.q,
                    &mut share.keys,
                ),
                (
                    Side::Key,
                    1,
                    &self.relative.queries,
                    &head.k,
                    &mut share.queries,
                ),
            ] {
                let Some(table) = table else { continue };
                let table = scores.distances.table(table, h, head.width, width);
                d_by_row.fill(0.0);
                scores
                    .distances
                    .for_each_pair(side, |pair, place| d_by_row[place] += d_scores[pair]);
                let by_row = Matrix::rows_of(&d_by_row, length, n_rows, n_rows);
                write(kind, &by_row, &table, scale, Start::Destination);
                let d_table = &mut d_table[h * head.width..];
                let mut d_table = MatrixMut::rows_of(d_table, n_rows, head.width, width);
                multiply_small(&mut d_table, &by_row.t(), content, scale, Start::Zeros);
            }
        }
        share
    }
}

/// (R, D): the sum of the sequences' shares, in the order of the sequences.
fn sum_of(shares: &[Share], part: fn(&Share) -> &[f32], n_rows: usize, width: usize) -> Vec<f32> {
    let mut total = vec![0.0; n_rows * width];
    total
        .par_chunks_mut(width)
        .enumerate()
        .for_each(|(row, sum)| {
            for share in shares.iter().filter(|share| share.rows.contains(&row)) {
                let start = (row - share.rows.start) * width;
                raw::add_to(sum, &part(share)[start..start + width]);
            }
        });
    total
}
