//! bf16 products on AMX, whose registers are tiles of 16 rows of 64 bytes: the processor
//! multiplies a tile of 16 x 32 values of `a` by one of 32 x 16 values of `b` and adds the
//! result to 16 x 16 f32 sums.
//!
//! Both factors are first copied into tiles in the order of their use: see [`super::panels`].
//!
//! Products of f32 are made of the same instruction. A value is split into three parts of bf16,
//! x = x1 + x2 + x3, each 2^8 times smaller than the one before it, and of the nine products of
//! parts the six largest are added up: what is left out is 2^-24 of the product, no more than f32
//! rounds away (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence
//! Datatype for Higher-Precision Computations"). A tile does the work of so many vectors that six
//! products of tiles take less time than one of f32, and sums of 16 at a time err less.

use std::any::TypeId;
use std::arch::asm;
use std::arch::x86_64::{
    __cpuid_count, __m512i, _mm512_cvtne2ps_pbh, _mm512_load_ps, _mm512_storeu_si512,
};
use std::mem::{MaybeUninit, transmute};
use std::ops::Range;
use std::sync::OnceLock;

use half::bf16;
use rayon::prelude::*;

use super::panels::{DEPTH, Line, Source, TILE, panel_columns, panel_rows};
use super::{Element, Factor, MatrixMut, Shared, Start};

/// Panels of rows that one task goes through with the same panel of columns, which stays in the
/// first cache meanwhile; the rows' panels fit the second.
const PANELS_PER_TASK: usize = 4;
/// The same where values are in [`PARTS_OF_F32`] parts: the columns' panel does not fit the first
/// cache then, so that more rows make more of it.
const PANELS_PER_SPLIT_TASK: usize = 16;
/// Steps along the inner dimension after which such a task begins again with the first panels:
/// sixteen panels of rows of so many steps are 0.8 MB.
const SPLIT_STEPS: usize = 16;
/// Steps between which cache lines of the next block are asked for.
const STEPS_AT_ONCE: usize = 4;
/// Bytes of a tile.
const TILE_BYTES: usize = 1024;

/// Whether the processor has tiles for bf16 and the kernel lets this process use them.
pub fn is_available() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| has_instructions() && ask_for_permission())
}

fn has_instructions() -> bool {
    /// Bits of CPUID's leaf 7, register edx.
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
        && __cpuid_count(7, 0).edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Linux saves the tiles only for processes that asked for them.
fn ask_for_permission() -> bool {
    /// The system call `arch_prctl`, its request `ARCH_REQ_XCOMP_PERM`, and the number of the
    /// tiles' state (Linux, Documentation/arch/x86/xstate.rst).
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let result: i64;
    // SAFETY: the call changes nothing but the permission, and the clobbers are the kernel's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Parts of bf16 that hold a value of f32.
pub const PARTS_OF_F32: usize = 3;

/// `destination = start + a b` on all threads, the factors rounded to so many parts of bf16: 1 or
/// [`PARTS_OF_F32`]. Every element of the matrices must be there, and the processor must have AMX.
///
/// The panels of `b` are made first, by all threads. Then each task makes its panels of `a`,
/// which nobody else needs and which so never leave its core, and multiplies them with every
/// panel of `b`.
pub fn multiply<T: Element, const PARTS: usize>(
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
            let tiles = Tiles::configure();
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
                    n_steps: steps.len(),
                    a: a_lines[(row_panel - row_panels.start) * a_panel..].as_ptr(),
                    b: b_lines[b_line..].as_ptr(),
                    next: blocks.peek().map(|(row, column)| {
                        [row * panel_rows(PARTS), column * panel_columns(PARTS)]
                    }),
                };
                let is_first = steps.start == 0;
                block.compute(&tiles, if is_first { start } else { Start::Destination });
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

/// The tile registers while they are in use: three or four of sums, one of `a`, one of `b`.
struct Tiles;

impl Tiles {
    fn configure() -> Self {
        /// What LDTILECFG reads: palette 1, and for each of eight tiles 64 bytes a row, 16 rows.
        const CONFIGURATION: [u8; 64] = {
            let mut bytes = [0; 64];
            bytes[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                bytes[16 + 2 * tile] = 64;
                bytes[48 + tile] = TILE as u8;
                tile += 1;
            }
            bytes
        };
        // SAFETY: whoever asks for tiles has found them to be available.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) CONFIGURATION.as_ptr(), options(nostack, readonly));
        }
        Self
    }
}

impl Drop for Tiles {
    /// Lets the kernel switch threads without saving the tiles.
    fn drop(&mut self) {
        // SAFETY: as above; nobody uses the tiles any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// A panel of rows times a panel of columns.
struct Block<'a, T, const PARTS: usize> {
    destination: &'a MatrixMut<'a, T>,
    row: usize,
    column: usize,
    n_steps: usize,
    a: *const Line,
    b: *const Line,
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

    fn compute(&self, tiles: &Tiles, start: Start<'_>) {
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
            unsafe { self.accumulate(tiles, first, to, stride) };
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
                self.accumulate(tiles, first, place, Self::COLUMNS);
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
                tiles,
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
    unsafe fn accumulate(&self, _: &Tiles, first: First, to: *mut f32, stride: usize) {
        let row_bytes = stride * size_of::<f32>();
        // SAFETY: the caller's for `first` and `to`; the panels hold `n_steps` times two tiles
        // each, and the tiles are configured.
        unsafe {
            match first {
                First::Zeros => asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nostack, nomem),
                ),
                First::Rows(from, stride) if PARTS == 1 => {
                    let lower = from.wrapping_add(TILE * stride);
                    asm!(
                        "tileloadd tmm0, [{upper} + {stride}]",
                        "tileloadd tmm1, [{upper} + {stride} + 64]",
                        "tileloadd tmm2, [{lower} + {stride}]",
                        "tileloadd tmm3, [{lower} + {stride} + 64]",
                        upper = in(reg) from,
                        lower = in(reg) lower,
                        stride = in(reg) stride * size_of::<f32>(),
                        options(nostack, readonly),
                    );
                }
                First::Rows(from, stride) => {
                    asm!(
                        "tileloadd tmm0, [{from} + {stride}]",
                        "tileloadd tmm1, [{from} + {stride} + 64]",
                        "tileloadd tmm2, [{from} + {stride} + 128]",
                        from = in(reg) from,
                        stride = in(reg) stride * size_of::<f32>(),
                        options(nostack, readonly),
                    );
                }
            }
            let (mut a, mut b) = (self.a, self.b);
            let mut rows = 0..Self::ROWS;
            let mut steps = 0..self.n_steps;
            while !steps.is_empty() {
                let n = steps.len().min(STEPS_AT_ONCE);
                steps.start += n;
                if PARTS == PARTS_OF_F32 {
                    multiply_split_tiles(n, &mut a, &mut b);
                } else {
                    multiply_tiles(n, &mut a, &mut b);
                }
                let rows_at_once = Self::ROWS.div_ceil(self.n_steps.div_ceil(STEPS_AT_ONCE));
                self.prefetch_next(rows.by_ref().take(rows_at_once));
            }
            if PARTS == 1 {
                asm!(
                    "tilestored [{upper} + {stride}], tmm0",
                    "tilestored [{upper} + {stride} + 64], tmm1",
                    "tilestored [{lower} + {stride}], tmm2",
                    "tilestored [{lower} + {stride} + 64], tmm3",
                    upper = in(reg) to,
                    lower = in(reg) to.wrapping_add(TILE * stride),
                    stride = in(reg) row_bytes,
                    options(nostack),
                );
                return;
            }
            asm!(
                "tilestored [{to} + {stride}], tmm0",
                "tilestored [{to} + {stride} + 64], tmm1",
                "tilestored [{to} + {stride} + 128], tmm2",
                to = in(reg) to,
                stride = in(reg) row_bytes,
                options(nostack),
            );
        }
    }
}

/// Adds `n` steps of the products of two tiles of `a` and two of `b` to tiles 0 to 3, and moves on
/// to what follows them.
///
/// A load writes its tile to a register of its own, and so does a product. The processor has
/// few beside the eight that the program names: on a shared Sapphire Rapids machine, in the state
/// in which bare products ran at half their speed (somebody else on the core, it seems), what was
/// reached went with 10 - the tiles in use, over the tiles written. So the loop makes do with six
/// and loads one tile twice, which doubled its speed there and cost nothing elsewhere.
unsafe fn multiply_tiles(n: usize, a: &mut *const Line, b: &mut *const Line) {
    // SAFETY: the caller's: there are so many steps, and the tiles are configured. A prefetch
    // beyond the panels' end reads nothing.
    unsafe {
        asm!(
            "2:",
            "tileloadd tmm4, [{a} + {row}]",
            "tileloadd tmm5, [{b} + {row}]",
            // What is two steps ahead; four did no better.
            ".irp line, 0, 1, 2, 3, 4, 5, 6, 7",
            "prefetcht0 [{a} + 4 * {tile} + 64 * \\line]",
            "prefetcht0 [{b} + 4 * {tile} + 64 * \\line]",
            ".endr",
            "tdpbf16ps tmm0, tmm4, tmm5",
            "tileloadd tmm5, [{b} + {row} + {tile}]",
            ".irp line, 8, 9, 10, 11, 12, 13, 14, 15",
            "prefetcht0 [{a} + 4 * {tile} + 64 * \\line]",
            "prefetcht0 [{b} + 4 * {tile} + 64 * \\line]",
            ".endr",
            "tdpbf16ps tmm1, tmm4, tmm5",
            "tileloadd tmm4, [{a} + {row} + {tile}]",
            ".irp line, 16, 17, 18, 19, 20, 21, 22, 23",
            "prefetcht0 [{a} + 4 * {tile} + 64 * \\line]",
            "prefetcht0 [{b} + 4 * {tile} + 64 * \\line]",
            ".endr",
            "tdpbf16ps tmm3, tmm4, tmm5",
            "tileloadd tmm5, [{b} + {row}]",
            ".irp line, 24, 25, 26, 27, 28, 29, 30, 31",
            "prefetcht0 [{a} + 4 * {tile} + 64 * \\line]",
            "prefetcht0 [{b} + 4 * {tile} + 64 * \\line]",
            ".endr",
            "tdpbf16ps tmm2, tmm4, tmm5",
            "add {a}, 2 * {tile}",
            "add {b}, 2 * {tile}",
            "dec {n}",
            "jnz 2b",
            a = inout(reg) *a,
            b = inout(reg) *b,
            n = inout(reg) n => _,
            row = in(reg) size_of::<Line>(),
            tile = const TILE_BYTES,
            options(nostack, readonly),
        );
    }
}

/// As [`multiply_tiles`] for panels whose values are in three parts: a step has three tiles of
/// `a` and nine of `b`, and six products of parts, each added to tiles 0 to 2. It makes do with five
/// registers, which was 15 % faster than two by two tiles; for values in one part, of which a
/// step has fewer products, that was 4 % slower.
unsafe fn multiply_split_tiles(n: usize, a: &mut *const Line, b: &mut *const Line) {
    // SAFETY: the caller's: there are so many steps, and the tiles are configured. A prefetch
    // beyond the panels' end reads nothing.
    unsafe {
        asm!(
            // The product of the tile of `a` that is there with part `part` of `b`, while eight
            // lines of the next step of `b` are asked for.
            ".macro product_with part, first",
            ".irp i, 0, 1, 2",
            "tileloadd tmm4, [{b} + {row} + 3 * {tile} * \\part + {tile} * \\i]",
            ".irp line, 0, 1, 2, 3, 4, 5, 6, 7",
            "prefetcht0 [{b} + 9 * {tile} + 64 * (24 * \\first + 8 * \\i + \\line)]",
            ".endr",
            "tdpbf16ps tmm\\i, tmm3, tmm4",
            ".endr",
            ".endm",
            ".macro load_a part",
            "tileloadd tmm3, [{a} + {row} + {tile} * \\part]",
            ".irp line, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "prefetcht0 [{a} + 3 * {tile} + {tile} * \\part + 64 * \\line]",
            ".endr",
            ".endm",
            "2:",
            "load_a 2",
            "product_with 0, 0",
            "load_a 1",
            "product_with 1, 1",
            "product_with 0, 2",
            "load_a 0",
            "product_with 2, 3",
            "product_with 1, 4",
            "product_with 0, 5",
            ".purgem product_with",
            ".purgem load_a",
            "add {a}, 3 * {tile}",
            "add {b}, 9 * {tile}",
            "dec {n}",
            "jnz 2b",
            a = inout(reg) *a,
            b = inout(reg) *b,
            n = inout(reg) n => _,
            row = in(reg) size_of::<Line>(),
            tile = const TILE_BYTES,
            options(nostack, readonly),
        );
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

/// What the sums of a block begin with.
#[derive(Clone, Copy)]
enum First {
    Zeros,
    /// Rows of the values of a block, so many elements apart.
    Rows(*const f32, usize),
}
