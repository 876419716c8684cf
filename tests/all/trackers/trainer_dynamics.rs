//! The files that the README's callback writes from transformers' Trainer.

use std::fs;
use std::path::Path;

use enginora_rs::map::{Variability, map_of_dynamics};
use serde_json::{Value, json};

#[test]
fn the_files_of_the_trainer_callback_make_the_map_that_numpy_computes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/fixtures/trainer_dynamics");
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let map = map_of_dynamics(&folder, None, Variability::Plain).unwrap();
    assert_eq!((map.n_epochs, map.points.len()), (3, 22));
    for (i, point) in map.points.iter().enumerate() {
        assert_eq!(point.example.index as usize, i);
        let got = (
            json!(point.example.guid),
            json!(point.example.gold),
            json!(point.signals.correctness),
        );
        let of = |name: &str| expected[name][i].clone();
        assert_eq!(got, (of("guid"), of("gold"), of("correctness")), "{i}");
        for (name, value) in [
            ("confidence", point.signals.confidence),
            ("variability", point.signals.variability),
        ] {
            let difference = (value - of(name).as_f64().unwrap()).abs();
            assert!(difference < 1e-12, "{name} of {i} differs by {difference}");
        }
    }
}

#[test]
fn the_readme_shows_the_callback_that_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let callback = fs::read_to_string(root.join("tests/interop/training_dynamics.py")).unwrap();
    assert!(callback.lines().count() < 40, "it is to be short");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let block = format!("```python\n{callback}```\n");
    assert!(readme.contains(&block), "README.md has another text");
}
