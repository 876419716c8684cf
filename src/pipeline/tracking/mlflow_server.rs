//! An `MLflow` server's REST interface, version 2.0.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::TlsConfig;

/// A request that takes longer has failed; training waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may think about a file that it has; sending it may take any time.
const FILE_ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The server, with what it takes to be let in.
pub struct Server {
    address: String,
    authorization: Option<String>,
    requests: Agent,
    files: Agent,
}

/// What a server said, or why it could not be asked.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// `MLflow`'s name for the problem, such as `RESOURCE_DOES_NOT_EXIST`, or empty.
    pub code: String,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "it answers {status}: {}", self.message),
            None => write!(f, "it does not answer: {}", self.message),
        }
    }
}

impl Server {
    /// The server at `address`, asked with the environment's `MLFLOW_TRACKING_USERNAME` and
    /// `MLFLOW_TRACKING_PASSWORD`, or with its `MLFLOW_TRACKING_TOKEN`, as the Python client
    /// does; a user name and password in the address itself come before both.
    pub fn new(address: &str) -> Self {
        let address = address.trim_end_matches('/');
        let (address, from_address) = split_credentials(address);
        let insecure = variable("MLFLOW_TRACKING_INSECURE_TLS");
        let insecure =
            insecure.is_some_and(|word| word.eq_ignore_ascii_case("true") || word == "1");
        let config = || {
            let tls = TlsConfig::builder().disable_verification(insecure).build();
            Agent::config_builder()
                .http_status_as_error(false)
                .tls_config(tls)
                .user_agent(concat!("enginora-rs/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(REQUEST_TIMEOUT))
        };
        let requests = config().timeout_global(Some(REQUEST_TIMEOUT));
        let files = config().timeout_recv_response(Some(FILE_ANSWER_TIMEOUT));
        Self {
            address,
            authorization: from_address.or_else(authorization),
            requests: requests.build().new_agent(),
            files: files.build().new_agent(),
        }
    }

    /// The server's address, without a password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks the interface's `endpoint` (such as `experiments/get-by-name`).
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub fn get(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut request = self.requests.get(self.endpoint(endpoint));
        for (name, value) in query {
            request = request.query(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        answer(request.call())
    }

    /// Tells the interface's `endpoint` something.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub fn post(&self, endpoint: &str, body: &Value) -> Result<Value, Failure> {
        let mut request = self.requests.post(self.endpoint(endpoint));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        answer(request.send_json(body))
    }

    /// Stores a file as `name` below `folder`, the path of an `mlflow-artifacts:` address.
    ///
    /// # Errors
    /// A file that cannot be read, no answer, or one that says no.
    pub fn put_file(&self, folder: &str, name: &str, path: &Path) -> Result<Value, Failure> {
        let file = File::open(path).map_err(|e| Failure {
            status: None,
            code: String::new(),
            message: format!("{}: {e}", path.display()),
        })?;
        let name = format!("{}/{name}", folder.trim_matches('/'));
        let url = format!(
            "{}/api/2.0/mlflow-artifacts/artifacts/{}",
            self.address,
            percent_encoded(&name)
        );
        let mut request = self.files.put(url);
        request = request.header("Content-Type", "application/octet-stream");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        answer(request.send(&file))
    }

    fn endpoint(&self, endpoint: &str) -> String {
        format!("{}/api/2.0/mlflow/{endpoint}", self.address)
    }
}

/// An environment variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn answer(response: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Failure> {
    let failure = |status: Option<u16>, message: String| Failure {
        status,
        code: String::new(),
        message,
    };
    let mut response = response.map_err(|e| failure(None, e.to_string()))?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string();
    let text = text.map_err(|e| failure(None, e.to_string()))?;
    let json: Option<Value> = serde_json::from_str(&text).ok();
    if status == 200 {
        return Ok(json.unwrap_or_default());
    }
    let field = |name: &str| Some(json.as_ref()?.get(name)?.as_str()?.to_owned());
    // Another program's page of error is long and says little.
    let first_line = || {
        text.lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect()
    };
    Err(Failure {
        status: Some(status),
        code: field("error_code").unwrap_or_default(),
        message: field("message").unwrap_or_else(first_line),
    })
}

/// The address without `user:password@`, and these as a header's value.
fn split_credentials(address: &str) -> (String, Option<String>) {
    let split = || {
        let (scheme, rest) = address.split_once("://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (credentials, host) = rest[..end].rsplit_once('@')?;
        let address = format!("{scheme}://{host}{}", &rest[end..]);
        Some((address, Some(basic(credentials))))
    };
    split().unwrap_or_else(|| (address.to_owned(), None))
}

fn authorization() -> Option<String> {
    let user = variable("MLFLOW_TRACKING_USERNAME").zip(variable("MLFLOW_TRACKING_PASSWORD"));
    if let Some((name, password)) = user {
        return Some(basic(&format!("{name}:{password}")));
    }
    variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}"))
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", base64(credentials.as_bytes()))
}

/// RFC 4648's base 64, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

/// A path as part of an address: all but letters, digits, `/` and RFC 3986's unreserved marks
/// as their bytes.
fn percent_encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
