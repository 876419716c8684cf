//! Products of matrices: which kernel computes one, and on how many threads.
//!
//! | what | where the processor has it | else |
//! | --- | --- | --- |
//! | large, bf16 | our tiles on AMX | factors rounded to bf16, then as f32 |
//! | large, f32 | the `gemm` crate | |
//! | small, f32, inside a parallel loop | our kernel on AVX-512 | the `gemm` crate |
//!
//! A row of a product depends on that row of `a` alone and not on how many rows there are, as
//! far as the kernel is ours; nothing depends on the number of threads.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod transpose;

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::config::PrecisionConfig;
use crate::nn::raw::ROWS_PER_TASK;

/// What the factors of the linear layers' products are rounded to; sums are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 significant bits: nothing is rounded.
    #[default]
    F32,
    /// 8 significant bits.
    Bf16,
}

impl Precision {
    /// What the config asks for on this machine.
    pub fn of(config: PrecisionConfig) -> Self {
        match config {
            PrecisionConfig::F32 => Self::F32,
            PrecisionConfig::Bf16 => Self::Bf16,
            PrecisionConfig::Auto if has_bf16_products() => Self::Bf16,
            PrecisionConfig::Auto => Self::F32,
        }
    }

    /// What products in it are computed with on this machine, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 if has_bf16_products() => "bf16, on AMX",
            Self::Bf16 => "bf16, rounded to it and multiplied as f32, which is slow",
        }
    }
}

/// Whether bf16 products have a kernel of their own on this machine.
fn has_bf16_products() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        amx::is_available()
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        false
    }
}

/// A strided matrix in host memory.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The values from the first element on.
    pub values: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows of `columns` values lie `row_stride` apart.
    pub fn rows_of(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The transpose, without moving a value.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Some of its rows.
    #[must_use]
    pub fn rows(self, rows: &Range<usize>) -> Self {
        Self {
            values: &self.values[rows.start * self.row_stride..],
            rows: rows.len(),
            ..self
        }
    }

    fn holds_its_elements(&self) -> bool {
        last_element(self.rows, self.columns, self.row_stride, self.column_stride)
            .is_none_or(|last| last < self.values.len())
    }

    /// A pointer to an element, or past the last one.
    fn pointer(&self, row: usize, column: usize) -> *const f32 {
        let at = row * self.row_stride + column * self.column_stride;
        self.values.as_ptr().wrapping_add(at)
    }
}

/// A matrix in host memory that a product is written to; its rows are contiguous.
pub struct MatrixMut<'a> {
    values: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    /// Whether the elements have values yet.
    is_filled: bool,
    borrow: PhantomData<&'a mut f32>,
}

impl<'a> MatrixMut<'a> {
    /// A matrix whose rows of `columns` values lie `row_stride` apart.
    ///
    /// # Panics
    /// If it reaches past the values: a bug of ours.
    pub fn rows_of(values: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let last = last_element(rows, columns, row_stride, 1);
        assert!(last.is_none_or(|last| last < values.len()));
        Self {
            values: values.as_mut_ptr(),
            rows,
            columns,
            row_stride,
            is_filled: true,
            borrow: PhantomData,
        }
    }

    /// A (rows, columns) matrix that has no values yet. After [`multiply`] it has.
    ///
    /// # Panics
    /// If it reaches past the values: a bug of ours.
    pub fn without_values(values: &'a mut [MaybeUninit<f32>], rows: usize, columns: usize) -> Self {
        assert!(rows * columns <= values.len());
        Self {
            values: values.as_mut_ptr().cast(),
            rows,
            columns,
            row_stride: columns,
            is_filled: false,
            borrow: PhantomData,
        }
    }

    fn pointer(&self, row: usize, column: usize) -> *mut f32 {
        self.values.wrapping_add(row * self.row_stride + column)
    }
}

/// A destination that the tasks of a parallel loop write to, each its own elements.
#[derive(Clone, Copy)]
struct Shared<'a>(&'a MatrixMut<'a>);

// SAFETY: whoever shares a destination gives each task elements that no other one touches.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    fn matrix(&self) -> &'a MatrixMut<'a> {
        self.0
    }
}

/// What the product is added to.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// Nothing: the destination becomes the product.
    Zeros,
    /// The destination's own values.
    Destination,
    /// The same row of values for each row of the destination: a bias.
    Row(&'a [f32]),
}

/// `destination = start + a b` on all threads, the factors in `precision`.
///
/// # Panics
/// If the shapes do not fit, a view reaches past its values, or the product is to be added to a
/// destination without values: bugs of ours.
pub fn multiply(
    destination: &mut MatrixMut<'_>,
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    start: Start<'_>,
    precision: Precision,
) {
    check(destination, a, b, start);
    match precision {
        Precision::F32 => multiply_f32(destination, a, b, start),
        Precision::Bf16 => {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            if amx::is_available() {
                amx::multiply(destination, a, b, start);
                destination.is_filled = true;
                return;
            }
            let (a_values, b_values) = (rounded(a), rounded(b));
            let [a, b] = [(a, &a_values), (b, &b_values)]
                .map(|(matrix, values)| Matrix { values, ..*matrix });
            multiply_f32(destination, &a, &b, start);
        }
    }
    destination.is_filled = true;
}

/// `destination = scale a b`, or `+=` when the start is the destination, on the calling thread:
/// for the many small products inside a parallel loop.
///
/// # Panics
/// As [`multiply`], or if the start is a row.
pub fn multiply_small(
    destination: &mut MatrixMut<'_>,
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    scale: f32,
    start: Start<'_>,
) {
    check(destination, a, b, start);
    let accumulate = match start {
        Start::Zeros => false,
        Start::Destination => true,
        Start::Row(_) => panic!("a small product does not start from a row"),
    };
    #[cfg(target_arch = "x86_64")]
    if crate::nn::cpu::vectors() == crate::nn::cpu::Vectors::Avx512 {
        // SAFETY: the processor has AVX-512, and `check` has seen that all elements are there.
        unsafe { avx512::multiply(destination, a, b, scale, accumulate) };
        return;
    }
    call_gemm(
        destination,
        a,
        b,
        scale,
        accumulate,
        gemm::Parallelism::None,
    );
}

fn check(destination: &MatrixMut<'_>, a: &Matrix<'_>, b: &Matrix<'_>, start: Start<'_>) {
    assert!(a.columns == b.rows && a.rows == destination.rows && b.columns == destination.columns);
    assert!(a.holds_its_elements() && b.holds_its_elements());
    match start {
        Start::Zeros => {}
        Start::Destination => assert!(destination.is_filled),
        Start::Row(row) => assert!(row.len() == destination.columns),
    }
}

fn multiply_f32(destination: &MatrixMut<'_>, a: &Matrix<'_>, b: &Matrix<'_>, start: Start<'_>) {
    if let Start::Row(row) = start {
        fill_rows(destination, row);
    }
    let accumulate = !matches!(start, Start::Zeros);
    let threads = gemm::Parallelism::Rayon(rayon::current_num_threads());
    call_gemm(destination, a, b, 1.0, accumulate, threads);
}

fn call_gemm(
    destination: &MatrixMut<'_>,
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    scale: f32,
    accumulate: bool,
    threads: gemm::Parallelism,
) {
    // SAFETY: `check` has seen that every element that the product reads or writes is there;
    // the destination is borrowed mutably, so it overlaps neither source.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            destination.values,
            1,
            destination.row_stride as isize,
            accumulate,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

/// Makes every row of the destination `row`.
fn fill_rows(destination: &MatrixMut<'_>, row: &[f32]) {
    let shared = Shared(destination);
    (0..destination.rows)
        .into_par_iter()
        .with_min_len(ROWS_PER_TASK)
        .for_each(|i| {
            let to = shared.matrix().pointer(i, 0);
            // SAFETY: each row belongs to one call, and `check` compared the lengths.
            unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), to, row.len()) };
        });
}

/// The values that a matrix lies in, rounded to bf16 and kept as f32.
fn rounded(matrix: &Matrix<'_>) -> Vec<f32> {
    let last = last_element(
        matrix.rows,
        matrix.columns,
        matrix.row_stride,
        matrix.column_stride,
    );
    let values = &matrix.values[..last.map_or(0, |last| last + 1)];
    values
        .par_iter()
        .with_min_len(1 << 12)
        .map(|x| half::bf16::from_f32(*x).to_f32())
        .collect()
}

fn last_element(
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
) -> Option<usize> {
    (rows > 0 && columns > 0).then(|| (rows - 1) * row_stride + (columns - 1) * column_stride)
}
