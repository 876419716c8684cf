//! Grids, audits and maps that are stopped.
#![cfg(unix)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use enginora_rs::fsio::{FolderLock, Sharing};

use crate::project::{CONFIG, LOOP, Project, tiny_project};
use crate::resume::{assert_same_files, files, said, start};
use crate::signals::{code, send};

/// What a stopped command says of going on.
const GOES_ON: &str = "hint: the same command goes on where it was stopped";

/// Waits until `path` is there, in a process that was just started.
fn wait_for(path: impl Fn() -> Option<PathBuf>) -> PathBuf {
    let begin = Instant::now();
    loop {
        if let Some(path) = path() {
            return path;
        }
        assert!(begin.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_micros(200));
    }
}

/// The first path below `folder` that the folders' names lead to; `*` is any name.
fn found(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let [first, rest @ ..] = names else {
        return folder.exists().then(|| folder.to_owned());
    };
    if *first != "*" {
        return found(&folder.join(first), rest);
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .find_map(|entry| found(&entry.path(), rest))
}

/// Steps that a training had done when it was taken up, which its log names with the checkpoint.
fn steps_before(log: &str) -> Vec<usize> {
    let lines = log.lines().filter(|line| line.contains("going on from"));
    let steps = lines.map(|line| line.rsplit_once("-step-").unwrap().1.trim().parse());
    steps.map(Result::unwrap).collect()
}

/// Stops a command by `signal` as soon as `training` is there, sees what it says and leaves, and
/// starts it again; what that says.
fn stop_and_go_on(
    project: &Project,
    arguments: &[&str],
    training: &[&str],
    (signal, expected_code): (&str, i32),
) -> Output {
    let command = start(project, arguments);
    wait_for(|| found(&project.path().join("out"), training));
    send(signal, command.id());
    let output = command.wait_with_output().unwrap();
    let log = said(&output);
    assert_eq!(code(output.status), expected_code, "{log}");
    assert!(log.contains(&format!("stopped by SIG{signal}")), "{log}");
    assert!(log.contains(GOES_ON), "{log}");
    let again = project.run(arguments);
    let log = said(&again);
    assert!(again.status.success(), "{log}");
    let steps = steps_before(&log);
    assert!(!steps.is_empty() && steps.iter().all(|n| *n > 0), "{log}");
    again
}

/// Three cells of some hundred steps each.
fn grid() -> Project {
    let project = tiny_project();
    let section = "experiment: {selections: [ambiguous], fractions: [0.5, 1], seeds: 1}\n";
    let config = CONFIG.replace("epochs: 3", "epochs: 40");
    project.write("grid.yaml", &(config + section));
    project
}

const GRID: [&str; 3] = ["experiment", "--config", "grid.yaml"];

#[test]
fn a_grid_that_a_signal_stops_goes_on_in_the_middle_of_a_cell() {
    let project = grid();
    project.succeed(&GRID);
    let expected = files(&project);
    for (jobs, signal) in [("1", ("INT", 130)), ("2", ("TERM", 143))] {
        fs::remove_dir_all(project.path().join("out")).unwrap();
        let arguments = [&GRID[..], &["--jobs", jobs]].concat();
        stop_and_go_on(
            &project,
            &arguments,
            &["cells", "*", "history.jsonl"],
            signal,
        );
        assert_same_files(&expected, &project, &format!("{jobs} jobs: "));
    }
}

#[test]
fn a_grid_that_is_stopped_at_any_moment_ends_with_the_same_bytes() {
    let project = grid();
    let begin = Instant::now();
    project.succeed(&GRID);
    let whole = begin.elapsed();
    let expected = files(&project);
    fs::remove_dir_all(project.path().join("out")).unwrap();
    let n_moments = 8;
    let mut n_stopped = 0;
    for moment in 0..n_moments {
        let command = start(&project, &GRID);
        sleep(whole.mul_f64(f64::from(moment) / f64::from(n_moments)));
        // The second of two ends it at once, wherever the first found it.
        let signals = [&["KILL"][..], &["TERM"], &["TERM", "TERM"]][moment as usize % 3];
        for signal in signals {
            let sent = std::process::Command::new("kill")
                .args([&format!("-{signal}"), &command.id().to_string()])
                .output();
            sent.unwrap();
        }
        let output = command.wait_with_output().unwrap();
        // None: killed, or a signal before the program listens.
        let ended = output.status.code();
        assert!(matches!(ended, None | Some(143 | 0)), "{}", said(&output));
        n_stopped += usize::from(ended != Some(0));
    }
    assert!(n_stopped > 2, "{n_stopped}");
    project.succeed(&GRID);
    assert_same_files(&expected, &project, "");
}

#[test]
fn what_a_killed_grid_or_audit_left_half_written_goes_when_nobody_else_is_there() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let section = "experiment: {selections: [random], fractions: [0.5], seeds: 1}\n";
    project.write("grid.yaml", &(CONFIG.to_owned() + section));
    let commands: [(&[&str], &str); 3] = [
        (&GRID, "out/.results.md.29234.tmp"),
        (
            &["experiment", "--config", "grid.yaml", "--collect"],
            "out/.summary.csv.1.tmp",
        ),
        (&["audit", "out"], "out/audit/.audit.csv.29234.tmp"),
    ];
    for (arguments, left) in commands {
        project.write(left, "half");
        project.succeed(arguments);
        assert!(!project.path().join(left).exists(), "{arguments:?}");
    }
    // A map is being made beside it.
    let map = project.path().join("out/.map.29234.tmp");
    fs::create_dir(&map).unwrap();
    let lock = FolderLock::take(&map, Sharing::Alone).unwrap();
    project.succeed(&GRID);
    assert!(map.exists());
    drop(lock);
    project.succeed(&GRID);
    assert!(!map.exists());
    // Somebody else may be writing it.
    let lock = FolderLock::take(&project.path().join("out"), Sharing::Shared).unwrap();
    project.write(commands[0].1, "half");
    project.succeed(&GRID);
    assert!(project.path().join(commands[0].1).exists());
    drop(lock);
}

#[test]
fn an_audit_that_a_signal_stops_goes_on_in_the_middle_of_a_fold() {
    let project = tiny_project();
    project.write("run.yaml", &CONFIG.replace("epochs: 3", "epochs: 40"));
    project.succeed(&LOOP);
    let audit = ["audit", "out", "--folds", "3"];
    project.succeed(&audit);
    let expected = files(&project);
    for signal in [("INT", 130), ("TERM", 143)] {
        fs::remove_dir_all(project.path().join("out/audit")).unwrap();
        let epoch = ["audit", "*", "2", "training_dynamics", "epoch=0"];
        let again = stop_and_go_on(&project, &audit, &epoch, signal);
        assert!(
            said(&again).contains("fold 1 of 3: kept"),
            "{}",
            said(&again)
        );
        assert_same_files(&expected, &project, signal.0);
    }
}

#[test]
fn a_second_audit_in_the_same_folder_exits_with_75() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let folder = project.path().join("out/audit");
    fs::create_dir_all(&folder).unwrap();
    let lock = FolderLock::take(&folder, Sharing::Alone).unwrap();
    let output = project.run(&["audit", "out"]);
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert!(!folder.join("audit.csv").exists());
    drop(lock);
    project.succeed(&["audit", "out"]);
}

const MAP: [&str; 4] = ["map", "dynamics.csv", "--output", "out/map"];

/// Dynamics that take a while to read.
fn long_dynamics() -> Project {
    let project = Project::new();
    let mut rows = String::from("guid,epoch,gold,probs_0,probs_1\n");
    for epoch in 0..4 {
        for i in 0..30_000 {
            let p = f64::from((7 * i + 3 * epoch) % 64) / 64.0;
            let _ = writeln!(rows, "{i},{epoch},{},{p},{}", i % 2, 1.0 - p);
        }
    }
    project.write("dynamics.csv", &rows);
    project
}

/// The hidden folder in which a map is being made, or was.
fn staged(project: &Project) -> Option<PathBuf> {
    let entries = fs::read_dir(project.path().join("out/map")).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(".map.")
    })
}

#[test]
fn a_map_that_is_stopped_leaves_nothing_or_what_the_next_one_removes() {
    let project = long_dynamics();
    let out = project.path().join("out/map");
    project.succeed(&MAP);
    let expected = files(&project);
    let remove = || fs::remove_dir_all(project.path().join("out")).unwrap();
    for (signal, expected_code) in [("INT", 130), ("TERM", 143)] {
        remove();
        let command = start(&project, &MAP);
        wait_for(|| staged(&project));
        send(signal, command.id());
        let output = command.wait_with_output().unwrap();
        assert_eq!(code(output.status), expected_code, "{}", said(&output));
        let hint = "hint: no map was made; the same command begins anew";
        assert!(said(&output).contains(hint), "{}", said(&output));
        assert!(!project.path().join("out").exists(), "{signal}");
        project.succeed(&MAP);
        assert_same_files(&expected, &project, signal);
    }
    // The map of before stays, whatever happens to the next.
    let mut command = start(&project, &MAP);
    wait_for(|| staged(&project));
    command.kill().unwrap();
    command.wait().unwrap();
    let left = staged(&project).unwrap();
    for (name, bytes) in &expected {
        let found = fs::read(project.path().join("out").join(name)).unwrap();
        assert!(found == *bytes, "{name}");
    }
    // What another process is making stays.
    let of_another = out.join(".map.77.tmp");
    fs::create_dir(&of_another).unwrap();
    let lock = FolderLock::take(&of_another, Sharing::Alone).unwrap();
    project.succeed(&MAP);
    assert!(!left.exists() && of_another.exists());
    drop(lock);
    project.succeed(&MAP);
    assert_same_files(&expected, &project, "");
}
