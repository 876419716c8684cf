//! Sums of blocks on the vectors of AVX-512 for bf16, which AMD's processors have from Zen 4 on and
//! Intel's where they lack AMX, too: an instruction multiplies 16 pairs of values by one pair, and
//! adds both products of each to one of 16 f32 sums.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_load_si512, _mm512_loadu_ps,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::mem::transmute;

use super::blocks::{First, Kernel, Panels};
use super::panels::{Line, TILE, panel_columns, panel_rows};

/// Rows whose sums stay in registers: 16 of 32 registers, more than an instruction takes cycles.
const ROWS: usize = 8;
/// Pairs of values in a line.
const PAIRS: usize = 16;

/// Whether the processor has the instructions of the kernel, and of what packs panels.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

/// The vector registers.
pub struct Vectors;

impl Kernel<1> for Vectors {
    fn begin() -> Self {
        Self
    }

    unsafe fn accumulate(
        &self,
        panels: Panels,
        first: First,
        to: *mut f32,
        stride: usize,
        mut soon: impl FnMut(usize),
    ) {
        for row in (0..panel_rows(1)).step_by(ROWS) {
            let first = match first {
                First::Zeros => First::Zeros,
                First::Rows(from, stride) => First::Rows(from.wrapping_add(row * stride), stride),
            };
            // SAFETY: the caller's.
            unsafe { multiply_rows(panels, row, first, to.wrapping_add(row * stride), stride) };
            soon(ROWS);
        }
    }
}

/// The sums of the block's rows from `row` on, as [`Kernel::accumulate`] makes all.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply_rows(panels: Panels, row: usize, first: First, to: *mut f32, stride: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    if let First::Rows(from, stride) = first {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *sums = unsafe { [0, TILE].map(|at| _mm512_loadu_ps(from.add(i * stride + at))) };
        }
    }
    let mut a = panels.a.wrapping_add(row);
    let mut b = panels.b;
    for _ in 0..panels.n_steps {
        for pair in 0..PAIRS {
            // SAFETY: a step of `b` has two tiles of so many lines, and one of `a` has a line for
            // each row; both are aligned.
            unsafe {
                let columns = [0, TILE].map(|tile| of_line(b.add(tile + pair)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let both = *a.add(i).cast::<i32>().add(pair);
                    add_products(sums, _mm512_set1_epi32(both), columns);
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
unsafe fn of_line(line: *const Line) -> __m512i {
    // SAFETY: the caller's; lines are aligned.
    unsafe { _mm512_load_si512(line.cast()) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn add_products(sums: &mut [__m512; 2], row: __m512i, columns: [__m512i; 2]) {
    for (sums, columns) in sums.iter_mut().zip(columns) {
        // SAFETY: both types are 64 bytes without a meaning of their own.
        let [row, columns] = unsafe { [row, columns].map(|x| transmute::<__m512i, __m512bh>(x)) };
        *sums = _mm512_dpbf16_ps(*sums, row, columns);
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocks::multiply;
    use super::super::{Factor, Matrix, MatrixMut, Start};
    use super::{Vectors, is_available};

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
            multiply::<Vectors, f32, 1>(
                &MatrixMut::rows_of(&mut got, m, n, n),
                &Factor::F32(Matrix::rows_of(&a, m, k, k)),
                &Factor::F32(Matrix::rows_of(&b, k, n, n)),
                Start::Row(&bias),
            );
            for (i, row) in got.chunks_exact(n).enumerate() {
                for (j, got) in row.iter().enumerate() {
                    let terms = (0..k).map(|l| a[i * k + l] * b[l * n + j]);
                    let expected: f32 = bias[j] + terms.sum::<f32>();
                    assert_eq!(*got, expected, "{m} x {k} x {n}, value {i}, {j}");
                }
            }
        }
    }
}
