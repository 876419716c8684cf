//! Which model a run starts from, and bringing it here.

use std::path::{Path, PathBuf};

use crate::config::{Config, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::model;
#[cfg(feature = "hub")]
use crate::model::{HubModel, HubOptions};
use crate::pipeline::Console;

/// The name of a model that is made from nothing.
const SCRATCH: &str = "scratch";

/// Where a run's model comes from.
pub enum ModelSource {
    /// It is made.
    Scratch,
    /// This folder, the user's own or one in the hub's cache.
    Folder(PathBuf),
    /// The hub, from which it has yet to be fetched.
    #[cfg(feature = "hub")]
    Hub(HubModel, Box<HubOptions>),
}

impl ModelSource {
    /// Looks for the model that the config names: a folder, else a model in the hub's cache,
    /// else one to fetch. Nothing is asked of any server.
    ///
    /// # Errors
    /// A folder that is no model's, or a name of neither kind ([`ErrorKind::MissingInput`]).
    pub fn find(config: &Config, source: &Source) -> Result<Self> {
        let name = &config.model.model_name;
        if name == SCRATCH {
            return Ok(Self::Scratch);
        }
        let folder = Path::new(name);
        if !folder.is_dir() {
            return Self::on_the_hub(name).map_err(|e| at_model_name(&e, source));
        }
        let encoder = model::transformer_folder(folder)?;
        if encoder.join("config.json").is_file() {
            return Ok(Self::Folder(encoder));
        }
        let message = format!("the folder `{name}` holds no `config.json`");
        let hint = "a model folder has config.json, model.safetensors or pytorch_model.bin, and the tokenizer's files";
        let problem = source.problem("model.model_name", message).hint(hint);
        Err(Error::new(ErrorKind::MissingInput, problem))
    }

    #[cfg(feature = "hub")]
    fn on_the_hub(name: &str) -> Result<Self> {
        let model = HubModel::parse(name).ok_or_else(|| no_folder(name))?;
        let options = Box::new(HubOptions::from_env());
        if let Some(folder) = model.cached(&options) {
            Ok(Self::Folder(model::transformer_folder(&folder)?))
        } else if options.offline {
            Err(model.offline_error(&options))
        } else {
            Ok(Self::Hub(model, options))
        }
    }

    #[cfg(not(feature = "hub"))]
    fn on_the_hub(name: &str) -> Result<Self> {
        let hint = "this program was built without the model hub: name a folder, or build it with `cargo build --release --features hub`";
        let mut problem = no_folder(name).problems()[0].clone();
        problem.hint = Some(hint.to_owned());
        Err(Error::new(ErrorKind::MissingInput, problem))
    }

    /// The model's folder, fetched if need be; none for a model from scratch.
    ///
    /// # Errors
    /// A model that cannot be had ([`ErrorKind::MissingInput`]), or did not arrive whole
    /// ([`ErrorKind::Integrity`]); a cache that cannot be written.
    #[cfg_attr(not(feature = "hub"), allow(unused_variables))]
    pub fn bring(&self, source: &Source, console: &Console) -> Result<Option<PathBuf>> {
        match self {
            Self::Scratch => Ok(None),
            Self::Folder(folder) => Ok(Some(folder.clone())),
            #[cfg(feature = "hub")]
            Self::Hub(model, options) => {
                tracing::info!(
                    "fetching {} from {} to {}",
                    model.id(),
                    options.endpoint,
                    options.cache.display()
                );
                let mut progress = super::download::Download::new(console);
                let fetched = model.fetch(options, &mut |event| progress.on_event(&event));
                let folder = fetched.map_err(|e| at_model_name(&e, source))?;
                Ok(Some(model::transformer_folder(&folder)?))
            }
        }
    }

    /// What a run would do to have the model, for somebody who knows its name.
    pub fn plan(&self, name: &str) -> String {
        match self {
            Self::Scratch => name.to_owned(),
            Self::Folder(folder) if folder == Path::new(name) => name.to_owned(),
            Self::Folder(folder) => format!("{name}, in {}", folder.display()),
            #[cfg(feature = "hub")]
            Self::Hub(_, options) => format!(
                "{name}, to be fetched from {} to {}",
                options.endpoint,
                options.cache.display()
            ),
        }
    }
}

fn no_folder(name: &str) -> Error {
    let message = format!("there is no model folder `{name}`");
    let hint = "name a folder in Hugging Face's layout, as with `--set model.model_name=path/to/model`, a model of the hub such as `bert-base-cased`, or `scratch`";
    let problem = crate::error::Problem::new(message).hint(hint);
    Error::new(ErrorKind::MissingInput, problem)
}

/// Places what is wrong with the model where the config names it, unless it is a file's.
fn at_model_name(error: &Error, source: &Source) -> Error {
    let said = &error.problems()[0];
    if said.location.is_some() {
        return error.clone();
    }
    let mut problem = source.problem("model.model_name", said.message.clone());
    problem.hint.clone_from(&said.hint);
    Error::new(error.kind(), problem)
}
