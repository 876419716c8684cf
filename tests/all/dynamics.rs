//! Dynamics that other programs wrote, read and written, and the maps made of them.

mod map_command;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Float16Type;
use arrow_array::{ArrayRef, Float16Array, Int64Array, ListArray, RecordBatch, StringArray};
use enginora_rs::data::{Column, Table};
use enginora_rs::dynamics::{
    DynamicsFiles, DynamicsFormat, ExportFormat, RecordedExample, Room, TrainingDynamics,
    ValueKind, export, write_epoch,
};
use enginora_rs::error::{Error, ErrorKind, Problem, Result};
use enginora_rs::map::{
    MapOptions, Point, Variability, map_in_parts, write_td_metrics, write_trustai_header,
    write_trustai_rows,
};
use enginora_rs::pipeline::{ExportOptions, run_export};
use parquet::arrow::ArrowWriter;

use crate::scratch::{Scratch, uniform};

const PLAIN: MapOptions = MapOptions {
    burn_out: None,
    variability: Variability::Plain,
};

fn read(path: &Path) -> TrainingDynamics {
    DynamicsFiles::find(path, None).unwrap().read(None).unwrap()
}

fn points(path: &Path) -> Vec<Point> {
    let files = DynamicsFiles::find(path, None).unwrap();
    points_in(&files, Room::beside(path)).unwrap()
}

fn points_in(files: &DynamicsFiles, room: Room<'_>) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    map_in_parts(files, PLAIN, room, |mut part| {
        points.append(&mut part);
        Ok(())
    })?;
    Ok(points)
}

#[track_caller]
fn fails(scratch: &Scratch, path: &Path, expected: &str) {
    let files = DynamicsFiles::find(path, None);
    let error = files.and_then(|files| files.read(None)).unwrap_err();
    let shown = scratch.shown(&error);
    assert_eq!(error.kind(), ErrorKind::Data, "{shown}");
    assert!(shown.starts_with(expected), "{shown}\nnot\n{expected}");
}

/// Examples with ids of all kinds, (E, N, C) values that need every digit.
fn sample(kind: ValueKind, n_examples: usize, n_epochs: usize) -> TrainingDynamics {
    let mut uniform = uniform(n_examples as u64);
    let n_classes = 3;
    let guid = |i: usize| match i % 4 {
        0 => (format!("{}", 10_000_000_000 + i), true),
        1 => (format!("ex {i}, \"é\""), false),
        2 => (format!("it's {i}\\\t{{"), false),
        _ => (format!("00{i}"), false),
    };
    let examples = (0..n_examples).map(|i| {
        let (guid, guid_is_number) = guid(i);
        RecordedExample {
            guid,
            guid_is_number,
            index: i as u32,
            gold: (i % n_classes) as u32,
            noisy_label: 0,
        }
    });
    let mut epoch = || -> Vec<f64> {
        (0..n_examples)
            .flat_map(|_| {
                let logits: Vec<f64> = (0..n_classes).map(|_| 6.0 * uniform() - 3.0).collect();
                let sum: f64 = logits.iter().map(|x| x.exp()).sum();
                let probabilities = logits.iter().map(|x| x.exp() / sum).collect();
                match kind {
                    ValueKind::Logits => logits,
                    ValueKind::Probabilities => probabilities,
                }
            })
            .collect()
    };
    TrainingDynamics {
        kind,
        n_classes,
        examples: examples.collect(),
        epochs: (0..n_epochs).map(|_| epoch()).collect(),
    }
}

#[test]
fn what_is_exported_is_read_back_to_the_bit() {
    for (kind, format) in [
        (ValueKind::Logits, ExportFormat::Allenai),
        (ValueKind::Logits, ExportFormat::Csv),
        (ValueKind::Probabilities, ExportFormat::Csv),
        (ValueKind::Probabilities, ExportFormat::Trustai),
        (ValueKind::Probabilities, ExportFormat::Cleanlab),
    ] {
        let scratch = Scratch::new();
        let dynamics = sample(kind, 50, 4);
        let written = export(&dynamics, format, scratch.path()).unwrap();
        let path = match format {
            ExportFormat::Csv => written[0].as_path(),
            _ => scratch.path(),
        };
        let got = read(path);
        assert_eq!(got, dynamics, "{}", format.name());
    }
}

#[test]
fn probabilities_become_logits_with_the_same_map() {
    let scratch = Scratch::new();
    let dynamics = sample(ValueKind::Probabilities, 20, 3);
    export(&dynamics, ExportFormat::Trustai, &scratch.at("probs")).unwrap();
    export(&dynamics, ExportFormat::Allenai, &scratch.at("logits")).unwrap();
    let (a, b) = (points(&scratch.at("probs")), points(&scratch.at("logits")));
    for (a, b) in a.iter().zip(&b) {
        assert!((a.signals.confidence - b.signals.confidence).abs() < 1e-12);
        assert!((a.signals.variability - b.signals.variability).abs() < 1e-12);
        assert_eq!(a.signals.predictions, b.signals.predictions);
        assert!(a.signals.aum.is_none() && b.signals.aum.is_some());
    }
}

#[test]
fn our_own_epochs_are_exported() {
    let scratch = Scratch::new();
    for epoch in 0..2 {
        let logits = [0.1_f32, -2.0, 3.5, 1.0 + epoch as f32];
        write_epoch(
            &scratch.at("training_dynamics"),
            epoch,
            &[3, 8],
            &["17", "a"],
            &[1, 0],
            &logits,
            None,
        )
        .unwrap();
    }
    let dynamics = read(scratch.path());
    assert_eq!(dynamics.examples[1].index, 8);
    export(&dynamics, ExportFormat::Allenai, &scratch.at("out")).unwrap();
    let lines = std::fs::read_to_string(scratch.at("out/training_dynamics/dynamics_epoch_1.jsonl"));
    assert_eq!(
        lines.unwrap(),
        "{\"guid\": 17, \"logits_epoch_1\": [0.10000000149011612,-2.0], \"gold\": 1}\n\
         {\"guid\": \"a\", \"logits_epoch_1\": [3.5,2.0], \"gold\": 0}\n"
    );
    let ours = points(&scratch.at("training_dynamics"));
    let theirs = points(&scratch.at("out"));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.signals, theirs.signals);
    }
}

#[test]
fn td_metrics_have_the_columns_of_the_papers_code() {
    let scratch = Scratch::new();
    for epoch in 0..2 {
        let text = format!(
            "{{\"guid\":7,\"logits_epoch_{epoch}\":[0,0],\"gold\":0}}\n\
             {{\"guid\":\"b\\u00e9\",\"logits_epoch_{epoch}\":[1000,0],\"gold\":1}}\n"
        );
        scratch.write(&format!("dynamics_epoch_{epoch}.jsonl"), text);
    }
    let mut lines = Vec::new();
    write_td_metrics(&points(scratch.path()), &mut lines).unwrap();
    assert_eq!(
        String::from_utf8(lines).unwrap(),
        "{\"guid\":7,\"index\":0,\"threshold_closeness\":0.25,\"confidence\":0.5,\"variability\":0.0,\"correctness\":2,\"forgetfulness\":0}\n\
         {\"guid\":\"bé\",\"index\":1,\"threshold_closeness\":0.0,\"confidence\":0.0,\"variability\":0.0,\"correctness\":0,\"forgetfulness\":1000}\n"
    );
}

/// Four evaluations of two examples: right, wrong, right, wrong; and wrong, right, right, right.
fn trustai_log(is_python: bool) -> String {
    let evaluations = [(0.75, 0.25), (0.25, 0.625), (0.5, 0.625), (0.0, 0.75)];
    let mut log = String::new();
    for (a, b) in evaluations {
        for (id, label, noisy, p) in [("x", 0, 2, a), ("y", 1, 0, b)] {
            let probs = if label == 0 {
                [p, 1.0 - p]
            } else {
                [1.0 - p, p]
            };
            let predicted = usize::from(probs[1] > probs[0]);
            let line = format!(
                "{{'id': '{id}', 'label': {label}, 'pred_label': {predicted}, 'noisy_label': {noisy}, 'correct': '{}', 'loss': 0.5, 'probs': [{}, {}], 'label_probs': {p}}}\n",
                predicted == label,
                probs[0],
                probs[1]
            );
            log.push_str(&line);
        }
    }
    if is_python {
        log
    } else {
        log.replace('\'', "\"")
    }
}

#[test]
fn trustais_log_gives_trustais_table() {
    for is_python in [true, false] {
        let scratch = Scratch::new();
        scratch.write("output_data.json", trustai_log(is_python));
        let mut lines = Vec::new();
        write_trustai_header(&mut lines).unwrap();
        write_trustai_rows(&points(scratch.path()), &mut lines).unwrap();
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "id\tlabel\ts_label\tcorrect_times\tcorrect_ratio\tavg_probs\tlabel_var\tmax_label_probs\tmin_label_probs\tforgetting_times\tlearnt_times\tfirst_forget\tfirst_learn\tpred_label\tpred_dist\n\
             x\t0\t2\t2\t0.5\t0.375\t0.078125\t0.75\t0.0\t2\t1\t1\t2\t[0,1,0,1]\t[2,2]\n\
             y\t1\t0\t3\t0.75\t0.5625\t0.03515625\t0.75\t0.25\t0\t1\t0\t1\t[0,1,1,1]\t[1,3]\n"
        );
    }
}

#[test]
fn an_unfinished_last_evaluation_is_left_out() {
    let scratch = Scratch::new();
    let log = trustai_log(true);
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let path = scratch.write("log.jsonl", lines[..7].concat());
    assert_eq!(read(&path).epochs.len(), 3);
    let path = scratch.write(
        "log.jsonl",
        [lines[0], lines[1], lines[2], lines[4]].concat(),
    );
    fails(
        &scratch,
        &path,
        "log.jsonl: `y` was evaluated 1 times, another example 3 times",
    );
}

#[test]
fn the_first_epochs_alone_are_read_where_that_is_asked_for() {
    let scratch = Scratch::new();
    let logits = sample(ValueKind::Logits, 6, 4);
    let probabilities = sample(ValueKind::Probabilities, 6, 4);
    let check = |path: PathBuf| {
        let files = DynamicsFiles::find(&path, None).unwrap();
        let (all, two) = (files.read(None).unwrap(), files.read(Some(2)).unwrap());
        assert_eq!(all.epochs.len(), 4);
        assert_eq!(two.epochs, all.epochs[..2]);
    };
    export(&logits, ExportFormat::Allenai, &scratch.at("a")).unwrap();
    check(scratch.at("a"));
    check(export(&logits, ExportFormat::Csv, &scratch.at("b")).unwrap()[0].clone());
    export(&probabilities, ExportFormat::Trustai, &scratch.at("c")).unwrap();
    check(scratch.at("c"));
    export(&probabilities, ExportFormat::Cleanlab, &scratch.at("d")).unwrap();
    check(scratch.at("d"));
}

/// With `--burn-out 2` an epoch that is missing after the second does not matter; before it does.
#[test]
fn only_the_epochs_that_are_read_must_be_there() {
    let scratch = Scratch::new();
    let (logits, probabilities) = (
        sample(ValueKind::Logits, 6, 4),
        sample(ValueKind::Probabilities, 6, 4),
    );
    for epoch in [0, 1, 3] {
        let values: Vec<f32> = logits.epochs[epoch].iter().map(|x| *x as f32).collect();
        let guids: Vec<&str> = logits.examples.iter().map(|e| e.guid.as_str()).collect();
        let gold: Vec<u32> = logits.examples.iter().map(|e| e.gold).collect();
        let (folder, indices) = (scratch.at("ours"), [0, 1, 2, 3, 4, 5]);
        write_epoch(&folder, epoch, &indices, &guids, &gold, &values, None).unwrap();
    }
    export(&logits, ExportFormat::Allenai, &scratch.at("a")).unwrap();
    std::fs::remove_file(scratch.at("a/training_dynamics/dynamics_epoch_2.jsonl")).unwrap();
    export(&probabilities, ExportFormat::Cleanlab, &scratch.at("c")).unwrap();
    std::fs::remove_file(scratch.at("c/pred_probs_epoch_2.npy")).unwrap();
    let table = export(&logits, ExportFormat::Csv, &scratch.at("t")).unwrap();
    let rows = std::fs::read_to_string(&table[0]).unwrap();
    let rows = rows.split_inclusive('\n');
    let kept = rows
        .filter(|row| !row.contains(",2,0,") && !row.contains(",2,1,") && !row.contains(",2,2,"));
    scratch.write("t/training_dynamics.csv", kept.collect::<String>());
    for (name, missing) in [
        ("ours", "ours/epoch=3: epoch 2 is missing before it"),
        (
            "a",
            "a/training_dynamics/dynamics_epoch_3.jsonl: epoch 2 is missing before it",
        ),
        (
            "c",
            "c/pred_probs_epoch_3.npy: epoch 2 is missing before it",
        ),
        (
            "t",
            "t/training_dynamics.csv: the epochs go from 1 to 3: one is missing",
        ),
    ] {
        let files = DynamicsFiles::find(&scratch.at(name), None).unwrap();
        assert_eq!(files.read(Some(2)).unwrap().epochs.len(), 2, "{name}");
        let two = MapOptions {
            burn_out: Some(2),
            ..PLAIN
        };
        let room = Room::beside(scratch.path());
        assert_eq!(
            map_in_parts(&files, two, room, |_| Ok(())).unwrap(),
            2,
            "{name}"
        );
        for n_epochs in [None, Some(3)] {
            let error = files.read(n_epochs).unwrap_err();
            let shown = scratch.shown(&error);
            assert!(shown.starts_with(missing), "{shown}");
        }
    }
}

#[test]
fn ties_go_to_the_lower_class_whatever_a_log_says_of_them() {
    let scratch = Scratch::new();
    let line = |label: usize, predicted: usize, probs: [f64; 3]| {
        format!(
            "{{'id': 'a', 'label': {label}, 'pred_label': {predicted}, 'noisy_label': 0, 'correct': '{}', 'loss': 1.0, 'probs': {probs:?}, 'label_probs': {:?}}}\n",
            label == predicted,
            probs[label]
        )
    };
    let tied = [0.25, 0.375, 0.375];
    let path = scratch.write("log.json", line(2, 2, tied) + &line(2, 1, tied));
    let correctness = |path: &Path| points(path)[0].signals.correctness;
    assert_eq!(correctness(&path), 0);
    let path = scratch.write("log.json", line(1, 1, tied) + &line(1, 2, tied));
    assert_eq!(correctness(&path), 2);
    // What is no tie is an error as before, also where the others are one.
    for (label, predicted, probs) in [
        (2, 2, [0.25, 0.5, 0.25]),
        (0, 0, tied),
        (1, 0, [0.2, 0.5, 0.3]),
    ] {
        let path = scratch.write("log.json", line(label, predicted, probs));
        fails(&scratch, &path, "log.json:1:");
    }
}

#[test]
fn half_precision_is_read() {
    let scratch = Scratch::new();
    // 0.25, 0.75, 1, 0 in IEEE 754's binary16.
    let halves = [0x3400_u16, 0x3a00, 0x3c00, 0x0000];
    let array = |kind: &str, bytes: Vec<u8>| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2, 2), }}");
        let header = format!("{header:<117}\n");
        let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        file.extend(header.into_bytes());
        file.extend(bytes);
        file
    };
    scratch.write(
        "pred_probs_epoch_0.npy",
        array("<f2", halves.iter().flat_map(|x| x.to_le_bytes()).collect()),
    );
    scratch.write(
        "pred_probs_epoch_1.npy",
        array(">f2", halves.iter().flat_map(|x| x.to_be_bytes()).collect()),
    );
    let labels = array("|u1", vec![1, 0]);
    let labels = String::from_utf8_lossy(&labels[10..]).replace("(2, 2)", "(2,)  ");
    let labels = [&b"\x93NUMPY\x01\x00\x76\x00"[..], labels.as_bytes()].concat();
    scratch.write("labels.npy", labels);
    assert_eq!(
        read(scratch.path()).epochs,
        vec![vec![0.25, 0.75, 1.0, 0.0]; 2]
    );

    let halves = halves.map(half::f16::from_bits);
    let values = Float16Array::from(halves.to_vec());
    let rows = halves
        .chunks(2)
        .map(|row| Some(row.iter().copied().map(Some)));
    let lists = ListArray::from_iter_primitive::<Float16Type, _, _>(rows);
    let shared: [(&str, ArrayRef); 3] = [
        ("guid", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("epoch", Arc::new(Int64Array::from(vec![0, 0]))),
        ("gold", Arc::new(Int64Array::from(vec![1, 0]))),
    ];
    let columns: [(&str, ArrayRef); 2] = [
        ("probs_0", Arc::new(values.slice(0, 2))),
        ("probs_1", Arc::new(values.slice(2, 2))),
    ];
    let check = |more: Vec<(&str, ArrayRef)>, expected: [f64; 4]| {
        let batch = RecordBatch::try_from_iter(shared.iter().cloned().chain(more)).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let path = scratch.write("table.parquet", bytes);
        assert_eq!(read(&path).epochs, [expected]);
    };
    check(vec![("probs", Arc::new(lists))], [0.25, 0.75, 1.0, 0.0]);
    let by_class = [
        ("logits_0", columns[0].1.clone()),
        ("logits_1", columns[1].1.clone()),
    ];
    check(by_class.to_vec(), [0.25, 1.0, 0.75, 0.0]);
}

#[test]
fn the_order_of_rows_in_later_epochs_changes_nothing() {
    let scratch = Scratch::new();
    export(
        &sample(ValueKind::Logits, 40, 3),
        ExportFormat::Allenai,
        scratch.path(),
    )
    .unwrap();
    let before = points(scratch.path());
    for epoch in 1..3 {
        let name = format!("training_dynamics/dynamics_epoch_{epoch}.jsonl");
        let text = std::fs::read_to_string(scratch.at(&name)).unwrap();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        lines.reverse();
        lines.rotate_left(7 * epoch);
        scratch.write(&name, lines.concat());
    }
    assert_eq!(points(scratch.path()), before);
}

#[test]
fn a_stop_is_heard_while_rows_are_read() {
    let scratch = Scratch::new();
    let row = "{\"guid\": 7, \"logits_epoch_0\": [0.5, 1.5], \"gold\": 0}\n";
    scratch.write("dynamics_epoch_0.jsonl", row);
    let files = DynamicsFiles::find(scratch.path(), None).unwrap();
    let room = Room {
        stop: || Err(Error::new(ErrorKind::Stopped(15), Problem::new("stopped"))),
        ..Room::beside(scratch.path())
    };
    let error = points_in(&files, room).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped(15));
}

/// What is made of files with memory for next to nothing is what is made of them in memory, be it
/// a map or an error; and no other file is left.
#[track_caller]
fn is_the_same_with_little_memory(scratch: &Scratch) {
    let files = DynamicsFiles::find(scratch.path(), None).unwrap();
    let folder = scratch.at("room");
    std::fs::create_dir_all(&folder).unwrap();
    let whole = points_in(&files, Room::beside(&folder));
    for most_bytes in [1_000, 5_000] {
        let room = Room {
            most_bytes,
            ..Room::beside(&folder)
        };
        match (&whole, points_in(&files, room)) {
            (Ok(whole), got) => assert!(got.unwrap() == *whole),
            (Err(whole), got) => assert_eq!(got.unwrap_err().to_string(), whole.to_string()),
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}

#[test]
fn lines_that_outgrow_memory_give_the_same_map_and_the_same_errors() {
    let kinds = [
        (ValueKind::Logits, ExportFormat::Allenai),
        (ValueKind::Probabilities, ExportFormat::Trustai),
    ];
    for (kind, format) in kinds {
        let scratch = Scratch::new();
        let written = export(&sample(kind, 60, 3), format, scratch.path()).unwrap();
        let last = written.last().unwrap();
        let text = std::fs::read_to_string(last).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let check = |lines: &[&str]| {
            std::fs::write(last, lines.concat()).unwrap();
            is_the_same_with_little_memory(&scratch);
        };
        // The last epoch's lines in another order, one that is missing, one more, changed ones.
        let n = lines.len();
        let mut turned = lines.clone();
        turned[n - 60..].reverse();
        check(&turned);
        check(&lines[..n - 2]);
        check(&[&lines[..], &lines[n - 5..n - 3]].concat());
        check(&[&lines[..n - 9], &[lines[n - 20]], &lines[n - 9..]].concat());
        for (from, to) in [(":0", ":1"), ("guid\":", "guid\":1"), ("[", "[0.5,")] {
            let changed = lines[n - 30].replacen(from, to, 1);
            check(&[&lines[..n - 30], &[changed.as_str()], &lines[n - 29..]].concat());
        }
    }
}

#[test]
fn a_long_table_has_lists_or_columns() {
    let scratch = Scratch::new();
    let expected = [vec![0.5, -1.0, 2.0, 1.0], vec![3.0, 1e-7, 0.0, -0.25]];
    let check = |name: &str, text: &str| {
        let path = scratch.write(name, text);
        let got = read(&path);
        assert_eq!(got.epochs, expected, "{name}");
        let guids: Vec<&str> = got.examples.iter().map(|e| e.guid.as_str()).collect();
        assert_eq!((guids, got.n_classes), (vec!["b", "a"], 2), "{name}");
        assert_eq!((got.examples[0].gold, got.examples[1].gold), (1, 0));
    };
    // Epochs may count from 1, and rows come in any order.
    check(
        "columns.csv",
        "epoch,guid,gold,logits_0,logits_1\n1,b,1,0.5,-1\n2,a,0,0,-0.25\n1,a,0,2,1\n2,b,1,3,1e-7\n",
    );
    check(
        "lists.csv",
        "guid,epoch,gold,logits\nb,0,1,\"[0.5, -1]\"\na,0,0,\"[2, 1]\"\nb,1,1,\"[3,1e-7]\"\na,1,0,\"[0,-0.25]\"\n",
    );
    check(
        "lists.jsonl",
        "{\"guid\":\"b\",\"epoch\":0,\"gold\":1,\"logits\":[0.5,-1]}\n{\"guid\":\"a\",\"epoch\":0,\"gold\":0,\"logits\":[2,1]}\n{\"guid\":\"b\",\"epoch\":1,\"gold\":1,\"logits\":[3,1e-7]}\n{\"guid\":\"a\",\"epoch\":1,\"gold\":0,\"logits\":[0,-0.25]}\n",
    );
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let good = |epoch: usize| {
        format!(
            "{{\"guid\":1,\"logits_epoch_{epoch}\":[0.5,1],\"gold\":0}}\n{{\"guid\":\"b\",\"logits_epoch_{epoch}\":[1,2],\"gold\":1}}\n"
        )
    };
    let check = |second: &str, expected: &str| {
        let scratch = Scratch::new();
        scratch.write("dynamics_epoch_0.jsonl", good(0));
        scratch.write("dynamics_epoch_1.jsonl", second);
        fails(
            &scratch,
            scratch.path(),
            &format!("dynamics_epoch_1.jsonl{expected}"),
        );
    };
    let a = "{\"guid\":1,\"logits_epoch_1\":[0.5,1],\"gold\":0}\n";
    let with_b = |line: &str| format!("{a}{line}\n");
    check(a, ": epoch 1 lacks `b`, which another epoch has");
    check(
        &with_b(a.trim_end()),
        ":2:1: `1` is there twice in this epoch",
    );
    check(
        &with_b("{\"guid\":\"c\",\"logits_epoch_1\":[1,2],\"gold\":1}"),
        ":2:1: `c` is not in the first epoch",
    );
    check(
        &with_b("{\"guid\":\"b\",\"logits_epoch_1\":[1,2],\"gold\":0}"),
        ":2:1: `b` has the gold label 0 here and 1 before",
    );
    check(
        &with_b("{\"guid\":\"b\",\"logits_epoch_1\":[1,2,3],\"gold\":1}"),
        ":2:1: `b` has values for 3 classes, the first example has 2",
    );
    check(
        &with_b("{\"guid\":\"b\",\"logits_epoch_1\":[1,NaN],\"gold\":1}"),
        ":2:1: `b` has the value `NaN`, which is not a finite number",
    );
    check(
        &with_b("{\"guid\":\"b\",\"logits_epoch_0\":[1,2],\"gold\":1}"),
        ":2:45: the record lacks `logits_epoch_1`",
    );
    check(
        &with_b("{\"guid\":\"b\",\"logits_epoch_1\":[1,2],\"gold\":-1}"),
        ":2:43: expected a whole number of at least 0, found `-1}`",
    );
    check(
        &with_b("{\"guid\":\"b\",\"logits_epoch_1\":[1,2],\"gol"),
        ":2:36: the text that begins here does not end",
    );
    check(
        &with_b("{\"guid\":\"b\""),
        ":2:12: it ends where `}` should come",
    );
    check("", ": epoch 1 lacks `1`, which another epoch has");

    let scratch = Scratch::new();
    scratch.write("dynamics_epoch_0.jsonl", good(0));
    scratch.write("dynamics_epoch_2.jsonl", good(2));
    fails(
        &scratch,
        scratch.path(),
        "dynamics_epoch_2.jsonl: epoch 1 is missing before it",
    );
}

#[test]
fn probabilities_must_be_probabilities() {
    let scratch = Scratch::new();
    let check = |rows: &str, expected: &str| {
        let text = format!("guid,epoch,gold,probs_0,probs_1\n{rows}");
        let path = scratch.write("dynamics.csv", text);
        fails(&scratch, &path, &format!("dynamics.csv{expected}"));
    };
    check(
        "a,0,0,0.5,0.6\n",
        ":2: epoch 0: `a` has probabilities with the sum 1.1, which is not 1",
    );
    check(
        "a,0,0,1.5,-0.5\n",
        ":2: epoch 0: `a` has the probability `1.5`, which is not between 0 and 1",
    );
    check(
        "a,0,2,0.5,0.5\n",
        ":2: epoch 0: `a` has the gold label 2, but values for 2 classes (0 to 1)",
    );
    check(
        "a,0,0,0.5,0.5\na,2,0,0.5,0.5\n",
        ": the epochs go from 0 to 2: one is missing",
    );
    check(
        "a,0,0,0.5,0.5\nb,0,0,0.5,0.5\na,1,0,0.5,0.5\n",
        ": epoch 1 lacks `b`",
    );
    check(
        "a,0.5,0,0.5,0.5\n",
        ":2: `epoch` is `0.5`, not a whole number of at least 0",
    );
    check(
        "a,0,,0.5,0.5\n",
        ":2: `gold` is missing, not a whole number",
    );
    check("", ": it holds no example");
    check(",0,0,0.5,0.5\n", ":2: epoch 0: the id is empty");
    check(
        "a,0,0,0.5,0.5\nb,0,no,0.5,0.5\n",
        ":3: `gold` is `no`; expected whole numbers from 0; a class is its index",
    );
}

/// A record of a CSV file may have several lines, and blank ones before it.
#[test]
fn what_is_wrong_with_a_row_of_a_table_is_told_with_its_line() {
    let scratch = Scratch::new();
    let check = |name: &str, text: &str, expected: &str| {
        fails(&scratch, &scratch.write(name, text), expected);
    };
    check(
        "d.csv",
        "guid,epoch,gold,probs_0,probs_1\r\n\"a\nb\nc\",0,0,0.5,0.5\r\n\r\n\nd,0,0,0.5,2\r\n",
        "d.csv:7: epoch 0: `d` has the probability `2`",
    );
    check(
        "d.tsv",
        "guid\tepoch\tgold\tlogits\n\"x\n\"\t0\t0\t[1, 2]\ny\t0\t0\t[1, oh]\n",
        "d.tsv:4: `logits`: ",
    );
    check(
        "d.jsonl",
        "\n{\"guid\":1,\"epoch\":0,\"gold\":0,\"logits\":[1,2]}\n\n{\"guid\":1,\"epoch\":0,\"gold\":0,\"logits\":[1,2]}\n",
        "d.jsonl:4: epoch 0: `1` is there twice in this epoch",
    );
    // Parquet has no lines.
    let table = Table::new()
        .with("guid", Column::Text(vec!["a".to_owned(), "b".to_owned()]))
        .with("epoch", Column::Integer(vec![0, 0]))
        .with("gold", Column::Integer(vec![0, 7]))
        .with("probs", Column::RealList(vec![vec![0.5, 0.5]; 2]));
    table.write(&scratch.at("d.parquet")).unwrap();
    let expected = "d.parquet: row 2: epoch 0: `b` has the gold label 7, but values for 2 classes";
    fails(&scratch, &scratch.at("d.parquet"), expected);
}

#[test]
fn no_column_of_a_class_is_passed_over() {
    let scratch = Scratch::new();
    let check = |columns: &str, row: &str, missing: &str| {
        let text = format!("guid,epoch,gold,{columns}\na,0,0,{row}\n");
        let path = scratch.write("dynamics.csv", text);
        fails(
            &scratch,
            &path,
            &format!("dynamics.csv: no column `{missing}` of numbers"),
        );
    };
    check("logits_0,logits_1,logits_2", "1,2,-", "logits_2");
    check("logits_0,logits_1,logits_3", "1,2,3", "logits_2");
    check("logits_0,logits_01", "1,2", "logits_1");
    check("probs_1,probs_2", "0.5,0.5", "probs_0");
}

#[test]
fn a_mark_of_the_byte_order_is_passed_over() {
    let scratch = Scratch::new();
    let log = trustai_log(false);
    let plain = read(&scratch.write("plain.json", &log));
    assert_eq!(
        read(&scratch.write("marked.json", format!("\u{feff}{log}"))),
        plain
    );
}

#[test]
fn an_export_neither_joins_another_one_nor_overwrites_what_it_reads() {
    let scratch = Scratch::new();
    let (long, short) = (
        sample(ValueKind::Logits, 4, 3),
        sample(ValueKind::Logits, 4, 2),
    );
    for (format, later) in [
        (
            ExportFormat::Allenai,
            "out/training_dynamics/dynamics_epoch_2.jsonl",
        ),
        (ExportFormat::Cleanlab, "out/pred_probs_epoch_2.npy"),
    ] {
        export(&long, format, &scratch.at("out")).unwrap();
        let error = export(&short, format, &scratch.at("out")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CannotCreate);
        let message = format!("{later}: an epoch of another export is there");
        assert!(scratch.shown(&error).starts_with(&message), "{error}");
        std::fs::remove_dir_all(scratch.at("out")).unwrap();
    }
    export(&long, ExportFormat::Allenai, &scratch.at("in")).unwrap();
    let error = run_export(&ExportOptions {
        path: scratch.at("in"),
        format: None,
        to: ExportFormat::Allenai,
        output: scratch.at("in"),
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_format_is_found_out_or_said() {
    let scratch = Scratch::new();
    let logits = sample(ValueKind::Logits, 4, 2);
    export(&logits, ExportFormat::Allenai, &scratch.at("a")).unwrap();
    export(&logits, ExportFormat::Trustai, &scratch.at("t")).unwrap();
    export(&logits, ExportFormat::Cleanlab, &scratch.at("c")).unwrap();
    export(&logits, ExportFormat::Csv, &scratch.at("s")).unwrap();
    for (path, expected) in [
        ("a", DynamicsFormat::Allenai),
        ("a/training_dynamics", DynamicsFormat::Allenai),
        (
            "a/training_dynamics/dynamics_epoch_0.jsonl",
            DynamicsFormat::Allenai,
        ),
        ("t", DynamicsFormat::Trustai),
        ("t/output_data.json", DynamicsFormat::Trustai),
        ("c", DynamicsFormat::Cleanlab),
        ("s/training_dynamics.csv", DynamicsFormat::Table),
        ("s", DynamicsFormat::Table),
    ] {
        let path = scratch.at(path);
        assert_eq!(DynamicsFiles::find(&path, None).unwrap().format(), expected);
        let said = DynamicsFiles::find(&path, Some(expected)).unwrap();
        assert_eq!(said.format(), expected);
    }
    let error = DynamicsFiles::find(&scratch.at("a"), Some(DynamicsFormat::Cleanlab)).unwrap_err();
    assert!(
        scratch
            .shown(&error)
            .starts_with("a: no training dynamics of the format `cleanlab`"),
        "{error}"
    );
    let error = DynamicsFiles::find(&scratch.at("nothing"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput);
}

#[test]
fn no_bytes_make_an_importer_panic() {
    let scratch = Scratch::new();
    let logits = sample(ValueKind::Logits, 4, 2);
    let mut files = Vec::new();
    for (name, format) in [
        ("a", ExportFormat::Allenai),
        ("t", ExportFormat::Trustai),
        ("c", ExportFormat::Cleanlab),
        ("s", ExportFormat::Csv),
    ] {
        files.extend(export(&logits, format, &scratch.at(name)).unwrap());
    }
    let mut uniform = uniform(11);
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e != "txt"))
    {
        let folder = path.parent().unwrap();
        let at = if folder.ends_with("s") { path } else { folder };
        let whole = std::fs::read(path).unwrap();
        for round in 0..150 {
            let mut bytes = whole.clone();
            let place = (uniform() * bytes.len() as f64) as usize;
            match round % 4 {
                0 => bytes.truncate(place),
                1 => bytes[place] ^= 1 << (round / 4 % 8),
                2 => bytes[place] = b"{}[]'\"\\,:-e\n\0\xff"[round / 4 % 15 % 14],
                _ => bytes.insert(place, (uniform() * 256.0) as u8),
            }
            std::fs::write(path, &bytes).unwrap();
            if let Ok(files) = DynamicsFiles::find(at, None)
                && let Err(error) = files.read(None)
            {
                assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            }
        }
        std::fs::write(path, &whole).unwrap();
    }
}
