//! What is fuzzed: a reader, whole files to start with, and the files that lie beside them.

use std::fs;
use std::path::Path;

use candle_core::Device;
use enginora_rs::config::{self, DataConfig};
use enginora_rs::data::{Dataset, Example, Table, Tokenizer, Truncation, read_training};
use enginora_rs::dynamics::DynamicsFiles;
use enginora_rs::error::Result;
use enginora_rs::map::{Condition, Variability, map_of_dynamics, read_map};
use enginora_rs::model;
use enginora_rs::nn::Use;

use crate::project::{CONFIG, sentences};

pub struct Target {
    pub name: &'static str,
    /// The name of the file whose content is changed.
    pub file: &'static str,
    /// Whole files to start with.
    pub seeds: Vec<Vec<u8>>,
    /// Files beside it, as they are.
    pub others: Vec<(&'static str, Vec<u8>)>,
    /// Words of the format.
    pub words: &'static [&'static str],
    /// Reads what is in the folder, in particular the file.
    pub read: fn(&Path, &Path) -> Result<()>,
}

pub fn targets() -> Vec<Target> {
    [configs(), data_files(), models(), dynamics_and_maps()]
        .into_iter()
        .flatten()
        .collect()
}

fn configs() -> Vec<Target> {
    const WORDS: &[&str] = &[
        "training:",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "- ",
        "? ",
        ": ",
        "|\n",
        ">\n",
        "!!str ",
        "---\n",
        "selectors: ",
        "metrics: ",
        "experiment: ",
        "null",
        "~",
        ".inf",
        "\"",
        "'",
        "#",
        "\t",
    ];
    let mut seeds = vec![CONFIG.as_bytes().to_vec()];
    for folder in ["../../configs", "seed_configs"] {
        for entry in fs::read_dir(fixture_path(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml") {
                seeds.push(fs::read(path).unwrap());
            }
        }
    }
    seeds.sort();
    let condition = "confidence >= 0.5 and (label = 'neg' or not variability < 1e-3)";
    vec![
        Target {
            name: "config",
            file: "run.yaml",
            seeds,
            others: vec![],
            words: WORDS,
            read: |_, path| config::read(path, &[]).map(|_| ()),
        },
        Target {
            name: "condition",
            file: "condition.txt",
            seeds: vec![condition.into(), "not (a = 'é''' or b != never)".into()],
            others: vec![],
            words: &[
                "and ",
                "or ",
                "not ",
                "(",
                ")",
                "'",
                "<=",
                "!=",
                "never",
                "é",
                "\u{1F600}",
            ],
            read: |_, path| {
                let bytes = fs::read(path).unwrap();
                let columns = ["confidence", "variability", "label"];
                let text = String::from_utf8_lossy(&bytes);
                Condition::parse(&text, columns.into_iter()).map(|_| ())
            },
        },
    ]
}

fn data_files() -> Vec<Target> {
    const WORDS: &[&str] = &[
        "\"",
        "\"\"",
        ",",
        "\t",
        "\r\n",
        "\u{feff}",
        "label",
        "id,text,label\n",
        "\0",
    ];
    const JSON: &[&str] = &[
        "{",
        "}",
        "\"label\":",
        "null",
        "\\ud800",
        "\\u0000",
        "[",
        "true",
        "\n",
        "-1.5e400",
    ];
    let csv = sentences("train", 12).into_bytes();
    let quoted = b"id,text,label\n1,\"a \"\"good\"\", long\nfilm\",x\n2,b,y\n".to_vec();
    let json: Vec<String> = (0..8)
        .map(|i| {
            format!(
                "{{\"id\": {i}, \"text\": \"a film \\u00e9 {i}\", \"label\": \"{}\"}}\n",
                i % 2
            )
        })
        .collect();
    let target = |name, file, seeds, words| Target {
        name,
        file,
        seeds,
        others: vec![],
        words,
        read: |_, path| read_training(path, &DataConfig::default(), None).map(|_| ()),
    };
    vec![
        target("csv", "train.csv", vec![csv.clone(), quoted], WORDS),
        target(
            "tsv",
            "train.tsv",
            vec![
                csv.iter()
                    .map(|b| if *b == b',' { b'\t' } else { *b })
                    .collect(),
            ],
            WORDS,
        ),
        target(
            "jsonl",
            "train.jsonl",
            vec![json.concat().into_bytes()],
            JSON,
        ),
        target(
            "parquet",
            "train.parquet",
            vec![
                fixture("parquet/pandas.parquet"),
                fixture("parquet/types.parquet"),
                fixture("parquet/class_label.parquet"),
            ],
            &[],
        ),
    ]
}

fn models() -> Vec<Target> {
    const JSON: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"F16\"",
        "\"shape\":",
        "[0]",
        "[0,32]",
        "null",
        "-1",
        "\"\"",
        ":",
    ];
    let bert = |name: &str| fixture(&format!("models/bert-tiny/{name}"));
    let roberta = |name: &str| fixture(&format!("models/roberta-tiny/{name}"));
    let load: fn(&Path, &Path) -> Result<()> =
        |folder, _| model::load(folder, 2, 0, Use::Inference, &Device::Cpu).map(|_| ());
    let tokenize: fn(&Path, &Path) -> Result<()> = |folder, _| {
        let text = |text: &str| Example {
            text: text.into(),
            ..Example::default()
        };
        let dataset = Dataset {
            path: "texts".into(),
            examples: ["a good film", "\u{1F600} é\u{301} 的 \0 \u{202e}", "x"]
                .map(text)
                .into(),
            extra: std::collections::BTreeMap::new(),
            warnings: Vec::new(),
        };
        Tokenizer::read(folder)?
            .tokenize(&dataset, 16, Truncation::Cut)
            .map(|_| ())
    };
    let with = |names: &[&'static str]| names.iter().map(|name| (*name, bert(name))).collect();
    vec![
        Target {
            name: "safetensors",
            file: "model.safetensors",
            seeds: vec![bert("model.safetensors")],
            others: with(&["config.json"]),
            words: JSON,
            read: load,
        },
        Target {
            name: "torch_file",
            file: "pytorch_model.bin",
            seeds: ["zip.bin", "legacy.bin", "runs_zip.bin"]
                .map(|name| fixture(&format!("torch_files/{name}")))
                .into(),
            others: vec![("config.json", fixture("torch_files/config.json"))],
            words: &[
                "cposix\nsystem\n",
                "(",
                "tR",
                ".",
                "\u{80}\u{2}",
                "PK\u{3}\u{4}",
                "q\0",
                "h\0",
                "2",
            ],
            read: load,
        },
        Target {
            name: "model_config",
            file: "config.json",
            seeds: vec![bert("config.json")],
            others: with(&["model.safetensors"]),
            words: JSON,
            read: load,
        },
        Target {
            name: "vocabulary",
            file: "vocab.txt",
            seeds: vec![bert("vocab.txt")],
            others: with(&["tokenizer_config.json"]),
            words: &["\n", "[CLS]", "[PAD]\n", "##", "\u{feff}", " ", "[UNK]\n"],
            read: tokenize,
        },
        Target {
            name: "tokenizer",
            file: "tokenizer.json",
            seeds: vec![roberta("tokenizer.json")],
            others: vec![("tokenizer_config.json", roberta("tokenizer_config.json"))],
            words: JSON,
            read: tokenize,
        },
        Target {
            name: "tokenizer_config",
            file: "tokenizer_config.json",
            seeds: vec![
                bert("tokenizer_config.json"),
                roberta("tokenizer_config.json"),
            ],
            others: with(&["vocab.txt"]),
            words: JSON,
            read: tokenize,
        },
        Target {
            name: "sentence_piece",
            file: "spiece.model",
            seeds: vec![fixture("sentence_piece/albert/spiece.model")],
            others: vec![("config.json", fixture("sentence_piece/albert/config.json"))],
            words: &[],
            read: tokenize,
        },
    ]
}

fn dynamics_and_maps() -> Vec<Target> {
    const JSON: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"guid\":",
        "\"gold\":",
        "\n",
        ",",
        "null",
        "1e5",
        "-",
        "\"",
    ];
    let import: fn(&Path, &Path) -> Result<()> =
        |folder, _| DynamicsFiles::find(folder, None)?.read(None).map(|_| ());
    let read_table: fn(&Path, &Path) -> Result<()> = |_, path| read_map(path).map(|_| ());
    let lines = |epoch: usize| -> Vec<u8> {
        (0..6)
            .map(|i| format!("{{\"guid\": \"e{i}\", \"logits_epoch_{epoch}\": [0.{i}, -1.5e-1, {i}.25], \"gold\": {}}}\n", i % 3))
            .collect::<Vec<String>>()
            .concat()
            .into_bytes()
    };
    let npy = |header: &str, values: &[u8]| {
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend_from_slice(format!("{header:<117}\n").as_bytes());
        bytes.extend_from_slice(values);
        bytes
    };
    let probabilities: Vec<u8> = [0.25_f64, 0.75, 0.5, 0.5, 1.0, 0.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let labels: Vec<u8> = [0_i64, 1, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let log: Vec<String> = ["True", "False", "True"]
        .iter()
        .flat_map(|correct| ["x", "y"].map(|id| (id, correct)))
        .map(|(id, correct)| format!("{{'id': '{id}', 'label': 0, 'pred_label': 1, 'noisy_label': 1, 'correct': '{correct}', 'loss': 0.5, 'probs': [0.25, 0.75], 'label_probs': 0.25}}\n"))
        .collect();
    let log = log.concat();
    let json_log = log.replace('\'', "\"");
    let map = "guid,index,confidence,variability,correctness\na,0,0.5,0.1,1\nb,1,0.25,0.3,0\n";
    let map_lines = "{\"guid\": \"a\", \"confidence\": 0.5, \"variability\": 0.1}\n{\"guid\": \"b\", \"confidence\": 1, \"variability\": 0}\n";
    let pickle = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00]\x94(}\x94(\x8c\x04guid\x94\x8c\x01a\x94\x8c\nconfidence\x94G?\xe0\0\0\0\0\0\0\x8c\x0bvariability\x94G?\xb9\x99\x99\x99\x99\x99\x9au}\x94(h\x02\x8c\x01b\x94h\x04K\x01h\x05K\x00ue.".to_vec();
    let long = "guid,epoch,gold,logit_0,logit_1\na,0,0,0.5,0.1\nb,0,1,0.5,0.1\na,1,0,0.5,0.1\nb,1,1,0.1,2\n";
    vec![
        Target {
            name: "allenai_dynamics",
            file: "dynamics_epoch_1.jsonl",
            seeds: vec![lines(1)],
            others: vec![("dynamics_epoch_0.jsonl", lines(0))],
            words: JSON,
            read: import,
        },
        Target {
            name: "trustai_log",
            file: "output_data.json",
            seeds: vec![log.into(), json_log.into()],
            others: vec![],
            words: JSON,
            read: import,
        },
        Target {
            name: "cleanlab_arrays",
            file: "pred_probs_epoch_0.npy",
            seeds: vec![npy(
                "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }",
                &probabilities,
            )],
            others: vec![(
                "labels.npy",
                npy(
                    "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }",
                    &labels,
                ),
            )],
            words: &[
                "'descr'",
                "'<f4'",
                "'>f8'",
                "True",
                "(",
                ")",
                "'|O'",
                "99999999999",
            ],
            read: import,
        },
        Target {
            name: "long_table",
            file: "dynamics.csv",
            seeds: vec![long.into()],
            others: vec![],
            words: &["guid", "epoch", "prob_0", ",", "\n", "\"", "-1", "NaN"],
            read: |_, path| DynamicsFiles::find(path, None)?.read(None).map(|_| ()),
        },
        Target {
            name: "dynamics",
            file: "training_dynamics/epoch=1/part-0.parquet",
            seeds: vec![fixture("trainer_dynamics/epoch=1/part-0.parquet")],
            others: vec![(
                "training_dynamics/epoch=0/part-0.parquet",
                fixture("trainer_dynamics/epoch=0/part-0.parquet"),
            )],
            words: &[],
            read: |folder, _| {
                let folder = folder.join("training_dynamics");
                map_of_dynamics(&folder, None, Variability::Plain).map(|_| ())
            },
        },
        Target {
            name: "map_csv",
            file: "map.csv",
            seeds: vec![map.into()],
            others: vec![],
            words: &[",", "\"", "\n", "guid", "inf"],
            read: read_table,
        },
        Target {
            name: "map_jsonl",
            file: "map.jsonl",
            seeds: vec![map_lines.into()],
            others: vec![],
            words: JSON,
            read: read_table,
        },
        Target {
            name: "map_pickle",
            file: "map.pickle",
            seeds: vec![pickle],
            others: vec![],
            words: &[
                "cposix\nsystem\n",
                "(",
                "}",
                "]",
                "u",
                "e",
                ".",
                "h\0",
                "\u{8c}",
            ],
            read: read_table,
        },
        Target {
            name: "table_parquet",
            file: "map.parquet",
            seeds: vec![fixture("parquet/types.parquet")],
            others: vec![],
            words: &[],
            read: |_, path| Table::read(path).map(|_| ()),
        },
    ]
}

fn fixture_path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixture_path(name)).unwrap()
}
