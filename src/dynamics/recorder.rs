//! The callback that records training dynamics.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use sha2::{Digest, Sha256};

use crate::config::Record;
use crate::data::{Dataset, Example, ExampleIndex, Subset};
use crate::dynamics::store::epoch_file;
use crate::dynamics::write_epoch;
use crate::error::{Error, Result};
use crate::fsio::{self, hexadecimal};
use crate::nn::raw;
use crate::train::{Callback, LogitsPass, States, unusable};

/// The name of what it keeps of the epochs that are on disk.
const WRITTEN: &str = "recorder.json";

/// The name of what it keeps of the epoch under way.
const UNDER_WAY: &str = "recorder.bin";

/// What TrustAI's `noisy_label` is for an example that is mislabelled on purpose.
const MISLABELLED: u32 = 2;

/// Keeps the logits of every training example of the epoch in hand, and writes them to disk at
/// the epoch's end.
#[derive(Debug)]
pub struct Recorder<'a> {
    folder: PathBuf,
    pass: LogitsPass,
    dataset: &'a Dataset,
    subset: &'a Subset,
    n_classes: usize,
    /// (N, C), in the order of the subset.
    logits: Vec<f32>,
    seen: Vec<bool>,
    /// The epochs on disk, with the SHA-256 of their files.
    written: Vec<(usize, String)>,
}

impl<'a> Recorder<'a> {
    /// A recorder of the examples of `subset`, writing to `folder`.
    pub fn new(
        folder: &Path,
        record: Record,
        dataset: &'a Dataset,
        subset: &'a Subset,
        n_classes: usize,
    ) -> Self {
        Self {
            folder: folder.to_path_buf(),
            pass: match record {
                Record::EpochEnd => LogitsPass::EpochEnd,
                Record::DuringTraining => LogitsPass::Training,
            },
            dataset,
            subset,
            n_classes,
            logits: vec![f32::NAN; subset.len() * n_classes],
            seen: vec![false; subset.len()],
            written: Vec::new(),
        }
    }
}

impl Recorder<'_> {
    /// The SHA-256 of an epoch's file.
    fn hash_of(&self, epoch: usize) -> Result<String> {
        let bytes = fsio::read(&epoch_file(&self.folder, epoch))?;
        Ok(hexadecimal(&Sha256::digest(&bytes)))
    }

    /// TrustAI's `noisy_label` of each example: 2 where the label is not the true one, else 0;
    /// none where no true label is known.
    fn noisy_labels(&self) -> Option<Vec<u32>> {
        let examples = || self.subset.examples(self.dataset).map(|(_, e)| e);
        examples().find_map(|e| e.true_label)?;
        let is_wrong = |e: &Example| e.true_label.is_some_and(|label| label != e.label);
        Some(
            examples()
                .map(|e| if is_wrong(e) { MISLABELLED } else { 0 })
                .collect(),
        )
    }
}

impl Callback for Recorder<'_> {
    fn on_logits(
        &mut self,
        pass: LogitsPass,
        _epoch: usize,
        indices: &[ExampleIndex],
        logits: &Tensor,
    ) -> Result<ControlFlow<()>> {
        if pass == self.pass {
            let values = raw::read::<f32>(logits)?;
            for (index, row) in indices.iter().zip(values.chunks_exact(self.n_classes)) {
                let at =
                    self.subset.indices().binary_search(index).map_err(|_| {
                        Error::internal(format!("example {index} is not trained on"))
                    })?;
                self.logits[at * self.n_classes..][..self.n_classes].copy_from_slice(row);
                self.seen[at] = true;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_epoch_end(&mut self, epoch: usize) -> Result<ControlFlow<()>> {
        if let Some(at) = self.seen.iter().position(|seen| !seen) {
            // A watcher may stop training in the middle of an epoch, which then has no dynamics
            // of its training pass; the other pass is always complete.
            if self.pass == LogitsPass::Training {
                tracing::warn!("epoch {} ended early and is not recorded", epoch + 1);
                return Ok(ControlFlow::Continue(()));
            }
            let guid = &self.dataset.examples[self.subset.indices()[at] as usize].guid;
            return Err(Error::internal(format!(
                "the example `{guid}` has no logits in epoch {epoch}"
            )));
        }
        let (guids, gold): (Vec<&str>, Vec<u32>) = self
            .subset
            .examples(self.dataset)
            .map(|(_, example)| (example.guid.as_str(), example.label))
            .unzip();
        write_epoch(
            &self.folder,
            epoch,
            self.subset.indices(),
            &guids,
            &gold,
            &self.logits,
            self.noisy_labels().as_deref(),
        )?;
        self.seen.fill(false);
        self.written.push((epoch, self.hash_of(epoch)?));
        Ok(ControlFlow::Continue(()))
    }

    /// What is on disk, and of the training pass the logits so far: which examples have some (a
    /// byte each), then all logits in f32. The other pass begins anew.
    fn save(&self, states: &mut States) -> Result<()> {
        let mut bytes = Vec::new();
        if self.pass == LogitsPass::Training && self.seen.contains(&true) {
            bytes.extend(self.seen.iter().map(|seen| u8::from(*seen)));
            bytes.extend(self.logits.iter().flat_map(|value| value.to_le_bytes()));
        }
        states.put(UNDER_WAY, bytes);
        states.put_json(WRITTEN, &self.written)
    }

    fn restore(&mut self, states: &States) -> Result<()> {
        self.written = states.json(WRITTEN)?;
        for (epoch, hash) in &self.written {
            if self.hash_of(*epoch)? != *hash {
                let path = epoch_file(&self.folder, *epoch);
                let name = path.display().to_string();
                return Err(unusable(&name, "is not what was written there"));
            }
        }
        let (n, n_values) = (self.seen.len(), self.logits.len());
        let bytes = states.get(UNDER_WAY)?;
        self.seen.fill(false);
        if bytes.is_empty() {
            return Ok(());
        }
        let (seen, logits) = bytes
            .split_at_checked(n)
            .filter(|(_, logits)| logits.len() == 4 * n_values)
            .ok_or_else(|| unusable(UNDER_WAY, "is of other examples"))?;
        for (is_seen, byte) in self.seen.iter_mut().zip(seen) {
            *is_seen = *byte == 1;
        }
        for (value, bytes) in self.logits.iter_mut().zip(logits.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        Ok(())
    }
}
