//! Reports to an `MLflow` server.
//!
//! A server that is not there stops a run before it trains. One that goes away later does not:
//! what it did not take is kept, offered again, and in the end written into the run's folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::mlflow_server::{Failure, Server, variable};
use super::{TRAIN, Tracker, now};
use crate::config::{Config, LoadedConfig, MlflowConfig, ResultLocation, result_location};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::pipeline::run_folder::{RunFolder, UNSENT};

/// The most metrics that a server takes at once (`MLflow` 3.17, `utils/validation.py`).
const METRICS_PER_BATCH: usize = 1000;

/// The most parameters that a server takes at once (the same place).
const PARAMS_PER_BATCH: usize = 100;

/// Characters of a parameter's value that also servers before `MLflow` 2.8 take.
const PARAM_LENGTH: usize = 500;

/// Metrics of steps are sent in batches, this often.
const SEND_EVERY: Duration = Duration::from_secs(10);

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause between two offers.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The pauses before the further offers at the end of a run.
const LAST_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// The tracker that reports to a server.
pub struct Mlflow {
    server: Server,
    config: Config,
    settings: MlflowConfig,
    config_path: PathBuf,
    experiment_id: String,
    run: Option<ServerRun>,
    /// Metrics that the server has not taken yet, in the form in which it takes them.
    unsent: Vec<Value>,
    /// The last step of each metric that the server has of the run before it was stopped.
    taken: BTreeMap<String, u64>,
    last_sent: Instant,
    /// No offer before this time, after how long a pause; none: the server answers.
    outage: Option<(Instant, Duration)>,
}

/// The file, gone when the run is complete, that says which run of the server's it is.
const RUN: &str = "mlflow.json";

/// The run as the server knows it.
#[derive(Serialize, Deserialize)]
struct ServerRun {
    id: String,
    artifact_uri: String,
}

impl Mlflow {
    /// Finds the server, and finds or makes the experiment.
    ///
    /// # Errors
    /// A config or an environment that names no server, or one that does not answer or does
    /// not let us in.
    pub fn connect(loaded: &LoadedConfig) -> Result<Self> {
        let settings = loaded.config.mlflow.clone().unwrap_or_default();
        let server = Server::new(&address(loaded, &settings)?);
        let name = settings.experiment_name.clone();
        let name = name.or_else(|| variable("MLFLOW_EXPERIMENT_NAME"));
        let name = name.unwrap_or_else(|| "Default".to_owned());
        let experiment_id = experiment(&server, &name).map_err(|f| refused(&server, &f))?;
        for (key, value) in &settings.tags {
            let tag =
                json!({"experiment_id": experiment_id, "key": allowed(key), "value": text(value)});
            let told = server.post("experiments/set-experiment-tag", &tag);
            told.map_err(|failure| refused(&server, &failure))?;
        }
        Ok(Self {
            server,
            config: loaded.config.clone(),
            settings,
            config_path: loaded.source.path().to_path_buf(),
            experiment_id,
            run: None,
            unsent: Vec::new(),
            taken: BTreeMap::new(),
            last_sent: Instant::now(),
            outage: None,
        })
    }

    /// Keeps values, to be sent with the next batch.
    fn keep(&mut self, names: impl IntoIterator<Item = (String, f64)>, step: usize) {
        let timestamp = now().as_millis() as u64;
        self.unsent.extend(names.into_iter().map(|(name, value)| {
            json!({
                "key": allowed(&name),
                "value": number(value),
                "timestamp": timestamp,
                "step": step,
            })
        }));
    }

    /// Offers all that is kept; what the server does not take stays. What it has from before the
    /// run was stopped, which is the same to the bit, is not sent again.
    fn send(&mut self) -> Result<(), Failure> {
        let Some(run) = &self.run else {
            return Ok(());
        };
        let taken = &self.taken;
        self.unsent.retain(|metric| {
            let last = metric["key"].as_str().and_then(|key| taken.get(key));
            last.is_none_or(|last| metric["step"].as_u64() > Some(*last))
        });
        while !self.unsent.is_empty() {
            let n = self.unsent.len().min(METRICS_PER_BATCH);
            let batch = json!({"run_id": run.id, "metrics": self.unsent[..n]});
            self.server.post("runs/log-batch", &batch)?;
            self.unsent.drain(..n);
        }
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Offers what is kept, unless the server was found away a moment ago.
    fn offer(&mut self) {
        if self.outage.is_some_and(|(until, _)| Instant::now() < until) {
            return;
        }
        match (self.send(), self.outage) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                self.outage = None;
                tracing::info!("MLflow takes reports again, and has taken those kept for it");
            }
            (Err(failure), None) => {
                self.outage = Some((Instant::now() + FIRST_PAUSE, FIRST_PAUSE));
                tracing::warn!(
                    "the MLflow server at {} no longer takes reports ({failure}); training goes \
                     on, and they are kept for it",
                    self.server.address()
                );
            }
            (Err(_), Some((_, pause))) => {
                let pause = (2 * pause).min(LONGEST_PAUSE);
                self.outage = Some((Instant::now() + pause, pause));
            }
        }
    }

    /// Offers what is kept for the last time; what the server does not take is written down.
    fn send_the_rest(&mut self, run: &RunFolder) -> Result<Result<(), Failure>> {
        let mut sent = self.send();
        for pause in LAST_PAUSES {
            if sent.is_ok() {
                break;
            }
            sleep(pause);
            sent = self.send();
        }
        if let (Err(failure), Some(server_run)) = (&sent, &self.run) {
            let path = run.path().join(UNSENT);
            let mut lines = String::new();
            for metric in &self.unsent {
                let mut line = metric.clone();
                line["run_id"] = json!(server_run.id);
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
            fsio::write(&path, lines.as_bytes())?;
            tracing::warn!(
                "the MLflow server at {} did not take {} values ({failure}); they are in {}, and \
                 the run's files were not sent",
                self.server.address(),
                self.unsent.len(),
                path.display()
            );
        }
        Ok(sent)
    }

    /// Stores the run's files with it, but for the dynamics, and the model only on request.
    fn send_files(&self, run: &RunFolder) -> Result<Result<(), Failure>> {
        let Some(server_run) = &self.run else {
            return Ok(Ok(()));
        };
        let Some(store) = Store::of(&server_run.artifact_uri) else {
            tracing::warn!(
                "the files of MLflow's run are at {}, which cannot be reached through the server \
                 (start it with --serve-artifacts); they were not sent",
                server_run.artifact_uri
            );
            return Ok(Ok(()));
        };
        for (name, path) in self.files(run)? {
            let stored = match &store {
                Store::Server(folder) => self.server.put_file(folder, &name, &path).map(|_| ()),
                Store::Folder(folder) => {
                    fsio::write(&folder.join(&name), &fsio::read(&path)?)?;
                    Ok(())
                }
            };
            if stored.is_err() {
                return Ok(stored);
            }
        }
        Ok(Ok(()))
    }

    /// Names and paths of the files that are stored with the run.
    fn files(&self, run: &RunFolder) -> Result<Vec<(String, PathBuf)>> {
        let model = match result_location(&self.config.model.output_path) {
            ResultLocation::InRun(name) => name,
            ResultLocation::At(_) => PathBuf::new(),
        };
        let is_model = |name: &Path| name.iter().next() == model.iter().next();
        let names = run.files()?.into_iter().filter(|name| {
            let name = Path::new(name);
            let is_dynamics = run.path().join(name).starts_with(run.dynamics_folder());
            !is_dynamics && (self.settings.log_model || !is_model(name))
        });
        Ok(names
            .map(|name| (name.clone(), run.path().join(name)))
            .collect())
    }

    /// Tells the server how the run ended.
    fn end(&mut self, status: &str) -> Result<(), Failure> {
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        let end_time = now().as_millis() as u64;
        let end = json!({"run_id": run.id, "status": status, "end_time": end_time});
        self.server.post("runs/update", &end).map(|_| ())
    }
}

impl Tracker for Mlflow {
    fn start(&mut self, run: &RunFolder, name: &str) -> Result<()> {
        let mut tags: Vec<Value> = vec![
            json!({"key": "mlflow.source.name", "value": self.config_path.to_string_lossy()}),
            json!({"key": "mlflow.source.type", "value": "LOCAL"}),
            json!({"key": "enginora_rs.run", "value": run.path().to_string_lossy()}),
        ];
        if let Some(user) = variable("USER").or_else(|| variable("USERNAME")) {
            tags.push(json!({"key": "mlflow.user", "value": user}));
        }
        let own = self.settings.tags.iter();
        tags.extend(own.map(|(key, value)| json!({"key": allowed(key), "value": text(value)})));
        let request = json!({
            "experiment_id": self.experiment_id,
            "run_name": name,
            "start_time": now().as_millis() as u64,
            "tags": tags,
        });
        let server = &self.server;
        let refused = |failure: Failure| refused(server, &failure);
        if let Some(known) = known_run(run) {
            let running = json!({"run_id": known.id, "status": "RUNNING"});
            server.post("runs/update", &running).map_err(refused)?;
            let found = server.get("runs/get", &[("run_id", &known.id)]);
            self.taken = last_steps(&found.map_err(refused)?);
            tracing::info!("MLflow: going on with the run {}", known.id);
            self.run = Some(known);
            return Ok(());
        }
        let made = server.post("runs/create", &request).map_err(refused)?;
        let info = &made["run"]["info"];
        let field = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
        let id = field("run_id");
        for params in params(&self.config).chunks(PARAMS_PER_BATCH) {
            let batch = json!({"run_id": id, "params": params});
            server.post("runs/log-batch", &batch).map_err(refused)?;
        }
        tracing::info!(
            "MLflow: {}/#/experiments/{}/runs/{id}",
            server.address(),
            self.experiment_id
        );
        let made = ServerRun {
            id,
            artifact_uri: field("artifact_uri"),
        };
        fsio::write(
            &run.checkpoints_folder().join(RUN),
            &serde_json::to_vec(&made).unwrap_or_default(),
        )?;
        self.run = Some(made);
        Ok(())
    }

    fn pending(&self) -> Value {
        Value::Array(self.unsent.clone())
    }

    fn take_up(&mut self, pending: Value, _step: usize) {
        if let Value::Array(pending) = pending {
            self.unsent = pending;
        }
    }

    /// Under transformers' names: `loss`, `eval_f1_score`.
    fn log(&mut self, group: &str, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let named = values.iter().map(|(name, value)| match group {
            TRAIN => ((*name).to_owned(), *value),
            _ => (format!("{group}_{name}"), *value),
        });
        self.keep(named, step);
        let is_due = self.last_sent.elapsed() >= SEND_EVERY;
        if group != TRAIN || is_due || self.unsent.len() >= METRICS_PER_BATCH {
            self.offer();
        }
        Ok(())
    }

    /// Under the stage's name: `test_f1_score`.
    fn log_result(&mut self, stage: &str, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let named = values.iter();
        let named = named.map(|(name, value)| (format!("{stage}_{name}"), *value));
        self.keep(named, step);
        Ok(())
    }

    fn finish(&mut self, run: &RunFolder) -> Result<()> {
        if self.send_the_rest(run)?.is_err() {
            // The server was found away, and was said to be.
            self.run = None;
            return Ok(());
        }
        let sent = self.send_files(run)?;
        let ended = self.end("FINISHED");
        if let Err(failure) = sent.and(ended) {
            tracing::warn!(
                "the MLflow server at {} has the run's metrics but not all of its files ({failure})",
                self.server.address()
            );
        }
        Ok(())
    }
}

/// A run that did not finish has failed, which the server should know; nobody waits for its
/// answer.
impl Drop for Mlflow {
    fn drop(&mut self) {
        if self.run.is_some() && self.outage.is_none() {
            let _ = self.send();
            let _ = self.end("FAILED");
        }
    }
}

/// The last step of each metric of a run, as the server describes it.
fn last_steps(found: &Value) -> BTreeMap<String, u64> {
    let metrics = found["run"]["data"]["metrics"].as_array();
    let metrics = metrics.into_iter().flatten();
    metrics
        .filter_map(|metric| {
            // JSON for a protocol buffer's int64 may be a text; 0 is left out.
            let step = match &metric["step"] {
                Value::Null => 0,
                Value::String(text) => text.parse().ok()?,
                step => step.as_u64()?,
            };
            Some((metric["key"].as_str()?.to_owned(), step))
        })
        .collect()
}

/// The server's run, if it had one before the run was stopped.
fn known_run(run: &RunFolder) -> Option<ServerRun> {
    let bytes = fsio::read(&run.checkpoints_folder().join(RUN)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Where a run's files are stored.
enum Store {
    /// Below this path of the server's own store.
    Server(String),
    /// In this folder, which the server sees as we do.
    Folder(PathBuf),
}

impl Store {
    fn of(artifact_uri: &str) -> Option<Self> {
        if let Some(rest) = artifact_uri.strip_prefix("mlflow-artifacts:") {
            // With or without a host, which is the server.
            let path = rest.strip_prefix("//").map_or(Some(rest), |with_host| {
                with_host.find('/').map(|at| &with_host[at..])
            });
            return path.map(|path| Self::Server(path.to_owned()));
        }
        if let Some(path) = artifact_uri.strip_prefix("file://") {
            return Some(Self::Folder(PathBuf::from(path)));
        }
        // A folder on the server's machine, by its path: ours if it is there.
        let path = Path::new(artifact_uri);
        (path.is_absolute() && path.exists()).then(|| Self::Folder(path.to_path_buf()))
    }
}

/// The server's address: the config's, else the environment's.
fn address(loaded: &LoadedConfig, settings: &MlflowConfig) -> Result<String> {
    let from_config = settings.tracking_uri.clone();
    let Some(address) = from_config.or_else(|| variable("MLFLOW_TRACKING_URI")) else {
        let key = if loaded.config.mlflow.is_some() {
            "mlflow"
        } else {
            "training.report_to"
        };
        let message = "no MLflow server is named";
        let hint = "set `mlflow.tracking_uri` or MLFLOW_TRACKING_URI to its address; \
                    `mlflow server` starts one at http://localhost:5000";
        let problem = loaded.source.problem(key, message).hint(hint);
        return Err(Error::new(ErrorKind::Config, problem));
    };
    if !address.starts_with("http://") && !address.starts_with("https://") {
        let message = format!(
            "MLFLOW_TRACKING_URI is `{address}`; expected a server's `http://` or `https://` address"
        );
        let hint = "start a server over such a store with `mlflow server --backend-store-uri ...` \
                    and name its address";
        return Err(Error::new(
            ErrorKind::Config,
            Problem::new(message).hint(hint),
        ));
    }
    Ok(address)
}

/// The id of the experiment of this name, which is made where there is none.
fn experiment(server: &Server, name: &str) -> Result<String, Failure> {
    let find = || server.get("experiments/get-by-name", &[("experiment_name", name)]);
    let found = match find() {
        Err(failure) if failure.code == "RESOURCE_DOES_NOT_EXIST" => {
            match server.post("experiments/create", &json!({"name": name})) {
                Ok(made) => return Ok(text(&made["experiment_id"])),
                // Another run was faster.
                Err(failure) if failure.code == "RESOURCE_ALREADY_EXISTS" => find()?,
                Err(failure) => return Err(failure),
            }
        }
        found => found?,
    };
    Ok(text(&found["experiment"]["experiment_id"]))
}

/// A server that does not take a run, before anything is trained.
fn refused(server: &Server, failure: &Failure) -> Error {
    let message = format!("the MLflow server at `{}`: {failure}", server.address());
    let hint = match failure.status {
        Some(401 | 403) => {
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        }
        Some(_) => "see the server's log, or take the `mlflow` section out of the config",
        None => {
            "start it, mend `mlflow.tracking_uri` or MLFLOW_TRACKING_URI, or take the `mlflow` \
             section out of the config"
        }
    };
    Error::new(ErrorKind::Io, Problem::new(message).hint(hint))
}

/// Every single value of the config under its key path, `metrics.0.name`, but for the sections
/// that say nothing of the run's result.
fn params(config: &Config) -> Vec<Value> {
    let mut config = serde_json::to_value(config).unwrap_or_default();
    if let Some(sections) = config.as_object_mut() {
        sections.shift_remove("mlflow");
        sections.shift_remove("dvc");
    }
    let mut params = Map::new();
    flatten(&config, "", &mut params);
    params
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}

fn flatten(value: &Value, key: &str, params: &mut Map<String, Value>) {
    let below = |name: &str| match key {
        "" => name.to_owned(),
        _ => format!("{key}.{name}"),
    };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                flatten(member, &below(name), params);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                flatten(item, &below(&i.to_string()), params);
            }
        }
        Value::Null => {}
        _ => {
            let value: String = text(value).chars().take(PARAM_LENGTH).collect();
            params.insert(allowed(key), Value::from(value));
        }
    }
}

/// A name with only the characters that every server allows in one.
fn allowed(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' | ' ' | ':' | '/' => c,
            _ => '_',
        })
        .collect()
}

/// A single value as text, without JSON's quotes.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A metric's value; what JSON has no number for goes by the names of protocol buffers' JSON.
fn number(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}
