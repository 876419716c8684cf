//! Self-attention over packed sequences: no padding, softmax and dropout inside.
//!
//! Shapes: T tokens of B sequences laid end to end; H heads of width d, D = H d; qkv (T, 3 D)
//! with the queries first. Per sequence of length L and per head, with S = Q K^T / sqrt(d):
//! P = softmax(S), A = dropout(P), output = A V (Vaswani et al. 2017, section 3.2).
//!
//! The backward pass computes P again from qkv and the kept log-sum-exp of each row, so a
//! sequence costs memory in proportion to its length and not to its square.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::data::Sequences;
use crate::error::Result;
use crate::nn::dropout::Masks;
use crate::nn::math::exp;
use crate::nn::raw::{Matrix, MatrixMut, Threads, multiply};
use crate::nn::{Dropout, Saved, Vars, raw};

/// The part of an attention block between its projections; it has no parameters.
#[derive(Debug)]
pub struct SelfAttention {
    n_heads: usize,
    dropout: Dropout,
}

impl SelfAttention {
    /// Attention of `n_heads` heads, its weights dropped at `rate`.
    pub fn new(vars: &Vars<'_>, n_heads: usize, rate: f64) -> Self {
        Self {
            n_heads,
            dropout: Dropout::new(vars, rate),
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
        let (n_tokens, width) = (qkv.dim(0)?, qkv.dim(1)? / 3);
        let masks = self.dropout.masks(saved);
        let mut y = vec![0.0; n_tokens * width];
        let mut log_sums = vec![0.0; n_tokens * self.n_heads];
        {
            let values = raw::read::<f32>(qkv)?;
            self.jobs(sequences, &mut y, width, &mut log_sums)
                .into_par_iter()
                .for_each(|job| {
                    let heads = self.heads(&values, &job, width);
                    let mut weights = vec![0.0; job.length * job.length];
                    for (h, head) in heads.iter().enumerate() {
                        head.scores(&mut weights);
                        for (i, row) in weights.chunks_exact_mut(job.length).enumerate() {
                            job.log_sums[i * self.n_heads + h] = softmax(row);
                        }
                        apply_masks(masks, &job, h, &mut weights);
                        let weights = Matrix::rows_of(&weights, job.length, job.length, job.length);
                        let y = MatrixMut::rows_of(
                            &mut job.output[h * head.width..],
                            job.length,
                            head.width,
                            width,
                        );
                        multiply(y, &weights, &head.v, 1.0, false, Threads::One);
                    }
                });
        }
        saved.push(qkv);
        saved.push(&raw::tensor(
            log_sums,
            &[n_tokens, self.n_heads],
            qkv.device(),
        )?);
        raw::tensor(y, &[n_tokens, width], qkv.device())
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
        let mut log_sums = raw::read::<f32>(&saved.pop()?)?.to_vec();
        let qkv = saved.pop()?;
        let (n_tokens, width) = dy.dims2()?;
        let masks = self.dropout.masks(saved);
        let mut dqkv = vec![0.0; n_tokens * 3 * width];
        {
            let values = raw::read::<f32>(&qkv)?;
            let dy = raw::read::<f32>(dy)?;
            self.jobs(sequences, &mut dqkv, 3 * width, &mut log_sums)
                .into_par_iter()
                .for_each(|mut job| {
                    self.backward_of_sequence(&values, &dy, width, masks, &mut job);
                });
        }
        raw::tensor(dqkv, &[n_tokens, 3 * width], dy.device())
    }

    fn backward_of_sequence(
        &self,
        qkv: &[f32],
        dy: &[f32],
        width: usize,
        masks: Option<Masks>,
        job: &mut Job<'_>,
    ) {
        let length = job.length;
        let mut weights = vec![0.0; length * length];
        let mut dropped = vec![0.0; length * length];
        let mut d_scores = vec![0.0; length * length];
        for (h, head) in self.heads(qkv, job, width).iter().enumerate() {
            let part = |kind: usize| kind * width + h * head.width;
            let dy = Matrix::rows_of(
                &dy[job.first * width + h * head.width..],
                length,
                head.width,
                width,
            );
            head.scores(&mut weights);
            for (i, row) in weights.chunks_exact_mut(length).enumerate() {
                let log_sum = job.log_sums[i * self.n_heads + h];
                for score in row {
                    *score = exp(*score - log_sum);
                }
            }
            dropped.copy_from_slice(&weights);
            apply_masks(masks, job, h, &mut dropped);

            // dV = A^T dy, dA = dy V^T.
            let dv = MatrixMut::rows_of(&mut job.output[part(2)..], length, head.width, 3 * width);
            multiply(
                dv,
                &square(&dropped, length).t(),
                &dy,
                1.0,
                false,
                Threads::One,
            );
            let d_weights = MatrixMut::rows_of(&mut d_scores, length, length, length);
            multiply(d_weights, &dy, &head.v.t(), 1.0, false, Threads::One);

            // dP = mask dA, dS = P (dP - sum_j P dP).
            apply_masks(masks, job, h, &mut d_scores);
            for (ds, p) in d_scores
                .chunks_exact_mut(length)
                .zip(weights.chunks_exact(length))
            {
                softmax_backward(ds, p);
            }

            // dQ = dS K / sqrt(d), dK = dS^T Q / sqrt(d).
            let dq = MatrixMut::rows_of(&mut job.output[part(0)..], length, head.width, 3 * width);
            multiply(
                dq,
                &square(&d_scores, length),
                &head.k,
                head.scale(),
                false,
                Threads::One,
            );
            let dk = MatrixMut::rows_of(&mut job.output[part(1)..], length, head.width, 3 * width);
            multiply(
                dk,
                &square(&d_scores, length).t(),
                &head.q,
                head.scale(),
                false,
                Threads::One,
            );
        }
    }

    /// One job per sequence, each with its own rows of the output.
    fn jobs<'a>(
        &self,
        sequences: &Sequences,
        mut output: &'a mut [f32],
        row_width: usize,
        mut log_sums: &'a mut [f32],
    ) -> Vec<Job<'a>> {
        let mut first_draw = 0;
        let mut jobs = Vec::with_capacity(sequences.len());
        for range in sequences.ranges() {
            let length = range.len();
            let (rows, later_rows) = output.split_at_mut(length * row_width);
            let (sums, later_sums) = log_sums.split_at_mut(length * self.n_heads);
            (output, log_sums) = (later_rows, later_sums);
            let draws_per_head = (length * length).next_multiple_of(4);
            jobs.push(Job {
                first: range.start,
                length,
                output: rows,
                log_sums: sums,
                first_draw,
                draws_per_head,
            });
            first_draw += draws_per_head * self.n_heads;
        }
        jobs
    }

    fn heads<'a>(&self, qkv: &'a [f32], job: &Job<'_>, width: usize) -> Vec<Head<'a>> {
        let head_width = width / self.n_heads;
        let first = job.first * 3 * width;
        let part = |kind: usize, h: usize| {
            let start = first + kind * width + h * head_width;
            Matrix::rows_of(&qkv[start..], job.length, head_width, 3 * width)
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
    draws_per_head: usize,
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
        1.0 / (self.width as f32).sqrt()
    }

    /// S = Q K^T / sqrt(d), (L, L).
    fn scores(&self, scores: &mut [f32]) {
        let length = self.q.rows;
        let scores = MatrixMut::rows_of(scores, length, length, length);
        multiply(
            scores,
            &self.q,
            &self.k.t(),
            self.scale(),
            false,
            Threads::One,
        );
    }
}

fn square(values: &[f32], length: usize) -> Matrix<'_> {
    Matrix::rows_of(values, length, length, length)
}

fn apply_masks(masks: Option<Masks>, job: &Job<'_>, h: usize, weights: &mut [f32]) {
    if let Some(masks) = masks {
        masks.apply(job.first_draw + h * job.draws_per_head, weights);
    }
}

/// Makes a row of scores a row of probabilities; returns the logarithm of the sum of the
/// scores' exponentials.
fn softmax(row: &mut [f32]) -> f32 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Apart from the sum, so that the exponentials are taken several at a time.
    for x in row.iter_mut() {
        *x = exp(*x - max);
    }
    let sum: f32 = row.iter().sum();
    for x in row.iter_mut() {
        *x /= sum;
    }
    max + sum.ln()
}

/// Makes a row of gradients of the probabilities `p` one of gradients of the scores:
/// ds = p (dp - sum p dp).
///
/// The sums are f64 and divided by the sum of `p`, which rounding keeps from being 1: each row
/// then adds up to 0 as closely as f32 allows, and so do the gradients of a key's bias.
fn softmax_backward(gradient: &mut [f32], p: &[f32]) {
    let (mut sum, mut weighted) = (0.0_f64, 0.0_f64);
    for (d, p) in gradient.iter().zip(p) {
        sum += f64::from(*p);
        weighted += f64::from(*p) * f64::from(*d);
    }
    let mean = weighted / sum;
    for (d, p) in gradient.iter_mut().zip(p) {
        *d = (f64::from(*p) * (f64::from(*d) - mean)) as f32;
    }
}
