//! Where a config's paths lead.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::data::DataConfig;
use super::types::{Config, SectionColumns};

/// The extensions of the formats in which maps and predictions can be written.
pub const TABLE_EXTENSIONS: [&str; 5] = ["parquet", "csv", "tsv", "jsonl", "pickle"];

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultLocation {
    /// Into the run's folder, under this file name, and shown in the output folder.
    InRun(PathBuf),
    /// To this path, which is relative to the working directory unless it is absolute.
    At(PathBuf),
}

/// Where the result of a config's `path` goes: a bare file name, or one after `./`, lies in
/// the run; anything with a folder is a path of its own.
pub fn result_location(path: &Path) -> ResultLocation {
    let mut components = path.components().filter(|c| *c != Component::CurDir);
    match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) => ResultLocation::InRun(PathBuf::from(name)),
        _ => ResultLocation::At(path.to_path_buf()),
    }
}

impl Config {
    /// The columns of a section's files: those of `data`, but for what the section says itself.
    pub fn columns_of(&self, section: &SectionColumns) -> DataConfig {
        let mut columns = self.data.clone();
        columns.has_header = section.has_header.unwrap_or(columns.has_header);
        if section.text_column_id.is_some() {
            columns.text_column_id = section.text_column_id;
            columns.text_column = None;
        }
        if section.label_column_id.is_some() {
            columns.label_column_id = section.label_column_id;
            columns.label_column = None;
        }
        columns
    }

    /// The folder that keeps the runs: `training.output_dir`, else `data.output_dir`.
    pub fn output_dir(&self) -> &Path {
        let training = self.training.output_dir.as_deref();
        training.unwrap_or(&self.data.output_dir)
    }

    /// The stage of `control[index]`: `control`, or `control_NAME` where it has a name.
    pub fn control_stage(&self, index: usize) -> String {
        match self.control.get(index).and_then(|c| c.name.as_deref()) {
            Some(name) => format!("control_{name}"),
            None => "control".to_owned(),
        }
    }

    /// The key path of `control[index]`: plain `control` where there is only one.
    pub fn control_key(&self, index: usize) -> String {
        match self.control.len() {
            1 => "control".to_owned(),
            _ => format!("control[{index}]"),
        }
    }
}

/// Whether a table can be written under this name.
pub(super) fn is_table(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| TABLE_EXTENSIONS.contains(&extension))
}
