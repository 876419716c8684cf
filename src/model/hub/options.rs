//! Where the cache is, which server is asked, and with which token.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How models are found and fetched; [`HubOptions::from_env`] reads what Python's
/// `huggingface_hub` reads.
pub struct HubOptions {
    /// The folder with a folder for every model: `HF_HUB_CACHE`, else `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// The server without a slash at its end: `HF_ENDPOINT`, else `https://huggingface.co`.
    pub endpoint: String,
    /// Who asks: `HF_TOKEN`, else the content of `HF_TOKEN_PATH` or of `token` in `HF_HOME`.
    /// It is sent to the endpoint alone.
    pub token: Option<String>,
    /// Whether no server may be asked: `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`.
    pub offline: bool,
    /// How to wait between two tries.
    pub sleep: fn(Duration),
}

impl HubOptions {
    /// As the process's environment says.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As these variables say; an empty one counts as none.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let user = variable("HOME").or_else(|| variable("USERPROFILE"));
        let path = |name: &str| variable(name).map(|path| with_home(&path, user.as_deref()));
        let home = path("HF_HOME").unwrap_or_else(|| {
            let caches =
                path("XDG_CACHE_HOME").unwrap_or_else(|| with_home("~/.cache", user.as_deref()));
            caches.join("huggingface")
        });
        let is_on = |name: &str| {
            let value = variable(name).unwrap_or_default().to_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let token_path = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = variable("HF_TOKEN")
            .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
            .and_then(|token| clean(&token))
            .or_else(|| clean(&std::fs::read_to_string(token_path).ok()?));
        let endpoint = variable("HF_ENDPOINT").unwrap_or("https://huggingface.co".to_owned());
        Self {
            cache: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|_| !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")),
            offline: match variable("HF_HUB_OFFLINE") {
                Some(_) => is_on("HF_HUB_OFFLINE"),
                None => is_on("TRANSFORMERS_OFFLINE"),
            },
            sleep: std::thread::sleep,
        }
    }
}

/// A path whose `~` is the user's folder.
fn with_home(path: &str, user: Option<&str>) -> PathBuf {
    match (path.strip_prefix("~/"), user) {
        (Some(rest), Some(user)) => Path::new(user).join(rest),
        _ => PathBuf::from(path),
    }
}

/// A token without the line's end that an editor or `echo` put there; none if nothing is left,
/// or something that no header can carry.
fn clean(token: &str) -> Option<String> {
    let token = token.trim();
    let is_token = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    is_token.then(|| token.to_owned())
}
