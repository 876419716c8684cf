//! Backward passes against candle's autograd over the formulas written out, in f64.

use candle_core::{DType, Tensor, Var};

use super::layers::{Case, all};
use super::{assert_close, normal, values};

/// Our f32 against an exact result, relative to the largest value.
const TOLERANCE: f64 = 5e-6;

fn exact(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn variables(tensors: &[Tensor]) -> (Vec<Var>, Vec<Tensor>) {
    let variables: Vec<Var> = tensors
        .iter()
        .map(|tensor| Var::from_tensor(&tensor.to_dtype(DType::F64).unwrap()).unwrap())
        .collect();
    let tensors = variables.iter().map(|v| v.as_tensor().clone()).collect();
    (variables, tensors)
}

fn check(case: &Case) {
    let (mut watched, inputs) = variables(&case.inputs);
    let (parameters, parameter_values) = variables(case.parameters.values());
    watched.extend(parameters);
    let expected = (case.formula)(&inputs, &parameter_values).unwrap();
    let dy = normal(20, expected.dims());
    let (y, gradients) = case.run(&dy);
    let name = format!("{}: output", case.name);
    assert_close(&name, &values(&y), &exact(&expected), TOLERANCE);

    let loss = (expected * dy.to_dtype(DType::F64).unwrap()).unwrap();
    let oracle = loss.sum_all().unwrap().backward().unwrap();
    for ((name, got), variable) in case.gradient_names().iter().zip(&gradients).zip(&watched) {
        let expected = oracle.get(variable).expect(name);
        assert_close(name, &values(got), &exact(expected), TOLERANCE);
    }
}

#[test]
fn backward_passes_agree_with_autograd_over_the_formulas() {
    all().iter().for_each(check);
}

#[test]
fn a_second_backward_pass_adds_to_the_gradients() {
    for case in all() {
        let y = case.output(&case.inputs);
        let dy = normal(21, y.dims());
        let gradients = case.parameters.gradients().unwrap();
        let pass = || {
            let mut saved = enginora_rs::nn::Saved::training(Some(super::KEY));
            (case.forward)(&case.inputs, &mut saved).unwrap();
            (case.backward)(&dy, &mut saved, &gradients).unwrap()
        };
        let first_inputs = pass();
        let first = values(gradients.flat().unwrap());
        let second_inputs = pass();
        let doubled: Vec<f64> = first.iter().map(|g| 2.0 * f64::from(*g)).collect();
        assert_close(
            &case.name,
            &values(gradients.flat().unwrap()),
            &doubled,
            1e-6,
        );
        for (a, b) in first_inputs.iter().zip(&second_inputs) {
            assert_eq!(values(a), values(b), "{}", case.name);
        }
        gradients.clear().unwrap();
        assert!(values(gradients.flat().unwrap()).iter().all(|g| *g == 0.0));
    }
}

#[test]
fn an_evaluation_pass_gives_the_same_output_and_keeps_nothing() {
    for case in all()
        .iter()
        .filter(|case| !case.name.contains("dropout 0.4"))
    {
        if case.name == "dropout" {
            continue;
        }
        let mut saved = enginora_rs::nn::Saved::evaluation();
        let y = (case.forward)(&case.inputs, &mut saved).unwrap();
        assert!(saved.is_empty() && !saved.keeps(), "{}", case.name);
        assert_eq!(
            values(&y),
            values(&case.output(&case.inputs)),
            "{}",
            case.name
        );
        assert!(saved.pop().is_err(), "{}", case.name);
    }
}
