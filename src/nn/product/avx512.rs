//! Small f32 products on AVX-512: a block of up to 8 by 48 sums stays in registers while the
//! kernel walks along the inner dimension.

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_add_ps, _mm512_fmadd_ps, _mm512_mask_storeu_epi32,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_epi32, _mm512_maskz_loadu_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
};

use super::transpose::transpose_16x16;
use super::{Matrix, MatrixMut};

/// Rows of one block.
const ROWS: usize = 8;
/// Values of one vector.
const LANES: usize = 16;
/// Columns of one block: three vectors.
const COLUMNS: usize = 3 * LANES;

/// `destination = scale a b`, or `+=`.
///
/// # Safety
/// Every element of the three matrices must be there.
#[target_feature(enable = "avx512f")]
pub unsafe fn multiply(
    destination: &MatrixMut<'_>,
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    scale: f32,
    accumulate: bool,
) {
    let transposed;
    let b = if b.column_stride == 1 {
        b
    } else {
        // SAFETY: the caller's.
        transposed = unsafe { with_contiguous_rows(b) };
        &Matrix::rows_of(&transposed, b.rows, b.columns, b.columns)
    };
    for column in (0..b.columns).step_by(COLUMNS) {
        let n_columns = (b.columns - column).min(COLUMNS);
        for row in (0..a.rows).step_by(ROWS) {
            let block = Block {
                depth: a.columns,
                a: a.pointer(row, 0),
                a_row: a.row_stride,
                a_step: a.column_stride,
                b: b.pointer(0, column),
                b_step: b.row_stride,
                destination: destination.pointer(row, column),
                row_stride: destination.row_stride,
                scale,
                accumulate,
            };
            let n_rows = (a.rows - row).min(ROWS);
            // SAFETY: the block lies inside the matrices.
            unsafe {
                match n_columns.div_ceil(LANES) {
                    1 => by_rows::<1>(n_rows, n_columns, &block),
                    2 => by_rows::<2>(n_rows, n_columns, &block),
                    _ => by_rows::<3>(n_rows, n_columns, &block),
                }
            }
        }
    }
}

/// A block of the destination and where its factors begin.
struct Block {
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    destination: *mut f32,
    row_stride: usize,
    scale: f32,
    accumulate: bool,
}

#[target_feature(enable = "avx512f")]
unsafe fn by_rows<const V: usize>(n_rows: usize, n_columns: usize, block: &Block) {
    // SAFETY: the caller's.
    unsafe {
        match n_rows {
            1 => compute::<1, V>(n_columns, block),
            2 => compute::<2, V>(n_columns, block),
            3 => compute::<3, V>(n_columns, block),
            4 => compute::<4, V>(n_columns, block),
            5 => compute::<5, V>(n_columns, block),
            6 => compute::<6, V>(n_columns, block),
            7 => compute::<7, V>(n_columns, block),
            _ => compute::<8, V>(n_columns, block),
        }
    }
}

/// A block of `R` rows and up to `V` vectors.
#[target_feature(enable = "avx512f")]
unsafe fn compute<const R: usize, const V: usize>(n_columns: usize, block: &Block) {
    let last = first_lanes(n_columns - LANES * (V - 1));
    let masks: [__mmask16; V] = std::array::from_fn(|v| if v + 1 == V { last } else { 0xffff });
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let (mut a, mut b) = (block.a, block.b);
    // SAFETY: masked lanes are not touched, and all others are elements of the matrices.
    unsafe {
        for _ in 0..block.depth {
            let row: [__m512; V] =
                std::array::from_fn(|v| _mm512_maskz_loadu_ps(masks[v], b.wrapping_add(LANES * v)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = _mm512_set1_ps(*a.wrapping_add(r * block.a_row));
                for (sum, row) in sums.iter_mut().zip(&row) {
                    *sum = _mm512_fmadd_ps(factor, *row, *sum);
                }
            }
            a = a.wrapping_add(block.a_step);
            b = b.wrapping_add(block.b_step);
        }
        let scale = _mm512_set1_ps(block.scale);
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = block
                    .destination
                    .wrapping_add(r * block.row_stride + LANES * v);
                let mut y = _mm512_mul_ps(*sum, scale);
                if block.accumulate {
                    y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(masks[v], at));
                }
                _mm512_mask_storeu_ps(at, masks[v], y);
            }
        }
    }
}

/// A copy of a matrix whose columns are contiguous, with contiguous rows.
#[target_feature(enable = "avx512f")]
unsafe fn with_contiguous_rows(matrix: &Matrix<'_>) -> Vec<f32> {
    let mut copy = vec![0.0_f32; matrix.rows * matrix.columns];
    if matrix.row_stride != 1 {
        for (i, value) in copy.iter_mut().enumerate() {
            // SAFETY: an element of the matrix.
            *value = unsafe { *matrix.pointer(i / matrix.columns, i % matrix.columns) };
        }
        return copy;
    }
    for row in (0..matrix.rows).step_by(LANES) {
        let n_rows = (matrix.rows - row).min(LANES);
        for column in (0..matrix.columns).step_by(LANES) {
            let n_columns = (matrix.columns - column).min(LANES);
            let mut lines = [_mm512_setzero_si512(); LANES];
            for (j, line) in lines.iter_mut().take(n_columns).enumerate() {
                let from = matrix.pointer(row, column + j);
                // SAFETY: masked lanes are not touched, all others are elements.
                *line = unsafe { _mm512_maskz_loadu_epi32(first_lanes(n_rows), from.cast()) };
            }
            transpose_16x16(&mut lines);
            for (i, line) in lines.iter().take(n_rows).enumerate() {
                let to = &mut copy[(row + i) * matrix.columns + column..][..n_columns];
                // SAFETY: masked lanes are not touched, all others lie in `to`.
                unsafe {
                    _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), first_lanes(n_columns), *line);
                }
            }
        }
    }
    copy
}

/// A mask of the first `n` lanes, at least one and at most all.
fn first_lanes(n: usize) -> __mmask16 {
    0xffff_u16 >> (LANES - n.min(LANES))
}
