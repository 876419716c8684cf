//! Training the cells that are left to do, some of them side by side.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::LoadedConfig;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::pipeline::Console;
use crate::pipeline::begun::origin_of_part;
use crate::pipeline::experiment::cells::{Cell, MAP};
use crate::pipeline::experiment::claims::Claims;
use crate::pipeline::experiment::grid_progress::GridProgress;
use crate::pipeline::experiment::subset::selection_of;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::ready_model::ModelStart;
use crate::pipeline::start::open_part;
use crate::pipeline::training_run::{Trained, train_and_evaluate};
use crate::pipeline::{selection_record, signals};

/// How often a job that waits for another process looks again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the trainings of all cells share.
pub struct Grid<'a> {
    /// The config, of which each cell changes a little.
    pub loaded: &'a LoadedConfig,
    /// All data.
    pub inputs: &'a Inputs,
    /// What every cell starts from.
    pub start: &'a ModelStart,
    /// Who trains what.
    pub claims: &'a Claims,
    /// How far all is.
    pub progress: &'a GridProgress,
}

/// A cell that could not be trained.
pub struct Failure<'a> {
    /// Which.
    pub cell: &'a Cell,
    /// Why.
    pub error: Error,
}

/// Trains `cells`, in this order, but those that need a map after the training that makes it,
/// which is one of `all`; `n_jobs` at a time. One that fails stops none but those that need its map.
///
/// A signal stops all: those that train make a checkpoint, those that evaluate are finished.
///
/// With several jobs each has its share of the processor's threads; results do not depend on it.
pub fn train_cells<'a>(
    grid: &Grid<'_>,
    cells: &[&'a Cell],
    all: &'a [Cell],
    n_jobs: usize,
) -> Vec<Failure<'a>> {
    let queue = Queue {
        state: Mutex::new(State {
            waiting: cells.to_vec(),
            n_running: 0,
            failures: Vec::new(),
        }),
        changed: Condvar::new(),
        maps: all.iter().filter(|cell| cell.rule.is_none()).collect(),
    };
    thread::scope(|scope| {
        scope.spawn(|| grid.claims.keep_alive());
        let _end = EndOfClaims(grid.claims);
        let workers: Vec<_> = (1..n_jobs)
            .map(|_| scope.spawn(|| in_own_threads(n_jobs, || work(grid, &queue))))
            .collect();
        in_own_threads(n_jobs, || work(grid, &queue));
        for worker in workers {
            worker
                .join()
                .unwrap_or_else(|bug| std::panic::resume_unwind(bug));
        }
    });
    let state = queue.state.into_inner();
    state.unwrap_or_else(PoisonError::into_inner).failures
}

/// Ends the refreshing of the claims, also when a bug ends the jobs.
struct EndOfClaims<'a>(&'a Claims);

impl Drop for EndOfClaims<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The processor's threads of one of `n_jobs` jobs.
pub fn threads_of_a_job(n_jobs: usize) -> usize {
    (rayon::current_num_threads() / n_jobs).max(1)
}

/// Runs `job` with its share of the threads.
pub fn in_own_threads<T: Send>(n_jobs: usize, job: impl FnOnce() -> T + Send) -> T {
    if n_jobs == 1 {
        return job();
    }
    let n_threads = threads_of_a_job(n_jobs);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
    match pool.build() {
        Ok(pool) => pool.install(job),
        // The system has no more threads; then the jobs share those that there are.
        Err(_) => job(),
    }
}

/// The cells that are left, and who waits for them.
struct Queue<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
    /// The trainings on everything.
    maps: Vec<&'a Cell>,
}

struct State<'a> {
    waiting: Vec<&'a Cell>,
    n_running: usize,
    failures: Vec<Failure<'a>>,
}

/// What a job does next.
enum Next<'a> {
    Train(&'a Cell),
    Wait,
    Stop,
}

fn work(grid: &Grid<'_>, queue: &Queue<'_>) {
    while signals::check().is_ok() {
        let mut state = queue.lock();
        match queue.next(&mut state, grid) {
            Next::Stop => break,
            Next::Wait => {
                if state.n_running == 0 {
                    grid.progress.say_waiting(state.waiting.len());
                }
                let waited = queue.changed.wait_timeout(state, LOOK_EVERY);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
            Next::Train(cell) => {
                state.n_running += 1;
                drop(state);
                let failure = train_cell(grid, cell, queue.map_of(cell)).err();
                grid.claims.release(&cell.id());
                let mut state = queue.lock();
                state.n_running -= 1;
                let failure = failure.filter(|error| !is_stop(error));
                let failure = failure.map(|error| Failure { cell, error });
                state.failures.extend(failure);
                drop(state);
                queue.changed.notify_all();
            }
        }
    }
    queue.changed.notify_all();
}

impl<'a> Queue<'a> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The training on everything whose map the cell goes by.
    fn map_of(&self, cell: &Cell) -> Option<&'a Cell> {
        let seed = cell.map_seed()?;
        self.maps.iter().copied().find(|map| map.seed == seed)
    }

    /// The first cell that can be trained now, claimed; cells that others have done leave.
    fn next(&self, state: &mut State<'a>, grid: &Grid<'_>) -> Next<'a> {
        let mut at = 0;
        while let Some(&cell) = state.waiting.get(at) {
            if cell.is_complete() {
                state.waiting.remove(at);
                grid.progress.leave_out(cell);
                continue;
            }
            if let Some(map) = self.map_of(cell)
                && !map.is_complete()
            {
                let has_failed = state.failures.iter().any(|f| f.cell.id() == map.id());
                if has_failed {
                    state.waiting.remove(at);
                    let error = no_map(map);
                    state.failures.push(Failure { cell, error });
                    grid.progress.leave_out(cell);
                } else {
                    at += 1;
                }
                continue;
            }
            match grid.claims.claim(&cell.id()) {
                // Its last owner may have finished it in between.
                Ok(true) if cell.is_complete() => grid.claims.release(&cell.id()),
                Ok(true) => {
                    state.waiting.remove(at);
                    return Next::Train(cell);
                }
                Ok(false) => at += 1,
                Err(error) => {
                    state.waiting.remove(at);
                    state.failures.push(Failure { cell, error });
                    grid.progress.leave_out(cell);
                }
            }
        }
        if state.waiting.is_empty() {
            Next::Stop
        } else {
            Next::Wait
        }
    }
}

fn no_map(map: &Cell) -> Error {
    let message = format!("there is no map to pick by, because `{map}` failed");
    Error::new(ErrorKind::Training, Problem::new(message))
}

/// Trains a cell into a folder of its own, complete but for a model.
fn train_cell(grid: &Grid<'_>, cell: &Cell, map: Option<&Cell>) -> Result<()> {
    let mut progress = grid.progress.begin(cell);
    let mut loaded = grid.loaded.clone();
    loaded.config = cell.training_config();
    // What is said meanwhile begins with the cell, since others train beside it.
    let done = tracing::info_span!("cell", message = %cell).in_scope(|| {
        let map = map.map(|map| map.folder.join(MAP));
        let selection = selection_of(cell, grid.inputs, map.as_deref())?;
        let inputs = grid.inputs.with_selection(&loaded, selection)?;
        let (run, mut checkpoints) = open_part(
            grid.loaded.config.output_dir(),
            &cell.folder,
            grid.loaded.config.training.save_steps,
            origin_of_part(&cell.id(), &inputs, grid.start),
        )?;
        run.write_config(&cell.config)?;
        selection_record::write(&run, &inputs)?;
        let model = grid.start.model(cell.seed)?;
        let watchers: &mut [&mut dyn crate::train::Callback] = &mut [&mut progress];
        // The bars are those of the grid.
        let console = Console::new(false);
        let trained = train_and_evaluate(
            &loaded,
            &inputs,
            &model,
            &run,
            watchers,
            &mut checkpoints,
            &console,
        )?;
        run.complete()?;
        Ok(trained)
    });
    match done {
        Ok(trained) => {
            progress.end(&format!("{cell}{}", scores(&trained)));
            Ok(())
        }
        Err(error) if is_stop(&error) => {
            tracing::info!("{cell}: stopped, and goes on from its checkpoint");
            Err(error)
        }
        Err(error) => {
            progress.end(&format!("{cell} failed"));
            tracing::warn!("{cell}: {error}");
            Err(error)
        }
    }
}

/// Whether it is no failure but a signal.
fn is_stop(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Stopped(_))
}

/// The first metric on the stages that are not trained on: `, test accuracy_score 0.7530`.
fn scores(trained: &Trained) -> String {
    let results = trained.results.iter();
    let results = results.filter(|result| result.stage != "train" && result.stage != "validation");
    let scores = results.filter_map(|result| {
        // The loss comes first.
        let (name, value) = result.metrics.numbers().nth(1)?;
        let value = if value.is_nan() {
            "undefined".to_owned()
        } else {
            format!("{value:.4}")
        };
        Some(format!(", {} {name} {value}", result.stage))
    });
    scores.collect()
}
