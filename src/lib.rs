//! Fine-tunes BERT-style text classifiers, records how they behave on every training example
//! while they learn, draws the data map of the training set (Swayamdipta et al. 2020, "Dataset
//! Cartography"), and retrains on subsets picked from it.
//!
//! The main job is `enginora-rs loop --config run.yaml`; [`pipeline::run_loop`] reads as that
//! program. Data flows one way, and a module uses only those above it in this list, which a
//! test checks:
//!
//! | module | what happens there |
//! | --- | --- |
//! | [`config`] | YAML to a typed, resolved [`config::Config`]; every key with its doc, default and check |
//! | [`metrics`] | scikit-learn's classification metrics; pure functions |
//! | [`data`] | files to a [`data::Dataset`]; label space, splits, tokens, packed batches, tables |
//! | [`nn`] | the layers, forward and backward, for the CPU and beside that as CUDA kernels |
//! | [`model`] | encoders and heads over one storage of parameters; checkpoints in and out; the model hub |
//! | [`train`] | the loop on one screen, callbacks, AdamW, schedules, evaluation, checkpoints |
//! | [`dynamics`] | the recorder, a callback, and its files: one per epoch; other programs' dynamics in and out |
//! | [`map`] | dynamics to a [`map::DataMap`]: confidence, variability, correctness and more; how likely labels are wrong |
//! | [`select`] | selectors: a data set, and a map where one is asked for, to a subset; rules: a map alone to picks |
//! | [`report`] | pictures: the paper's figure of a map, any two signals, scores of subsets by their size; the page of a run |
//! | [`pipeline`] | each command as one function, and the reports to trackers; the only module that sees all others |
//! | [`cli`] | arguments in, exit code out |
//!
//! [`error`], [`random`], [`fsio`] and [`pickle`] are leaves that anyone may use.
//!
//! Four decisions shape the rest. **Batches are packed**: the tokens of several texts lie end
//! to end, there is no padding, and a text's output does not depend on its neighbours.
//! **Layers have an explicit backward**: no graph is built; what a backward pass needs lies on
//! a stack ([`nn::Saved`]). What is fast on this processor (vector instructions, products of
//! tiles) is found out when the program starts, in [`nn`] alone. **All randomness is counter-based**
//! ([`random`]): a draw is a function of seed, purpose and position, so nothing depends on
//! threads or on the order of calls. **A run is a transaction**: it writes to a folder of its own,
//! every file all or nothing ([`fsio`]), and is complete when its manifest is there; one that was
//! stopped goes on to the same bytes.

pub mod error;
pub mod fsio;
pub mod pickle;
pub mod random;

pub mod cli;
pub mod config;
pub mod data;
pub mod dynamics;
pub mod map;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod pipeline;
pub mod report;
pub mod select;
pub mod train;
