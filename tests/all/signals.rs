//! Signals, locks and full disks.
#![cfg(unix)]

use std::fs;
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::project::{LOOP, Project};
use crate::resume::{RESUME, assert_same_files, files, longer_project, said, start};

pub fn send(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([&format!("-{signal}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Waits until the run has made its first checkpoint.
fn wait_for_training(project: &Project) {
    let begin = Instant::now();
    let path = project.path().join("out/runs/0001/checkpoints");
    let has_one = || {
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        entries
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("epoch-"))
    };
    while !has_one() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_micros(200));
    }
}

pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("{status}"))
}

#[test]
fn a_signal_in_training_saves_a_checkpoint_and_says_how_to_go_on() {
    let project = longer_project();
    project.succeed(&LOOP);
    let expected = files(&project);
    for (signal, expected_code) in [("INT", 130), ("TERM", 143)] {
        fs::remove_dir_all(project.path().join("out")).unwrap();
        let setting = ["--set", "training.save_steps=1"];
        let run = start(&project, &[&LOOP[..], &setting].concat());
        wait_for_training(&project);
        send(signal, run.id());
        let output = run.wait_with_output().unwrap();
        assert_eq!(code(output.status), expected_code, "{}", said(&output));
        assert!(
            said(&output).contains(&format!("stopped by SIG{signal}")),
            "{}",
            said(&output)
        );
        let hint =
            "`enginora-rs loop --config run.yaml --set 'training.save_steps=1' --resume` goes on";
        assert!(said(&output).contains(hint), "{}", said(&output));
        let output = project.run(&[&RESUME[..], &setting].concat());
        assert!(
            said(&output).contains("going on from the checkpoint"),
            "{}",
            said(&output)
        );
        assert_same_files(&expected, &project, "");
    }
}

#[test]
fn a_signal_at_any_moment_ends_a_run_that_goes_on_to_the_same_bytes() {
    let project = longer_project();
    let begin = Instant::now();
    project.succeed(&LOOP);
    let whole = begin.elapsed();
    let expected = files(&project);
    fs::remove_dir_all(project.path().join("out")).unwrap();
    let n_moments = 12;
    let mut n_stopped = 0;
    for moment in 0..n_moments {
        let run = start(&project, &RESUME);
        sleep(whole.mul_f64(f64::from(moment) / f64::from(n_moments)));
        let signals = if moment % 3 == 0 { 2 } else { 1 };
        for _ in 0..signals {
            let _ = Command::new("kill")
                .args(["-TERM", &run.id().to_string()])
                .output();
        }
        let output = run.wait_with_output().unwrap();
        // None: a signal before the program listens ends it as signals do.
        let ended = output.status.code();
        assert!(
            matches!(ended, None | Some(143 | 0)),
            "{ended:?} {}",
            said(&output)
        );
        n_stopped += usize::from(ended == Some(143));
    }
    assert!(n_stopped > 2, "{n_stopped}");
    let output = project.run(&RESUME);
    assert!(output.status.success(), "{}", said(&output));
    assert_same_files(&expected, &project, "");
}

#[test]
fn a_second_run_in_an_output_folder_touches_nothing() {
    let project = longer_project();
    let mut run = start(&project, &LOOP);
    wait_for_training(&project);
    for arguments in [&LOOP[..], &RESUME[..]] {
        let output = project.run(arguments);
        assert_eq!(output.status.code(), Some(75), "{}", said(&output));
        assert!(
            said(&output).contains("another process"),
            "{}",
            said(&output)
        );
    }
    assert!(!project.path().join("out/runs/0002").exists());
    run.kill().unwrap();
    run.wait().unwrap();
    project.succeed(&RESUME);
}

/// The commands that a shell runs where it may mount: a run on a disk of `$2` bytes, then the same
/// on one that is large enough.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=$2 tmpfs out || exit 99
"$1" loop --config run.yaml 2> first.log > /dev/null; echo $? > first.code
ls out/runs/0001/checkpoints > kept 2> /dev/null
mount -o remount,size=64m out
"$1" loop --config run.yaml --resume 2> second.log > /dev/null || exit 98
cp -a out/. copied
"#;

#[test]
fn a_run_on_a_disk_that_gets_full_says_so_and_goes_on_when_there_is_room() {
    let project = longer_project();
    project.succeed(&LOOP);
    let expected = files(&project);
    let folder = project.path();
    let mut codes = Vec::new();
    for kilobytes in [16, 64, 160, 320, 480, 640, 800, 1200] {
        for name in ["out", "copied"] {
            let _ = fs::remove_dir_all(folder.join(name));
            fs::create_dir(folder.join(name)).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_enginora-rs");
        let size = format!("{kilobytes}k");
        let output = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                ON_A_SMALL_DISK,
            ])
            .args(["sh", program, &size])
            .current_dir(folder)
            .output();
        let Ok(output) = output.inspect_err(|e| eprintln!("skipped: no `unshare`: {e}")) else {
            return;
        };
        if output.status.code() != Some(98) && !output.status.success() {
            eprintln!("skipped: no disk may be mounted here: {}", said(&output));
            return;
        }
        assert!(
            output.status.success(),
            "{size}: {}",
            project.read("second.log")
        );
        let code: i32 = project.read("first.code").trim().parse().unwrap();
        let log = project.read("first.log");
        match code {
            0 => {}
            73 | 74 => {
                assert!(log.contains("space"), "{size}: {log}");
                if log.contains("checkpoints/") {
                    assert!(log.contains("a checkpoint needs "), "{size}: {log}");
                }
            }
            _ => panic!("{size}: {code}: {log}"),
        }
        codes.push(code);
        fs::remove_dir(folder.join("out")).unwrap();
        fs::rename(folder.join("copied"), folder.join("out")).unwrap();
        assert_same_files(&expected, &project, &format!("{size}: "));
    }
    assert!(
        codes.iter().filter(|code| **code != 0).count() > 2,
        "{codes:?}"
    );
}
