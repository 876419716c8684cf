//! Rows of examples in any order, put together in memory as long as they fit.
//!
//! Rows that do not fit are dealt out to files by a hash of their ids. The rows of each file are
//! then put together in memory, one file after the other, and what comes of that is read back side
//! by side, in the order in which the examples first appeared.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::gathering::{Coverage, Gathering, Rules};
use crate::data::ExampleIndex;
use crate::dynamics::lines::problem_at;
use crate::dynamics::scanner::Fault;
use crate::dynamics::training_dynamics::{Builder, RecordedExample, Row, TrainingDynamics};
use crate::error::{Error, Result};
use crate::fsio::{self, FileWriter};

/// Files of rows at most, of which all are open at once; systems allow a thousand or so.
const MOST_FILES: u64 = 256;

/// Examples that are read back at a time.
const EXAMPLES_PER_PART: usize = 1 << 14;

/// Files of rows.
#[derive(Debug)]
pub(super) struct Partitions<'a> {
    rules: &'a Rules<'a>,
    n_classes: usize,
    folder: TemporaryFolder,
    writers: Vec<FileWriter>,
    /// How many examples and rows there were; a later row has a larger number.
    n_rows: u64,
}

impl<'a> Partitions<'a> {
    /// Deals out what was put together so far.
    pub fn of(dynamics: Builder, rules: &'a Rules<'a>) -> Result<Self> {
        let folder = TemporaryFolder::new(rules.room.folder)?;
        let n_bytes: u64 = rules.files.iter().filter_map(size).sum();
        // A row is about as long in memory as in a file of text; twice as many files leave room
        // for what differs from that.
        let n_files = (2 * n_bytes / rules.room.most_bytes.max(1) as u64).clamp(2, MOST_FILES);
        let writers = (0..n_files as usize).map(|file| {
            let path = folder.rows(file);
            fsio::create(&path)
        });
        let writers = writers.collect::<Result<Vec<_>>>()?;
        let dynamics = dynamics.finish();
        let mut partitions = Self {
            rules,
            n_classes: dynamics.n_classes,
            folder,
            writers,
            n_rows: dynamics.examples.len() as u64,
        };
        for (epoch, values) in dynamics.epochs.iter().enumerate() {
            let values = values.chunks_exact(dynamics.n_classes);
            for (order, (example, values)) in dynamics.examples.iter().zip(values).enumerate() {
                if !values[0].is_nan() {
                    let place = Place::new(order as u64, Some(epoch), 0);
                    partitions.write(place, &row_of(example, values))?;
                }
            }
        }
        Ok(partitions)
    }

    /// Deals out a row of an epoch, or else of its example's next one; the line begins at `at`.
    pub fn add(&mut self, epoch: Option<usize>, at: usize, row: &Row<'_>) -> Result<()> {
        self.n_rows += 1;
        self.write(Place::new(self.n_rows, epoch, at), row)
    }

    fn write(&mut self, place: Place, row: &Row<'_>) -> Result<()> {
        let file = hash(row.guid) as usize % self.writers.len();
        let written = write_record(place, row, &mut self.writers[file]);
        written.map_err(|e| Error::writing(&self.folder.rows(file), &e))
    }

    /// Puts the rows together and hands over their examples in the order in which they first
    /// appeared, with as many epochs as `judge` says; how many that are.
    ///
    /// # Errors
    /// The first row in which something is wrong, what `judge` and `take` say.
    pub fn finish(
        mut self,
        judge: impl Fn(&Coverage) -> Result<usize>,
        take: &mut dyn FnMut(TrainingDynamics) -> Result<()>,
    ) -> Result<usize> {
        let n_files = self.writers.len();
        for (file, mut writer) in std::mem::take(&mut self.writers).into_iter().enumerate() {
            let flushed = writer.flush();
            flushed.map_err(|e| Error::writing(&self.folder.rows(file), &e))?;
        }
        let mut coverage = Coverage::default();
        let mut wrong: Option<(Option<usize>, Fault)> = None;
        for file in 0..n_files {
            match self.put_together(file)? {
                Ok(covered) => coverage.add(covered),
                Err(found) => {
                    let place = |(epoch, fault): &(Option<usize>, Fault)| (*epoch, fault.at);
                    if wrong
                        .as_ref()
                        .is_none_or(|first| place(&found) < place(first))
                    {
                        wrong = Some(found);
                    }
                }
            }
        }
        if let Some((epoch, fault)) = wrong {
            let file = &self.rules.files[epoch.unwrap_or(0)];
            return Err(Error::data(problem_at(file, fault.at, fault.message)));
        }
        let n_epochs = judge(&coverage)?;
        self.read_back(n_files, n_epochs, take)?;
        Ok(n_epochs)
    }

    /// Puts the rows of a file together and writes its examples with all their epochs, in the
    /// order in which they first appeared; what is wrong with a row, if anything is.
    fn put_together(&self, file: usize) -> Result<Result<Coverage, (Option<usize>, Fault)>> {
        let path = self.folder.rows(file);
        let mut gathering = Gathering::new(self.rules, Some(self.n_classes));
        let mut orders = Vec::new();
        let mut rows = Records::open(path.clone())?;
        while let Some(record) = rows.read_next()? {
            let epoch = record.place.epoch();
            match gathering.put(epoch, &row_of(&record.example, &record.values)) {
                Ok(position) if position as usize == orders.len() => {
                    orders.push(record.place.order);
                }
                Ok(_) => {}
                Err(message) => {
                    let at = record.place.at as usize;
                    return Ok(Err((epoch, Fault { at, message })));
                }
            }
        }
        let _ = fsio::remove_file(&path);
        let coverage = gathering.coverage(|position| orders[position]);
        let dynamics = gathering.dynamics.finish();
        let path = self.folder.examples(file);
        let mut to = fsio::create(&path)?;
        let mut values = Vec::new();
        for (position, (example, order)) in dynamics.examples.iter().zip(orders).enumerate() {
            values.clear();
            // An epoch that lacks the last examples is shorter; it is not used.
            let n_values = position * self.n_classes..(position + 1) * self.n_classes;
            let epochs = dynamics.epochs.iter();
            epochs
                .map_while(|epoch| epoch.get(n_values.clone()))
                .for_each(|epoch| values.extend_from_slice(epoch));
            write_record(
                Place::new(order, None, 0),
                &row_of(example, &values),
                &mut to,
            )
            .map_err(|e| Error::writing(&path, &e))?;
        }
        to.flush().map_err(|e| Error::writing(&path, &e))?;
        Ok(Ok(coverage))
    }

    /// Reads the examples of all files back in their order.
    fn read_back(
        &self,
        n_files: usize,
        n_epochs: usize,
        take: &mut dyn FnMut(TrainingDynamics) -> Result<()>,
    ) -> Result<()> {
        let new_part = || TrainingDynamics {
            kind: self.rules.kind,
            n_classes: self.n_classes,
            examples: Vec::with_capacity(EXAMPLES_PER_PART),
            epochs: vec![Vec::with_capacity(EXAMPLES_PER_PART * self.n_classes); n_epochs],
        };
        let open = |file| Records::open(self.folder.examples(file));
        let mut files = (0..n_files).map(open).collect::<Result<Vec<_>>>()?;
        let mut next = files
            .iter_mut()
            .map(Records::read_next)
            .collect::<Result<Vec<_>>>()?;
        let mut part = new_part();
        let mut n_examples: ExampleIndex = 0;
        loop {
            let orders = next.iter().enumerate();
            let orders = orders.filter_map(|(file, next)| Some((next.as_ref()?.place.order, file)));
            let Some((_, file)) = orders.min() else {
                break;
            };
            if let Some(mut record) = std::mem::replace(&mut next[file], files[file].read_next()?) {
                record.example.index = n_examples;
                n_examples += 1;
                part.examples.push(record.example);
                let epochs = record.values.chunks_exact(self.n_classes);
                for (values, epoch) in epochs.zip(&mut part.epochs) {
                    epoch.extend_from_slice(values);
                }
            }
            if part.examples.len() == EXAMPLES_PER_PART {
                take(std::mem::replace(&mut part, new_part()))?;
            }
        }
        if part.examples.is_empty() {
            return Ok(());
        }
        take(part)
    }
}

/// Where a row comes from.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Larger than that of all rows before it.
    order: u64,
    /// Where in its file the line begins.
    at: u64,
    epoch: u32,
}

impl Place {
    /// Stands for the example's next epoch.
    const NEXT: u32 = u32::MAX;

    fn new(order: u64, epoch: Option<usize>, at: usize) -> Self {
        Self {
            order,
            at: at as u64,
            epoch: epoch.map_or(Self::NEXT, |epoch| epoch as u32),
        }
    }

    fn epoch(self) -> Option<usize> {
        (self.epoch != Self::NEXT).then_some(self.epoch as usize)
    }
}

fn row_of<'r>(example: &'r RecordedExample, values: &'r [f64]) -> Row<'r> {
    Row {
        guid: &example.guid,
        guid_is_number: example.guid_is_number,
        gold: example.gold,
        noisy_label: example.noisy_label,
        values,
    }
}

/// A row in a file: two numbers of 64 bits, six of 32, the id and the values.
fn write_record(place: Place, row: &Row<'_>, to: &mut impl Write) -> std::io::Result<()> {
    for number in [place.order, place.at] {
        to.write_all(&number.to_le_bytes())?;
    }
    for number in [
        place.epoch,
        row.gold,
        row.noisy_label,
        u32::from(row.guid_is_number),
        row.guid.len() as u32,
        row.values.len() as u32,
    ] {
        to.write_all(&number.to_le_bytes())?;
    }
    to.write_all(row.guid.as_bytes())?;
    let mut values = row.values.iter();
    values.try_for_each(|value| to.write_all(&value.to_le_bytes()))
}

/// A row that was read back.
#[derive(Debug)]
struct Record {
    place: Place,
    example: RecordedExample,
    values: Vec<f64>,
}

/// The rows of a file of ours.
struct Records {
    path: PathBuf,
    file: BufReader<File>,
}

impl Records {
    fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(|e| Error::reading(&path, &e))?;
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Self { path, file })
    }

    /// The next row, none at the end.
    fn read_next(&mut self) -> Result<Option<Record>> {
        let read = read_record(&mut self.file);
        read.map_err(|e| Error::reading(&self.path, &e))
    }
}

fn read_record(from: &mut BufReader<File>) -> std::io::Result<Option<Record>> {
    let mut number = [0; 8];
    if from.read(&mut number[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut number[1..])?;
    let order = u64::from_le_bytes(number);
    from.read_exact(&mut number)?;
    let at = u64::from_le_bytes(number);
    let mut numbers = [0; 6];
    for place in &mut numbers {
        let mut number = [0; 4];
        from.read_exact(&mut number)?;
        *place = u32::from_le_bytes(number);
    }
    let [
        epoch,
        gold,
        noisy_label,
        guid_is_number,
        guid_length,
        n_values,
    ] = numbers;
    let mut guid = vec![0; guid_length as usize];
    from.read_exact(&mut guid)?;
    let mut bytes = vec![0; 8 * n_values as usize];
    from.read_exact(&mut bytes)?;
    let values = bytes.chunks_exact(8);
    let values = values.map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap_or_default()));
    Ok(Some(Record {
        place: Place { order, at, epoch },
        example: RecordedExample {
            guid: String::from_utf8(guid).map_err(std::io::Error::other)?,
            guid_is_number: guid_is_number != 0,
            index: 0,
            gold,
            noisy_label,
        },
        values: values.collect(),
    }))
}

/// A hash of an id that has nothing to do with the one by which ids are looked up (FNV-1a: Fowler,
/// Noll and Vo).
fn hash(guid: &str) -> u64 {
    guid.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn size(path: &PathBuf) -> Option<u64> {
    Some(std::fs::metadata(path).ok()?.len())
}

/// A folder that is removed with everything in it when it is no longer used.
#[derive(Debug)]
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new(beside: &Path) -> Result<Self> {
        let path = beside.join(format!(".partitions.{}.tmp", std::process::id()));
        fsio::create_folder(&path)?;
        Ok(Self(path))
    }

    fn rows(&self, file: usize) -> PathBuf {
        self.0.join(format!("{file}.rows"))
    }

    fn examples(&self, file: usize) -> PathBuf {
        self.0.join(format!("{file}.examples"))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = fsio::remove_folder(&self.0);
    }
}
