//! Every layer, with inputs, and its formula written out in candle's differentiable operations.

use candle_core::{D, Result as CandleResult, Tensor};
use enginora_rs::data::Sequences;
use enginora_rs::error::Result;
use enginora_rs::nn::{
    Activation, Bias, CrossEntropy, DisentangledAttention, DistanceRows, Dropout, EmbeddingSum,
    Gate, Gradients, Initialization, LayerNorm, Linear, Parameters, PositionTerms, QueryKeyValue,
    RelativePositions, RelativeRows, ResidualLayerNorm, Rotary, Saved, SelfAttention, Vars,
    first_tokens, first_tokens_backward, mean_tokens, mean_tokens_backward,
};

use super::{KEY, ids, normal, values, with_parameters};

pub type Forward = dyn Fn(&[Tensor], &mut Saved) -> Result<Tensor>;
pub type Backward = dyn Fn(&Tensor, &mut Saved, &Gradients) -> Result<Vec<Tensor>>;
/// Inputs and parameters (in the order of the names), all f64 -> output.
pub type Formula = dyn Fn(&[Tensor], &[Tensor]) -> CandleResult<Tensor>;

/// One layer under test.
pub struct Case {
    pub name: String,
    pub parameters: Parameters,
    pub inputs: Vec<Tensor>,
    pub forward: Box<Forward>,
    pub backward: Box<Backward>,
    pub formula: Box<Formula>,
}

impl Case {
    /// The output, and the gradients of dy times it: those of the inputs, then those of the
    /// parameters.
    pub fn run(&self, dy: &Tensor) -> (Tensor, Vec<Tensor>) {
        let gradients = self.parameters.gradients().unwrap();
        let mut saved = Saved::training(Some(KEY));
        let y = (self.forward)(&self.inputs, &mut saved).unwrap();
        let mut d = (self.backward)(dy, &mut saved, &gradients).unwrap();
        assert!(saved.is_empty(), "{}: something is left over", self.name);
        d.extend_from_slice(gradients.values().unwrap());
        (y, d)
    }

    /// Names for the gradients that `run` returns.
    pub fn gradient_names(&self) -> Vec<String> {
        let inputs = (0..self.inputs.len()).map(|i| format!("input {i}"));
        let parameters = self.parameters.specs().iter().map(|spec| spec.name.clone());
        inputs
            .chain(parameters)
            .map(|name| format!("{}: {name}", self.name))
            .collect()
    }

    pub fn output(&self, inputs: &[Tensor]) -> Tensor {
        (self.forward)(inputs, &mut Saved::training(Some(KEY))).unwrap()
    }
}

pub fn all() -> Vec<Case> {
    let mut cases = vec![
        query_key_value(),
        layer_norm(),
        residual_layer_norm(0.0),
        residual_layer_norm(0.4),
        embedding_sum(),
        first_tokens_case(),
        cross_entropy("plain", None, 0.0),
        cross_entropy("weighted", Some([0.3, 2.0, 1.1]), 0.0),
        cross_entropy("smoothed", None, 0.2),
        cross_entropy("weighted and smoothed", Some([0.3, 2.0, 1.1]), 0.1),
        dropout(),
        attention(&[1], None, 0.0, 5),
        attention(&[1, 5, 2, 1, 3], None, 0.0, 5),
        attention(&[4, 1, 5], None, 0.4, 5),
        // More queries than one block takes.
        attention(&[530, 3], None, 0.0, 3),
        attention(&[1, 5, 2, 4, 3], Some(0), 0.0, 5),
        attention(&[1, 5, 2, 4, 3], Some(1), 0.0, 5),
        attention(&[5, 3, 4], Some(2), 0.4, 5),
        // Three blocks, whose keys overlap; the second sequence is within the window.
        attention(&[150, 20, 66, 22], Some(20), 0.0, 5),
        attention(&[3, 90, 1], Some(7), 0.4, 90),
        linear_without_bias(),
        layer_norm_without_bias(),
        mean_tokens_case(),
        gate("gelu", Activation::Gelu, Tensor::gelu_erf),
        gate("tanh", Activation::Tanh, Tensor::tanh),
        rotary(),
    ];
    let none = PositionTerms {
        content_to_position: false,
        position_to_content: false,
    };
    let of_queries = PositionTerms {
        content_to_position: true,
        ..none
    };
    let of_keys = PositionTerms {
        position_to_content: true,
        ..none
    };
    let both = PositionTerms {
        content_to_position: true,
        position_to_content: true,
    };
    for terms in [none, of_queries, of_keys, both] {
        cases.push(disentangled_attention(terms, &[4, 1, 5, 2], 0.0));
    }
    cases.push(disentangled_attention(both, &[5, 1, 4], 0.4));
    // More queries than are visited together, and distances beyond the last bucket.
    cases.push(disentangled_attention(both, &[19, 3, 33], 0.0));
    cases.push(linear("no activation", None, |x| Ok(x.clone())));
    cases.push(linear("gelu", Some(Activation::Gelu), Tensor::gelu_erf));
    cases.push(linear("gelu_new", Some(Activation::GeluTanh), Tensor::gelu));
    cases.push(linear("relu", Some(Activation::Relu), Tensor::relu));
    cases.push(linear("tanh", Some(Activation::Tanh), Tensor::tanh));
    cases
}

fn linear(
    name: &str,
    activation: Option<Activation>,
    formula: fn(&Tensor) -> CandleResult<Tensor>,
) -> Case {
    let (parameters, layer) = with_parameters(|vars| Linear::new(vars, 5, 4, 1.0, activation));
    // Biases far from 0 keep the finite differences away from ReLU's corner, and products with
    // small weights keep the other functions where they bend.
    let (bias, scale) = match activation {
        Some(Activation::Relu) => ([4.0, -4.0, 5.0, 3.0], 0.3),
        _ => ([0.1, -0.7, 1.2, 0.4], 0.3),
    };
    parameters.set("bias", &bias).unwrap();
    let weight: Vec<f32> = values(&normal(1, &[20]))
        .iter()
        .map(|w| w * scale)
        .collect();
    parameters.set("weight", &weight).unwrap();
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    Case {
        name: format!("linear, {name}"),
        parameters,
        // More rows than one task takes, so that sums over tasks are seen as well.
        inputs: vec![normal(2, &[70, 5])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| Ok(vec![again.backward(dy, saved, grads)?])),
        formula: Box::new(move |x, p| formula(&project(&x[0], &p[1], &p[0])?)),
    }
}

fn query_key_value() -> Case {
    let names = ["query", "key", "value"];
    let (parameters, layer) = with_parameters(|vars| QueryKeyValue::new(vars, names, 6, 1.0));
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    Case {
        name: "query, key, value".into(),
        parameters,
        inputs: vec![normal(3, &[66, 6])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| {
            let dx = Tensor::zeros((dy.dim(0)?, 6), dy.dtype(), dy.device())?;
            again.backward_onto(&dx, dy, saved, grads)?;
            Ok(vec![dx])
        }),
        // In the order of the names the key comes first, and a bias before its weight.
        formula: Box::new(|x, p| {
            let part = |i: usize| project(&x[0], &p[2 * i + 1], &p[2 * i]);
            Tensor::cat(&[part(1)?, part(0)?, part(2)?], 1)
        }),
    }
}

fn layer_norm() -> Case {
    let (parameters, layer) = with_parameters(|vars| LayerNorm::new(vars, 7, 1e-5));
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    Case {
        name: "layer norm".into(),
        parameters,
        inputs: vec![normal(4, &[67, 7])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| Ok(vec![again.backward(dy, saved, grads)?])),
        formula: Box::new(|x, p| normalize(&x[0], &p[1], &p[0], 1e-5)),
    }
}

fn residual_layer_norm(rate: f64) -> Case {
    let shape = [67, 8];
    let mask = mask(rate, &shape);
    let (parameters, layer) =
        with_parameters(|vars| ResidualLayerNorm::new(vars, shape[1], 1e-6, rate));
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    Case {
        name: format!("residual layer norm, dropout {rate}"),
        parameters,
        inputs: vec![normal(5, &shape), normal(6, &shape)],
        forward: Box::new(move |x, saved| layer.forward(&x[0], &x[1], saved)),
        backward: Box::new(move |dy, saved, grads| {
            let (dx, d_residual) = again.backward(dy, saved, grads)?;
            Ok(vec![dx, d_residual])
        }),
        formula: Box::new(move |x, p| normalize(&((&x[0] * &mask)? + &x[1])?, &p[1], &p[0], 1e-6)),
    }
}

fn embedding_sum() -> Case {
    let tables = [("word", 9), ("position", 4)];
    let (parameters, layer) = with_parameters(|vars| EmbeddingSum::new(vars, &tables, 3, 1.0));
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    // Rows that are looked up twice, and rows that are not looked up.
    let word = ids(&[8, 0, 8, 3, 3, 3]);
    let position = ids(&[0, 1, 2, 0, 1, 0]);
    let of_formula = [word.clone(), position.clone()];
    Case {
        name: "embedding sum".into(),
        parameters,
        inputs: vec![],
        forward: Box::new(move |_, saved| layer.forward(&[&word, &position], saved)),
        backward: Box::new(move |dy, saved, grads| {
            again.backward(dy, saved, grads)?;
            Ok(vec![])
        }),
        formula: Box::new(move |_, p| {
            p[1].index_select(&of_formula[0], 0)? + p[0].index_select(&of_formula[1], 0)?
        }),
    }
}

fn first_tokens_case() -> Case {
    let (parameters, ()) = with_parameters(|_: &Vars<'_>| Ok(()));
    let sequences = Sequences::of_lengths([2, 1, 4]);
    let again = sequences.clone();
    Case {
        name: "first tokens".into(),
        parameters,
        inputs: vec![normal(8, &[7, 3])],
        forward: Box::new(move |x, _| first_tokens(&x[0], &sequences)),
        backward: Box::new(move |dy, _, _| Ok(vec![first_tokens_backward(dy, &again)?])),
        formula: Box::new(|x, _| x[0].index_select(&ids(&[0, 2, 3]), 0)),
    }
}

/// The output is the losses' sum times 0.25, so that the gradient for dy = 1 is the layer's.
fn cross_entropy(name: &str, weights: Option<[f32; 3]>, smoothing: f64) -> Case {
    let (parameters, ()) = with_parameters(|_: &Vars<'_>| Ok(()));
    let labels = [2_u32, 0, 1, 2];
    let logits = normal(9, &[4, 3]);
    let kept = logits.clone();
    let loss = CrossEntropy::new(weights.map(Vec::from), smoothing);
    let again = loss.clone();
    // torch.nn.CrossEntropyLoss: (1 - e) w_y for the label, and e w_c / C for every class.
    let weights = weights.unwrap_or([1.0; 3]).map(f64::from);
    let mut targets = Vec::new();
    for label in labels {
        for (class, weight) in weights.iter().enumerate() {
            let hit = f64::from(u8::from(class == label as usize));
            targets.push(weight * ((1.0 - smoothing) * hit + smoothing / 3.0));
        }
    }
    let targets = Tensor::from_vec(targets, (4, 3), kept.device()).unwrap();
    Case {
        name: format!("cross entropy, {name}"),
        parameters,
        inputs: vec![logits],
        forward: Box::new(move |x, _| Ok((loss.losses(&x[0], &ids(&labels))?.sum_all()? * 0.25)?)),
        backward: Box::new(move |dy, _, _| {
            let scale = 0.25 * dy.to_scalar::<f32>()?;
            Ok(vec![again.backward(&kept, &ids(&labels), scale)?])
        }),
        formula: Box::new(move |x, _| {
            let log_sum = x[0].exp()?.sum_keepdim(1)?.log()?;
            let surprise = log_sum.broadcast_sub(&x[0])?;
            (surprise * &targets)?.sum_all()? * 0.25
        }),
    }
}

fn dropout() -> Case {
    let shape = [9, 7];
    let (parameters, layer) = with_parameters(|vars| Ok(Dropout::new(vars, 0.4)));
    let again = layer.clone();
    let mask = mask(0.4, &shape);
    Case {
        name: "dropout".into(),
        parameters,
        inputs: vec![normal(10, &shape)],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, _| Ok(vec![again.backward(dy, saved)?])),
        formula: Box::new(move |x, _| &x[0] * &mask),
    }
}

fn linear_without_bias() -> Case {
    let (parameters, layer) =
        with_parameters(|vars| Linear::with_bias(vars, 5, 4, Initialization::Ones, Bias::No, None));
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    Case {
        name: "linear, no bias".into(),
        parameters,
        inputs: vec![normal(12, &[70, 5])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| Ok(vec![again.backward(dy, saved, grads)?])),
        formula: Box::new(|x, p| x[0].matmul(&p[0].t()?)),
    }
}

fn layer_norm_without_bias() -> Case {
    let (parameters, layer) = with_parameters(|vars| LayerNorm::with_bias(vars, 7, 1e-5, Bias::No));
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    Case {
        name: "layer norm, no bias".into(),
        parameters,
        inputs: vec![normal(13, &[67, 7])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, grads| Ok(vec![again.backward(dy, saved, grads)?])),
        formula: Box::new(|x, p| normalize(&x[0], &p[0], &p[0].zeros_like()?, 1e-5)),
    }
}

fn mean_tokens_case() -> Case {
    let (parameters, ()) = with_parameters(|_: &Vars<'_>| Ok(()));
    let sequences = Sequences::of_lengths([2, 1, 4]);
    let [seen, again] = [sequences.clone(), sequences.clone()];
    Case {
        name: "mean tokens".into(),
        parameters,
        inputs: vec![normal(14, &[7, 3])],
        forward: Box::new(move |x, _| mean_tokens(&x[0], &seen)),
        backward: Box::new(move |dy, _, _| Ok(vec![mean_tokens_backward(dy, &again)?])),
        formula: Box::new(move |x, _| {
            let means = sequences.ranges().map(|range| {
                let rows = x[0].narrow(0, range.start, range.len())?;
                rows.mean_keepdim(0)
            });
            Tensor::cat(&means.collect::<CandleResult<Vec<_>>>()?, 0)
        }),
    }
}

fn gate(name: &str, activation: Activation, formula: fn(&Tensor) -> CandleResult<Tensor>) -> Case {
    let (parameters, ()) = with_parameters(|_: &Vars<'_>| Ok(()));
    let gate = Gate::new(activation);
    Case {
        name: format!("gate, {name}"),
        parameters,
        inputs: vec![normal(15, &[70, 6])],
        forward: Box::new(move |x, saved| gate.forward(&x[0], saved)),
        backward: Box::new(move |dy, saved, _| Ok(vec![gate.backward(dy, saved)?])),
        formula: Box::new(move |x, _| formula(&x[0].narrow(1, 0, 3)?)? * x[0].narrow(1, 3, 3)?),
    }
}

/// Two heads of six features; the values, the last third, are not turned.
fn rotary() -> Case {
    const HEAD_WIDTH: usize = 6;
    const THETA: f64 = 50.0;
    let (parameters, ()) = with_parameters(|_: &Vars<'_>| Ok(()));
    let layer = std::rc::Rc::new(Rotary::new(HEAD_WIDTH, THETA));
    let again = layer.clone();
    let sequences = Sequences::of_lengths([3, 1, 70, 2]);
    let [seen, seen_again] = [sequences.clone(), sequences.clone()];
    Case {
        name: "rotary".into(),
        parameters,
        inputs: vec![normal(16, &[sequences.n_tokens(), 6 * HEAD_WIDTH])],
        forward: Box::new(move |x, _| {
            let turned = x[0].copy()?;
            layer.forward(&turned, &seen)?;
            Ok(turned)
        }),
        backward: Box::new(move |dy, _, _| {
            let dx = dy.copy()?;
            again.backward(&dx, &seen_again)?;
            Ok(vec![dx])
        }),
        formula: Box::new(move |x, _| {
            let half = HEAD_WIDTH / 2;
            let angles: Vec<f64> = sequences
                .ranges()
                .flat_map(|range| 0..range.len())
                .flat_map(|p| {
                    (0..half).map(move |i| p as f64 * THETA.powf(-(i as f64) / half as f64))
                })
                .collect();
            let angles = Tensor::from_vec(angles, (x[0].dim(0)?, half), x[0].device())?;
            let (cosines, sines) = (angles.cos()?, angles.sin()?);
            let mut parts = Vec::new();
            for head in 0..4 {
                let first = x[0].narrow(1, head * HEAD_WIDTH, half)?;
                let second = x[0].narrow(1, head * HEAD_WIDTH + half, half)?;
                parts.push(((&first * &cosines)? - (&second * &sines)?)?);
                parts.push(((&second * &cosines)? + (&first * &sines)?)?);
            }
            parts.push(x[0].narrow(1, 4 * HEAD_WIDTH, 2 * HEAD_WIDTH)?);
            Tensor::cat(&parts, 1)
        }),
    }
}

fn attention(lengths: &[usize], window: Option<usize>, rate: f64, head_width: usize) -> Case {
    const N_HEADS: usize = 2;
    let width = N_HEADS * head_width;
    let (parameters, layer) = with_parameters(|vars| {
        let layer = SelfAttention::new(vars, N_HEADS, rate);
        Ok(match window {
            None => layer,
            Some(window) => layer.within(window),
        })
    });
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    let sequences = Sequences::of_lengths(lengths.iter().copied());
    let [seen, seen_again] = [sequences.clone(), sequences.clone()];
    let masks = (rate > 0.0).then(|| {
        attention_masks(&sequences, N_HEADS, head_width, |qkv, saved| {
            layer.forward(qkv, &sequences, saved)
        })
    });
    Case {
        name: format!("attention, lengths {lengths:?}, window {window:?}, dropout {rate}"),
        parameters,
        inputs: vec![normal(11, &[sequences.n_tokens(), 3 * width])],
        forward: Box::new(move |x, saved| layer.forward(&x[0], &seen, saved)),
        backward: Box::new(move |dy, saved, _| Ok(vec![again.backward(dy, &seen_again, saved)?])),
        formula: Box::new(move |x, _| {
            let mut rows = Vec::new();
            for (s, range) in sequences.ranges().enumerate() {
                let qkv = x[0].narrow(0, range.start, range.len())?;
                let visible = visible(range.len(), window);
                let mut heads = Vec::new();
                for h in 0..N_HEADS {
                    let part = |kind: usize| {
                        let start = kind * width + h * head_width;
                        qkv.narrow(1, start, head_width)?.contiguous()
                    };
                    let scores = part(0)?.matmul(&part(1)?.t()?.contiguous()?)?;
                    let powers = ((scores / (head_width as f64).sqrt())?.exp()? * &visible)?;
                    let mut weights = powers.broadcast_div(&powers.sum_keepdim(1)?)?;
                    if let Some(masks) = &masks {
                        // What is shown is the mask divided by the number of visible tokens.
                        let shown = &masks[s * N_HEADS + h];
                        weights = (weights * shown.broadcast_mul(&visible.sum_keepdim(1)?)?)?;
                    }
                    heads.push(weights.matmul(&part(2)?)?);
                }
                rows.push(Tensor::cat(&heads, 1)?);
            }
            Tensor::cat(&rows, 0)
        }),
    }
}

/// 1 where token i sees token j, else 0: (L, L) f64.
fn visible(length: usize, window: Option<usize>) -> Tensor {
    let sees = |i: usize, j: usize| window.is_none_or(|window| i.abs_diff(j) <= window);
    let values: Vec<f64> = (0..length * length)
        .map(|at| f64::from(u8::from(sees(at / length, at % length))))
        .collect();
    Tensor::from_vec(values, (length, length), &candle_core::Device::Cpu).unwrap()
}

/// Two heads of width 5, four buckets to each side, of which distances from 9 on share one.
fn disentangled_attention(terms: PositionTerms, lengths: &[usize], rate: f64) -> Case {
    const N_HEADS: usize = 2;
    const HEAD_WIDTH: usize = 5;
    const SCALE: f64 = 0.3;
    let width = N_HEADS * HEAD_WIDTH;
    let (parameters, layer) = with_parameters(|vars| {
        Ok(DisentangledAttention::new(
            vars, N_HEADS, terms, SCALE, rate,
        ))
    });
    let layer = std::rc::Rc::new(layer);
    let again = layer.clone();
    let sequences = Sequences::of_lengths(lengths.iter().copied());
    let [seen, seen_again] = [sequences.clone(), sequences.clone()];
    let positions = RelativePositions {
        buckets: Some(4),
        max_distance: 9,
    };
    let longest = lengths.iter().copied().max().unwrap();
    let distances = DistanceRows::new(positions, longest);
    let [of_backward, of_masks] = [distances.clone(), distances.clone()];
    let used = distances.used();
    let masks = if rate > 0.0 {
        attention_masks(&sequences, N_HEADS, HEAD_WIDTH, |qkv, saved| {
            let table = Tensor::zeros((used.len(), width), qkv.dtype(), qkv.device())?;
            let relative = relative_rows(terms, &[table.clone(), table]);
            layer.forward(qkv, &relative, &of_masks, &sequences, saved)
        })
    } else {
        vec![]
    };
    let mut inputs = vec![normal(11, &[sequences.n_tokens(), 3 * width])];
    let n_tables = relative_rows_of(terms);
    for name in 0..n_tables {
        inputs.push(normal(12 + name, &[used.len(), width]));
    }
    let n_rows = used.len();
    // 1 where the row of the distance of i and j is r: (L, L, R).
    let is_row = move |length: usize| {
        let mut ones = vec![0.0_f64; length * length * n_rows];
        for i in 0..length {
            for j in 0..length {
                let row = positions.row(i as isize - j as isize) - used.start;
                ones[(i * length + j) * n_rows + row] = 1.0;
            }
        }
        Tensor::from_vec(ones, (length, length, n_rows), &candle_core::Device::Cpu)
    };
    Case {
        name: format!("disentangled attention, {terms:?}, lengths {lengths:?}, dropout {rate}"),
        parameters,
        inputs,
        forward: Box::new(move |x, saved| {
            let relative = relative_rows(terms, &x[1..]);
            layer.forward(&x[0], &relative, &distances, &seen, saved)
        }),
        backward: Box::new(move |dy, saved, _| {
            let (dqkv, rows) = again.backward(dy, &of_backward, &seen_again, saved)?;
            let rows = [rows.keys, rows.queries].into_iter().flatten();
            Ok(std::iter::once(dqkv).chain(rows).collect())
        }),
        formula: Box::new(move |x, _| {
            let mut outputs = Vec::new();
            for (s, range) in sequences.ranges().enumerate() {
                let qkv = x[0].narrow(0, range.start, range.len())?;
                let is_row = is_row(range.len())?;
                let mut heads = Vec::new();
                for h in 0..N_HEADS {
                    let columns = |x: &Tensor, kind: usize| {
                        let start = kind * width + h * HEAD_WIDTH;
                        x.narrow(1, start, HEAD_WIDTH)?.contiguous()
                    };
                    let (q, k) = (columns(&qkv, 0)?, columns(&qkv, 1)?);
                    let mut scores = q.matmul(&k.t()?.contiguous()?)?;
                    let mut tables = x[1..].iter();
                    if terms.content_to_position {
                        let table = columns(tables.next().unwrap(), 0)?;
                        let by_row = q.matmul(&table.t()?.contiguous()?)?;
                        scores = (scores + is_row.broadcast_mul(&by_row.unsqueeze(1)?)?.sum(2)?)?;
                    }
                    if terms.position_to_content {
                        let table = columns(tables.next().unwrap(), 0)?;
                        let by_row = k.matmul(&table.t()?.contiguous()?)?;
                        scores = (scores + is_row.broadcast_mul(&by_row.unsqueeze(0)?)?.sum(2)?)?;
                    }
                    let powers = (scores * SCALE)?.exp()?;
                    let mut weights = powers.broadcast_div(&powers.sum_keepdim(1)?)?;
                    if let Some(shown) = masks.get(s * N_HEADS + h) {
                        weights = (weights * (shown * range.len() as f64)?)?;
                    }
                    heads.push(weights.matmul(&columns(&qkv, 2)?)?);
                }
                outputs.push(Tensor::cat(&heads, 1)?);
            }
            Tensor::cat(&outputs, 0)
        }),
    }
}

/// The tables, in their order, as those of the terms there are.
fn relative_rows(terms: PositionTerms, tables: &[Tensor]) -> RelativeRows {
    let mut tables = tables.iter().cloned();
    RelativeRows {
        keys: terms.content_to_position.then(|| tables.next().unwrap()),
        queries: terms.position_to_content.then(|| tables.next().unwrap()),
    }
}

fn relative_rows_of(terms: PositionTerms) -> u32 {
    u32::from(terms.content_to_position) + u32::from(terms.position_to_content)
}

/// The mask of the first place with dropout, as its output for ones shows it; f64.
pub fn mask(rate: f64, shape: &[usize]) -> Tensor {
    let (_, place) = with_parameters(|vars| Ok(Dropout::new(vars, rate)));
    let ones = Tensor::ones(shape, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let mask = place.forward(&ones, &Saved::training(Some(KEY))).unwrap();
    mask.to_dtype(candle_core::DType::F64).unwrap()
}

/// The outputs of each sequence and head, (L, L) f64, where all weights are equal and each
/// value vector is a one at its token's place: the mask divided by the number of visible tokens.
fn attention_masks(
    sequences: &Sequences,
    n_heads: usize,
    head_width: usize,
    forward: impl Fn(&Tensor, &mut Saved) -> Result<Tensor>,
) -> Vec<Tensor> {
    let width = n_heads * head_width;
    let mut qkv = vec![0.0_f32; sequences.n_tokens() * 3 * width];
    for range in sequences.ranges() {
        assert!(range.len() <= head_width, "a token has no place");
        for (i, token) in range.enumerate() {
            for h in 0..n_heads {
                qkv[token * 3 * width + 2 * width + h * head_width + i] = 1.0;
            }
        }
    }
    let shape = (sequences.n_tokens(), 3 * width);
    let qkv = Tensor::from_vec(qkv, shape, &candle_core::Device::Cpu).unwrap();
    let y = forward(&qkv, &mut Saved::training(Some(KEY))).unwrap();
    let mut masks = Vec::new();
    for range in sequences.ranges() {
        let length = range.len();
        for h in 0..n_heads {
            let rows = y.narrow(0, range.start, length).unwrap();
            let weights = rows.narrow(1, h * head_width, length).unwrap();
            masks.push(weights.to_dtype(candle_core::DType::F64).unwrap());
        }
    }
    masks
}

/// x W^T + b.
fn project(x: &Tensor, weight: &Tensor, bias: &Tensor) -> CandleResult<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}

fn normalize(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> CandleResult<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let y = centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?;
    y.broadcast_mul(weight)?.broadcast_add(bias)
}
