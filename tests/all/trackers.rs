//! Runs reported to `TensorBoard` and `MLflow`, put under DVC, and dynamics of another trainer.

mod dvc;
mod events;
#[cfg(feature = "mlflow")]
mod mlflow;
#[cfg(feature = "mlflow")]
mod server;
mod trainer_dynamics;

use std::process::{Command, Output};

use crate::project::Project;

/// Runs the program with environment variables over its own.
fn run_with(project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enginora-rs"));
    for name in ["URI", "TOKEN", "USERNAME", "PASSWORD"] {
        command.env_remove(format!("MLFLOW_TRACKING_{name}"));
    }
    command
        .args(arguments)
        .current_dir(project.path())
        .env_remove("MLFLOW_EXPERIMENT_NAME")
        .env("RAYON_NUM_THREADS", "2")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// What a run said on standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
