//! Runs reported to a server.

use std::fs;

use serde_json::{Value, json};

use crate::project::{LOOP, Project, tiny_project};
use crate::resume::{RESUME, SECOND, longer_project, stopped_after};
use crate::trackers::server::{Request, Server};
use crate::trackers::{run_with, said};

const MLFLOW: &str = "
mlflow:
  experiment_name: my experiment
  tags: {version: v1, number: 3}
";

fn project() -> Project {
    let project = tiny_project();
    let config = project.read("run.yaml") + MLFLOW;
    project.write("run.yaml", &config);
    project
}

fn run(project: &Project, server: &Server, settings: &[&str]) -> std::process::Output {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = LOOP.into_iter().chain(settings).collect();
    let password = "secret";
    let variables = [
        ("MLFLOW_TRACKING_URI", server.address.as_str()),
        ("MLFLOW_TRACKING_USERNAME", "ann"),
        ("MLFLOW_TRACKING_PASSWORD", password),
        ("USER", "ann"),
    ];
    run_with(project, &arguments, &variables)
}

/// All metrics that the server took: names, steps, values.
fn metrics(requests: &[Request]) -> Vec<(String, u64, f64)> {
    let batches = requests.iter().filter(|r| r.has_metrics());
    let metrics = batches.flat_map(|r| r.json()["metrics"].as_array().unwrap().clone());
    let mut metrics: Vec<_> = metrics.map(|m| metric(&m)).collect();
    metrics.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    metrics
}

fn metric(metric: &Value) -> (String, u64, f64) {
    assert!(metric["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    let name = metric["key"].as_str().unwrap().to_owned();
    (
        name,
        metric["step"].as_u64().unwrap(),
        metric["value"].as_f64().unwrap(),
    )
}

#[test]
fn a_server_gets_experiment_params_metrics_files_and_the_end() {
    let server = Server::start(|_, _| None);
    let project = project();
    let output = run(
        &project,
        &server,
        &["training.logging_steps=5", "training.run_name=first"],
    );
    assert!(output.status.success(), "{}", said(&output));

    let requests = server.requests();
    for request in &requests {
        // RFC 7617: `ann:secret` in base 64.
        assert_eq!(
            request.header("authorization"),
            Some("Basic YW5uOnNlY3JldA==")
        );
    }
    let find = requests[0].line.replace('+', "%20");
    assert_eq!(
        find,
        "GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=my%20experiment"
    );
    assert_eq!(requests[1].json(), json!({"name": "my experiment"}));
    let tag = json!({"experiment_id": "7", "key": "version", "value": "v1"});
    assert_eq!(server.to("set-experiment-tag")[0].json(), tag);

    let made = server.to("runs/create")[0].json();
    assert_eq!(made["experiment_id"], "7");
    assert_eq!(made["run_name"], "first");
    for (key, value) in [
        ("number", "3"),
        ("mlflow.source.name", "run.yaml"),
        ("mlflow.user", "ann"),
    ] {
        let tags = made["tags"].as_array().unwrap();
        assert!(tags.contains(&json!({"key": key, "value": value})), "{key}");
    }

    let params: Vec<Value> = server
        .to("runs/log-batch")
        .iter()
        .filter_map(|r| r.json()["params"].as_array().cloned())
        .inspect(|params| assert!(params.len() <= 100))
        .flatten()
        .collect();
    for (key, value) in [
        ("training.learning_rate", "0.01"),
        ("metrics.0.name", "accuracy_score"),
        ("model.model_name", "scratch"),
        ("random_state", "11"),
    ] {
        assert!(
            params.contains(&json!({"key": key, "value": value})),
            "{key}: {params:?}"
        );
    }
    assert!(
        params
            .iter()
            .all(|p| !p["key"].as_str().unwrap().starts_with("mlflow"))
    );

    let metrics = metrics(&requests);
    let of = |name: &str| -> Vec<(u64, f64)> {
        let found = metrics.iter().filter(|(n, _, _)| n == name);
        found.map(|(_, step, value)| (*step, *value)).collect()
    };
    let steps = |name: &str| of(name).iter().map(|(step, _)| *step).collect::<Vec<_>>();
    for name in [
        "loss",
        "grad_norm",
        "learning_rate",
        "epoch",
        "eval_loss",
        "eval_f1_score",
    ] {
        assert_eq!(steps(name), [5, 10, 15], "{name}");
    }
    let written: Value = serde_yaml::from_str(&project.read("out/metrics.yaml")).unwrap();
    for stage in ["train", "validation", "test", "control"] {
        let expected = written[stage]["f1_score"].as_f64().unwrap();
        assert_eq!(of(&format!("{stage}_f1_score")), [(15, expected)]);
    }

    let files = server.to("PUT ");
    let names: Vec<&str> = files
        .iter()
        .map(|r| r.line.rsplit('/').next().unwrap())
        .collect();
    let expected = [
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
    ];
    assert_eq!(names, expected);
    assert_eq!(
        files[1].line,
        "PUT /api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/data_map.png"
    );
    assert_eq!(
        files[1].body,
        fs::read(project.path().join("out/data_map.png")).unwrap()
    );

    let end = requests.last().unwrap().json();
    assert_eq!(
        (&end["run_id"], &end["status"]),
        (&json!("r1"), &json!("FINISHED"))
    );
}

#[test]
fn the_model_is_stored_on_request() {
    let server = Server::start(|_, _| None);
    let project = project();
    let settings = [
        "mlflow.log_model=true",
        "mlflow.experiment_name=there",
        "training.epochs=1",
    ];
    assert!(run(&project, &server, &settings).status.success());
    assert!(server.to("experiments/create").is_empty());
    assert_eq!(server.to("runs/create")[0].json()["experiment_id"], "3");
    let stored = server.to("PUT /api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/best_model/");
    assert_eq!(stored.len(), 5);
    let weights = fs::read(project.path().join("out/best_model/model.safetensors")).unwrap();
    assert!(stored.iter().any(|request| request.body == weights));
}

#[test]
fn reports_that_a_server_does_not_take_at_first_are_taken_in_the_end() {
    let settings = ["training.logging_steps=1"];
    let all = Server::start(|_, _| None);
    assert!(run(&project(), &all, &settings).status.success());
    let expected = metrics(&all.requests());

    let server =
        Server::start(|request, n_before| (request.has_metrics() && n_before == 0).then_some(503));
    let output = run(&project(), &server, &settings);
    assert!(output.status.success());
    let text = said(&output);
    assert_eq!(text.matches("no longer takes reports").count(), 1, "{text}");
    assert!(text.contains("it answers 503"), "{text}");
    let requests = server.requests();
    let refused = requests.iter().position(Request::has_metrics).unwrap();
    assert_eq!(metrics(&requests[refused + 1..]), expected);
    assert_eq!(requests.last().unwrap().json()["status"], "FINISHED");
}

#[test]
fn what_a_server_never_takes_is_written_down_and_the_run_is_complete() {
    let server = Server::start(|request, _| request.has_metrics().then_some(500));
    let project = project();
    let output = run(&project, &server, &["training.logging_steps=5"]);
    assert!(output.status.success());
    assert!(
        said(&output).contains("mlflow_unsent.jsonl"),
        "{}",
        said(&output)
    );
    let unsent = project.read("out/runs/0001/mlflow_unsent.jsonl");
    // 3 reports of 4 numbers, 3 evaluations and 4 results of a loss and 3 metrics.
    assert_eq!(unsent.lines().count(), 3 * 4 + (3 + 4) * 4);
    for line in unsent.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        metric(&line);
        assert_eq!(line["run_id"], "r1");
    }
    // It holds times.
    assert!(
        !project
            .manifest("out/runs/0001")
            .contains_key("mlflow_unsent.jsonl")
    );
}

#[test]
fn a_run_that_is_taken_up_goes_on_at_the_server_and_repeats_nothing() {
    let project = longer_project();
    let config = project.read("run.yaml") + MLFLOW;
    let to = |server: &Server| {
        let address = format!("  tracking_uri: {}\n", server.address);
        project.write("run.yaml", &(config.clone() + &address));
    };
    let whole = Server::start(|_, _| None);
    to(&whole);
    project.succeed(&LOOP);
    let expected = metrics(&whole.requests());
    fs::remove_dir_all(project.path().join("out")).unwrap();

    let server = Server::start(|_, _| None);
    to(&server);
    stopped_after(&project, SECOND);
    assert!(!metrics(&server.requests()).is_empty());
    project.succeed(&RESUME);
    assert_eq!(metrics(&server.requests()), expected);
    assert_eq!(server.to("runs/create").len(), 1);
    let updates = server.to("runs/update");
    let states: Vec<Value> = updates.iter().map(|r| r.json()["status"].clone()).collect();
    assert_eq!(states, ["RUNNING", "FINISHED"]);
}

#[test]
fn a_run_that_fails_is_said_to_have_failed() {
    let server = Server::start(|_, _| None);
    let project = project();
    let output = run(&project, &server, &["training.learning_rate=1e30"]);
    assert!(!output.status.success());
    assert_eq!(server.requests().last().unwrap().json()["status"], "FAILED");
}

#[test]
fn a_server_that_is_away_or_refuses_stops_the_run_before_it_starts() {
    let check = |address: &str, expected: &[&str]| {
        let project = project();
        let output = run_with(&project, &LOOP, &[("MLFLOW_TRACKING_URI", address)]);
        let text = said(&output);
        for part in expected {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!project.path().join("out").exists(), "{text}");
        output.status.code().unwrap()
    };
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = format!("http://{free}");
    assert_eq!(
        check(&away, &["does not answer", "mend `mlflow.tracking_uri`"]),
        74
    );
    let refusing = Server::start(|_, _| Some(401));
    assert_eq!(
        check(
            &refusing.address,
            &["it answers 401: no", "MLFLOW_TRACKING_TOKEN"]
        ),
        74
    );
    assert_eq!(check("", &["run.yaml", "no MLflow server is named"]), 78);
    assert_eq!(
        check(
            "file:./mlruns",
            &["`file:./mlruns`", "mlflow server --backend-store-uri"]
        ),
        78
    );
}

#[test]
fn a_token_is_sent_and_a_password_in_the_address_is_not_said() {
    let server = Server::start(|_, _| None);
    let check = |address: &str, expected: &str| {
        let project = project();
        let arguments = [&LOOP[..], &["--set", "training.epochs=1"]].concat();
        let variables = [
            ("MLFLOW_TRACKING_URI", address),
            ("MLFLOW_TRACKING_TOKEN", "t0ken"),
        ];
        let output = run_with(&project, &arguments, &variables);
        assert!(output.status.success(), "{}", said(&output));
        assert!(!said(&output).contains("secret"));
        let requests = server.requests();
        assert_eq!(
            requests.last().unwrap().header("authorization"),
            Some(expected)
        );
    };
    check(&server.address, "Bearer t0ken");
    let with_password = server.address.replace("http://", "http://ann:secret@");
    check(&with_password, "Basic YW5uOnNlY3JldA==");
}
