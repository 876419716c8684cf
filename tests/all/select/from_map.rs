//! The command `select`: guids or rows of a data file, from a map.

use std::fs;
use std::path::Path;

use enginora_rs::data::{Column, Table};

use crate::project::{LOOP, Project, tiny_project};

/// A map of six examples, `a` to `f`, without an index.
const MAP: &str = "\
guid,label,confidence,variability,my-score
a,neg,0.1,0.1,6
b,pos,0.2,0.5,5
c,neg,0.3,0.4,4
d,pos,0.7,0.3,3
e,neg,0.8,0.2,2
f,pos,0.9,0.0,1
";

/// Their data, in another order, with cells that are easily spoilt.
const DATA: &str = "\
id,text,label\r
f,\"one, two\",pos\r
e,\"a \"\"quoted\"\" word\",neg\r
d,\"two\r
lines\",pos\r
x,not on the map,pos\r
c, spaces ,neg\r
b,plain,pos\r
a,last,neg";

fn project() -> Project {
    let project = Project::new();
    project.write("map.csv", MAP);
    project.write("data.csv", DATA);
    project
}

/// Selects in the project; what was said, after success.
fn select(project: &Project, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = project.run(&[&["select"], &arguments[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(output.stdout.is_empty());
    said
}

#[test]
fn guids_are_written_in_the_order_of_picking() {
    for (arguments, expected) in [
        ("--fraction ambiguous=0.5", "b c d"),
        (
            "--fraction hard-to-learn=0.34 --fraction easy-to-learn=0.34",
            "a b f e",
        ),
        ("--fraction high_my_score=0.34", "a b"),
        ("--fraction low-my-score=0.34", "f e"),
        ("--fraction both_ends_confidence=1", "a b c d f e"),
        ("--fraction ambiguous=0.67 --per-class", "c e b d"),
        ("--fraction ambiguous=0.67 --min-easy 0.3", "f e b c"),
    ] {
        let project = project();
        let said = select(&project, &format!("map.csv {arguments} --output picks.txt"));
        let lines = expected.replace(' ', "\n") + "\n";
        assert_eq!(project.read("picks.txt"), lines, "{arguments}");
        assert!(said.ends_with("examples are in picks.txt\n"), "{said}");
    }
}

#[test]
fn what_was_picked_is_said_rule_by_rule() {
    let project = project();
    let rules = "--fraction random=0.34 --fraction ambiguous=0.17 --min-easy 0.5";
    let said = select(
        &project,
        &format!("map.csv {rules} --per-class --output p.csv"),
    );
    assert!(!project.read("p.csv").is_empty());
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(
        said,
        [
            "of the picks at least 0.5 are by easy_to_learn, in the places of the last rules' picks",
            "easy_to_learn: 2 of 6 examples (0), confidence 0.8000 to 0.9000; by class: neg 1, pos 1",
            "ambiguous: 0 of 6 examples (0.17); by class: neg 0, pos 0",
            "random: 0 of 6 examples (0.34); by class: neg 0, pos 0",
            "2 examples are in p.csv",
        ]
    );
}

#[test]
fn every_pick_says_where_it_comes_from() {
    let project = project();
    let rules =
        "--fraction hard_to_learn=0.34 --fraction high_my-score=0.17 --fraction random=0.17";
    select(&project, &format!("map.csv {rules} --output picks.csv"));
    let picks = project.read("picks.csv");
    let (picks, random) = picks.trim_end().rsplit_once('\n').unwrap();
    let expected =
        "guid,rule,rank,score\na,hard_to_learn,1,0.1\nb,hard_to_learn,2,0.2\nc,high_my_score,1,4.0";
    assert_eq!(picks, expected);
    assert!(random.ends_with(",random,1,"), "{random}");

    select(
        &project,
        &format!("map.csv {rules} --data data.csv --output part.csv --provenance why.csv"),
    );
    assert_eq!(project.read("why.csv"), project.read("picks.csv"));
    select(
        &project,
        "map.csv --fraction ambiguous=0.67 --per-class --output picks.tsv",
    );
    let expected =
        "guid\trule\tclass\trank\tscore\nc\tambiguous\tneg\t1\t0.4\ne\tambiguous\tneg\t2\t0.2\n";
    assert!(project.read("picks.tsv").starts_with(expected));
    for name in ["p.parquet", "p.jsonl", "p.pickle"] {
        select(&project, &format!("map.csv {rules} --output {name}"));
        let table = Table::read(&project.path().join(name)).unwrap();
        assert_eq!(
            table.names().collect::<Vec<_>>(),
            ["guid", "rule", "rank", "score"]
        );
        assert_eq!(table.reals("score").unwrap()[..2], [0.1, 0.2]);
        assert!(table.reals("score").unwrap()[3].is_nan());
    }
}

#[test]
fn rows_of_the_data_file_keep_their_bytes_and_order() {
    let project = project();
    let said = select(
        &project,
        "map.csv --fraction ambiguous=0.5 --data data.csv --output part.csv",
    );
    let expected = "id,text,label\r\nd,\"two\r\nlines\",pos\r\nc, spaces ,neg\r\nb,plain,pos\r\n";
    assert_eq!(project.read("part.csv"), expected);
    assert!(
        said.contains("the guids of data.csv are the column `id`"),
        "{said}"
    );
}

#[test]
fn a_data_set_in_several_files_becomes_one() {
    let project = project();
    let (first, second) = DATA.split_at(DATA.find("x,not").unwrap());
    project.write("part-1.csv", first);
    project.write("part-2.csv", &format!("id,text,label\r\n{second}"));
    let rule = "map.csv --fraction ambiguous=0.67";
    select(
        &project,
        &format!("{rule} --data data.csv --output whole.csv"),
    );
    for data in ["--data part-1.csv --data part-2.csv", "--data part-*.csv"] {
        select(&project, &format!("{rule} {data} --output parts.csv"));
        assert_eq!(project.read("parts.csv"), project.read("whole.csv"));
        fs::remove_file(project.path().join("parts.csv")).unwrap();
    }
    fails(
        &project,
        &format!("{rule} --data part-1.csv --data part-2.csv --output part-2.csv"),
        2,
        "`part-2.csv` is to be read and written",
    );
    fails(
        &project,
        &format!("{rule} --data part-3*.csv --output p.csv"),
        66,
        "part-3*.csv: no file matches",
    );
}

/// A loss is infinite where the probability is 0: no loss is larger.
#[test]
fn an_infinite_value_is_the_largest() {
    let project = Project::new();
    for (name, rows) in [
        ("map.csv", "guid,loss\na,1.5\nb,inf\nc,0.5\nd,inf\n"),
        (
            "map.jsonl",
            "{\"guid\":\"a\",\"loss\":1.5}\n{\"guid\":\"b\",\"loss\":\"inf\"}\n{\"guid\":\"c\",\"loss\":0.5}\n{\"guid\":\"d\",\"loss\":\"inf\"}\n",
        ),
    ] {
        project.write(name, rows);
        select(
            &project,
            &format!("{name} --fraction high_loss=0.75 --output p.csv"),
        );
        let expected =
            "guid,rule,rank,score\nb,high_loss,1,inf\nd,high_loss,2,inf\na,high_loss,3,1.5\n";
        assert_eq!(project.read("p.csv"), expected);
        select(
            &project,
            &format!("{name} --fraction low_loss=0.5 --output p.txt"),
        );
        assert_eq!(project.read("p.txt"), "c\na\n");
    }
    project.write("map.csv", "guid,confidence\na,0.5\nb,inf\n");
    fails(
        &project,
        "map.csv --fraction low_confidence=0.5 --output q.txt",
        65,
        "`confidence` of row 2 is not a finite number",
    );
}

#[test]
fn dropped_examples_are_gone_before_fractions_are_taken() {
    let project = project();
    project.write("out.txt", "b\r\nd\n\nnobody\n");
    project.write(
        "out.jsonl",
        "{\"guid\":\"b\",\"x\":1}\n{\"guid\":\"d\",\"x\":2}\n",
    );
    for drop in ["out.txt", "out.jsonl"] {
        let said = select(
            &project,
            &format!("map.csv --drop {drop} --fraction ambiguous=0.5 --output picks.txt"),
        );
        assert_eq!(project.read("picks.txt"), "c\ne\n", "{drop}");
        let warning = "warning: out.txt: 1 of 3 guids are not in the map\n";
        assert_eq!(said.contains(warning), drop == "out.txt", "{said}");
        let left = format!("2 of 6 examples are left out by {drop}\n");
        assert!(said.contains(&left), "{said}");
    }
    // Of a reader's marks only the mislabelled ones go.
    project.write(
        "marks.csv",
        "guid,mark,label,note\nb,mislabelled,1,\"no, \"\"b\"\"\"\nc,keep,0,\nd,mislabelled,0,\ne,,0,a note\n",
    );
    select(
        &project,
        "map.csv --drop marks.csv --fraction ambiguous=0.5 --output marked.txt",
    );
    assert_eq!(project.read("marked.txt"), "c\ne\n");
    // One selection can follow another.
    select(
        &project,
        "map.csv --fraction ambiguous=0.5 --output first.csv",
    );
    select(
        &project,
        "map.csv --drop first.csv --fraction ambiguous=1 --output rest.txt",
    );
    assert_eq!(project.read("rest.txt"), "e\na\nf\n");
}

#[test]
fn ties_go_to_the_smaller_index_wherever_it_stands() {
    let project = Project::new();
    let row = |guid: &str, index: u32| format!("{guid},{index},0.5,0.5\n");
    let rows = [("a", 3), ("b", 0), ("c", 2), ("d", 1)];
    let rows: String = rows.iter().map(|(guid, index)| row(guid, *index)).collect();
    project.write(
        "map.csv",
        &format!("guid,index,confidence,variability\n{rows}"),
    );
    select(&project, "map.csv --fraction ambiguous=0.5 --output p.txt");
    assert_eq!(project.read("p.txt"), "b\nd\n");
    for (bad, expected) in [
        (
            "3",
            "`index` of row 4 is 3; expected whole numbers from 0, each once",
        ),
        ("0.5", "`index` of row 4 is 0.5"),
        ("-1", "`index` of row 4 is -1"),
        ("x", "`index` holds other things than numbers"),
    ] {
        let text = project
            .read("map.csv")
            .replace("d,1,", &format!("d,{bad},"));
        project.write("bad.csv", &text);
        fails(
            &project,
            "bad.csv --fraction ambiguous=0.5 --output q.txt",
            65,
            expected,
        );
    }
}

/// Selects in the project, which must fail and leave nothing.
fn fails(project: &Project, arguments: &str, code: i32, expected: &str) {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = project.run(&[&["select"], &arguments[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
    let last = arguments.last().unwrap();
    assert!(
        !project.path().join(last).exists() || said.contains("is to be read"),
        "{last}"
    );
}

#[test]
fn what_cannot_be_selected_is_an_error_that_says_why() {
    let project = project();
    project.write("plain.csv", "guid,confidence\na,0.1\nb,0.2\n");
    project.write("gap.csv", "guid,confidence\na,0.1\nb,\n");
    project.write("twice.csv", "guid,confidence\na,0.1\na,0.2\n");
    project.write("short.csv", "id,text,label\na,a text,neg\nb,a text,neg\n");
    project.write(
        "unnamed.csv",
        "uid,words,stars\na,a text,neg\nb,a text,neg\n",
    );
    project.write("strangers.txt", "y\nz\n");
    project.write("empty.csv", "");
    fs::create_dir(project.path().join("folder")).unwrap();
    for (arguments, code, expected) in [
        ("--fraction ambiguous=0.5 --output p.txt", 2, "<MAP>"),
        ("map.csv --output p.txt", 2, "--fraction <RULE=F>"),
        (
            "map.csv --fraction ambiguos=1 --output p.txt",
            2,
            "did you mean `ambiguous`?",
        ),
        (
            "map.csv --fraction random=1.5 --output p.txt",
            2,
            "expected a number from 0 to 1",
        ),
        (
            "map.csv --fraction random=0.5 --fraction ambiguous=0.6 --output p.txt",
            2,
            "error: the fractions add up to 1.1; expected at most 1",
        ),
        (
            "nowhere.csv --fraction ambiguous=0.5 --output p.txt",
            66,
            "nowhere.csv: cannot read",
        ),
        (
            "folder --fraction ambiguous=0.5 --output p.txt",
            66,
            "folder: no data map in this folder; looked for `folder/data_map.parquet`, ",
        ),
        (
            "empty.csv --fraction ambiguous=0.5 --output p.txt",
            65,
            "no column `guid`",
        ),
        (
            "twice.csv --fraction random=1 --output p.txt",
            65,
            "the example `a` is in the map twice",
        ),
        (
            "gap.csv --fraction low_confidence=0.5 --output p.txt",
            65,
            "gap.csv: `confidence` of row 2 is not a finite number",
        ),
        (
            "plain.csv --fraction ambiguous=0.5 --output p.txt",
            65,
            "no column `variability`; it has guid, confidence",
        ),
        (
            "map.csv --fraction high_aum=0.5 --output p.txt",
            2,
            "map.csv: the map has no column `aum`, which a rule ranks by\n  hint: rules rank by ",
        ),
        (
            "map.csv --fraction high_myscore=0.5 --output p.txt",
            2,
            "hint: rules rank by my-score, ",
        ),
        (
            "map.csv --fraction low_label=0.5 --output p.txt",
            2,
            "map.csv: the map's column `label`, which a rule ranks by, does not hold numbers",
        ),
        (
            "plain.csv --fraction low_confidence=0.5 --per-class --output p.txt",
            65,
            "no column `label` or `gold` says the classes; the map has guid, confidence",
        ),
        (
            "map.csv --fraction ambiguous=0.1 --output p.txt",
            65,
            "map.csv: the rules pick no example: the fractions are too small for 6 examples",
        ),
        (
            "map.csv --fraction ambiguous=1 --drop strangers.txt --output p.txt",
            65,
            "strangers.txt: none of its 2 guids is in the map",
        ),
        (
            "map.csv --fraction ambiguous=1 --drop data.csv --output p.txt",
            65,
            "data.csv: no column `guid`",
        ),
        (
            "map.csv --fraction ambiguous=1 --drop map.csv --output p.txt",
            65,
            "map.csv: there is no example to pick from",
        ),
        (
            "map.csv --fraction ambiguous=1 --output p.xlsx",
            65,
            "`.txt` gets the guids one a line",
        ),
        (
            "map.csv --fraction ambiguous=1 --id-column x --output p.txt",
            2,
            "--data",
        ),
        (
            "map.csv --fraction ambiguous=1 --data data.csv --output p.jsonl",
            2,
            "`p.jsonl` has another format than `data.csv`",
        ),
        (
            "map.csv --fraction ambiguous=1 --data data.csv --output data.csv",
            2,
            "`data.csv` is to be read and written",
        ),
        (
            "map.csv --fraction ambiguous=1 --output ./map.csv",
            2,
            "is to be read and written",
        ),
        (
            "map.csv --fraction ambiguous=1 --provenance p.csv --output p.csv",
            2,
            "`p.csv` is to be written twice",
        ),
        (
            "map.csv --fraction ambiguous=1 --data short.csv --output p.csv",
            65,
            "short.csv: 4 of 6 selected examples are not there, the first of them `c`; the guids are the column `id`",
        ),
        (
            "map.csv --fraction ambiguous=1 --data data.csv --id-column words --output p.csv",
            65,
            "data.csv:1: no column `words` for `data.id_column`",
        ),
        (
            "map.csv --fraction ambiguous=1 --data nowhere.csv --output p.csv",
            66,
            "nowhere.csv: cannot read",
        ),
    ] {
        fails(&project, arguments, code, expected);
    }
    assert_eq!(project.read("data.csv"), DATA);
    assert_eq!(project.read("map.csv"), MAP);
    let named = "--data unnamed.csv --id-column uid --output p.csv";
    select(
        &project,
        &format!("map.csv --fraction hard_to_learn=0.34 {named}"),
    );
    assert_eq!(project.read("p.csv"), project.read("unnamed.csv"));
}

/// The rows `guid, rule or region, rank, score` of a table.
fn provenance(path: &Path, rule: &str) -> Vec<(String, String, i64, String)> {
    let table = Table::read(path).unwrap();
    let texts = |name: &str| table.texts(name).unwrap();
    let (guids, rules, ranks, scores) = (texts("guid"), texts(rule), texts("rank"), texts("score"));
    let rows = guids.into_iter().zip(rules).zip(ranks).zip(scores);
    rows.map(|(((guid, rule), rank), score)| (guid, rule, rank.parse().unwrap(), score))
        .collect()
}

#[test]
fn a_finished_run_is_selected_from_as_the_next_run_would() {
    let project = tiny_project();
    project.succeed(&LOOP);
    let shares = "hard_to_learn: 0.11, easy_to_learn: 0.2, ambiguous: 0.3, random: 0.25";
    let selectors = format!("training.selectors=[{{name: data_cartography, args: {{{shares}}}}}]");
    let once = [
        "--set",
        &selectors,
        "--set",
        "training.perform_data_cartography=false",
    ];
    project.succeed(&[&LOOP[..], &once, &["--set", "training.epochs=1"]].concat());
    let expected = provenance(&project.path().join("out/selection.csv"), "region");
    assert_eq!(expected.len(), 3 + 7 + 10 + 9);

    let rules = shares.replace(": ", "=").replace(", ", " --fraction ");
    for map in [
        "out/runs/0001",
        "out",
        "out/map.jsonl",
        "out/runs/0001/map.jsonl",
    ] {
        select(
            &project,
            &format!("{map} --fraction {rules} --seed 11 --output picks.csv"),
        );
        let picks = provenance(&project.path().join("picks.csv"), "rule");
        assert_eq!(picks, expected, "{map}");
    }
    select(
        &project,
        &format!("out --fraction {rules} --seed 11 --data train.csv --output part.csv"),
    );
    let part = project.read("part.csv");
    let taken = |line: &&str| {
        let guid = line.split(',').next().unwrap();
        guid == "id" || expected.iter().any(|(picked, ..)| picked == guid)
    };
    let train = project.read("train.csv");
    let lines: Vec<&str> = train.lines().filter(taken).collect();
    assert_eq!(part.lines().collect::<Vec<_>>(), lines);
    assert_eq!(lines.len(), 1 + expected.len());
}

#[test]
fn the_columns_of_the_run_say_which_are_the_ids() {
    let project = Project::new();
    let rows = Table::new()
        .with("guid", Column::Text(vec!["7".into(), "8".into()]))
        .with("confidence", Column::Real(vec![0.5, 0.6]));
    rows.write(&project.path().join("run/data_map.parquet"))
        .unwrap();
    project.write("data.tsv", "key\tone\ttwo\tstars\n8\ta\tb\tx\n7\tc\td\ty\n");
    let arguments = "run --fraction low_confidence=0.5 --data data.tsv --output part.tsv";
    fails(&project, arguments, 65, "the first row is an example");
    project.write(
        "run/config.resolved.yaml",
        "data: {id_column: key, text_column: one, label_column: stars}\ntraining: {dataset_path: data.tsv}\n",
    );
    select(&project, arguments);
    assert_eq!(
        project.read("part.tsv"),
        "key\tone\ttwo\tstars\n7\tc\td\ty\n"
    );
}
