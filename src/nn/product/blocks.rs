//! Products of bf16, or of f32 in parts of bf16, block by block: what is packed when, which task makes which block of sums, and
//! how sums get to the destination. A [`Kernel`] makes the sums of one block out of packed panels.

use std::any::TypeId;
use std::arch::asm;
use std::arch::x86_64::{__m512i, _mm512_cvtne2ps_pbh, _mm512_load_ps, _mm512_storeu_si512};
use std::mem::{MaybeUninit, transmute};
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::panels::{DEPTH, Line, PARTS_OF_F32, Source, TILE, panel_columns, panel_rows};
use super::{Element, Factor, MatrixMut, Shared, Start};

/// Panels of rows that one task goes through with the same panel of columns, which stays in the
/// first or second cache meanwhile; the rows' panels fit the second. Chosen on Sapphire Rapids.
const PANELS_PER_TASK: usize = 4;
/// The same where values are in [`PARTS_OF_F32`] parts: the columns' panel does not fit the first
/// cache then, so that more rows make more of it.
const PANELS_PER_SPLIT_TASK: usize = 16;
/// Steps along the inner dimension after which such a task begins again with the first panels:
/// sixteen panels of rows of so many steps are 0.8 MB.
const SPLIT_STEPS: usize = 16;

/// What makes the sums of one block: a panel of rows times a panel of columns.
pub trait Kernel<const PARTS: usize> {
    /// Prepares the calling thread's registers; dropping the kernel gives them back.
    ///
    /// # Safety
    /// The processor must have the kernel's instructions.
    unsafe fn begin() -> Self;

    /// Writes `first` + a b, the values of a block, to `to`, whose rows are `stride` apart. In
    /// between it has `prefetch_rows` fetch the places of so many further rows of the next block
    /// into the cache; what goes beyond its last row is nothing.
    ///
    /// # Safety
    /// `first` and `to` must have the values of a block, and the panels those of their steps; the
    /// processor must have the kernel's instructions.
    unsafe fn accumulate(
        &self,
        panels: Panels,
        first: First,
        to: *mut f32,
        stride: usize,
        prefetch_rows: impl FnMut(usize),
    );
}

/// A panel of rows and one of columns, packed.
#[derive(Clone, Copy)]
pub struct Panels {
    /// The tiles of `a`, step by step.
    pub a: *const Line,
    /// The tiles of `b`.
    pub b: *const Line,
    /// Steps along the inner dimension.
    pub n_steps: usize,
}

/// What the sums of a block begin with.
#[derive(Clone, Copy)]
pub enum First {
    /// 0.
    Zeros,
    /// Rows of the values of a block, so many elements apart.
    Rows(*const f32, usize),
}

/// `destination = start + a b` on all threads, the factors rounded to so many parts of bf16: 1 or
/// [`PARTS_OF_F32`].
///
/// The panels of `b` are made first, by all threads. Then each task makes its panels of `a`,
/// which nobody else needs and which so never leave its core, and multiplies them with every
/// panel of `b`.
///
/// # Safety
/// Every element of the matrices must be there, and the processor must have the kernel's
/// instructions and those of [`avx512_bf16`](super::avx512_bf16), which pack the factors.
///
/// # Panics
/// If neither the rows nor the columns of a factor are contiguous: a bug of ours.
pub unsafe fn multiply<K: Kernel<PARTS>, T: Element, const PARTS: usize>(
    destination: &MatrixMut<'_, T>,
    a: &Factor<'_>,
    b: &Factor<'_>,
    start: Start<'_>,
) {
    let ((n_rows, depth), (_, n_columns)) = (a.shape(), b.shape());
    let n_steps = depth.div_ceil(DEPTH);
    let panels = [
        n_rows.div_ceil(panel_rows(PARTS)),
        n_columns.div_ceil(panel_columns(PARTS)),
    ];
    // Lines of a panel for one step.
    let [a_step, b_step] = [PARTS * panel_rows(PARTS), PARTS * panel_columns(PARTS)];
    let b_panel = n_steps * b_step;
    let b_lines = pack(panels[1], b_panel, |panel, lines| match b {
        Factor::F32(b) => Source::<_, PARTS>::columns_of(b, panel).fill(lines),
        Factor::Bf16(b) => Source::<_, PARTS>::columns_of(b, panel).fill(lines),
    });

    // Sums that are not f32 cannot be put aside between one part of the steps and the next.
    let has_turns = PARTS == PARTS_OF_F32 && TypeId::of::<T>() == TypeId::of::<f32>();
    let steps_at_once = if has_turns {
        SPLIT_STEPS
    } else {
        n_steps.max(1)
    };
    let panels_per_task = if has_turns {
        PANELS_PER_SPLIT_TASK
    } else {
        PANELS_PER_TASK
    };

    let shared = Shared(destination);
    for_each_task(panels, panels_per_task, |row_panels, column_panels| {
        let mut a_lines = Vec::new();
        for first_step in (0..n_steps.max(1)).step_by(steps_at_once) {
            let steps = first_step..(first_step + steps_at_once).min(n_steps);
            let a_panel = steps.len() * a_step;
            fill_panels(&mut a_lines, row_panels.clone(), a_panel, |panel, lines| {
                let depth = steps.start * DEPTH..(steps.end * DEPTH).min(depth);
                match a {
                    Factor::F32(a) => {
                        Source::<_, PARTS>::rows_of(&a.t().rows(&depth).t(), panel).fill(lines);
                    }
                    Factor::Bf16(a) => {
                        Source::<_, PARTS>::rows_of(&a.t().rows(&depth).t(), panel).fill(lines);
                    }
                }
            });
            // SAFETY: the caller's.
            let kernel = unsafe { K::begin() };
            let blocks = column_panels.clone().flat_map(|column_panel| {
                row_panels
                    .clone()
                    .map(move |row_panel| (row_panel, column_panel))
            });
            let mut blocks = blocks.peekable();
            while let Some((row_panel, column_panel)) = blocks.next() {
                let b_line = column_panel * b_panel + steps.start * b_step;
                let block = Block::<_, PARTS> {
                    destination: shared.matrix(),
                    row: row_panel * panel_rows(PARTS),
                    column: column_panel * panel_columns(PARTS),
                    panels: Panels {
                        a: a_lines[(row_panel - row_panels.start) * a_panel..].as_ptr(),
                        b: b_lines[b_line..].as_ptr(),
                        n_steps: steps.len(),
                    },
                    next: blocks.peek().map(|(row, column)| {
                        [row * panel_rows(PARTS), column * panel_columns(PARTS)]
                    }),
                };
                let is_first = steps.start == 0;
                block.compute(&kernel, if is_first { start } else { Start::Destination });
            }
        }
    });
}

/// Cuts the panels of rows and columns of a product into tasks of so many panels of rows and all
/// panels of columns, or fewer where that would leave threads without work. How it is cut changes
/// no sum.
fn for_each_task(
    [row_panels, column_panels]: [usize; 2],
    panels_per_task: usize,
    work: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    /// Tasks that keep the threads evenly busy.
    const TASKS_PER_THREAD: usize = 2;
    /// Panels of columns that are worth preparing the rows once more for.
    const FEWEST_COLUMN_PANELS: usize = 6;
    let groups = row_panels.div_ceil(panels_per_task);
    let splits = (TASKS_PER_THREAD * rayon::current_num_threads())
        .div_ceil(groups.max(1))
        .clamp(1, column_panels.div_ceil(FEWEST_COLUMN_PANELS).max(1));
    (0..groups * splits).into_par_iter().for_each(|task| {
        let (group, split) = (task / splits, task % splits);
        let first = group * panels_per_task;
        work(
            first..(first + panels_per_task).min(row_panels),
            split * column_panels / splits..(split + 1) * column_panels / splits,
        );
    });
}

/// `n` panels of `panel_lines` lines each, made by all threads.
fn pack(
    n: usize,
    panel_lines: usize,
    fill: impl Fn(usize, &mut [MaybeUninit<Line>]) + Sync,
) -> Vec<Line> {
    let mut packed: Vec<Line> = Vec::with_capacity(n * panel_lines);
    packed.spare_capacity_mut()[..n * panel_lines]
        .par_chunks_mut(panel_lines.max(1))
        .enumerate()
        .with_min_len(2)
        .for_each(|(i, lines)| fill(i, lines));
    // SAFETY: every panel was filled to its end.
    unsafe { packed.set_len(n * panel_lines) };
    packed
}

/// Makes panels of `n_lines` lines each on the calling thread, in the room of `lines`.
fn fill_panels(
    lines: &mut Vec<Line>,
    panels: Range<usize>,
    n_lines: usize,
    fill: impl Fn(usize, &mut [MaybeUninit<Line>]),
) {
    lines.clear();
    lines.reserve(panels.len() * n_lines);
    let room = &mut lines.spare_capacity_mut()[..panels.len() * n_lines];
    for (panel, lines) in panels.clone().zip(room.chunks_exact_mut(n_lines.max(1))) {
        fill(panel, lines);
    }
    // SAFETY: every panel was filled to its end.
    unsafe { lines.set_len(panels.len() * n_lines) };
}

/// A panel of rows times a panel of columns.
struct Block<'a, T, const PARTS: usize> {
    destination: &'a MatrixMut<'a, T>,
    row: usize,
    column: usize,
    panels: Panels,
    /// The first row and column of the block that this task makes next.
    next: Option<[usize; 2]>,
}

/// The sums of a block beside a destination.
#[repr(C, align(64))]
struct Sums([f32; MOST_SUMS]);

/// Sums of a block of two by two tiles; one of one by three has fewer.
const MOST_SUMS: usize = 4 * TILE * TILE;

impl<T: Element, const PARTS: usize> Block<'_, T, PARTS> {
    const ROWS: usize = panel_rows(PARTS);
    const COLUMNS: usize = panel_columns(PARTS);

    fn compute(&self, kernel: &impl Kernel<PARTS>, start: Start<'_>) {
        let n_rows = (self.destination.rows - self.row).min(Self::ROWS);
        let n_columns = (self.destination.columns - self.column).min(Self::COLUMNS);
        let is_whole = n_rows == Self::ROWS && n_columns == Self::COLUMNS;
        let to = self.destination.pointer(self.row, self.column);
        let stride = self.destination.row_stride;
        let is_f32 = TypeId::of::<T>() == TypeId::of::<f32>();
        if is_whole && is_f32 {
            let to = to.cast::<f32>();
            let first = match start {
                Start::Zeros => First::Zeros,
                Start::Destination => First::Rows(to, stride),
                Start::Row(row) => First::Rows(row[self.column..].as_ptr(), 0),
            };
            // SAFETY: all elements of the block are there, and no other task has them.
            unsafe { self.accumulate(kernel, first, to, stride) };
            return;
        }
        // Elsewhere the sums are made beside the destination.
        let mut sums = MaybeUninit::<Sums>::uninit();
        let place = sums.as_mut_ptr().cast::<f32>();
        if is_whole && PARTS == 1 {
            let first = match start {
                Start::Row(row) => First::Rows(row[self.column..].as_ptr(), 0),
                Start::Zeros | Start::Destination => First::Zeros,
            };
            // SAFETY: there is room for all sums, which are set. The destination is
            // bf16 here, its elements are there and no other task has them; the processor has
            // what the function is compiled for.
            unsafe {
                self.accumulate(kernel, first, place, Self::COLUMNS);
                store_bf16(sums.assume_init_ref(), to.cast(), stride);
            }
            return;
        }
        let sums = &mut sums.write(Sums([0.0; MOST_SUMS])).0;
        for (i, sums) in sums
            .chunks_exact_mut(Self::COLUMNS)
            .take(n_rows)
            .enumerate()
        {
            for (j, sum) in sums.iter_mut().take(n_columns).enumerate() {
                *sum = match start {
                    Start::Zeros => 0.0,
                    // SAFETY: an element of the destination, which is f32 and which no other
                    // task has.
                    Start::Destination => unsafe { *to.cast::<f32>().wrapping_add(i * stride + j) },
                    Start::Row(row) => row[self.column + j],
                };
            }
        }
        let place = sums.as_mut_ptr();
        // SAFETY: the sums are as many as a block has.
        unsafe {
            self.accumulate(
                kernel,
                First::Rows(place, Self::COLUMNS),
                place,
                Self::COLUMNS,
            );
        }
        for (i, sums) in sums.chunks_exact(Self::COLUMNS).take(n_rows).enumerate() {
            let to = to.wrapping_add(i * stride);
            // SAFETY: elements of the destination, which no other task has; any bits are a
            // number of either type.
            let to = unsafe {
                to.write_bytes(0, n_columns);
                std::slice::from_raw_parts_mut(to, n_columns)
            };
            T::round(&sums[..n_columns], to);
        }
    }

    /// Asks for the cache lines of some of the rows that the next block will be written to: the
    /// processor does not guess them by itself, since they do not follow each other. All at
    /// once would keep it from loading anything else.
    fn prefetch_next(&self, rows: impl Iterator<Item = usize>) {
        let Some([row, column]) = self.next else {
            return;
        };
        for i in rows.take_while(|i| row + i < self.destination.rows) {
            let at = self.destination.pointer(row + i, column).cast::<u8>();
            for line in (0..Self::COLUMNS * size_of::<T>()).step_by(size_of::<Line>()) {
                // SAFETY: a prefetch reads nothing that the program could see.
                unsafe {
                    asm!("prefetchw [{}]", in(reg) at.wrapping_add(line), options(nostack));
                }
            }
        }
    }

    /// Writes `first` + a b, the values of a block, to `to`, whose rows are `stride` apart.
    unsafe fn accumulate(
        &self,
        kernel: &impl Kernel<PARTS>,
        first: First,
        to: *mut f32,
        stride: usize,
    ) {
        let mut rows = 0..Self::ROWS;
        let prefetch_rows = |n| self.prefetch_next(rows.by_ref().take(n));
        // SAFETY: the caller's for `first` and `to`; the panels were filled.
        unsafe { kernel.accumulate(self.panels, first, to, stride, prefetch_rows) };
    }
}

/// Writes 32 x 32 sums to rows that are `stride` apart.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn store_bf16(sums: &Sums, to: *mut bf16, stride: usize) {
    for (i, row) in sums.0.chunks_exact(2 * TILE).enumerate() {
        // SAFETY: the caller's; a row of the sums is two registers long and aligned. Both types
        // are 64 bytes without a meaning of their own.
        unsafe {
            let [low, high] = [0, TILE].map(|at| _mm512_load_ps(row[at..].as_ptr()));
            let both: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.wrapping_add(i * stride).cast(), both);
        }
    }
}
