#!/usr/bin/env python3
"""Checks that transformers, given a finished run's model, says what the run said.

    python tests/parity/check_run.py RUN_DIR [DATA]

Loads RUN_DIR/best_model with AutoModelForSequenceClassification and AutoTokenizer, computes the
logits of DATA's texts in float32, and compares them with RUN_DIR/predictions_test.jsonl
(or .csv), which has guid, label, prediction, probabilities and logits of every example. Also checked: every
weight of the saved model has its place and none is missing, the label names, the guids, that
probabilities and predictions follow from the logits, and the accuracies in RUN_DIR/metrics.yaml
against scikit-learn's. Exits with 1 and a list of what differs.

DATA is a TSV or CSV file with a header of id, label and text; left out, it is the
`testing.dataset_path` of RUN_DIR/config.resolved.yaml. tests/parity/run.sh sets everything up.
"""

import argparse
import csv
import json
import math
import os
import sys
from pathlib import Path

# A missing file is to be an error here, never a download.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
import yaml
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

DEFAULT_MAX_LENGTH = 256
ID_COLUMNS = ["id", "guid"]
TEXT_COLUMNS = ["text", "sentence", "sentence1"]
PAIR_COLUMNS = ["text_pair", "sentence2"]
LABEL_COLUMNS = ["label"]
METRICS = {
    "accuracy_score": accuracy_score,
    "balanced_accuracy_score": balanced_accuracy_score,
}
METRIC_TOLERANCE = 1e-9
# Softmax of float32 logits, itself perhaps in float32.
SOFTMAX_TOLERANCE = 1e-6
SHOWN = 5


class Mismatch(Exception):
    """Something without which the comparison cannot be made at all."""


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}


def find_data(config):
    """The test file that a run's resolved config names."""
    path = (config.get("testing") or {}).get("dataset_path")
    if path is None:
        raise Mismatch("no DATA given, and the run's config.resolved.yaml names no test set")
    candidates = [Path(path), Path((config.get("data") or {}).get("data_dir") or "") / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise Mismatch(f"`{path}`, the run's test set, is not here: give DATA")


def pick_column(header, names, path, required=True):
    for name in header:
        if name.strip().lower() in names:
            return name
    if required:
        raise Mismatch(f"{path}: the header {header} has no column called {' or '.join(names)}")
    return None


def read_data(path):
    """guid to (label name, text, second text or None), in the order of the file."""
    delimiter = "\t" if path.suffix in (".tsv", ".txt") else ","
    # The quotes in TSV files are part of the sentences here.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, quoting=quoting)
        header = reader.fieldnames or []
        id_column = pick_column(header, ID_COLUMNS, path)
        label_column = pick_column(header, LABEL_COLUMNS, path)
        text_column = pick_column(header, TEXT_COLUMNS, path)
        pair_column = pick_column(header, PAIR_COLUMNS, path, required=False)
        rows = {}
        for row in reader:
            if row[id_column] in rows:
                raise Mismatch(f"{path}: the id `{row[id_column]}` is there twice")
            second = row[pair_column] if pair_column else None
            rows[row[id_column]] = (row[label_column], row[text_column], second)
    return rows


def read_predictions(run):
    """The rows of predictions_test.jsonl or predictions_test.csv, lists as lists."""
    path = run / "predictions_test.jsonl"
    if path.is_file():
        # Not `splitlines`, which also splits at separators that JSON strings may hold.
        lines = path.read_text(encoding="utf-8").strip("\n").split("\n")
        rows = [json.loads(line) for line in lines if line]
    else:
        path = run / "predictions_test.csv"
        if not path.is_file():
            raise Mismatch(f"{run} holds no predictions_test.jsonl or .csv")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            for key in ("probabilities", "logits"):
                row[key] = json.loads(row.get(key) or "null")
    if not rows:
        raise Mismatch(f"{path} is empty")
    for number, row in enumerate(rows, 1):
        for key in ("guid", "label", "prediction", "probabilities", "logits"):
            if row.get(key) is None:
                raise Mismatch(f"{path}: row {number} has no `{key}`")
        row["guid"] = str(row["guid"])
    return rows


def check_guids(predictions, rows, subset):
    problems = []
    guids = [row["guid"] for row in predictions]
    if len(set(guids)) != len(guids):
        problems.append(f"{len(guids) - len(set(guids))} guids are predicted more than once")
    unknown = [guid for guid in guids if guid not in rows]
    if unknown:
        raise Mismatch(f"{len(unknown)} guids are not in the data, the first `{unknown[0]}`")
    missing = [guid for guid in rows if guid not in set(guids)]
    if missing and not subset:
        problems.append(f"{len(missing)} examples have no prediction, the first `{missing[0]}`")
    return problems


def check_labels(predictions, rows, config):
    """Names in the model's config, the predictions and the data."""
    problems = []
    names = config.id2label
    if sorted(names) != list(range(len(names))):
        problems.append(f"id2label has the ids {sorted(names)}")
    if config.label2id != {name: index for index, name in names.items()}:
        problems.append(f"label2id {config.label2id} is not the inverse of id2label {names}")
    known = {str(name) for name in names.values()}
    for row in predictions:
        gold = rows[row["guid"]][0]
        if str(row["label"]) != gold:
            problems.append(f"`{row['guid']}`: label `{row['label']}`, in the data `{gold}`")
        for key in ("label", "prediction"):
            if str(row[key]) not in known:
                problems.append(f"`{row['guid']}`: {key} `{row[key]}` is not in id2label {names}")
        for key in ("logits", "probabilities"):
            if len(row[key]) != len(names):
                raise Mismatch(f"`{row['guid']}`: {len(row[key])} {key}, {len(names)} labels")
    return problems


def softmax(logits):
    largest = max(logits)
    powers = [math.exp(logit - largest) for logit in logits]
    return [power / sum(powers) for power in powers]


def check_consistency(predictions, names):
    """That each line's probabilities and prediction follow from its own logits."""
    problems = []
    for row in predictions:
        expected = softmax(row["logits"])
        difference = max(abs(a - b) for a, b in zip(expected, row["probabilities"]))
        if not difference <= SOFTMAX_TOLERANCE:
            problems.append(f"`{row['guid']}`: probabilities {difference:.2e} from the softmax")
        # `index` finds the first of equal logits: ties go to the lower class.
        best = names[row["logits"].index(max(row["logits"]))]
        if str(row["prediction"]) != str(best):
            problems.append(f"`{row['guid']}`: prediction `{row['prediction']}`, argmax `{best}`")
    return problems


def check_metrics(predictions, metrics):
    problems = []
    gold = [str(row["label"]) for row in predictions]
    predicted = [str(row["prediction"]) for row in predictions]
    for name, function in METRICS.items():
        value = function(gold, predicted)
        told = metrics.get(name)
        print(f"{name}: {value:.6f}" + ("" if told is None else f", metrics.yaml {told:.6f}"))
        if told is not None and not abs(told - value) <= METRIC_TOLERANCE:
            problems.append(f"{name} in metrics.yaml is {told}, scikit-learn's is {value}")
    return problems


def load_model(folder):
    """The model in float32 and what is wrong with its weights' names and shapes."""
    model, info = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = [f"{folder}: {kind}: {list(names)}" for kind, names in info.items() if names]
    return model.eval(), problems


def compute_logits(model, tokenizer, texts, max_length, batch_size):
    """float32 logits of (text, second text or None) pairs, in padded batches."""
    logits = []
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        seconds = [second for _, second in batch]
        inputs = tokenizer(
            [first for first, _ in batch],
            None if seconds[0] is None else seconds,
            truncation="longest_first",
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            logits.append(model(**inputs).logits)
    return torch.cat(logits)


def compare(what, ours, theirs, guids, tolerance):
    """Prints the largest differences of two (N, C) tensors."""
    difference = (ours - theirs).abs().amax(dim=1)
    print(f"largest difference of {what}: {difference.max():.3e} (tolerance {tolerance:.0e})")
    for index in difference.argsort(descending=True, stable=True)[:SHOWN].tolist():
        told, found = ours[index].tolist(), theirs[index].tolist()
        print(f"  {difference[index]:.3e}  `{guids[index]}`  run {told}  transformers {found}")
    # Written so that a NaN, which compares as false, is counted.
    beyond = int((~(difference <= tolerance)).sum())
    return [f"{what}: {beyond} of {len(guids)} differ by more than {tolerance:.0e}"] if beyond else []


def check(arguments):
    run = arguments.run_dir
    config = read_yaml(run / "config.resolved.yaml")
    data = arguments.data or find_data(config)
    max_length = (
        arguments.max_length or (config.get("model") or {}).get("max_length") or DEFAULT_MAX_LENGTH
    )
    rows = read_data(data)
    predictions = read_predictions(run)
    if arguments.limit:
        predictions = predictions[: arguments.limit]
    print(f"{run}: {len(predictions)} predictions, {data}: {len(rows)} examples")

    folder = run / "best_model"
    if not folder.is_dir():
        raise Mismatch(f"{folder} is missing")
    model, problems = load_model(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    problems += check_guids(predictions, rows, arguments.subset or bool(arguments.limit))
    problems += check_labels(predictions, rows, model.config)
    problems += check_consistency(predictions, model.config.id2label)
    if not arguments.limit:
        metrics = read_yaml(run / "metrics.yaml").get("test") or {}
        problems += check_metrics(predictions, metrics)

    guids = [row["guid"] for row in predictions]
    texts = [rows[guid][1:] for guid in guids]
    theirs = compute_logits(model, tokenizer, texts, max_length, arguments.batch_size).double()
    ours = torch.tensor([row["logits"] for row in predictions], dtype=torch.float64)
    problems += compare("logits", ours, theirs, guids, arguments.tolerance)
    ours = torch.tensor([row["probabilities"] for row in predictions], dtype=torch.float64)
    problems += compare(
        "probabilities", ours, theirs.softmax(dim=1), guids, arguments.probability_tolerance
    )
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--max-length", type=int, help="tokens; else the run's, else 256")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of a logit")
    parser.add_argument("--probability-tolerance", type=float, default=1e-5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--limit", type=int, help="look at the first so many predictions only")
    parser.add_argument(
        "--subset", action="store_true", help="the run may have predicted a part of the data"
    )
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    try:
        problems = check(arguments)
    except (Mismatch, OSError, ValueError) as error:
        problems = [str(error)]
    for problem in problems[:20]:
        print(f"parity: {problem}", file=sys.stderr)
    if len(problems) > 20:
        print(f"parity: and {len(problems) - 20} more", file=sys.stderr)
    if problems:
        sys.exit(1)
    print("parity: the run and transformers agree")


if __name__ == "__main__":
    main()
