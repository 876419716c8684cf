//! bf16 products on AMX, whose registers are tiles of 16 rows of 64 bytes: the processor
//! multiplies a tile of 16 x 32 values of `a` by one of 32 x 16 values of `b` and adds the
//! result to 16 x 16 f32 sums.
//!
//! Both factors are first copied into tiles in the order of their use: see [`super::panels`].

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

use super::panels::{DEPTH, Line, PANEL, Source, TILE};
use super::{Element, Factor, MatrixMut, Shared, Start};

/// Panels of rows that one task goes through with the same panel of columns, which stays in the
/// first cache meanwhile; the rows' panels fit the second.
const PANELS_PER_TASK: usize = 4;
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

/// `destination = start + a b` on all threads, the factors rounded to bf16. Every element of
/// the matrices must be there, and the processor must have AMX.
///
/// The panels of `b` are made first, by all threads. Then each task makes its panels of `a`,
/// which nobody else needs and which so never leave its core, and multiplies them with every
/// panel of `b`.
pub fn multiply<T: Element>(
    destination: &MatrixMut<'_, T>,
    a: &Factor<'_>,
    b: &Factor<'_>,
    start: Start<'_>,
) {
    let ((n_rows, depth), (_, n_columns)) = (a.shape(), b.shape());
    let n_steps = depth.div_ceil(DEPTH);
    let panel_lines = n_steps * 2 * TILE;
    let [a_panels, b_panels] = [n_rows, n_columns].map(|n| n.div_ceil(PANEL));
    let b_lines = pack(b_panels, panel_lines, |panel, lines| match b {
        Factor::F32(b) => Source::columns_of(b, panel).fill(lines),
        Factor::Bf16(b) => Source::columns_of(b, panel).fill(lines),
    });

    let shared = Shared(destination);
    for_each_task([a_panels, b_panels], |row_panels, column_panels| {
        let first = row_panels.start;
        let mut a_lines = Vec::with_capacity(row_panels.len() * panel_lines);
        for (i, lines) in row_panels.clone().zip(
            a_lines.spare_capacity_mut()[..row_panels.len() * panel_lines]
                .chunks_exact_mut(panel_lines.max(1)),
        ) {
            match a {
                Factor::F32(a) => Source::rows_of(a, i).fill(lines),
                Factor::Bf16(a) => Source::rows_of(a, i).fill(lines),
            }
        }
        // SAFETY: every panel was filled to its end.
        unsafe { a_lines.set_len(row_panels.len() * panel_lines) };
        let tiles = Tiles::configure();
        let blocks = column_panels.flat_map(|column_panel| {
            row_panels
                .clone()
                .map(move |row_panel| (row_panel, column_panel))
        });
        let mut blocks = blocks.peekable();
        while let Some((row_panel, column_panel)) = blocks.next() {
            let block = Block {
                destination: shared.matrix(),
                row: row_panel * PANEL,
                column: column_panel * PANEL,
                n_steps,
                a: a_lines[(row_panel - first) * panel_lines..].as_ptr(),
                b: b_lines[column_panel * panel_lines..].as_ptr(),
                next: blocks
                    .peek()
                    .map(|(row, column)| [row * PANEL, column * PANEL]),
            };
            block.compute(&tiles, start);
        }
    });
}

/// Cuts the panels of rows and columns of a product into tasks of [`PANELS_PER_TASK`] panels of rows
/// and all panels of columns, or fewer where that would leave threads without work. How it is
/// cut changes no sum.
fn for_each_task(
    [row_panels, column_panels]: [usize; 2],
    work: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    /// Tasks that keep the threads evenly busy.
    const TASKS_PER_THREAD: usize = 2;
    /// Panels of columns that are worth preparing the rows once more for.
    const FEWEST_COLUMN_PANELS: usize = 6;
    let groups = row_panels.div_ceil(PANELS_PER_TASK);
    let splits = (TASKS_PER_THREAD * rayon::current_num_threads())
        .div_ceil(groups.max(1))
        .clamp(1, column_panels.div_ceil(FEWEST_COLUMN_PANELS).max(1));
    (0..groups * splits).into_par_iter().for_each(|task| {
        let (group, split) = (task / splits, task % splits);
        let first = group * PANELS_PER_TASK;
        work(
            first..(first + PANELS_PER_TASK).min(row_panels),
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

/// The tile registers while they are in use: four of sums, two of `a`, two of `b`.
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
struct Block<'a, T> {
    destination: &'a MatrixMut<'a, T>,
    row: usize,
    column: usize,
    n_steps: usize,
    a: *const Line,
    b: *const Line,
    /// The first row and column of the block that this task makes next.
    next: Option<[usize; 2]>,
}

/// 32 x 32 sums beside a destination.
#[repr(C, align(64))]
struct Sums([f32; PANEL * PANEL]);

impl<T: Element> Block<'_, T> {
    fn compute(&self, tiles: &Tiles, start: Start<'_>) {
        let n_rows = (self.destination.rows - self.row).min(PANEL);
        let n_columns = (self.destination.columns - self.column).min(PANEL);
        let is_whole = n_rows == PANEL && n_columns == PANEL;
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
            // SAFETY: all 32 x 32 elements are there, and no other task has them.
            unsafe { self.accumulate(tiles, first, to, stride) };
            return;
        }
        // Elsewhere the sums are made beside the destination.
        let mut sums = MaybeUninit::<Sums>::uninit();
        let place = sums.as_mut_ptr().cast::<f32>();
        if is_whole {
            let first = match start {
                Start::Row(row) => First::Rows(row[self.column..].as_ptr(), 0),
                Start::Zeros | Start::Destination => First::Zeros,
            };
            // SAFETY: there is room for 32 x 32 sums, all of which are set. The destination is
            // bf16 here, its elements are there and no other task has them; the processor has
            // what the function is compiled for.
            unsafe {
                self.accumulate(tiles, first, place, PANEL);
                store_bf16(sums.assume_init_ref(), to.cast(), stride);
            }
            return;
        }
        let sums = &mut sums.write(Sums([0.0; PANEL * PANEL])).0;
        for (i, sums) in sums.chunks_exact_mut(PANEL).take(n_rows).enumerate() {
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
        // SAFETY: the sums are 32 x 32.
        unsafe { self.accumulate(tiles, First::Rows(place, PANEL), place, PANEL) };
        for (i, sums) in sums.chunks_exact(PANEL).take(n_rows).enumerate() {
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
            for line in (0..PANEL * size_of::<T>()).step_by(size_of::<Line>()) {
                // SAFETY: a prefetch reads nothing that the program could see.
                unsafe {
                    asm!("prefetchw [{}]", in(reg) at.wrapping_add(line), options(nostack));
                }
            }
        }
    }

    /// Writes `first` + a b, 32 x 32 values, to `to`, whose rows are `stride` apart.
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
                First::Rows(from, stride) => {
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
            }
            let (mut a, mut b) = (self.a, self.b);
            let mut rows = 0..PANEL;
            let mut steps = 0..self.n_steps;
            while !steps.is_empty() {
                let n = steps.len().min(STEPS_AT_ONCE);
                steps.start += n;
                multiply_tiles(n, &mut a, &mut b);
                let rows_at_once = PANEL.div_ceil(self.n_steps.div_ceil(STEPS_AT_ONCE));
                self.prefetch_next(rows.by_ref().take(rows_at_once));
            }
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
    /// How far ahead of the loads cache lines are asked for: two steps. Four did no better.
    const AHEAD: usize = 4 * TILE_BYTES;
    // SAFETY: the caller's: there are so many steps, and the tiles are configured. A prefetch
    // beyond the panels' end reads nothing.
    unsafe {
        asm!(
            "2:",
            "tileloadd tmm4, [{a} + {row}]",
            "tileloadd tmm5, [{b} + {row}]",
            "prefetcht0 [{a} + {ahead} + 0]",
            "prefetcht0 [{a} + {ahead} + 64]",
            "prefetcht0 [{a} + {ahead} + 128]",
            "prefetcht0 [{a} + {ahead} + 192]",
            "prefetcht0 [{a} + {ahead} + 256]",
            "prefetcht0 [{a} + {ahead} + 320]",
            "prefetcht0 [{a} + {ahead} + 384]",
            "prefetcht0 [{a} + {ahead} + 448]",
            "prefetcht0 [{b} + {ahead} + 0]",
            "prefetcht0 [{b} + {ahead} + 64]",
            "prefetcht0 [{b} + {ahead} + 128]",
            "prefetcht0 [{b} + {ahead} + 192]",
            "prefetcht0 [{b} + {ahead} + 256]",
            "prefetcht0 [{b} + {ahead} + 320]",
            "prefetcht0 [{b} + {ahead} + 384]",
            "prefetcht0 [{b} + {ahead} + 448]",
            "tdpbf16ps tmm0, tmm4, tmm5",
            "tileloadd tmm5, [{b} + {row} + {tile}]",
            "prefetcht0 [{a} + {ahead} + 512]",
            "prefetcht0 [{a} + {ahead} + 576]",
            "prefetcht0 [{a} + {ahead} + 640]",
            "prefetcht0 [{a} + {ahead} + 704]",
            "prefetcht0 [{a} + {ahead} + 768]",
            "prefetcht0 [{a} + {ahead} + 832]",
            "prefetcht0 [{a} + {ahead} + 896]",
            "prefetcht0 [{a} + {ahead} + 960]",
            "prefetcht0 [{b} + {ahead} + 512]",
            "prefetcht0 [{b} + {ahead} + 576]",
            "prefetcht0 [{b} + {ahead} + 640]",
            "prefetcht0 [{b} + {ahead} + 704]",
            "prefetcht0 [{b} + {ahead} + 768]",
            "prefetcht0 [{b} + {ahead} + 832]",
            "prefetcht0 [{b} + {ahead} + 896]",
            "prefetcht0 [{b} + {ahead} + 960]",
            "tdpbf16ps tmm1, tmm4, tmm5",
            "tileloadd tmm4, [{a} + {row} + {tile}]",
            "prefetcht0 [{a} + {ahead} + 1024]",
            "prefetcht0 [{a} + {ahead} + 1088]",
            "prefetcht0 [{a} + {ahead} + 1152]",
            "prefetcht0 [{a} + {ahead} + 1216]",
            "prefetcht0 [{a} + {ahead} + 1280]",
            "prefetcht0 [{a} + {ahead} + 1344]",
            "prefetcht0 [{a} + {ahead} + 1408]",
            "prefetcht0 [{a} + {ahead} + 1472]",
            "prefetcht0 [{b} + {ahead} + 1024]",
            "prefetcht0 [{b} + {ahead} + 1088]",
            "prefetcht0 [{b} + {ahead} + 1152]",
            "prefetcht0 [{b} + {ahead} + 1216]",
            "prefetcht0 [{b} + {ahead} + 1280]",
            "prefetcht0 [{b} + {ahead} + 1344]",
            "prefetcht0 [{b} + {ahead} + 1408]",
            "prefetcht0 [{b} + {ahead} + 1472]",
            "tdpbf16ps tmm3, tmm4, tmm5",
            "tileloadd tmm5, [{b} + {row}]",
            "prefetcht0 [{a} + {ahead} + 1536]",
            "prefetcht0 [{a} + {ahead} + 1600]",
            "prefetcht0 [{a} + {ahead} + 1664]",
            "prefetcht0 [{a} + {ahead} + 1728]",
            "prefetcht0 [{a} + {ahead} + 1792]",
            "prefetcht0 [{a} + {ahead} + 1856]",
            "prefetcht0 [{a} + {ahead} + 1920]",
            "prefetcht0 [{a} + {ahead} + 1984]",
            "prefetcht0 [{b} + {ahead} + 1536]",
            "prefetcht0 [{b} + {ahead} + 1600]",
            "prefetcht0 [{b} + {ahead} + 1664]",
            "prefetcht0 [{b} + {ahead} + 1728]",
            "prefetcht0 [{b} + {ahead} + 1792]",
            "prefetcht0 [{b} + {ahead} + 1856]",
            "prefetcht0 [{b} + {ahead} + 1920]",
            "prefetcht0 [{b} + {ahead} + 1984]",
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
            ahead = const AHEAD,
            options(nostack, readonly),
        );
    }
}

/// Writes 32 x 32 sums to rows that are `stride` apart.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn store_bf16(sums: &Sums, to: *mut bf16, stride: usize) {
    for (i, row) in sums.0.chunks_exact(PANEL).enumerate() {
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
    /// Rows of 32 values, so many elements apart.
    Rows(*const f32, usize),
}
