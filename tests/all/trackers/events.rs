//! Event files, read by the rules of their formats and not by our writer's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::project::{LOOP, Project, tiny_project};
use crate::resume::{RESUME, SECOND, longer_project, stopped_after};
use crate::trackers::{run_with, said};

/// CRC-32C by its definition: bit by bit, reflected, of the polynomial `0x1EDC6F41`.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

fn masked(crc: u32) -> u32 {
    crc.rotate_left(17).wrapping_add(0xa282_ead8)
}

/// The records of a file, whose lengths and data are what their checksums say.
fn records(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = file;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_at(8);
        let (length_crc, after) = after.split_at(4);
        let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let (data, after) = after.split_at(n);
        let (data_crc, after) = after.split_at(4);
        for (bytes, crc) in [(length, length_crc), (data, data_crc)] {
            assert_eq!(crc, masked(crc32c(bytes)).to_le_bytes());
        }
        records.push(data);
        rest = after;
    }
    records
}

#[test]
fn the_checksum_of_these_tests_is_the_published_one() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
    assert_eq!(crc32c(&[0xff; 32]).to_le_bytes(), [0x43, 0xab, 0xa8, 0x62]);
}

/// A field of a protocol buffer: its number, and its bytes or its varint.
#[derive(Debug, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let n = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Varint(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(n);
        fields.push((key >> 3, Field::Bytes(value)));
        bytes = rest;
    }
    fields
}

fn bytes_of(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message)
        .into_iter()
        .find_map(|(n, field)| match field {
            Field::Bytes(bytes) if n == number => Some(bytes),
            _ => None,
        })
}

fn varint_of(message: &[u8], number: u64) -> u64 {
    let found = fields(message)
        .into_iter()
        .find_map(|(n, field)| match field {
            Field::Varint(value) if n == number => Some(value),
            _ => None,
        });
    found.unwrap_or(0)
}

/// Tags to steps and values (`Summary.Value`).
type Events = BTreeMap<String, Vec<(u64, Vec<u8>)>>;

/// The event files of a folder, in the order in which they are read.
fn event_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

/// What the one event file in a folder holds.
fn events(folder: &Path) -> Events {
    let files = event_files(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    let mut events = Events::new();
    read_into(&files[0], &mut events);
    events
}

/// Adds what a file holds. A restart (`Event.session_log`) takes what was there of its step and of
/// later ones away, as `TensorBoard` has it; the number of these.
fn read_into(path: &Path, events: &mut Events) -> usize {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let file = fs::read(path).unwrap();
    let records = records(&file);
    assert_eq!(bytes_of(records[0], 3), Some(&b"brain.Event:2"[..]));
    let mut n_taken_away = 0;
    for event in &records[1..] {
        let step = varint_of(event, 2);
        if let Some(session) = bytes_of(event, 7) {
            assert_eq!(varint_of(session, 1), 1, "SessionLog.START");
            for values in events.values_mut() {
                n_taken_away += values.iter().filter(|(s, _)| *s >= step).count();
                values.retain(|(s, _)| *s < step);
            }
            continue;
        }
        let summary = bytes_of(event, 5).unwrap();
        for (number, value) in fields(summary) {
            let Field::Bytes(value) = value else { panic!() };
            assert_eq!(number, 1);
            let tag = String::from_utf8(bytes_of(value, 1).unwrap().to_vec()).unwrap();
            events.entry(tag).or_default().push((step, value.to_vec()));
        }
    }
    n_taken_away
}

fn scalar(value: &[u8]) -> f32 {
    f32::from_le_bytes(bytes_of(value, 2).unwrap().try_into().unwrap())
}

fn scalars(events: &BTreeMap<String, Vec<(u64, Vec<u8>)>>, tag: &str) -> Vec<(u64, f32)> {
    let values = events[tag].iter();
    values.map(|(step, value)| (*step, scalar(value))).collect()
}

const TENSORBOARD: [&str; 4] = [
    "--set",
    "training.report_to=tensorboard",
    "--set",
    "training.logging_steps=2",
];

#[test]
fn a_run_leaves_an_event_file_with_what_the_other_files_say() {
    let project = tiny_project();
    project.succeed(&[&LOOP[..], &TENSORBOARD].concat());
    let run = project.path().join("out/runs/0001");
    let events = events(&run.join("tensorboard"));

    // 36 examples in batches of 8 are 5 steps, 3 times; the last report is of one step.
    let loss = scalars(&events, "train/loss");
    let steps: Vec<u64> = loss.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [2, 4, 6, 8, 10, 12, 14, 15]);
    assert!(
        loss.iter().all(|(_, loss)| (0.1..2.0).contains(loss)),
        "{loss:?}"
    );
    let rate = scalars(&events, "train/learning_rate");
    // Linear from 0.01 at the first of 15 steps to 0.
    assert!((rate[0].1 - 0.01 * 14.0 / 15.0).abs() < 1e-8, "{rate:?}");
    assert!(
        scalars(&events, "train/grad_norm")
            .iter()
            .all(|(_, norm)| *norm > 0.0)
    );
    assert!((scalars(&events, "train/epoch")[0].1 - 0.4).abs() < 1e-6);

    let history = project.read("out/runs/0001/history.jsonl");
    for line in history.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let stage = line["stage"].as_str().unwrap();
        let step = line["step"].as_u64().unwrap();
        for name in ["loss", "f1_score"] {
            let expected = (line[name].as_f64().unwrap() as f32).to_bits();
            let tags = [format!("eval/{name}"), format!("best_model/{stage}_{name}")];
            let found = tags.iter().filter_map(|tag| events.get(tag)).flatten();
            let same = found.filter(|(s, value)| *s == step && scalar(value).to_bits() == expected);
            assert!(same.count() > 0, "{stage} {name} at {step}");
        }
    }
    assert_eq!(scalars(&events, "eval/loss").len(), 3);

    let image = bytes_of(&events["data_map"][0].1, 4).unwrap();
    let png = fs::read(run.join("data_map.png")).unwrap();
    assert_eq!(bytes_of(image, 4), Some(&png[..]));
    let text = bytes_of(bytes_of(&events["config"][0].1, 8).unwrap(), 8).unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let config = project.read("out/runs/0001/config.resolved.yaml");
    assert_eq!(
        text.lines()
            .map(|line| &line[4..])
            .collect::<Vec<_>>()
            .join("\n")
            + "\n",
        config
    );
    let hparams = &events["_hparams_/session_start_info"][0].1;
    let plugin = bytes_of(bytes_of(hparams, 9).unwrap(), 1).unwrap();
    assert_eq!(bytes_of(plugin, 1), Some(&b"hparams"[..]));

    // Times are in it, so no two runs would have the same manifest.
    assert!(
        project
            .manifest("out/runs/0001")
            .keys()
            .all(|name| !name.contains("tensorboard"))
    );
    assert!(!project.path().join("out/tensorboard").exists());
}

#[test]
fn runs_in_one_logging_dir_have_a_folder_each() {
    let project = tiny_project();
    let check = |settings: &[&str], folder: &str| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = LOOP
            .into_iter()
            .chain(TENSORBOARD)
            .chain([
                "--set",
                "training.logging_dir=tb",
                "--set",
                "training.epochs=1",
            ])
            .chain(settings)
            .collect();
        project.succeed(&arguments);
        assert!(!events(&project.path().join("tb").join(folder)).is_empty());
    };
    check(&[], "out-0001");
    check(&["training.run_name=mine"], "mine");
    check(&["training.run_name=mine"], "mine-2");
}

#[test]
fn a_run_that_is_taken_up_is_shown_as_one_that_was_never_stopped() {
    let project = longer_project();
    for (logging_dir, folder) in [("", "out/runs/0001/tensorboard"), ("tb", "tb/out-0001")] {
        let section = format!(
            "epochs: 12\n  report_to: tensorboard\n  logging_steps: 1\n  logging_dir: {logging_dir}"
        );
        let config = longer_project().read("run.yaml");
        project.write("run.yaml", &config.replace("epochs: 12", &section));
        let folder = project.path().join(folder);
        let remove = || ["out", "tb"].map(|made| fs::remove_dir_all(project.path().join(made)));
        let _ = remove();
        project.succeed(&LOOP);
        let expected = events(&folder);
        let _ = remove();
        stopped_after(&project, SECOND);
        project.succeed(&RESUME);
        let mut found = Events::new();
        let files = event_files(&folder);
        assert_eq!(files.len(), 2, "{files:?}");
        for path in files {
            read_into(&path, &mut found);
        }
        assert!(found == expected, "{logging_dir}");
        if !logging_dir.is_empty() {
            assert_eq!(fs::read_dir(project.path().join("tb")).unwrap().count(), 1);
        }
    }
}

#[test]
fn a_run_without_trackers_has_no_event_file() {
    let check = |settings: &[&str]| {
        let project: Project = tiny_project();
        let output = run_with(&project, &[&LOOP[..], settings].concat(), &[]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(!project.path().join("out/runs/0001/tensorboard").exists());
    };
    check(&[
        "--set",
        "training.report_to=none",
        "--set",
        "training.epochs=1",
    ]);
}
