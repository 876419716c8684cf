//! Training dynamics: the logits of every training example in every epoch, recorded by a
//! callback and kept on disk as one Parquet file per epoch; or what other programs recorded,
//! read from their files and written to them.
//!
//! A file holds the columns `index` (u32), `guid` (text), `gold` (u32, class index) and
//! `logits` (list of C f32), in the order of the example index, so that the files of all
//! epochs can be read side by side with memory for one chunk. Where true labels are known there
//! is a column `noisy_label`, too.

mod export;
mod import;
mod lines;
mod npy;
mod positions;
mod recorder;
mod scanner;
mod store;
mod training_dynamics;

pub use export::{ExportFormat, export};
pub use import::{DynamicsFiles, DynamicsFormat, Room};
pub use recorder::Recorder;
pub use store::{
    EpochChunk, EpochReader, EpochRow, epoch_folders, is_canonical_number, write_epoch,
};
pub use training_dynamics::{RecordedExample, TrainingDynamics, ValueKind};
