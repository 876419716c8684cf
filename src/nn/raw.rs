//! The one place where tensors become slices: reading, making, updating in place, products.
//!
//! Layers call these functions and read like mathematics. On the CPU a tensor is a slice of
//! its storage; on a GPU products and sums are launched there, and reading and updating copy the
//! values to the host, which is for the beginning and the end of things. A device without kernels
//! is refused with an error that names it, so nothing falls back in silence.
//!
//! Two rules of candle's storages hold for everything here. A storage is locked while it is
//! read, so [`update`] must never be given a destination whose storage one of the live
//! [`Slice`]s reads: that would wait for itself for ever. And only views that share the
//! storage (`narrow`, `reshape` of a contiguous tensor, `t`) can be written through.

use std::ops::{Deref, Range};
use std::sync::Mutex;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, StorageRef, Tensor, WithDType};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::nn::cpu::vectorized;
use crate::nn::kernels::{Kernels, device};
use crate::nn::product::{Element, Factor, Matrix, MatrixMut, multiply};
use crate::nn::values::{Values, from_storage};
use crate::nn::{Precision, Start};

/// Rows that one task works on. It is fixed, so that a sum over rows adds the same numbers in
/// the same order whatever the number of threads.
pub const ROWS_PER_TASK: usize = 64;

/// The values of a contiguous tensor in host memory: of a tensor that is there, with its storage
/// locked for reading, or a copy.
pub struct Slice<'a, T>(Held<'a, T>);

enum Held<'a, T> {
    Storage(StorageRef<'a>, Range<usize>),
    Copy(Vec<T>),
}

impl<T: WithDType> Deref for Slice<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let (storage, range) = match &self.0 {
            Held::Storage(storage, range) => (storage, range),
            Held::Copy(values) => return values,
        };
        match &**storage {
            // `read` checked device and dtype, and the guard keeps anyone from changing them.
            Storage::Cpu(storage) => storage
                .as_slice::<T>()
                .map_or(&[], |values| &values[range.clone()]),
            _ => &[],
        }
    }
}

/// Reads a contiguous tensor of element type `T`; from a GPU it is copied when all that was
/// launched there is done.
///
/// # Errors
/// Another dtype, a tensor that is not contiguous, or a device without kernels.
pub fn read<T: WithDType>(tensor: &Tensor) -> Result<Slice<'_, T>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::internal("a tensor that should be contiguous is not"));
    };
    if let Storage::Cpu(values) = &*storage {
        values.as_slice::<T>()?;
    } else {
        drop(storage);
        return Ok(Slice(Held::Copy(device::read(tensor)?)));
    }
    Ok(Slice(Held::Storage(storage, start..end)))
}

/// Makes a tensor of `values` on `device`.
///
/// # Errors
/// A device without kernels.
pub fn tensor(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Tensor> {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    if let Device::Cuda(_) = device {
        return Ok(Tensor::from_vec(values, shape, device)?);
    }
    from_storage(CpuStorage::F32(values), shape, device)
}

/// Changes the values of a contiguous f32 tensor in place.
///
/// # Errors
/// A tensor that is not contiguous or not f32, or a device without kernels.
pub fn update(destination: &Tensor, change: impl FnOnce(&mut [f32])) -> Result<()> {
    if destination.layout().contiguous_offsets().is_none() {
        return Err(Error::internal("a tensor to be updated is not contiguous"));
    }
    if let Device::Cuda(_) = destination.device() {
        let mut values = device::read::<f32>(destination)?;
        change(&mut values);
        return device::write(destination, &values);
    }
    in_place(destination, |values, layout| {
        let start = layout.start_offset();
        change(&mut values[start..start + layout.shape().elem_count()]);
    })
}

/// `destination = start + a b`, the factors in `precision`; the start may not be a row on a GPU.
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
    match Kernels::of(destination) {
        Some(kernels) => kernels.product_into(destination, a, b, start, precision),
        None => product_into_on_host(destination, a, b, start, precision),
    }
}

/// [`product_into`] on the CPU.
pub(super) fn product_into_on_host(
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
    let a = factor(&a_storage, a_layout, a.device())?;
    let b = factor(&b_storage, b_layout, b.device())?;
    in_place(destination, |values, layout| {
        let values = &mut values[layout.start_offset()..];
        let mut destination = MatrixMut::rows_of(values, m, n, layout.stride()[0]);
        multiply(&mut destination, &a, &b, start, precision);
    })
}

/// `a b + bias` as a new tensor that is stored as `stored` says; the bias (n), if there is one, is
/// added to each row. See [`product_into`].
///
/// # Errors
/// As [`product_into`].
pub fn product(
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
    stored: Precision,
) -> Result<Tensor> {
    match Kernels::of(a) {
        Some(kernels) => kernels.product(a, b, bias, precision, stored),
        None => product_on_host(a, b, bias, precision, stored),
    }
}

/// [`product`] on the CPU.
pub(super) fn product_on_host(
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
    stored: Precision,
) -> Result<Tensor> {
    let bias = bias.map(read::<f32>).transpose()?;
    let start = bias.as_deref().map_or(Start::Zeros, Start::Row);
    let shape = product_shape(a, b)?;
    let (a_storage, a_layout) = a.storage_and_layout();
    let (b_storage, b_layout) = b.storage_and_layout();
    let factors = [
        factor(&a_storage, a_layout, a.device())?,
        factor(&b_storage, b_layout, b.device())?,
    ];
    let storage = match stored {
        Precision::F32 => CpuStorage::F32(new_product(shape, &factors, start, precision)),
        Precision::Bf16 => CpuStorage::BF16(new_product(shape, &factors, start, precision)),
    };
    from_storage(storage, &[shape.0, shape.1], a.device())
}

fn new_product<T: Element>(
    (m, n): (usize, usize),
    [a, b]: &[Factor<'_>; 2],
    start: Start<'_>,
    precision: Precision,
) -> Vec<T> {
    let mut values = Vec::with_capacity(m * n);
    let mut destination = MatrixMut::without_values(values.spare_capacity_mut(), m, n);
    multiply(&mut destination, a, b, start, precision);
    // SAFETY: a product writes all of its m x n elements.
    unsafe { values.set_len(m * n) };
    values
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

/// The sums over the rows of `width` values each, added up in the order of the rows.
pub fn sum_of_rows(values: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in values.chunks_exact(width) {
        add_to(&mut sums, row);
    }
    sums
}

vectorized! {
    /// `destination[i] += source[i]`.
    pub fn add_to(destination: &mut [f32], source: &[f32]) {
        for (d, s) in destination.iter_mut().zip(source) {
            *d += s;
        }
    }

    /// `values[i] *= factors[i]`.
    pub fn multiply_by(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

/// `destination += source` for two contiguous tensors of one size and two storages.
///
/// # Errors
/// As [`update`].
pub fn add_tensor(destination: &Tensor, source: &Tensor) -> Result<()> {
    if let Some(kernels) = Kernels::of(destination) {
        return kernels.add(destination, source);
    }
    let source = Values::of(source)?;
    accumulate(destination, &source.all())
}

/// `destination += source`, element by element.
///
/// # Errors
/// As [`update`].
pub fn accumulate(destination: &Tensor, source: &[f32]) -> Result<()> {
    /// Values of one task.
    const CHUNK: usize = 1 << 14;
    update(destination, |values| {
        values
            .par_chunks_mut(CHUNK)
            .zip(source.par_chunks(CHUNK))
            .for_each(|(values, source)| add_to(values, source));
    })
}

fn factor<'a>(storage: &'a Storage, layout: &Layout, device: &Device) -> Result<Factor<'a>> {
    fn matrix<'a, T>(values: &'a [T], layout: &Layout) -> Result<Matrix<'a, T>> {
        let (rows, columns) = layout.shape().dims2()?;
        Ok(Matrix {
            values: &values[layout.start_offset()..],
            rows,
            columns,
            row_stride: layout.stride()[0],
            column_stride: layout.stride()[1],
        })
    }
    match storage {
        Storage::Cpu(CpuStorage::BF16(values)) => Ok(Factor::Bf16(matrix(values, layout)?)),
        Storage::Cpu(values) => Ok(Factor::F32(matrix(values.as_slice()?, layout)?)),
        _ => Err(no_kernels(device)),
    }
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

pub(super) fn no_kernels(device: &Device) -> Error {
    Error::internal(format!("no kernels for the device {:?}", device.location()))
}
