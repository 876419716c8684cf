//! Sums of blocks on the vectors of AVX-512 for bf16, which AMD's processors have from Zen 4 on, and
//! Intel's with AMX where that may not be used: an instruction multiplies 16 pairs of values by one
//! pair, and adds both products of each to one of 16 f32 sums.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_load_si512, _mm512_loadu_ps,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::mem::transmute;

use super::blocks::{First, Kernel, Panels};
use super::panels::{DEPTH, Line, TILE, panel_columns, panel_rows};

/// Rows whose sums stay in registers: with two vectors for each, 16 sums that do not wait for each
/// other, more than the cycles that an instruction takes.
const ROWS: usize = 8;
/// Pairs of values in a line.
const PAIRS: usize = DEPTH / 2;

/// Whether the processor has the instructions of this module and of those that pack panels.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

/// The vector registers.
pub struct Bf16Vectors;

impl Kernel<1> for Bf16Vectors {
    unsafe fn begin() -> Self {
        Self
    }

    unsafe fn accumulate(
        &self,
        panels: Panels,
        first: First,
        to: *mut f32,
        stride: usize,
        mut prefetch_rows: impl FnMut(usize),
    ) {
        for row in (0..panel_rows(1)).step_by(ROWS) {
            let panels = Panels {
                a: panels.a.wrapping_add(row),
                ..panels
            };
            let first = match first {
                First::Zeros => First::Zeros,
                First::Rows(from, stride) => First::Rows(from.wrapping_add(row * stride), stride),
            };
            // SAFETY: the caller's.
            unsafe { multiply_rows(panels, first, to.wrapping_add(row * stride), stride) };
            prefetch_rows(ROWS);
        }
    }
}

/// What [`Kernel::accumulate`] does, for the first rows of the panels alone.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply_rows(panels: Panels, first: First, to: *mut f32, stride: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    if let First::Rows(from, stride) = first {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *sums = unsafe { [0, TILE].map(|at| _mm512_loadu_ps(from.add(i * stride + at))) };
        }
    }
    let (mut a, mut b) = (panels.a, panels.b);
    for _ in 0..panels.n_steps {
        for pair in 0..PAIRS {
            // SAFETY: a step of `b` has two tiles of so many lines, and one of `a` has a line for
            // each row; lines are aligned.
            unsafe {
                let columns = [0, TILE].map(|tile| load_line(b.add(tile + pair)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let row = *a.add(i).cast::<i32>().add(pair);
                    add_products(sums, _mm512_set1_epi32(row), columns);
                }
            }
        }
        a = a.wrapping_add(panel_rows(1));
        b = b.wrapping_add(panel_columns(1));
    }
    for (i, sums) in sums.iter().enumerate() {
        for (at, sums) in [0, TILE].into_iter().zip(sums) {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_ps(to.add(i * stride + at), *sums) };
        }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load_line(line: *const Line) -> __m512i {
    // SAFETY: the caller's; lines are aligned.
    unsafe { _mm512_load_si512(line.cast()) }
}

/// Adds the products of 16 columns' pairs and of the same pair of a row, twice.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn add_products(sums: &mut [__m512; 2], pair: __m512i, columns: [__m512i; 2]) {
    for (sums, columns) in sums.iter_mut().zip(columns) {
        // SAFETY: both types are 64 bytes without a meaning of their own.
        let [pair, columns] = unsafe { [pair, columns].map(|x| transmute::<__m512i, __m512bh>(x)) };
        *sums = _mm512_dpbf16_ps(*sums, pair, columns);
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocks::multiply;
    use super::super::{Factor, Matrix, MatrixMut, Start};
    use super::{Bf16Vectors, is_available};

    /// Where tiles are there `tests/all/nn/products.rs` sees only those.
    #[test]
    fn products_on_vectors_are_exact_where_the_processor_has_them() {
        if !is_available() {
            return;
        }
        for [m, k, n] in [[1, 1, 1], [17, 33, 31], [32, 64, 32], [70, 129, 65]] {
            // Whole numbers of up to 8 bits, whose products and sums are exact.
            let values = |n: usize, step: usize| -> Vec<f32> {
                (0..n).map(|i| (i * step % 255) as f32 - 127.0).collect()
            };
            let (a, b, bias) = (values(m * k, 7), values(k * n, 11), values(n, 13));
            let mut got = vec![0.0; m * n];
            let destination = MatrixMut::rows_of(&mut got, m, n, n);
            let a_factor = Factor::F32(Matrix::rows_of(&a, m, k, k));
            let b_factor = Factor::F32(Matrix::rows_of(&b, k, n, n));
            let start = Start::Row(&bias);
            // SAFETY: the matrices have all their elements, the processor the instructions.
            unsafe { multiply::<Bf16Vectors, f32, 1>(&destination, &a_factor, &b_factor, start) };
            let terms = |i: usize, j: usize| (0..k).map(move |l| (i * k + l, l * n + j));
            let expected = (0..m * n).map(|at| {
                let products = terms(at / n, at % n).map(|(i, j)| a[i] * b[j]);
                bias[at % n] + products.sum::<f32>()
            });
            assert_eq!(got, expected.collect::<Vec<f32>>(), "{m} x {k} x {n}");
        }
    }
}
