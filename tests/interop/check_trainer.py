"""Holds training_dynamics.py against the real transformers Trainer.

    python tests/interop/check_trainer.py [--write-fixture]

A tiny random BERT is trained with and without the callback: plainly, with accumulated gradients,
with batches grouped by length, stopped in mid-epoch, and in two processes (gloo). The weights must be
the same to the bit, and every file must hold what a plain forward pass gives for the same row.
With --write-fixture the files of one run go to tests/fixtures/trainer_dynamics, with the signals
of their map computed by numpy in expected.json.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
HERE = Path(__file__).resolve().parent
FIXTURE = HERE.parent / "fixtures" / "trainer_dynamics"
sys.path.insert(0, str(HERE))

import numpy as np
import pyarrow.parquet as pq
import torch
from training_dynamics import TrainingDynamics
from transformers import (BertConfig, BertForSequenceClassification, Trainer, TrainerCallback,
                          TrainingArguments, set_seed)

N, CLASSES, EPOCHS = 22, 3, 3


def examples():
    draw = np.random.default_rng(5)
    rows = []
    for i in range(N):
        ids = [1] + draw.integers(5, 60, draw.integers(3, 18)).tolist() + [2]
        rows.append({"input_ids": ids, "labels": int((ids[1] + ids[2]) % CLASSES)})
    return rows


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    pad = lambda values, n: values + [0] * (longest - n)
    return {
        "input_ids": torch.tensor([pad(r["input_ids"], len(r["input_ids"])) for r in rows]),
        "attention_mask": torch.tensor([pad([1] * len(r["input_ids"]), len(r["input_ids"])) for r in rows]),
        "labels": torch.tensor([r["labels"] for r in rows]),
    }


class KeepWeights(TrainerCallback):
    """The weights at each epoch's end."""

    def __init__(self):
        self.weights = []

    def on_epoch_end(self, args, state, control, model=None, **kwargs):
        model = getattr(model, "module", model)
        self.weights.append({k: v.detach().clone() for k, v in model.state_dict().items()})


def train(folder, output, guids=None, **arguments):
    set_seed(7)
    model = BertForSequenceClassification(BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, num_labels=CLASSES))
    settings = dict(output_dir=output, num_train_epochs=EPOCHS, per_device_train_batch_size=4,
                    learning_rate=5e-3, report_to=[], save_strategy="no", use_cpu=True, seed=7,
                    disable_tqdm=True, logging_strategy="no")
    trainer = Trainer(model=model, args=TrainingArguments(**{**settings, **arguments}),
                      train_dataset=examples(), data_collator=collate)
    keep = KeepWeights()
    trainer.add_callback(keep)
    if folder:
        trainer.add_callback(TrainingDynamics(trainer, folder, guids))
    trainer.train()
    return model, keep.weights


def reference_logits(model, weights):
    model = copy.deepcopy(model)
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        return np.stack([model(**{k: v for k, v in collate([row]).items() if k != "labels"})
                         .logits[0].numpy() for row in examples()])


def check(name, guids=None, **arguments):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "training_dynamics")
        model, kept = train(folder, scratch, guids, **arguments)
        plain, kept_plain = train(None, scratch, **arguments)
        assert len(kept) == len(kept_plain)
        for with_callback, without in zip(kept, kept_plain):
            for key, value in without.items():
                assert torch.equal(with_callback[key], value), f"{name}: {key} differs"
        n_epochs = len(kept)
        assert sorted(p.name for p in folder.iterdir()) == [f"epoch={e}" for e in range(n_epochs)]
        worst = 0.0
        for epoch, weights in enumerate(kept):
            files = list(folder.joinpath(f"epoch={epoch}").iterdir())
            assert [f.name for f in files] == ["part-0.parquet"], files
            table = pq.read_table(files[0])
            assert table["index"].to_pylist() == list(range(N))
            assert table["guid"].to_pylist() == [str(g) for g in guids or range(N)]
            assert table["gold"].to_pylist() == [row["labels"] for row in examples()]
            logits = np.array(table["logits"].to_pylist(), dtype=np.float32)
            worst = max(worst, np.abs(logits - reference_logits(model, weights)).max())
        assert worst < 1e-5, f"{name}: logits differ by {worst}"
        print(f"{name}: {n_epochs} epochs, training unchanged, logits within {worst:.1e}")


def write_fixture():
    shutil.rmtree(FIXTURE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        train(FIXTURE, scratch, [f"row-{i}" for i in range(N)])
    logits = np.stack([np.array(pq.read_table(FIXTURE / f"epoch={e}" / "part-0.parquet")["logits"].to_pylist())
                       for e in range(EPOCHS)])
    gold = np.array([row["labels"] for row in examples()])
    shifted = np.exp(logits - logits.max(axis=2, keepdims=True))
    p = (shifted / shifted.sum(axis=2, keepdims=True))[:, np.arange(N), gold]
    right = logits.argmax(axis=2) == gold
    expected = {
        "guid": [f"row-{i}" for i in range(N)],
        "gold": gold.tolist(),
        "confidence": p.mean(axis=0).tolist(),
        "variability": p.std(axis=0).tolist(),
        "correctness": right.sum(axis=0).tolist(),
    }
    (FIXTURE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print("wrote", FIXTURE)


def in_two_processes():
    """Runs this file under torchrun; only the first process may write."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
                        "--master-port", "29577", __file__, "--worker", scratch], check=True,
                       env={**os.environ, "OMP_NUM_THREADS": "1"})
        for epoch in range(EPOCHS):
            table = pq.read_table(Path(scratch, "dynamics", f"epoch={epoch}", "part-0.parquet"))
            assert table.num_rows == N and table["gold"].to_pylist() == [r["labels"] for r in examples()]
            logits = np.array(table["logits"].to_pylist(), dtype=np.float32)
            expected = np.load(Path(scratch, f"expected-{epoch}.npy"))
            assert np.abs(logits - expected).max() < 1e-5
    print(f"two processes: {EPOCHS} epochs, rows in order, logits as in one process")


def worker(scratch):
    model, kept = train(os.path.join(scratch, "dynamics"), scratch, ddp_backend="gloo")
    if int(os.environ["RANK"]) == 0:
        for epoch, weights in enumerate(kept):
            np.save(os.path.join(scratch, f"expected-{epoch}.npy"), reference_logits(model, weights))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2])
    elif sys.argv[1:] == ["--write-fixture"]:
        write_fixture()
    else:
        check("plain")
        check("with guids", guids=[f"row-{i}" for i in range(N)])
        check("accumulated gradients", gradient_accumulation_steps=4)
        check("grouped by length", train_sampling_strategy="group_by_length")
        check("cut short", max_steps=8)
        check("evaluation batches of 5", per_device_eval_batch_size=5)
        in_two_processes()
