//! Config files to configs, or to every problem with its place.
#![allow(clippy::unwrap_used)]

#[path = "config/bad.rs"]
mod bad;
#[path = "config/fractions.rs"]
mod fractions;
#[path = "config/good.rs"]
mod good;
#[path = "config/schema.rs"]
mod schema;

use std::sync::atomic::{AtomicUsize, Ordering};

use enginora_rs::config::{self, LoadedConfig};
use enginora_rs::error::Result;

/// The smallest config that gives no warning.
const MINIMAL: &str = "random_state: 1\ntraining: {dataset_path: t.csv}\n";

/// The two configs of the Python enginora, as they are.
const SEED_MAP: &str = include_str!("../fixtures/seed_configs/run_data_cartography.yaml");
const SEED_SUBSET: &str =
    include_str!("../fixtures/seed_configs/experiments_from_data_cartography_results.yaml");

/// Reads `text` from a file of its own.
fn read_raw(text: impl AsRef<[u8]>, options: &[&str]) -> Result<LoadedConfig> {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let n = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("enginora-config-{}-{n}.yaml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    let loaded = config::read(&path, &options);
    std::fs::remove_file(&path).unwrap();
    loaded
}

/// Reads `text`; an error is its whole text, in which the file's name is `run.yaml`.
fn read(text: impl AsRef<[u8]>, options: &[&str]) -> Result<LoadedConfig, String> {
    read_raw(text, options).map_err(|error| {
        let locations = error.problems().iter().filter_map(|p| p.location.as_ref());
        let mut paths = locations.map(|location| location.path.display().to_string());
        let path = paths.find(|path| !path.starts_with("--set "));
        match path {
            Some(path) => error.to_string().replace(&path, "run.yaml"),
            None => error.to_string(),
        }
    })
}
