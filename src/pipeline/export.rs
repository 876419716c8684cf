//! `export`: dynamics, ours or another program's, to another program's files.

use std::path::{Path, PathBuf};

use crate::dynamics::{DynamicsFiles, DynamicsFormat, ExportFormat, export};
use crate::error::{Error, ErrorKind, Problem, Result};

/// What `export` needs of the command line.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Dynamics: a file or folder.
    pub path: PathBuf,
    /// Who wrote them; found out where none is given.
    pub format: Option<DynamicsFormat>,
    /// Whose files are written.
    pub to: ExportFormat,
    /// The folder for them.
    pub output: PathBuf,
}

/// Sees that no file that is read would be written.
fn check_other_folder(files: &DynamicsFiles, output: &Path) -> Result<()> {
    let read = files.folder().canonicalize();
    let Ok(read) = read else { return Ok(()) };
    let written = [output.to_owned(), output.join("training_dynamics")];
    if written
        .iter()
        .any(|folder| folder.canonicalize().is_ok_and(|folder| folder == read))
    {
        let problem = Problem::new("the dynamics that are read lie in the output folder")
            .in_file(output)
            .hint("choose another `--output`");
        return Err(Error::new(ErrorKind::Usage, problem));
    }
    Ok(())
}

/// Reads dynamics and writes them as another program's files.
///
/// # Errors
/// Dynamics that are not there or not what they should be, an output that cannot be written.
pub fn run_export(options: &ExportOptions) -> Result<()> {
    let files = DynamicsFiles::find(&options.path, options.format)?;
    check_other_folder(&files, &options.output)?;
    let dynamics = files.read(None)?;
    let written = export(&dynamics, options.to, &options.output)?;
    tracing::info!(
        "{} examples, {} epochs, {} classes as {}: {} in {}",
        dynamics.examples.len(),
        dynamics.epochs.len(),
        dynamics.n_classes,
        options.to.name(),
        match &written[..] {
            [one] => one
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            many => format!("{} files", many.len()),
        },
        written
            .first()
            .and_then(|path| path.parent())
            .unwrap_or(Path::new("."))
            .display()
    );
    Ok(())
}
