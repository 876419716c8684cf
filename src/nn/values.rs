//! Activations that are stored in f32 or, to move half as many bytes, in bf16: blocks read and
//! write rows of f32 either way.

use std::arch::asm;
use std::borrow::Cow;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut, Range};

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use half::bf16;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::nn::Precision;
use crate::nn::cpu::vectorized;
use crate::nn::raw::{self, ROWS_PER_TASK, Slice};

/// The values of a contiguous tensor of f32 or bf16.
pub enum Values<'a> {
    /// As they are.
    F32(Slice<'a, f32>),
    /// To be made f32.
    Bf16(Slice<'a, bf16>),
}

impl<'a> Values<'a> {
    /// Those of `tensor`.
    ///
    /// # Errors
    /// Another dtype, a tensor that is not contiguous, or a device without kernels.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        if !tensor.device().is_cpu() {
            return Err(raw::no_kernels(tensor.device()));
        }
        match tensor.dtype() {
            DType::BF16 => Ok(Self::Bf16(raw::read(tensor)?)),
            _ => Ok(Self::F32(raw::read(tensor)?)),
        }
    }

    /// Some of them as f32, for as long as one task works on them.
    pub fn part(&self, range: Range<usize>) -> Part<'_> {
        match self {
            Self::F32(values) => Part::AsTheyAre(&values[range]),
            Self::Bf16(values) => {
                let mut room = Room::of(range.len());
                widen(&values[range], &mut room);
                Part::Widened(room)
            }
        }
    }

    /// Copies those from `first` on to `to`.
    pub fn copy_to(&self, first: usize, to: &mut [f32]) {
        let range = first..first + to.len();
        match self {
            Self::F32(values) => to.copy_from_slice(&values[range]),
            Self::Bf16(values) => widen(&values[range], to),
        }
    }

    /// All of them as f32.
    pub fn all(&self) -> Cow<'_, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(values),
            Self::Bf16(values) => {
                let mut widened = vec![0.0; values.len()];
                widen(values, &mut widened);
                Cow::Owned(widened)
            }
        }
    }
}

/// Some values as f32.
pub enum Part<'a> {
    /// Of f32.
    AsTheyAre(&'a [f32]),
    /// Of bf16.
    Widened(Room),
}

impl Deref for Part<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::AsTheyAre(values) => values,
            Self::Widened(room) => room,
        }
    }
}

/// Room for values of f32, whatever they are at first, from the thread's own store.
pub struct Room {
    values: Vec<f32>,
    n_values: usize,
}

thread_local! {
    /// Buffers that are not in use; kept, since what was just used is in the cache.
    static ROOMS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

impl Room {
    /// Room for `n_values` values.
    pub fn of(n_values: usize) -> Self {
        let mut values = ROOMS.with_borrow_mut(Vec::pop).unwrap_or_default();
        if values.len() < n_values {
            values.resize(n_values, 0.0);
        }
        Self { values, n_values }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        ROOMS.with_borrow_mut(|rooms| rooms.push(values));
    }
}

impl Deref for Room {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.n_values]
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.n_values]
    }
}

/// A matrix that [`rows`] makes: how wide it is and how it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Values in a row.
    pub width: usize,
    /// What they are rounded to when they are stored.
    pub stored: Precision,
}

impl Output {
    /// `width` values in a row, stored in `precision`.
    pub fn new(width: usize, stored: Precision) -> Self {
        Self { width, stored }
    }

    /// `width` values in a row, stored as f32.
    pub fn f32(width: usize) -> Self {
        Self {
            width,
            stored: Precision::F32,
        }
    }
}

/// Makes `N` matrices of `n_rows` rows in tasks of [`ROWS_PER_TASK`] rows each: `work` gets the
/// numbers of its rows and those rows of each matrix as f32, to be set: what they hold before is
/// not said. Beside the matrices come the results of the tasks, in the order of the rows.
///
/// # Errors
/// A device without kernels.
pub fn rows<const N: usize, T: Send>(
    device: &Device,
    n_rows: usize,
    outputs: [Output; N],
    work: impl Fn(Range<usize>, [&mut [f32]; N]) -> T + Sync,
) -> Result<([Tensor; N], Vec<T>)> {
    let tasks: Vec<Range<usize>> = (0..n_rows)
        .step_by(ROWS_PER_TASK)
        .map(|first| first..(first + ROWS_PER_TASK).min(n_rows))
        .collect();
    row_ranges(device, &tasks, outputs, |task, parts| {
        work(tasks[task].clone(), parts)
    })
}

/// As [`rows`], with tasks of any size: `tasks` are their rows, which follow each other from row 0
/// on. `work` gets the number of its task.
///
/// # Errors
/// As [`rows`].
///
/// # Panics
/// If the tasks do not follow each other: a bug of ours.
pub fn row_ranges<const N: usize, T: Send>(
    device: &Device,
    tasks: &[Range<usize>],
    outputs: [Output; N],
    work: impl Fn(usize, [&mut [f32]; N]) -> T + Sync,
) -> Result<([Tensor; N], Vec<T>)> {
    let mut n_rows = 0;
    for rows in tasks {
        assert!(rows.start == n_rows && rows.end >= n_rows);
        n_rows = rows.end;
    }
    let mut matrices =
        outputs.map(|output| Matrix::with_room(n_rows * output.width, output.stored));
    let starts = matrices.each_mut().map(Matrix::start);
    let results = tasks
        .par_iter()
        .enumerate()
        .map(|(task, rows)| {
            // What is stored in bf16 is made beside its place.
            let mut rooms = outputs.map(|output| match output.stored {
                Precision::F32 => None,
                Precision::Bf16 => Some(Room::of(rows.len() * output.width)),
            });
            let mut rooms_left = rooms.iter_mut();
            let parts = std::array::from_fn(|i| {
                let n_values = rows.len() * outputs[i].width;
                let room = rooms_left.next().and_then(Option::as_mut);
                match starts[i] {
                    Start::Bf16(_) => room.map_or(&mut [][..], |room| room),
                    Start::F32(start) => {
                        let start = start.wrapping_add(rows.start * outputs[i].width);
                        // SAFETY: these rows lie inside the room and belong to this task alone.
                        unsafe { as_it_is(start, n_values) }
                    }
                }
            });
            let result = work(task, parts);
            for ((start, room), output) in starts.iter().zip(rooms).zip(outputs) {
                if let (Start::Bf16(start), Some(room)) = (start, room) {
                    let start = start.wrapping_add(rows.start * output.width).cast();
                    let n_values = rows.len() * output.width;
                    // SAFETY: as above.
                    let stored = unsafe { std::slice::from_raw_parts_mut(start, n_values) };
                    narrow_into(&room, stored);
                }
            }
            result
        })
        .collect();
    let mut tensors = Vec::with_capacity(N);
    for (matrix, output) in matrices.into_iter().zip(outputs) {
        // SAFETY: every row was set above.
        let storage = unsafe { matrix.filled(n_rows * output.width) };
        tensors.push(from_storage(storage, &[n_rows, output.width], device)?);
    }
    let tensors = tensors
        .try_into()
        .map_err(|_| Error::internal("another number of matrices"))?;
    Ok((tensors, results))
}

/// A tensor with this storage.
///
/// # Errors
/// A device without kernels.
pub(super) fn from_storage(
    storage: CpuStorage,
    shape: &[usize],
    device: &Device,
) -> Result<Tensor> {
    match device {
        Device::Cpu => Ok(Tensor::from_storage(
            Storage::Cpu(storage),
            shape,
            BackpropOp::none(),
            false,
        )),
        device => Err(raw::no_kernels(device)),
    }
}

/// A matrix that is being made.
enum Matrix {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl Matrix {
    fn with_room(n_values: usize, stored: Precision) -> Self {
        match stored {
            Precision::F32 => Self::F32(Vec::with_capacity(n_values)),
            Precision::Bf16 => Self::Bf16(Vec::with_capacity(n_values)),
        }
    }

    fn start(&mut self) -> Start {
        match self {
            Self::F32(values) => Start::F32(values.as_mut_ptr()),
            Self::Bf16(values) => Start::Bf16(values.as_mut_ptr()),
        }
    }

    /// The storage of `n_values` values.
    ///
    /// # Safety
    /// All of them must have been set.
    unsafe fn filled(self, n_values: usize) -> CpuStorage {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::F32(mut values) => {
                    values.set_len(n_values);
                    CpuStorage::F32(values)
                }
                Self::Bf16(mut values) => {
                    values.set_len(n_values);
                    CpuStorage::BF16(values)
                }
            }
        }
    }
}

/// Memory that nothing was written to yet, as `n_values` numbers, whatever bits are there: setting
/// all of them to 0 first took 2 % of a step in f32.
///
/// # Safety
/// The memory must be there, and for the caller alone.
unsafe fn as_it_is<'a>(start: *mut f32, n_values: usize) -> &'a mut [f32] {
    // SAFETY: the assembly does nothing. The compiler does not look into it and has to take it
    // for one that sets the values, so none of them counts as never set; any bits are a number.
    unsafe {
        asm!("/* {} */", in(reg) start, options(nostack, preserves_flags));
        std::slice::from_raw_parts_mut(start, n_values)
    }
}

/// Where a matrix that several tasks fill begins.
#[derive(Clone, Copy)]
enum Start {
    F32(*mut f32),
    Bf16(*mut bf16),
}

// SAFETY: each task writes rows of its own.
unsafe impl Send for Start {}
// SAFETY: as above.
unsafe impl Sync for Start {}

vectorized! {
    /// bf16 to f32, which loses nothing.
    pub(super) fn widen(from: &[bf16], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }

    /// f32 to the nearest bf16, halves to the even one; what is not a number stays so.
    fn narrow_into(from: &[f32], to: &mut [MaybeUninit<bf16>]) {
        for (to, from) in to.iter_mut().zip(from) {
            let bits = from.to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
            let quiet_nan = bits >> 16 | 0x40;
            to.write(bf16::from_bits(if from.is_nan() { quiet_nan } else { rounded } as u16));
        }
    }
}

/// [`narrow_into`] where values are.
pub(super) fn narrow(from: &[f32], to: &mut [bf16]) {
    // SAFETY: only numbers are written.
    narrow_into(from, unsafe {
        &mut *(std::ptr::from_mut(to) as *mut [MaybeUninit<bf16>])
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_bf16_is_that_of_the_half_crate() {
        let mut state = 1_u32;
        let mut values = vec![
            0.0,
            -0.0,
            1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            1e-40,
        ];
        for _ in 0..10_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push(f32::from_bits(state));
            // Exactly between two.
            values.push(f32::from_bits(state & 0xffff_0000 | 0x8000));
        }
        let mut stored = vec![bf16::ZERO; values.len()];
        narrow(&values, &mut stored);
        let mut widened = vec![0.0; values.len()];
        widen(&stored, &mut widened);
        for ((x, stored), widened) in values.iter().zip(&stored).zip(&widened) {
            if x.is_nan() {
                assert!(stored.is_nan() && widened.is_nan());
            } else {
                assert_eq!(stored.to_bits(), bf16::from_f32(*x).to_bits(), "{x:e}");
                assert_eq!(widened.to_bits(), stored.to_f32().to_bits(), "{x:e}");
            }
        }
    }
}
