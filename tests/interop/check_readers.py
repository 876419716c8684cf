"""Feeds what `export` writes for cleanlab to cleanlab, and compares with what `map` says.

    check_readers.py FOLDER MAP

FOLDER is an export, MAP the file td_metrics.jsonl of the same dynamics.
"""

import json
import pathlib
import sys

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

folder, td_metrics = map(pathlib.Path, sys.argv[1:])
labels = np.load(folder / "labels.npy")
guids = (folder / "guids.txt").read_text(encoding="utf-8").splitlines()
n_epochs = len(list(folder.glob("pred_probs_epoch_*.npy")))
epochs = [np.load(folder / f"pred_probs_epoch_{epoch}.npy") for epoch in range(n_epochs)]
points = [json.loads(line) for line in td_metrics.read_text(encoding="utf-8").splitlines()]

assert guids == [str(point["guid"]) for point in points], "the ids are not the map's"
# A label's quality is the probability of the gold class, whose mean over the epochs is confidence.
quality = np.stack([get_label_quality_scores(labels, probs) for probs in epochs])
confidence = np.array([point["confidence"] for point in points])
variability = np.array([point["variability"] for point in points])
assert np.abs(quality.mean(0) - confidence).max() < 1e-12, "confidence differs"
assert np.abs(quality.std(0) - variability).max() < 1e-9, "variability differs"
issues = find_label_issues(labels, epochs[-1], return_indices_ranked_by="self_confidence")
assert len(issues) > 0, "cleanlab finds no issue"
ranked = np.argsort(quality[-1][issues], kind="stable")
assert (quality[-1][issues] == quality[-1][issues][ranked]).all(), "the issues are not ranked"
print(
    f"cleanlab reads our export: {len(guids)} examples, {n_epochs} epochs, {len(issues)} label "
    f"issues, the first `{guids[issues[0]]}`; its label quality is our confidence"
)
