//! What to tell a user whose model cannot be had, and what to do about it.

use std::io;
use std::path::Path;

use super::http::Failure;
use super::{HubModel, HubOptions, cache};
use crate::error::{Error, ErrorKind, Problem};

/// The model is not in the cache, and no server may be asked.
pub(super) fn offline(model: &HubModel, options: &HubOptions) -> Error {
    let message = format!(
        "there is no folder `{}`, the model is not in the cache, and `HF_HUB_OFFLINE` is set",
        name(model)
    );
    let hint = format!("unset it, or {}", by_hand(model, options));
    Error::new(ErrorKind::MissingInput, Problem::new(message).hint(hint))
}

/// The server did not give what was asked for.
pub(super) fn explain(model: &HubModel, options: &HubOptions, failure: &Failure) -> Error {
    let (name, endpoint) = (name(model), &options.endpoint);
    let id = model.id();
    let (message, hint) = match failure {
        Failure::Connection(why) => (
            format!(
                "there is no folder `{name}`, and {endpoint} cannot be reached to fetch the model: {why}"
            ),
            format!("without a network, {}", by_hand(model, options)),
        ),
        Failure::Nonsense(why) => (
            format!("{endpoint} does not answer as a model hub does: {why}"),
            "is `HF_ENDPOINT` right?".to_owned(),
        ),
        Failure::Status { status, code, .. } => match status.as_u16() {
            404 if code == "RevisionNotFound" => (
                format!("`{id}` has no revision `{}`", model.revision),
                format!("its branches and tags are at {endpoint}/{id}/tree/main"),
            ),
            404 => (
                format!("there is no folder `{name}`, and no model of that name on {endpoint}"),
                absent(model),
            ),
            401 | 403 => (
                format!(
                    "{endpoint} does not give `{name}` to {} ({status}): it is private or asks for consent, or there is no such model",
                    asker(options)
                ),
                permission(model, options),
            ),
            429 => (
                format!("{endpoint} has had too many requests ({status}), also after waiting"),
                format!(
                    "try again later: what is there already stays; or {}",
                    with_token(options)
                ),
            ),
            _ => (
                format!("{endpoint} cannot give `{name}` now ({status})"),
                format!(
                    "try again later: what is there already stays; or {}",
                    by_hand(model, options)
                ),
            ),
        },
    };
    Error::new(ErrorKind::MissingInput, Problem::new(message).hint(hint))
}

/// The repository is there, but no model that this program can load.
pub(super) fn unusable(model: &HubModel, options: &HubOptions, what: &str) -> Error {
    let message = format!("the repository `{}` cannot be used: {what}", name(model));
    let hint = format!(
        "its files are at {}/{}/tree/main",
        options.endpoint,
        model.id()
    );
    Error::new(ErrorKind::MissingInput, Problem::new(message).hint(hint))
}

/// What arrived is not what the server says it has.
pub(super) fn wrong_hash(file: &str, url: &str, expected: &str, found: &str) -> Error {
    let message = format!(
        "`{file}` arrived broken and was discarded: its hash is {found}, and the server says {expected}"
    );
    let hint = format!("try again; if it stays so, something between here and {url} changes files");
    Error::new(ErrorKind::Integrity, Problem::new(message).hint(hint))
}

/// The cache cannot be written; a full disk above all.
pub(super) fn writing(path: &Path, source: &io::Error, options: &HubOptions) -> Error {
    let error = Error::writing(path, source);
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => error.with_hint(format!(
            "the cache is {}: make room there, or set `HF_HOME` to a folder on another disk; the download goes on where it stopped",
            options.cache.display()
        )),
        _ => error,
    }
}

fn name(model: &HubModel) -> String {
    match model.revision.as_str() {
        "main" => model.id.clone(),
        revision => format!("{}@{revision}", model.id),
    }
}

/// How to bring a model to a machine without a network.
fn by_hand(model: &HubModel, options: &HubOptions) -> String {
    let folder = cache::folder(model, options);
    let revision = match model.revision.as_str() {
        "main" => String::new(),
        revision => format!(" --revision {revision}"),
    };
    format!(
        "on another machine run `hf download {}{revision}` and copy its `{}` to `{}` here, or copy the model's files to any folder and name that",
        model.id,
        folder.file_name().unwrap_or_default().display(),
        folder.display(),
    )
}

fn absent(model: &HubModel) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = format!("a folder is looked for in {}", here.display());
    if model.id.contains('/') {
        folder
    } else {
        format!("most models have an owner in their name, as in `org/name`; {folder}")
    }
}

fn asker(options: &HubOptions) -> &'static str {
    match options.token {
        Some(_) => "the owner of this token",
        None => "somebody without a token",
    }
}

fn permission(model: &HubModel, options: &HubOptions) -> String {
    let page = format!("{}/{}", options.endpoint, model.id);
    match options.token {
        Some(_) => format!(
            "check the name, accept the conditions at {page} with the token's account, and that the token may read it"
        ),
        None => format!(
            "check the name, accept the conditions at {page} if it has any, and {}",
            with_token(options)
        ),
    }
}

fn with_token(options: &HubOptions) -> String {
    match options.token {
        Some(_) => "use another token".to_owned(),
        None => format!(
            "make a token at {}/settings/tokens and set `HF_TOKEN` to it (or run `hf auth login`)",
            options.endpoint
        ),
    }
}
