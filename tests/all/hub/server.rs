//! A small model hub on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: BTreeMap<String, String>,
    /// How often the same method and path were asked for before.
    pub n_before: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.trim_end_matches('-').parse().ok()
    }
}

/// What the server answers.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    pub cut: Option<usize>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub fn cut(mut self, length: usize) -> Self {
        self.cut = Some(length);
        self
    }
}

/// A server that answers in its own thread until it is dropped.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn new(mut answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let (log, over) = (requests.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let mut stream = stream.unwrap();
                if let Some(request) = read_request(&stream, &log) {
                    // A client that has heard enough may be gone.
                    let _ = send(&mut stream, &request, &answer(&request));
                }
            }
        });
        Self {
            address: format!("http://{address}"),
            requests,
            is_over,
            thread: Some(thread),
        }
    }

    /// All requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// Their methods and paths.
    pub fn take_lines(&self) -> Vec<String> {
        self.take_requests().iter().map(Request::line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_request(stream: &TcpStream, log: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        match line.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let mut log = log.lock().unwrap();
    let alike = |other: &&Request| other.method == method && other.path == path;
    let n_before = log.iter().filter(alike).count();
    let request = Request {
        method,
        path,
        headers,
        n_before,
    };
    log.push(request.clone());
    Some(request)
}

fn send(stream: &mut TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Said\r\nconnection: close\r\n", reply.status);
    let mut headers = reply.headers.clone();
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        headers.push(("content-length", reply.body.len().to_string()));
    }
    for (name, value) in headers {
        head.extend([name, ": ", &value, "\r\n"]);
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())])?;
    }
    stream.flush()?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // Closing with something unread would take back what was sent.
    let _ = stream.read(&mut [0; 1024]);
    Ok(())
}

/// The files of one repository, `tiny/bert`, as the real hub serves them: small ones itself,
/// weights from a store that it redirects to.
#[derive(Clone)]
pub struct Repository {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The server of the store; none: the same.
    pub store: String,
}

impl Repository {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter();
        Self {
            files: files
                .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
                .collect(),
            store: String::new(),
        }
    }

    pub fn answer(&self, request: &Request) -> Reply {
        let path = request.path.as_str();
        if let Some(revision) = path.strip_prefix("/api/models/tiny/bert/revision/") {
            return match revision {
                "main" | "v1" | "refs%2Fpr%2F1" | COMMIT => {
                    let files = self.files.keys().map(|name| json!({"rfilename": name}));
                    let files: Vec<_> = files.collect();
                    let text = json!({"sha": COMMIT, "siblings": files}).to_string();
                    Reply::status(200).body(text.as_bytes())
                }
                _ => Reply::status(404).with("x-error-code", "RevisionNotFound"),
            };
        }
        if let Some(name) = path.strip_prefix(&format!("/tiny/bert/resolve/{COMMIT}/")) {
            return match self.files.get(name) {
                None => Reply::status(404).with("x-error-code", "EntryNotFound"),
                Some(bytes) if is_large(name) => {
                    let etag = sha256(bytes);
                    Reply::status(302)
                        .with("location", &format!("{}/store/{etag}", self.store))
                        .with("x-linked-etag", &format!("\"{etag}\""))
                        .with("x-linked-size", &bytes.len().to_string())
                        .with("x-repo-commit", COMMIT)
                        .with("etag", "\"of the redirect\"")
                }
                Some(bytes) => Self::bytes(bytes, request)
                    .with("etag", &format!("\"{}\"", git_sha1(bytes)))
                    .with("x-repo-commit", COMMIT),
            };
        }
        if let Some(hash) = path.strip_prefix("/store/") {
            let found = self.files.values().find(|bytes| sha256(bytes) == hash);
            return found.map_or(Reply::status(404), |bytes| {
                Self::bytes(bytes, request).with("etag", "\"of the store\"")
            });
        }
        Reply::status(404).with("x-error-code", "RepoNotFound")
    }

    /// The bytes, or those of them that are asked for.
    fn bytes(bytes: &[u8], request: &Request) -> Reply {
        let Some(start) = request.range_start() else {
            return Reply::status(200).body(bytes);
        };
        if start >= bytes.len() {
            return Reply::status(416);
        }
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        Reply::status(206)
            .with("content-range", &range)
            .body(&bytes[start..])
    }
}

fn is_large(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("safetensors" | "bin"))
}

pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub fn git_sha1(bytes: &[u8]) -> String {
    let prefix = format!("blob {}\0", bytes.len());
    hexadecimal(&Sha1::digest([prefix.as_bytes(), bytes].concat()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |x: u8| char::from_digit(x.into(), 16).unwrap();
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}
