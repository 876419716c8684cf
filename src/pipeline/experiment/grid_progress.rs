//! How far a grid is: a bar on a terminal, plain lines otherwise.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::ExampleIndex;
use crate::error::Result;
use crate::pipeline::Console;
use crate::pipeline::experiment::cells::Cell;
use crate::pipeline::progress::minutes;
use crate::train::{Callback, LogitsPass, StepEnd};

/// Seconds between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// The progress of all cells together.
pub struct GridProgress {
    bar: Option<ProgressBar>,
    started: Instant,
    /// Of every cell; see [`testing_work`](super::measure::testing_work).
    testing_work: u64,
    state: Mutex<State>,
}

struct State {
    n_cells: usize,
    n_done: usize,
    n_running: usize,
    /// In forward passes of one training example.
    work: u64,
    work_done: u64,
    last_line: Instant,
    last_waiting: Option<Instant>,
}

impl GridProgress {
    /// Nothing of these cells is done yet, of which each is tested with `testing_work`.
    pub fn new(console: &Console, cells: &[&Cell], testing_work: u64) -> Self {
        let work = cells.iter().map(|cell| cell.work + testing_work).sum();
        let bar = console.bar(work).inspect(|bar| {
            let template = "{bar:30.cyan/blue} {percent:>3}%  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        });
        Self {
            bar,
            started: Instant::now(),
            testing_work,
            state: Mutex::new(State {
                n_cells: cells.len(),
                n_done: 0,
                n_running: 0,
                work,
                work_done: 0,
                last_line: Instant::now(),
                last_waiting: None,
            }),
        }
    }

    /// A cell begins; what is returned watches its training.
    pub fn begin<'a>(&'a self, cell: &Cell) -> CellProgress<'a> {
        self.state().n_running += 1;
        self.show(&self.state());
        CellProgress {
            grid: self,
            work: cell.work + self.testing_work,
            work_done: 0,
        }
    }

    /// Another process did a cell.
    pub fn leave_out(&self, cell: &Cell) {
        let mut state = self.state();
        state.n_done += 1;
        state.work -= cell.work + self.testing_work;
        if let Some(bar) = &self.bar {
            bar.set_length(state.work);
        }
        self.show(&state);
    }

    /// Says that there is nothing to do until other processes are done; a line now and then.
    pub fn say_waiting(&self, n_cells: usize) {
        let mut state = self.state();
        let is_due = |at: Instant| at.elapsed() >= LINE_EVERY;
        if !state.last_waiting.is_none_or(is_due) {
            return;
        }
        state.last_waiting = Some(Instant::now());
        drop(state);
        tracing::info!("waiting for other processes, which have what {n_cells} cells need");
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn advance(&self, work: u64) {
        let mut state = self.state();
        state.work_done += work;
        match &self.bar {
            Some(bar) => bar.set_position(state.work_done),
            None if state.last_line.elapsed() >= LINE_EVERY => {
                state.last_line = Instant::now();
                let percent = 100 * state.work_done / state.work.max(1);
                let said = self.message(&state);
                drop(state);
                tracing::info!("{percent:3}%  {said}");
                return;
            }
            None => {}
        }
        self.show(&state);
    }

    fn show(&self, state: &State) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.message(state));
        }
    }

    fn message(&self, state: &State) -> String {
        let State {
            n_cells,
            n_done,
            n_running,
            ..
        } = state;
        let left = self.time_left(state);
        format!("cells: {n_done} of {n_cells} done, {n_running} running  {left} left")
    }

    fn time_left(&self, state: &State) -> String {
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = state.work.saturating_sub(state.work_done) as f64;
        minutes(elapsed / state.work_done.max(1) as f64 * left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The progress of one cell, a callback of its training.
pub struct CellProgress<'a> {
    grid: &'a GridProgress,
    work: u64,
    work_done: u64,
}

impl CellProgress<'_> {
    /// The cell is done, or failed: what is left of its work needs no more time.
    pub fn end(self, said: &str) {
        let rest = self.work.saturating_sub(self.work_done);
        let mut state = self.grid.state();
        state.n_running -= 1;
        state.n_done += 1;
        state.work_done += rest;
        let (n_done, n_cells) = (state.n_done, state.n_cells);
        let left = self.grid.time_left(&state);
        if let Some(bar) = &self.grid.bar {
            bar.set_position(state.work_done);
        }
        self.grid.show(&state);
        state.last_line = Instant::now();
        drop(state);
        tracing::info!("cell {n_done} of {n_cells}: {said}; {left} left");
    }

    fn advance(&mut self, work: usize) {
        let work = (work as u64).min(self.work - self.work_done);
        self.work_done += work;
        self.grid.advance(work);
    }
}

impl Callback for CellProgress<'_> {
    fn on_batch_end(&mut self, step: &StepEnd) -> Result<ControlFlow<()>> {
        self.advance(3 * step.n_examples);
        Ok(ControlFlow::Continue(()))
    }

    fn on_logits(
        &mut self,
        pass: LogitsPass,
        _epoch: usize,
        indices: &[ExampleIndex],
        _logits: &Tensor,
    ) -> Result<ControlFlow<()>> {
        if pass == LogitsPass::EpochEnd {
            self.advance(indices.len());
        }
        Ok(ControlFlow::Continue(()))
    }
}
