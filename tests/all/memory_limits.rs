//! A process that may have little memory: it succeeds or says so, and spoils nothing.

use std::fs;
use std::process::{Command, Output};

use crate::project::{LOOP, Project, tiny_project};

/// Runs the program with at most so many kilobytes of address space.
fn run_within(project: &Project, kilobytes: u32, arguments: &[&str]) -> Output {
    let script = format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"");
    Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_enginora-rs")])
        .args(arguments)
        .current_dir(project.path())
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap()
}

fn check_succeeds_or_says_so(output: &Output, kilobytes: u32) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => true,
        Some(74) => {
            let is_said = said.contains("out of memory") || said.contains("cannot start threads");
            assert!(is_said, "{kilobytes} kB: {said}");
            false
        }
        _ => panic!("{kilobytes} kB: {:?}: {said}", output.status),
    }
}

#[test]
fn a_run_without_enough_memory_says_so_and_the_next_one_is_right() {
    let whole = tiny_project();
    whole.succeed(&LOOP);
    let expected = whole.manifest("out");
    let project = tiny_project();
    let mut outcomes = Vec::new();
    for kilobytes in (50_000..=150_000).step_by(10_000) {
        let output = run_within(&project, kilobytes, &LOOP);
        outcomes.push(check_succeeds_or_says_so(&output, kilobytes));
        if project.path().join("out/manifest.json").exists() {
            assert_eq!(project.manifest("out"), expected, "{kilobytes} kB");
        }
    }
    assert!(!outcomes[0] && outcomes[10], "{outcomes:?}");
    project.succeed(&LOOP);
    assert_eq!(project.manifest("out"), expected);
}

#[test]
fn a_file_that_is_larger_than_the_memory_is_refused() {
    let project = tiny_project();
    let huge = fs::File::create(project.path().join("huge.csv")).unwrap();
    huge.set_len(1 << 32).unwrap();
    let output = run_within(
        &project,
        400_000,
        &[&LOOP[..], &["--set", "training.dataset_path=huge.csv"]].concat(),
    );
    assert!(!check_succeeds_or_says_so(&output, 400_000));
    assert!(!project.path().join("out").exists());
}
