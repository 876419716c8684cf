//! Sums of blocks on AMX, whose registers are tiles of 16 rows of 64 bytes: the processor
//! multiplies a tile of 16 x 32 values of `a` by one of 32 x 16 values of `b` and adds the
//! result to 16 x 16 f32 sums.
//!
//! Products of f32 are made of the same instruction. A value is split into three parts of bf16,
//! x = x1 + x2 + x3, each 2^8 times smaller than the one before it, and of the nine products of
//! parts the six largest are added up: what is left out is 2^-24 of the product, no more than f32
//! rounds away (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence
//! Datatype for Higher-Precision Computations"). A tile does the work of so many vectors that six
//! products of tiles take less time than one of f32, and sums of 16 at a time err less.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::avx512_bf16;
use super::blocks::{First, Kernel, Panels};
use super::panels::{Line, PARTS_OF_F32, TILE, panel_rows};

/// Steps between which cache lines of the next block are asked for.
const STEPS_AT_ONCE: usize = 4;
/// Bytes of a tile.
const TILE_BYTES: usize = 1024;

/// Whether the processor has tiles for bf16 and Linux lets this process use them.
pub fn is_available() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| cfg!(target_os = "linux") && has_instructions() && ask_for_permission())
}

fn has_instructions() -> bool {
    /// Bits of CPUID's leaf 7, register edx.
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    // SAFETY: every x86-64 processor has the instruction.
    #[allow(unused_unsafe, reason = "it is safe to call in newer Rust alone")]
    let leaf_7 = unsafe { __cpuid_count(7, 0) };
    avx512_bf16::is_available() && leaf_7.edx & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
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

/// The tile registers of this thread while they are in use: three or four of sums, one of `a`, one
/// of `b`.
pub struct Tiles(PhantomData<*const ()>);

impl Tiles {
    unsafe fn configure() -> Self {
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
        // SAFETY: the caller has found tiles to be available.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) CONFIGURATION.as_ptr(), options(nostack, readonly));
        }
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    /// Lets the kernel switch threads without saving the tiles.
    fn drop(&mut self) {
        // SAFETY: whoever made this had tiles; nobody uses them any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

impl Kernel<1> for Tiles {
    unsafe fn begin() -> Self {
        // SAFETY: the caller's.
        unsafe { Self::configure() }
    }

    unsafe fn accumulate(
        &self,
        mut panels: Panels,
        first: First,
        to: *mut f32,
        stride: usize,
        prefetch_rows: impl FnMut(usize),
    ) {
        // SAFETY: the caller's for `first`, `to` and the panels; the tiles are configured.
        unsafe {
            match first {
                First::Zeros => asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nostack, nomem),
                ),
                First::Rows(from, stride) => asm!(
                    "tileloadd tmm0, [{upper} + {stride}]",
                    "tileloadd tmm1, [{upper} + {stride} + 64]",
                    "tileloadd tmm2, [{lower} + {stride}]",
                    "tileloadd tmm3, [{lower} + {stride} + 64]",
                    upper = in(reg) from,
                    lower = in(reg) from.wrapping_add(TILE * stride),
                    stride = in(reg) stride * size_of::<f32>(),
                    options(nostack, readonly),
                ),
            }
            let multiply = |n| multiply_tiles(n, &mut panels.a, &mut panels.b);
            in_turns(panels.n_steps, panel_rows(1), multiply, prefetch_rows);
            asm!(
                "tilestored [{upper} + {stride}], tmm0",
                "tilestored [{upper} + {stride} + 64], tmm1",
                "tilestored [{lower} + {stride}], tmm2",
                "tilestored [{lower} + {stride} + 64], tmm3",
                upper = in(reg) to,
                lower = in(reg) to.wrapping_add(TILE * stride),
                stride = in(reg) stride * size_of::<f32>(),
                options(nostack),
            );
        }
    }
}

impl Kernel<PARTS_OF_F32> for Tiles {
    unsafe fn begin() -> Self {
        // SAFETY: the caller's.
        unsafe { Self::configure() }
    }

    unsafe fn accumulate(
        &self,
        mut panels: Panels,
        first: First,
        to: *mut f32,
        stride: usize,
        prefetch_rows: impl FnMut(usize),
    ) {
        // SAFETY: the caller's for `first`, `to` and the panels; the tiles are configured.
        unsafe {
            match first {
                First::Zeros => asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    options(nostack, nomem),
                ),
                First::Rows(from, stride) => asm!(
                    "tileloadd tmm0, [{from} + {stride}]",
                    "tileloadd tmm1, [{from} + {stride} + 64]",
                    "tileloadd tmm2, [{from} + {stride} + 128]",
                    from = in(reg) from,
                    stride = in(reg) stride * size_of::<f32>(),
                    options(nostack, readonly),
                ),
            }
            let multiply = |n| multiply_split_tiles(n, &mut panels.a, &mut panels.b);
            in_turns(
                panels.n_steps,
                panel_rows(PARTS_OF_F32),
                multiply,
                prefetch_rows,
            );
            asm!(
                "tilestored [{to} + {stride}], tmm0",
                "tilestored [{to} + {stride} + 64], tmm1",
                "tilestored [{to} + {stride} + 128], tmm2",
                to = in(reg) to,
                stride = in(reg) stride * size_of::<f32>(),
                options(nostack),
            );
        }
    }
}

/// Multiplies a few of `n_steps` steps at a time, and asks for some of the next block's `n_rows`
/// rows in between: all at once would keep the processor from loading anything else.
fn in_turns(
    n_steps: usize,
    n_rows: usize,
    mut multiply: impl FnMut(usize),
    mut prefetch_rows: impl FnMut(usize),
) {
    let rows_at_once = n_rows.div_ceil(n_steps.div_ceil(STEPS_AT_ONCE).max(1));
    for first in (0..n_steps).step_by(STEPS_AT_ONCE) {
        multiply((n_steps - first).min(STEPS_AT_ONCE));
        prefetch_rows(rows_at_once);
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
