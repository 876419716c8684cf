//! A server that answers as `MLflow`'s does, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST /api/2.0/...` with its query.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        Some(value)
    }

    /// Whether it reports metrics.
    pub fn has_metrics(&self) -> bool {
        self.line.contains("runs/log-batch") && self.json()["metrics"].is_array()
    }
}

/// The server; it lives as long as the test's process.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// A server that refuses the requests for which `refuses` says the status; it gets the
    /// request and the number of requests with metrics before it.
    pub fn start(refuses: impl Fn(&Request, usize) -> Option<u16> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let Some(request) = read(&stream) else {
                    continue;
                };
                let mut seen = seen.lock().unwrap();
                let n_before = seen.iter().filter(|r| r.has_metrics()).count();
                let (status, body) = match refuses(&request, n_before) {
                    Some(status) => (status, json!({"message": "no", "error_code": "X"})),
                    None => answer(&request, &seen),
                };
                seen.push(request);
                respond(&stream, status, &body);
            }
        });
        Self { address, requests }
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The requests to one endpoint.
    pub fn to(&self, endpoint: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.line.contains(endpoint));
        requests
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
    assert!(!chunked, "a body of unknown length: {line}");
    let mut body = vec![0; length.map_or(0, |(_, n)| n.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line,
        headers,
        body,
    })
}

fn answer(request: &Request, before: &[Request]) -> (u16, Value) {
    let line = &request.line;
    if line.contains("experiments/get-by-name") {
        return if line.contains("experiment_name=there") {
            (200, json!({"experiment": {"experiment_id": "3"}}))
        } else {
            let code = "RESOURCE_DOES_NOT_EXIST";
            (404, json!({"error_code": code, "message": "none"}))
        };
    }
    if line.contains("experiments/create") {
        return (200, json!({"experiment_id": "7"}));
    }
    if line.contains("runs/create") {
        let info = json!({"run_id": "r1", "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"});
        return (200, json!({"run": {"info": info}}));
    }
    if line.contains("runs/get") {
        // The last of each metric.
        let batches = before.iter().filter(|r| r.has_metrics());
        let metrics = batches.flat_map(|r| r.json()["metrics"].as_array().unwrap().clone());
        let last: BTreeMap<String, Value> = metrics.map(|m| (m["key"].to_string(), m)).collect();
        let metrics: Vec<&Value> = last.values().collect();
        return (200, json!({"run": {"data": {"metrics": metrics}}}));
    }
    (200, json!({}))
}

fn respond(mut stream: &TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    // A client that has gone is its own business.
    let _ = stream.write_all((head + &body).as_bytes());
}
