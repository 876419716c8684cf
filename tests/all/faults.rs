//! Disks that fail and machines that stop, at every operation on files of a whole run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use enginora_rs::error::{ErrorKind, Result};
use enginora_rs::fsio::faults::{Fault, with_fault};
use enginora_rs::pipeline::{ConfigOptions, Console, DeviceChoice, Start, run_loop};

use crate::project::{CONFIG, Project, tiny_project};

/// What can go wrong with an operation.
const FAULTS: [Fault; 3] = [
    Fault::Fails(io::ErrorKind::StorageFull),
    Fault::Fails(io::ErrorKind::PermissionDenied),
    Fault::Stops,
];

/// Operations that are tried in a usual test run; with `FAULTS=all` each is.
const N_TRIED: usize = 10;

/// The tiny project with absolute paths, as it runs inside of this process.
fn project() -> Project {
    let project = tiny_project();
    let folder = project.path().display().to_string();
    let config = CONFIG
        .replace(
            "data: {output_dir: out}",
            &format!("data: {{data_dir: '{folder}', output_dir: '{folder}/out'}}"),
        )
        .replace("epochs: 3", "epochs: 2\n  save_steps: 3");
    project.write("run.yaml", &config);
    project
}

fn run(project: &Project, start: Start) -> Result<()> {
    let options = ConfigOptions {
        config: project.path().join("run.yaml"),
        ..ConfigOptions::default()
    };
    run_loop(&options, start, DeviceChoice::Cpu, &Console::new(false))
}

/// All files below `out` that hold no times, through links, as these may also be copies.
fn files(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    gather(&project.path().join("out"), "", &mut files);
    files.retain(|name, _| {
        let is_marker = Path::new(name).extension().is_some_and(|e| e == "shown");
        !name.ends_with("run.log") && name != ".lock" && !is_marker
    });
    files
}

fn gather(folder: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            gather(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// The runs print their summaries, so they are made in a process whose output is only shown when
/// something is wrong.
#[test]
fn whichever_operation_fails_or_is_the_last_the_run_can_go_on_to_the_same_bytes() {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args([
            "--exact",
            "faults::of_every_operation",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let tried = said.lines().find(|line| line.contains(" operations, "));
    eprintln!("{}", tried.unwrap());
}

#[test]
#[ignore = "the test above runs it"]
fn of_every_operation() {
    let project = project();
    let out = project.path().join("out");
    let never = (Fault::Stops, usize::MAX);
    let (result, n_operations) = with_fault(never.0, never.1, || run(&project, Start::Anew));
    result.unwrap();
    let expected = files(&project);
    let tries_all = std::env::var("FAULTS").is_ok_and(|which| which == "all");
    let stride = if tries_all { 1 } else { n_operations / N_TRIED };
    let mut n_failed = 0;
    for (i, fault) in FAULTS.into_iter().enumerate() {
        // Not the same operations for each.
        for at in (i * stride / FAULTS.len()..n_operations).step_by(stride) {
            let what = format!("{fault:?} at operation {at} of {n_operations}");
            fs::remove_dir_all(&out).unwrap();
            let (result, _) = with_fault(fault, at, || run(&project, Start::Anew));
            match result {
                Err(error) => {
                    n_failed += 1;
                    let kind = error.kind();
                    let is_expected = matches!(kind, ErrorKind::CannotCreate | ErrorKind::Io);
                    assert!(is_expected, "{what}: {error}");
                    assert!(error.problems()[0].location.is_some(), "{what}: {error}");
                }
                // Of links there are copies then, and tokens are kept or not.
                Ok(()) => assert_ne!(fault, Fault::Stops, "{what}"),
            }
            // What failed may be the making of the folder.
            fs::create_dir_all(&out).unwrap();
            run(&project, Start::Resume).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = files(&project);
            let names = expected.keys().chain(found.keys());
            let differing: Vec<_> = names
                .filter(|name| expected.get(*name) != found.get(*name))
                .collect();
            assert!(differing.is_empty(), "{what}: {differing:?}");
        }
    }
    assert!(n_failed > 0);
    eprintln!("{n_operations} operations, {n_failed} failures");
}
