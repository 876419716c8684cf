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
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, StorageRef, Tensor, WithDType};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::nn::cpu::vectorized;
use crate::nn::product::{Matrix, MatrixMut, multiply};
use crate::nn::{Precision, Start};

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

/// `destination = start + a b`, the factors in `precision`.
///
/// `a` is (m, k), `b` (k, n) and `destination` (m, n), all f32; they may be strided views, as a
/// transpose or a column range is, but the destination's rows must be contiguous.
///
/// # Errors
/// Shapes that do not fit, another dtype, or a device without kernels.
pub fn product_into(
    destination: &Tensor,
    a: &Tensor,
    b: &Tensor,
    start: Start<'_>,
    precision: Precision,
) -> Result<()> {
    let (m, n) = product_shape(a, b)?;
    if destination.dims() != [m, n] || destination.stride()[1] != 1 {
        return Err(Error::internal(format!(
            "a product of shape ({m}, {n}) does not fit {:?}",
            destination.layout()
        )));
    }
    let (a_storage, a_layout) = a.storage_and_layout();
    let (b_storage, b_layout) = b.storage_and_layout();
    let a = matrix(&a_storage, a_layout, a.device())?;
    let b = matrix(&b_storage, b_layout, b.device())?;
    in_place(destination, |values, layout| {
        let values = &mut values[layout.start_offset()..];
        let mut destination = MatrixMut::rows_of(values, m, n, layout.stride()[0]);
        multiply(&mut destination, &a, &b, start, precision);
    })
}

/// `start + a b` as a new tensor, where the start is not the destination; see [`product_into`].
///
/// # Errors
/// As [`product_into`].
pub fn product(a: &Tensor, b: &Tensor, start: Start<'_>, precision: Precision) -> Result<Tensor> {
    let (m, n) = product_shape(a, b)?;
    let (a_storage, a_layout) = a.storage_and_layout();
    let (b_storage, b_layout) = b.storage_and_layout();
    let mut values = Vec::with_capacity(m * n);
    let mut destination = MatrixMut::without_values(values.spare_capacity_mut(), m, n);
    multiply(
        &mut destination,
        &matrix(&a_storage, a_layout, a.device())?,
        &matrix(&b_storage, b_layout, b.device())?,
        start,
        precision,
    );
    // SAFETY: a product writes all of its m x n elements.
    unsafe { values.set_len(m * n) };
    tensor(values, &[m, n], a.device())
}

fn product_shape(a: &Tensor, b: &Tensor) -> Result<(usize, usize)> {
    let (m, k) = a.dims2()?;
    let (k_b, n) = b.dims2()?;
    if k != k_b {
        return Err(Error::internal(format!(
            "({m}, {k}) and ({k_b}, {n}) have no product"
        )));
    }
    Ok((m, n))
}

/// Makes `N` matrices of `n_rows` rows, matrix i `widths[i]` wide, in tasks of
/// [`ROWS_PER_TASK`] rows each: `work` gets the numbers of its rows and those rows of each
/// matrix, all 0. Beside the matrices come the results of the tasks, in the order of the rows.
pub fn rows<const N: usize, T: Send>(
    n_rows: usize,
    widths: [usize; N],
    work: impl Fn(Range<usize>, [&mut [f32]; N]) -> T + Sync,
) -> ([Vec<f32>; N], Vec<T>) {
    let mut matrices = widths.map(|width| Vec::with_capacity(n_rows * width));
    let starts = matrices
        .each_mut()
        .map(|matrix| FirstRow(matrix.as_mut_ptr()));
    let results = (0..n_rows.div_ceil(ROWS_PER_TASK))
        .into_par_iter()
        .map(|task| {
            let first = task * ROWS_PER_TASK;
            let rows = first..(first + ROWS_PER_TASK).min(n_rows);
            let parts = std::array::from_fn(|i| {
                let n_values = rows.len() * widths[i];
                let start = starts[i].get().wrapping_add(first * widths[i]);
                // SAFETY: these rows lie inside the capacity and belong to this task alone; all
                // bits 0 are the number 0.
                unsafe {
                    start.write_bytes(0, n_values);
                    std::slice::from_raw_parts_mut(start, n_values)
                }
            });
            work(rows, parts)
        })
        .collect();
    for (matrix, width) in matrices.iter_mut().zip(widths) {
        // SAFETY: every row was set above.
        unsafe { matrix.set_len(n_rows * width) };
    }
    (matrices, results)
}

/// Where a matrix that several tasks fill begins.
#[derive(Clone, Copy)]
struct FirstRow(*mut f32);

impl FirstRow {
    fn get(self) -> *mut f32 {
        self.0
    }
}

// SAFETY: each task writes rows of its own.
unsafe impl Send for FirstRow {}
// SAFETY: as above.
unsafe impl Sync for FirstRow {}

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

vectorized! {
    /// `destination[i] += source[i]`.
    pub fn add_to(destination: &mut [f32], source: &[f32]) {
        for (d, s) in destination.iter_mut().zip(source) {
            *d += s;
        }
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
