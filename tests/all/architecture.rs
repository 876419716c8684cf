//! Data flows one way through `src/`: a module uses only those above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from top to bottom; those of one line may use each other.
const ORDER: [&[&str]; 12] = [
    &["config"],
    &["metrics"],
    &["data"],
    &["nn"],
    &["model"],
    &["train"],
    &["dynamics"],
    &["map"],
    &["select"],
    &["report"],
    &["pipeline"],
    &["cli", "main"],
];

/// Anyone may use them; they use nothing but each other.
const LEAVES: [&str; 4] = ["error", "random", "fsio", "pickle"];

/// How far down a module is; a leaf is above all.
fn depth(module: &str) -> Option<usize> {
    if LEAVES.contains(&module) {
        return Some(0);
    }
    let at = ORDER.iter().position(|line| line.contains(&module))?;
    Some(at + 1)
}

/// The uses in a module's source that the order forbids, as `module uses other`.
fn forbidden(module: &str, source: &str) -> Vec<String> {
    let mut forbidden = Vec::new();
    for used in used_modules(source) {
        let allowed = match (depth(module), depth(&used)) {
            (Some(from), Some(to)) => to <= from,
            _ => false,
        };
        if !allowed {
            forbidden.push(format!("{module} uses {used}"));
        }
    }
    forbidden
}

/// The `x` of every `crate::x`, `crate::{x, y::z}` and `enginora_rs::x` outside comments.
fn used_modules(source: &str) -> Vec<String> {
    let lines = source.lines().map(|line| line.split("//").next().unwrap());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut modules = Vec::new();
    for root in ["crate::", "enginora_rs::"] {
        for (at, _) in code.match_indices(root) {
            // `my_crate::` is another one.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => modules.extend(group_members(group)),
                None => modules.extend(first_name(rest)),
            }
        }
    }
    modules
}

/// The first names of the members of `a::{b, c}, d}`: `a` and `d`.
fn group_members(group: &str) -> Vec<String> {
    let mut members = Vec::new();
    let (mut nesting, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => nesting += 1,
            '}' if nesting > 0 => nesting -= 1,
            ',' | '}' if nesting == 0 => {
                members.extend(first_name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members
}

/// The module that a path starts with; none for a macro or an item of the crate itself, which
/// the crate does not have.
fn first_name(path: &str) -> Option<String> {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &path[..end.unwrap_or(path.len())];
    (!name.is_empty()).then(|| name.to_owned())
}

#[test]
fn the_check_finds_what_is_forbidden() {
    for (module, source, expected) in [
        ("data", "use crate::config::DataConfig;", &[][..]),
        ("data", "use crate::nn::raw;", &["data uses nn"]),
        (
            "data",
            "use crate::error::Result;\nuse crate::data::Table;",
            &[],
        ),
        (
            "data",
            "// see crate::nn\n/// [`crate::nn`]\nuse a::b; // crate::nn",
            &[],
        ),
        (
            "map",
            "use crate::{error::{Error, Result}, report, dynamics::{a, b}};",
            &["map uses report"],
        ),
        (
            "map",
            "use crate::{\n    select::Selection,\n    metrics,\n};",
            &["map uses select"],
        ),
        (
            "nn",
            "fn f() { crate::model::f(crate::train::g()) }",
            &["nn uses model", "nn uses train"],
        ),
        ("nn", "use my_crate::model;", &[]),
        ("fsio", "use crate::error::Error;", &[]),
        ("fsio", "use crate::config::Config;", &["fsio uses config"]),
        ("report", "use crate::novelty::X;", &["report uses novelty"]),
        ("novelty", "use crate::config::X;", &["novelty uses config"]),
        ("main", "use enginora_rs::{cli, pipeline};", &[]),
        ("pipeline", "use crate::{cli};", &["pipeline uses cli"]),
    ] {
        assert_eq!(forbidden(module, source), expected, "{source}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_module_uses_only_those_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let paths = sources(&src);
    assert!(paths.len() > 50, "{paths:?}");
    let mut problems = Vec::new();
    for path in paths {
        let below = path.strip_prefix(&src).unwrap().with_extension("");
        let module = below.iter().next().unwrap().to_str().unwrap();
        // The crate's root declares the modules, and shows what it likes of them.
        if module == "lib" {
            continue;
        }
        if depth(module).is_none() {
            problems.push(format!("{module} has no place in the order"));
        }
        let source = fs::read_to_string(&path).unwrap();
        let found = forbidden(module, &source).into_iter();
        problems.extend(found.map(|what| format!("{}: {what}", below.display())));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What changes files or folders without `fsio`.
const WRITING: [&str; 11] = [
    "File::create",
    "File::options",
    "OpenOptions",
    "fs::write",
    "fs::rename",
    "fs::remove_file",
    "fs::remove_dir",
    "fs::create_dir",
    "fs::copy",
    "fs::hard_link",
    "fs::set_permissions",
];

/// A kernel's switch is no file.
const MAY_WRITE: [&str; 1] = ["pipeline/experiment/memory.rs"];

#[test]
fn only_fsio_writes_to_disk() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for path in sources(&src) {
        let name = path.strip_prefix(&src).unwrap().display().to_string();
        if name.starts_with("fsio") || MAY_WRITE.contains(&name.as_str()) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for (line, text) in source.lines().enumerate() {
            let code = text.split("//").next().unwrap();
            if let Some(what) = WRITING.iter().find(|what| code.contains(**what)) {
                problems.push(format!("{name}:{}: {what}", line + 1));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
