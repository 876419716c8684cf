//! The training loop: what it does not depend on, what it tells, how it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use enginora_rs::config::{LrSchedulerType, Record, ScratchConfig, TrainingConfig};
use enginora_rs::data::{Dataset, Example, ExampleIndex, TokenizedDataset, Tokenizer, Truncation};
use enginora_rs::dynamics::Recorder;
use enginora_rs::error::{ErrorKind, Result};
use enginora_rs::model::{
    Classifier, DebertaConfig, Family, ModelConfig, RelativeEmbeddings, Task,
};
use enginora_rs::nn::{Activation, CrossEntropy, PositionTerms, RelativePositions, Use, raw};
use enginora_rs::train::{
    Callback, Checkpoints, EvaluationEnd, LogitsPass, MetricSet, Outcome, Plan, Schedule, StepEnd,
    Training, Validation, learning_rate_shares, predict, train,
};

use crate::scratch::Scratch;

const WORDS: [&str; 8] = ["good", "bad", "film", "plot", "the", "is", "slow", "fun"];

/// Everything that a run needs; the label is whether `good` comes before `bad`.
pub struct World {
    dataset: Dataset,
    pub tokens: TokenizedDataset,
    vocab_size: usize,
    dropout: f64,
    labels: Vec<String>,
    metrics: MetricSet,
}

impl World {
    pub fn new(dropout: f64) -> Self {
        let examples = (0..40_usize)
            .map(|i| {
                let word = |j: usize| WORDS[(i * 7 + j * j + i * j / 3) % WORDS.len()];
                let text: Vec<&str> = (0..3 + i * 5 % 40).map(word).collect();
                let place = |word| text.iter().position(|w| *w == word).unwrap_or(usize::MAX);
                Example {
                    guid: format!("g{i}"),
                    label: u32::from(place("good") < place("bad")),
                    text: text.join(" "),
                    ..Example::default()
                }
            })
            .collect();
        let dataset = Dataset {
            path: PathBuf::from("train.tsv"),
            examples,
            extra: BTreeMap::new(),
            warnings: vec![],
        };
        let texts = dataset.examples.iter().map(|e| e.text.as_str());
        let tokenizer = Tokenizer::train(texts, 100).unwrap();
        let tokens = tokenizer.tokenize(&dataset, 64, Truncation::Cut).unwrap();
        Self {
            dataset,
            tokens,
            vocab_size: tokenizer.vocab_size(),
            dropout,
            labels: vec!["no".into(), "yes".into()],
            metrics: MetricSet { metrics: vec![] },
        }
    }

    /// Wide enough for products to be shared out among threads.
    fn model(&self) -> Classifier {
        self.model_on(&Device::Cpu)
    }

    pub fn model_on(&self, device: &Device) -> Classifier {
        Self::made_on(device, self.config())
    }

    /// A small DeBERTa, all of whose distances beyond 4 share buckets.
    pub fn deberta_on(&self, device: &Device) -> Classifier {
        let deberta = DebertaConfig {
            terms: PositionTerms {
                content_to_position: true,
                position_to_content: true,
            },
            relative: Some(RelativeEmbeddings {
                positions: RelativePositions {
                    buckets: Some(8),
                    max_distance: 64,
                },
                has_norm: true,
                shares_projections: true,
            }),
            position_biased_input: false,
            pooler_dropout: self.dropout,
            pooler_activation: Activation::Gelu,
        };
        let mut config = self.config();
        config.family = Family::DebertaV2(deberta);
        Self::made_on(device, config)
    }

    fn config(&self) -> ModelConfig {
        let scratch = ScratchConfig {
            hidden_size: 64,
            intermediate_size: 256,
            hidden_dropout_prob: self.dropout,
            attention_probs_dropout_prob: self.dropout,
            ..ScratchConfig::default()
        };
        ModelConfig::scratch(&scratch, self.vocab_size, 64, Task::default()).unwrap()
    }

    fn made_on(device: &Device, config: ModelConfig) -> Classifier {
        let model = Classifier::zeros(config, 2, Use::Training, device).unwrap();
        model.parameters().initialize(1, &BTreeSet::new()).unwrap();
        model
    }

    pub fn train(
        &self,
        model: &Classifier,
        config: &TrainingConfig,
        seed: u64,
        validation: Option<&[ExampleIndex]>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Outcome> {
        let none = &mut Checkpoints::none();
        self.train_with(none, model, config, seed, validation, callbacks)
    }

    pub fn train_with(
        &self,
        checkpoints: &mut Checkpoints,
        model: &Classifier,
        config: &TrainingConfig,
        seed: u64,
        validation: Option<&[ExampleIndex]>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<Outcome> {
        let training = Training {
            config,
            seed,
            dataset: &self.dataset,
            tokens: &self.tokens,
            subset: &self.dataset.all(),
            recorded: &self.dataset.all(),
            repeats: &[],
            curriculum: None,
            loss: &CrossEntropy::default(),
            learning_rate_shares: &learning_rate_shares(model, config).unwrap(),
            record: Some(Record::EpochEnd),
            validation: validation.map(|indices| Validation {
                tokens: &self.tokens,
                indices,
            }),
            labels: &self.labels,
            metrics: &self.metrics,
        };
        train(model, &training, callbacks, checkpoints)
    }

    /// The weights after training with this seed in a pool of so many threads.
    fn weights(&self, config: &TrainingConfig, seed: u64, n_threads: usize) -> Vec<f32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        pool.build().unwrap().install(|| {
            let model = self.model();
            self.train(&model, config, seed, None, &mut []).unwrap();
            weights_of(&model)
        })
    }
}

pub fn weights_of(model: &Classifier) -> Vec<f32> {
    let parameters = model.parameters();
    let state = raw::read::<f32>(parameters.state()).unwrap();
    state[..parameters.n_elements()].to_vec()
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|w| w.to_bits()).collect()
}

pub fn config() -> TrainingConfig {
    TrainingConfig {
        batch_size: 8,
        epochs: 2,
        learning_rate: 1e-3,
        weight_decay: 0.01,
        ..TrainingConfig::default()
    }
}

#[test]
fn one_seed_gives_the_same_bits_in_every_run_and_for_any_number_of_threads() {
    let world = World::new(0.1);
    let one = world.weights(&config(), 5, 1);
    for n_threads in [1, 2, 3] {
        let again = world.weights(&config(), 5, n_threads);
        assert_eq!(bits(&one), bits(&again), "{n_threads} threads");
    }
    assert_ne!(one, world.weights(&config(), 6, 1), "another seed");
}

#[test]
fn without_dropout_the_seed_changes_the_order_alone() {
    let world = World::new(0.0);
    let config = TrainingConfig {
        batch_size: 40,
        ..config()
    };
    let [a, b] = [5, 6].map(|seed| world.weights(&config, seed, 1));
    let largest = a
        .iter()
        .zip(&b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    // The same batch in two orders: rounding, which Adam's division can make larger.
    assert!(largest < 2e-4, "{largest}");
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let world = World::new(0.0);
    let weights = [(8, 1), (4, 2), (2, 4), (1, 8)].map(|(batch_size, steps)| {
        let config = TrainingConfig {
            batch_size,
            gradient_accumulation_steps: steps,
            // Adam divides by the gradients' own size, which blows up the rounding of those
            // near 0; with a large epsilon the weights' differences are the gradients'.
            adam_epsilon: 1e-3,
            ..config()
        };
        world.weights(&config, 5, 2)
    });
    let start = weights_of(&world.model());
    let moved = largest_difference(&start, &weights[0]);
    for other in &weights[1..] {
        let difference = largest_difference(&weights[0], other);
        assert!(difference < 1e-3 * moved, "{difference} of {moved}");
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Writes down what it is told, and may ask to stop after a step.
#[derive(Default)]
struct Diary {
    lines: Vec<String>,
    stop_after: Option<usize>,
    seen: Vec<ExampleIndex>,
    losses: Vec<f64>,
}

impl Callback for Diary {
    fn on_train_start(&mut self, plan: &Plan) -> Result<ControlFlow<()>> {
        let Plan {
            n_epochs,
            n_examples,
            n_steps,
        } = plan;
        self.lines
            .push(format!("start {n_epochs} {n_examples} {n_steps}"));
        Ok(ControlFlow::Continue(()))
    }

    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        self.lines
            .push(format!("step {} of {}", step.step, step.n_examples));
        self.losses.push(step.loss);
        Ok(if self.stop_after == Some(step.step) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn on_logits(
        &mut self,
        pass: LogitsPass,
        epoch: usize,
        indices: &[ExampleIndex],
        logits: &Tensor,
    ) -> Result<ControlFlow<()>> {
        assert_eq!(logits.dims(), [indices.len(), 2]);
        match pass {
            LogitsPass::Training => self.seen.extend(indices),
            LogitsPass::EpochEnd => {
                let line = format!("logits {epoch}");
                if self.lines.last() != Some(&line) {
                    self.lines.push(line);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_evaluation(&mut self, end: &EvaluationEnd<'_>) -> Result<ControlFlow<()>> {
        self.lines
            .push(format!("{} {} {}", end.stage, end.epoch, end.step));
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch_end(&mut self, epoch: usize) -> Result<ControlFlow<()>> {
        self.lines.push(format!("epoch {epoch}"));
        Ok(ControlFlow::Continue(()))
    }

    fn on_train_end(&mut self) -> Result<()> {
        self.lines.push("end".into());
        Ok(())
    }
}

#[test]
fn watchers_are_told_everything_in_order_and_every_epoch_sees_every_example_once() {
    let world = World::new(0.1);
    let config = TrainingConfig {
        batch_size: 12,
        gradient_accumulation_steps: 2,
        ..config()
    };
    let mut diary = Diary::default();
    let validation: Vec<ExampleIndex> = (0..10).collect();
    world
        .train(
            &world.model(),
            &config,
            5,
            Some(&validation),
            &mut [&mut diary],
        )
        .unwrap();
    assert_eq!(
        diary.lines,
        [
            "start 2 40 4",
            "step 1 of 24",
            "step 2 of 16",
            "logits 0",
            "validation 0 2",
            "epoch 0",
            "step 3 of 24",
            "step 4 of 16",
            "logits 1",
            "validation 1 4",
            "epoch 1",
            "end",
        ]
    );
    let (first, second) = diary.seen.split_at(40);
    let all: BTreeSet<ExampleIndex> = (0..40).collect();
    for epoch in [first, second] {
        assert_eq!(epoch.iter().copied().collect::<BTreeSet<_>>(), all);
    }
    assert_ne!(first, second, "every epoch has an order of its own");
}

#[test]
fn a_curriculum_is_the_order_of_every_epoch() {
    let world = World::new(0.1);
    let order: Vec<ExampleIndex> = (0..40).map(|i| i * 7 % 40).collect();
    let model = world.model();
    let config = config();
    let mut diary = Diary::default();
    let training = Training {
        config: &config,
        seed: 5,
        dataset: &world.dataset,
        tokens: &world.tokens,
        subset: &world.dataset.all(),
        recorded: &world.dataset.all(),
        repeats: &[],
        curriculum: Some(&order),
        loss: &CrossEntropy::default(),
        learning_rate_shares: &learning_rate_shares(&model, &config).unwrap(),
        record: None,
        validation: None,
        labels: &world.labels,
        metrics: &world.metrics,
    };
    let none = &mut Checkpoints::none();
    train(&model, &training, &mut [&mut diary], none).unwrap();
    assert_eq!(diary.seen, [&order[..], &order[..]].concat());
}

#[test]
fn a_class_with_twice_the_weight_is_a_class_with_every_example_twice() {
    let world = World::new(0.0);
    let config = TrainingConfig {
        batch_size: 80,
        epochs: 1,
        max_grad_norm: 0.0,
        // As above: the weights' differences are the gradients'.
        adam_epsilon: 1e-3,
        ..config()
    };
    let weights_after = |twice: bool| {
        let model = world.model();
        let mut order: Vec<ExampleIndex> = (0..40).collect();
        if twice {
            order.extend((0..40).filter(|i| world.tokens.label(*i) == 1));
        }
        let weights = (!twice).then(|| vec![1.0, 2.0]);
        let training = Training {
            config: &config,
            seed: 5,
            dataset: &world.dataset,
            tokens: &world.tokens,
            subset: &world.dataset.all(),
            recorded: &world.dataset.all(),
            repeats: &[],
            curriculum: Some(&order),
            loss: &CrossEntropy::new(weights, 0.0),
            learning_rate_shares: &learning_rate_shares(&model, &config).unwrap(),
            record: None,
            validation: None,
            labels: &world.labels,
            metrics: &world.metrics,
        };
        train(&model, &training, &mut [], &mut Checkpoints::none()).unwrap();
        weights_of(&model)
    };
    let [weighted, repeated] = [false, true].map(weights_after);
    let moved = largest_difference(&weights_of(&world.model()), &repeated);
    let difference = largest_difference(&weighted, &repeated);
    assert!(difference < 1e-3 * moved, "{difference} of {moved}");
}

#[test]
fn layer_wise_decay_gives_each_depth_its_share_and_frozen_parameters_none() {
    let world = World::new(0.0);
    let model = world.model();
    let config = TrainingConfig {
        layerwise_lr_decay: Some(0.5),
        freeze: vec!["*.pooler.*".into()],
        ..config()
    };
    let shares = learning_rate_shares(&model, &config).unwrap();
    let specs = model.parameters().specs();
    let share = |name: &str| {
        let slot = specs.iter().position(|spec| spec.name == name);
        shares[slot.unwrap_or_else(|| panic!("no parameter is called {name}"))]
    };
    for (name, expected) in [
        ("classifier.weight", 1.0),
        ("bert.pooler.dense.weight", 0.0),
        ("bert.encoder.layer.1.output.dense.bias", 0.5),
        ("bert.encoder.layer.0.attention.self.query.weight", 0.25),
        ("bert.embeddings.LayerNorm.weight", 0.125),
        ("bert.embeddings.word_embeddings.weight", 0.125),
    ] {
        assert!(
            (share(name) - expected).abs() < 1e-15,
            "{name}: {}",
            share(name)
        );
    }
}

#[test]
fn a_watcher_that_breaks_ends_training_after_the_step_as_if_the_epoch_had_ended() {
    let world = World::new(0.1);
    let mut diary = Diary {
        stop_after: Some(2),
        ..Diary::default()
    };
    let outcome = world
        .train(&world.model(), &config(), 5, None, &mut [&mut diary])
        .unwrap();
    let expected = [
        "start 2 40 10",
        "step 1 of 8",
        "step 2 of 8",
        "logits 0",
        "epoch 0",
        "end",
    ];
    assert_eq!(diary.lines, expected);
    assert_eq!((outcome.n_steps, outcome.n_epochs), (2, 1));
}

#[test]
fn an_epoch_that_ended_early_is_not_recorded_from_the_training_pass() {
    let world = World::new(0.1);
    // 5 steps an epoch: the second epoch ends after its first step.
    let mut stop = Diary {
        stop_after: Some(6),
        ..Diary::default()
    };
    let folder = Scratch::new();
    let all = world.dataset.all();
    let record = Record::DuringTraining;
    let mut recorder = Recorder::new(folder.path(), record, &world.dataset, &all, 2);
    let callbacks: &mut [&mut dyn Callback] = &mut [&mut stop, &mut recorder];
    world
        .train(&world.model(), &config(), 5, None, callbacks)
        .unwrap();
    assert_eq!(folder.names(), ["epoch=0"]);
}

#[test]
fn training_lowers_the_loss() {
    let world = World::new(0.1);
    let config = TrainingConfig {
        epochs: 20,
        ..config()
    };
    let mut diary = Diary::default();
    world
        .train(&world.model(), &config, 5, None, &mut [&mut diary])
        .unwrap();
    let n = diary.losses.len();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&diary.losses[..5]), mean(&diary.losses[n - 5..]));
    assert!(last < 0.5 * first, "{first} to {last}");
}

#[test]
fn the_model_is_left_with_the_weights_of_the_best_epoch() {
    let world = World::new(0.0);
    // A rate that is far too high makes later epochs worse now and then.
    let config = TrainingConfig {
        epochs: 6,
        learning_rate: 0.02,
        lr_scheduler_type: LrSchedulerType::Constant,
        ..config()
    };
    let validation: Vec<ExampleIndex> = (0..40).collect();
    let model = world.model();
    let outcome = world
        .train(&model, &config, 5, Some(&validation), &mut [])
        .unwrap();
    let found = predict(&model, &world.tokens, &validation, |_| Ok(())).unwrap();
    assert_eq!(Some(found.loss), outcome.best_metric);
    // Training anew for as many epochs as were best ends with the same weights.
    let shorter = TrainingConfig {
        epochs: outcome.best_epoch + 1,
        ..config
    };
    assert!(shorter.epochs < 6, "the test needs a worse last epoch");
    let again = world.model();
    world.train(&again, &shorter, 5, None, &mut []).unwrap();
    assert_eq!(bits(&weights_of(&model)), bits(&weights_of(&again)));
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_names_step_and_examples() {
    let world = World::new(0.0);
    let model = world.model();
    let name = "bert.embeddings.LayerNorm.weight";
    model.parameters().set(name, &[f32::NAN; 64]).unwrap();
    let config = TrainingConfig {
        batch_size: 40,
        ..config()
    };
    let error = world.train(&model, &config, 5, None, &mut []).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Training);
    let shown = error.to_string();
    for word in ["at step 1", "NaN", "`g", "and 8 more", "learning_rate"] {
        assert!(shown.contains(word), "`{word}` is missing in: {shown}");
    }
}

#[test]
fn schedules_rise_over_the_warmup_and_fall_as_they_say() {
    let check = |kind, warmup_ratio, warmup_steps, expected: [f64; 5]| {
        let config = TrainingConfig {
            learning_rate: 2.0,
            lr_scheduler_type: kind,
            warmup_ratio,
            warmup_steps,
            ..TrainingConfig::default()
        };
        let schedule = Schedule::new(&config, 8);
        for (step, expected) in [0, 1, 2, 5, 7].into_iter().zip(expected) {
            let rate = schedule.learning_rate(step);
            assert!((rate - expected).abs() < 1e-12, "{kind:?} {step}: {rate}");
        }
    };
    let half = 0.5_f64;
    let cosine = |progress: f64| 1.0 + (std::f64::consts::PI * progress).cos();
    check(
        LrSchedulerType::Linear,
        0.0,
        0,
        [2.0, 1.75, 1.5, 0.75, 0.25],
    );
    // 0.2 of 8 steps are two: transformers rounds up.
    check(
        LrSchedulerType::Linear,
        0.2,
        0,
        [0.0, 1.0, 2.0, 1.0, 1.0 / 3.0],
    );
    // A number of steps wins over a ratio.
    check(
        LrSchedulerType::Linear,
        0.9,
        2,
        [0.0, 1.0, 2.0, 1.0, 1.0 / 3.0],
    );
    check(LrSchedulerType::Constant, 0.0, 0, [2.0; 5]);
    check(
        LrSchedulerType::ConstantWithWarmup,
        0.0,
        2,
        [0.0, 1.0, 2.0, 2.0, 2.0],
    );
    check(
        LrSchedulerType::Cosine,
        0.0,
        2,
        [0.0, 1.0, 2.0, cosine(half), cosine(5.0 / 6.0)],
    );
}
