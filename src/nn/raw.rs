//! The one place where tensors become slices: reading, making, updating in place, products.
//!
//! Layers call these functions and read like mathematics. On the CPU a tensor is a slice of
//! its storage; a device without kernels is refused with an error that names it, so nothing
//! falls back in silence.
//!
//! Two rules of candle's storages hold for everything here. A storage is locked while it is
//! read, so [`update`] must never be given a destination whose storage one of the live
//! [`Slice`]s reads: that would wait for itself for ever. And only views that share the
//! storage (`narrow`, `reshape` of a contiguous tensor, `t`) can be written through.

use std::ops::{Deref, Range};
use std::sync::Mutex;

use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, DType, Device, InplaceOp1, Layout, Storage, StorageRef, Tensor, WithDType,
};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Rows that one task works on. It is fixed, so that a sum over rows adds the same numbers in
/// the same order whatever the number of threads.
pub const ROWS_PER_TASK: usize = 64;

/// The values of a contiguous tensor in host memory; its storage stays locked for reading.
pub struct Slice<'a, T> {
    storage: StorageRef<'a>,
    range: Range<usize>,
    kind: std::marker::PhantomData<T>,
}

impl<T: WithDType> Deref for Slice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &*self.storage {
            // `read` checked device and dtype, and the guard keeps anyone from changing them.
            Storage::Cpu(storage) => storage
                .as_slice::<T>()
                .map_or(&[], |values| &values[self.range.clone()]),
            _ => &[],
        }
    }
}

/// Reads a contiguous tensor of element type `T`.
///
/// # Errors
/// Another dtype, a tensor that is not contiguous, or a device without kernels.
pub fn read<T: WithDType>(tensor: &Tensor) -> Result<Slice<'_, T>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::internal("a tensor that should be contiguous is not"));
    };
    match &*storage {
        Storage::Cpu(values) => values.as_slice::<T>()?,
        _ => return Err(no_kernels(tensor.device())),
    };
    Ok(Slice {
        storage,
        range: start..end,
        kind: std::marker::PhantomData,
    })
}

/// Makes a tensor of `values` on `device`.
///
/// # Errors
/// A device without kernels.
pub fn tensor(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Tensor> {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    match device {
        Device::Cpu => Ok(Tensor::from_storage(
            Storage::Cpu(CpuStorage::F32(values)),
            shape,
            BackpropOp::none(),
            false,
        )),
        device => Err(no_kernels(device)),
    }
}

/// Changes the values of a contiguous f32 tensor in place.
///
/// # Errors
/// A tensor that is not contiguous or not f32, or a device without kernels.
pub fn update(destination: &Tensor, change: impl FnOnce(&mut [f32])) -> Result<()> {
    if destination.layout().contiguous_offsets().is_none() {
        return Err(Error::internal("a tensor to be updated is not contiguous"));
    }
    in_place(destination, |values, layout| {
        let start = layout.start_offset();
        change(&mut values[start..start + layout.shape().elem_count()]);
    })
}

/// `destination = a b`, or `destination += a b` when `accumulate` is on.
///
/// `a` is (m, k), `b` (k, n) and `destination` (m, n), all f32; any of them may be a strided
/// view, as a transpose or a column range is.
///
/// # Errors
/// Shapes that do not fit, another dtype, or a device without kernels.
pub fn product_into(destination: &Tensor, a: &Tensor, b: &Tensor, accumulate: bool) -> Result<()> {
    let (m, k) = a.dims2()?;
    let (k_b, n) = b.dims2()?;
    if k != k_b || destination.dims() != [m, n] {
        return Err(Error::internal(format!(
            "a product of ({m}, {k}) and ({k_b}, {n}) does not fit {:?}",
            destination.shape()
        )));
    }
    let (a_storage, a_layout) = a.storage_and_layout();
    let (b_storage, b_layout) = b.storage_and_layout();
    let a_view = matrix(&a_storage, a_layout, a.device())?;
    let b_view = matrix(&b_storage, b_layout, b.device())?;
    in_place(destination, |values, layout| {
        let [row_stride, column_stride] = [layout.stride()[0], layout.stride()[1]];
        let view = MatrixMut {
            values: &mut values[layout.start_offset()..],
            rows: m,
            columns: n,
            row_stride,
            column_stride,
        };
        multiply(view, &a_view, &b_view, 1.0, accumulate, Threads::All);
    })
}

/// `a b` as a new tensor; see [`product_into`].
///
/// # Errors
/// As [`product_into`].
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let destination = Tensor::zeros((a.dim(0)?, b.dim(1)?), DType::F32, a.device())?;
    product_into(&destination, a, b, false)?;
    Ok(destination)
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
}

/// A strided matrix in host memory that a product is written to.
pub struct MatrixMut<'a> {
    /// The values from the first element on.
    pub values: &'a mut [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub column_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A matrix whose rows of `columns` values lie `row_stride` apart.
    pub fn rows_of(values: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }
}

/// How many threads a product may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling one, for products inside a parallel loop.
    One,
    /// All of the pool.
    All,
}

/// `destination = scale a b`, or `+=` when `accumulate` is on.
///
/// # Panics
/// If the shapes do not fit or a view reaches past its values: bugs of ours.
pub fn multiply(
    destination: MatrixMut<'_>,
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    scale: f32,
    accumulate: bool,
    threads: Threads,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    let MatrixMut {
        values,
        rows,
        columns,
        row_stride,
        column_stride,
    } = destination;
    assert!(k == b.rows && m == rows && n == columns);
    assert!(a.holds_its_elements() && b.holds_its_elements());
    assert!(last_element(m, n, row_stride, column_stride).is_none_or(|last| last < values.len()));
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: the assertions above keep every element that the product reads or writes inside
    // its slice, and the destination is borrowed mutably, so it overlaps neither source.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            values.as_mut_ptr(),
            column_stride as isize,
            row_stride as isize,
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
            parallelism,
        );
    }
}

/// Adds up one value per column over all rows, in an order that the number of threads does
/// not change: tasks of [`ROWS_PER_TASK`] rows each fill a partial sum of `width` values
/// through `add(rows, partial)`, and the partial sums are added in the order of the rows.
pub fn sum_over_rows(
    n_rows: usize,
    width: usize,
    add: impl Fn(Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let partials: Vec<Vec<f32>> = (0..n_rows.div_ceil(ROWS_PER_TASK))
        .into_par_iter()
        .map(|task| {
            let mut partial = vec![0.0; width];
            let start = task * ROWS_PER_TASK;
            add(start..(start + ROWS_PER_TASK).min(n_rows), &mut partial);
            partial
        })
        .collect();
    let mut total = vec![0.0; width];
    for partial in &partials {
        add_to(&mut total, partial);
    }
    total
}

/// `destination[i] += source[i]`.
pub fn add_to(destination: &mut [f32], source: &[f32]) {
    for (d, s) in destination.iter_mut().zip(source) {
        *d += s;
    }
}

/// `destination += source` for two contiguous tensors of one size and two storages.
///
/// # Errors
/// As [`update`].
pub fn add_tensor(destination: &Tensor, source: &Tensor) -> Result<()> {
    let source = read::<f32>(source)?;
    accumulate(destination, &source)
}

/// `destination += source`, element by element.
///
/// # Errors
/// As [`update`].
pub fn accumulate(destination: &Tensor, source: &[f32]) -> Result<()> {
    update(destination, |values| add_to(values, source))
}

fn last_element(
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
) -> Option<usize> {
    (rows > 0 && columns > 0).then(|| (rows - 1) * row_stride + (columns - 1) * column_stride)
}

fn matrix<'a>(storage: &'a Storage, layout: &Layout, device: &Device) -> Result<Matrix<'a>> {
    let Storage::Cpu(storage) = storage else {
        return Err(no_kernels(device));
    };
    let (rows, columns) = layout.shape().dims2()?;
    Ok(Matrix {
        values: &storage.as_slice::<f32>()?[layout.start_offset()..],
        rows,
        columns,
        row_stride: layout.stride()[0],
        column_stride: layout.stride()[1],
    })
}

fn in_place(destination: &Tensor, change: impl FnOnce(&mut [f32], &Layout)) -> Result<()> {
    /// candle calls the operation once through a shared reference; the lock lets it be used up.
    struct Change<F>(Mutex<Option<F>>);

    impl<F: FnOnce(&mut [f32], &Layout)> InplaceOp1 for Change<F> {
        fn name(&self) -> &'static str {
            "change-in-place"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
            let CpuStorage::F32(values) = storage else {
                candle_core::bail!("a tensor to be updated is not f32");
            };
            let change = self.0.lock().ok().and_then(|mut f| f.take());
            if let Some(change) = change {
                change(values, layout);
            }
            Ok(())
        }
    }

    if !matches!(destination.device(), Device::Cpu) {
        return Err(no_kernels(destination.device()));
    }
    destination.inplace_op1(&Change(Mutex::new(Some(change))))?;
    Ok(())
}

fn no_kernels(device: &Device) -> Error {
    Error::internal(format!("no kernels for the device {:?}", device.location()))
}
