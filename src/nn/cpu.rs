//! What the processor offers, found out once, and loops compiled for each kind of it.

use std::sync::OnceLock;

/// The widest vector instructions that the blocks are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Vectors {
    /// Those that every processor of the architecture has.
    Baseline,
    /// AVX2 and fused multiply-add, which every processor with the one has.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with its byte, word and doubleword instructions.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The widest that this processor has.
pub(crate) fn vectors() -> Vectors {
    static FOUND: OnceLock<Vectors> = OnceLock::new();
    *FOUND.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Vectors {
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("fma");
    if has_avx512 {
        Vectors::Avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Vectors::Avx2
    } else {
        Vectors::Baseline
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Vectors {
    Vectors::Baseline
}

/// Defines a function that is compiled once for each kind of [`Vectors`] and calls the widest.
///
/// The versions differ in speed alone: a multiply-add is fused where the source says `mul_add`, and
/// nowhere else, so they give the same bits. A processor without such an instruction, as those of
/// x86 before AVX2 are, computes each in many steps.
macro_rules! vectorized {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "each version below is a copy of it")]
            fn written_once($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    written_once($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    written_once($($argument),*)
                }
                match $crate::nn::cpu::vectors() {
                    // SAFETY: the processor has what this version is compiled for.
                    $crate::nn::cpu::Vectors::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    $crate::nn::cpu::Vectors::Avx2 => return unsafe { avx2($($argument),*) },
                    $crate::nn::cpu::Vectors::Baseline => {}
                }
            }
            written_once($($argument),*)
        }
    )*};
}

pub(crate) use vectorized;
