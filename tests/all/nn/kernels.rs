//! The layers on CUDA kernels against the CPU's blocks.
//!
//! The kernels' own sources run on the CPU, thread by thread (`tests/cuda/emulate.sh`), or on a GPU
//! (`tests/cuda/run-all.sh`); neither is there in an ordinary run, so these tests are ignored then.

use std::rc::Rc;

use candle_core::{DType, Tensor};
use enginora_rs::data::Sequences;
use enginora_rs::nn::{
    Activation, DisentangledAttention, DistanceRows, EmbeddingSum, Linear, PositionTerms,
    Precision, QueryKeyValue, RelativePositions, RelativeRows, ResidualLayerNorm, SelfAttention,
};
use enginora_rs::random::{Purpose, Stream};

use super::layers::{Case, all};
use super::{assert_close, ids, normal, values, with_parameters, with_parameters_in};
use crate::kernels::{Backend, emulated};

/// Of f32 sums in two orders, relative to the largest value.
const F32_TOLERANCE: f64 = 1e-5;
/// Of values that are rounded to 8 bits on the way.
const BF16_TOLERANCE: f64 = 2e-2;

/// The layers of the other tests, then larger ones in both precisions.
fn cases() -> Vec<(Case, f64)> {
    let small = all().into_iter();
    let mut cases: Vec<_> = small.map(|case| (case, F32_TOLERANCE)).collect();
    for (precision, tolerance) in [
        (Precision::F32, F32_TOLERANCE),
        (Precision::Bf16, BF16_TOLERANCE),
    ] {
        let mut add = |case| cases.push((case, tolerance));
        for (lengths, window, rate, head_width) in attentions() {
            add(attention(precision, &lengths, window, rate, head_width));
        }
        for activation in [
            None,
            Some(Activation::Gelu),
            Some(Activation::GeluTanh),
            Some(Activation::Relu),
            Some(Activation::Tanh),
        ] {
            // Rounding can put a value on the other side of ReLU's corner.
            if (precision, activation) != (Precision::Bf16, Some(Activation::Relu)) {
                add(linear(precision, activation));
            }
        }
        add(query_key_value(precision));
        for rate in [0.0, 0.3] {
            add(residual_layer_norm(precision, rate));
        }
    }
    cases.push((embedding_sum(), F32_TOLERANCE));
    for (lengths, rate, head_width) in [
        // A token that sees itself alone has gradients of 0 in theory.
        (vec![1, 2], 0.1, 32),
        (one_long_and_many_short(), 0.1, 16),
        (random_lengths(60, 4, 200), 0.0, 64),
        (vec![64, 65, 63, 1, 128], 0.2, 96),
        (vec![17, 16, 1, 40], 0.2, 160),
    ] {
        let case = disentangled_attention(&lengths, rate, head_width);
        cases.push((case, F32_TOLERANCE));
    }
    cases
}

fn random_lengths(first: u64, n: u64, most: u64) -> Vec<usize> {
    let stream = Stream::new(3, Purpose::Order, 0, 0);
    (first..first + n)
        .map(|i| 1 + stream.below(i, most) as usize)
        .collect()
}

fn one_long_and_many_short() -> Vec<usize> {
    [vec![512], random_lengths(100, 20, 5)].concat()
}

/// Lengths, window, rate of dropout, width of a head.
fn attentions() -> Vec<(Vec<usize>, Option<usize>, f64, usize)> {
    vec![
        (vec![1], None, 0.1, 32),
        (one_long_and_many_short(), None, 0.1, 32),
        (random_lengths(0, 6, 200), None, 0.1, 64),
        (random_lengths(20, 4, 150), None, 0.0, 96),
        (vec![64, 65, 63, 1, 128], None, 0.2, 16),
        (random_lengths(40, 4, 300), Some(10), 0.1, 64),
        (vec![200, 3, 70, 1], Some(64), 0.2, 128),
        (vec![40, 1, 33], None, 0.2, 192),
        (vec![50, 3, 16], Some(8), 0.1, 256),
    ]
}

/// bf16 or f32, as the layers before hand values on.
fn stored(tensor: &Tensor, precision: Precision) -> Tensor {
    match precision {
        Precision::F32 => tensor.clone(),
        Precision::Bf16 => tensor.to_dtype(DType::BF16).unwrap(),
    }
}

fn attention(
    precision: Precision,
    lengths: &[usize],
    window: Option<usize>,
    rate: f64,
    head_width: usize,
) -> Case {
    const N_HEADS: usize = 2;
    let (parameters, layer) = with_parameters_in(precision, |vars| {
        let layer = SelfAttention::new(vars, N_HEADS, rate).compact(vars);
        Ok(match window {
            None => layer,
            Some(window) => layer.within(window),
        })
    });
    let layer = Rc::new(layer);
    let again = layer.clone();
    let sequences = Sequences::of_lengths(lengths.iter().copied());
    let seen = sequences.clone();
    let qkv = normal(50, &[sequences.n_tokens(), 3 * N_HEADS * head_width]);
    Case {
        name: format!(
            "{precision:?} attention, lengths {lengths:?}, window {window:?}, dropout {rate}, width {head_width}"
        ),
        parameters,
        inputs: vec![stored(&qkv, precision)],
        forward: Box::new(move |x, saved| layer.forward(&x[0], &sequences, saved)),
        backward: Box::new(move |dy, saved, _| {
            let dy = stored(dy, precision);
            Ok(vec![again.backward(&dy, &seen, saved)?])
        }),
        formula: Box::new(|_, _| unreachable!()),
    }
}

/// Buckets as those of published models are: up to 8 of their own, the others shared.
fn disentangled_attention(lengths: &[usize], rate: f64, head_width: usize) -> Case {
    const N_HEADS: usize = 2;
    let width = N_HEADS * head_width;
    let terms = PositionTerms {
        content_to_position: true,
        position_to_content: true,
    };
    let scale = 1.0 / (3.0 * head_width as f64).sqrt();
    let (parameters, layer) = with_parameters(|vars| {
        Ok(DisentangledAttention::new(
            vars, N_HEADS, terms, scale, rate,
        ))
    });
    let layer = Rc::new(layer);
    let again = layer.clone();
    let sequences = Sequences::of_lengths(lengths.iter().copied());
    let seen = sequences.clone();
    let positions = RelativePositions {
        buckets: Some(16),
        max_distance: 256,
    };
    let longest = lengths.iter().copied().max().unwrap();
    let distances = DistanceRows::new(positions, longest);
    let of_backward = distances.clone();
    let n_rows = distances.used().len();
    Case {
        name: format!(
            "large disentangled attention, lengths {lengths:?}, dropout {rate}, width {head_width}"
        ),
        parameters,
        inputs: vec![
            normal(56, &[sequences.n_tokens(), 3 * width]),
            normal(57, &[n_rows, width]),
            normal(58, &[n_rows, width]),
        ],
        forward: Box::new(move |x, saved| {
            let relative = RelativeRows {
                keys: Some(x[1].clone()),
                queries: Some(x[2].clone()),
            };
            layer.forward(&x[0], &relative, &distances, &sequences, saved)
        }),
        backward: Box::new(move |dy, saved, _| {
            let (dqkv, rows) = again.backward(dy, &of_backward, &seen, saved)?;
            let rows = [rows.keys, rows.queries].into_iter().flatten();
            Ok(std::iter::once(dqkv).chain(rows).collect())
        }),
        formula: Box::new(|_, _| unreachable!()),
    }
}

fn linear(precision: Precision, activation: Option<Activation>) -> Case {
    let (parameters, layer) = with_parameters_in(precision, |vars| {
        Ok(Linear::new(vars, 48, 80, 1.0, activation)?.compact())
    });
    let layer = Rc::new(layer);
    let again = layer.clone();
    Case {
        name: format!("{precision:?} linear, {activation:?}"),
        parameters,
        inputs: vec![normal(51, &[600, 48])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| {
            let dy = stored(dy, precision);
            Ok(vec![again.backward(&dy, saved, grads)?])
        }),
        formula: Box::new(|_, _| unreachable!()),
    }
}

fn query_key_value(precision: Precision) -> Case {
    let names = ["query", "key", "value"];
    let (parameters, layer) = with_parameters_in(precision, |vars| {
        Ok(QueryKeyValue::new(vars, names, 32, 1.0)?.compact())
    });
    let layer = Rc::new(layer);
    let again = layer.clone();
    Case {
        name: format!("{precision:?} query, key, value"),
        parameters,
        inputs: vec![normal(52, &[300, 32])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| {
            let dx = normal(53, &[300, 32]).to_device(dy.device())?;
            again.backward_onto(&dx, &stored(dy, precision), saved, grads)?;
            Ok(vec![dx])
        }),
        formula: Box::new(|_, _| unreachable!()),
    }
}

fn residual_layer_norm(precision: Precision, rate: f64) -> Case {
    let shape = [530, 200];
    let (parameters, layer) = with_parameters_in(precision, |vars| {
        Ok(ResidualLayerNorm::new(vars, shape[1], 1e-6, rate)?.compact(vars))
    });
    let layer = Rc::new(layer);
    let again = layer.clone();
    Case {
        name: format!("{precision:?} residual layer norm, dropout {rate}"),
        parameters,
        inputs: vec![stored(&normal(54, &shape), precision), normal(55, &shape)],
        forward: Box::new(move |x, saved| layer.forward(&x[0], &x[1], saved)),
        backward: Box::new(move |dy, saved, grads| {
            let (dx, d_residual) = again.backward(dy, saved, grads)?;
            Ok(vec![dx, d_residual])
        }),
        formula: Box::new(|_, _| unreachable!()),
    }
}

/// More tokens than one block takes; frequent ids, rare ones, one that all tokens have.
fn embedding_sum() -> Case {
    const N_TOKENS: u64 = 500;
    let tables = [("word", 300), ("position", 40), ("type", 2)];
    let (parameters, layer) = with_parameters_in(Precision::F32, |vars| {
        EmbeddingSum::new(vars, &tables, 300, 1.0)
    });
    let layer = Rc::new(layer);
    let again = layer.clone();
    let stream = Stream::new(4, Purpose::Order, 0, 0);
    let draw = |i: u64| stream.below(i, 300) as u32;
    // The least of two draws: low ids come often.
    let word: Vec<u32> = (0..N_TOKENS)
        .map(|i| draw(2 * i).min(draw(2 * i + 1)))
        .collect();
    let position: Vec<u32> = (0..N_TOKENS as u32).map(|i| i % 37).collect();
    let ids = [ids(&word), ids(&position), ids(&[0; N_TOKENS as usize])];
    Case {
        name: "embedding sum of many tokens".into(),
        parameters,
        inputs: vec![],
        forward: Box::new(move |_, saved| layer.forward(&ids.each_ref(), saved)),
        backward: Box::new(move |dy, saved, grads| {
            again.backward(dy, saved, grads)?;
            Ok(vec![])
        }),
        formula: Box::new(|_, _| unreachable!()),
    }
}

/// The output and all gradients.
fn results(case: &Case) -> Vec<Vec<f32>> {
    // The shape of the output is that of a pass on the CPU.
    let dy = normal(20, case.output(&case.inputs).dims());
    let (y, gradients) = case.run(&dy);
    std::iter::once(&y).chain(&gradients).map(values).collect()
}

fn check_layers(backend: &Backend) {
    let with_kernels = backend.making(cases);
    for ((expected, tolerance), (case, _)) in cases().iter().zip(&with_kernels) {
        let names = [
            vec![format!("{}: output", case.name)],
            case.gradient_names(),
        ]
        .concat();
        let got = backend.run(|| results(case));
        for ((name, got), expected) in names.iter().zip(&got).zip(results(expected)) {
            if case.name == "dropout" {
                assert_eq!(*got, expected, "the masks are the same to the bit");
            }
            let expected: Vec<f64> = expected.iter().map(|x| f64::from(*x)).collect();
            assert_close(name, got, &expected, *tolerance);
        }
        for again in backend.repetitions() {
            let bits = |all: &[Vec<f32>]| -> Vec<Vec<u32>> {
                let bits = |values: &Vec<f32>| values.iter().map(|x| x.to_bits()).collect();
                all.iter().map(bits).collect()
            };
            let second = again.run(|| results(case));
            assert!(bits(&got) == bits(&second), "{}: other bytes", case.name);
        }
    }
}

#[test]
#[ignore = "needs the kernels compiled for the CPU: tests/cuda/emulate.sh"]
fn emulated_layers_are_those_of_the_cpu_in_every_order_of_threads() {
    check_layers(&emulated());
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs a GPU: tests/cuda/run-all.sh"]
fn gpu_layers_are_those_of_the_cpu_and_the_same_bytes_twice() {
    check_layers(&crate::kernels::gpu());
}
