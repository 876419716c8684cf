//! Self-attention over packed sequences: no padding, softmax and dropout inside.
//!
//! Shapes: T tokens of B sequences laid end to end; H heads of width d, D = H d; qkv (T, 3 D)
//! with the queries first. Per sequence of length L and per head, with S = Q K^T / sqrt(d):
//! P = softmax(S), A = dropout(P), output = A V (Vaswani et al. 2017, section 3.2). With a
//! window w, token i sees the tokens j with |i - j| <= w only (Beltagy et al. 2020,
//! "Longformer", section 3.1).
//!
//! The backward pass computes P again from qkv and the kept log-sum-exp of each row, so a
//! sequence costs memory in proportion to its length and not to its square. Queries are worked
//! on in blocks, each with the keys that it sees: a block of a long sequence needs little room,
//! and what lies far outside a window is never computed.

use std::ops::Range;

use candle_core::Tensor;

use crate::data::Sequences;
use crate::error::Result;
use crate::nn::cpu::vectorized;
use crate::nn::dropout::Masks;
use crate::nn::kernels::{Kernels, Scores, Tiles, numbers, tokens_per_tile};
use crate::nn::math::{CHUNK, change_chunks, chunks_of, exp, largest_of, pair_up};
use crate::nn::product::{Matrix, MatrixMut, Start, multiply_small};
use crate::nn::raw::multiply_by;
use crate::nn::values::{Output, Room, Values, row_ranges};
use crate::nn::{Dropout, Precision, Saved, Vars, raw};

/// Queries of one block where every key is seen.
const ROWS_PER_BLOCK: usize = 512;
/// Queries of one block where a window is. Fewer compute less outside the window, more make
/// faster products.
const ROWS_PER_WINDOWED_BLOCK: usize = 64;

/// The part of an attention block between its projections; it has no parameters.
#[derive(Debug)]
pub struct SelfAttention {
    n_heads: usize,
    dropout: Dropout,
    window: Option<usize>,
    stored: Precision,
}

impl SelfAttention {
    /// Attention of `n_heads` heads, its weights dropped at `rate`.
    pub fn new(vars: &Vars<'_>, n_heads: usize, rate: f64) -> Self {
        Self {
            n_heads,
            dropout: Dropout::new(vars, rate),
            window: None,
            stored: Precision::F32,
        }
    }

    /// The same attention, whose results and gradients are stored in the precision of products.
    #[must_use]
    pub fn compact(self, vars: &Vars<'_>) -> Self {
        Self {
            stored: vars.precision(),
            ..self
        }
    }

    /// The same attention to tokens at most `window` away; a token always sees itself.
    #[must_use]
    pub fn within(self, window: usize) -> Self {
        Self {
            window: Some(window),
            ..self
        }
    }

    /// qkv (T, 3 D) -> y (T, D).
    ///
    /// # Errors
    /// Tensors that are not contiguous f32, or a device without kernels.
    pub fn forward(
        &self,
        qkv: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
    ) -> Result<Tensor> {
        let width = qkv.dim(1)? / 3;
        let masks = self.dropout.masks(saved);
        if let Some(kernels) = Kernels::of(qkv) {
            let (tiles, scores) = self.tiles(sequences, width, qkv)?;
            let (n_heads, stored) = (self.n_heads, self.stored);
            let (y, log_sums) =
                kernels.attention_forward(qkv, &tiles, n_heads, &scores, masks, stored)?;
            for tensor in [&y, qkv, &log_sums] {
                saved.push(tensor);
            }
            return Ok(y);
        }
        let values = Values::of(qkv)?;
        let jobs = self.jobs(sequences);
        let tokens: Vec<_> = sequences.ranges().collect();
        let outputs = [Output::new(width, self.stored), Output::f32(self.n_heads)];
        let ([y, log_sums], _) =
            row_ranges(qkv.device(), &tokens, outputs, |i, [output, log_sums]| {
                let tokens = &tokens[i];
                let qkv = values.part(tokens.start * 3 * width..tokens.end * 3 * width);
                self.forward_of_sequence(&qkv, width, masks, &jobs[i], output, log_sums);
            })?;
        saved.push(qkv);
        saved.push(&log_sums);
        Ok(y)
    }

    fn forward_of_sequence(
        &self,
        qkv: &[f32],
        width: usize,
        masks: Option<Masks>,
        job: &Job,
        output: &mut [f32],
        log_sums: &mut [f32],
    ) {
        let blocks = job.view.blocks();
        let mut weights = Room::of(largest(&blocks));
        for (h, head) in self.heads(qkv, width).iter().enumerate() {
            for block in &blocks {
                let weights = &mut weights[..block.n_scores()];
                head.scores(block, weights);
                for (i, row) in block.rows_mut(weights) {
                    let seen = job.view.seen_in(block, i);
                    row[..seen.start].fill(0.0);
                    row[seen.end..].fill(0.0);
                    log_sums[i * self.n_heads + h] = softmax(&mut row[seen]);
                }
                apply_masks(masks, job, h, block, weights);
                let y = &mut output[block.queries.start * width + h * head.width..];
                multiply_small(
                    &mut MatrixMut::rows_of(y, block.queries.len(), head.width, width),
                    &block.matrix(weights),
                    &head.v.rows(&block.keys),
                    1.0,
                    Start::Zeros,
                );
            }
        }
    }

    /// dy (T, D) -> dqkv (T, 3 D).
    ///
    /// # Errors
    /// As [`SelfAttention::forward`], or a stack that does not match.
    pub fn backward(
        &self,
        dy: &Tensor,
        sequences: &Sequences,
        saved: &mut Saved,
    ) -> Result<Tensor> {
        let (log_sums, qkv) = (saved.pop()?, saved.pop()?);
        let width = dy.dim(1)?;
        let masks = self.dropout.masks(saved);
        if let Some(kernels) = Kernels::of(dy) {
            let (tiles, scores) = self.tiles(sequences, width, dy)?;
            let kept = [&saved.pop()?, &qkv, &log_sums];
            let scores = (&scores, [None, None]);
            return kernels.attention_backward(dy, kept, &tiles, scores, masks, self.stored);
        }
        let (values, gradients) = (Values::of(&qkv)?, Values::of(dy)?);
        let log_sums = raw::read::<f32>(&log_sums)?;
        let jobs = self.jobs(sequences);
        let tokens: Vec<_> = sequences.ranges().collect();
        let outputs = [Output::new(3 * width, self.stored)];
        let ([dqkv], _) = row_ranges(dy.device(), &tokens, outputs, |i, [output]| {
            let of_width = |width: usize| tokens[i].start * width..tokens[i].end * width;
            let inputs = Inputs {
                qkv: &values.part(of_width(3 * width)),
                dy: &gradients.part(of_width(width)),
                log_sums: &log_sums[of_width(self.n_heads)],
            };
            self.backward_of_sequence(&inputs, width, masks, &jobs[i], output);
        })?;
        Ok(dqkv)
    }

    fn backward_of_sequence(
        &self,
        inputs: &Inputs<'_>,
        width: usize,
        masks: Option<Masks>,
        job: &Job,
        output: &mut [f32],
    ) {
        let blocks = job.view.blocks();
        // Each of several blocks adds to the gradients of its keys.
        let start = if blocks.len() == 1 {
            Start::Zeros
        } else {
            output.fill(0.0);
            Start::Destination
        };
        let mut scratch = [(); 4].map(|()| Room::of(largest(&blocks)));
        for (h, head) in self.heads(inputs.qkv, width).iter().enumerate() {
            let dy = &inputs.dy[h * head.width..];
            let dy = Matrix::rows_of(dy, job.view.length, head.width, width);
            for block in &blocks {
                let [weights, dropped, d_scores, mask] = scratch
                    .each_mut()
                    .map(|values| &mut values[..block.n_scores()]);
                self.probabilities(head, h, block, job.view, inputs.log_sums, weights);
                mask.fill(1.0);
                apply_masks(masks, job, h, block, mask);
                dropped.copy_from_slice(weights);
                multiply_by(dropped, mask);

                // dA = dy V^T, dP = mask dA, dS = P (dP - sum_j P dP), which is 0 where P is.
                let dy = dy.rows(&block.queries);
                let v = head.v.rows(&block.keys);
                let mut d_weights = block.matrix_mut(d_scores);
                multiply_small(&mut d_weights, &dy, &v.t(), 1.0, Start::Zeros);
                multiply_by(d_scores, mask);
                for ((_, ds), p) in block
                    .rows_mut(d_scores)
                    .zip(weights.chunks(block.keys.len()))
                {
                    softmax_backward(ds, p);
                }

                // dV += A^T dy, dQ += dS K / sqrt(d), dK += dS^T Q / sqrt(d).
                let mut add = |kind: usize, rows: &Range<usize>, a: &Matrix<'_>, b, scale| {
                    let first = rows.start * 3 * width + kind * width + h * head.width;
                    let part = &mut output[first..];
                    let mut part = MatrixMut::rows_of(part, rows.len(), head.width, 3 * width);
                    multiply_small(&mut part, a, b, scale, start);
                };
                let d_scores = block.matrix(d_scores);
                let (k, q) = (head.k.rows(&block.keys), head.q.rows(&block.queries));
                add(2, &block.keys, &block.matrix(dropped).t(), &dy, 1.0);
                add(0, &block.queries, &d_scores, &k, head.scale());
                add(1, &block.keys, &d_scores.t(), &q, head.scale());
            }
        }
    }

    /// P of a block, 0 for the keys that a query does not see, from the kept logarithms.
    fn probabilities(
        &self,
        head: &Head<'_>,
        h: usize,
        block: &Block,
        view: View,
        log_sums: &[f32],
        weights: &mut [f32],
    ) {
        head.scores(block, weights);
        for (i, row) in block.rows_mut(weights) {
            let log_sum = log_sums[i * self.n_heads + h];
            let seen = view.seen_in(block, i);
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
            exponentials(&mut row[seen], log_sum);
        }
    }

    /// One job per sequence.
    fn jobs(&self, sequences: &Sequences) -> Vec<Job> {
        jobs(sequences, self.n_heads, self.window)
    }

    /// What a kernel works with.
    fn tiles(&self, sequences: &Sequences, width: usize, like: &Tensor) -> Result<(Tiles, Scores)> {
        let head_width = width / self.n_heads;
        let scores = Scores {
            scale: scale(head_width),
            positions: None,
        };
        let tiles = tiles(sequences, self.n_heads, self.window, head_width, like)?;
        Ok((tiles, scores))
    }

    /// The heads of one sequence, out of its qkv (L, 3 D).
    fn heads<'a>(&self, qkv: &'a [f32], width: usize) -> Vec<Head<'a>> {
        let head_width = width / self.n_heads;
        let length = qkv.len() / (3 * width);
        let part = |kind: usize, h: usize| {
            let start = kind * width + h * head_width;
            Matrix::rows_of(&qkv[start..], length, head_width, 3 * width)
        };
        (0..self.n_heads)
            .map(|h| Head {
                q: part(0, h),
                k: part(1, h),
                v: part(2, h),
                width: head_width,
            })
            .collect()
    }
}

/// One sequence's share of the work.
struct Job {
    view: View,
    /// The number of its first dropout draw.
    first_draw: usize,
}

fn jobs(sequences: &Sequences, n_heads: usize, window: Option<usize>) -> Vec<Job> {
    let mut next_draw = 0;
    let jobs = sequences.ranges().map(|tokens| {
        let view = View::new(tokens.len(), window);
        let first_draw = next_draw;
        next_draw += view.n_draws() * n_heads;
        Job { view, first_draw }
    });
    jobs.collect()
}

/// What the blocks of a kernel work on: each sequence's tokens, some at a time.
pub(super) fn tiles(
    sequences: &Sequences,
    n_heads: usize,
    window: Option<usize>,
    head_width: usize,
    like: &Tensor,
) -> Result<Tiles> {
    let n_tokens = tokens_per_tile(head_width)?;
    let key = [n_tokens, n_heads, window.unwrap_or(usize::MAX)];
    let tiles = sequences.remembered(key, || {
        let mut words = Vec::new();
        for (job, tokens) in jobs(sequences, n_heads, window)
            .iter()
            .zip(sequences.ranges())
        {
            let View { length, window } = job.view;
            for first in (0..length).step_by(n_tokens) {
                words.extend([
                    tokens.start as u32,
                    length as u32,
                    first as u32,
                    window.unwrap_or(length) as u32,
                    u32::from(window.is_some()),
                    (job.first_draw / Masks::GROUP) as u32,
                    (job.view.n_draws() / Masks::GROUP) as u32,
                ]);
            }
        }
        numbers(&words, &[words.len() / 7, 7], like.device())
    })?;
    Ok(Tiles(tiles))
}

/// What the backward pass of one sequence reads.
struct Inputs<'a> {
    /// (L, 3 D).
    qkv: &'a [f32],
    /// (L, D).
    dy: &'a [f32],
    /// The (L, H) logarithms of sums of exponentials.
    log_sums: &'a [f32],
}

/// Which tokens of a sequence see which.
#[derive(Debug, Clone, Copy)]
struct View {
    /// L.
    length: usize,
    /// How far a token sees, where that is not the whole sequence.
    window: Option<usize>,
}

impl View {
    fn new(length: usize, window: Option<usize>) -> Self {
        Self {
            length,
            window: window.filter(|window| window + 1 < length),
        }
    }

    /// The blocks that its queries are worked on in.
    fn blocks(self) -> Vec<Block> {
        let n_rows = match self.window {
            None => ROWS_PER_BLOCK,
            Some(_) => ROWS_PER_WINDOWED_BLOCK,
        };
        (0..self.length)
            .step_by(n_rows)
            .map(|start| {
                let end = (start + n_rows).min(self.length);
                Block {
                    queries: start..end,
                    keys: self.seen(start).start..self.seen(end - 1).end,
                }
            })
            .collect()
    }

    /// The tokens that token `i` sees.
    fn seen(self, i: usize) -> Range<usize> {
        match self.window {
            None => 0..self.length,
            Some(window) => i.saturating_sub(window)..(i + window + 1).min(self.length),
        }
    }

    /// The same as places in a block's row.
    fn seen_in(self, block: &Block, i: usize) -> Range<usize> {
        let seen = self.seen(i);
        seen.start - block.keys.start..seen.end - block.keys.start
    }

    /// The number of the dropout draw of token `i` for the first token that it sees.
    fn draw(self, i: usize) -> usize {
        match self.window {
            None => i * self.length,
            // Of 2 w + 1 draws for each token, those of tokens before the first are not used.
            Some(window) => i * (2 * window + 1) + window.saturating_sub(i),
        }
    }

    /// The number of dropout draws of one head, a multiple of a group so that no two heads share
    /// one.
    fn n_draws(self) -> usize {
        let per_token = self.window.map_or(self.length, |window| 2 * window + 1);
        (self.length * per_token).next_multiple_of(Masks::GROUP)
    }
}

/// Some queries in a row, and the keys that one or more of them see.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
}

impl Block {
    fn n_scores(&self) -> usize {
        self.queries.len() * self.keys.len()
    }

    /// Each query's number in the sequence and its row of a (queries, keys) matrix.
    fn rows_mut<'a>(&self, scores: &'a mut [f32]) -> impl Iterator<Item = (usize, &'a mut [f32])> {
        let rows = scores.chunks_exact_mut(self.keys.len());
        self.queries.clone().zip(rows)
    }

    fn matrix<'a>(&self, scores: &'a [f32]) -> Matrix<'a> {
        let n_keys = self.keys.len();
        Matrix::rows_of(scores, self.queries.len(), n_keys, n_keys)
    }

    fn matrix_mut<'a>(&self, scores: &'a mut [f32]) -> MatrixMut<'a> {
        let n_keys = self.keys.len();
        MatrixMut::rows_of(scores, self.queries.len(), n_keys, n_keys)
    }
}

/// What the products of queries and keys of heads this wide are multiplied by.
fn scale(head_width: usize) -> f32 {
    1.0 / (head_width as f32).sqrt()
}

/// Room for the scores of any one of the blocks.
fn largest(blocks: &[Block]) -> usize {
    blocks.iter().map(Block::n_scores).max().unwrap_or(0)
}

/// One head of one sequence: (L, d) views into qkv.
struct Head<'a> {
    q: Matrix<'a>,
    k: Matrix<'a>,
    v: Matrix<'a>,
    width: usize,
}

impl Head<'_> {
    fn scale(&self) -> f32 {
        scale(self.width)
    }

    /// S = Q K^T / sqrt(d) of a block.
    fn scores(&self, block: &Block, scores: &mut [f32]) {
        multiply_small(
            &mut block.matrix_mut(scores),
            &self.q.rows(&block.queries),
            &self.k.rows(&block.keys).t(),
            self.scale(),
            Start::Zeros,
        );
    }
}

fn apply_masks(masks: Option<Masks>, job: &Job, h: usize, block: &Block, weights: &mut [f32]) {
    let Some(masks) = masks else { return };
    let first = job.first_draw + h * job.view.n_draws();
    if job.view.window.is_none() {
        // The draws of the rows follow each other.
        masks.apply(first + job.view.draw(block.queries.start), weights);
        return;
    }
    for (i, row) in block.rows_mut(weights) {
        let seen = job.view.seen_in(block, i);
        masks.apply(first + job.view.draw(i), &mut row[seen]);
    }
}

vectorized! {
    /// Makes a row of scores a row of probabilities; returns the logarithm of the sum of the
    /// scores' exponentials.
    pub(super) fn softmax(row: &mut [f32]) -> f32 {
        let max = largest_of(row);
        let mut sums = [0.0; CHUNK];
        change_chunks(row, f32::NEG_INFINITY, |chunk| {
            for (x, sum) in chunk.iter_mut().zip(&mut sums) {
                *x = exp(*x - max);
                *sum += *x;
            }
        });
        let sum = pair_up(sums, |a, b| a + b);
        let factor = 1.0 / sum;
        for x in row.iter_mut() {
            *x *= factor;
        }
        max + sum.ln()
    }

    /// Makes a row of scores the probabilities that go with the logarithm of their sum.
    pub(super) fn exponentials(row: &mut [f32], log_sum: f32) {
        change_chunks(row, f32::NEG_INFINITY, |chunk| {
            for score in chunk {
                *score = exp(*score - log_sum);
            }
        });
    }

    /// Makes a row of gradients of the probabilities `p` one of gradients of the scores:
    /// ds = p (dp - sum p dp).
    ///
    /// The sums are f64 and divided by the sum of `p`, which rounding keeps from being 1: each
    /// row then adds up to 0 as closely as f32 allows, and so do the gradients of a key's bias.
    pub(super) fn softmax_backward(gradient: &mut [f32], p: &[f32]) {
        let (mut sums, mut weighted) = ([0.0_f64; CHUNK], [0.0_f64; CHUNK]);
        for (d, p) in chunks_of(gradient, 0.0).zip(chunks_of(p, 0.0)) {
            for (i, (d, p)) in d.iter().zip(p).enumerate() {
                let p = f64::from(p);
                sums[i] += p;
                weighted[i] = p.mul_add(f64::from(*d), weighted[i]);
            }
        }
        let add = |a, b| a + b;
        let mean = pair_up(weighted, add) / pair_up(sums, add);
        let mut p = chunks_of(p, 0.0);
        change_chunks(gradient, 0.0, |chunk| {
            for (d, p) in chunk.iter_mut().zip(p.next().unwrap_or_default()) {
                *d = (f64::from(p) * (f64::from(*d) - mean)) as f32;
            }
        });
    }
}
