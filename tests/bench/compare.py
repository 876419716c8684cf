#!/usr/bin/env python3
"""Compares enginora-rs with the PyTorch programs in peers.py and prints Markdown tables.

    python tests/bench/compare.py --enginora BINARY [all|a|b|c|base|self ...]
                                  [--sentences N] [--epochs N] [--pairs N] [--device cpu|cuda]
                                  [--train FILE]

Both sides train the same model on the same examples with the same batch size, epochs, dropout,
optimizer and schedule and record training dynamics. They run in turns, each in a process of its
own, and the medians are compared. `self` compares settings of enginora-rs with each other.
compare_pytorch.sh sets everything up; README.md says what the numbers mean. Works on Linux only.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

WORK = Path("target/bench")
PEERS = Path("tests/bench/peers.py")
TRAINING_FILE = Path("data/mr_products/mr_train.tsv")
MINILM = Path("data/models/all-MiniLM-L6-v2")
BASE = WORK / "bert-base"

MAX_LENGTH = 128
LEARNING_RATE = 5e-5
# What a peer may take to compile its model and train for a few steps, in seconds.
TRIAL_LIMIT = 240
# How much the trials of peer (c) train on, in batches.
TRIAL_BATCHES = {"c": 10, "base": 2}
TRIAL_BATCHES_ON_CUDA = 40

# A load average above it says that something else is running.
QUIET_LOAD = 0.5

# Forward and backward need three products of two operations for each parameter and token.
FLOP_PER_PARAMETER_AND_TOKEN = 6

TRAINED = re.compile(
    r"trained (?P<epochs>[\d,]+) epochs? in (?P<seconds>[\d.,]+) s: (?P<examples>[\d,]+) examples?, "
    r"(?P<tokens>[\d,]+) tokens?, [\d.,]+ examples/s, [\d.,]+ tokens/s; "
    r"first step after (?P<first>[\d.,]+) s"
)


PRODUCTS = re.compile(r"threads?, products in (?P<precision>f32|bf16)")


class Failure(Exception):
    """Something without which the comparison cannot go on."""


@dataclass(frozen=True)
class Comparison:
    """One peer against one or more precisions of ours."""

    name: str
    title: str
    # The peer's command in peers.py with its settings.
    peer: tuple
    peer_precision: str
    # The precisions of ours, each with the ratio of tokens/s that is to be reached, if any.
    ours: tuple
    record: str
    model: Path = MINILM
    sentences: int = 2000
    epochs: int = 3
    batch_size: int = 32
    pairs: int = 2
    # The largest share of the peer's peak memory that ours is to take.
    memory_goal: float | None = None

    @property
    def is_loop(self):
        """Whether the peer is (c), whose settings are tried first."""
        return self.peer[0] == "loop"


def loop_comparison(name, title, precision, goal, **settings):
    """Ours against peer (c), both in the same precision."""
    return Comparison(
        name=name,
        title=title,
        peer=("loop", "--precision", precision),
        peer_precision=precision,
        ours=((precision, goal),),
        record="during_training",
        **settings,
    )


BASE_SIZE = dict(model=BASE, sentences=96, epochs=1, batch_size=16, memory_goal=0.5)

COMPARISONS = [
    Comparison(
        name="a",
        title="(a) Trainer, padded to max_length",
        peer=("trainer",),
        peer_precision="f32",
        ours=(("auto", 30.0), ("f32", None)),
        record="epoch_end",
        sentences=300,
    ),
    Comparison(
        name="b",
        title="(b) Trainer, grouped by length",
        peer=("trainer-grouped",),
        peer_precision="f32",
        ours=(("auto", 6.0),),
        record="during_training",
        sentences=1000,
    ),
    loop_comparison("c", "(c) loop by hand", "bf16", 3.0, pairs=3, memory_goal=0.5),
    loop_comparison("c", "(c) loop by hand", "f32", 1.5, pairs=3, memory_goal=0.5),
    loop_comparison("base", "(c), bert-base size", "bf16", 2.0, **BASE_SIZE),
    loop_comparison("base", "(c), bert-base size", "f32", 1.2, **BASE_SIZE),
]
PARTS = ["a", "b", "c", "base", "self"]

# The same on a GPU, where what is short is no measurement.
COMPARISONS_ON_CUDA = [
    Comparison(
        name="b",
        title="(b) Trainer in bf16, grouped by length",
        peer=("trainer-grouped", "--precision", "bf16"),
        peer_precision="bf16",
        ours=(("auto", 5.0),),
        record="during_training",
        sentences=8000,
        pairs=3,
    ),
    *(
        loop_comparison(name, title, "bf16", 1.5, batch_size=batch_size, pairs=3, **size)
        for name, title, size in [
            ("c", "(c) loop by hand", dict(sentences=8000)),
            ("base", "(c), bert-base size", dict(model=BASE, sentences=1400)),
        ]
        for batch_size in (32, 128)
    ),
]


def say(text):
    """A line of progress on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run_measured(command, log, environment=None, limit=None):
    """Runs a command with its output in files beside `log`; its standard output and error, seconds
    and peak memory in MiB, or None if it took longer than `limit` seconds."""
    out_path, err_path = log.with_suffix(".out"), log.with_suffix(".err")
    with out_path.open("wb") as out, err_path.open("wb") as err:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=err,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        late = threading.Event()

        def stop():
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit, stop) if limit else None
        if timer:
            timer.start()
        try:
            # This process is small, so that what a child has of it at first is never its peak.
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            if timer:
                timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
    if late.is_set():
        return None
    stdout = out_path.read_text(encoding="utf-8", errors="replace")
    stderr = err_path.read_text(encoding="utf-8", errors="replace")
    if process.returncode != 0:
        last = "\n".join(stderr.strip().split("\n")[-8:])
        raise Failure(f"`{' '.join(map(str, command))}` exited with {process.returncode}:\n{last}")
    return stdout, stderr, seconds, usage.ru_maxrss / 1024


def run_peers(arguments, log, limit=None):
    """Runs a command of peers.py; its JSON line, or None if it took longer than `limit` seconds."""
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str((WORK / "inductor").resolve())}
    ran = run_measured([sys.executable, PEERS, *arguments], log, compiled, limit)
    return ran and json.loads(ran[0].strip().split("\n")[-1])


def parse_log(text):
    """What the lines `trained N epochs in ...` and `N threads, products in ...` of ours say."""
    found, products = TRAINED.search(text), PRODUCTS.search(text)
    if products is None:
        raise Failure("enginora-rs did not say `N threads, products in f32` or bf16: is it an old one?")
    if found is None:
        raise Failure(
            "enginora-rs did not say `trained N epochs in S s: E examples, T tokens, ...; first "
            "step after F s` on standard error: is the binary an old one?"
        )
    number = {key: float(value.replace(",", "")) for key, value in found.groupdict().items()}
    return {
        "train_seconds": number["seconds"],
        "examples": int(number["examples"]),
        "tokens": int(number["tokens"]),
        "first_step_seconds": number["first"],
        "precision": products["precision"],
    }


def with_rates(run):
    """A run with its examples and real tokens per second of training."""
    seconds = run["train_seconds"]
    return {
        **run,
        "examples_per_second": run["examples"] / seconds,
        "tokens_per_second": run["tokens"] / seconds,
    }


def write_config(path, comparison, data, epochs, record):
    """Our config for a comparison; `record` is None to record nothing."""
    config = {
        "random_state": 7,
        "model": {
            "model_name": str(comparison.model),
            "max_length": MAX_LENGTH,
            "num_labels": 2,
        },
        "training": {
            "dataset_path": str(data),
            "batch_size": comparison.batch_size,
            "epochs": epochs,
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "linear",
            "warmup_ratio": 0.0,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "perform_data_cartography": record is not None,
        },
    }
    if record is not None:
        config["cartography"] = {"record": record}
    # JSON is YAML, too.
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def run_ours(options, name, comparison, data, epochs, precision, record, threads=None):
    """Trains once with enginora-rs in a process of its own."""
    output = WORK / f"ours-{name}"
    config = WORK / f"ours-{name}.yaml"
    shutil.rmtree(output, ignore_errors=True)
    write_config(config, comparison, data, epochs, record)
    command = [options.enginora, "loop", "--config", config, "--output-dir", output]
    command += ["--device", options.device]
    command += ["--set", f"training.precision={precision}"]
    environment = {"RAYON_NUM_THREADS": str(threads)} if threads else None
    _, stderr, seconds, peak_rss = run_measured(command, WORK / f"ours-{name}", environment)
    # A run leaves the trained model, which for bert-base is large.
    shutil.rmtree(output, ignore_errors=True)
    return with_rates({**parse_log(stderr), "peak_rss_mb": peak_rss, "wall_seconds": seconds})


def run_peer(device, name, comparison, data, epochs, settings=(), limit=None):
    """Trains once with the peer in a process of its own; None if it took too long."""
    command = [*comparison.peer, *settings, "--model", comparison.model, "--data", data]
    command += ["--max-length", MAX_LENGTH, "--batch-size", comparison.batch_size]
    command += ["--epochs", epochs, "--learning-rate", LEARNING_RATE, "--device", device]
    run = run_peers(command, WORK / f"peer-{name}", limit)
    return run and with_rates(run)


def write_sentences(path, source, n_examples):
    """The header and the first examples of a TSV file."""
    with source.open(encoding="utf-8") as file:
        lines = file.read().strip("\n").split("\n")[: n_examples + 1]
    if len(lines) <= n_examples:
        raise Failure(f"{source} has {len(lines) - 1} examples, not {n_examples}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare_data(comparison, n_examples, source):
    """The training file of a comparison with so many examples, and the model for it if need be."""
    if comparison.model != BASE:
        path = WORK / f"sentences-{n_examples}.tsv"
        write_sentences(path, source, n_examples)
        return path
    if not (BASE / "model.safetensors").is_file():
        say(f"making {BASE}")
        run_peers(["make-base", "--tokenizer", MINILM, "--model", BASE], WORK / "make-base")
    path = WORK / f"joined-{n_examples}.tsv"
    join = ["join", "--tokenizer", MINILM, "--data", source, "--output", path]
    join += ["--examples", n_examples, "--max-length", MAX_LENGTH]
    run_peers(join, WORK / "join")
    return path


def choose_settings(comparison, data, report, options):
    """The settings with which peer (c) trains fastest here, found with a few steps of each."""
    on_cuda = options.device == "cuda"
    n_batches = TRIAL_BATCHES_ON_CUDA if on_cuda else TRIAL_BATCHES[comparison.name]
    n_examples = n_batches * comparison.batch_size
    trial_data = WORK / f"trial-{comparison.name}.tsv"
    n_available = len(data.read_text(encoding="utf-8").strip("\n").split("\n")) - 1
    write_sentences(trial_data, data, min(n_examples, n_available))
    best, best_rate = None, 0.0
    for attention in ("sdpa", "eager"):
        for compiled in (False,) if options.without_compile else (False, True):
            settings = ["--attention", attention] + ["--compile"] * compiled
            what = f"{comparison.name} {comparison.peer_precision} trial {' '.join(settings)}"
            try:
                run = run_peer(
                    options.device, "trial", comparison, trial_data, 1, settings, TRIAL_LIMIT
                )
            except Failure as failure:
                if not compiled:
                    raise
                reason = str(failure).split("\n")[-1]
                run = None
            else:
                reason = f"took longer than {TRIAL_LIMIT} s"
            entry = {"comparison": comparison.name, "settings": settings, "run": run}
            report["trials"].append({**entry, "precision": comparison.peer_precision})
            if run is None:
                say(f"{what}: {reason}")
                continue
            say(f"{what}: {run['tokens_per_second']:,.0f} tokens/s")
            if run["tokens_per_second"] > best_rate:
                best, best_rate = settings, run["tokens_per_second"]
    if best is None:
        raise Failure(f"no setting of peer {comparison.name} ran to its end")
    return best


def progress(what, run):
    """Says how one run went."""
    say(
        f"{what}: {run['train_seconds']:.2f} s, {run['tokens_per_second']:,.0f} tokens/s, "
        f"{run['peak_rss_mb']:,.0f} MiB"
    )


def medians(runs):
    """The median of every number over several runs."""
    keys = [key for key, value in runs[0].items() if isinstance(value, (int, float))]
    return {key: statistics.median(run[key] for run in runs) for key in keys}


def compare(comparison, options, report):
    """Runs both sides of a comparison in turns and adds its rows and raw numbers to the report."""
    n_examples = options.sentences or comparison.sentences
    epochs = options.epochs or comparison.epochs
    pairs = options.pairs or comparison.pairs
    data = prepare_data(comparison, n_examples, options.train)
    settings = []
    if comparison.is_loop:
        chosen = choose_settings(comparison, data, report, options)
        settings = [*chosen, "--forward"]
        if options.without_compile:
            report["notes"].append(f"{comparison.title}: torch.compile was not tried")
    name = f"{comparison.name}-{comparison.peer_precision}"
    ours = {precision: [] for precision, _ in comparison.ours}
    theirs = []
    for pair in range(1, pairs + 1):
        for precision, runs in ours.items():
            run = run_ours(options, name, comparison, data, epochs, precision, comparison.record)
            progress(f"{name} {pair}/{pairs} ours {precision}", run)
            runs.append(run)
        run = run_peer(options.device, name, comparison, data, epochs, settings)
        if run["tokens"] != ours[comparison.ours[0][0]][-1]["tokens"]:
            counted = ours[comparison.ours[0][0]][-1]["tokens"]
            note = f"{name}: the sides count different tokens: {counted:,} and {run['tokens']:,}"
            say(f"warning: {note}")
            report["notes"].append(note)
        progress(f"{name} {pair}/{pairs} peer {' '.join([*comparison.peer, *settings])}", run)
        theirs.append(run)
    peer = medians(theirs)
    for precision, goal in comparison.ours:
        our = medians(ours[precision])
        report["rows"].append(
            {
                "comparison": comparison.name,
                "title": comparison.title,
                "our_precision": precision,
                "peer_precision": comparison.peer_precision,
                "peer_settings": settings,
                "sentences": n_examples,
                "epochs": epochs,
                "pairs": pairs,
                "batch_size": comparison.batch_size,
                "ours": our,
                "peer": peer,
                "ratio": our["tokens_per_second"] / peer["tokens_per_second"],
                "goal": goal,
                "memory_ratio": our["peak_rss_mb"] / peer["peak_rss_mb"],
                "memory_goal": comparison.memory_goal,
                "encoder_parameters": theirs[0]["encoder_parameters"],
                "our_runs": ours[precision],
                "peer_runs": theirs,
            }
        )


def compare_self(options, report):
    """Compares ours with itself: what recording costs, what a second thread brings, how soon it
    starts, and how fast it runs forward only."""
    comparison = next(each for each in COMPARISONS if each.name == "c")
    n_examples = options.sentences or comparison.sentences
    epochs = options.epochs or comparison.epochs
    pairs = options.pairs or comparison.pairs
    data = prepare_data(comparison, n_examples, options.train)
    variants = {
        "none": dict(record=None),
        "during_training": dict(record="during_training"),
        "epoch_end": dict(record="epoch_end"),
        "1 thread": dict(record="during_training", threads=1),
        "2 threads": dict(record="during_training", threads=2),
    }
    runs = {variant: [] for variant in variants}
    for pair in range(1, pairs + 1):
        for variant, settings in variants.items():
            run = run_ours(options, "self", comparison, data, epochs, "auto", **settings)
            progress(f"self {pair}/{pairs} {variant}", run)
            runs[variant].append(run)
    summary = {variant: medians(several) for variant, several in runs.items()}
    report["self"] = {
        "sentences": n_examples,
        "epochs": epochs,
        "pairs": pairs,
        "medians": summary,
        "results": self_results(summary),
        "runs": runs,
    }


def self_results(summary):
    """What follows from the medians of `self`: (what, value, goal, whether it is reached)."""
    seconds = {variant: run["train_seconds"] for variant, run in summary.items()}
    tokens = summary["during_training"]["tokens"]
    training_rate = summary["none"]["tokens_per_second"]
    cost = seconds["during_training"] / seconds["none"] - 1
    passes = seconds["epoch_end"] - seconds["during_training"]
    # Two equal times, as of very short runs, leave no pass to see.
    forward_rate = tokens / passes if passes > 0 else float("inf")
    threads = seconds["1 thread"] / seconds["2 threads"]
    first = summary["during_training"]["first_step_seconds"]
    pass_share = passes / seconds["none"]
    return [
        ("cost of `during_training`", f"{cost:.1%}", "< 2 %", cost < 0.02),
        ("cost of `epoch_end`, a forward pass each epoch", f"{pass_share:.1%}", "<= 40 %",
         pass_share <= 0.4),
        ("forward-only rate over the training rate",
         f"{forward_rate / training_rate:.2f} ({forward_rate:,.0f} tokens/s)", ">= 2.5",
         forward_rate / training_rate >= 2.5),
        ("2 threads over 1", f"{threads:.2f}", ">= 1.8", threads >= 1.8),
        ("first step, from the process's start", f"{first:.2f} s", "< 2 s", first < 2.0),
    ]


def peak_share(tokens_per_second, precision, parameters, peak):
    """The share of the measured peak that a rate's products take, as text."""
    gflops = tokens_per_second * FLOP_PER_PARAMETER_AND_TOKEN * parameters / 1e9
    return f"{gflops / peak[precision + '_gflops']:.0%} of {precision}"


def yes_or_no(reached):
    return "yes" if reached else "**no**"


def markdown(header, rows):
    """The lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def comparison_cells(row, peak):
    """A comparison's line in the table."""
    ours, peer = row["ours"], row["peer"]
    shares = [
        peak_share(side["tokens_per_second"], precision, row["encoder_parameters"], peak)
        for side, precision in (
            (ours, row["our_runs"][0]["precision"]),
            (peer, row["peer_precision"]),
        )
    ]
    goal = f"{row['goal']:g}: {yes_or_no(row['ratio'] >= row['goal'])}" if row["goal"] else ""
    memory = f"{row['memory_ratio']:.2f}"
    if row["memory_goal"]:
        reached = row["memory_ratio"] <= row["memory_goal"]
        memory += f" ({row['memory_goal']:g}: {yes_or_no(reached)})"
    setting = [f"ours {row['our_precision']}, peer {row['peer_precision']}"]
    if row["peer_settings"]:
        setting.append(" ".join(word.lstrip("-") for word in row["peer_settings"]
                                if word not in ("--attention", "--forward")))
    setting.append(f"{row['sentences']:,} x {row['epochs']}, batch {row['batch_size']}")
    return [
        row["title"],
        "; ".join(setting),
        f"{ours['examples_per_second']:,.1f}",
        f"{peer['examples_per_second']:,.1f}",
        f"{ours['tokens_per_second']:,.0f}",
        f"{peer['tokens_per_second']:,.0f}",
        f"{row['ratio']:.2f}",
        goal,
        *shares,
        f"{ours['peak_rss_mb']:,.0f}",
        f"{peer['peak_rss_mb']:,.0f}",
        memory,
    ]


HEADER = ["peer", "setting", "examples/s, ours", "examples/s, peer", "real tokens/s, ours",
          "real tokens/s, peer", "ratio", "goal", "share of peak, ours", "share of peak, peer",
          "peak MiB, ours", "peak MiB, peer", "memory ratio (goal)"]


def tables(report):
    """All results as Markdown."""
    peak, machine = report["peak"], report["machine"]
    where = peak["gpu"] or f"{peak['threads']} threads"
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {report['date']}; PyTorch {peak['torch']}, "
        f"transformers {peak['transformers']}.",
        f"Measured peak of torch.matmul on {where}: {peak['f32_gflops']:,.0f} GFLOP/s in f32, "
        f"{peak['bf16_gflops']:,.0f} in bf16.",
    ]
    if report["rows"]:
        lines += ["", *markdown(HEADER, [comparison_cells(row, peak) for row in report["rows"]]), ""]
    for row in report["rows"]:
        start = (
            f"{row['title']}, {row['our_precision']}: first step after "
            f"{row['ours']['first_step_seconds']:.2f} s (peer {row['peer']['first_step_seconds']:.2f} s)"
        )
        forward = row["peer"].get("forward_tokens_per_second")
        end = f"; the peer's forward pass: {forward:,.0f} tokens/s" if forward else ""
        lines.append(f"- {start}{end}")
    if report["self"]:
        size = f"{report['self']['sentences']:,} sentences x {report['self']['epochs']}"
        rows = [(*cells, yes_or_no(reached)) for *cells, reached in report["self"]["results"]]
        lines += ["", f"Ours against itself at `auto`, {size}:", ""]
        lines += markdown(["what", "value", "goal", "reached"], rows)
    if report["notes"]:
        lines += ["", *(f"- Note: {note}" for note in report["notes"])]
    return "\n".join(lines)


def machine():
    """The CPU's name, how many cores this process may use, and the memory in GiB."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": found.group(1) if found else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
    }


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not above 0")
    return number


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all, {', '.join(PARTS)}")
    parser.add_argument("--enginora", type=Path, required=True, help="our binary")
    parser.add_argument("--sentences", type=positive, help="examples to train on, in every part")
    parser.add_argument("--epochs", type=positive)
    parser.add_argument("--pairs", type=positive, help="how often each side runs")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu",
                        help="what both sides train on")
    parser.add_argument("--train", type=Path, default=TRAINING_FILE, metavar="FILE",
                        help="TSV with the columns id, label and text")
    parser.add_argument("--without-compile", action="store_true",
                        help="do not try torch.compile, which takes minutes")
    options = parser.parse_args()
    parts = options.parts or ["all"]
    for part in parts:
        if part not in [*PARTS, "all"]:
            parser.error(f"`{part}` is none of all, {', '.join(PARTS)}")
    options.parts = PARTS if "all" in parts else parts
    if not options.enginora.is_file():
        parser.error(f"`{options.enginora}` is not there")
    options.enginora = options.enginora.resolve()
    return options


def save(report):
    """Writes all numbers so far, so that a comparison that is cut short leaves something."""
    path = WORK / "compare.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main():
    options = parse_options()
    # Being told to stop ends the run in hand, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    WORK.mkdir(parents=True, exist_ok=True)
    report = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "trials": [],
        "rows": [],
        "self": None,
        "notes": [],
    }
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        report["notes"].append(f"the machine was busy when this began: load average {load:.1f}")
        say(f"warning: {report['notes'][-1]}")
    try:
        report["peak"] = run_peers(["peak", "--device", options.device], WORK / "peak")
        say(f"measured peak: {report['peak']}")
        for comparison in COMPARISONS_ON_CUDA if options.device == "cuda" else COMPARISONS:
            if comparison.name in options.parts:
                compare(comparison, options, report)
                save(report)
        if "self" in options.parts:
            compare_self(options, report)
            save(report)
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
    finally:
        if report["rows"] or report["self"]:
            print(tables(report))


if __name__ == "__main__":
    main()
