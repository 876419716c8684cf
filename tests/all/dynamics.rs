//! Dynamics that other programs wrote, read and written, and the maps made of them.

use std::path::{Path, PathBuf};

use enginora_rs::dynamics::{
    DynamicsFiles, DynamicsFormat, ExportFormat, RecordedExample, TrainingDynamics, ValueKind,
    export, write_epoch,
};
use enginora_rs::error::ErrorKind;
use enginora_rs::map::{
    MapOptions, Point, Variability, map_in_parts, write_td_metrics, write_trustai_header,
    write_trustai_rows,
};

use enginora_rs::pipeline::{ExportOptions, MapCommandOptions, run_export, run_map};

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
    let mut points = Vec::new();
    map_in_parts(&files, PLAIN, |mut part| {
        points.append(&mut part);
        Ok(())
    })
    .unwrap();
    points
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
fn several_runs_give_a_map_each_and_how_much_they_agree() {
    let scratch = Scratch::new();
    let mut dynamics = sample(ValueKind::Logits, 100, 4);
    export(&dynamics, ExportFormat::Allenai, &scratch.at("a")).unwrap();
    // The same examples in another order, without the last one.
    dynamics.examples.pop();
    dynamics.examples.reverse();
    for epoch in &mut dynamics.epochs {
        epoch.truncate(3 * 99);
        *epoch = epoch.chunks_exact(3).rev().flatten().copied().collect();
    }
    export(&dynamics, ExportFormat::Csv, &scratch.at("b")).unwrap();
    dynamics.epochs = sample(ValueKind::Logits, 99, 9).epochs[5..].to_vec();
    export(&dynamics, ExportFormat::Trustai, &scratch.at("c")).unwrap();
    let options = MapCommandOptions {
        paths: ["a", "b/training_dynamics.csv", "c"]
            .map(|path| scratch.at(path))
            .to_vec(),
        format: None,
        map: PLAIN,
        plots: false,
        output: scratch.at("maps"),
    };
    run_map(&options).unwrap();
    for i in 1..=3 {
        assert!(scratch.at(&format!("maps/{i}/td_metrics.jsonl")).is_file());
    }
    let table = std::fs::read_to_string(scratch.at("maps/stability.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 4);
    // Run a is run b, but for one example.
    assert_eq!(
        rows[1][2..],
        ["99", "1.0", "1.0", "1.0", "1.0", "1.0", "1.0"]
    );
    let spearman: f64 = rows[2][3].parse().unwrap();
    assert!(spearman.abs() < 0.4, "{spearman}");
    let same: f64 = rows[2][6].parse().unwrap();
    assert!((0.1..0.6).contains(&same), "{same}");
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
        fails(&scratch, &path, &format!("dynamics.csv: {expected}"));
    };
    check(
        "a,0,0,0.5,0.6\n",
        "row 1, epoch 0: `a` has probabilities with the sum 1.1, which is not 1",
    );
    check(
        "a,0,0,1.5,-0.5\n",
        "row 1, epoch 0: `a` has the probability `1.5`, which is not between 0 and 1",
    );
    check(
        "a,0,2,0.5,0.5\n",
        "row 1, epoch 0: `a` has the gold label 2, but values for 2 classes (0 to 1)",
    );
    check(
        "a,0,0,0.5,0.5\na,2,0,0.5,0.5\n",
        "the epochs go from 0 to 2: one is missing",
    );
    check(
        "a,0,0,0.5,0.5\nb,0,0,0.5,0.5\na,1,0,0.5,0.5\n",
        "epoch 1 lacks `b`",
    );
    check(
        "a,0.5,0,0.5,0.5\n",
        "`epoch` of row 1 is `0.5`, not a whole number of at least 0",
    );
    check("", "it holds no example");
    check(",0,0,0.5,0.5\n", "row 1, epoch 0: the id is empty");
    check(
        "a,0,no,0.5,0.5\n",
        "`gold` holds other things than whole numbers from 0; a class is its index",
    );
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
