//! enginora-rs
pub mod error;
pub mod fsio;
pub mod random;

pub mod config;
pub mod data;
pub mod dynamics;
pub mod map;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod report;
pub mod select;
pub mod train;
