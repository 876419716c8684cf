//! Checkpoints whose files are not what they were.

use std::fs;

use enginora_rs::error::{Error, ErrorKind};
use enginora_rs::train::{Origin, read_checkpoint};

use crate::resume::{longer_project, stopped_after};

const NAME: &str = "epoch-0002-step-00000010";

#[test]
fn no_checkpoint_with_a_wrong_bit_or_a_wrong_length_is_used() {
    let n_changes = std::env::var("FLIPS").ok().and_then(|n| n.parse().ok());
    let n_changes: usize = n_changes.unwrap_or(600);
    let project = longer_project();
    stopped_after(&project, NAME);
    let checkpoints = project.path().join("out/runs/0001/checkpoints");
    let newest = fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("epoch-")
        })
        .max()
        .unwrap();
    let manifest = fs::read_to_string(newest.join("checkpoint.json")).unwrap();
    let (_, json) = manifest.split_once('\n').unwrap();
    let origin: Origin = serde_json::from_str(json).unwrap();
    assert!(read_checkpoint(&newest, &origin).is_ok());
    let other = Origin {
        config_sha256: "0".repeat(64),
        ..origin.clone()
    };
    assert!(read_checkpoint(&newest, &other).is_err());

    let mut names: Vec<_> = fs::read_dir(&newest)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let files: Vec<(_, Vec<u8>)> = names
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    // Knuth's generator (MMIX).
    let mut draws = 1_u64;
    let mut draw = |n: usize| {
        draws = draws
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (draws >> 33) as usize % n
    };
    for change in 0..n_changes {
        let (path, bytes) = &files[change % files.len()];
        let mut changed = bytes.clone();
        let what = match change / files.len() % 4 {
            0 if !bytes.is_empty() => {
                changed.truncate(draw(bytes.len()));
                "cut"
            }
            1 => {
                changed.push(draw(256) as u8);
                "longer"
            }
            _ if !bytes.is_empty() => {
                let at = draw(bytes.len());
                changed[at] ^= 1 << draw(8);
                "with a wrong bit"
            }
            _ => {
                changed.push(0);
                "longer"
            }
        };
        fs::write(path, &changed).unwrap();
        let error = read_checkpoint(&newest, &origin).err();
        let kind = error.as_ref().map(Error::kind);
        let is_found = matches!(kind, Some(ErrorKind::Integrity));
        assert!(is_found, "{} {what}: {error:?}", path.display());
        fs::write(path, bytes).unwrap();
    }
    for (path, bytes) in &files {
        fs::remove_file(path).unwrap();
        assert!(
            read_checkpoint(&newest, &origin).is_err(),
            "{} is gone",
            path.display()
        );
        fs::write(path, bytes).unwrap();
    }
    assert!(read_checkpoint(&newest, &origin).is_ok());
}
