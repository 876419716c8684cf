//! The order in which bf16 products read their factors.
//!
//! A panel is some rows of `a`, or columns of `b`: for every 32 steps of the inner dimension as many
//! tiles, one below (beside) the other, as [`panel_rows`] ([`panel_columns`]) has sixteens, rounded
//! to bf16. Where the matrix ends inside a tile the rest is 0. The rows of a tile of `a` hold 32
//! values each; those of a tile of `b` hold for each of 16 columns a pair of values that follow
//! each other along the inner dimension.
//!
//! A value of f32 may be kept in several parts, each the bf16 nearest to what the parts before
//! it leave: three of them have all 24 significant bits. Then the tiles of the first part are
//! followed by those of the second, and so on.

use std::arch::x86_64::{
    __m256i, __m512, __m512bh, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_maskz_loadu_epi16,
    _mm512_castsi256_si512, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_cvtepu16_epi32,
    _mm512_cvtne2ps_pbh, _mm512_extracti64x4_epi64, _mm512_inserti64x4, _mm512_loadu_si512,
    _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_setzero_si512, _mm512_slli_epi32,
    _mm512_store_si512, _mm512_sub_ps,
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
/// Parts of bf16 that hold a value of f32.
pub const PARTS_OF_F32: usize = 3;

/// Rows of a panel of `a` whose values are in so many parts.
pub const fn panel_rows(parts: usize) -> usize {
    if parts == 1 { 2 * TILE } else { TILE }
}

/// Columns of a panel of `b` whose values are in so many parts.
pub const fn panel_columns(parts: usize) -> usize {
    if parts == 1 { 2 * TILE } else { 3 * TILE }
}

/// A row of a tile; tiles are loaded fastest from where cache lines begin.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line([u16; DEPTH]);

/// The rows of `a` or columns of `b` of a panel ("lines"), fewer at the end, as they lie in memory.
pub struct Source<'a, T, const PARTS: usize> {
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

impl<'a, T: Rounded, const PARTS: usize> Source<'a, T, PARTS> {
    const ROWS: usize = panel_rows(PARTS);
    const COLUMNS: usize = panel_columns(PARTS);

    /// Panel number `panel` of the rows of `a`.
    pub fn rows_of(a: &Matrix<'a, T>, panel: usize) -> Self {
        Self {
            values: a.pointer(panel * Self::ROWS, 0),
            n_lines: (a.rows - panel * Self::ROWS).min(Self::ROWS),
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
            values: b.pointer(0, panel * Self::COLUMNS),
            n_lines: (b.columns - panel * Self::COLUMNS).min(Self::COLUMNS),
            depth: b.rows,
            line_stride: b.column_stride,
            step: b.row_stride,
            kind: Kind::B,
            matrix: PhantomData,
        }
    }

    /// Rows or columns of a panel, and lines of its tiles for one step and part.
    fn panel_width(&self) -> usize {
        match self.kind {
            Kind::A => Self::ROWS,
            Kind::B => Self::COLUMNS,
        }
    }

    /// Makes the panel's tiles, which fill `lines`.
    pub fn fill(&self, lines: &mut [MaybeUninit<Line>]) {
        assert!(lines.len() == self.depth.div_ceil(DEPTH) * PARTS * self.panel_width());
        assert!(self.step == 1 || self.line_stride == 1 || self.n_lines == 1);
        // SAFETY: whoever multiplies has found the processor to have what the function is
        // compiled for, and the panel lies inside its matrix.
        unsafe { self.pack(lines.as_mut_ptr().cast()) };
    }

    /// Writes the panel's tiles to `to`, which has room for them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pack(&self, to: *mut Line) {
        for first_step in (0..self.depth).step_by(DEPTH) {
            let n_steps = (self.depth - first_step).min(DEPTH);
            let to = to.wrapping_add(first_step / DEPTH * PARTS * self.panel_width());
            for first_line in (0..self.panel_width()).step_by(TILE) {
                let n_lines = self.n_lines.saturating_sub(first_line).min(TILE);
                let at = first_line * self.line_stride + first_step * self.step;
                let from = self.values.wrapping_add(at);
                // SAFETY: the steps and lines are elements of the matrix.
                let (mut tiles, kind): (PackedTiles<PARTS>, _) = unsafe {
                    if self.step == 1 {
                        let lines = lines_of_steps(from, self.line_stride, n_lines, n_steps);
                        (lines, Kind::A)
                    } else {
                        (pairs_of_steps(from, self.step, n_lines, n_steps), Kind::B)
                    }
                };
                for (part, tile) in tiles.iter_mut().enumerate() {
                    if kind != self.kind {
                        transpose_16x16(tile);
                    }
                    let to = to.wrapping_add(part * self.panel_width() + first_line);
                    for (i, line) in tile.iter().enumerate() {
                        // SAFETY: the line is one of the panel's, which are aligned.
                        unsafe { _mm512_store_si512(to.wrapping_add(i).cast(), *line) };
                    }
                }
            }
        }
    }
}

/// A tile for each part of some values.
type PackedTiles<const PARTS: usize> = [[__m512i; TILE]; PARTS];

/// 16 lines of 32 steps each; the steps of a line are contiguous.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn lines_of_steps<T: Rounded, const PARTS: usize>(
    from: *const T,
    line_stride: usize,
    n_lines: usize,
    n_steps: usize,
) -> PackedTiles<PARTS> {
    let lanes = [n_steps, n_steps.saturating_sub(TILE)].map(first_lanes);
    let mut tiles = MaybeUninit::uninit();
    for i in 0..TILE {
        let from = from.wrapping_add(i * line_stride);
        let lanes = if i < n_lines { lanes } else { [0; 2] };
        // SAFETY: masked lanes are not touched, all others are elements.
        let parts: [_; PARTS] = unsafe {
            // What the next tile below is made of.
            prefetch(from.wrapping_add(TILE * line_stride));
            prefetch(from.wrapping_add(TILE * line_stride + TILE));
            T::load([from, from.wrapping_add(TILE)], lanes)
        };
        set_row(&mut tiles, i, parts);
    }
    // SAFETY: every row was set.
    unsafe { tiles.assume_init() }
}

/// Sets row `i` of each part's tile. Clearing the tiles first took 5 % of a step in f32.
#[inline]
fn set_row<const PARTS: usize>(
    tiles: &mut MaybeUninit<PackedTiles<PARTS>>,
    i: usize,
    parts: [__m512i; PARTS],
) {
    let rows = tiles.as_mut_ptr().cast::<__m512i>();
    assert!(i < TILE);
    for (part, row) in parts.into_iter().enumerate() {
        // SAFETY: the tiles have so many parts of so many rows.
        unsafe { rows.add(part * TILE + i).write(row) };
    }
}

/// 16 pairs of steps, each for 16 lines, which are contiguous.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn pairs_of_steps<T: Rounded, const PARTS: usize>(
    from: *const T,
    step: usize,
    n_lines: usize,
    n_steps: usize,
) -> PackedTiles<PARTS> {
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
    let mut tiles = MaybeUninit::uninit();
    for i in 0..TILE {
        let first = from.wrapping_add(2 * i * step);
        let masks = [2 * i, 2 * i + 1].map(|at| if at < n_steps { mask } else { 0 });
        // SAFETY: masked lanes are not touched, all others are elements.
        let parts: [_; PARTS] = unsafe {
            // What the next tile along the steps is made of.
            prefetch(first.wrapping_add(DEPTH * step));
            prefetch(first.wrapping_add((DEPTH + 1) * step));
            T::load([first, first.wrapping_add(step)], masks)
        };
        let rows = parts.map(|both| _mm512_permutexvar_epi16(in_turn, both));
        set_row(&mut tiles, i, rows);
    }
    // SAFETY: every row was set.
    unsafe { tiles.assume_init() }
}

/// Asks for a cache line that is soon to be read.
fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing that the program could see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// An element of a factor, which is rounded to bf16 as it is read.
pub trait Rounded: Copy {
    /// Twice 16 values, of which masked ones are not touched, in the two halves of a register,
    /// and in others what rounding them left, again and again rounded.
    ///
    /// # Safety
    /// The values must be there, and the processor must have the vector instructions.
    unsafe fn load<const PARTS: usize>(from: [*const Self; 2], masks: [u16; 2])
    -> [__m512i; PARTS];
}

impl Rounded for f32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    unsafe fn load<const PARTS: usize>(
        [low, high]: [*const Self; 2],
        masks: [u16; 2],
    ) -> [__m512i; PARTS] {
        // SAFETY: the caller's.
        let mut low = unsafe { _mm512_maskz_loadu_ps(masks[0], low) };
        // SAFETY: the caller's.
        let mut high = unsafe { _mm512_maskz_loadu_ps(masks[1], high) };
        let mut parts = [_mm512_setzero_si512(); PARTS];
        for part in &mut parts {
            // SAFETY: both types are 64 bytes without a meaning of their own.
            *part = unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) };
            low = _mm512_sub_ps(low, widened(_mm512_castsi512_si256(*part)));
            high = _mm512_sub_ps(high, widened(_mm512_extracti64x4_epi64::<1>(*part)));
        }
        parts
    }
}

/// 16 values of bf16 as f32.
#[target_feature(enable = "avx512f")]
#[inline]
fn widened(values: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(values)))
}

impl Rounded for bf16 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    unsafe fn load<const PARTS: usize>(
        [low, high]: [*const Self; 2],
        masks: [u16; 2],
    ) -> [__m512i; PARTS] {
        // SAFETY: the caller's.
        let both = unsafe {
            let low = _mm256_maskz_loadu_epi16(masks[0], low.cast());
            let high = _mm256_maskz_loadu_epi16(masks[1], high.cast());
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        };
        // Rounding left nothing.
        let mut parts = [_mm512_setzero_si512(); PARTS];
        parts[0] = both;
        parts
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
