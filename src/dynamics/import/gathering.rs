//! Examples put together from rows in any order: in memory, or by way of files where that would
//! take too much of it.

use std::path::{Path, PathBuf};

use super::partitions::Partitions;
use crate::dynamics::lines::{Refusal, Rows};
use crate::dynamics::scanner::Fault;
use crate::dynamics::training_dynamics::{Builder, Row, TrainingDynamics, ValueKind};
use crate::error::Result;

/// Where dynamics that other programs wrote are put together.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// Bytes of examples and values that may lie in memory.
    pub most_bytes: usize,
    /// The folder in which more of them wait, in a folder that is removed at the end.
    pub folder: &'a Path,
    /// Asked now and then whether to go on; its error ends the reading.
    pub stop: fn() -> Result<()>,
}

impl<'a> Room<'a> {
    /// 500 MB for the whole program, less 200 MB for everything else: the program itself, the
    /// lines that are being read, the points that are being written, vectors that grow.
    pub const MOST_BYTES: usize = 300_000_000;

    /// The room of a program that writes into a folder.
    pub fn beside(folder: &'a Path) -> Self {
        Self {
            most_bytes: Self::MOST_BYTES,
            folder,
            stop: || Ok(()),
        }
    }

    /// Memory alone.
    pub(crate) fn unlimited() -> Self {
        Self {
            most_bytes: usize::MAX,
            folder: Path::new("."),
            stop: || Ok(()),
        }
    }
}

/// What the rows of an import mean.
#[derive(Debug, Clone)]
pub(super) struct Rules<'a> {
    pub kind: ValueKind,
    /// The files of the epochs, or one of all.
    pub files: &'a [PathBuf],
    /// Epochs that are used; all, where none is said.
    pub n_epochs: Option<usize>,
    pub room: Room<'a>,
}

/// Examples and values in memory.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    rules: &'a Rules<'a>,
    pub dynamics: Builder,
    /// Of each example, how many rows there were.
    n_rows: Vec<u32>,
}

impl<'a> Gathering<'a> {
    pub fn new(rules: &'a Rules<'a>, n_classes: Option<usize>) -> Self {
        Self {
            rules,
            dynamics: Builder::new(rules.kind).with_classes(n_classes),
            n_rows: Vec::new(),
        }
    }

    /// Puts a row into an epoch, of which only the first may have new examples, or else into the
    /// example's next one; the example's position, or what is wrong with the row.
    pub fn put(&mut self, epoch: Option<usize>, row: &Row<'_>) -> Result<u32, String> {
        let position = match epoch {
            None | Some(0) => self.dynamics.position(row)?,
            Some(_) => self.dynamics.position_in_later_epoch(row)?,
        };
        self.n_rows.resize(self.dynamics.len(), 0);
        let n_rows = &mut self.n_rows[position as usize];
        let epoch = epoch.unwrap_or(*n_rows as usize);
        *n_rows += 1;
        if self.rules.n_epochs.is_none_or(|n| epoch < n) {
            self.dynamics.put(epoch, position, row)?;
        }
        Ok(position)
    }

    /// Which epochs have every example; `order` says which example of several came first.
    pub fn coverage(&self, order: impl Fn(usize) -> u64) -> Coverage {
        let n_epochs = self.dynamics.n_epochs();
        let is_complete = |epoch: &usize| self.dynamics.gap(*epoch).is_none();
        let n_complete = (0..n_epochs).take_while(is_complete).count();
        let missing = self.dynamics.gap(n_complete);
        Coverage {
            n_epochs,
            first_gap: missing.map(|p| (n_complete, order(p), self.dynamics.guid(p).to_owned())),
        }
    }

    fn n_bytes(&self) -> usize {
        let n_epochs = self.rules.files.len().max(self.dynamics.n_epochs());
        self.dynamics.n_bytes(n_epochs)
    }
}

/// Which epochs have every example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    pub n_epochs: usize,
    /// The first epoch, there or not, that lacks an example, which example that is in the order of
    /// first appearance, and its id.
    first_gap: Option<(usize, u64, String)>,
}

impl Coverage {
    /// Adds that of other examples.
    pub fn add(&mut self, other: Self) {
        self.n_epochs = self.n_epochs.max(other.n_epochs);
        let gaps = [self.first_gap.take(), other.first_gap];
        self.first_gap = gaps.into_iter().flatten().min();
    }

    /// How many epochs from the first on have every example, and the first example that the next
    /// one lacks.
    pub fn complete(&self) -> (usize, &str) {
        let first = self.first_gap.as_ref();
        first.map_or((0, ""), |(epoch, _, guid)| (*epoch, guid))
    }
}

/// Rows that are being read.
#[derive(Debug)]
pub(super) struct Import<'a> {
    gathering: Gathering<'a>,
    /// All rows, once they are too many for memory.
    partitions: Option<Partitions<'a>>,
}

impl<'a> Import<'a> {
    pub fn new(rules: &'a Rules<'a>) -> Self {
        Self {
            gathering: Gathering::new(rules, None),
            partitions: None,
        }
    }

    /// Adds rows of an epoch, of which only the first may have new examples, or else the next ones
    /// of their examples.
    ///
    /// # Errors
    /// A row in which something is wrong, a file that cannot be written, the room's `stop`.
    pub fn add(&mut self, epoch: Option<usize>, parts: &[Rows<'_>]) -> Result<(), Refusal> {
        (self.gathering.rules.room.stop)()?;
        for (at, row) in parts.iter().flat_map(Rows::iter) {
            if let Some(partitions) = &mut self.partitions {
                partitions.add(epoch, at, &row)?;
                continue;
            }
            let put = self.gathering.put(epoch, &row);
            put.map_err(|message| Fault { at, message })?;
            let rules = self.gathering.rules;
            if self.gathering.n_bytes() > rules.room.most_bytes {
                let gathering = std::mem::replace(&mut self.gathering, Gathering::new(rules, None));
                self.partitions = Some(Partitions::of(gathering.dynamics, rules)?);
            }
        }
        Ok(())
    }

    /// What was put together, if all of it is in memory.
    pub fn in_memory(&mut self) -> Option<&mut Builder> {
        match self.partitions {
            None => Some(&mut self.gathering.dynamics),
            Some(_) => None,
        }
    }

    /// Hands over the examples in the order in which they first appeared, all at once or in parts,
    /// with as many epochs as `judge` says; how many that are.
    ///
    /// # Errors
    /// A row in which something is wrong, what `judge` and `take` say.
    pub fn finish(
        mut self,
        judge: impl Fn(&Coverage) -> Result<usize>,
        take: &mut dyn FnMut(TrainingDynamics) -> Result<()>,
    ) -> Result<usize> {
        if let Some(partitions) = self.partitions {
            return partitions.finish(judge, take);
        }
        let n_epochs = judge(&self.gathering.coverage(|position| position as u64))?;
        self.gathering.dynamics.truncate(n_epochs);
        take(self.gathering.dynamics.finish())?;
        Ok(n_epochs)
    }
}
