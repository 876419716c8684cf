//! Where a run speaks: standard error, with bars where it is a terminal, and the run's log.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar};

/// Standard error and the run's log; clones speak to the same.
#[derive(Debug, Clone)]
pub struct Console {
    bars: MultiProgress,
    has_bars: bool,
    log: Arc<Mutex<Option<File>>>,
    started: Instant,
}

impl Console {
    /// A console; bars are shown if `bars` is on and standard error is a terminal.
    pub fn new(bars: bool) -> Self {
        Self {
            bars: MultiProgress::new(),
            has_bars: bars && io::stderr().is_terminal(),
            log: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Seconds since the console was made, at the start of the program.
    pub(super) fn seconds_since_start(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// From now on everything is also written to `file`.
    pub fn log_to(&self, file: File) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// A bar of `length`, where there are bars.
    pub(super) fn bar(&self, length: u64) -> Option<ProgressBar> {
        self.has_bars
            .then(|| self.bars.add(ProgressBar::new(length)))
    }

    /// Writes text above the bars.
    ///
    /// # Errors
    /// Standard error that cannot be written.
    pub fn write_stderr(&self, text: &[u8]) -> io::Result<()> {
        self.bars.suspend(|| io::stderr().write_all(text))
    }

    /// Writes text to the run's log, if there is a run.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn write_log(&self, text: &[u8]) -> io::Result<()> {
        match &mut *self.log.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write_all(text),
            None => Ok(()),
        }
    }
}
