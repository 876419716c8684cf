//! Fuzzing of everything that reads a file: whatever is in it, there is a result or an error that
//! is the file's, in little time and without a panic.
//!
//! ```text
//! cargo test --release --test all -- fuzz                            a few seconds
//! ENGINORA_FUZZ_SECONDS=20 ENGINORA_FUZZ_SEED=7 cargo test ... fuzz  20 s for each target
//! ```
//!
//! It needs no compiler of its own. Inputs are changed at random, from a seed, starting with
//! whole files (`targets`); one whose answer is of a kind not seen before joins the inputs to be
//! changed, which leads it deeper into the readers, as coverage does elsewhere. Each input is
//! written to a file before it is read, so what kills the process is found there. What was found
//! and mended lies in `tests/fuzz/regressions/TARGET/` and is read in every run.

mod mutate;
mod targets;

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enginora_rs::error::{Error, ErrorKind};

use crate::scratch::Scratch;
use mutate::Mutator;
use targets::{Target, targets};

/// Inputs for each target where no time is given.
const N_INPUTS: usize = 150;

/// What one input may take; the slowest readers take some milliseconds.
const LONGEST: Duration = Duration::from_secs(5);

#[test]
fn inputs_that_once_broke_a_reader_are_answered() {
    for target in targets() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/regressions")
            .join(target.name);
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        let scratch = laid_out(&target);
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            run(&target, &scratch, &fs::read(&path).unwrap());
        }
    }
}

#[test]
fn no_reader_breaks_whatever_is_in_a_file() {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = variable("ENGINORA_FUZZ_SEED").unwrap_or(1);
    let time = variable("ENGINORA_FUZZ_SECONDS").map(Duration::from_secs);
    for target in targets() {
        let (n_inputs, n_answers) = fuzz(&target, seed, time);
        eprintln!(
            "{}: {n_inputs} inputs, {n_answers} kinds of answers",
            target.name
        );
        assert!(
            n_answers > 1,
            "{}: every input has the same answer",
            target.name
        );
    }
}

fn fuzz(target: &Target, seed: u64, time: Option<Duration>) -> (usize, usize) {
    let scratch = laid_out(target);
    let mut mutator = Mutator::new(seed, target.words);
    let mut inputs = target.seeds.clone();
    let mut answers = HashSet::new();
    for seed in &target.seeds {
        answers.insert(run(target, &scratch, seed));
    }
    let started = Instant::now();
    let mut n_inputs = 0;
    while time.map_or(n_inputs < N_INPUTS, |time| started.elapsed() < time) {
        let input = mutator.changed(&inputs);
        if answers.insert(run(target, &scratch, &input)) {
            inputs.push(input);
        }
        n_inputs += 1;
    }
    (n_inputs, answers.len())
}

fn laid_out(target: &Target) -> Scratch {
    let scratch = Scratch::new();
    for (name, bytes) in &target.others {
        scratch.write(name, bytes);
    }
    scratch
}

/// What the target says of the input, without the numbers and names in it.
fn run(target: &Target, scratch: &Scratch, input: &[u8]) -> String {
    let path = scratch.write(target.file, input);
    let started = Instant::now();
    let answer = catch_unwind(AssertUnwindSafe(|| (target.read)(scratch.path(), &path)));
    let complaint = match &answer {
        Err(_) => Some("panics".to_owned()),
        Ok(_) if started.elapsed() > LONGEST => Some(format!("takes {:?}", started.elapsed())),
        Ok(Err(error)) if !is_of_input(error) => Some(format!("says {error}")),
        Ok(_) => None,
    };
    if let Some(complaint) = complaint {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        fs::write(&kept, input).unwrap();
        panic!(
            "`{}` {complaint}: the input is in {}",
            target.name,
            kept.display()
        );
    }
    match answer {
        Ok(Err(error)) => kind_of(&scratch.shown(&error)),
        _ => String::new(),
    }
}

fn is_of_input(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Data | ErrorKind::Config | ErrorKind::MissingInput | ErrorKind::Usage
    )
}

/// The message's first line without what is in backticks and without digits.
fn kind_of(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let outside = line.split('`').step_by(2);
    let text: String = outside.collect();
    text.chars()
        .filter(|c| !c.is_ascii_digit())
        .take(120)
        .collect()
}
