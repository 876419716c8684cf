//! Products of matrices, against sums in f64 of the factors as they are rounded.

use candle_core::{DType, Device, Tensor};
use enginora_rs::nn::{Precision, Start, raw};
use half::bf16;

use super::{normal, values};

/// Rows, inner dimension and columns: inside one tile, at the edges of tiles and panels, and
/// beyond; several tasks.
const SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [3, 5, 2],
    [16, 32, 16],
    [17, 33, 31],
    [32, 64, 32],
    [33, 31, 65],
    [70, 96, 48],
    [257, 40, 100],
    [300, 129, 224],
];

fn rounded(x: f32, precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(x),
        Precision::Bf16 => bf16::from_f32(x).to_f64(),
    }
}

/// start + a b and the sum of the magnitudes, element by element.
fn exact(
    [a, b]: [&Tensor; 2],
    precision: Precision,
    start: impl Fn(usize, usize) -> f64,
) -> Vec<(f64, f64)> {
    let ((m, k), n) = (a.dims2().unwrap(), b.dim(1).unwrap());
    let [a, b] = [a, b].map(|x| -> Vec<f64> {
        let x = values(&x.to_dtype(DType::F32).unwrap().contiguous().unwrap());
        x.iter().map(|x| rounded(*x, precision)).collect()
    });
    let mut products = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let first = start(i, j);
            let (mut sum, mut size) = (first, first.abs());
            for l in 0..k {
                let term = a[i * k + l] * b[l * n + j];
                sum += term;
                size += term.abs();
            }
            products.push((sum, size));
        }
    }
    products
}

fn assert_products(what: &str, got: &Tensor, exact: &[(f64, f64)], tolerance: f64) {
    let got = values(&got.to_dtype(DType::F32).unwrap());
    assert_eq!(got.len(), exact.len(), "{what}");
    for (i, (got, (sum, size))) in got.iter().zip(exact).enumerate() {
        let difference = (f64::from(*got) - sum).abs();
        assert!(
            difference <= tolerance * size,
            "{what}: value {i} is {got}, expected {sum}"
        );
    }
}

/// A matrix, and the same one as the transpose of another.
fn both_ways(name: u32, shape: [usize; 2]) -> [Tensor; 2] {
    let matrix = normal(name, &shape);
    let transposed = matrix.t().unwrap().contiguous().unwrap().t().unwrap();
    [matrix, transposed]
}

#[test]
fn products_are_the_sums_of_products_in_every_layout_and_precision() {
    for (i, [m, k, n]) in SHAPES.into_iter().enumerate() {
        let bias: Vec<f32> = (0..n).map(|j| j as f32 - 3.5).collect();
        for (a, a_name) in both_ways(i as u32, [m, k]).iter().zip(["a", "a^T"]) {
            for (b, b_name) in both_ways(100 + i as u32, [k, n]).iter().zip(["b", "b^T"]) {
                for precision in [Precision::F32, Precision::Bf16] {
                    let what = format!("{a_name} {b_name}, {m} x {k} x {n}, {precision:?}");
                    let plain = exact([a, b], precision, |_, _| 0.0);
                    let f32 = Precision::F32;
                    let got = raw::product(a, b, None, precision, f32).unwrap();
                    assert_products(&what, &got, &plain, 1e-6);

                    let with_bias = exact([a, b], precision, |_, j| f64::from(bias[j]));
                    let row = Tensor::from_slice(&bias, n, &Device::Cpu).unwrap();
                    let row = Some(&row);
                    let got = raw::product(a, b, row, precision, f32).unwrap();
                    assert_products(&format!("{what}, bias"), &got, &with_bias, 1e-6);
                    let compact = raw::product(a, b, row, precision, Precision::Bf16).unwrap();
                    assert_eq!(compact.dtype(), DType::BF16);
                    // Half of the last of 8 bits.
                    assert_products(&format!("{what}, stored"), &compact, &with_bias, 4e-3);
                    let expected = got.to_dtype(DType::BF16).unwrap();
                    assert_eq!(
                        values(&compact.to_dtype(DType::F32).unwrap()),
                        values(&expected.to_dtype(DType::F32).unwrap()),
                        "{what}: the stored product is the rounded one"
                    );

                    let sum = normal(200, &[m, n]);
                    let before = values(&sum);
                    let added = exact([a, b], precision, |i, j| f64::from(before[i * n + j]));
                    raw::product_into(&sum, a, b, Start::Destination, precision).unwrap();
                    assert_products(&format!("{what}, added"), &sum, &added, 1e-6);
                }
            }
        }
    }
}

#[test]
fn factors_of_bf16_are_taken_as_they_are() {
    for (i, [m, k, n]) in SHAPES.into_iter().enumerate() {
        let [a, b] = [[m, k], [k, n]].map(|shape| {
            let matrix = normal(i as u32, &shape);
            matrix.to_dtype(DType::BF16).unwrap()
        });
        let a_transposed = a.t().unwrap().contiguous().unwrap().t().unwrap();
        let b_transposed = b.t().unwrap().contiguous().unwrap().t().unwrap();
        for (a, b) in [(&a, &b), (&a_transposed, &b), (&a, &b_transposed)] {
            let expected = exact([a, b], Precision::Bf16, |_, _| 0.0);
            for precision in [Precision::F32, Precision::Bf16] {
                let got = raw::product(a, b, None, precision, Precision::F32).unwrap();
                assert_products(&format!("{m} x {k} x {n}"), &got, &expected, 1e-6);
            }
        }
    }
}

#[test]
fn a_product_into_some_columns_leaves_the_others_alone() {
    let (a, b) = (normal(1, &[40, 33]), normal(2, &[33, 20]));
    for precision in [Precision::F32, Precision::Bf16] {
        let whole = Tensor::ones((40, 70), DType::F32, &Device::Cpu).unwrap();
        let part = whole.narrow(1, 30, 20).unwrap();
        raw::product_into(&part, &a, &b, Start::Zeros, precision).unwrap();
        let expected = exact([&a, &b], precision, |_, _| 0.0);
        assert_products("part", &part.contiguous().unwrap(), &expected, 1e-6);
        for (i, value) in values(&whole).iter().enumerate() {
            if !(30..50).contains(&(i % 70)) {
                assert_eq!(value.to_bits(), 1.0_f32.to_bits(), "{precision:?}: {i}");
            }
        }
    }
}

#[test]
fn neither_the_number_of_threads_nor_the_other_rows_change_a_bit_of_a_bf16_product() {
    let (a, b) = (normal(1, &[300, 129]), normal(2, &[129, 224]));
    let product = |a: &Tensor, n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        let (bf16, f32) = (Precision::Bf16, Precision::F32);
        pool.build()
            .unwrap()
            .install(|| values(&raw::product(a, &b, None, bf16, f32).unwrap()))
    };
    let one = product(&a, 1);
    for n_threads in [2, 3, 16] {
        assert_eq!(product(&a, n_threads), one, "{n_threads} threads");
    }
    for row in [0, 31, 299] {
        let alone = a.narrow(0, row, 1).unwrap().contiguous().unwrap();
        assert_eq!(product(&alone, 2), one[row * 224..][..224], "row {row}");
    }
}
