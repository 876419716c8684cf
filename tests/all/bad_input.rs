//! What users get wrong and what breaks files: the program's whole answer, case by case.
//!
//! `tests/fixtures/bad_input/*.txt` hold the cases. Each runs the program in a small project's
//! folder (`project::tiny_project`), with the case's own files laid over it:
//!
//! ```text
//! ==== name of the case
//! loop --config run.yaml --set training.epochs=0      the command; -q is added
//! -- name                    a file with the lines that follow
//! -- name escaped            the same, but \n, \t, \\ and \xNN are what they are in Rust
//!                            and line ends are not part of it
//! -- name repeat N           the text that follows, N times
//! -- name copy FIXTURE       a file or folder below tests/fixtures; then `cut N` keeps N bytes
//!                            of a file (-N: all but N), `flip N` inverts a byte, `put N TEXT`
//!                            writes an escaped text over what is at byte N, `replace A B` puts
//!                            B for every A; blanks go in single quotes
//! -- name link TARGET        a symbolic link
//! -- name folder             an empty folder
//! ---- 78                    the exit code, and what is said
//! run.yaml:1:1: ...
//! ```
//!
//! Nothing may be left behind, but for what a `leaves` line after the command names.
//! `ENGINORA_UPDATE_EXPECTED=1` writes what is said into the files, to be read before it is
//! committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::project::{Project, tiny_project};

struct Case<'a> {
    name: &'a str,
    command: &'a str,
    leaves: Vec<&'a str>,
    given: &'a str,
    expected: &'a str,
}

#[test]
fn every_bad_input_gets_its_message_and_its_exit_code() {
    let folder = fixture("bad_input");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let mut n_cases = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let cases: Vec<Case> = text.split("\n==== ").skip(1).map(parse).collect();
        n_cases += cases.len();
        let said: Vec<String> = cases.par_iter().map(answer).collect();
        if std::env::var_os("ENGINORA_UPDATE_EXPECTED").is_some() {
            fs::write(&file, with_answers(&text, &cases, &said)).unwrap();
            continue;
        }
        for (case, said) in cases.iter().zip(&said) {
            assert_eq!(
                said,
                case.expected.trim_end_matches('\n'),
                "case: {}",
                case.name
            );
        }
    }
    assert!(n_cases >= 120, "only {n_cases} cases were read");
}

fn parse(text: &str) -> Case<'_> {
    let (given, expected) = text.split_once("\n---- ").unwrap_or((text, ""));
    let (name, given) = given.split_once('\n').unwrap_or((given, ""));
    let (command, mut given) = given.split_once('\n').unwrap_or((given, ""));
    let mut leaves = Vec::new();
    while let Some(rest) = given.strip_prefix("leaves ") {
        let (left, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        leaves.push(left);
        given = rest;
    }
    Case {
        name,
        command,
        leaves,
        given,
        expected,
    }
}

/// The exit code and what was said to standard error.
fn answer(case: &Case) -> String {
    let project = tiny_project();
    for part in format!("\n{}", case.given).split("\n-- ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        make(&project, head, body);
    }
    let before = names_below(project.path());
    let mut arguments = words(case.command);
    arguments.push("-q".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = project.run(&arguments);
    let folder = project.path().display().to_string();
    let said = String::from_utf8_lossy(&output.stderr).replace(&folder, "FOLDER");
    let code = output
        .status
        .code()
        .map_or("killed".to_owned(), |code| code.to_string());
    let mut left = names_below(project.path());
    left.retain(|name| {
        let is_expected = case
            .leaves
            .iter()
            .any(|expected| name.starts_with(expected));
        !before.contains(name) && !is_expected
    });
    let mut answer = format!("{code}\n{}", said.trim_end_matches('\n'));
    for name in left {
        write!(answer, "\nleft behind: {name}").unwrap();
    }
    answer
}

fn make(project: &Project, head: &str, body: &str) {
    let words = words(head);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let path = project.path().join(words[0]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match words[1..] {
        [] => fs::write(path, format!("{body}\n")).unwrap(),
        ["escaped"] => fs::write(path, escaped(&body.replace('\n', ""))).unwrap(),
        ["repeat", n] => fs::write(path, escaped(body).repeat(n.parse().unwrap())).unwrap(),
        ["folder"] => fs::create_dir_all(path).unwrap(),
        ["link", target] => std::os::unix::fs::symlink(target, path).unwrap(),
        ["copy", from] => copy_all(&fixture(from), &path),
        ["copy", from, "put", at, text] => {
            let mut bytes = fs::read(fixture(from)).unwrap();
            let (at, text) = (at.parse::<usize>().unwrap(), escaped(text));
            bytes[at..at + text.len()].copy_from_slice(&text);
            fs::write(path, bytes).unwrap();
        }
        ["copy", from, "replace", old, new] => {
            let text = fs::read(fixture(from)).unwrap();
            // One character per byte, so that any file can be changed.
            let text: String = text.into_iter().map(char::from).collect();
            assert!(text.contains(old), "{head}");
            let text = text.replace(old, new);
            fs::write(path, text.chars().map(|c| c as u8).collect::<Vec<u8>>()).unwrap();
        }
        ["copy", from, change, n] => {
            let mut bytes = fs::read(fixture(from)).unwrap();
            let n: isize = n.parse().unwrap();
            let n = if n < 0 { bytes.len() as isize + n } else { n } as usize;
            match change {
                "cut" => bytes.truncate(n),
                "flip" => bytes[n] ^= 0xff,
                _ => panic!("{head}"),
            }
            fs::write(path, bytes).unwrap();
        }
        _ => panic!("{head}"),
    }
}

fn escaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match (byte, byte == b'\\') {
            (_, true) => match rest.next().unwrap() {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            (byte, false) => byte,
        };
        bytes.push(byte);
    }
    bytes
}

/// The command's words; quotes keep blanks.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in command.chars() {
        match character {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

fn with_answers(text: &str, cases: &[Case], said: &[String]) -> String {
    let head = text.split("\n==== ").next().unwrap();
    let mut updated = head.to_owned();
    for (case, said) in cases.iter().zip(said) {
        write!(updated, "\n==== {}\n{}\n", case.name, case.command).unwrap();
        for left in &case.leaves {
            writeln!(updated, "leaves {left}").unwrap();
        }
        if !case.given.is_empty() {
            writeln!(updated, "{}", case.given.trim_end_matches('\n')).unwrap();
        }
        writeln!(updated, "---- {said}").unwrap();
    }
    updated
}

fn names_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            names.push(
                path.strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
            );
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    names.sort();
    names
}

fn copy_all(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy_all(&entry.path(), &to.join(entry.file_name()));
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}
