"""Writes training dynamics with some wrong labels to FOLDER, in allenai/cartography's format."""

import json
import pathlib
import sys

import numpy as np

N_EXAMPLES, N_EPOCHS, N_CLASSES = 500, 4, 3
folder = pathlib.Path(sys.argv[1])
random = np.random.default_rng(1)
true = random.integers(0, N_CLASSES, N_EXAMPLES)
is_wrong = random.random(N_EXAMPLES) < 0.1
gold = np.where(is_wrong, (true + 1) % N_CLASSES, true)
for epoch in range(N_EPOCHS):
    logits = random.normal(0, 1, (N_EXAMPLES, N_CLASSES))
    logits[np.arange(N_EXAMPLES), true] += 1 + epoch
    with open(folder / f"dynamics_epoch_{epoch}.jsonl", "w", encoding="utf-8") as file:
        for i in range(N_EXAMPLES):
            guid = i if i % 2 else f"example {i}"
            row = {"guid": guid, f"logits_epoch_{epoch}": logits[i].tolist(), "gold": int(gold[i])}
            file.write(json.dumps(row) + "\n")
