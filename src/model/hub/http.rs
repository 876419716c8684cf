//! One request: redirects followed with the token kept at home, failures sorted.

use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body, Proxy};

use super::HubOptions;

/// A server that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// How long to try for a connection.
const CONNECTING: Duration = Duration::from_secs(15);

const MAX_REDIRECTS: usize = 10;

/// How much of a file to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Its headers, as the hub itself gives them, not the store that it redirects to.
    Head,
    /// The bytes from this one on.
    From(u64),
}

/// Why a request failed.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The server answered, but not with what was asked for.
    Status {
        status: StatusCode,
        /// The hub's own word for it, such as `GatedRepo`.
        code: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that broke off.
    Connection(String),
    /// An answer that makes no sense, which no second try will mend.
    Nonsense(String),
}

/// The connections to one endpoint.
pub(super) struct Client<'a> {
    agent: Agent,
    options: &'a HubOptions,
}

impl<'a> Client<'a> {
    pub fn new(options: &'a HubOptions) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECTING))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("enginora-rs/", env!("CARGO_PKG_VERSION")))
            // Lengths and positions are those of the file, not of a packed one.
            .accept_encoding("identity");
        let host = options.endpoint.parse::<Uri>().ok();
        let host = host.as_ref().and_then(Uri::host).unwrap_or_default();
        config = match host {
            "localhost" | "127.0.0.1" | "[::1]" => config.proxy(None),
            _ => config.proxy(Proxy::try_from_env()),
        };
        Self {
            agent: config.build().into(),
            options,
        }
    }

    /// The answer to a request, after redirects: a status of 200 or 206.
    pub fn get(&self, url: &str, request: Request) -> Result<Response<Body>, Failure> {
        let nonsense = |what: &str| Failure::Nonsense(format!("{what} `{url}`"));
        let mut uri: Uri = url.parse().map_err(|_| nonsense("there is no address"))?;
        let home: Uri = uri.clone();
        for _ in 0..MAX_REDIRECTS {
            let response = self.ask(&uri, request, same_origin(&uri, &home))?;
            if !response.status().is_redirection() {
                return sort(response);
            }
            if request == Request::Head && header(&response, "x-linked-etag").is_some() {
                return Ok(response);
            }
            let location = header(&response, "location").unwrap_or_default();
            uri = follow(&uri, location).ok_or_else(|| nonsense("a redirect to nowhere from"))?;
        }
        Err(nonsense("too many redirects from"))
    }

    fn ask(&self, uri: &Uri, request: Request, at_home: bool) -> Result<Response<Body>, Failure> {
        let mut call = match request {
            Request::Head => self.agent.head(uri),
            Request::From(0) => self.agent.get(uri),
            Request::From(start) => self
                .agent
                .get(uri)
                .header("range", format!("bytes={start}-")),
        };
        if let Some(token) = self.options.token.as_ref().filter(|_| at_home) {
            call = call.header("authorization", format!("Bearer {token}"));
        }
        call.call().map_err(|e| match e {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
                Failure::Nonsense(e.to_string())
            }
            _ => Failure::Connection(e.to_string()),
        })
    }
}

/// A header's text.
pub(super) fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

impl Failure {
    /// Whether another try may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 500 | 502..=504),
            Self::Connection(_) => true,
            Self::Nonsense(_) => false,
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { status, .. } => write!(f, "the server answers {status}"),
            Self::Connection(why) | Self::Nonsense(why) => f.write_str(why),
        }
    }
}

fn sort(response: Response<Body>) -> Result<Response<Body>, Failure> {
    if matches!(response.status().as_u16(), 200 | 206) {
        return Ok(response);
    }
    let seconds = header(&response, "retry-after").and_then(|text| text.trim().parse().ok());
    Err(Failure::Status {
        status: response.status(),
        code: header(&response, "x-error-code")
            .unwrap_or_default()
            .to_owned(),
        retry_after: seconds.map(Duration::from_secs),
    })
}

/// Scheme, host and port alike.
fn same_origin(a: &Uri, b: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let host = uri.host().map(str::to_ascii_lowercase);
        let default = if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default);
        (uri.scheme_str().map(str::to_owned), host, port)
    };
    origin(a) == origin(b)
}

/// Where a redirect leads: to another address, or to a path of the same server.
fn follow(from: &Uri, location: &str) -> Option<Uri> {
    let origin = format!("{}://{}", from.scheme_str()?, from.authority()?);
    let target = if location.starts_with("//") {
        format!("{}:{location}", from.scheme_str()?)
    } else if location.starts_with('/') {
        format!("{origin}{location}")
    } else {
        location.to_owned()
    };
    let target: Uri = target.parse().ok()?;
    matches!(target.scheme_str(), Some("http" | "https")).then_some(target)
}
