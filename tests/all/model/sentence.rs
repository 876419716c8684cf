//! Folders of sentence-transformers.

use std::fs;
use std::path::Path;
use std::process::Command;

use enginora_rs::error::ErrorKind;
use enginora_rs::model::{SentenceTransformer, sentence_transformer, transformer_folder};

use super::fixture;
use crate::scratch::Scratch;

/// As sentence-transformers 5 writes it, the encoder's folder left out.
const MODULES: &str = r#"[
  {"idx": 0, "name": "0", "path": "PATH", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
]"#;

/// A sentence-transformer whose encoder is in this folder of it.
fn folder(encoder: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("model/modules.json", MODULES.replace("PATH", encoder));
    scratch.write("model/1_Pooling/config.json", "{}");
    // Old ones have a config of their own beside the encoder's folder.
    scratch.write("model/config.json", r#"{"__version__": "0.3.8"}"#);
    let inside = Path::new("model").join(encoder);
    for name in ["config.json", "vocab.txt", "model.safetensors"] {
        let bytes = fs::read(fixture("bert-tiny").join(name)).unwrap();
        scratch.write(inside.join(name).to_str().unwrap(), bytes);
    }
    let settings = inside.join("sentence_bert_config.json");
    scratch.write(
        settings.to_str().unwrap(),
        r#"{"max_seq_length": 16, "do_lower_case": false}"#,
    );
    scratch
}

#[test]
fn the_encoder_is_found_where_the_modules_say() {
    for encoder in ["", "0_Transformer"] {
        let scratch = folder(encoder);
        let found = transformer_folder(&scratch.at("model")).unwrap();
        assert_eq!(found, scratch.at("model").join(encoder));
        let length = Some(16);
        let expected = SentenceTransformer {
            max_seq_length: length,
        };
        assert_eq!(sentence_transformer(&found), Some(expected));
    }
    // A folder of any other kind is its own.
    let plain = fixture("bert-tiny");
    assert_eq!(transformer_folder(&plain).unwrap(), plain);
    assert_eq!(sentence_transformer(&plain), None);
}

#[test]
fn modules_that_name_no_encoder_are_refused() {
    let scratch = folder("");
    for (modules, words) in [
        ("[", "not valid JSON"),
        ("[]", "the first module, null, is no folder"),
        (
            r#"[{"path": "0_WordEmbeddings", "type": "x.WordEmbeddings"}]"#,
            "\"x.WordEmbeddings\"",
        ),
        (r#"[{"path": "../model", "type": "x"}]"#, "is no folder"),
    ] {
        scratch.write("model/modules.json", modules);
        let error = transformer_folder(&scratch.at("model")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_run_starts_from_a_sentence_transformer() {
    let scratch = folder("0_Transformer");
    scratch.write(
        "train.csv",
        "text,label\ngood film,1\nbad film,0\nthe good story,1\n",
    );
    scratch.write(
        "run.yaml",
        "data: {output_dir: out}\nmodel: {model_name: model, max_length: 24}\ntraining: {dataset_path: train.csv}\n",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_enginora-rs"))
        .args(["loop", "--config", "run.yaml"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for words in [
        "the model is a sentence-transformer's",
        "made for texts of up to 16 tokens; `model.max_length` is 24",
    ] {
        assert!(said.contains(words), "{said}");
    }
}
