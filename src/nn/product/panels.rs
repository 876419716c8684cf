//! The order in which bf16 products read their factors.
//!
//! A panel is 32 rows of `a`, or 32 columns of `b`: for every 32 steps of the inner dimension two
//! tiles one below (beside) the other, rounded to bf16. Where the matrix ends inside a tile the
//! rest is 0. The rows of a tile of `a` hold 32 values each; those of a tile of `b` hold for each
//! of 16 columns a pair of values that follow each other along the inner dimension.

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_maskz_loadu_epi16, _mm512_castsi256_si512,
    _mm512_cvtne2ps_pbh, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_maskz_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_setzero_si512, _mm512_store_si512,
};
use std::marker::PhantomData;
use std::mem::{MaybeUninit, transmute};

use half::bf16;

use super::Matrix;
use super::transpose::transpose_16x16;

/// Rows of a tile, and values of f32 in one of them.
pub const TILE: usize = 16;
/// Steps along the inner dimension that one tile holds.
pub const DEPTH: usize = 32;
/// Rows (of `a`) or columns (of `b`) of a panel.
pub const PANEL: usize = 2 * TILE;
/// A row of a tile; tiles are loaded fastest from where cache lines begin.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line([u16; DEPTH]);

/// 32 rows of `a` or columns of `b` ("lines"), fewer at the end, as they lie in memory.
pub struct Source<'a, T> {
    values: *const T,
    n_lines: usize,
    depth: usize,
    /// Elements from one line to the next.
    line_stride: usize,
    /// Elements from one step of the inner dimension to the next.
    step: usize,
    kind: Kind,
    matrix: PhantomData<&'a [T]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A tile's row is one line.
    A,
    /// A tile's row has a pair of values for each line.
    B,
}

impl<'a, T: Rounded> Source<'a, T> {
    /// Panel number `panel` of the rows of `a`.
    pub fn rows_of(a: &Matrix<'a, T>, panel: usize) -> Self {
        Self {
            values: a.pointer(panel * PANEL, 0),
            n_lines: (a.rows - panel * PANEL).min(PANEL),
            depth: a.columns,
            line_stride: a.row_stride,
            step: a.column_stride,
            kind: Kind::A,
            matrix: PhantomData,
        }
    }

    /// Panel number `panel` of the columns of `b`.
    pub fn columns_of(b: &Matrix<'a, T>, panel: usize) -> Self {
        Self {
            values: b.pointer(0, panel * PANEL),
            n_lines: (b.columns - panel * PANEL).min(PANEL),
            depth: b.rows,
            line_stride: b.column_stride,
            step: b.row_stride,
            kind: Kind::B,
            matrix: PhantomData,
        }
    }

    /// Makes the panel's tiles, which fill `lines`.
    pub fn fill(&self, lines: &mut [MaybeUninit<Line>]) {
        assert!(lines.len() == self.depth.div_ceil(DEPTH) * 2 * TILE);
        assert!(self.step == 1 || self.line_stride == 1 || self.n_lines == 1);
        // SAFETY: whoever multiplies has found the processor to have what the function is
        // compiled for, and the panel lies inside its matrix.
        unsafe { self.pack(lines.as_mut_ptr().cast()) };
    }

    /// Writes the panel's tiles to `to`, which has room for them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pack(&self, to: *mut Line) {
        let mut to = to;
        for first_step in (0..self.depth).step_by(DEPTH) {
            let n_steps = (self.depth - first_step).min(DEPTH);
            for first_line in [0, TILE] {
                let n_lines = self.n_lines.saturating_sub(first_line).min(TILE);
                let at = first_line * self.line_stride + first_step * self.step;
                let from = self.values.wrapping_add(at);
                // SAFETY: the steps and lines are elements of the matrix.
                let (mut tile, kind) = unsafe {
                    if self.step == 1 {
                        let lines = lines_of_steps(from, self.line_stride, n_lines, n_steps);
                        (lines, Kind::A)
                    } else {
                        (pairs_of_steps(from, self.step, n_lines, n_steps), Kind::B)
                    }
                };
                if kind != self.kind {
                    transpose_16x16(&mut tile);
                }
                for line in tile {
                    // SAFETY: `to` stays inside the panel, whose lines are aligned.
                    unsafe { _mm512_store_si512(to.cast(), line) };
                    to = to.wrapping_add(1);
                }
            }
        }
    }
}

/// 16 lines of 32 steps each; the steps of a line are contiguous.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn lines_of_steps<T: Rounded>(
    from: *const T,
    line_stride: usize,
    n_lines: usize,
    n_steps: usize,
) -> [__m512i; TILE] {
    let lanes = [n_steps, n_steps.saturating_sub(TILE)].map(first_lanes);
    let mut tile = [_mm512_setzero_si512(); TILE];
    for (i, line) in tile.iter_mut().take(n_lines).enumerate() {
        let from = from.wrapping_add(i * line_stride);
        // SAFETY: masked lanes are not touched, all others are elements.
        *line = unsafe {
            // What the next tile below is made of.
            prefetch(from.wrapping_add(TILE * line_stride));
            prefetch(from.wrapping_add(TILE * line_stride + TILE));
            T::load([from, from.wrapping_add(TILE)], lanes)
        };
    }
    tile
}

/// 16 pairs of steps, each for 16 lines, which are contiguous.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn pairs_of_steps<T: Rounded>(
    from: *const T,
    step: usize,
    n_lines: usize,
    n_steps: usize,
) -> [__m512i; TILE] {
    /// Takes turns between the lower and the upper half of a register.
    const IN_TURN: [u16; DEPTH] = {
        let mut order = [0; DEPTH];
        let mut i = 0;
        while i < TILE {
            order[2 * i] = i as u16;
            order[2 * i + 1] = (TILE + i) as u16;
            i += 1;
        }
        order
    };
    let mask = first_lanes(n_lines);
    // SAFETY: the constant is as long as a register.
    let in_turn = unsafe { _mm512_loadu_si512(IN_TURN.as_ptr().cast()) };
    let mut tile = [_mm512_setzero_si512(); TILE];
    for (i, pairs) in tile.iter_mut().take(n_steps.div_ceil(2)).enumerate() {
        let first = from.wrapping_add(2 * i * step);
        let second_mask = if 2 * i + 1 < n_steps { mask } else { 0 };
        // SAFETY: masked lanes are not touched, all others are elements.
        *pairs = unsafe {
            // What the next tile along the steps is made of.
            prefetch(first.wrapping_add(DEPTH * step));
            prefetch(first.wrapping_add((DEPTH + 1) * step));
            let both = T::load([first, first.wrapping_add(step)], [mask, second_mask]);
            _mm512_permutexvar_epi16(in_turn, both)
        };
    }
    tile
}

/// Asks for a cache line that is soon to be read.
fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing that the program could see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// An element of a factor, which is rounded to bf16 as it is read.
pub trait Rounded: Copy {
    /// Twice 16 values, of which masked ones are not touched, in the two halves of a register.
    ///
    /// # Safety
    /// The values must be there, and the processor must have the vector instructions.
    unsafe fn load(from: [*const Self; 2], masks: [u16; 2]) -> __m512i;
}

impl Rounded for f32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    unsafe fn load([low, high]: [*const Self; 2], masks: [u16; 2]) -> __m512i {
        // SAFETY: the caller's; both types are 64 bytes without a meaning of their own.
        unsafe {
            transmute(_mm512_cvtne2ps_pbh(
                _mm512_maskz_loadu_ps(masks[1], high),
                _mm512_maskz_loadu_ps(masks[0], low),
            ))
        }
    }
}

impl Rounded for bf16 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    unsafe fn load([low, high]: [*const Self; 2], masks: [u16; 2]) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let low = _mm256_maskz_loadu_epi16(masks[0], low.cast());
            let high = _mm256_maskz_loadu_epi16(masks[1], high.cast());
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        }
    }
}

/// A mask of the first `n` lanes, at most all.
fn first_lanes(n: usize) -> u16 {
    if n == 0 {
        0
    } else {
        0xffff >> (TILE - n.min(TILE))
    }
}
