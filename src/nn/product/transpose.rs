//! The transpose of 16 by 16 values of 32 bits, in registers.

use std::arch::x86_64::{
    __m512i, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Makes row i of the result column i of `rows`.
#[target_feature(enable = "avx512f")]
#[inline]
pub fn transpose_16x16(rows: &mut [__m512i; 16]) {
    // Pairs of 32 bits, then of 64, within each quarter of a register; then whole quarters.
    let mut pairs = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        let (a, b) = (rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i] = _mm512_unpacklo_epi32(a, b);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(a, b);
    }
    for i in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| pairs[4 * i + j]);
        rows[4 * i] = _mm512_unpacklo_epi64(a, c);
        rows[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        rows[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        rows[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for i in 0..4 {
        pairs[i] = _mm512_shuffle_i32x4::<0x88>(rows[i], rows[4 + i]);
        pairs[4 + i] = _mm512_shuffle_i32x4::<0xdd>(rows[i], rows[4 + i]);
        pairs[8 + i] = _mm512_shuffle_i32x4::<0x88>(rows[8 + i], rows[12 + i]);
        pairs[12 + i] = _mm512_shuffle_i32x4::<0xdd>(rows[8 + i], rows[12 + i]);
    }
    for i in 0..8 {
        rows[i] = _mm512_shuffle_i32x4::<0x88>(pairs[i], pairs[8 + i]);
        rows[8 + i] = _mm512_shuffle_i32x4::<0xdd>(pairs[i], pairs[8 + i]);
    }
}
