//! Training dynamics on disk, and the data map made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use enginora_rs::dynamics::{EpochReader, RecordedExample, write_epoch};
use enginora_rs::error::ErrorKind;
use enginora_rs::map::{Accumulator, DataMap, Forgetfulness, Point, Signals, Variability};
use enginora_rs::map::{map_of_dynamics, read_map, write_map};
use serde_json::{Map, Value};

use crate::scratch::{Scratch, uniform};

/// Guid to gold class and logits, (E, C).
type Dynamics = BTreeMap<String, (usize, Vec<Vec<f64>>)>;

fn guid_of(row: &Map<String, Value>) -> String {
    match &row["guid"] {
        Value::String(guid) => guid.clone(),
        guid => guid.to_string(),
    }
}

fn synthetic_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/synthetic_dynamics")
}

/// The six epochs, whose rows are in another order in each.
fn synthetic_dynamics() -> Dynamics {
    let mut dynamics = Dynamics::new();
    for epoch in 0..6 {
        let path = synthetic_folder().join(format!("dynamics_epoch_{epoch}.jsonl"));
        for line in fs::read_to_string(path).unwrap().lines() {
            let row: Map<String, Value> = serde_json::from_str(line).unwrap();
            let logits = serde_json::from_value(row[&format!("logits_epoch_{epoch}")].clone());
            let gold = row["gold"].as_u64().unwrap() as usize;
            let entry = dynamics.entry(guid_of(&row)).or_insert((gold, Vec::new()));
            assert_eq!(entry.0, gold);
            entry.1.push(logits.unwrap());
        }
    }
    assert!(dynamics.len() == 200 && dynamics.values().all(|(_, logits)| logits.len() == 6));
    dynamics
}

fn signals_of(logits: &[Vec<f64>], gold: usize, variability: Variability) -> Signals {
    let mut accumulator = Accumulator::default();
    for epoch in logits {
        accumulator.add_logits(epoch, gold);
    }
    accumulator.signals(variability)
}

#[track_caller]
fn close(got: f64, expected: f64, within: f64, what: &str) {
    assert!(
        (got - expected).abs() <= within,
        "{what}: {got}, expected {expected}"
    );
}

#[test]
fn the_map_of_the_synthetic_dynamics_is_the_expected_one() {
    let dynamics = synthetic_dynamics();
    let expected = fs::read_to_string(synthetic_folder().join("expected.json")).unwrap();
    let expected: Vec<Map<String, Value>> = serde_json::from_str(&expected).unwrap();
    assert_eq!(expected.len(), dynamics.len());
    for row in expected {
        let guid = guid_of(&row);
        let (gold, logits) = &dynamics[&guid];
        let s = signals_of(logits, *gold, Variability::Plain);
        let with_ci = signals_of(logits, *gold, Variability::WithConfidenceInterval);
        for (name, value) in &row {
            let got = match name.as_str() {
                "guid" => continue,
                "gold" => *gold as f64,
                "confidence" => s.confidence,
                "variability" => s.variability,
                "correctness" => s.correctness.into(),
                "forgetfulness" => s.forgetfulness.exported().into(),
                "threshold_closeness" => s.threshold_closeness,
                "variability_ci" => with_ci.variability,
                "aum" => s.aum.unwrap(),
                "el2n" => s.el2n,
                "loss" => s.loss,
                "correct_ratio" => s.correct_ratio,
                "label_var" => s.variability.powi(2),
                "max_label_probs" => s.max_label_probs,
                "min_label_probs" => s.min_label_probs,
                // TrustAI counts 0 where the paper's code says 1000.
                "forgetting_times" => match s.forgetfulness {
                    Forgetfulness::NeverLearnt => 0.0,
                    Forgetfulness::Times(n) => n.into(),
                },
                "learnt_times" => s.learnt_times.into(),
                "first_forget" => s.first_forget.into(),
                "first_learn" => s.first_learn.into(),
                "pred_dist" => {
                    let counts = (0..3).map(|c| value[c.to_string()].as_u64().unwrap() as u32);
                    assert_eq!(s.pred_dist, counts.collect::<Vec<_>>(), "{guid}");
                    continue;
                }
                other => panic!("no signal is called {other}"),
            };
            let within = 1e-9;
            close(
                got,
                value.as_f64().unwrap(),
                within,
                &format!("{guid} {name}"),
            );
        }
        // It has no expected value: - sum q ln q of the mean prediction q, by the definition.
        let mean: Vec<f64> = (0..3)
            .map(|class| logits.iter().map(|l| probability(l, class)).sum::<f64>() / 6.0)
            .collect();
        let entropy = mean.iter().filter(|q| **q > 0.0).map(|q| -q * q.ln()).sum();
        close(s.entropy, entropy, 1e-12, &format!("{guid} entropy"));
    }
}

/// The softmax, as one over the sum of exp(x - x of the class), which the program does not
/// compute.
fn probability(logits: &[f64], class: usize) -> f64 {
    let sum: f64 = logits.iter().map(|x| (x - logits[class]).exp()).sum();
    1.0 / sum
}

/// Examples of two to five classes over one to nine epochs, some of them nearly constant.
fn random_examples() -> Vec<(Vec<Vec<f64>>, usize)> {
    let mut uniform = uniform(7);
    (0..500)
        .map(|i| {
            let (n_classes, n_epochs) = (2 + i % 4, 1 + i % 9);
            let spread = [1e-7, 0.1, 3.0, 40.0][i / 4 % 4];
            let centre: Vec<f64> = (0..n_classes).map(|_| 4.0 * uniform()).collect();
            let logits = (0..n_epochs)
                .map(|_| {
                    centre
                        .iter()
                        .map(|x| x + spread * (uniform() - 0.5))
                        .collect()
                })
                .collect();
            (logits, i % n_classes)
        })
        .collect()
}

#[test]
fn one_pass_over_the_epochs_gives_what_two_passes_give() {
    for (logits, gold) in random_examples() {
        let n = logits.len() as f64;
        let p: Vec<f64> = logits.iter().map(|l| probability(l, gold)).collect();
        let mean = p.iter().sum::<f64>() / n;
        let variance = p.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n;
        let got = signals_of(&logits, gold, Variability::Plain);
        close(got.confidence, mean, 1e-12, "confidence");
        close(got.variability, variance.sqrt(), 1e-12, "variability");
        if logits.len() > 1 {
            let got = signals_of(&logits, gold, Variability::WithConfidenceInterval);
            let widened = (variance + variance * variance / (n - 1.0)).sqrt();
            close(got.variability, widened, 1e-12, "variability with ci");
        }
    }
}

#[test]
fn signals_keep_within_their_bounds() {
    for (logits, gold) in random_examples() {
        let n_epochs = logits.len() as u32;
        let s = signals_of(&logits, gold, Variability::Plain);
        assert!(s.variability.powi(2) <= s.confidence * (1.0 - s.confidence) + 1e-15);
        assert!(s.min_label_probs <= s.confidence + 1e-15);
        assert!(s.confidence <= s.max_label_probs + 1e-15);
        assert_eq!(s.pred_dist.iter().sum::<u32>(), n_epochs);
        assert_eq!(s.pred_dist[gold], s.correctness);
        assert!(s.entropy <= (s.pred_dist.len() as f64).ln() + 1e-12);
        match s.forgetfulness {
            Forgetfulness::NeverLearnt => assert_eq!(s.correctness, 0),
            Forgetfulness::Times(n) => {
                assert!(s.correctness > 0 && n <= s.correctness.min(n_epochs - s.correctness));
            }
        }
        let forgotten = match s.forgetfulness {
            Forgetfulness::NeverLearnt => 0,
            Forgetfulness::Times(n) => n,
        };
        assert!(s.learnt_times.abs_diff(forgotten) <= 1, "they alternate");
    }
}

#[test]
fn one_epoch_has_no_variability() {
    for variability in [Variability::Plain, Variability::WithConfidenceInterval] {
        let s = signals_of(&[vec![0.3, -1.0, 2.5]], 2, variability);
        assert_eq!((s.variability, s.correctness), (0.0, 1));
    }
}

#[test]
fn ties_go_to_the_lower_class() {
    for (gold, correctness) in [(0, 0), (1, 2), (2, 0)] {
        let logits = [vec![0.0, 1.0, 1.0], vec![-3.0, 2.0, 2.0]];
        let s = signals_of(&logits, gold, Variability::Plain);
        assert_eq!((s.correctness, s.pred_dist), (correctness, vec![0, 2, 0]));
    }
}

#[test]
fn logits_of_900_are_safe() {
    let logits = [vec![900.0, -900.0], vec![-900.0, 900.0]];
    let s = signals_of(&logits, 1, Variability::Plain);
    assert_eq!((s.confidence, s.variability), (0.5, 0.5));
    assert_eq!((s.loss, s.aum, s.entropy), (900.0, Some(0.0), 2.0_f64.ln()));
    assert_eq!((s.learnt_times, s.first_learn, s.first_forget), (1, 1, 0));
    let s = signals_of(&logits, 0, Variability::Plain);
    assert_eq!(
        (s.forgetfulness, s.first_forget),
        (Forgetfulness::Times(1), 1)
    );
}

/// `n` examples of three classes, E epochs of logits, (E, N, C) in f32.
struct OnDisk {
    scratch: Scratch,
    guids: Vec<String>,
    gold: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

impl OnDisk {
    fn new(n: usize, n_epochs: usize) -> Self {
        let mut uniform = uniform(n as u64);
        let dynamics = Self {
            scratch: Scratch::new(),
            guids: (0..n).map(|i| format!("ex {i}, é")).collect(),
            gold: (0..n as u32).map(|i| i % 3).collect(),
            logits: (0..n_epochs)
                .map(|_| (0..3 * n).map(|_| 6.0 * uniform() as f32 - 3.0).collect())
                .collect(),
        };
        for epoch in 0..n_epochs {
            dynamics.write(epoch, n, &dynamics.logits[epoch]);
        }
        dynamics
    }

    /// Writes the first `n` examples, whose row numbers have gaps as after a validation split.
    fn write(&self, epoch: usize, n: usize, logits: &[f32]) {
        let indices: Vec<u32> = (0..n as u32).map(|i| 2 * i + 1).collect();
        let guids: Vec<&str> = self.guids[..n].iter().map(String::as_str).collect();
        let folder = self.scratch.path();
        let gold = &self.gold[..n];
        write_epoch(folder, epoch, &indices, &guids, gold, logits, None).unwrap();
    }

    fn part(&self, epoch: usize) -> std::path::PathBuf {
        self.scratch.at(&format!("epoch={epoch}/part-0.parquet"))
    }

    /// The map of the first `n_epochs`, without any file.
    fn map(&self, n_epochs: usize, variability: Variability) -> DataMap {
        let points = (0..self.guids.len()).map(|i| {
            let mut accumulator = Accumulator::default();
            for logits in &self.logits[..n_epochs] {
                accumulator.add_logits(&logits[3 * i..3 * i + 3], self.gold[i] as usize);
            }
            Point {
                example: RecordedExample {
                    guid: self.guids[i].clone(),
                    guid_is_number: false,
                    index: 2 * i as u32 + 1,
                    gold: self.gold[i],
                    noisy_label: 0,
                },
                signals: accumulator.signals(variability),
            }
        });
        DataMap {
            n_epochs,
            points: points.collect(),
        }
    }

    #[track_caller]
    fn fails(&self, kind: ErrorKind, message: &str) {
        let error = map_of_dynamics(self.scratch.path(), None, Variability::Plain).unwrap_err();
        let shown = self.scratch.shown(&error);
        assert_eq!(error.kind(), kind, "{shown}");
        assert!(shown.starts_with(message), "{shown}\nnot\n{message}");
    }
}

#[test]
fn the_map_of_files_is_the_map_of_their_logits() {
    // More rows than are read at a time.
    let dynamics = OnDisk::new(10_000, 3);
    for (burn_out, n_epochs) in [(None, 3), (Some(2), 2), (Some(1), 1), (Some(99), 3)] {
        for variability in [Variability::Plain, Variability::WithConfidenceInterval] {
            let got = map_of_dynamics(dynamics.scratch.path(), burn_out, variability).unwrap();
            assert!(got == dynamics.map(n_epochs, variability));
        }
    }
    let chunk = EpochReader::open(&dynamics.scratch.at("epoch=2"))
        .unwrap()
        .nth(1);
    let chunk = chunk.unwrap().unwrap();
    let row = chunk.row(9_000 - 8_192);
    assert_eq!((row.index, row.guid, row.gold), (18_001, "ex 9000, é", 0));
    assert_eq!(row.logits, &dynamics.logits[2][27_000..27_003]);
}

#[test]
fn a_burn_out_of_zero_is_refused() {
    let dynamics = OnDisk::new(2, 1);
    let map = map_of_dynamics(dynamics.scratch.path(), Some(0), Variability::Plain);
    let message = map.unwrap_err().to_string();
    assert!(
        message.ends_with(": `burn_out` is 0, which leaves no epoch"),
        "{message}"
    );
}

#[test]
fn missing_epochs_are_named() {
    let dynamics = OnDisk::new(3, 4);
    fs::remove_file(dynamics.part(2)).unwrap();
    dynamics.fails(
        ErrorKind::MissingInput,
        "epoch=2/part-0.parquet: cannot read: ",
    );
    fs::remove_dir_all(dynamics.scratch.at("epoch=2")).unwrap();
    dynamics.fails(ErrorKind::Data, "epoch=3: epoch 2 is missing before it");
    fs::remove_dir_all(dynamics.scratch.at("epoch=0")).unwrap();
    dynamics.fails(ErrorKind::Data, "epoch=1: epoch 0 is missing before it");
    for epoch in [1, 3] {
        fs::remove_dir_all(dynamics.scratch.at(&format!("epoch={epoch}"))).unwrap();
    }
    fs::create_dir(dynamics.scratch.at("epoch=00")).unwrap();
    let nowhere = dynamics.scratch.at("nowhere");
    let error = map_of_dynamics(dynamics.scratch.path(), None, Variability::Plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput);
    assert!(error.to_string().ends_with(": no `epoch=N` folders"));
    let error = map_of_dynamics(&nowhere, None, Variability::Plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput);
}

#[test]
fn epochs_that_do_not_fit_together_are_refused() {
    let differs = "epoch=1: its row for `ex 1, é` differs from the first epoch's";
    let mut dynamics = OnDisk::new(4, 2);
    let logits = dynamics.logits[1].clone();

    dynamics.write(1, 3, &logits[..9]);
    dynamics.fails(
        ErrorKind::Data,
        "epoch=0: it has more examples than another epoch",
    );

    dynamics.gold[1] = 0;
    dynamics.write(1, 4, &logits);
    dynamics.fails(ErrorKind::Data, differs);

    dynamics.gold[1] = 1;
    dynamics.guids.swap(1, 2);
    dynamics.write(1, 4, &logits);
    dynamics.fails(ErrorKind::Data, "epoch=1: its row for `ex 2, é` differs");
    dynamics.guids.swap(1, 2);

    dynamics.write(1, 4, &logits[..8]);
    dynamics.fails(ErrorKind::Data, "epoch=1: its row for `ex 0, é` differs");
}

#[test]
fn logits_that_are_no_numbers_are_refused() {
    let dynamics = OnDisk::new(4, 2);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = dynamics.logits[1].clone();
        logits[5] = bad;
        dynamics.write(1, 4, &logits);
        let message = "epoch=1: the logits of `ex 1, é` are not finite numbers of all classes";
        dynamics.fails(ErrorKind::Data, message);
    }
    // Two classes, of which the third is the gold one.
    for epoch in 0..2 {
        dynamics.write(epoch, 4, &dynamics.logits[0][..8]);
    }
    dynamics.fails(
        ErrorKind::Data,
        "epoch=0: the logits of `ex 2, é` are not finite numbers",
    );
}

#[test]
fn damaged_files_give_a_map_or_an_error() {
    let dynamics = OnDisk::new(50, 2);
    let whole = fs::read(dynamics.part(1)).unwrap();
    let message = "epoch=1/part-0.parquet: not an epoch of training dynamics: ";
    for length in [0, 1, 8, whole.len() / 2, whole.len() - 1] {
        fs::write(dynamics.part(1), &whole[..length]).unwrap();
        dynamics.fails(ErrorKind::Data, message);
    }
    // Wherever a byte is wrong, there is a map or an error.
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(dynamics.part(1), &bytes).unwrap();
        if let Err(error) = map_of_dynamics(dynamics.scratch.path(), None, Variability::Plain) {
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        }
    }
}

#[test]
fn a_map_comes_back_from_every_format() {
    let dynamics = OnDisk::new(30, 4);
    let map = dynamics.map(4, Variability::Plain);
    let labels = ["no", "yes", "it, depends"].map(String::from);
    for extension in ["parquet", "csv", "tsv", "jsonl", "pickle"] {
        let path = dynamics.scratch.at(&format!("map.{extension}"));
        write_map(&map.points, &labels, &path).unwrap();
        let got = read_map(&path).unwrap();
        assert_eq!(got.guids, dynamics.guids);
        let points = map.points.iter().map(|p| &p.signals);
        assert_eq!(
            got.confidence,
            points.clone().map(|s| s.confidence).collect::<Vec<_>>()
        );
        assert_eq!(
            got.variability,
            points.map(|s| s.variability).collect::<Vec<_>>()
        );
    }
}

#[test]
fn tables_that_are_no_maps_are_refused() {
    let scratch = Scratch::new();
    for (text, message) in [
        (
            "guid,confidence\na,0.5\n",
            "m.csv: not a data map: no column `variability`; it has guid, confidence",
        ),
        (
            "name,confidence,variability\na,0.5,0.1\n",
            "m.csv: not a data map: no column `guid`; it has name, confidence, variability",
        ),
        (
            "guid,confidence,variability\na,0.5,0.1\na,0.5,0.1\n",
            "m.csv: the example `a` is in the map twice",
        ),
        (
            "guid,confidence,variability\na,0.5,\n",
            "m.csv: `variability` of row 1 is not a finite number",
        ),
        (
            "guid,confidence,variability\na,0.5,0.1\nb,inf,0.1\n",
            "m.csv: `confidence` of row 2 is not a finite number",
        ),
        (
            "guid,confidence,variability\na,high,0.1\n",
            "m.csv: not a data map: `confidence` holds other things than numbers",
        ),
    ] {
        let path = scratch.write("m.csv", text);
        let error = read_map(&path).unwrap_err();
        assert_eq!(scratch.shown(&error), message);
        assert_eq!(error.kind(), ErrorKind::Data);
    }
}

#[test]
fn trustais_table_is_a_map() {
    let scratch = Scratch::new();
    let table = "id\tlabel\tavg_probs\tlabel_var\tpred_label\n7\t0\t0.75\t0.0625\t[0, 0]\nb\t1\t0.5\t0\t[1, 0]\n";
    let map = read_map(&scratch.write("map.tsv", table)).unwrap();
    assert_eq!(map.guids, ["7", "b"]);
    assert_eq!(
        (map.confidence, map.variability),
        (vec![0.75, 0.5], vec![0.25, 0.0])
    );
}
