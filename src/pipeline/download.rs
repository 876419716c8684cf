//! How far a download is: a bar on a terminal, plain lines otherwise.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::model::DownloadEvent;
use crate::pipeline::Console;
use crate::pipeline::progress::minutes;

/// Seconds between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the files of a model as they arrive.
pub struct Download {
    console: Console,
    bar: Option<ProgressBar>,
    file: String,
    length: Option<u64>,
    /// Where the file's download started in this run, and when.
    start: Option<(u64, Instant)>,
    position: u64,
    last_line: Instant,
}

impl Download {
    /// Progress on this console.
    pub fn new(console: &Console) -> Self {
        Self {
            console: console.clone(),
            bar: None,
            file: String::new(),
            length: None,
            start: None,
            position: 0,
            last_line: Instant::now(),
        }
    }

    /// Shows what happened.
    pub fn on_event(&mut self, event: &DownloadEvent<'_>) {
        match *event {
            DownloadEvent::Waiting { file } => {
                tracing::info!("waiting for another program that fetches {file}");
            }
            DownloadEvent::Begin { file, length } => self.begin(file, length),
            DownloadEvent::Position(at) => self.advance(at),
            DownloadEvent::End => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                tracing::info!("fetched {} ({})", self.file, HumanBytes(self.position));
            }
            DownloadEvent::Retry { why, pause } => {
                tracing::warn!("{why}; the next try is in {} s", pause.as_secs());
            }
        }
    }

    fn begin(&mut self, file: &str, length: Option<u64>) {
        file.clone_into(&mut self.file);
        (self.length, self.start, self.position) = (length, None, 0);
        self.last_line = Instant::now();
        self.bar = self.console.bar(length.unwrap_or(0)).inspect(|bar| {
            let template =
                "{msg}  {bar:30.cyan/blue} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(file.to_owned());
        });
    }

    fn advance(&mut self, at: u64) {
        self.position = at;
        let (from, since) = *self.start.get_or_insert_with(|| {
            // What an earlier run fetched says nothing about today's speed.
            if let Some(bar) = &self.bar {
                bar.set_position(at);
                bar.reset_eta();
            }
            (at, Instant::now())
        });
        match &self.bar {
            Some(bar) => bar.set_position(at),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let file = &self.file;
                let done = HumanBytes(at);
                let Some(length) = self.length else {
                    tracing::info!("{file}: {done}");
                    return;
                };
                let speed = at.saturating_sub(from) as f64 / since.elapsed().as_secs_f64();
                let left = minutes(length.saturating_sub(at) as f64 / speed.max(1.0));
                let percent = 100 * at / length.max(1);
                let length = HumanBytes(length);
                tracing::info!("{file}: {percent:3}%  {done} of {length}, {left} left");
            }
            None => {}
        }
    }
}
