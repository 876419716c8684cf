//! Runs that are stopped at any moment, and go on as if they had not been.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::project::{CONFIG, LOOP, Project, tiny_project};

pub const RESUME: [&str; 4] = ["loop", "--config", "run.yaml", "--resume"];

/// Settings that exercise all that a checkpoint holds: the dynamics of the training pass and early
/// stopping are not in the tiny project.
const DURING: [&str; 2] = ["--set", "cartography.record=during_training"];

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a run must have in common with one that was never stopped: all files below `out` that hold
/// no times, with their bytes, and where links lead.
pub fn files(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    gather(&project.path().join("out"), "", &mut files);
    files.retain(|name, _| !name.ends_with("run.log") && name != ".lock");
    files
}

fn gather(folder: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if let Ok(target) = fs::read_link(&path) {
            files.insert(name, target.into_os_string().into_encoded_bytes());
        } else if path.is_dir() {
            gather(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Sees that a run has left what one that was never stopped did: the same files with the same
/// content, and no others. `when` begins the message.
pub fn assert_same_files(expected: &BTreeMap<String, Vec<u8>>, project: &Project, when: &str) {
    let found = files(project);
    let names = expected.keys().chain(found.keys());
    let mut differing: Vec<&String> = names
        .filter(|name| expected.get(*name) != found.get(*name))
        .collect();
    differing.sort();
    differing.dedup();
    assert!(differing.is_empty(), "{when}{differing:?}");
}

pub fn start(project: &Project, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enginora-rs"));
    command
        .args(arguments)
        .current_dir(project.path())
        .env("RAYON_NUM_THREADS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    hear_signals(&mut command);
    command.spawn().unwrap()
}

/// What a shell starts in the background ignores SIGINT, and so does all that it starts; the
/// program leaves that as it is.
fn hear_signals(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: `signal` may be called between fork and exec (signal-safety(7)).
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
    }
    #[cfg(not(unix))]
    let _ = command;
}

/// A project whose run has a checkpoint at every second step.
fn project() -> Project {
    let project = tiny_project();
    let config = CONFIG.replace(
        "  batch_size: 8\n",
        "  batch_size: 8\n  save_steps: 2\n  early_stopping_patience: 2\n  results_file: train.csv\n",
    );
    project.write("run.yaml", &config);
    project
}

/// Kills runs after moments that a generator draws from `seed`, takes them up until they are
/// complete, and compares the outcome; the number of kills.
fn kill_until_complete(project: &Project, extra: &[&str], seed: u64, n_kills: usize) -> usize {
    let _ = fs::remove_dir_all(project.path().join("out"));
    let arguments = [&RESUME[..], extra].concat();
    let begin = Instant::now();
    project.succeed(&arguments);
    let whole = begin.elapsed();
    let expected = files(project);

    let mut draws = seed;
    let mut killed = 0;
    while killed < n_kills {
        fs::remove_dir_all(project.path().join("out")).unwrap();
        loop {
            // Knuth's generator (MMIX); the upper bits are good enough for moments.
            draws = draws
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let share = (draws >> 40) as f64 / f64::from(1 << 24);
            let mut run = start(project, &arguments);
            sleep(whole.mul_f64(share));
            // One that has finished by itself has been checked enough.
            let has_ended = run.try_wait().unwrap().is_some_and(|status| {
                assert!(status.success(), "a run that goes on failed: {status}");
                true
            });
            if !has_ended {
                run.kill().unwrap();
                run.wait().unwrap();
                killed += 1;
            }
            if has_ended || killed >= n_kills {
                break;
            }
        }
        let output = project.run(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        assert_same_files(&expected, project, &format!("after {killed} kills: "));
    }
    killed
}

#[test]
fn a_run_that_is_killed_at_any_moment_ends_with_the_same_bytes() {
    let n_kills = std::env::var("KILLS").ok().and_then(|n| n.parse().ok());
    let n_kills = n_kills.unwrap_or(8);
    let seed = std::env::var("KILL_SEED").ok().and_then(|n| n.parse().ok());
    let seed = seed.unwrap_or(1);
    let project = project();
    let during = n_kills / 2;
    kill_until_complete(&project, &[], seed, n_kills - during);
    kill_until_complete(&project, &DURING, seed + 1, during);
}

/// Kills a run as soon as it has made the checkpoint `name`.
pub fn stopped_after(project: &Project, name: &str) {
    let mut run = start(project, &LOOP);
    let path = project.path().join("out/runs/0001/checkpoints").join(name);
    let begin = Instant::now();
    while !path.exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no {name}");
        assert!(run.try_wait().unwrap().is_none(), "it ended before {name}");
        sleep(Duration::from_micros(200));
    }
    run.kill().unwrap();
    run.wait().unwrap();
}

/// Twelve epochs, so that a checkpoint can be seen before it is gone.
pub fn longer_project() -> Project {
    let project = tiny_project();
    project.write(
        "run.yaml",
        &CONFIG.replace("epochs: 3", "epochs: 12\n  save_steps: 1"),
    );
    project
}

/// The second checkpoint of the longer project.
pub const SECOND: &str = "epoch-0002-step-00000010";

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
    let project = longer_project();
    project.succeed(&LOOP);
    let expected = files(&project);
    fs::remove_dir_all(project.path().join("out")).unwrap();
    stopped_after(&project, SECOND);
    let folder = project.path().join("out/runs/0001/checkpoints");
    let names = || {
        let entries = fs::read_dir(&folder).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|n| n.starts_with("epoch-")).collect();
        names.sort();
        names
    };
    let newest = names().pop().unwrap();
    let path = folder.join(&newest).join("state.f32");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = project.run(&RESUME);
    let log = said(&output);
    assert!(output.status.success(), "{log}");
    assert!(log.contains(&format!("{newest} is not used: ")), "{log}");
    assert!(log.contains("going on from the checkpoint"), "{log}");
    assert_same_files(&expected, &project, "");
}

#[test]
fn without_a_good_checkpoint_training_starts_from_its_beginning() {
    let project = longer_project();
    project.succeed(&LOOP);
    let expected = files(&project);
    fs::remove_dir_all(project.path().join("out")).unwrap();
    stopped_after(&project, SECOND);
    let folder = project.path().join("out/runs/0001/checkpoints");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::write(path.join("checkpoint.json"), "{}").unwrap();
        }
    }
    let output = project.run(&RESUME);
    let log = said(&output);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("training starts from its beginning"), "{log}");
    assert_same_files(&expected, &project, "");
}

#[test]
fn a_run_goes_on_only_with_what_it_was_begun_with() {
    let project = longer_project();
    stopped_after(&project, SECOND);
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let output = project.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    };
    let changed = [&RESUME[..], &["--set", "training.learning_rate=0.5"]].concat();
    refused(
        &changed,
        78,
        "`training.learning_rate` is `0.5`; it was `0.01` when the run began",
    );
    let test = project.read("test.csv");
    project.write("test.csv", &test.replace("film", "movie"));
    refused(
        &RESUME,
        76,
        "test.csv: is not what it was when the run began",
    );
    project.write("test.csv", &test);
    project.succeed(&RESUME);
}

#[test]
fn what_is_complete_is_not_done_again_and_what_is_not_there_is_begun() {
    let project = tiny_project();
    let output = project.run(&RESUME);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("starting a new one"));
    let before = files(&project);
    let output = project.run(&RESUME);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("is complete"), "{}", said(&output));
    assert!(output.stdout.is_empty());
    assert_eq!(before, files(&project));
    // A run of another config is none of this one's.
    project.succeed(&[&RESUME[..], &["--set", "random_state=12"]].concat());
    assert!(project.path().join("out/runs/0002/manifest.json").exists());
    let output = project.run(&RESUME);
    assert!(said(&output).contains("0001 of this config is complete"));
    assert!(!project.path().join("out/runs/0003").exists());
}

/// Both checkpoints say what the epochs on disk were, so neither can be used.
#[test]
fn dynamics_that_are_not_what_was_recorded_are_recorded_again() {
    let project = longer_project();
    project.succeed(&LOOP);
    let expected = files(&project);
    fs::remove_dir_all(project.path().join("out")).unwrap();
    stopped_after(&project, SECOND);
    let path = "out/runs/0001/training_dynamics/epoch=0/part-0.parquet";
    fs::write(project.path().join(path), "no Parquet").unwrap();
    let output = project.run(&RESUME);
    let log = said(&output);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("training starts from its beginning"), "{log}");
    assert_same_files(&expected, &project, "");
}

#[test]
fn a_run_that_was_stopped_before_it_wrote_anything_starts_in_its_folder() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let expected = files(&project);
    fs::remove_dir_all(project.path().join("out")).unwrap();
    fs::create_dir_all(project.path().join("out/runs/0001/best_model")).unwrap();
    project.write("out/runs/0001/best_model/.config.json.77.tmp", "half");
    project.write("out/runs/0001/of_another_time.csv", "");
    project.succeed(&RESUME);
    assert_same_files(&expected, &project, "");
}

#[test]
fn a_complete_run_keeps_no_checkpoints() {
    let project = project();
    project.succeed(&LOOP);
    let names: Vec<String> = files(&project).into_keys().collect();
    let of_checkpoints = names.iter().filter(|name| name.contains("checkpoint"));
    assert_eq!(of_checkpoints.count(), 0, "{names:?}");
}
