//! The rows of relative embeddings, by what tests/fixtures/models/make.py wrote.

use enginora_rs::nn::{DistanceRows, RelativePositions};
use serde_json::Value;

#[test]
fn the_rows_of_distances_are_those_of_transformers() {
    let path = crate::model::fixture("relative_positions.json");
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let positions = RelativePositions {
            buckets: case["buckets"].as_u64().map(|n| n as usize),
            max_distance: case["max_distance"].as_u64().unwrap() as usize,
        };
        for (key, sign) in [("query_after_key", 1), ("query_before_key", -1)] {
            let rows = case[key].as_array().unwrap();
            for (distance, row) in rows.iter().enumerate() {
                let found = positions.row(sign * distance as isize);
                assert_eq!(
                    Some(found as u64),
                    row.as_u64(),
                    "{positions:?}, {key}, {distance}"
                );
            }
        }
    }
}

#[test]
fn a_batch_uses_the_rows_of_its_longest_sequence_alone() {
    let positions = RelativePositions {
        buckets: Some(8),
        max_distance: 40,
    };
    for (longest, used) in [
        (1, 8..9),
        (2, 7..10),
        (4, 5..12),
        (10, 2..15),
        (20, 1..16),
        (60, 0..16),
    ] {
        assert_eq!(
            DistanceRows::new(positions, longest).used(),
            used,
            "{longest}"
        );
    }
}
