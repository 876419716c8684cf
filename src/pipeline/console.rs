//! Where a run speaks: standard error, with bars where it is a terminal, and the run's log.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar};

/// Standard error and the run's log; clones speak to the same.
#[derive(Debug, Clone)]
pub struct Console {
    bars: MultiProgress,
    has_bars: bool,
    log: Arc<Mutex<Log>>,
    started: Instant,
}

/// Where lines for the log go.
#[derive(Debug)]
enum Log {
    /// Nowhere yet: they wait for the run that may come.
    Waiting(Vec<u8>),
    /// Into the run's file.
    Run(File),
}

/// Bytes that wait for a run's log; a command that makes no run says more than that only where
/// somebody asks for everything.
const MOST_WAITING: usize = 1 << 16;

impl Console {
    /// A console; bars are shown if `bars` is on and standard error is a terminal.
    pub fn new(bars: bool) -> Self {
        Self {
            bars: MultiProgress::new(),
            has_bars: bars && io::stderr().is_terminal(),
            log: Arc::new(Mutex::new(Log::Waiting(Vec::new()))),
            started: Instant::now(),
        }
    }

    /// Seconds since the console was made, at the start of the program.
    pub(super) fn seconds_since_start(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What was said so far and everything from now on is also written to `file`.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn log_to(&self, mut file: File) -> io::Result<()> {
        let mut log = self.log();
        if let Log::Waiting(said) = &*log {
            file.write_all(said)?;
        }
        *log = Log::Run(file);
        Ok(())
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Writes text to the run's log, as soon as there is a run.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub fn write_log(&self, text: &[u8]) -> io::Result<()> {
        match &mut *self.log() {
            Log::Run(file) => file.write_all(text)?,
            Log::Waiting(said) if said.len() < MOST_WAITING => said.extend_from_slice(text),
            Log::Waiting(_) => {}
        }
        Ok(())
    }
}
