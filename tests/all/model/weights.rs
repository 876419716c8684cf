//! Files of weights: PyTorch's two formats, indexes of several files, and files that mean harm.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use enginora_rs::error::ErrorKind;
use enginora_rs::model::{Classifier, load};
use enginora_rs::nn::{Use, raw};
use safetensors::tensor::SafeTensors;
use serde_json::{Map, json};

use super::load_from;
use crate::scratch::Scratch;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/torch_files")
        .join(name)
}

/// A model folder of the fixtures' config and these weights.
fn folder(name: &str, weights: &[u8]) -> Scratch {
    let folder = Scratch::new();
    fs::copy(fixture("config.json"), folder.at("config.json")).unwrap();
    folder.write(name, weights);
    folder
}

fn all_values(model: &Classifier) -> Vec<(String, Vec<f32>)> {
    let parameters = model.parameters();
    let specs = parameters.specs().iter();
    specs
        .map(|spec| {
            let value = parameters.value(&spec.name).unwrap();
            (spec.name.clone(), raw::read::<f32>(value).unwrap().to_vec())
        })
        .collect()
}

/// That a `pytorch_model.bin` of these bytes is refused with a message that has these words.
fn check_refused(bytes: &[u8], words: &[&str]) {
    let folder = folder("pytorch_model.bin", bytes);
    let error = load(folder.path(), 2, 0, Use::Training, &Device::Cpu).unwrap_err();
    let shown = folder.shown(&error);
    assert_eq!(error.kind(), ErrorKind::Data, "{shown}");
    assert!(
        shown.starts_with("pytorch_model.bin: not a PyTorch checkpoint: "),
        "{shown}"
    );
    for word in words {
        assert!(shown.contains(word), "`{word}` is missing in: {shown}");
    }
}

#[test]
fn both_formats_of_pytorch_hold_what_the_safetensors_hold() {
    let (expected, report) = load_from(&fixture(""), 2, 3);
    assert_eq!(report.unused, ["cls.predictions.decoder.weight"]);
    assert_eq!(report.initialized, ["classifier.bias", "classifier.weight"]);
    let expected = all_values(&expected);
    for name in ["zip.bin", "legacy.bin"] {
        let folder = folder("pytorch_model.bin", &fs::read(fixture(name)).unwrap());
        let (found, found_report) = load_from(folder.path(), 2, 3);
        assert_eq!(all_values(&found), expected, "{name}");
        assert_eq!(found_report, report, "{name}");
    }
}

#[test]
fn safetensors_are_preferred() {
    let folder = folder("pytorch_model.bin", b"not read");
    fs::copy(fixture("model.safetensors"), folder.at("model.safetensors")).unwrap();
    load_from(folder.path(), 2, 3);
}

#[test]
fn an_index_spreads_a_model_over_files() {
    let bytes = fs::read(fixture("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (expected, _) = load_from(&fixture(""), 2, 3);
    let mut map = Map::new();
    let scratch = folder("unused", b"");
    let parts = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    for (i, part) in parts.into_iter().enumerate() {
        let mut tensors = file.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let half: Vec<_> = tensors.into_iter().skip(i).step_by(2).collect();
        map.extend(half.iter().map(|(name, _)| (name.clone(), json!(part))));
        scratch.write(part, safetensors::serialize(half, None).unwrap());
    }
    let index = |map: &Map<String, serde_json::Value>| {
        scratch.write(
            "model.safetensors.index.json",
            json!({"weight_map": map}).to_string(),
        );
    };
    index(&map);
    let (found, _) = load_from(scratch.path(), 2, 3);
    assert_eq!(all_values(&found), all_values(&expected));

    let check = |kind: ErrorKind, words: &str| {
        let error = load(scratch.path(), 2, 0, Use::Training, &Device::Cpu).unwrap_err();
        let shown = scratch.shown(&error);
        assert_eq!(error.kind(), kind, "{shown}");
        assert!(shown.contains(words), "{shown}");
    };
    let first = map.keys().next().unwrap().clone();
    for name in ["../model.safetensors", "/etc/passwd", "a/b", "..", ""] {
        let mut map = map.clone();
        map[&first] = json!(name);
        index(&map);
        check(ErrorKind::Data, "is no name of a file beside it");
    }
    let mut more = map.clone();
    more.insert("more".into(), json!(parts[1]));
    index(&more);
    check(ErrorKind::Data, "lacks `more`");
    index(&map);
    fs::remove_file(scratch.at(parts[1])).unwrap();
    check(ErrorKind::MissingInput, parts[1]);
    scratch.write("model.safetensors.index.json", "{}");
    check(ErrorKind::Data, "`weight_map` is missing");

    let scratch = folder(
        "pytorch_model-1.bin",
        &fs::read(fixture("zip.bin")).unwrap(),
    );
    map.values_mut()
        .for_each(|file| *file = json!("pytorch_model-1.bin"));
    scratch.write(
        "pytorch_model.bin.index.json",
        json!({"weight_map": map}).to_string(),
    );
    let (found, _) = load_from(scratch.path(), 2, 3);
    assert_eq!(all_values(&found), all_values(&expected));
}

#[test]
fn a_folder_without_weights_says_which_it_needs() {
    let folder = folder("tf_model.h5", b"");
    let error = load(folder.path(), 2, 0, Use::Training, &Device::Cpu).unwrap_err();
    let shown = folder.shown(&error);
    assert_eq!(error.kind(), ErrorKind::MissingInput);
    assert!(
        shown.contains("model.safetensors: there are no weights"),
        "{shown}"
    );
    assert!(
        shown.contains("`tf_model.h5` is another framework's"),
        "{shown}"
    );
}

#[test]
fn what_python_would_run_is_refused_by_name() {
    for name in ["runs_zip.bin", "runs_legacy.bin"] {
        let system = "it would run `posix.system`: refused";
        check_refused(&fs::read(fixture(name)).unwrap(), &[system]);
    }
    let module = "it would run `torch.nn.modules.linear.Linear`: refused";
    check_refused(&fs::read(fixture("whole_model.bin")).unwrap(), &[module]);
    // Names on the stack, and names made to upset a terminal.
    let stack = legacy(b"X\x02\0\0\0osX\x06\0\0\0system\x93.", &[]);
    check_refused(&stack, &["`os.system`"]);
    let escape = legacy(b"cos\x1b[2J\nsystem\n.", &[]);
    check_refused(&escape, &["`os\\u{1b}[2J.system`"]);
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    for name in ["zip.bin", "legacy.bin"] {
        let whole = fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(13).chain([whole.len() - 1]) {
            check_refused(&whole[..length], &[]);
        }
    }
}

#[test]
fn no_changed_byte_makes_the_reader_panic() {
    for name in ["zip.bin", "legacy.bin"] {
        let whole = fs::read(fixture(name)).unwrap();
        let folder = folder("pytorch_model.bin", &whole);
        for at in (0..whole.len()).step_by(11) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff >> (at % 7);
            folder.write("pytorch_model.bin", &changed);
            // Many changes are to the numbers, which nothing can notice.
            let _ = load(folder.path(), 2, 0, Use::Training, &Device::Cpu);
        }
    }
}

/// A file of the older format: its header, this pickle of a state dict, and these storages of
/// f32 numbers.
fn legacy(state: &[u8], storages: &[(&str, &[f32])]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    file.extend(b"\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.\x80\x02");
    file.extend(state);
    file.extend(b"\x80\x02](");
    for (key, _) in storages {
        file.extend(text(key));
    }
    file.extend(b"e.");
    for (_, numbers) in storages {
        file.extend((numbers.len() as u64).to_le_bytes());
        file.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    }
    file
}

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [b"X", &length[..], text.as_bytes()].concat()
}

fn integers(numbers: &[i64]) -> Vec<u8> {
    let each = numbers
        .iter()
        .flat_map(|x| [b"\x8a\x08", &x.to_le_bytes()[..]].concat());
    [b"(".to_vec(), each.collect(), b"t".to_vec()].concat()
}

/// The pickle of a state dict with one tensor, `x`, in the storage `0` of f32 numbers.
fn one_tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    [
        b"}".to_vec(),
        text("x"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        b"K\x04NtQ\x8a\x08".to_vec(),
        offset.to_le_bytes().to_vec(),
        integers(shape),
        integers(strides),
        b"\x89}tRs.".to_vec(),
    ]
    .concat()
}

#[test]
fn a_tensor_beyond_its_numbers_is_refused() {
    let four = [("0", &[1.0, 2.0, 3.0, 4.0][..])];
    let check = |offset: i64, shape: &[i64], strides: &[i64], words: &str| {
        check_refused(
            &legacy(&one_tensor(offset, shape, strides), &four),
            &[words],
        );
    };
    // What fits is read, and then the model's own weights are missing.
    for (offset, shape, strides) in [
        (0, &[2, 2][..], &[2, 1][..]),
        (3, &[], &[]),
        (1, &[1, 3], &[9, 1]),
    ] {
        let folder = folder(
            "pytorch_model.bin",
            &legacy(&one_tensor(offset, shape, strides), &four),
        );
        let error = load(folder.path(), 2, 0, Use::Training, &Device::Cpu).unwrap_err();
        let shown = folder.shown(&error);
        assert!(shown.contains("embeddings.weight` is missing"), "{shown}");
    }
    let beyond = "does not fit into its storage";
    check(0, &[5], &[1], beyond);
    check(1, &[4], &[1], beyond);
    check(5, &[], &[], beyond);
    check(0, &[2, 2], &[3, 2], beyond);
    check(0, &[1 << 60], &[1], beyond);
    check(0, &[1 << 60], &[0], beyond);
    check(0, &[1 << 40, 1 << 40], &[0, 0], beyond);
    check(i64::MAX, &[2], &[i64::MAX], beyond);
    check(0, &[8], &[0], beyond);
    check(0, &[4], &[-1], "the size, stride or offset -1");
    check(0, &[-4], &[1], "the size, stride or offset -4");
    check(-1, &[4], &[1], "the size, stride or offset -1");
    check(0, &[4], &[1, 1], "more dimensions than strides, or fewer");
    check(0, &[1; 9], &[1; 9], "more than 8 dimensions");
    // A storage that no file has, and one that is not there to its end.
    let tensor = one_tensor(0, &[4], &[1]);
    check_refused(&legacy(&tensor, &[]), &[beyond]);
    let cut = legacy(&tensor, &four);
    check_refused(&cut[..cut.len() - 1], &["it ends in the middle"]);
    let long = [
        &cut[..cut.len() - 24],
        &u64::MAX.to_le_bytes(),
        &cut[cut.len() - 16..],
    ]
    .concat();
    check_refused(&long, &["it ends in the middle"]);
}

#[test]
fn pickles_that_are_no_state_dict_are_refused() {
    for (state, words) in [
        (&b"K\x01."[..], "something else than a state dict"),
        (b"}.", "it holds no tensors by name"),
        (b".", "a value is missing"),
        (b"K\x01K\x02K\x03s.", "takes values"),
        (b"u.", "a mark is missing"),
        (b"K\x01Q.", "in the place of a list or tuple"),
        (b"K\x01)R.", "called in an unknown way"),
        (
            b"ccollections\nOrderedDict\n(K\x01tR.",
            "called in an unknown way",
        ),
        (b"K\x01}b.", "something else than a dict has a state"),
        (b"j\xff\xff\xff\xff.", "a value is missing"),
        (b"i", "the byte 0x69"),
    ] {
        check_refused(&legacy(state, &[]), &[words]);
    }
    check_refused(b"PK\x03\x04", &["the end of the archive is missing"]);
    check_refused(b"\x89HDF\r\n", &["starts like no file of `torch.save`"]);
    check_refused(
        b"\x80\x02\x8a\x0a0123456789.",
        &["starts like no file of `torch.save`"],
    );
}

#[test]
fn pickles_cannot_exhaust_the_stack_or_the_memory() {
    // Tuples in tuples a million deep, a list that holds itself, and opcodes without end.
    let deep = [b"]".to_vec(), vec![0x85; 900_000], b".".to_vec()].concat();
    check_refused(&legacy(&deep, &[]), &["something else than a state dict"]);
    check_refused(
        &legacy(b"]q\0h\0a.", &[]),
        &["something else than a state dict"],
    );
    let endless = [b"]q\0".to_vec(), b"h\0".repeat(2_000_000)].concat();
    check_refused(&legacy(&endless, &[]), &["more than 1000000 opcodes"]);
}
