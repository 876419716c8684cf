//! The model hub, against a small one on loopback.

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use enginora_rs::error::ErrorKind;
use enginora_rs::model::{DownloadEvent, HubModel, HubOptions};

use crate::scratch::Scratch;
use server::{COMMIT, Reply, Repository, Request, Server, git_sha1, sha256};

/// Weights that are long enough to be cut off in the middle of a buffer.
fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

const CONFIG: &[u8] = b"{\"model_type\": \"bert\"}\n";
const VOCABULARY: &[u8] = b"[PAD]\n[UNK]\n";

fn repository() -> Repository {
    Repository::new(&[
        ("README.md", b"not fetched"),
        ("config.json", CONFIG),
        ("vocab.txt", VOCABULARY),
        ("model.safetensors", &weights()),
        ("pytorch_model.bin", b"not fetched"),
    ])
}

fn options(server: &Server, scratch: &Scratch) -> HubOptions {
    let mut options = HubOptions::from_variables(|_| None);
    options.endpoint.clone_from(&server.address);
    options.cache = scratch.at("hub");
    options.sleep = |_| {};
    options
}

fn model() -> HubModel {
    HubModel::parse("tiny/bert").unwrap()
}

/// Fetches a model and lists the pauses that it took.
fn fetch(
    model: &HubModel,
    options: &HubOptions,
) -> (enginora_rs::error::Result<PathBuf>, Vec<Duration>) {
    let mut pauses = Vec::new();
    let result = model.fetch(options, &mut |event| {
        if let DownloadEvent::Retry { pause, .. } = event {
            pauses.push(pause);
        }
    });
    (result, pauses)
}

fn seconds(pauses: &[Duration]) -> Vec<u64> {
    pauses.iter().map(Duration::as_secs).collect()
}

/// Every file and link under a folder, links with their target.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_symlink() {
                found.push(format!(
                    "{name} -> {}",
                    fs::read_link(&path).unwrap().display()
                ));
            } else if path.is_dir() {
                folders.push(path);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// That the cache holds the whole model.
fn check_complete(folder: &Path) {
    assert_eq!(fs::read(folder.join("config.json")).unwrap(), CONFIG);
    assert_eq!(fs::read(folder.join("vocab.txt")).unwrap(), VOCABULARY);
    assert!(fs::read(folder.join("model.safetensors")).unwrap() == weights());
}

#[test]
fn a_model_is_fetched_once_and_laid_out_as_python_does() {
    let scratch = Scratch::new();
    let repository = repository();
    let server = Server::new(move |request| repository.answer(request));
    let mut options = options(&server, &scratch);
    assert_eq!(model().cached(&options), None);
    let (folder, pauses) = fetch(&model(), &options);
    let folder = folder.unwrap();
    check_complete(&folder);
    assert!(pauses.is_empty());
    let files = format!("/tiny/bert/resolve/{COMMIT}");
    assert_eq!(
        server.take_lines(),
        [
            "GET /api/models/tiny/bert/revision/main".to_owned(),
            format!("HEAD {files}/config.json"),
            format!("GET {files}/config.json"),
            format!("HEAD {files}/vocab.txt"),
            format!("GET {files}/vocab.txt"),
            format!("HEAD {files}/model.safetensors"),
            format!("GET {files}/model.safetensors"),
            format!("GET /store/{}", sha256(&weights())),
        ]
    );
    let [config, vocabulary, large] = [git_sha1(CONFIG), git_sha1(VOCABULARY), sha256(&weights())];
    let snapshot = format!("models--tiny--bert/snapshots/{COMMIT}");
    let blobs = "models--tiny--bert/blobs";
    let mut expected = vec![
        format!(".locks/models--tiny--bert/{config}.lock"),
        format!(".locks/models--tiny--bert/{large}.lock"),
        format!(".locks/models--tiny--bert/{vocabulary}.lock"),
        format!("{blobs}/{config}"),
        format!("{blobs}/{large}"),
        format!("{blobs}/{vocabulary}"),
        "models--tiny--bert/refs/main".to_owned(),
        format!("{snapshot}/config.json -> ../../blobs/{config}"),
        format!("{snapshot}/model.safetensors -> ../../blobs/{large}"),
        format!("{snapshot}/vocab.txt -> ../../blobs/{vocabulary}"),
    ];
    expected.sort();
    assert_eq!(tree(&options.cache), expected);
    let main = options.cache.join("models--tiny--bert/refs/main");
    assert_eq!(fs::read_to_string(main).unwrap(), COMMIT);
    assert_eq!(folder, options.cache.join(snapshot));

    // From now on nothing is asked, with a network or without.
    for offline in [false, true] {
        options.offline = offline;
        assert_eq!(model().cached(&options), Some(folder.clone()));
        assert_eq!(fetch(&model(), &options).0.unwrap(), folder);
    }
    assert_eq!(server.take_lines(), Vec::<String>::new());
}

#[test]
fn revisions_are_branches_tags_and_commits() {
    let scratch = Scratch::new();
    let repository = repository();
    let server = Server::new(move |request| repository.answer(request));
    let options = options(&server, &scratch);
    let refs = options.cache.join("models--tiny--bert/refs");
    for (revision, name) in [
        (COMMIT, None),
        ("v1", Some("v1")),
        ("refs/pr/1", Some("refs/pr/1")),
    ] {
        let model = HubModel::parse(&format!("tiny/bert@{revision}")).unwrap();
        assert_eq!(model.cached(&options), None);
        let folder = fetch(&model, &options).0.unwrap();
        check_complete(&folder);
        assert_eq!(model.cached(&options), Some(folder));
        // A commit needs no ref.
        match name {
            None => assert!(!refs.exists()),
            Some(name) => assert_eq!(fs::read_to_string(refs.join(name)).unwrap(), COMMIT),
        }
        server.take_lines();
    }
    // Files that another revision has too are not fetched again.
    let model = HubModel::parse("tiny/bert@main").unwrap();
    fetch(&model, &options).0.unwrap();
    assert_eq!(
        server.take_lines(),
        ["GET /api/models/tiny/bert/revision/main"]
    );
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let scratch = Scratch::new();
    let mut repository = repository();
    let files = repository.clone();
    let store = Server::new(move |request| files.answer(request));
    repository.store.clone_from(&store.address);
    // The repository has moved, too.
    let server = Server::new(move |request| match request.path.strip_prefix("/old") {
        Some(path) => Reply::status(307).with("location", path),
        None => repository.answer(request),
    });
    let mut options = options(&server, &scratch);
    options.endpoint += "/old";
    options.token = Some("hf_secret".to_owned());
    check_complete(&fetch(&model(), &options).0.unwrap());
    let authorization = |request: &Request| request.header("authorization").map(str::to_owned);
    let at_home = server.take_requests();
    assert_eq!(at_home.len(), 14);
    for request in at_home {
        let said = authorization(&request);
        assert_eq!(
            said.as_deref(),
            Some("Bearer hf_secret"),
            "{}",
            request.line()
        );
    }
    let elsewhere = store.take_requests();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(authorization(&elsewhere[0]), None);
}

/// Fetches from a hub that answers the first requests for the weights' bytes otherwise.
fn check_recovery(
    first: impl Fn(&Request) -> Option<Reply> + Send + 'static,
    pauses: &[u64],
) -> Vec<Request> {
    let scratch = Scratch::new();
    let repository = repository();
    let server = Server::new(move |request| {
        let reply = first(request).filter(|_| request.path.starts_with("/store/"));
        reply.unwrap_or_else(|| repository.answer(request))
    });
    let (folder, found) = fetch(&model(), &options(&server, &scratch));
    check_complete(&folder.unwrap());
    assert_eq!(seconds(&found), pauses);
    let mut requests = server.take_requests();
    requests.retain(|request| request.path.starts_with("/store/"));
    requests
}

#[test]
fn troubles_that_pass_are_waited_for() {
    let once =
        |reply: Reply| move |request: &Request| (request.n_before == 0).then(|| reply.clone());
    check_recovery(once(Reply::status(429).with("retry-after", "7")), &[7]);
    check_recovery(
        once(Reply::status(429).with("retry-after", "86400")),
        &[300],
    );
    check_recovery(
        once(Reply::status(429).with("retry-after", "Sun, 06 Nov 1994")),
        &[1],
    );
    check_recovery(once(Reply::status(503)), &[1]);
    check_recovery(once(Reply::status(500)), &[1]);
    let often = |request: &Request| (request.n_before < 4).then(|| Reply::status(502));
    check_recovery(often, &[1, 2, 4, 8]);
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let large = weights();
    let range = |start: usize| Some(format!("bytes={start}-"));
    // Twice cut off, the second time within what it was asked for.
    let bytes = large.clone();
    let requests = check_recovery(
        move |request| match request.n_before {
            0 => Some(Reply::status(200).body(&bytes).cut(300_000)),
            1 => {
                let range = format!("bytes 300000-{}/{}", bytes.len() - 1, bytes.len());
                let reply = Reply::status(206).with("content-range", &range);
                Some(reply.body(&bytes[300_000..]).cut(1000))
            }
            _ => None,
        },
        &[1, 1],
    );
    let asked: Vec<_> = requests
        .iter()
        .map(|r| r.header("range").map(str::to_owned))
        .collect();
    assert_eq!(asked, [None, range(300_000), range(301_000)]);
    // A server that always begins at the beginning.
    let bytes = large.clone();
    let requests = check_recovery(
        move |request| {
            let whole = Reply::status(200).body(&bytes);
            Some(if request.n_before == 0 {
                whole.cut(300_000)
            } else {
                whole
            })
        },
        &[1],
    );
    assert_eq!(requests.len(), 2);
    // An answer without a length that ends too early.
    let bytes = large;
    check_recovery(
        move |request| {
            let short = Reply::status(200).body(&bytes[..70_000]);
            (request.n_before == 0).then_some(short)
        },
        &[1],
    );
}

#[test]
fn what_an_earlier_run_left_is_used_if_it_is_right() {
    let hash = sha256(&weights());
    let too_long = [weights(), b"more".to_vec()].concat();
    let wrong = vec![7; 1000];
    for (left, n_requests) in [
        (weights()[..500_000].to_vec(), 1),
        (weights(), 0),
        (too_long, 1),
        // Found wrong by its hash once it is whole, and fetched anew.
        (wrong, 2),
        (vec![7; weights().len()], 1),
    ] {
        let scratch = Scratch::new();
        let repository = repository();
        let server = Server::new(move |request| repository.answer(request));
        let partial = format!("hub/models--tiny--bert/blobs/{hash}.incomplete");
        scratch.write(&partial, &left);
        let folder = fetch(&model(), &options(&server, &scratch)).0.unwrap();
        check_complete(&folder);
        let lines = server.take_lines();
        let n_found = lines.iter().filter(|line| line.contains("/store/")).count();
        assert_eq!(n_found, n_requests, "{} bytes", left.len());
        assert!(!scratch.at(&partial).exists());
    }
}

#[test]
fn a_wrong_hash_is_discarded_and_said() {
    let mut changed = weights();
    changed[12345] ^= 1;
    let wrong_config = b"{\"model_type\": \"bort\"}\n";
    for path in ["/store/", "/config.json"] {
        let scratch = Scratch::new();
        let repository = repository();
        let changed = changed.clone();
        let server = Server::new(move |request| {
            let reply = repository.answer(request);
            match request.method.as_str() {
                "GET" if request.path.contains(path) && path == "/store/" => reply.body(&changed),
                "GET" if request.path.contains(path) => reply.body(wrong_config),
                _ => reply,
            }
        });
        let options = options(&server, &scratch);
        let error = fetch(&model(), &options).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        assert!(
            error
                .to_string()
                .contains("arrived broken and was discarded"),
            "{error}"
        );
        assert_eq!(model().cached(&options), None);
        let left = tree(&options.cache);
        assert!(
            left.iter().all(|name| !name.contains("incomplete")),
            "{left:?}"
        );
        assert!(left.iter().all(|name| !name.contains("refs")), "{left:?}");
        let bad = if path == "/store/" {
            sha256(&weights())
        } else {
            git_sha1(CONFIG)
        };
        assert!(left.iter().all(|name| !name.ends_with(&bad)), "{left:?}");
    }
}

/// That a hub which answers so to everything makes this error, after so many requests.
fn check_refusal(reply: Reply, token: Option<&str>, n_requests: usize, words: &[&str]) {
    let scratch = Scratch::new();
    let server = Server::new(move |_| reply.clone());
    let mut options = options(&server, &scratch);
    options.token = token.map(str::to_owned);
    let error = fetch(&model(), &options).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingInput, "{error}");
    let said = error.to_string();
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    assert!(!said.contains("hf_secret"), "{said}");
    assert_eq!(server.take_lines().len(), n_requests, "{said}");
    assert!(!options.cache.join("models--tiny--bert").exists());
}

#[test]
fn refusals_say_what_to_do() {
    let status = Reply::status;
    check_refusal(
        status(401),
        None,
        1,
        &["without a token (401", "set `HF_TOKEN`", "/settings/tokens"],
    );
    check_refusal(
        status(401),
        Some("hf_secret"),
        1,
        &["the owner of this token", "check the name"],
    );
    let gated = status(403).with("x-error-code", "GatedRepo");
    check_refusal(
        gated,
        Some("hf_secret"),
        1,
        &["(403", "accept the conditions at http"],
    );
    check_refusal(
        status(404),
        None,
        1,
        &[
            "no folder `tiny/bert`",
            "no model of that name",
            "looked for in",
        ],
    );
    let revision = status(404).with("x-error-code", "RevisionNotFound");
    check_refusal(revision, None, 1, &["`tiny/bert` has no revision `main`"]);
    check_refusal(
        status(503),
        None,
        6,
        &["(503", "try again later", "hf download tiny/bert"],
    );
    check_refusal(status(429), None, 6, &["(429", "set `HF_TOKEN`"]);
    check_refusal(
        status(200).body(b"<html>"),
        None,
        1,
        &["does not answer as a model hub", "HF_ENDPOINT"],
    );
    check_refusal(
        status(302).with("location", "/x"),
        None,
        10,
        &["too many redirects"],
    );
    check_refusal(
        status(302).with("location", "file:///etc/passwd"),
        None,
        1,
        &["a redirect to nowhere"],
    );
    let empty = format!("{{\"sha\": \"{COMMIT}\", \"siblings\": []}}");
    check_refusal(
        status(200).body(empty.as_bytes()),
        None,
        1,
        &["it holds no `config.json`"],
    );
    let outside = "{\"sha\": \"../../x\", \"siblings\": []}";
    check_refusal(
        status(200).body(outside.as_bytes()),
        None,
        1,
        &["no commit"],
    );
}

#[test]
fn without_a_network_it_is_said_how_to_bring_the_model_by_hand() {
    let scratch = Scratch::new();
    let mut options = HubOptions::from_variables(|_| None);
    options.cache = scratch.at("hub");
    options.sleep = |_| {};
    // Nobody listens on the port of a server that is gone.
    options.endpoint = Server::new(|_| Reply::status(500)).address.clone();
    let by_hand = [
        "hf download tiny/bert --revision v1",
        "copy its `models--tiny--bert`",
        "hub/models--tiny--bert` here",
    ];
    let model = HubModel::parse("tiny/bert@v1").unwrap();
    let (result, pauses) = fetch(&model, &options);
    let unreachable = result.unwrap_err();
    assert_eq!(seconds(&pauses), [1, 2]);
    options.offline = true;
    let offline = fetch(&model, &options).0.unwrap_err();
    for (error, what) in [
        (unreachable, "cannot be reached"),
        (offline, "`HF_HUB_OFFLINE` is set"),
    ] {
        assert_eq!(error.kind(), ErrorKind::MissingInput);
        let said = error.to_string();
        for word in by_hand
            .into_iter()
            .chain([what, "no folder `tiny/bert@v1`"])
        {
            assert!(said.contains(word), "`{word}` is missing in: {said}");
        }
    }
}

#[test]
fn an_interrupted_model_is_not_complete() {
    let scratch = Scratch::new();
    let repository = repository();
    let server = Server::new(move |request| match request.path.as_str() {
        path if path.starts_with("/store/") && request.n_before == 0 => Reply::status(410),
        _ => repository.answer(request),
    });
    let options = options(&server, &scratch);
    let error = fetch(&model(), &options).0.unwrap_err();
    assert!(error.to_string().contains("(410"), "{error}");
    assert_eq!(model().cached(&options), None);
    let commit = HubModel::parse(&format!("tiny/bert@{COMMIT}")).unwrap();
    assert_eq!(commit.cached(&options), None);
    check_complete(&fetch(&model(), &options).0.unwrap());
    // What was there was not asked for again.
    let mut lines = server.take_lines();
    lines.retain(|line| line.contains("config.json"));
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// Which files of a repository are fetched, in order.
fn check_files(there: &[&str], expected: Result<&[&str], &str>) {
    let scratch = Scratch::new();
    let files: Vec<(&str, &[u8])> = there
        .iter()
        .map(|name| match *name {
            "model.safetensors.index.json" => {
                (*name, &br#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#[..])
            }
            "modules.json" => (*name, &br#"[{"path": "0_Transformer"}]"#[..]),
            _ => (*name, name.as_bytes()),
        })
        .collect();
    let repository = Repository::new(&files);
    let server = Server::new(move |request| repository.answer(request));
    let (result, _) = fetch(&model(), &options(&server, &scratch));
    let lines = server.take_lines();
    let heads = format!("HEAD /tiny/bert/resolve/{COMMIT}/");
    let fetched: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix(&heads))
        .collect();
    match expected {
        Ok(names) => {
            result.unwrap();
            assert_eq!(fetched, names);
        }
        Err(words) => {
            let said = result.unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn the_files_that_a_run_needs_are_fetched() {
    let (one, two) = (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    );
    let index = "model.safetensors.index.json";
    for (there, expected) in [
        (
            &[
                "config.json",
                "tokenizer.json",
                "merges.txt",
                "vocab.json",
                "pytorch_model.bin",
                "tf_model.h5",
            ][..],
            Ok(&[
                "config.json",
                "tokenizer.json",
                "vocab.json",
                "merges.txt",
                "pytorch_model.bin",
            ][..]),
        ),
        (
            &[
                "config.json",
                "spm.model",
                "pytorch_model.bin",
                index,
                one,
                two,
                "onnx/model.onnx",
            ],
            Ok(&["config.json", "spm.model", one, two, index]),
        ),
        (
            &["config.json", "spm.model", index, one],
            Err("a file that its index of weights names is missing"),
        ),
        (
            &[
                "config.json",
                "modules.json",
                "0_Transformer/config.json",
                "0_Transformer/vocab.txt",
                "0_Transformer/pytorch_model.bin",
                "0_Transformer/sentence_bert_config.json",
                "1_Pooling/config.json",
            ],
            Ok(&[
                "0_Transformer/config.json",
                "0_Transformer/vocab.txt",
                "0_Transformer/sentence_bert_config.json",
                "modules.json",
                "0_Transformer/pytorch_model.bin",
            ]),
        ),
        (
            &["config.json", "vocab.txt", "tf_model.h5"],
            Err("it holds none of model.safetensors, "),
        ),
        (
            &["config.json", "model.safetensors"],
            Err("it holds no tokenizer: none of tokenizer.json, "),
        ),
        (&["README.md"], Err("it holds no `config.json`")),
    ] {
        check_files(there, expected);
    }
}

#[test]
fn the_environment_is_read_as_python_reads_it() {
    let check = |variables: &[(&str, &str)], cache: &str| {
        let options = HubOptions::from_variables(|name| {
            let all = [&[("HOME", "/home/me")][..], variables].concat();
            let found = all.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(options.cache, Path::new(cache), "{variables:?}");
        options
    };
    let plain = check(&[], "/home/me/.cache/huggingface/hub");
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert_eq!((plain.token, plain.offline), (None, false));
    check(&[("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub");
    check(
        &[("XDG_CACHE_HOME", "/c"), ("HF_HOME", "~/hf")],
        "/home/me/hf/hub",
    );
    check(
        &[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/models")],
        "/models",
    );
    check(&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub");
    let cache = "/home/me/.cache/huggingface/hub";
    for (variables, offline) in [
        (&[("HF_HUB_OFFLINE", "1")][..], true),
        (&[("HF_HUB_OFFLINE", "yes")], true),
        (
            &[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")],
            false,
        ),
        (&[("TRANSFORMERS_OFFLINE", "true")], true),
        (
            &[("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "ON")],
            true,
        ),
    ] {
        assert_eq!(check(variables, cache).offline, offline, "{variables:?}");
    }
    let endpoint = check(&[("HF_ENDPOINT", "http://mirror/")], cache).endpoint;
    assert_eq!(endpoint, "http://mirror");

    let scratch = Scratch::new();
    let home = scratch.path().to_str().unwrap();
    scratch.write("token", "hf_file\n");
    let other = scratch.write("other", "hf_other");
    let hub = scratch.at("hub");
    let check = |more: &[(&str, &str)], token: Option<&str>| {
        let variables = [&[("HF_HOME", home)][..], more].concat();
        let found = check(&variables, hub.to_str().unwrap()).token;
        assert_eq!(found.as_deref(), token, "{more:?}");
    };
    check(&[], Some("hf_file"));
    check(
        &[("HF_TOKEN_PATH", other.to_str().unwrap())],
        Some("hf_other"),
    );
    check(&[("HF_TOKEN", " hf_variable\r\n")], Some("hf_variable"));
    check(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None);
}

#[test]
fn names_of_models_are_told_from_paths() {
    for (text, id) in [
        ("bert-base-cased", Some("bert-base-cased")),
        ("org/name_1.5", Some("org/name_1.5")),
        ("org/name@v1.0", Some("org/name")),
        ("name@refs/pr/3", Some("name")),
        ("", None),
        (".", None),
        ("./name", None),
        ("/org/name", None),
        ("a/b/c", None),
        ("org/", None),
        ("../name", None),
        ("org/..", None),
        ("~/model", None),
        ("model.git", None),
        ("a--b", None),
        ("C:\\model", None),
        ("mein modell", None),
        ("name@", None),
        ("name@../../x", None),
        ("name@a/../b", None),
        ("name@/a", None),
    ] {
        let model = HubModel::parse(text);
        assert_eq!(model.as_ref().map(HubModel::id), id, "{text}");
    }
}

/// The program as a user runs it, with its own environment.
fn program(folder: &Scratch, endpoint: &str, offline: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_enginora-rs"))
        .args(arguments)
        .current_dir(folder.path())
        .env("HF_HOME", folder.at("hf"))
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_TOKEN")
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_OFFLINE", offline)
        .output()
        .unwrap()
}

#[test]
fn a_run_fetches_its_model_and_validate_does_not() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/bert-tiny");
    let files = [
        "config.json",
        "vocab.txt",
        "tokenizer_config.json",
        "model.safetensors",
    ]
    .map(|name| (name, fs::read(fixture.join(name)).unwrap()));
    let files = files
        .each_ref()
        .map(|(name, bytes)| (*name, bytes.as_slice()));
    let repository = Repository::new(&files);
    let server = Server::new(move |request| repository.answer(request));
    let scratch = Scratch::new();
    scratch.write(
        "run.yaml",
        "data: {output_dir: out}\nmodel:\n  model_name: tiny/bert\n  max_length: 24\ntraining: {dataset_path: train.csv}\n",
    );
    let run = |command: &str, offline: &str| {
        let output = program(
            &scratch,
            &server.address,
            offline,
            &[command, "--config", "run.yaml"],
        );
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    // Data first: without it no model is fetched.
    let (code, said) = run("loop", "0");
    assert_eq!(code, Some(66), "{said}");
    assert!(said.contains("train.csv"), "{said}");
    scratch.write(
        "train.csv",
        "text,label\ngood film,1\nbad film,0\nthe good story,1\n",
    );

    let (code, said) = run("validate", "1");
    assert_eq!(code, Some(66), "{said}");
    assert!(
        said.contains("run.yaml:3:15: there is no folder `tiny/bert`"),
        "{said}"
    );
    let (code, said) = run("validate", "0");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("tiny/bert, to be fetched from http://127.0.0.1"),
        "{said}"
    );
    assert_eq!(server.take_lines(), Vec::<String>::new());

    let (code, said) = run("loop", "0");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("fetched model.safetensors (94.34 KiB)"),
        "{said}"
    );
    assert!(!server.take_lines().is_empty());
    let (code, said) = run("validate", "1");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("tiny/bert, in {}", scratch.at("hf/hub").display())),
        "{said}"
    );
    assert_eq!(server.take_lines(), Vec::<String>::new());

    let absent = [
        "loop",
        "--config",
        "run.yaml",
        "--set",
        "model.model_name=tiny/other",
    ];
    let output = program(&scratch, &server.address, "0", &absent);
    assert_eq!(output.status.code(), Some(66));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(
            "--set model.model_name=tiny/other: there is no folder `tiny/other`, and no model"
        ),
        "{said}"
    );
}
