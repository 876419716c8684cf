//! Training dynamics: the logits of every training example in every epoch, recorded by a
//! callback and kept on disk as one Parquet file per epoch.
//!
//! A file holds the columns `index` (u32), `guid` (text), `gold` (u32, class index) and
//! `logits` (list of C f32), in the order of the example index, so that the files of all
//! epochs can be read side by side with memory for one chunk.

mod recorder;
mod store;

pub use recorder::Recorder;
pub use store::{EpochReader, EpochRow, epoch_folders, write_epoch};
