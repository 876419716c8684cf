//! The configs in `configs/`: each is accepted as it is where its data lies where it says.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::project::Project;

/// The folder of the configs.
fn configs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/configs"))
}

/// So many rows with a header, tabs between the cells; `{i}` is the row and `{label}` its label,
/// each of which is as frequent.
fn table(header: &str, row: &str, labels: &[&str], n: usize) -> String {
    let mut text = header.replace(' ', "\t") + "\n";
    for i in 0..n {
        let label = labels[i % labels.len()];
        let row = row.replace("{i}", &i.to_string()).replace("{label}", label);
        let _ = writeln!(text, "{}", row.replace(" | ", "\t"));
    }
    text
}

/// What `validate` says of a shipped config, run in the project.
fn validated(project: &Project, name: &str, settings: &[&str]) -> String {
    let config = configs().join(name);
    let mut arguments = vec!["validate", "--config", config.to_str().unwrap()];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    project.succeed(&arguments)
}

/// More of a file than any of the shares that configs take of it.
const N: usize = 400;

#[test]
fn the_papers_configs_accept_files_of_their_columns() {
    let nli = ["entailment", "neutral", "contradiction"];
    let project = Project::new();
    let snli = |n: usize| {
        table(
            "index captionID pairID sentence1 sentence2 label1 gold_label",
            "{i} | c{i} | p{i} | A man is \"out{i} | A man | neutral | {label}",
            &nli,
            n,
        )
    };
    for set in ["train", "dev", "test", "diagnostics"] {
        project.write(&format!("data/glue/SNLI/{set}.tsv"), &snli(N));
    }
    for set in ["train", "dev_matched", "dev_mismatched"] {
        project.write(&format!("data/glue/MNLI/{set}.tsv"), &snli(N));
    }
    let qnli = table(
        "index question sentence label",
        "{i} | Who is it{i}? | It is \"me. | {label}",
        &["entailment", "not_entailment"],
        N,
    );
    for set in ["train", "dev"] {
        project.write(&format!("data/glue/QNLI/{set}.tsv"), &qnli);
    }
    let mut questions = String::new();
    for i in 0..N {
        let _ = writeln!(
            questions,
            "{{\"qID\": \"q{i}\", \"sentence\": \"The cup missed the bag as _ was {i}.\", \
             \"option1\": \"the cup\", \"option2\": \"the bag\", \"answer\": \"{}\"}}",
            1 + i % 2
        );
    }
    for set in ["train_xl", "dev", "wsc"] {
        project.write(&format!("data/winogrande/{set}.jsonl"), &questions);
    }
    for (config, test, control) in [
        ("snli", "test.tsv", Some("diagnostics.tsv")),
        ("mnli", "dev_matched.tsv", Some("dev_mismatched.tsv")),
        ("qnli", "dev.tsv", None),
        ("winogrande", "dev.jsonl", Some("wsc.jsonl")),
    ] {
        let said = validated(&project, &format!("paper/{config}.yaml"), &[]);
        let class = if config == "winogrande" {
            "1, 2"
        } else {
            "entailment"
        };
        for expected in [Some(test), control, Some("roberta-large"), Some(class)] {
            let expected = expected.unwrap_or_default();
            assert!(said.contains(expected), "{config}: {expected}\n{said}");
        }
    }
}

#[test]
fn the_configs_of_smaller_experiments_accept_files_of_their_columns() {
    let project = Project::new();
    let reviews = table("sentence label", "\"it 's {i} | {label}", &["0", "1"], N);
    for set in ["train_full", "dev", "test-labeled"] {
        project.write(&format!("data/sst2/{set}.tsv"), &reviews);
    }
    for domain in ["books", "dvd", "electronics", "kitchen"] {
        project.write(&format!("data/blitzer/{domain}/test-labeled.tsv"), &reviews);
    }
    let scored = reviews.replacen("label", "score", 1);
    for site in ["amazon_cells", "yelp"] {
        project.write(&format!("data/sentlab/{site}_labelled.txt"), &scored);
    }
    let scratch = "model.model_name=scratch";
    let said = validated(&project, "sst2-subsets.yaml", &[scratch]);
    assert!(
        said.contains("control_yelp") && said.contains("400 examples"),
        "{said}"
    );

    let data = format!(
        "data.data_dir={}/data/mr_products",
        env!("CARGO_MANIFEST_DIR")
    );
    let said = validated(&project, "mr-subsets.yaml", &[scratch, &data]);
    assert!(
        said.contains("6,000 examples") && said.contains("control_proscons"),
        "{said}"
    );
}

#[test]
fn every_config_opens_with_the_command_that_runs_it() {
    let folders = [configs().to_owned(), configs().join("paper")];
    let mut n_configs = 0;
    for folder in folders {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let text = match path.extension() {
                Some(extension) if extension == "yaml" => fs::read_to_string(&path).unwrap(),
                _ => continue,
            };
            // The manifest of a cluster's job is no config of ours.
            if text.contains("\napiVersion:") {
                continue;
            }
            let comment = text.lines().take_while(|line| line.starts_with('#'));
            let comment = comment.collect::<Vec<_>>().join("\n");
            let below = path.strip_prefix(configs()).unwrap().display().to_string();
            assert!(
                comment.contains(&format!("--config configs/{below}")),
                "{below}"
            );
            n_configs += 1;
        }
    }
    assert!(n_configs >= 8, "{n_configs}");
}
