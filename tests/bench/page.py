"""Measures how long the page of a large run takes to open, and how smoothly its map moves.

    python3 -m venv target/bench/venv && target/bench/venv/bin/pip install numpy pyarrow
    (cd src/report/page && npm ci)
    target/bench/venv/bin/python tests/bench/page.py [--examples 500000] [--enginora target/release/enginora-rs]

Makes a run of so many texts of 60 characters over 4 epochs, its page with and without texts, and
opens each three times in headless Chromium (CHROMIUM=/usr/bin/chromium), which draws in software.
"""

import argparse
import os
import random
import subprocess
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

WORDS = "film story actor scene plot music ending dull awful boring fine lovely moving strange funny slow".split()


def make_run(folder, n):
    numbers, words = numpy.random.default_rng(1), random.Random(1)
    gold = numbers.integers(0, 2, n).astype(numpy.uint32)
    with open(folder / "train.csv", "w", encoding="utf-8") as file:
        file.write("id,text,label\n")
        for i in range(n):
            text = " ".join(words.choices(WORDS, k=20))[:60]
            file.write(f"ex-{i},{text},{gold[i]}\n")
    ease = numbers.normal(1.2, 1.6, n)
    guids = pyarrow.array([f"ex-{i}" for i in range(n)])
    for epoch in range(4):
        margin = ease * (0.4 + 0.3 * epoch) + numbers.normal(0, 0.8, n)
        signed = numpy.where(gold == 1, margin, -margin).astype(numpy.float32) / 2
        logits = pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(numpy.stack([-signed, signed], axis=1).reshape(-1)), 2
        ).cast(pyarrow.list_(pyarrow.float32()))
        columns = {"index": numpy.arange(n, dtype=numpy.uint32), "guid": guids, "gold": gold, "logits": logits}
        part = folder / "training_dynamics" / f"epoch={epoch}" / "part-0.parquet"
        part.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), part)
    config = f"data: {{data_dir: {folder.resolve()}}}\ntraining: {{dataset_path: train.csv, data_cartography_results: data_map.parquet}}\n"
    (folder / "config.resolved.yaml").write_text(config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500_000)
    parser.add_argument("--enginora", type=Path, default=Path("target/release/enginora-rs"))
    parser.add_argument("--folder", type=Path, default=Path("target/bench/page"))
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    make_run(folder, options.examples)
    run = lambda *arguments: subprocess.run([options.enginora, *arguments, "-q"], check=True, stdout=subprocess.DEVNULL)
    run("map", folder, "--no-plots", "--output", folder)
    pages = {"with texts": [], "without": ["--no-texts"]}
    for name, arguments in pages.items():
        page = folder / f"{name.replace(' ', '-')}.html"
        run("report", folder, *arguments, "--output", page)
        print(f"{name}: {page.stat().st_size / 1e6:.1f} MB", flush=True)
        subprocess.run(["node", Path(__file__).parent / "page.mjs", page.resolve()], check=True, env=os.environ)


main()
