//! Products of matrices: which kernel computes one, and on how many threads.
//!
//! | what | where the processor has it | else |
//! | --- | --- | --- |
//! | large, bf16 | our tiles on AMX, or our vectors on AVX-512 for bf16 | factors rounded to bf16, then as f32 |
//! | large, f32 | our tiles on AMX, each factor split into three of bf16 | the `gemm` crate |
//! | small, f32, inside a parallel loop | our kernel on AVX-512 | the `gemm` crate |
//!
//! A row of a product depends on that row of `a` alone and not on how many rows there are, as
//! far as the kernel is ours; nothing depends on the number of threads.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod blocks;
#[cfg(target_arch = "x86_64")]
mod panels;
#[cfg(target_arch = "x86_64")]
mod transpose;

use std::any::TypeId;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::Device;
use half::bf16;
use rayon::prelude::*;

use crate::config::PrecisionConfig;
use crate::nn::raw::ROWS_PER_TASK;
use crate::nn::values::{narrow, widen};

/// What the factors of the linear layers' products are rounded to; sums are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 significant bits: the factors are taken as they are.
    #[default]
    F32,
    /// 8 significant bits.
    Bf16,
}

impl Precision {
    /// What the config asks for on this machine; every GPU that has kernels is fast in bf16.
    pub fn of(config: PrecisionConfig, device: &Device) -> Self {
        match config {
            PrecisionConfig::Bf16 => Self::Bf16,
            PrecisionConfig::Auto if device.is_cuda() => Self::Bf16,
            PrecisionConfig::Auto if bf16_kernel().is_some() => Self::Bf16,
            PrecisionConfig::Auto | PrecisionConfig::F32 => Self::F32,
        }
    }

    /// What products in it are computed with on this machine, in words.
    pub fn describe(self, device: &Device) -> &'static str {
        match (self, bf16_kernel()) {
            (Self::F32, _) if device.is_cuda() => "f32, factors rounded to TF32",
            (Self::Bf16, _) if device.is_cuda() => "bf16, on the GPU",
            (Self::F32, Some(Bf16Kernel::Amx)) => "f32, each factor in three parts of bf16, on AMX",
            (Self::F32, _) => "f32",
            (Self::Bf16, Some(Bf16Kernel::Amx)) => "bf16, on AMX",
            (Self::Bf16, Some(Bf16Kernel::Avx512)) => "bf16, on AVX-512",
            (Self::Bf16, None) => "bf16, rounded to it and multiplied as f32, which is slow",
        }
    }
}

/// What multiplies bf16 on a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
enum Bf16Kernel {
    /// Tiles; they make f32 products, too.
    Amx,
    /// Vectors.
    Avx512,
}

/// The fastest that this processor has.
fn bf16_kernel() -> Option<Bf16Kernel> {
    #[cfg(target_arch = "x86_64")]
    if amx::is_available() {
        return Some(Bf16Kernel::Amx);
    } else if avx512_bf16::is_available() {
        return Some(Bf16Kernel::Avx512);
    }
    None
}

/// A strided matrix in host memory.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T = f32> {
    /// The values from the first element on.
    pub values: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub column_stride: usize,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// A matrix whose rows of `columns` values lie `row_stride` apart.
    pub fn rows_of(values: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
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

    /// The same matrix with other values in the same places.
    fn with_values<U>(self, values: &[U]) -> Matrix<'_, U> {
        Matrix {
            values,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        }
    }

    /// The values from the first element to the last.
    fn extent(&self) -> &'a [T] {
        let last = last_element(self.rows, self.columns, self.row_stride, self.column_stride);
        &self.values[..last.map_or(0, |last| last + 1)]
    }

    fn holds_its_elements(&self) -> bool {
        last_element(self.rows, self.columns, self.row_stride, self.column_stride)
            .is_none_or(|last| last < self.values.len())
    }

    /// A pointer to an element, or past the last one.
    fn pointer(&self, row: usize, column: usize) -> *const T {
        let at = row * self.row_stride + column * self.column_stride;
        self.values.as_ptr().wrapping_add(at)
    }
}

/// A factor of a large product.
#[derive(Clone, Copy)]
pub enum Factor<'a> {
    /// Of f32.
    F32(Matrix<'a>),
    /// Of bf16.
    Bf16(Matrix<'a, bf16>),
}

impl Factor<'_> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::F32(matrix) => (matrix.rows, matrix.columns),
            Self::Bf16(matrix) => (matrix.rows, matrix.columns),
        }
    }

    fn holds_its_elements(&self) -> bool {
        match self {
            Self::F32(matrix) => matrix.holds_its_elements(),
            Self::Bf16(matrix) => matrix.holds_its_elements(),
        }
    }

    /// The values of its extent as f32, rounded to `precision`.
    fn rounded(&self, precision: Precision) -> Cow<'_, [f32]> {
        let widened = match self {
            Self::F32(matrix) if precision == Precision::F32 => return matrix.extent().into(),
            Self::F32(matrix) => {
                let mut stored = vec![bf16::ZERO; matrix.extent().len()];
                narrow(matrix.extent(), &mut stored);
                to_f32(&stored)
            }
            Self::Bf16(matrix) => to_f32(matrix.extent()),
        };
        widened.into()
    }

    /// The same matrix with its values as f32.
    fn with_values<'v>(&self, values: &'v [f32]) -> Matrix<'v> {
        match self {
            Self::F32(matrix) => matrix.with_values(values),
            Self::Bf16(matrix) => matrix.with_values(values),
        }
    }
}

fn to_f32(stored: &[bf16]) -> Vec<f32> {
    let mut values = vec![0.0; stored.len()];
    widen(stored, &mut values);
    values
}

/// What a destination may be made of: f32 or bf16.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// Makes each value of `to` that of `from`.
    fn round(from: &[f32], to: &mut [Self]);
}

impl Element for f32 {
    fn round(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Element for bf16 {
    fn round(from: &[f32], to: &mut [Self]) {
        narrow(from, to);
    }
}

/// A matrix in host memory that a product is written to; its rows are contiguous.
pub struct MatrixMut<'a, T = f32> {
    values: *mut T,
    rows: usize,
    columns: usize,
    row_stride: usize,
    /// Whether the elements have values yet.
    is_filled: bool,
    borrow: PhantomData<&'a mut T>,
}

impl<'a, T> MatrixMut<'a, T> {
    /// A matrix whose rows of `columns` values lie `row_stride` apart.
    ///
    /// # Panics
    /// If it reaches past the values: a bug of ours.
    pub fn rows_of(values: &'a mut [T], rows: usize, columns: usize, row_stride: usize) -> Self {
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
    pub fn without_values(values: &'a mut [MaybeUninit<T>], rows: usize, columns: usize) -> Self {
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

    fn pointer(&self, row: usize, column: usize) -> *mut T {
        self.values.wrapping_add(row * self.row_stride + column)
    }
}

/// A destination that the tasks of a parallel loop write to, each its own elements.
#[derive(Clone, Copy)]
struct Shared<'a, T>(&'a MatrixMut<'a, T>);

// SAFETY: whoever shares a destination gives each task elements that no other one touches.
unsafe impl<T> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    fn matrix(&self) -> &'a MatrixMut<'a, T> {
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
/// If the shapes do not fit, a view reaches past its values, neither the rows nor the columns of a
/// factor are contiguous, or the product is to be added to a destination without values or of
/// bf16: bugs of ours.
pub fn multiply<T: Element>(
    destination: &mut MatrixMut<'_, T>,
    a: &Factor<'_>,
    b: &Factor<'_>,
    start: Start<'_>,
    precision: Precision,
) {
    assert!(a.holds_its_elements() && b.holds_its_elements());
    check(destination, a.shape(), b.shape(), start);
    let is_f32 = TypeId::of::<T>() == TypeId::of::<f32>();
    assert!(is_f32 || !matches!(start, Start::Destination));
    #[cfg(target_arch = "x86_64")]
    if multiply_in_blocks(destination, a, b, start, precision) {
        destination.is_filled = true;
        return;
    }
    let (a_values, b_values) = (a.rounded(precision), b.rounded(precision));
    let (a, b) = (a.with_values(&a_values), b.with_values(&b_values));
    if is_f32 {
        let destination = MatrixMut {
            values: destination.values.cast::<f32>(),
            rows: destination.rows,
            columns: destination.columns,
            row_stride: destination.row_stride,
            is_filled: destination.is_filled,
            borrow: PhantomData,
        };
        multiply_f32(&destination, &a, &b, start);
    } else {
        let (rows, columns) = (destination.rows, destination.columns);
        let mut sums = vec![0.0; rows * columns];
        multiply_f32(
            &MatrixMut::rows_of(&mut sums, rows, columns, columns),
            &a,
            &b,
            start,
        );
        for (i, sums) in sums.chunks_exact(columns.max(1)).enumerate() {
            let to = destination.pointer(i, 0);
            // SAFETY: a row of the destination, which is borrowed mutably; any bits are a bf16.
            let to = unsafe {
                to.write_bytes(0, columns);
                std::slice::from_raw_parts_mut(to, columns)
            };
            T::round(sums, to);
        }
    }
    destination.is_filled = true;
}

/// As [`multiply`], where a kernel of ours makes such products; whether it does.
#[cfg(target_arch = "x86_64")]
fn multiply_in_blocks<T: Element>(
    destination: &MatrixMut<'_, T>,
    a: &Factor<'_>,
    b: &Factor<'_>,
    start: Start<'_>,
    precision: Precision,
) -> bool {
    let multiply_with = match (bf16_kernel(), precision) {
        (Some(Bf16Kernel::Amx), Precision::Bf16) => blocks::multiply::<amx::Tiles, T, 1>,
        (Some(Bf16Kernel::Amx), Precision::F32) => {
            blocks::multiply::<amx::Tiles, T, { panels::PARTS_OF_F32 }>
        }
        (Some(Bf16Kernel::Avx512), Precision::Bf16) => {
            blocks::multiply::<avx512_bf16::Bf16Vectors, T, 1>
        }
        (Some(Bf16Kernel::Avx512), Precision::F32) | (None, _) => return false,
    };
    // SAFETY: the processor has the kernel, which needs what packs, and `check` and the callers
    // have seen that all elements are there.
    unsafe { multiply_with(destination, a, b, start) };
    true
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
    assert!(a.holds_its_elements() && b.holds_its_elements());
    check(destination, (a.rows, a.columns), (b.rows, b.columns), start);
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

fn check<T>(
    destination: &MatrixMut<'_, T>,
    a: (usize, usize),
    b: (usize, usize),
    start: Start<'_>,
) {
    assert!(a.1 == b.0 && a.0 == destination.rows && b.1 == destination.columns);
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
    // SAFETY: the callers have seen that every element that the product reads or writes is there;
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

fn last_element(
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
) -> Option<usize> {
    (rows > 0 && columns > 0).then(|| (rows - 1) * row_stride + (columns - 1) * column_stride)
}
