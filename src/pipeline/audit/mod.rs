//! `audit`: which labels of a run's training set are likely to be wrong.
//!
//! ```text
//! audited_run   the run: its config, data and dynamics
//! trainings     further trainings with its config: folds, and one with known wrong labels
//! findings      audit.csv, audit.yaml, the picture, and what is printed
//! ```

mod audited_run;
mod findings;
mod trainings;

use std::path::PathBuf;

use crate::error::Result;
use crate::fsio::{self, FolderLock, Sharing};
use crate::map::label_errors::LabelEvidence;
use crate::pipeline::{Console, DeviceChoice, open_device, signals};
pub(super) use audited_run::findings_of;

use audited_run::AuditedRun;
use findings::Findings;

/// What `audit` needs of the command line.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// A run's folder, or an output folder: the run whose dynamics it shows.
    pub run: PathBuf,
    /// The number of folds of a cross-validation, at least 2; none: no further training.
    pub folds: Option<usize>,
    /// Whether to train once more with known wrong labels, for the expected precision.
    pub calibrate: bool,
    /// The folder for the findings and the further trainings; none: `audit` in the output folder.
    pub output: Option<PathBuf>,
}

/// Ranks the examples that a run was trained on by how likely their label is wrong: `audit.csv`,
/// `audit.yaml` and a picture, and the first ones printed. What is trained for it is kept, and not
/// trained again.
///
/// # Errors
/// A path that is no run with training dynamics, data that is no longer the run's, training that
/// fails, an output that cannot be written or that another process is writing.
pub fn run_audit(options: &AuditOptions, device: DeviceChoice, console: &Console) -> Result<()> {
    let device = open_device(device)?;
    let run = AuditedRun::read(&options.run)?;
    let output = options.output.clone();
    let output = output.unwrap_or_else(|| audited_run::default_output(&options.run));
    signals::say_at_stop("the same command goes on where it was stopped".to_owned());
    fsio::create_folder(&output)?;
    let _lock = FolderLock::take(&output, Sharing::Alone)?;
    fsio::remove_temporaries(&output)?;
    let crossed = match options.folds {
        Some(n_folds) => Some(trainings::cross_validate(
            &run, n_folds, &output, &device, console,
        )?),
        None => None,
    };
    let evidence = LabelEvidence::new(&run.dynamics, crossed.as_ref());
    let calibration = if options.calibrate {
        Some(trainings::calibrate(&run, &output, &device, console)?)
    } else {
        None
    };
    let findings = Findings {
        run: &run,
        evidence: &evidence,
        n_folds: options.folds,
        calibration: calibration.as_ref(),
    };
    findings.write(&output)?;
    findings.print(&output)
}
