//! Grids of trainings on subsets, as a user runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use enginora_rs::config::ExperimentConfig;
use enginora_rs::map::map_table;
use enginora_rs::pipeline::Shard;
use serde_json::json;

use crate::project::{Project, sentences};

/// Everything small: 60 examples of which a quarter is for validation, one epoch.
const CONFIG: &str = "
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
  epochs: 1
  learning_rate: 1e-2
testing: {dataset_path: test.csv, results_file: elsewhere/test.csv}
control: {dataset_path: control.csv}
experiment:
  selections:
    - ambiguous
    - {name: mixed, rules: {high_aum: 0.75, easy_to_learn: 0.25}}
  fractions: [0.1, 0.5, 1]
  seeds: 2
";

fn tiny_grid() -> Project {
    let project = Project::new();
    project.write("train.csv", &sentences("train", 60));
    project.write("test.csv", &sentences("test", 10));
    project.write("control.csv", &sentences("control", 6));
    project.write("grid.yaml", CONFIG);
    project
}

const EXPERIMENT: [&str; 3] = ["experiment", "--config", "grid.yaml"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&EXPERIMENT[..], more].concat()
}

/// The folders of the cells, by what their configs ask for.
fn cells(project: &Project, output_dir: &str) -> BTreeMap<String, PathBuf> {
    let folder = project.path().join(output_dir).join("cells");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| {
            let text = fs::read_to_string(entry.path().join("config.resolved.yaml")).unwrap();
            let (_, section) = text.split_once("\nexperiment:").unwrap();
            (section.to_owned(), entry.path())
        })
        .collect()
}

/// The bytes of every cell's files, by its id and their names.
fn files(project: &Project, output_dir: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = project.path().join(output_dir).join("cells");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The rows of a printed table, one space between columns.
fn rows(text: &str) -> Vec<String> {
    let lines = text.lines();
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    words.collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_grid_trains_every_cell_once_and_gathers_what_came_out() {
    let project = tiny_grid();
    let plan = project.succeed(&with(&["--plan"]));
    assert!(plan.contains("\n14 cells, 0 done; 14 to train"), "{plan}");
    // 45 of the 60 examples are trained on.
    for row in ["all 1 11 45 1 6 ", "mixed 0.5 12 22 1 3 "] {
        assert!(
            rows(&plan).iter().any(|r| r.starts_with(row)),
            "{row} in {plan}"
        );
    }
    assert!(!project.path().join("out/cells").exists());

    let printed = project.succeed(&EXPERIMENT);
    assert!(printed.contains("14 cells in out"), "{printed}");
    let first = files(&project, "out");
    assert_eq!(cells(&project, "out").len(), 14);
    assert!(
        !project.path().join("elsewhere").exists(),
        "no cell's results lie elsewhere"
    );
    let results = project.read("out/results.csv");
    for row in [
        "ambiguous,0.5,11,22,test,",
        "random,0.1,12,4,control,",
        "all,1,11,45,test,",
    ] {
        assert!(results.contains(row), "{row} in {results}");
    }
    for (section, folder) in cells(&project, "out") {
        let is_whole = section.contains("fractions:\n  - 1.0");
        for name in [
            "metrics.yaml",
            "history.jsonl",
            "manifest.json",
            "predictions_test.csv",
        ] {
            assert!(folder.join(name).is_file(), "{name}");
        }
        assert!(!folder.join("best_model").exists());
        assert_eq!(folder.join("data_map.parquet").exists(), is_whole);
        assert_eq!(folder.join("selection.csv").exists(), !is_whole);
    }
    assert!(
        !first
            .keys()
            .any(|name| name.to_string_lossy().contains("claim"))
    );

    let plan = project.succeed(&with(&["--plan"]));
    assert!(plan.contains("\n14 cells, 14 done; 0 to train"), "{plan}");
    let again = project.run(&EXPERIMENT);
    assert!(
        said(&again).contains("14 done, 0 to do"),
        "{}",
        said(&again)
    );
    assert_eq!(first, files(&project, "out"));
    assert_eq!(results, project.read("out/results.csv"));
}

#[test]
fn only_a_cell_without_its_manifest_is_trained_anew() {
    let project = tiny_grid();
    project.succeed(&EXPERIMENT);
    let first = files(&project, "out");
    let cells = cells(&project, "out");
    let (_, folder) = cells
        .iter()
        .find(|(section, _)| section.contains("mixed"))
        .unwrap();
    fs::remove_file(folder.join("manifest.json")).unwrap();
    fs::write(folder.join("left over"), "by a run that was killed").unwrap();
    let again = project.run(&EXPERIMENT);
    assert!(
        said(&again).contains("13 done, 1 to do"),
        "{}",
        said(&again)
    );
    assert!(
        said(&again).contains("cell 1 of 1: mixed"),
        "{}",
        said(&again)
    );
    assert_eq!(first, files(&project, "out"));
}

#[test]
fn results_that_were_changed_are_not_gathered_and_the_cell_to_remove_is_named() {
    let project = tiny_grid();
    project.succeed(&EXPERIMENT);
    let first = files(&project, "out");
    let (_, folder) = cells(&project, "out").pop_last().unwrap();
    let metrics = folder.join("metrics.yaml");
    let changed = fs::read_to_string(&metrics).unwrap() + "\n";
    let check = |code: i32, expected: &str| {
        let output = project.run(&EXPERIMENT);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        let hint = format!(
            "{}, and the same command",
            folder.file_name().unwrap().display()
        );
        for expected in [expected, &hint] {
            assert!(said(&output).contains(expected), "{}", said(&output));
        }
    };
    fs::write(&metrics, changed).unwrap();
    check(
        76,
        "not the file that `manifest.json` beside it has the hash of",
    );
    fs::remove_file(&metrics).unwrap();
    check(66, "metrics.yaml: cannot read");
    fs::remove_dir_all(&folder).unwrap();
    project.succeed(&EXPERIMENT);
    assert_eq!(first, files(&project, "out"));
}

#[test]
fn parts_and_jobs_give_the_same_bytes_as_one_after_the_other() {
    let project = tiny_grid();
    project.succeed(&EXPERIMENT);
    let jobs = project.run(&with(&["--jobs", "2", "--output-dir", "jobs"]));
    assert!(jobs.status.success(), "{}", said(&jobs));
    assert!(
        said(&jobs).contains("2 cells side by side"),
        "{}",
        said(&jobs)
    );
    for shard in ["1/2", "2/2"] {
        let part = project.succeed(&with(&["--shard", shard, "--output-dir", "parts"]));
        let collect = "experiment --config grid.yaml --output-dir parts --collect\n";
        assert!(part.ends_with(collect), "{part}");
        assert!(!project.path().join("parts/results.csv").exists());
    }
    let page = project.run(&["report", "parts"]);
    assert!(
        said(&page).contains("are not gathered yet"),
        "{}",
        said(&page)
    );
    project.succeed(&with(&["--collect", "--output-dir", "parts"]));
    for other in ["jobs", "parts"] {
        assert!(files(&project, "out") == files(&project, other), "{other}");
        let results = |folder: &str| project.read(&format!("{folder}/results.csv"));
        assert_eq!(results("out"), results(other));
    }
}

#[test]
fn a_cells_config_reproduces_it_elsewhere() {
    let project = tiny_grid();
    project.succeed(&EXPERIMENT);
    let cells = cells(&project, "out");
    let (_, folder) = cells
        .iter()
        .find(|(section, _)| section.contains("mixed"))
        .unwrap();
    let config = folder.join("config.resolved.yaml");
    let config = config.to_str().unwrap();
    project.succeed(&["experiment", "--config", config, "--output-dir", "again"]);
    let (all, again) = (files(&project, "out"), files(&project, "again"));
    assert!(
        again
            .keys()
            .any(|name| name.starts_with(folder.file_name().unwrap()))
    );
    for (name, bytes) in again {
        assert!(all[&name] == bytes, "{}", name.display());
    }
}

/// A job array's part, by the program that its tasks run.
fn array_task(project: &Project, variables: &[(&str, &str)]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/slurm-array.sh");
    Command::new("sh")
        .arg(script)
        .args(["grid.yaml", "--output-dir", "array"])
        .current_dir(project.path())
        .env("RAYON_NUM_THREADS", "2")
        .env("ENGINORA_RS", env!("CARGO_BIN_EXE_enginora-rs"))
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn the_tasks_of_a_slurm_array_do_the_grid() {
    let project = tiny_grid();
    for task in ["3", "5"] {
        let output = array_task(
            &project,
            &[
                ("SLURM_ARRAY_TASK_ID", task),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
                ("SLURM_ARRAY_TASK_MIN", "3"),
                ("SLURM_ARRAY_TASK_STEP", "2"),
            ],
        );
        assert!(output.status.success(), "{}", said(&output));
        let part = if task == "3" { "part 1/2" } else { "part 2/2" };
        assert!(said(&output).contains(part), "{}", said(&output));
    }
    assert_eq!(cells(&project, "array").len(), 14);
    let wrong = array_task(&project, &[("SLURM_ARRAY_TASK_ID", "1")]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}

#[test]
fn a_job_arrays_variables_mean_a_part() {
    let check = |variables: &[(&str, &str)], expected: Result<Option<&str>, &str>| {
        let value_of = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let got = Shard::of_job_array(value_of);
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(
                got.map(|shard| shard.to_string()).as_deref(),
                expected,
                "{variables:?}"
            ),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (got, _) => panic!("{variables:?} gave {got:?}"),
        }
    };
    let slurm = |id, count, first| {
        [
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_COUNT", count),
            ("SLURM_ARRAY_TASK_MIN", first),
        ]
    };
    check(&[], Ok(None));
    check(&slurm("1", "8", "1"), Ok(Some("1/8")));
    check(&slurm("0", "8", "0"), Ok(Some("1/8")));
    check(&slurm("12", "8", "5"), Ok(Some("8/8")));
    check(
        &slurm("9", "8", "1"),
        Err("is 9, which is none of the 8 tasks from 1 on"),
    );
    check(&slurm("x", "8", "1"), Err("`SLURM_ARRAY_TASK_ID` is `x`"));
    check(
        &[("SLURM_ARRAY_TASK_ID", "1")],
        Err("`SLURM_ARRAY_TASK_ID` is set, but `SLURM_ARRAY_TASK_COUNT` is not"),
    );
    let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETION_COUNT", "4")];
    check(&kubernetes, Ok(Some("1/4")));
    check(
        &[("JOB_COMPLETION_INDEX", "4"), ("JOB_COMPLETION_COUNT", "4")],
        Err("none of the 4 tasks"),
    );
}

#[test]
fn parts_deal_everything_out_once() {
    for n in 1..6 {
        let shards: Vec<Shard> = (1..=n)
            .map(|i| format!("{i}/{n}").parse().unwrap())
            .collect();
        for position in 0..20 {
            let has = shards.iter().filter(|shard| shard.has(position)).count();
            assert_eq!(has, 1, "{position} of {n} parts");
        }
    }
    for text in ["0/2", "3/2", "1", "a/2", "1/", "-1/2"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}

#[test]
fn a_cell_that_fails_loses_none_of_the_others() {
    let project = tiny_grid();
    let plan = rows(&project.succeed(&with(&["--plan"])));
    let all = plan
        .iter()
        .find(|row| row.starts_with("all 1 11 45 "))
        .unwrap();
    let id = all.split(' ').nth(6).unwrap();
    project.write(&format!("out/cells/{id}"), "in the way");
    let output = project.run(&EXPERIMENT);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("9 of 14 cells failed"), "{said}");
    assert!(said.contains("all 1 seed 11: "), "{said}");
    assert!(
        said.contains("mixed 0.1 seed 12: there is no map to pick by"),
        "{said}"
    );
    let results = project.read("out/results.csv");
    for row in ["random,0.5,11,22,test,", "all,1,12,45,control,"] {
        assert!(results.contains(row), "{row} in {results}");
    }
    assert!(!results.contains("ambiguous"), "{results}");
}

#[test]
fn equal_steps_go_through_small_subsets_more_often() {
    let project = tiny_grid();
    let plan = project.succeed(&with(&["--plan", "--set", "experiment.budget=steps"]));
    // Everything is 45 examples, 6 steps of 8; 4 examples make a step, 22 make 3.
    for row in ["random 0.1 11 4 6 6 ", "random 0.5 11 22 2 6 "] {
        assert!(
            rows(&plan).iter().any(|r| r.starts_with(row)),
            "{row} in {plan}"
        );
    }
}

/// Texts to test on may be much longer than those that are trained on.
#[test]
fn a_plan_reckons_with_the_length_of_the_texts_that_are_tested_on() {
    let project = tiny_grid();
    let long = |id: usize| format!("test{id},{},{}\n", "good plot ".repeat(15), id % 2);
    let rows: String = (0..4_000).map(long).collect();
    project.write("long.csv", &format!("id,text,label\n{rows}"));
    let short = |id: usize| format!("train{id},good,{}\n", id % 2);
    let rows: String = (0..60).map(short).collect();
    project.write("train.csv", &format!("id,text,label\n{rows}"));
    let plan = project.succeed(&with(&[
        "--plan",
        "--set",
        "testing.dataset_path=long.csv",
        "--set",
        "experiment={fractions: [1], seeds: 400}",
    ]));
    // All but nothing of it is testing: 400 cells x 4,000 texts of 32 tokens, where 3 are trained on.
    let passes = 400.0 * 4_000.0 * 32.0 / 3.0;
    let last = plan.lines().last().unwrap();
    let words: Vec<&str> = last.split(' ').collect();
    let (minutes, seconds) = words[1].split_once(':').unwrap();
    let seconds = 60.0 * minutes.parse::<f64>().unwrap() + seconds.parse::<f64>().unwrap();
    let at = words.iter().position(|word| *word == "at").unwrap();
    let per_second: f64 = words[at + 1].parse().unwrap();
    let found = seconds * 3.0 * per_second;
    assert!(
        (found / passes - 1.0).abs() < 0.2,
        "{found} for {passes}: {last}"
    );
}

#[test]
fn training_on_everything_is_the_same_cell_by_epochs_and_by_steps() {
    let project = tiny_grid();
    let of_everything = |budget: &str| {
        let plan = project.succeed(&with(&["--plan", "--set", budget]));
        let mut rows = rows(&plan);
        rows.retain(|row| row.starts_with("all "));
        let ids = rows
            .iter()
            .map(|row| row.split(' ').nth(6).unwrap().to_owned());
        ids.collect::<Vec<String>>()
    };
    let by_epochs = of_everything("experiment.budget=epochs");
    assert_eq!(by_epochs.len(), 2);
    assert_eq!(by_epochs, of_everything("experiment.budget=steps"));
}

#[test]
fn a_claim_of_a_dead_process_is_taken_over() {
    let project = tiny_grid();
    let cells_folder = project.path().join("out/cells");
    fs::create_dir_all(&cells_folder).unwrap();
    let plan = project.succeed(&with(&["--plan"]));
    let id_of = |row: &str| {
        let row = plan.lines().find(|line| line.starts_with(row)).unwrap();
        row.split_whitespace().nth(6).unwrap().to_owned()
    };
    // One of another machine that has not been refreshed for long.
    let old = cells_folder.join(format!(".{}.claim-1", id_of("all")));
    fs::write(&old, "another-machine 1 1\n").unwrap();
    let file = fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let output = project.run(&EXPERIMENT);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!old.exists());
    assert_eq!(cells(&project, "out").len(), 14);
}

#[test]
fn what_is_wrong_with_a_grid_is_said_before_anything_is_trained() {
    let project = tiny_grid();
    let check = |setting: &str, code: i32, expected: &str| {
        let output = project.run(&with(&["--set", setting]));
        assert!(
            said(&output).contains(expected),
            "{setting}: {}",
            said(&output)
        );
        assert_eq!(output.status.code(), Some(code), "{setting}");
        assert!(!project.path().join("out/cells").exists());
    };
    check(
        "experiment.fractions=[0.01]",
        78,
        "the fraction 0.01 of 45 examples leaves none",
    );
    check(
        "training.selectors=[{name: data_cartography, args: {random: 0.5}}]",
        78,
        "`training.selectors[0]` goes by a data map, but an experiment makes its own",
    );
    let collect = project.run(&with(&["--collect"]));
    assert_eq!(collect.status.code(), Some(66), "{}", said(&collect));
    assert!(said(&collect).contains("no cell of this experiment is done"));
}

#[test]
fn a_subset_can_be_picked_by_every_signal_of_a_runs_map() {
    let table = map_table(&[], &[]);
    let signals = table
        .names()
        .filter(|name| !["guid", "index", "label"].contains(name));
    let mut n = 0;
    for signal in signals {
        let section = json!({"selections": [format!("low_{signal}")], "fractions": [0.5]});
        let section: ExperimentConfig = serde_json::from_value(section).unwrap();
        assert!(section.resolve(1).is_ok(), "{signal}");
        n += 1;
    }
    assert_eq!(n, 15);
}
