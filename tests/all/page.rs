//! `report`: what the page of a run holds, decoded as its script does.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;

use enginora_rs::data::Table;
use enginora_rs::report::page::Page;
use flate2::read::ZlibDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::project::{CONFIG, LOOP, Project, sentences, tiny_project};

/// The blocks of a page by name: kind and bytes.
fn blocks(html: &str) -> BTreeMap<String, (String, Vec<u8>)> {
    let start = "<script type=\"application/octet-stream\" id=\"";
    let of_block = |block: &str| {
        let (name, rest) = block.split_once("\" data-kind=\"").unwrap();
        let (kind, rest) = rest.split_once("\">").unwrap();
        let (letters, _) = rest.split_once("</script>").unwrap();
        let width = match kind {
            "u16" => 2,
            "u32" | "f32" => 4,
            "f64" => 8,
            _ => 1,
        };
        let mut planes = Vec::new();
        let packed = from_base64(letters);
        ZlibDecoder::new(&*packed).read_to_end(&mut planes).unwrap();
        let n = planes.len() / width;
        let bytes = (0..planes.len()).map(|i| planes[(i % width) * n + i / width]);
        (name.to_owned(), (kind.to_owned(), bytes.collect()))
    };
    html.split(start).skip(1).map(of_block).collect()
}

fn from_base64(letters: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for four in letters.as_bytes().chunks(4) {
        let n = four.iter().filter(|letter| **letter != b'=').count();
        let bits = four[..n]
            .iter()
            .fold(0_u32, |bits, l| bits << 6 | u32::from(value(*l)));
        let bits = bits << (6 * (4 - n));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..n]);
    }
    bytes
}

struct Decoded {
    facts: Value,
    blocks: BTreeMap<String, (String, Vec<u8>)>,
}

impl Decoded {
    fn new(html: &str) -> Self {
        let blocks = blocks(html);
        let facts = serde_json::from_slice(&blocks["facts"].1).unwrap();
        Self { facts, blocks }
    }

    fn bytes(&self, name: &Value) -> &[u8] {
        &self.blocks[name.as_str().unwrap()].1
    }

    fn reals(&self, name: &Value) -> Vec<f64> {
        let (kind, bytes) = &self.blocks[name.as_str().unwrap()];
        match kind.as_str() {
            "f64" => {
                let values = bytes
                    .chunks(8)
                    .map(|b| f64::from_le_bytes(b.try_into().unwrap()));
                values.collect()
            }
            "f32" => {
                let values = bytes
                    .chunks(4)
                    .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                values.map(f64::from).collect()
            }
            "u16" => {
                let values = bytes
                    .chunks(2)
                    .map(|b| u16::from_le_bytes(b.try_into().unwrap()));
                values.map(f64::from).collect()
            }
            other => panic!("{other}"),
        }
    }

    fn texts(&self, names: &Value) -> Vec<String> {
        let bytes = self.bytes(&names[0]);
        let mut at = 0;
        let lengths = self.bytes(&names[1]).chunks(4);
        lengths
            .map(|length| {
                let end = at + u32::from_le_bytes(length.try_into().unwrap()) as usize;
                let text = String::from_utf8(bytes[at..end].to_vec()).unwrap();
                at = end;
                text
            })
            .collect()
    }

    fn named<'a>(&'a self, list: &str, name: &str) -> &'a Value {
        let all = self.facts["map"][list].as_array().unwrap();
        all.iter().find(|entry| entry["name"] == name).unwrap()
    }
}

#[test]
fn numbers_and_texts_come_out_of_a_page_as_they_went_in() {
    let mut page = Page::new();
    let reals = [0.1, -0.0, f64::INFINITY, 5e-324, f64::NAN];
    let names = serde_json::json!({
        "f64": page.f64s(&reals),
        "f32": page.f32s(&reals),
        "u16": page.u16s(&[0, 1, 65535]),
        "none": page.f64s(&[]),
        "texts": page.texts(["", "a\0b", "</script><!--", "\u{2028}ß"]),
    });
    page.say("map", names.clone());
    let decoded = Decoded::new(&page.to_html());
    let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&decoded.reals(&names["f64"])), bits(&reals));
    assert_eq!(decoded.reals(&names["f32"])[..1], [f64::from(0.1_f32)]);
    assert_eq!(decoded.reals(&names["u16"]), [0.0, 1.0, 65535.0]);
    assert!(decoded.reals(&names["none"]).is_empty());
    let texts = decoded.texts(&names["texts"]);
    assert_eq!(texts, ["", "a\0b", "</script><!--", "\u{2028}ß"]);
}

#[test]
fn a_policy_allows_the_page_its_own_script_and_style_and_nothing_else() {
    let html = Page::new().to_html();
    let part = |start: &str, end: &str| {
        let (_, rest) = html.split_once(start).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    };
    let hash = |text: &str| -> String {
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    let policy = part("Content-Security-Policy\" content=\"", "\"");
    let of = |name: &str| {
        let (_, rest) = policy.split_once(name).unwrap();
        let letters = rest
            .split_once("'sha256-")
            .unwrap()
            .1
            .split_once('\'')
            .unwrap()
            .0;
        let bytes = from_base64(letters);
        bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(of("script-src"), hash(&part("<script>", "</script>")));
    assert_eq!(of("style-src"), hash(&part("<style>", "</style>")));
    // What a script may not hold, as it would end it or begin a comment.
    let script = part("<script>", "</body>");
    assert_eq!(script.matches("</script").count(), 1);
    assert!(!script.contains("<!--"));
    assert!(
        !html.contains("http://") || html.matches("http://").count() == 1,
        "only SVG's name"
    );
    assert!(!html.contains("https://"));
}

#[test]
fn a_run_leaves_a_page_of_its_map_with_every_signal_and_text() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let page = Decoded::new(&project.read("out/report.html"));
    let map = Table::read(&project.path().join("out/map.jsonl")).unwrap();
    let guids = page.texts(&page.facts["map"]["guids"]);
    assert_eq!(guids, map.texts("guid").unwrap());
    for name in ["confidence", "variability"] {
        let exact = page.reals(&page.named("signals", name)["block"]);
        assert_eq!(exact, map.reals(name).unwrap(), "{name}");
    }
    for name in ["aum", "el2n", "correctness", "forgetfulness", "loss"] {
        let values = page.reals(&page.named("signals", name)["block"]);
        for (value, expected) in values.iter().zip(map.reals(name).unwrap()) {
            assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{name}");
        }
    }
    let label = page.named("categories", "label");
    assert_eq!(label["values"], serde_json::json!(["0", "1"]));
    let training = project.read("train.csv");
    for (guid, text) in guids.iter().zip(page.texts(&page.facts["map"]["texts"])) {
        assert!(training.contains(&format!("{guid},{text},")), "{guid}");
    }
    let run = &page.facts["run"];
    assert_eq!(run["history"].as_array().unwrap().len(), 7);
    assert_eq!(run["config"], project.read("out/config.resolved.yaml"));
    let confusion = &run["confusions"]["test"];
    assert_eq!(confusion["n"], 10);
    let training = &run["training_log"];
    assert_eq!(training.as_array().unwrap().len(), 3);

    // Made anew, with texts and without.
    project.succeed(&["report", "out", "--output", "a.html"]);
    let anew = Decoded::new(&project.read("a.html"));
    assert_eq!(anew.facts["map"], page.facts["map"]);
    project.succeed(&[
        "report",
        "out/map.jsonl",
        "--no-texts",
        "--output",
        "b.html",
    ]);
    let without = Decoded::new(&project.read("b.html"));
    assert!(without.facts["map"].get("texts").is_none());
    assert_eq!(without.facts["map"]["id"], page.facts["map"]["id"]);
}

#[test]
fn trajectories_are_the_softmax_of_the_dynamics_in_255ths() {
    let project = tiny_project();
    project.succeed(&LOOP);
    project.succeed(&["export", "out", "--to", "csv", "--output", "table"]);
    let page = Decoded::new(&project.read("out/report.html"));
    let trajectory = &page.facts["map"]["trajectory"];
    assert_eq!(trajectory["epochs"], serde_json::json!([1, 2, 3]));
    let probabilities = page.bytes(&trajectory["probabilities"]);
    let guids = page.texts(&page.facts["map"]["guids"]);
    let right = page.bytes(&trajectory["right"]);
    let predicted = page.reals(&trajectory["predicted"]);
    let n = guids.len();
    let table = std::fs::read_dir(project.path().join("table")).unwrap();
    let table = Table::read(&table.last().unwrap().unwrap().path()).unwrap();
    let (of_guid, epoch) = (table.texts("guid").unwrap(), table.reals("epoch").unwrap());
    let gold = table.reals("gold").unwrap();
    let logits = [
        table.reals("logits_0").unwrap(),
        table.reals("logits_1").unwrap(),
    ];
    assert_eq!(of_guid.len(), 3 * n);
    let first = epoch.iter().copied().fold(f64::INFINITY, f64::min);
    for i in 0..of_guid.len() {
        let row = guids.iter().position(|guid| *guid == of_guid[i]).unwrap();
        let epoch = (epoch[i] - first) as usize;
        for (class, other) in [(0, 1), (1, 0)] {
            let p = 1.0 / (1.0 + (logits[other][i] - logits[class][i]).exp());
            let kept = f64::from(probabilities[(epoch * 2 + class) * n + row]) / 255.0;
            assert!((kept - p).abs() < 0.5001 / 255.0, "{kept} {p}");
        }
        let best = usize::from(logits[1][i] > logits[0][i]);
        let is_right = right[row] >> epoch & 1 == 1;
        assert_eq!(is_right, best == gold[i] as usize, "{}", of_guid[i]);
        if epoch == 2 {
            assert_eq!(predicted[row] as usize, best);
        }
    }
}

#[test]
fn of_many_classes_an_example_keeps_its_own_and_the_highest() {
    let project = tiny_project();
    let mut training = String::from("id,text,label\n");
    for i in 0..48 {
        let _ = writeln!(training, "e{i},word{} word{},class{}", i % 8, i % 5, i % 8);
    }
    project.write("train.csv", &training);
    let config = CONFIG.split("testing:").next().unwrap();
    project.write("run.yaml", config);
    project.succeed(&LOOP);
    let page = Decoded::new(&project.read("out/report.html"));
    let trajectory = &page.facts["map"]["trajectory"];
    assert_eq!(trajectory["classes"].as_array().unwrap().len(), 8);
    assert_eq!(trajectory["n_slots"], 6);
    let slots = page.reals(&trajectory["slots"]);
    let gold = page.reals(&trajectory["gold"]);
    let (n, kept) = (gold.len(), page.bytes(&trajectory["probabilities"]));
    for row in 0..n {
        let classes: Vec<f64> = (0..6).map(|slot| slots[slot * n + row]).collect();
        assert!((classes[0] - gold[row]).abs() < 0.5, "{classes:?}");
        let mut distinct: Vec<u64> = classes.iter().map(|class| *class as u64).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 6);
        let peak = |slot: usize| (0..3).map(|epoch| kept[(epoch * 6 + slot) * n + row]).max();
        let peaks: Vec<_> = (1..6).map(peak).collect();
        assert!(peaks.is_sorted_by(|a, b| a >= b), "{peaks:?}");
        // The two that are left out are the least likely ones: all eight sum to 1.
        let sum: u32 = (0..6).map(|slot| u32::from(kept[slot * n + row])).sum();
        assert!((6 * 255 / 8 - 6..=261).contains(&sum), "{sum}");
    }
}

#[test]
fn a_run_without_a_map_gets_a_page_of_its_numbers() {
    let project = tiny_project();
    project.succeed(
        &[
            &LOOP[..],
            &["--set", "training.perform_data_cartography=false"],
        ]
        .concat(),
    );
    let page = Decoded::new(&project.read("out/report.html"));
    assert!(page.facts.get("map").is_none());
    assert!(page.facts["run"]["metrics"]["test"]["loss"].is_f64());
}

#[test]
fn two_runs_are_compared_by_their_guids() {
    let project = tiny_project();
    project.succeed(&LOOP);
    project.write("train.csv", &sentences("train", 44));
    let other = ["--set", "random_state=5", "--output-dir", "other"];
    project.succeed(&[&LOOP[..], &other].concat());
    project.succeed(&[
        "report",
        "out/runs/0001",
        "other",
        "--no-texts",
        "--output",
        "two.html",
    ]);
    let page = Decoded::new(&project.read("two.html"));
    let comparison = &page.facts["comparison"];
    let n = |name: &str| comparison[name].as_u64().unwrap();
    assert_eq!(n("n_shared") + n("n_only_here"), 36);
    assert_eq!(n("n_shared") + n("n_only_there"), 33);
    let there = page.reals(&comparison["signals"][0]["block"]);
    assert_eq!(
        there.iter().filter(|x| x.is_nan()).count() as u64,
        n("n_only_here")
    );
    let spearman = comparison["correlations"][0]["spearman"].as_f64().unwrap();
    assert!((-1.0..=1.0).contains(&spearman));
    assert!(page.facts["other"]["run"]["metrics"].is_object());
}

#[test]
fn hostile_texts_labels_ids_and_settings_are_no_part_of_the_markup() {
    const HOSTILE: &str = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>";
    let project = Project::new();
    let mut training = String::from("id\ttext\tlabel\n");
    for i in 0..24 {
        let label = if i % 2 == 0 {
            HOSTILE
        } else {
            "javascript:alert(1)"
        };
        let _ = writeln!(
            training,
            "{HOSTILE}{i}\t{HOSTILE} \u{202e}\u{2028} word{}\t{label}",
            i % 2
        );
    }
    project.write("train.tsv", &training);
    let config = CONFIG.split("testing:").next().unwrap();
    project.write("run.yaml", &config.replace("train.csv", "train.tsv"));
    let named = format!("training.run_name={}", serde_json::json!(HOSTILE));
    project.succeed(&[&LOOP[..], &["--set", &named]].concat());
    let html = project.read("out/report.html");
    for part in ["alert(1)", "onerror", "<img", "<!--"] {
        assert!(!html.contains(part), "{part}");
    }
    let page = Decoded::new(&html);
    let guids = page.texts(&page.facts["map"]["guids"]);
    assert!(guids.iter().all(|guid| guid.starts_with(HOSTILE)));
    assert!(
        page.facts["run"]["config"]
            .as_str()
            .unwrap()
            .contains("onerror")
    );
}

#[test]
fn a_page_that_cannot_be_made_says_why() {
    let project = tiny_project();
    project.succeed(&LOOP);
    for (arguments, code, expected) in [
        (&["report", "nowhere"][..], 66, "nowhere"),
        (
            &["report", "out", "--output", "page.txt"],
            2,
            "`page.txt` is no name of a page",
        ),
        (
            &["report", "out", "--output", "out/runs/0001/other.html"],
            2,
            "lies in a complete run, which is never changed",
        ),
    ] {
        let output = project.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
