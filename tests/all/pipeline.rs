//! The program as a user runs it, on tiny data and tiny models.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::project::{CONFIG, LOOP, Project, sentences, tiny_project};

#[test]
fn a_run_leaves_everything_that_the_summary_names() {
    let project = tiny_project();
    let summary = project.succeed(&LOOP);
    let expected = [
        "best_model/config.json",
        "best_model/model.safetensors",
        "best_model/tokenizer.json",
        "best_model/tokenizer_config.json",
        "best_model/vocab.txt",
        "config.resolved.yaml",
        "data_map.png",
        "data_map.svg",
        "history.jsonl",
        "map.jsonl",
        "metrics.yaml",
        "predictions_control.csv",
        "predictions_test.csv",
        "report.html",
        "trainer_state.json",
        "training_dynamics/epoch=0/part-0.parquet",
        "training_dynamics/epoch=1/part-0.parquet",
        "training_dynamics/epoch=2/part-0.parquet",
    ];
    let manifest = project.manifest("out/runs/0001");
    assert_eq!(manifest.keys().collect::<Vec<_>>(), expected);
    for name in expected {
        assert!(
            project.path().join("out").join(name).exists(),
            "{name} is not shown in out/"
        );
    }
    for line in summary.lines().filter(|line| line.contains("out/")) {
        let path = line
            .split_whitespace()
            .last()
            .unwrap()
            .trim_end_matches(':');
        assert!(
            project.path().join(path).exists(),
            "the summary names {path}"
        );
    }
    for stage in ["train", "validation", "test", "control"] {
        assert!(
            project
                .read("out/metrics.yaml")
                .contains(&format!("{stage}:\n")),
            "{stage}"
        );
    }
    // 3 evaluations of the validation set, and the best model's on 4 stages.
    assert_eq!(project.read("out/history.jsonl").lines().count(), 7);
    assert_eq!(project.read("out/predictions_test.csv").lines().count(), 11);
    let map = project.read("out/map.jsonl");
    assert_eq!(
        map.lines().count(),
        36,
        "the training set after the validation split"
    );
    let indices: Vec<i64> = map
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["index"]
                .as_i64()
                .unwrap()
        })
        .collect();
    assert!(
        indices.is_sorted(),
        "the map is in the order of the training file"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_one_thread_and_with_two() {
    let project = tiny_project();
    let run = |seed: &str, threads: &str| {
        let seed = format!("random_state={seed}");
        let arguments = [&LOOP[..], &["--set", &seed]].concat();
        assert!(
            project
                .run_with_threads(&arguments, threads)
                .status
                .success()
        );
    };
    run("11", "1");
    run("11", "1");
    run("11", "2");
    run("12", "2");
    let first = project.manifest("out/runs/0001");
    assert_eq!(
        first,
        project.manifest("out/runs/0002"),
        "the same run twice"
    );
    assert_eq!(
        first,
        project.manifest("out/runs/0003"),
        "another number of threads"
    );
    let other = project.manifest("out/runs/0004");
    for name in [
        "best_model/model.safetensors",
        "metrics.yaml",
        "training_dynamics/epoch=0/part-0.parquet",
    ] {
        assert_ne!(first[name], other[name], "{name} should depend on the seed");
    }
}

#[test]
fn dynamics_recorded_during_training_are_those_of_the_training_pass() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let during = [&LOOP[..], &["--set", "cartography.record=during_training"]].concat();
    project.succeed(&during);
    let (end, during) = (
        project.manifest("out/runs/0001"),
        project.manifest("out/runs/0002"),
    );
    assert_eq!(
        end["best_model/model.safetensors"], during["best_model/model.safetensors"],
        "recording changes nothing"
    );
    for epoch in 0..3 {
        let name = format!("training_dynamics/epoch={epoch}/part-0.parquet");
        assert_ne!(end[&name], during[&name]);
    }
}

#[test]
fn a_subset_run_trains_on_what_the_map_of_the_earlier_run_picks() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let before = project.manifest("out/runs/0001");
    let selector = "training.selectors=[{name: data_cartography, args: {ambiguous: 0.25, easy-to-learn: 0.25}}]";
    let off = "training.perform_data_cartography=false";
    let summary = project.succeed(&[&LOOP[..], &["--set", selector, "--set", off]].concat());
    assert!(summary.contains("selection.csv"), "{summary}");
    // 36 examples after the split: 9 of each region.
    let selection = project.read("out/selection.csv");
    assert_eq!(
        selection
            .lines()
            .filter(|line| line.contains(",ambiguous,"))
            .count(),
        9
    );
    assert_eq!(selection.lines().count(), 19);
    assert!(!project.manifest("out/runs/0002").contains_key("map.jsonl"));
    // The first run is what it was, and its map is still shown.
    assert_eq!(before, project.manifest("out/runs/0001"));
    let shown = fs::read_link(project.path().join("out/map.jsonl")).unwrap();
    assert_eq!(shown, Path::new("runs/0001/map.jsonl"));
    let shown = fs::read_link(project.path().join("out/metrics.yaml")).unwrap();
    assert_eq!(shown, Path::new("runs/0002/metrics.yaml"));
}

/// The tiny project's config with selectors, a map neither made nor asked for.
fn with_selectors(training: &str, testing: &str) -> String {
    CONFIG
        .replace(
            "perform_data_cartography: true",
            "perform_data_cartography: false",
        )
        .replace("epochs: 3", &format!("epochs: 1\n  selectors: {training}"))
        .replace(
            "testing: {dataset_path: test.csv}",
            &format!("testing: {{dataset_path: test.csv, selectors: {testing}}}"),
        )
}

#[test]
fn a_run_says_what_its_selectors_took_and_scores_its_slices() {
    let project = tiny_project();
    let selectors = "
    - {name: slicing, args: {slices: {film: {pattern: film}, first: {column: id, in: [train-0, test-0]}}}}
    - {name: command, args: {command: \"sed -n 's/lovely/splendid/; 3,$p'\"}}
    - {name: random_under_sampler, args: {sampling_strategy: {'0': 10}}}";
    let testing = "[{name: slicing, args: {slices: {music: {pattern: music}, film: {pattern: film}}, keep: [music, film]}}]";
    project.write("run.yaml", &with_selectors(selectors, testing));
    let plan = project.succeed(&["validate", "--config", "run.yaml"]);
    assert!(
        plan.contains("would run `sed -n 's/lovely/splendid/; 3,$p'` on 36 examples"),
        "{plan}"
    );
    assert!(!project.path().join("out").exists());

    let summary = project.succeed(&LOOP);
    assert!(summary.contains("selection.csv"), "{summary}");
    let steps: Value = serde_yaml::from_str(&project.read("out/selection.yaml")).unwrap();
    let flow = |stage: &str| -> Vec<(u64, u64)> {
        let steps = steps[stage].as_array().unwrap().iter();
        let n = |step: &Value, key: &str| step[key].as_u64().unwrap();
        steps
            .map(|s| (n(s, "examples_in"), n(s, "examples_out")))
            .collect()
    };
    let train = flow("train");
    assert_eq!(train[..2], [(36, 36), (36, 34)]);
    let test = flow("test");
    assert!(test[0].0 == 10 && test[0].1 < 10, "{test:?}");
    // A line for everyone who is in, and for everyone who is out.
    let n_lines = |name: &str| project.read(name).lines().count() - 1;
    let n_out = train[2].1 as usize;
    assert_eq!(n_lines("out/selection.csv"), n_out);
    assert_eq!(n_lines("out/selection_dropped.csv"), 36 - n_out);
    assert_eq!(n_lines("out/selection_test.csv"), test[0].1 as usize);
    assert_eq!(
        n_lines("out/selection_test_dropped.csv"),
        10 - test[0].1 as usize
    );
    let header = project.read("out/selection.csv");
    assert!(
        header.starts_with("guid,index,slice_film,slice_first,slice_music\n"),
        "{header}"
    );
    let texts = project.read("out/selection_texts.jsonl");
    let n_new = steps["train"][1]["new_texts"].as_u64().unwrap();
    assert!(
        n_new > 0 && texts.lines().count() == n_new as usize,
        "{texts}"
    );
    assert!(
        texts
            .lines()
            .all(|l| l.contains("splendid") && l.contains("lovely")),
        "{texts}"
    );

    let metrics: Value = serde_yaml::from_str(&project.read("out/metrics.yaml")).unwrap();
    for stage in ["train", "validation", "test", "control"] {
        let scores = &metrics[stage]["slicing_scores"];
        let n = &scores["n_examples"];
        assert!(n["film"].as_u64() <= n["overall"].as_u64(), "{stage} {n}");
        assert_eq!(
            scores["accuracy_score"]["overall"],
            metrics[stage]["accuracy_score"]
        );
        assert_eq!(scores["f1_score"]["overall"], metrics[stage]["f1_score"]);
    }
    let test = &metrics["test"]["slicing_scores"];
    assert_eq!(
        test["n_examples"]["overall"],
        json!(steps["test"][0]["examples_out"])
    );
    // None of the control set is in this one.
    let first = &metrics["control"]["slicing_scores"];
    assert_eq!(first["n_examples"]["first"], json!(0));
    assert_eq!(first["accuracy_score"]["first"], Value::Null);
    let history = project.read("out/history.jsonl");
    assert!(
        history.lines().last().unwrap().contains("slicing_scores"),
        "{history}"
    );
}

/// The Python project scores slices as a metric, by Snorkel's names, of what a selector left.
#[test]
fn the_python_projects_slicing_config_runs() {
    let project = tiny_project();
    let config = with_selectors(
        "[{name: dummy, args: {}}, {name: slicing, args: {result_file: slicing/train_slicing.pickle, list_of_slicing_functions: [short, long]}}]",
        "[{name: slicing, args: {result_file: slicing/test_slicing.pickle}}]",
    );
    let metrics = "
metrics:
  - {name: f1_score, args: {average: macro}}
  - {name: slicing_scores, args: {base_directory: 'slicing/', default_file_name: slicing.pickle}}
";
    project.write("run.yaml", &format!("{config}{metrics}"));
    project.succeed(&LOOP);
    let metrics: Value = serde_yaml::from_str(&project.read("out/metrics.yaml")).unwrap();
    let scores = metrics["test"]["slicing_scores"].as_object().unwrap();
    assert_eq!(
        scores.keys().collect::<Vec<_>>(),
        ["n_examples", "accuracy"]
    );
    assert_eq!(
        scores["n_examples"],
        json!({"overall": 10, "short": 10, "long": 0})
    );
    assert_eq!(scores["accuracy"]["short"], scores["accuracy"]["overall"]);
    assert!(scores["accuracy"]["long"].is_null());
}

#[test]
fn a_command_that_fails_stops_the_run_before_it_starts() {
    let project = tiny_project();
    let selector =
        "[{name: dummy}, {name: command, args: {command: 'echo no such luck >&2; exit 1'}}]";
    project.write("run.yaml", &with_selectors(selector, "[]"));
    let output = project.run(&LOOP);
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stderr).unwrap();
    let place = said
        .lines()
        .find(|line| line.contains("failed: exit status: 1"))
        .unwrap();
    assert!(place.contains("run.yaml:13:62:"), "{said}");
    assert!(
        said.contains("command: no such luck") && said.contains("\n    no such luck"),
        "{said}"
    );
    assert!(!project.path().join("out").exists());
}

#[test]
fn examples_drawn_twice_are_trained_on_twice() {
    let project = tiny_project();
    let selector =
        "[{name: random_under_sampler, args: {replacement: true, sampling_strategy: all}}]";
    project.write("run.yaml", &with_selectors(selector, "[]"));
    project.succeed(&LOOP);
    let selection = project.read("out/selection.csv");
    let mut rows = selection.lines();
    assert_eq!(rows.next(), Some("guid,index,draws"));
    let draws: Vec<usize> = rows
        .map(|r| r.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(
        draws.len() < 36 && draws.iter().sum::<usize>() == 36,
        "{draws:?}"
    );
    let state: Value = serde_json::from_str(&project.read("out/trainer_state.json")).unwrap();
    assert_eq!(state["global_step"], json!(36_usize.div_ceil(8)));
}

#[test]
fn a_curriculum_follows_the_order_of_a_command() {
    let project = tiny_project();
    let history = |command: &str, is_descending: bool| {
        let selectors = format!("[{{name: command, args: {{command: {command}}}}}]");
        let config = with_selectors(&selectors, "[]");
        project.write("run.yaml", &config);
        let on = "training.curriculum_learning=true";
        let descending = format!("training.curriculum_descending={is_descending}");
        project.succeed(&[&LOOP[..], &["--set", on, "--set", &descending]].concat());
        project.read("out/history.jsonl")
    };
    let there = history("cat", false);
    assert_eq!(history("tac", true), there);
    assert_ne!(history("tac", false), there);
}

/// `n` headerless rows of id, text and one of three labels.
fn featureset(prefix: &str, n: usize) -> String {
    (0..n).fold(String::new(), |mut text, i| {
        let label = ["food", "health", "shelter"][i % 3];
        let _ = writeln!(
            text,
            "{prefix}{i},\"people need {label}, says report {i}\",{label}"
        );
        text
    })
}

#[test]
fn the_python_projects_configs_run_unmodified_one_after_the_other() {
    let project = Project::new();
    for (stage, n) in [
        ("train", 30),
        ("validation", 6),
        ("test", 6),
        ("control", 6),
    ] {
        let name = format!("data/featuresets/thedeep.subset.{stage}.txt");
        project.write(&name, &featureset(&stage[..2], n));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let work = project.path().join("experiments/cartography");
    fs::create_dir_all(&work).unwrap();
    let run = |name: &str| {
        let config = fixtures.join("seed_configs").join(name);
        let model = format!(
            "model.model_name={}",
            fixtures.join("models/bert-tiny").display()
        );
        let output = Command::new(env!("CARGO_BIN_EXE_enginora-rs"))
            .args([
                "loop",
                "--config",
                config.to_str().unwrap(),
                "--set",
                &model,
            ])
            .current_dir(&work)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run("run_data_cartography.yaml");
    let run_1 = "experiments/cartography/ClassificationBERT/runs/0001";
    let before = project.manifest(run_1);
    run("experiments_from_data_cartography_results.yaml");
    assert_eq!(
        before,
        project.manifest(run_1),
        "the first run's results are untouched"
    );
    let out = work.join("ClassificationBERT");
    let map = fs::read_link(out.join("data_cartography_metrics.pickle")).unwrap();
    assert_eq!(map, Path::new("runs/0001/data_cartography_metrics.pickle"));
    for name in [
        "file_test_results_experiment.pickle",
        "file_control_results_experiment.pickle",
    ] {
        assert!(out.join(name).exists(), "{name}");
    }
    // easy 0.3, ambiguous 0.1, random 0.6 of 30.
    let selection = fs::read_to_string(out.join("selection.csv")).unwrap();
    for (region, n) in [("easy_to_learn", 9), ("ambiguous", 3), ("random", 18)] {
        let found = selection
            .lines()
            .filter(|line| line.contains(&format!(",{region},")))
            .count();
        assert_eq!(found, n, "{region}");
    }
}

#[test]
fn pairs_of_texts_with_named_labels_train_without_a_validation_set() {
    let project = Project::new();
    let rows = (0..24).fold(String::new(), |mut text, i| {
        let label = ["entailment", "neutral", "contradiction"][i % 3];
        let _ = writeln!(
            text,
            "{{\"id\": {i}, \"sentence1\": \"a man eats {i}\", \"sentence2\": \"{label} it is\", \"label\": \"{label}\"}}"
        );
        text
    });
    project.write("train.jsonl", &rows);
    project.write(
        "run.yaml",
        "{random_state: 1, model: {model_name: scratch, max_length: 24, scratch: {hidden_size: 8, num_attention_heads: 1, intermediate_size: 8}}, training: {dataset_path: train.jsonl, epochs: 2}, data: {output_dir: out}}",
    );
    project.succeed(&LOOP);
    let config: Value = serde_json::from_str(&project.read("out/best_model/config.json")).unwrap();
    assert_eq!(config["id2label"]["0"], "contradiction");
    assert!(!project.read("out/metrics.yaml").contains("validation"));
}

/// Texts that do not differ can only get the label that is more frequent.
#[test]
fn a_model_that_says_one_class_of_everything_is_named() {
    let project = tiny_project();
    let same = |n: usize| {
        let rows = (0..n).map(|id| format!("{id},the same words,{}\n", usize::from(id % 4 > 0)));
        format!("id,text,label\n{}", rows.collect::<String>())
    };
    project.write("train.csv", &same(48));
    project.write("test.csv", &same(8));
    // What has one class alone is no sign of it.
    project.write("control.csv", "id,text,label\n0,the same words,1\n");
    let output = project.run(&LOOP);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let warning = "warning: the model says `1` of every example of train, validation, test, which are not all";
    assert!(said.contains(warning), "{said}");
}

#[test]
fn a_run_with_many_metrics_and_intervals_ends_well_on_a_control_set_of_one_class() {
    let project = tiny_project();
    project.write(
        "control.csv",
        "id,text,label\na,fine film,1\nb,lovely film,1\n",
    );
    let metrics = "metrics=[roc_auc_score, {name: f1_score, args: {average: macro}}, \
                   {name: f1_score, args: {average: micro}}, \
                   {name: cohen_kappa_score, name_as: kappa}, classification_report]";
    let summary = project.succeed(
        &[
            &LOOP[..],
            &[
                "--set",
                metrics,
                "--set",
                "confidence_intervals={n_resamples: 50}",
            ],
            &[
                "--set",
                "training.epochs=1",
                "--set",
                "training.metric_for_best_model=kappa",
            ],
            &["--set", "training.perform_data_cartography=false"],
        ]
        .concat(),
    );
    let found: Value = serde_yaml::from_str(&project.read("out/metrics.yaml")).unwrap();
    assert_eq!(found["control"]["roc_auc_score"], Value::Null);
    for name in [
        "loss",
        "f1_score",
        "f1_score(average=micro)",
        "roc_auc_score",
        "kappa",
    ] {
        let value = found["test"][name].as_f64().unwrap();
        let interval = &found["confidence_intervals"]["test"][name];
        let (low, high) = (
            interval["low"].as_f64().unwrap(),
            interval["high"].as_f64().unwrap(),
        );
        assert!(low <= value && value <= high, "{name}: {value}, {interval}");
    }
    let undefined = &found["confidence_intervals"]["control"]["roc_auc_score"];
    assert_eq!(undefined["n_undefined"], 50);
    assert_eq!(undefined["low"], Value::Null);
    assert!(
        found["confidence_intervals"]["train"].is_null(),
        "not asked for"
    );
    assert_eq!(found["control"]["classification_report"]["1"]["support"], 2);
    // The table is too wide for the metrics to stand side by side; test and control have
    // intervals.
    let loss = summary.lines().find(|line| line.starts_with("loss "));
    assert_eq!(loss.unwrap().matches('[').count(), 2, "{summary}");
    assert!(summary.contains("undefined"), "{summary}");
    assert!(
        summary.contains("In metrics.yaml: classification_report."),
        "{summary}"
    );
    let log = project.read("out/run.log");
    assert!(
        log.contains("control: `roc_auc_score`: an area under an ROC curve"),
        "{log}"
    );
}

/// Runs the tiny project with changes and checks the exit code and what is said about it.
fn check_refused(name: &str, sets: &[&str], code: i32, said: &str) {
    let project = tiny_project();
    project.write("one_class.csv", "id,text,label\n1,a,x\n2,b,x\n");
    project.write(
        "ragged.csv",
        "id,text,label\n1,good film,pos\n2,bad\n3,bad film,neg\n",
    );
    project.write("new_label.csv", "id,text,label\n1,good film,7\n");
    project.write("a_file", "");
    fs::create_dir_all(project.path().join("empty_folder")).unwrap();
    let mut arguments = LOOP.to_vec();
    for set in sets {
        arguments.extend(["--set", set]);
    }
    let output = project.run(&arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
    assert!(
        stderr.contains(said),
        "{name}: `{said}` is not in:\n{stderr}"
    );
    if code != 70 {
        assert!(
            !project.path().join("out").exists(),
            "{name}: nothing is made before all is checked"
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code_before_anything_is_made() {
    let cartography = "training.selectors=[{name: data_cartography, args: {random: 0.5}}]";
    for (name, sets, code, said) in [
        (
            "unknown-key",
            &["training.epoch=3"][..],
            78,
            "unknown key `epoch`; did you mean `epochs`?",
        ),
        (
            "two-problems",
            &["training.epochs=0", "training.batch_size=x"],
            78,
            "training.batch_size",
        ),
        ("no-equals", &["training.epochs"], 2, "training.epochs"),
        (
            "no-file",
            &["training.dataset_path=absent.csv"],
            66,
            "absent.csv",
        ),
        (
            "no-model",
            &["model.model_name=./bert-base-cased"],
            66,
            "there is no model folder `./bert-base-cased`",
        ),
        (
            "not-a-model",
            &["model.model_name=empty_folder"],
            66,
            "holds no `config.json`",
        ),
        (
            "no-map",
            &[cartography],
            66,
            "there is no data map `out/map.jsonl`",
        ),
        (
            "one-class",
            &["training.dataset_path=one_class.csv"],
            65,
            "one_class.csv",
        ),
        (
            "ragged",
            &["training.dataset_path=ragged.csv"],
            65,
            "ragged.csv:3",
        ),
        (
            "new-label",
            &["testing.dataset_path=new_label.csv"],
            65,
            "new_label.csv:2",
        ),
        (
            "binary-f1",
            &["metrics=[{name: f1_score, args: {pos_label: 9}}]"],
            78,
            "9",
        ),
        (
            "diverges",
            &["training.learning_rate=1e30"],
            70,
            "training diverged at step",
        ),
    ] {
        check_refused(name, sets, code, said);
    }
}

#[test]
fn an_output_folder_that_cannot_be_made_is_said() {
    let project = tiny_project();
    project.write("a_file", "");
    let output = project.run(&[&LOOP[..], &["--output-dir", "a_file"]].concat());
    assert_eq!(output.status.code(), Some(73));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot create"));
}

#[test]
fn validate_checks_without_training_and_schema_prints_a_schema() {
    let project = tiny_project();
    let said = project.succeed(&["validate", "--config", "run.yaml"]);
    assert!(
        said.contains("48 examples") && said.contains("12 examples of the training file"),
        "{said}"
    );
    assert!(!project.path().join("out").exists());
    let schema: Value = serde_json::from_str(&project.succeed(&["schema"])).unwrap();
    assert!(schema["properties"]["training"].is_object());
}

#[test]
fn the_command_line_explains_itself() {
    let project = Project::new();
    for (arguments, code, said) in [
        (&["--help"][..], 0, "loop"),
        (&["loop", "--help"], 0, "--output-dir"),
        (&["--version"], 0, env!("CARGO_PKG_VERSION")),
        (&["lop"], 2, "loop"),
        (&["loop"], 2, "--config"),
        (
            &["loop", "--config", "x", "--device", "tpu"],
            2,
            "allowed: auto, cpu, cuda",
        ),
        (&["loop", "--config", "absent.yaml"], 66, "absent.yaml"),
        #[cfg(not(feature = "cuda"))]
        (
            &["loop", "--config", "absent.yaml", "--device", "cuda"],
            2,
            "cargo build --release --features cuda",
        ),
    ] {
        let output = project.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}

#[test]
fn several_files_make_one_set_and_true_labels_reach_the_tables() {
    let project = tiny_project();
    let all = sentences("train", 48);
    let (header, rows) = all.split_once('\n').unwrap();
    // The true label is the label, but for the first example, where it is not known.
    let with_truth = |rows: &[&str]| {
        let row = |row: &&str| {
            let truth = if row.starts_with("train-0,") {
                ""
            } else {
                &row[row.len() - 1..]
            };
            format!("{row},{truth}\n")
        };
        format!("{header},gt\n{}", rows.iter().map(row).collect::<String>())
    };
    let rows: Vec<&str> = rows.lines().collect();
    project.write("part-2.csv", &with_truth(&rows[20..]));
    project.write("part-1.csv", &with_truth(&rows[..20]));
    let settings = [
        "data.true_label_column=gt",
        "training.dataset_path=part-*.csv",
        "testing.dataset_path=[part-1.csv]",
    ];
    let mut arguments = LOOP.to_vec();
    for setting in &settings {
        arguments.extend(["--set", setting]);
    }
    project.succeed(&arguments);
    let map = project.read("out/map.jsonl");
    assert_eq!(map.lines().count(), 36);
    for line in map.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let truth = if row["guid"] == "train-0" {
            &Value::from("")
        } else {
            &row["label"]
        };
        assert_eq!(&row["true_label"], truth, "{line}");
    }
    let header = |stage: &str| {
        let text = project.read(&format!("out/predictions_{stage}.csv"));
        text.lines().next().unwrap().to_owned()
    };
    assert!(header("test").ends_with("logits,true_label"));
    assert!(header("control").ends_with("probabilities,logits"));
    assert!(
        project
            .read("out/data_map.svg")
            .contains("Data map of part-*.csv")
    );

    let output = project.run(&[
        "validate",
        "--config",
        "run.yaml",
        "--set",
        "testing.dataset_path=x-*.csv",
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(66), "{said}");
    assert!(
        said.contains("x-*.csv: no file matches") && said.contains("hint: a relative glob"),
        "{said}"
    );
}

#[test]
fn a_section_may_have_columns_of_its_own_and_predictions_of_the_training_set_a_file() {
    let project = tiny_project();
    // The text stands last, and nothing says so but the positions.
    project.write(
        "control.csv",
        "1,x,a lovely film\n0,y,a dull one\n1,z,moving\n0,w,awful\n",
    );
    let settings = [
        "control={dataset_path: control.csv, has_header: false, text_column_id: 2, label_column_id: 0}",
        "training.results_file=predictions_train.pickle",
        "training.epochs=1",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    project.succeed(&LOOP.into_iter().chain(settings).collect::<Vec<_>>());
    let control = project.read("out/predictions_control.csv");
    let labels: Vec<&str> = control
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap())
        .collect();
    assert_eq!(labels, ["1", "0", "1", "0"]);
    let path = project.path().join("out/predictions_train.pickle");
    let table = enginora_rs::data::Table::read(&path).unwrap();
    assert_eq!(table.n_rows(), 36);
}
