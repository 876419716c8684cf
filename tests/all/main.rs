//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::iter_over_hash_type)]

mod architecture;
mod audit;
mod bad_input;
mod bootstrap;
mod checkpoints;
mod condition;
mod config;
mod data;
mod dynamics;
mod experiment;
mod experiment_results;
mod faults;
mod fsio;
#[path = "../fuzz/mod.rs"]
mod fuzz;
#[cfg(feature = "hub")]
mod hub;
mod kernels;
mod label_errors;
mod map;
mod memory_limits;
mod metrics;
mod model;
mod multiple_choice;
mod nn;
mod page;
mod pieces;
mod pipeline;
mod plot;
mod predict;
mod project;
mod report;
mod resume;
mod scratch;
mod select;
mod sentence_piece;
mod shipped_configs;
mod signals;
mod stopped;
mod table;
mod tokenizer;
mod tokens;
mod trackers;
mod train;
mod training_options;
