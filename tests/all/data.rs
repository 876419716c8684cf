//! Data files, label spaces, subsets and splits.
#![allow(clippy::unwrap_used)]

mod bad_files;
mod formats;
mod good_files;
mod parquet;
mod raw_rows;
mod sets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use enginora_rs::config::DataConfig;
use enginora_rs::data::{LabelSpace, Subset, read_evaluation, read_training, stratified_split};
use enginora_rs::error::ErrorKind;
use enginora_rs::random::{Purpose, Stream};

use crate::scratch::Scratch;

fn config(change: impl FnOnce(&mut DataConfig)) -> DataConfig {
    let mut config = DataConfig::default();
    change(&mut config);
    config
}

#[test]
fn labels_are_sorted_as_numbers_only_where_all_are_numbers() {
    for (labels, names, are_integers) in [
        (&["10", "9", "-1", "9"][..], &["-1", "9", "10"][..], true),
        (&["10.0", "9.0"], &["9", "10"], true),
        (&["10.0", "9"], &["10.0", "9"], false),
        (&["10", "9", "x"], &["10", "9", "x"], false),
        (&["01", "1"], &["01", "1"], false),
        (&["1.5", "1.0"], &["1.0", "1.5"], false),
        (&["pos", "neg", "Neg"], &["Neg", "neg", "pos"], false),
        (
            &["99999999999999999999", "0"],
            &["0", "99999999999999999999"],
            false,
        ),
    ] {
        let space = LabelSpace::from_labels(labels.iter().copied());
        assert_eq!(space.names(), names);
        assert_eq!(space.are_integers(), are_integers);
        for (index, name) in (0..).zip(names) {
            assert_eq!(space.index_of(name), Some(index));
            assert_eq!(space.name(index), *name);
        }
        assert_eq!(LabelSpace::from_names(space.names().to_vec()), space);
    }
}

#[test]
fn a_file_may_write_integer_labels_as_floats() {
    let integers = LabelSpace::from_labels(["1", "0"]);
    assert_eq!(integers.index_of("1.0"), Some(1));
    assert_eq!(integers.index_of("1.5"), None);
    let texts = LabelSpace::from_labels(["1", "x"]);
    assert_eq!(texts.index_of("1.0"), None);
}

#[test]
fn more_classes_than_observed_are_made_up_and_fewer_are_an_error() {
    for (labels, num_labels, names) in [
        (&["0", "1"][..], 2, &["0", "1"][..]),
        (&["0", "1"], 4, &["0", "1", "2", "3"]),
        (&["0", "2"], 3, &["0", "1", "2"]),
        (&["1", "3"], 3, &["1", "3", "LABEL_2"]),
        (&["-1", "1"], 3, &["-1", "1", "LABEL_2"]),
        (&["a", "b"], 4, &["a", "b", "LABEL_2", "LABEL_3"]),
    ] {
        let space = LabelSpace::from_labels(labels.iter().copied());
        assert_eq!(space.extended_to(num_labels).unwrap().names(), names);
    }
    let folder = Scratch::new();
    let path = folder.write("train.csv", b"a,x\nb,y\nc,z\nd,x\n");
    let (dataset, space) = read_training(&path, &config(|_| ()), Some(4)).unwrap();
    assert_eq!((dataset.labels(), space.len()), (vec![0, 1, 2, 0], 4));
    let error = read_training(&path, &config(|_| ()), Some(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "`model.num_labels: 2` is too few: the training set has 3 labels\n\
         \x20 hint: leave `model.num_labels` out, or set it to 3 or more"
    );
}

#[test]
fn a_subset_is_sorted_and_gives_its_examples() {
    let folder = Scratch::new();
    let path = folder.write("train.csv", b"a,x\nb,y\nc,x\nd,y\n");
    let (dataset, _) = read_training(&path, &config(|_| ()), None).unwrap();
    assert_eq!(dataset.all().indices(), [0, 1, 2, 3]);
    let subset = Subset::from(vec![3, 1, 3]);
    let texts: Vec<_> = subset
        .examples(&dataset)
        .map(|(index, example)| (index, example.text.as_str()))
        .collect();
    assert_eq!(texts, [(1, "b"), (3, "d")]);
}

#[test]
fn further_columns_are_kept_where_a_file_has_them() {
    let folder = Scratch::new();
    let json = "{\"text\": \"a\", \"label\": 0, \"source\": \"web\", \"stars\": 4.5}\n\
                {\"text\": \"b\", \"label\": 1, \"stars\": null}\n";
    for (name, text, wanted, expected) in [
        (
            "a.csv",
            "source,text,label,n\nweb,a,0,1\n,b,1,2\n",
            "source n other",
            "source: web|; n: 1|2",
        ),
        // A column may have two roles.
        (
            "b.tsv",
            "text\tlabel\na\t0\nb\t1\n",
            "label text",
            "label: 0|1; text: a|b",
        ),
        // Without names a column goes by its position, and only then.
        ("c.csv", "i,a,0\nj,b,1\n", "0 3 source", "0: i|j"),
        ("d.csv", "text,label\na,0\nb,1\n", "0", ""),
        (
            "e.jsonl",
            json,
            "stars source",
            "source: web|-; stars: 4.5|-",
        ),
        ("f.csv", "text,label\na,0\nb,1\n", "", ""),
    ] {
        let config = config(|c| c.extra_columns = wanted.split(' ').map(str::to_owned).collect());
        let path = folder.write(name, text);
        let (dataset, space) = read_training(&path, &config, None).unwrap();
        let shown = |cells: &[Option<String>]| {
            let cells = cells.iter().map(|cell| cell.as_deref().unwrap_or("-"));
            cells.collect::<Vec<_>>().join("|")
        };
        let columns = dataset
            .extra
            .iter()
            .map(|(name, cells)| format!("{name}: {}", shown(cells)));
        let mut columns: Vec<String> = columns.collect();
        columns.sort();
        let mut expected: Vec<&str> = expected.split("; ").filter(|c| !c.is_empty()).collect();
        expected.sort_unstable();
        assert_eq!(columns, expected, "{name}");
        let evaluation = read_evaluation(&path, &config, &space, "test").unwrap();
        assert_eq!(evaluation.extra, dataset.extra);
    }
}

fn stream(seed: u64) -> Stream {
    Stream::new(seed, Purpose::Split, 0, 0)
}

/// The number of each class's examples among `indices`.
fn counts(labels: &[u32], indices: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; labels.iter().max().map_or(0, |&l| l as usize + 1)];
    for &index in indices {
        counts[labels[index as usize] as usize] += 1;
    }
    counts
}

#[test]
fn a_split_takes_its_share_of_every_class() {
    for (sizes, fraction, expected) in [
        (&[50, 50][..], 0.2, &[10, 10][..]),
        (&[60, 40], 0.07, &[4, 3]),
        (&[90, 10], 0.25, &[23, 2]),
        (&[3, 3, 3], 0.1, &[1, 0, 0]),
        (&[3, 3, 4], 0.2, &[1, 0, 1]),
        (&[7, 1, 2], 0.3, &[2, 0, 1]),
        (&[2, 2], 0.7, &[1, 1]),
        (&[1, 0, 9], 0.85, &[0, 0, 8]),
        (&[10, 10], 0.000_000_000_000_000_000_001, &[1, 0]),
    ] {
        let mut labels: Vec<u32> = (0_u32..)
            .zip(sizes)
            .flat_map(|(class, &size)| std::iter::repeat_n(class, size))
            .collect();
        stream(9).shuffle(&mut labels);
        let (training, validation) = stratified_split(&labels, fraction, stream(1)).unwrap();
        assert_eq!(
            counts(&labels, &validation),
            expected,
            "{sizes:?} {fraction}"
        );
        let mut all = [training.clone(), validation.clone()].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..labels.len() as u32));
        assert!(training.is_sorted() && validation.is_sorted());
    }
}

#[test]
fn a_split_depends_on_the_seed_and_on_nothing_else() {
    let labels: Vec<u32> = (0..200).map(|i| u32::from(i % 3 == 0)).collect();
    let split = |seed| stratified_split(&labels, 0.3, stream(seed)).unwrap();
    assert_eq!(split(1), split(1));
    assert_ne!(split(1), split(2));
    // Every example is in validation under some seed, so no part of the file is left out.
    let seen: BTreeSet<u32> = (0..100).flat_map(|seed| split(seed).1).collect();
    assert_eq!(seen.len(), labels.len());
}

#[test]
fn a_split_that_empties_a_side_is_an_error() {
    for (labels, fraction, expected) in [
        (
            &[0, 0, 1, 1][..],
            0.9,
            "a validation share of `0.9` leaves no training example of 4",
        ),
        (
            &[0, 1, 2],
            0.3,
            "a validation share of `0.3` leaves no validation example of 3",
        ),
        (
            &[0, 1],
            1.0,
            "the validation share is `1`, expected above 0 and below 1",
        ),
        (
            &[0, 1],
            f64::NAN,
            "the validation share is `NaN`, expected above 0 and below 1",
        ),
    ] {
        let error = stratified_split(labels, fraction, stream(1)).unwrap_err();
        assert_eq!(error.problems()[0].message, expected);
    }
}

#[test]
fn the_shipped_files_are_read_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mr_products");
    let columns = config(|_| ());
    let train = folder.join("mr_train.tsv");
    let (_, space) = read_training(&train, &columns, None).unwrap();
    assert_eq!(space.names(), ["0", "1"]);
    // The file's name, its negative and its positive examples, as the folder's README says.
    for (name, negative, positive) in [
        ("mr_train.tsv", 4597, 4565),
        ("mr_dev.tsv", 252, 248),
        ("mr_test.tsv", 482, 518),
        ("products_test.tsv", 1354, 2376),
        ("proscons_test.tsv", 1000, 1000),
    ] {
        let path = folder.join(name);
        let read = read_evaluation(&path, &columns, &space, "test").unwrap();
        assert_eq!(read.len(), negative + positive, "{name}");
        let n_positive = read.labels().iter().filter(|&&label| label == 1).count();
        assert_eq!(n_positive, positive, "{name}");
        assert_eq!(read.warnings, [], "{name}");
        let mut written = String::from("id\tlabel\ttext\n");
        for example in &read.examples {
            let line = format!("{}\t{}\t{}\n", example.guid, example.label, example.text);
            written.push_str(&line);
        }
        assert!(written == fs::read_to_string(&path).unwrap(), "{name}");
    }
}
