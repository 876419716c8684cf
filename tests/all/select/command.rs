//! Programs that pick; each is a line for the shell.

use std::time::{Duration, Instant};

use enginora_rs::config::{CommandSpec, Program, SelectorSpec};
use enginora_rs::data::{Dataset, Subset};
use enginora_rs::error::{Error, ErrorKind};
use enginora_rs::select::Selection;

use super::{dataset, map, no_map, run_on};

fn shell(line: &str) -> CommandSpec {
    CommandSpec {
        program: Program::Shell(line.to_owned()),
        timeout: None,
        signals: false,
    }
}

fn ask(spec: CommandSpec, dataset: &mut Dataset, start: Subset) -> Result<Selection, Error> {
    run_on(&[SelectorSpec::Command(spec)], dataset, start, &mut no_map)
}

/// What a line of shell picks of four examples, as guids in its order.
fn picked(line: &str) -> Result<String, String> {
    let mut data = dataset(4);
    let all = data.all();
    let selection = ask(shell(line), &mut data, all).map_err(|error| error.to_string())?;
    let order = selection.order.unwrap();
    assert_eq!(selection.subset, Subset::from(order.clone()));
    let guids = order
        .iter()
        .map(|i| data.examples[*i as usize].guid.clone());
    Ok(guids.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_command_picks_by_printing_guids() {
    for (line, expected) in [
        ("echo ex-2", "ex-2"),
        ("printf 'ex-3\\nex-0\\nex-1'", "ex-3 ex-0 ex-1"),
        // Blank lines and Windows' line ends are nothing.
        ("printf '\\n  ex-3 \\r\\n\\nex-1\\r\\n'", "ex-3 ex-1"),
        (
            "echo '{\"guid\": \"ex-1\", \"index\": 1, \"more\": [1]}'",
            "ex-1",
        ),
        // What was read may be printed as it is, with its label.
        ("tac", "ex-3 ex-2 ex-1 ex-0"),
        ("sed -n 2p", "ex-1"),
        (
            "sed 's/.*\"guid\":\"\\([^\"]*\\)\".*/\\1/' | sort -r | head -n 2",
            "ex-3 ex-2",
        ),
        // A program that reads nothing, and closes its input.
        ("exec <&-; echo ex-0", "ex-0"),
        ("echo ex-0; echo 'a word' >&2", "ex-0"),
    ] {
        assert_eq!(picked(line).as_deref(), Ok(expected), "{line}");
    }
}

#[test]
fn a_command_sees_the_examples_as_json_lines() {
    let mut data = dataset(4);
    data.examples[2].text = "a \"quoted\"\nline, ü".to_owned();
    data.examples[2].text_pair = Some("second".to_owned());
    let start = Subset::from(vec![1, 2]);
    let script = "cat >&2; exit 3";
    let error = ask(shell(script), &mut data, start.clone()).unwrap_err();
    let expected = "0.command: the command `cat >&2; exit 3` failed: exit status: 3; the last that it said:\n    \
        {\"guid\":\"ex-1\",\"index\":1,\"text\":\"a text\",\"label\":\"pos\",\"stage\":\"train\"}\n    \
        {\"guid\":\"ex-2\",\"index\":2,\"text\":\"a \\\"quoted\\\"\\nline, ü\",\"text_pair\":\"second\",\"label\":\"neg\",\"stage\":\"train\"}";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), ErrorKind::Data);

    // With the map's signals; NaN is null.
    let with_signals = CommandSpec {
        signals: true,
        ..shell(script)
    };
    let mut with_gap = map(4);
    with_gap.others[0].1[3] = f64::NAN;
    let mut of_map = || Ok(with_gap.clone());
    let error = run_on(
        &[SelectorSpec::Command(with_signals)],
        &mut data,
        start,
        &mut of_map,
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("\"stage\":\"train\",\"signals\":{\"confidence\":"),
        "{error}"
    );
    assert!(error.contains(",\"aum\":null}}"), "{error}");
    assert!(error.contains(",\"aum\":2.0}}"), "{error}");
}

#[test]
fn a_command_may_give_new_texts() {
    let mut data = dataset(4);
    data.examples[1].text_pair = Some("second".to_owned());
    let all = data.all();
    let script = r#"
        echo '{"guid": "ex-3", "text": "a new text", "label": "pos"}'
        echo '{"guid": "ex-1", "text": "a text", "text_pair": "a new second"}'
        echo '{"guid": "ex-0", "text": "a text", "text_pair": null}'"#;
    let selection = ask(shell(script), &mut data, all).unwrap();
    assert_eq!(selection.order.as_deref(), Some(&[3, 1, 0][..]));
    let texts = |i: usize| {
        let example = &data.examples[i];
        (example.text.as_str(), example.text_pair.as_deref())
    };
    assert_eq!(texts(3), ("a new text", None));
    assert_eq!(texts(1), ("a text", Some("a new second")));
    assert_eq!(texts(0), ("a text", None));
    let changed: Vec<_> = selection
        .new_texts
        .iter()
        .map(|new| {
            (
                new.index,
                new.text_before.as_str(),
                new.text_pair_before.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        changed,
        [(3, "a text", None), (1, "a text", Some("second"))]
    );
    assert_eq!(selection.steps[0].n_new_texts, 2);
    assert_eq!(selection.dropped.len(), 1);
    assert_eq!(&*selection.dropped[0].reason, "not printed by the command");
}

#[test]
fn what_makes_no_sense_is_an_error_that_says_which_line() {
    for (line, expected) in [
        (
            "echo ex-1; echo ex-7",
            "printed `ex-7` on line 2, which is the id of none of the 4 examples that it was given",
        ),
        (
            "printf 'ex-1\\n\\nex-1\\n'",
            "printed `ex-1` twice, on lines 1 and 3",
        ),
        (
            "printf 'ex-1\\n\\377\\n'",
            "printed invalid UTF-8 on line 2",
        ),
        (
            "echo '{\"guid\": 3.5}'",
            "printed an object without a `guid` on line 1",
        ),
        (
            "echo '{\"text\": \"a\"}'",
            "printed an object without a `guid` on line 1",
        ),
        (
            "echo '{\"guid\": \"ex-1\"'",
            "printed `{\"guid\": \"ex-1\"` on line 1, which is not JSON: EOF while parsing an object at line 1 column 15",
        ),
        (
            "echo '{\"guid\": \"ex-1\", \"text\": 3}'",
            "printed a `text` on line 1 that is no string",
        ),
        (
            "echo '{\"guid\": \"ex-1\", \"text_pair\": \"b\"}'",
            "printed a `text_pair` on line 1, but `ex-1` has no second text",
        ),
        (
            "echo '{\"guid\": \"ex-1\", \"label\": \"neg\"}'",
            "printed another label on line 1: \"neg\" for `ex-1`, whose label is \"pos\"; labels cannot be changed",
        ),
        ("exit 4", "failed: exit status: 4"),
        ("kill -9 $$", "failed: signal: 9 (SIGKILL)"),
    ] {
        let expected = format!("0.command: the command `{line}` {expected}");
        assert_eq!(picked(line), Err(expected));
    }
    let error = picked("true").unwrap_err();
    let expected = "train.csv: the selectors leave no example: `command` takes none of 4";
    assert_eq!(error, expected);
    // Of many lines on standard error the last ten are shown.
    let error = picked("i=0; while [ $i -lt 20 ]; do echo said $i >&2; i=$((i+1)); done; false")
        .unwrap_err();
    assert!(!error.contains("said 9\n") && error.ends_with("said 10\n    said 11\n    said 12\n    said 13\n    said 14\n    said 15\n    said 16\n    said 17\n    said 18\n    said 19"), "{error}");
}

#[test]
fn arguments_reach_a_program_as_they_are() {
    let words = ["sh", "-c", "printf '%s\\n' \"$1\"", "name", "ex-2 $HOME"];
    let program = Program::Arguments(words.map(str::to_owned).to_vec());
    let mut data = dataset(4);
    data.examples[0].guid = "ex-2 $HOME".to_owned();
    let all = data.all();
    let spec = CommandSpec {
        program,
        ..shell("")
    };
    let selection = ask(spec, &mut data, all.clone()).unwrap();
    assert_eq!(selection.subset.indices(), [0]);

    let spec = CommandSpec {
        program: Program::Arguments(vec!["no-such-program-here".to_owned()]),
        ..shell("")
    };
    let error = ask(spec, &mut data, all).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput);
    let expected = "0.command: there is no program `no-such-program-here`\n  hint: ";
    assert!(error.to_string().starts_with(expected), "{error}");
}

/// Far more than the pipes hold, both ways at once.
#[test]
fn neither_side_waits_for_the_other() {
    let mut data = dataset(20_000);
    for example in &mut data.examples {
        example.text = "w ".repeat(30);
    }
    let all = data.all();
    for (line, n) in [
        ("cat", 20_000),
        ("cat | tee /dev/stderr", 20_000),
        ("head -n 1", 1),
    ] {
        let line = line.replace("/dev/stderr", "/dev/null");
        let selection = ask(shell(&line), &mut data, all.clone()).unwrap();
        assert_eq!(selection.subset.len(), n, "{line}");
        assert_eq!(selection.dropped.len(), 20_000 - n);
    }
    // One that prints without end is stopped at its first wrong line.
    let error = ask(shell("yes"), &mut data, all).unwrap_err();
    assert!(
        error.to_string().contains("printed `y` on line 1,"),
        "{error}"
    );
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_what_it_started() {
    let start = Instant::now();
    for line in [
        "sleep 60",
        "sleep 60 | cat",
        "echo ex-1; exec >&-; sleep 60",
        "sleep 60 & echo ex-1",
    ] {
        let spec = CommandSpec {
            timeout: Some(Duration::from_millis(200)),
            ..shell(line)
        };
        let mut data = dataset(4);
        let all = data.all();
        let error = ask(spec, &mut data, all).unwrap_err().to_string();
        let expected =
            format!("0.command: the command `{line}` did not end within 0.2 s, and was killed");
        assert_eq!(error, expected);
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    let spec = CommandSpec {
        timeout: Some(Duration::from_secs(60)),
        ..shell("echo ex-1")
    };
    let mut data = dataset(4);
    let all = data.all();
    assert_eq!(ask(spec, &mut data, all).unwrap().subset.len(), 1);
}
