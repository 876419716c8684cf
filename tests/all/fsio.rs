//! Files that are there whole or not at all, and names that show them.

use std::fs;
use std::io::Write;
use std::path::Path;

use enginora_rs::error::{Error, ErrorKind};
use enginora_rs::fsio::{check_showable, read, show, write, write_atomically};

use crate::scratch::Scratch;

#[test]
fn a_file_is_written_with_the_folders_that_it_lies_in() {
    let scratch = Scratch::new();
    let path = scratch.at("a/b/file");
    for content in ["one", "", "another one"] {
        write(&path, content.as_bytes()).unwrap();
        assert_eq!(read(&path).unwrap(), content.as_bytes());
        assert_eq!(fs::read_dir(scratch.at("a/b")).unwrap().count(), 1);
    }
}

#[test]
fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
    let scratch = Scratch::new();
    let path = scratch.write("file", "old");
    let half_done = |to: &Path| {
        write_atomically(to, |file| {
            // More than the buffer holds, so that some of it reaches the disk.
            file.write_all(&vec![b'x'; 1 << 20]).unwrap();
            Err(Error::internal("no more"))
        })
    };
    assert_eq!(half_done(&path).unwrap_err().to_string(), "no more");
    assert!(half_done(&scratch.at("new")).is_err());
    assert_eq!(scratch.names(), ["file"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn what_cannot_be_read_or_written_is_an_error_of_its_kind() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    fs::create_dir_all(scratch.at("folder/full")).unwrap();
    let kind = |result: Result<(), Error>| result.unwrap_err().kind();
    assert_eq!(
        kind(write(&scratch.at("file/below"), b"")),
        ErrorKind::CannotCreate
    );
    assert_eq!(kind(write(&scratch.at("folder"), b"")), ErrorKind::Io);
    assert_eq!(
        kind(read(&scratch.at("nothing")).map(drop)),
        ErrorKind::MissingInput
    );
    assert_eq!(kind(read(&scratch.at("folder")).map(drop)), ErrorKind::Io);
    assert_eq!(scratch.names(), ["file", "folder"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_must_not_be_written_to_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let folder = scratch.at("sealed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    for path in ["sealed/file", "sealed/below/file"] {
        let error = write(&scratch.at(path), b"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CannotCreate);
        assert!(scratch.shown(&error).starts_with("sealed/"), "{error}");
    }
    let target = scratch.write("target", "");
    let error = show(&target, &folder.join("link")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotCreate);
}

#[cfg(unix)]
#[test]
fn a_name_shows_the_latest_file_or_folder() {
    let scratch = Scratch::new();
    for run in ["runs/0001", "runs/0002"] {
        let file = scratch.write(&format!("{run}/metrics.yaml"), run);
        scratch.write(&format!("{run}/model/weights"), run);
        let model = scratch.at(&format!("{run}/model"));
        for (target, name) in [
            (&file, "metrics.yaml"),
            (&model, "best_model"),
            (&file, "deep/er/name"),
        ] {
            let link = scratch.at(name);
            check_showable(&link).unwrap();
            show(target, &link).unwrap();
            let ups = if name == "deep/er/name" { "../../" } else { "" };
            let below = target.strip_prefix(scratch.path()).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(ups).join(below));
        }
        for shown in ["metrics.yaml", "best_model/weights", "deep/er/name"] {
            assert_eq!(fs::read_to_string(scratch.at(shown)).unwrap(), run);
        }
    }
    assert_eq!(
        scratch.names(),
        ["best_model", "deep", "metrics.yaml", "runs"]
    );
    // The first run has lost nothing, and a new file under the name does not reach the second.
    assert_eq!(
        fs::read_to_string(scratch.at("runs/0001/metrics.yaml")).unwrap(),
        "runs/0001"
    );
    write(&scratch.at("metrics.yaml"), b"mine").unwrap();
    assert_eq!(
        fs::read_to_string(scratch.at("runs/0002/metrics.yaml")).unwrap(),
        "runs/0002"
    );
}

#[cfg(unix)]
#[test]
fn links_survive_a_move_of_the_whole_folder_and_links_that_lead_nowhere_are_replaced() {
    let scratch = Scratch::new();
    let target = scratch.write("a/runs/1/file", "content");
    show(&target, &scratch.at("a/file")).unwrap();
    fs::rename(scratch.at("a"), scratch.at("b")).unwrap();
    assert_eq!(fs::read_to_string(scratch.at("b/file")).unwrap(), "content");
    fs::remove_file(scratch.at("b/runs/1/file")).unwrap();
    let other = scratch.write("b/runs/2/file", "other");
    show(&other, &scratch.at("b/file")).unwrap();
    assert_eq!(fs::read_to_string(scratch.at("b/file")).unwrap(), "other");
}

#[test]
fn what_somebody_else_put_there_is_not_replaced() {
    let scratch = Scratch::new();
    let target = scratch.write("runs/1/file", "ours");
    scratch.write("metrics.yaml", "theirs");
    scratch.write("model/weights", "theirs");
    fs::create_dir(scratch.at("empty")).unwrap();
    for (name, what) in [
        ("metrics.yaml", "file"),
        ("model", "folder"),
        ("empty", "folder"),
    ] {
        for result in [
            show(&target, &scratch.at(name)),
            check_showable(&scratch.at(name)),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CannotCreate);
            let message =
                format!("{name}: a {what} that no run of ours put there is in the way\n  hint: ");
            assert!(scratch.shown(&error).starts_with(&message), "{error}");
        }
    }
    assert_eq!(
        fs::read_to_string(scratch.at("metrics.yaml")).unwrap(),
        "theirs"
    );
    assert_eq!(
        fs::read_to_string(scratch.at("model/weights")).unwrap(),
        "theirs"
    );
    assert_eq!(scratch.names(), ["empty", "metrics.yaml", "model", "runs"]);
}

#[test]
fn nothing_is_shown_of_what_is_not_there() {
    let scratch = Scratch::new();
    let error = show(&scratch.at("nothing"), &scratch.at("link")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput);
    assert!(scratch.names().is_empty());
}
