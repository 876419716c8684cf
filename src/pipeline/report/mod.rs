//! A run as one HTML page: its map, its examples, its numbers.
//!
//! ```text
//! source      what a path means: a run, an output folder, a map
//! run_facts   config, metrics, history, confusion, experiments
//! map_blocks  the map's signals and the texts
//! trajectory  the classes' probabilities over the epochs
//! comparison  what changed from one run to another
//! ```

mod comparison;
mod map_blocks;
mod run_facts;
mod source;
mod trajectory;

use std::path::PathBuf;

use serde_json::json;

use crate::config::{Config, DEFAULT_RANDOM_STATE};
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::fsio;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::run_folder::RunFolder;
use crate::report::page::Page;
use map_blocks::MapOfPage;
use source::Source;

/// The page of a run, in its folder.
pub const PAGE: &str = "report.html";

/// What `report` is to do.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// A run, an output folder, or a map.
    pub run: PathBuf,
    /// Another one, to compare with.
    pub other: Option<PathBuf>,
    /// Whether the page has the examples' texts.
    pub texts: bool,
    /// Where the page goes.
    pub output: PathBuf,
}

/// Writes the page of a run, or of two.
///
/// # Errors
/// A path that is none of a run, an output folder, a map or a finished experiment; files in it
/// that cannot be read; an output that cannot be written.
pub fn run_report(options: &ReportOptions) -> Result<()> {
    let source = Source::find(&options.run)?;
    let other = options.other.as_deref().map(Source::find).transpose()?;
    check_output(&source, options)?;
    let training = if options.texts && source.map.is_some() {
        source.training_set()
    } else {
        None
    };
    let page = page_of(&source, other.as_ref(), training.as_ref())?;
    let html = page.to_html();
    fsio::write(&options.output, html.as_bytes())?;
    tracing::info!(
        "{}: {:.1} MB, open it in a browser",
        options.output.display(),
        html.len() as f64 / 1e6
    );
    Ok(())
}

/// Writes the page of the run that is being made into its folder. No clock and no place is in
/// it, so that the same run gives the same bytes.
///
/// # Errors
/// Files of the run that cannot be read, or a page that cannot be written.
pub fn write_page_of_run(run: &RunFolder, config: &Config, inputs: &Inputs) -> Result<()> {
    let training = &config.training;
    let map = training.perform_data_cartography;
    let map = map.then(|| run.result_path(&training.data_cartography_results));
    let source = Source::of_run(run.path(), map)?;
    let page = page_of(&source, None, Some(&inputs.training))?;
    fsio::write(&run.path().join(PAGE), page.to_html().as_bytes())
}

fn page_of(source: &Source, other: Option<&Source>, dataset: Option<&Dataset>) -> Result<Page> {
    let mut page = Page::new();
    page.say("version", env!("CARGO_PKG_VERSION"));
    page.say("title", source.title.as_str());
    page.say("seed", DEFAULT_RANDOM_STATE.to_string());
    page.say("run", run_facts::facts(source)?);
    let map = source.map.as_deref().map(MapOfPage::read).transpose()?;
    if let Some(map) = &map {
        let mut facts = map.facts(&mut page, source, dataset)?;
        let trajectory = trajectory::facts(&mut page, &source.folder, map)?;
        facts.insert("trajectory".to_owned(), trajectory);
        page.say("map", facts);
    }
    if let Some(other) = other {
        page.say(
            "other",
            json!({"title": other.title, "run": run_facts::facts(other)?}),
        );
        let other = other.map.as_deref().map(MapOfPage::read).transpose()?;
        if let (Some(map), Some(other)) = (&map, &other) {
            let facts = comparison::facts(&mut page, map, other)?;
            page.say("comparison", facts);
        }
    }
    Ok(page)
}

fn check_output(source: &Source, options: &ReportOptions) -> Result<()> {
    let is_page = options
        .output
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("html") || e.eq_ignore_ascii_case("htm"));
    let usage = |problem: Problem| Err(Error::new(ErrorKind::Usage, problem));
    if !is_page {
        let message = format!("`{}` is no name of a page", options.output.display());
        return usage(Problem::new(message).hint("give it the extension `.html`"));
    }
    let folder = options.output.parent().and_then(|f| f.canonicalize().ok());
    let is_run =
        |folder: PathBuf| RunFolder::is_complete(&folder) && folder.join("run.log").exists();
    if folder.is_some_and(|folder| {
        folder
            .parent()
            .is_some_and(|parent| parent.ends_with("runs"))
            && is_run(folder.clone())
    }) {
        let message = format!(
            "`{}` lies in a complete run, which is never changed",
            options.output.display()
        );
        return usage(Problem::new(message).hint("choose another folder for the page"));
    }
    if source.map.as_deref() == Some(&options.output) {
        return usage(Problem::new("the map would be written over"));
    }
    Ok(())
}
