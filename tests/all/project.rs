//! A folder with a config and data, to run the program in as a user does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::scratch::Scratch;

/// A folder to run the program in.
pub struct Project(Scratch);

impl Project {
    pub fn new() -> Self {
        Self(Scratch::new())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        self.0.write(name, text);
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_threads(arguments, "2")
    }

    pub fn run_with_threads(&self, arguments: &[&str], n_threads: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_enginora-rs"))
            .args(arguments)
            .current_dir(self.path())
            .env("RAYON_NUM_THREADS", n_threads)
            .output()
            .unwrap()
    }

    /// Runs the program, which must succeed; what it printed to standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The files of a run with their hashes, as its manifest has them.
    pub fn manifest(&self, run: &str) -> BTreeMap<String, String> {
        let manifest: Value =
            serde_json::from_str(&self.read(&format!("{run}/manifest.json"))).unwrap();
        let files = manifest["files"].as_object().unwrap();
        files
            .iter()
            .map(|(name, entry)| (name.clone(), entry["sha256"].as_str().unwrap().to_owned()))
            .collect()
    }
}

/// `n` sentences of two classes that a small model tells apart, with ids of a prefix.
pub fn sentences(prefix: &str, n: usize) -> String {
    let words = ["film", "story", "actor", "scene", "plot", "music", "ending"];
    let opinion = [["dull", "awful", "boring"], ["fine", "lovely", "moving"]];
    let mut text = String::from("id,text,label\n");
    for i in 0..n {
        let label = i % 2;
        let (a, b) = (words[i % 7], words[(i / 7 + 3) % 7]);
        let word = opinion[label][i / 2 % 3];
        let _ = writeln!(
            text,
            "{prefix}-{i},the {a} was {word} and the {b} too,{label}"
        );
    }
    text
}

/// A run of everything, with a tiny model from scratch.
pub const CONFIG: &str = "
random_state: 11
data: {output_dir: out}
model:
  model_name: scratch
  max_length: 32
  scratch: {vocab_size: 200, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32}
training:
  dataset_path: train.csv
  validation_size: 0.25
  batch_size: 8
  epochs: 3
  learning_rate: 1e-2
  perform_data_cartography: true
  data_cartography_results: map.jsonl
testing: {dataset_path: test.csv}
control: {dataset_path: control.csv}
";

/// A folder with tiny data sets and a config for all of them.
pub fn tiny_project() -> Project {
    let project = Project::new();
    project.write("train.csv", &sentences("train", 48));
    project.write("test.csv", &sentences("test", 10));
    project.write("control.csv", &sentences("control", 6));
    project.write("run.yaml", CONFIG);
    project
}

/// The main job with the project's config.
pub const LOOP: [&str; 3] = ["loop", "--config", "run.yaml"];
