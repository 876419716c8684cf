//! Dropout masks: how many, which, when. That the backward pass has the forward pass's mask is
//! tested with the other layers, against formulas with the mask written out.

use candle_core::{DType, Device, Tensor};
use enginora_rs::data::Sequences;
use enginora_rs::nn::{Dropout, DropoutKey, Saved, SelfAttention};

use super::{KEY, normal, values, with_parameters};

fn ones(n: usize) -> Tensor {
    Tensor::ones(n, DType::F32, &Device::Cpu).unwrap()
}

/// Which of `n` values are dropped at a place, the places counted from 0.
fn dropped(rate: f64, place: usize, key: DropoutKey, n: usize) -> Vec<bool> {
    let (_, places) = with_parameters(|vars| Ok([(); 3].map(|()| Dropout::new(vars, rate))));
    let y = places[place]
        .forward(&ones(n), &Saved::training(Some(key)))
        .unwrap();
    values(&y).iter().map(|y| *y == 0.0).collect()
}

/// That `count` of `n` draws with probability `p` is within four standard deviations.
fn assert_within_4_sigma(what: &str, count: usize, n: usize, p: f64) {
    let (n, count) = (n as f64, count as f64);
    let sigma = (n * p * (1.0 - p)).sqrt();
    assert!(
        (count - n * p).abs() <= 4.0 * sigma,
        "{what}: {count} of {n} at {p}"
    );
}

#[test]
fn as_many_values_are_dropped_as_the_rate_says_and_the_others_are_scaled_up() {
    // Not a multiple of four or of a task's share.
    let n = 200_003;
    for rate in [0.01, 0.1, 0.5, 0.9] {
        let (_, place) = with_parameters(|vars| Ok(Dropout::new(vars, rate)));
        let y = values(
            &place
                .forward(&ones(n), &Saved::training(Some(KEY)))
                .unwrap(),
        );
        let n_dropped = y.iter().filter(|y| **y == 0.0).count();
        assert_within_4_sigma("dropped", n_dropped, n, rate);
        let scale = (1.0 / (1.0 - rate)) as f32;
        assert!(
            y.iter()
                .all(|y| *y == 0.0 || y.to_bits() == scale.to_bits()),
            "rate {rate}"
        );
    }
}

#[test]
fn forward_and_backward_drop_the_same_values() {
    let (_, place) = with_parameters(|vars| Ok(Dropout::new(vars, 0.3)));
    let saved = Saved::training(Some(KEY));
    let forward = values(&place.forward(&ones(5000), &saved).unwrap());
    let backward = values(&place.backward(&ones(5000), &saved).unwrap());
    assert_eq!(forward, backward);
}

#[test]
fn each_seed_epoch_step_and_place_has_a_mask_of_its_own() {
    let n = 40_000;
    let rate = 0.3;
    let keys = [
        (0, KEY),
        (1, KEY),
        (2, KEY),
        (0, DropoutKey { seed: 8, ..KEY }),
        (
            0,
            DropoutKey {
                seed: KEY.seed + (1 << 32),
                ..KEY
            },
        ),
        (0, DropoutKey { epoch: 4, ..KEY }),
        (0, DropoutKey { step: 12, ..KEY }),
        // Epoch and step the other way round.
        (
            0,
            DropoutKey {
                epoch: 11,
                step: 3,
                ..KEY
            },
        ),
    ];
    let masks: Vec<Vec<bool>> = keys
        .iter()
        .map(|(place, key)| dropped(rate, *place, *key, n))
        .collect();
    for (i, a) in masks.iter().enumerate() {
        for (j, b) in masks.iter().enumerate().take(i) {
            let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
            assert_within_4_sigma(&format!("masks {j} and {i}"), both, n, rate * rate);
        }
        assert_eq!(*a, dropped(rate, keys[i].0, keys[i].1, n), "mask {i} again");
    }
}

#[test]
fn nothing_is_dropped_in_evaluation_or_without_a_key_or_at_rate_0() {
    let x = normal(1, &[50, 3]);
    for (rate, saved) in [
        (0.5, Saved::evaluation()),
        (0.5, Saved::training(None)),
        (0.0, Saved::training(Some(KEY))),
    ] {
        let (_, place) = with_parameters(|vars| Ok(Dropout::new(vars, rate)));
        assert_eq!(values(&place.forward(&x, &saved).unwrap()), values(&x));
        assert_eq!(values(&place.backward(&x, &saved).unwrap()), values(&x));
    }
}

#[test]
fn attention_drops_its_weights_at_the_rate_and_not_in_evaluation() {
    const LENGTH: usize = 64;
    const N_HEADS: usize = 3;
    let rate = 0.2;
    let (_, layer) = with_parameters(|vars| Ok(SelfAttention::new(vars, N_HEADS, rate)));
    let sequences = Sequences::of_lengths([LENGTH, LENGTH]);
    // Equal weights, and a value vector with a one at its token's place: the output is the
    // mask divided by the length.
    let width = N_HEADS * LENGTH;
    let mut qkv = vec![0.0_f32; 2 * LENGTH * 3 * width];
    for (token, row) in qkv.chunks_exact_mut(3 * width).enumerate() {
        for h in 0..N_HEADS {
            row[2 * width + h * LENGTH + token % LENGTH] = 1.0;
        }
    }
    let qkv = Tensor::from_vec(qkv, (2 * LENGTH, 3 * width), &Device::Cpu).unwrap();
    let output = |mut saved: Saved| values(&layer.forward(&qkv, &sequences, &mut saved).unwrap());

    let y = output(Saved::training(Some(KEY)));
    let n_dropped = y.iter().filter(|y| **y == 0.0).count();
    assert_within_4_sigma("dropped weights", n_dropped, y.len(), rate);
    // The two sequences, and the heads of one, have masks of their own.
    let (first, second) = y.split_at(y.len() / 2);
    assert_ne!(first, second);
    let head = |h: usize| -> Vec<f32> {
        let rows = first.chunks_exact(width);
        rows.flat_map(|row| row[h * LENGTH..(h + 1) * LENGTH].to_vec())
            .collect()
    };
    assert_ne!(head(0), head(1));
    assert_eq!(y, output(Saved::training(Some(KEY))));
    assert_ne!(
        y,
        output(Saved::training(Some(DropoutKey { step: 12, ..KEY })))
    );

    let even = 1.0 / LENGTH as f32;
    for saved in [Saved::evaluation(), Saved::training(None)] {
        assert!(output(saved).iter().all(|y| (y - even).abs() < 1e-7));
    }
}
