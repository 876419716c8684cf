//! `dvc add` at the end of a run, with a program of that name that writes down how it is called.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::project::{LOOP, Project, tiny_project};
use crate::resume::RESUME;
use crate::trackers::{run_with, said};

/// A project with a `dvc` on its path, which refuses to add the control set.
fn project_with_dvc() -> (Project, String) {
    let project = tiny_project();
    let log = project.path().join("dvc.log");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\ncase $2 in *control.csv) echo 'tracked by git' >&2; exit 1;; esac\n\
         case $1 in add) touch $2.dvc;; esac\n",
        log.display()
    );
    project.write("bin/dvc", &script);
    let program = project.path().join("bin/dvc");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
    (project, path)
}

#[test]
fn the_data_sets_and_the_run_are_added() {
    let check = |settings: &[&str], expected: &[&str]| {
        let (project, path) = project_with_dvc();
        let mut arguments = LOOP.to_vec();
        arguments.extend(["--set", "dvc.enabled=true", "--set", "training.epochs=1"]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let output = run_with(&project, &arguments, &[("PATH", &path)]);
        assert!(output.status.success(), "{}", said(&output));
        let log = project.read("dvc.log");
        assert_eq!(log.lines().collect::<Vec<_>>(), expected, "{settings:?}");
        if expected.contains(&"add control.csv") {
            let warning = "`dvc add control.csv` failed: tracked by git";
            assert!(said(&output).contains(warning), "{}", said(&output));
        }
    };
    let data = [
        "version",
        "add train.csv",
        "add test.csv",
        "add control.csv",
    ];
    check(&[], &[&data[..], &["add out/runs/0001"]].concat());
    check(
        &[
            "dvc.track_model=false",
            "dvc.training={track_dataset: false, track_results: false}",
        ],
        &[
            "version",
            "add test.csv",
            "add control.csv",
            "add out/runs/0001/config.resolved.yaml",
            "add out/runs/0001/history.jsonl",
            "add out/runs/0001/manifest.json",
            "add out/runs/0001/metrics.yaml",
            "add out/runs/0001/predictions_control.csv",
            "add out/runs/0001/predictions_test.csv",
            "add out/runs/0001/report.html",
            "add out/runs/0001/trainer_state.json",
        ],
    );
    check(
        &["control={dataset_path: control.csv, results_file: elsewhere/c.csv}"],
        &[&data[..], &["add elsewhere/c.csv", "add out/runs/0001"]].concat(),
    );
}

#[test]
fn a_missing_dvc_is_said_before_training_and_loses_nothing() {
    let project = tiny_project();
    project.write("empty/file", "");
    let path = project.path().join("empty").display().to_string();
    let arguments = [
        &LOOP[..],
        &["--set", "dvc.enabled=true", "--set", "training.epochs=1"],
    ]
    .concat();
    let output = run_with(&project, &arguments, &[("PATH", &path)]);
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    let warned = said.find("there is no program `dvc`").unwrap();
    assert!(warned < said.find("training on").unwrap(), "{said}");
    assert!(said.contains("`dvc add out/runs/0001` failed"), "{said}");
    assert!(project.path().join("out/metrics.yaml").exists());
}

#[test]
fn a_complete_run_that_was_not_added_is_added_when_it_is_resumed() {
    let (project, path) = project_with_dvc();
    project.write("empty/file", "");
    let without = project.path().join("empty").display().to_string();
    let settings = [
        "dvc.enabled=true",
        "dvc.control={track_dataset: false}",
        "training.epochs=1",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", *setting]);
    let arguments: Vec<&str> = RESUME.into_iter().chain(settings).collect();
    let run = |path: &str| {
        let output = run_with(&project, &arguments, &[("PATH", path)]);
        assert!(output.status.success(), "{}", said(&output));
    };
    run(&without);
    let manifest = project.manifest("out/runs/0001");
    run(&path);
    let expected = [
        "version",
        "add train.csv",
        "add test.csv",
        "add out/runs/0001",
    ];
    assert_eq!(
        project.read("dvc.log").lines().collect::<Vec<_>>(),
        expected
    );
    // Once is enough.
    run(&path);
    assert_eq!(project.read("dvc.log").lines().count(), expected.len());
    assert_eq!(manifest, project.manifest("out/runs/0001"));
}

#[test]
fn without_dvc_in_the_config_no_program_is_run() {
    let (project, path) = project_with_dvc();
    let arguments = [&LOOP[..], &["--set", "training.epochs=1"]].concat();
    assert!(
        run_with(&project, &arguments, &[("PATH", &path)])
            .status
            .success()
    );
    assert!(!project.path().join("dvc.log").exists());
}
