//! What is read, and how it resolves.

use std::path::{Path, PathBuf};

use enginora_rs::config::metric::metric_names;
use enginora_rs::config::{
    Config, HasHeader, LrSchedulerType, MetricConfig, Record, ReportTo, ResultLocation,
    SectionColumns, TestingConfig, TrainingConfig, result_location, to_yaml,
};
use serde_json::json;

use super::{MINIMAL, SEED_MAP, SEED_SUBSET, read};

fn config(text: &str, options: &[&str]) -> Config {
    read(text, options).unwrap().config
}

fn warnings(text: &str) -> Vec<String> {
    let warnings = read(text, &[]).unwrap().warnings;
    let line = |p: &enginora_rs::error::Problem| p.location.as_ref().and_then(|l| l.line);
    warnings
        .iter()
        .map(|p| format!("{:?} {}", line(p), p.message))
        .collect()
}

#[test]
fn the_python_config_that_makes_a_map_runs_as_it_is() {
    let expected = Config {
        training: TrainingConfig {
            dataset_path: "../../data/featuresets/thedeep.subset.train.txt".into(),
            validation_dataset_path: Some(
                "../../data/featuresets/thedeep.subset.validation.txt".into(),
            ),
            selectors: serde_json::from_value(json!([{"name": "dummy", "args": {}}])).unwrap(),
            batch_size: 2,
            epochs: 2,
            learning_rate: 0.001,
            metric_for_best_model: "f1_score".into(),
            perform_data_cartography: true,
            output_dir: Some("ClassificationBERT".into()),
            ..TrainingConfig::default()
        },
        ..Config::default()
    };
    assert_eq!(config(SEED_MAP, &[]), expected);
    assert_eq!(
        warnings(SEED_MAP),
        [
            "None `random_state` is not given; using 42",
            "Some(10) `training.validation_size` is ignored, because \
             `training.validation_dataset_path` is given",
        ]
    );
}

#[test]
fn the_python_config_that_trains_on_a_subset_runs_as_it_is() {
    let got = config(SEED_SUBSET, &[]);
    let args = json!({"hard_to_learn": 0, "easy-to-learn": 0.3, "ambiguous": 0.1, "random": 0.6});
    let selectors = json!([{"name": "data_cartography", "args": args}]);
    assert_eq!(json!(got.training.selectors), selectors);
    let testing = TestingConfig {
        columns: SectionColumns::default(),
        dataset_path: "../../data/featuresets/thedeep.subset.test.txt".into(),
        selectors: Vec::new(),
        results_file: Some("./file_test_results_experiment.pickle".into()),
    };
    assert_eq!(got.testing, Some(testing));
    assert_eq!(got.control.len(), 1);
    assert_eq!(got.control_stage(0), "control");
    assert_eq!(got.control_key(0), "control");
    assert_eq!(got.output_dir(), Path::new("ClassificationBERT"));
    assert!(!got.training.perform_data_cartography);
    assert_eq!(got.model.model_name, "bert-base-cased");
}

#[test]
fn a_config_written_as_yaml_reads_back_as_itself() {
    let full = "\
random_state: 18446744073709551615
data: {has_header: false, text_column: '1', data_dir: 'true'}
model: {padding: max_length, num_labels: 3, return_tensors: pt, scratch: {hidden_size: 64}}
metrics: [log_loss, {name: f1_score, args: {average: null, labels: [0, 1]}}]
training: {dataset_path: 'é: #x.csv', validation_size: 0.1, adam_epsilon: 1e-12, learning_rate: 3}
testing: {dataset_path: a, selectors: [{name: data_cartography, args: {random: 0.29}}]}
control: [{name: a, dataset_path: a}, {name: b, dataset_path: b, results_file: x/b.tsv}]
cartography: {record: during_training, burn_out: 2, include_ci: true}
";
    for text in [MINIMAL, SEED_MAP, SEED_SUBSET, full] {
        let first = config(text, &[]);
        let yaml = to_yaml(&first).unwrap();
        let second = read(&yaml, &[]).unwrap();
        assert_eq!(second.config, first, "{yaml}");
        assert!(second.warnings.is_empty(), "{:?}", second.warnings);
        assert_eq!(to_yaml(&second.config).unwrap(), yaml);
    }
}

#[test]
fn empty_keys_and_sections_mean_their_defaults() {
    let empty = "random_state: 1\ndata:\nmodel: {model_name: , max_length: ~, output_path: '', \
        scratch: }\nmetrics: []\ntraining:\n  dataset_path: t.csv\n  selectors:\n  epochs: null\n\
        \x20 output_dir: ''\n  metric_for_best_model: ''\ntesting:\ncontrol:\ncartography: {}\n";
    assert_eq!(config(empty, &[]), config(MINIMAL, &[]));
    assert_eq!(
        warnings(&MINIMAL.replace("random_state: 1", "random_state:")),
        ["None `random_state` is not given; using 42"]
    );
}

#[test]
fn trackers_are_given_as_the_python_project_and_transformers_have_them() {
    // The section of the Python project's `demo_slicing`.
    let mlflow =
        "mlflow: {experiment_name: my, tags: {version: v1}, tracking_uri: 'http://localhost:5000'}";
    let got = config(
        &format!("{MINIMAL}\n{mlflow}\ndvc: {{enabled: true}}\n"),
        &[],
    );
    let section = got.mlflow.unwrap();
    assert_eq!(section.experiment_name.as_deref(), Some("my"));
    assert_eq!(
        section.tracking_uri.as_deref(),
        Some("http://localhost:5000")
    );
    assert_eq!(json!(section.tags), json!({"version": "v1"}));
    assert!(got.dvc.enabled && got.dvc.track_model && got.dvc.test.track_results);
    let check = |text: &str, expected: &[ReportTo]| {
        let option = format!("training.report_to={text}");
        assert_eq!(
            config(MINIMAL, &[&option]).training.report_to,
            expected,
            "{text}"
        );
    };
    check("tensorboard", &[ReportTo::Tensorboard]);
    check(
        "[tensorboard, mlflow]",
        &[ReportTo::Tensorboard, ReportTo::Mlflow],
    );
    check("none", &[ReportTo::None]);
    check("[]", &[]);
    assert_eq!(config(MINIMAL, &[]).mlflow, None);
    assert_eq!(config(MINIMAL, &["mlflow="]).mlflow, None);
}

#[test]
fn numbers_and_words_may_be_written_as_python_users_write_them() {
    let learning_rate = |text: &str, expected: f64| {
        let option = format!("training.learning_rate={text}");
        let got = config(MINIMAL, &[&option]).training.learning_rate;
        assert_eq!(got.to_bits(), expected.to_bits(), "{text}");
    };
    learning_rate("1e-3", 0.001);
    learning_rate("1E-3", 0.001);
    learning_rate("2.5e-5", 0.000_025);
    learning_rate(".5", 0.5);
    learning_rate("1", 1.0);
    for (text, expected) in [
        ("True", true),
        ("TRUE", true),
        ("False", false),
        ("false", false),
    ] {
        let option = format!("training.perform_data_cartography={text}");
        let got = config(MINIMAL, &[&option])
            .training
            .perform_data_cartography;
        assert_eq!(got, expected, "{text}");
    }
    for (text, expected) in [
        ("auto", HasHeader::Auto),
        ("True", HasHeader::Yes),
        ("false", HasHeader::No),
    ] {
        let option = format!("data.has_header={text}");
        assert_eq!(config(MINIMAL, &[&option]).data.has_header, expected);
    }
}

#[test]
fn a_metric_may_be_its_name_alone() {
    let text = format!("{MINIMAL}metrics: [accuracy_score, {{name: log_loss}}]\n");
    let names: Vec<String> = config(&text, &[])
        .metrics
        .into_iter()
        .map(|m| m.name)
        .collect();
    assert_eq!(names, ["accuracy_score", "log_loss"]);
}

#[test]
fn the_metric_for_the_best_model_is_computed() {
    let check = |given: &str, best: &str, added: &[MetricConfig]| {
        let option = format!("training.metric_for_best_model={given}");
        let config = config(MINIMAL, &[&option, "metrics=[accuracy_score]"]);
        assert_eq!(config.training.metric_for_best_model, best);
        assert_eq!(&config.metrics[1..], added);
    };
    let macro_f1 = MetricConfig::with_default_args("f1_score");
    assert_eq!(json!(macro_f1.args), json!({"average": "macro"}));
    check("loss", "loss", &[]);
    check("eval_loss", "loss", &[]);
    check("accuracy_score", "accuracy_score", &[]);
    check("eval_accuracy_score", "accuracy_score", &[]);
    check("f1_score", "f1_score", &[macro_f1]);
    let log_loss = MetricConfig::with_default_args("log_loss");
    check("eval_log_loss", "log_loss", &[log_loss]);
}

#[test]
fn metrics_go_by_names_that_no_two_of_them_share() {
    let text = format!(
        "{MINIMAL}metrics:\n- f1_score\n- {{name: f1_score, args: {{average: micro}}}}\n\
         - {{name: f1_score, name_as: best, args: {{average: macro}}}}\n"
    );
    let config = config(&text, &["training.metric_for_best_model=best"]);
    let names = ["f1_score", "f1_score(average=micro)", "best"];
    assert_eq!(metric_names(&config.metrics), names);
}

#[test]
fn confidence_intervals_are_made_on_request() {
    let ends = |option: &str| {
        let options: &[&str] = if option.is_empty() { &[] } else { &[option] };
        let wanted = config(MINIMAL, options).confidence_intervals;
        wanted.map(|wanted| (wanted.n_resamples, wanted.confidence_level))
    };
    assert_eq!(ends(""), None);
    assert_eq!(ends("confidence_intervals={}"), Some((1000, 0.95)));
    let option = "confidence_intervals={n_resamples: 50, confidence_level: 0.9}";
    assert_eq!(ends(option), Some((50, 0.9)));
}

#[test]
fn no_metrics_given_are_three() {
    let names: Vec<String> = Config::default()
        .metrics
        .into_iter()
        .map(|m| m.name)
        .collect();
    assert_eq!(
        names,
        ["accuracy_score", "balanced_accuracy_score", "f1_score"]
    );
    assert_eq!(config(MINIMAL, &[]).metrics, MetricConfig::defaults());
}

#[test]
fn options_win_over_the_file() {
    let check =
        |option: &str, value: fn(&Config) -> serde_json::Value, expected: serde_json::Value| {
            let text = format!("{MINIMAL}metrics:\n- name: f1_score\n- accuracy_score\n");
            assert_eq!(value(&config(&text, &[option])), expected, "{option}");
        };
    check("training.epochs=7", |c| json!(c.training.epochs), json!(7));
    check("training.epochs=", |c| json!(c.training.epochs), json!(1));
    check(
        "model.scratch.hidden_size=64",
        |c| json!(c.model.scratch.hidden_size),
        json!(64),
    );
    check(
        "model.model_name=a=b",
        |c| json!(c.model.model_name),
        json!("a=b"),
    );
    check(
        "metrics[0].name=log_loss",
        |c| json!(c.metrics[0].name),
        json!("log_loss"),
    );
    check(
        "metrics.0.args.average=micro",
        |c| json!(c.metrics[0].args),
        json!({"average": "micro"}),
    );
    check(
        "metrics[1]=log_loss",
        |c| json!(c.metrics[1].name),
        json!("log_loss"),
    );
    check("metrics[2]=log_loss", |c| json!(c.metrics.len()), json!(3));
    check(
        "training.selectors[0].name=dummy",
        |c| json!(c.training.selectors[0].name),
        json!("dummy"),
    );
    check(
        "testing.dataset_path=x.csv",
        |c| json!(c.testing.as_ref().map(|testing| &testing.dataset_path)),
        json!("x.csv"),
    );
    check(
        "control=[{name: a, dataset_path: x}]",
        |c| json!(c.control_stage(0)),
        json!("control_a"),
    );
    check(
        "training={dataset_path: x, epochs: 2}",
        |c| json!(c.training.epochs),
        json!(2),
    );
    check("random_state=9", |c| json!(c.random_state), json!(9));
    check(" random_state =9", |c| json!(c.random_state), json!(9));
}

#[test]
fn the_last_of_two_options_wins() {
    let both = ["training.epochs=2", "training.epochs=3"];
    assert_eq!(config(MINIMAL, &both).training.epochs, 3);
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text = "random_state: 1\ntraining: {dataset_path: t.csv, selectors: &s [{name: dummy}]}\n\
        testing: &t {dataset_path: a, selectors: *s}\ncontrol: {dataset_path: b}\n\
        metrics:\n- &m {name: f1_score, args: {average: micro}}\n- {<<: *m, name: recall_score}\n";
    let config = config(text, &[]);
    assert_eq!(config.testing.unwrap().selectors, config.training.selectors);
    assert_eq!(config.metrics[1].name, "recall_score");
    assert_eq!(config.metrics[1].args, config.metrics[0].args);
}

#[test]
fn flow_collections_may_close_to_the_left_of_their_block() {
    let text =
        "random_state: 1\ntraining:\n  dataset_path: t.csv\n  selectors: [\n{name: dummy}\n]\n";
    assert_eq!(config(text, &[]).training.selectors.len(), 1);
    let error = read(text.replace("name", "nam"), &[]).unwrap_err();
    assert!(error.contains("run.yaml:5:2: unknown key `nam`"), "{error}");
}

#[test]
fn enums_have_hugging_face_s_names() {
    let got = config(
        MINIMAL,
        &["training.lr_scheduler_type=constant_with_warmup"],
    );
    let expected = LrSchedulerType::ConstantWithWarmup;
    assert_eq!(got.training.lr_scheduler_type, expected);
    let got = config(MINIMAL, &["cartography.record=during_training"]);
    assert_eq!(got.cartography.record, Record::DuringTraining);
}

#[test]
fn a_bare_file_name_lies_in_the_run() {
    let check = |path: &str, name: Option<&str>| {
        let expected = match name {
            Some(name) => ResultLocation::InRun(PathBuf::from(name)),
            None => ResultLocation::At(PathBuf::from(path)),
        };
        assert_eq!(result_location(Path::new(path)), expected, "{path}");
    };
    check("a.csv", Some("a.csv"));
    check("./a.csv", Some("a.csv"));
    check("././a.csv", Some("a.csv"));
    check("b/a.csv", None);
    check("./b/a.csv", None);
    check("../a.csv", None);
    check("/a.csv", None);
    check("..", None);
}

#[test]
fn a_data_set_is_a_name_or_a_list_of_names() {
    let check = |written: &str, names: &[&str], resolved: &str| {
        let text = format!("random_state: 1\ntraining: {{dataset_path: {written}}}\n");
        let config = config(&text, &[]);
        let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        assert_eq!(config.training.dataset_path.names(), names);
        let yaml = to_yaml(&config).unwrap();
        let at = yaml.find("dataset_path:").unwrap();
        assert!(yaml[at..].starts_with(resolved), "{}", &yaml[at..]);
    };
    check("a.csv", &["a.csv"], "dataset_path: a.csv\n");
    check("[a.csv]", &["a.csv"], "dataset_path: a.csv\n");
    check(
        "[b.csv, 'a-*.csv']",
        &["b.csv", "a-*.csv"],
        "dataset_path:\n  - b.csv\n  - a-*.csv\n",
    );
}

#[test]
fn the_training_section_s_output_folder_wins() {
    let check = |options: &[&str], expected: &str| {
        assert_eq!(config(MINIMAL, options).output_dir(), Path::new(expected));
    };
    check(&[], "results");
    check(&["data.output_dir=a"], "a");
    check(&["data.output_dir=a", "training.output_dir=b"], "b");
}

#[test]
fn later_checks_can_place_their_problems_too() {
    let text = format!(
        "{MINIMAL}testing: {{selectors: [], dataset_path: é.csv}}\n\
        control:\n  - {{name: a, dataset_path: b.csv}}\nmodel:\n  scratch: {{hidden_size: 64}}\n"
    );
    let source = read(&text, &["data.data_dir=d"]).unwrap().source;
    let check = |key: &str, expected: &str| {
        let problem = source.problem(key, "m");
        let place = problem.location.unwrap().to_string();
        let place = place.replace(source.path().to_str().unwrap(), "run.yaml");
        assert_eq!(place, expected, "{key}");
    };
    check("training.dataset_path", "run.yaml:2:26");
    check("testing.dataset_path", "run.yaml:3:40");
    check("testing.results_file", "run.yaml:3:1");
    check("testing.selectors", "run.yaml:3:11");
    check("control", "run.yaml:4:1");
    check("control[0]", "run.yaml:5:5");
    check("control[0].dataset_path", "run.yaml:5:29");
    check("control.dataset_path", "run.yaml:5:29");
    check("control[1].dataset_path", "run.yaml:4:1");
    check("model.scratch.hidden_size", "run.yaml:7:26");
    check("model.scratch.vocab_size", "run.yaml:7:3");
    check("model.model_name", "run.yaml:6:1");
    check("cartography.record", "run.yaml:1:1");
    check("data.data_dir", "--set data.data_dir=d");
    check("data.output_dir", "--set data.data_dir=d");
}

#[test]
fn an_experiment_has_the_papers_fractions_three_seeds_and_a_random_control() {
    let resolve = |section: &str| {
        let config = config(&format!("{MINIMAL}{section}"), &[]);
        let section = config.experiment.unwrap_or_default();
        section.resolve(config.random_state).unwrap()
    };
    let names = |section: &str| {
        let selections = resolve(section).selections.into_iter();
        selections.map(|s| s.name).collect::<Vec<_>>().join(" ")
    };
    let default = resolve("");
    assert_eq!(names(""), "random easy_to_learn hard_to_learn ambiguous");
    assert_eq!(default.seeds, [1, 2, 3]);
    let fractions: Vec<String> = default.fractions.iter().map(ToString::to_string).collect();
    assert_eq!(
        fractions.join(" "),
        "0.01 0.05 0.1 0.1667 0.25 0.3319 0.5 0.75 1"
    );
    assert_eq!(
        names("experiment: {selections: [high-aum, low_variability]}"),
        "random high_aum low_variability"
    );
    assert_eq!(resolve("experiment: {seeds: [7, 3]}").seeds, [7, 3]);
    let mixed =
        "experiment: {selections: [{name: a, rules: {ambiguous: 0.9, easy_to_learn: 0.1}}]}";
    let mixed = &resolve(mixed).selections[1];
    for (total, expected) in [(10, [1, 9]), (9, [0, 9]), (11, [1, 10]), (1, [0, 1])] {
        let quotas = mixed.shares.split(total, mixed.min_easy);
        let quotas: Vec<usize> = quotas.into_iter().map(|(_, n)| n).collect();
        assert_eq!(quotas, expected, "easy and ambiguous ones of {total}");
    }
}
