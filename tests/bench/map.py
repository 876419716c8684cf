"""Times `enginora-rs map --no-plots` on dynamics that it generates, and says how much memory it takes.

    python3 tests/bench/map.py [--enginora target/release/enginora-rs] [--runs 5] [--examples 50000]
        [--epochs 6] [--classes 3] [--format allenai|parquet] [--folder target/bench/map]

`allenai`: one JSON line per example and epoch, in another order in each epoch, as the paper's code
writes them. `parquet`: a run's own epoch files (needs pyarrow). Files that an earlier call made are
used again.
"""

import argparse
import os
import random
import resource
import statistics
import subprocess
import time
from pathlib import Path


def allenai(folder, n_examples, n_epochs, n_classes):
    draw = random.Random(1)
    gold = [draw.randrange(n_classes) for _ in range(n_examples)]
    centre = [[draw.gauss(0, 1) for _ in range(n_classes)] for _ in range(n_examples)]
    order = list(range(n_examples))
    for epoch in range(n_epochs):
        draw.shuffle(order)
        with open(folder / f"dynamics_epoch_{epoch}.jsonl", "w") as file:
            for i in order:
                logits = [x + draw.gauss(0, 1) + epoch * (c == gold[i]) for c, x in enumerate(centre[i])]
                file.write(f'{{"guid": {100000 + i}, "logits_epoch_{epoch}": {logits}, "gold": {gold[i]}}}\n')


def parquet(folder, n_examples, n_epochs, n_classes):
    import numpy
    import pyarrow
    import pyarrow.parquet

    rows_at_once = 1 << 18
    schema = pyarrow.schema([
        ("index", pyarrow.uint32()), ("guid", pyarrow.string()), ("gold", pyarrow.uint32()),
        ("logits", pyarrow.list_(pyarrow.float32())),
    ])
    for epoch in range(n_epochs):
        part = folder / f"epoch={epoch}"
        part.mkdir()
        with pyarrow.parquet.ParquetWriter(part / "part-0.parquet", schema) as writer:
            for first in range(0, n_examples, rows_at_once):
                index = numpy.arange(first, min(first + rows_at_once, n_examples), dtype=numpy.uint32)
                draw = numpy.random.default_rng([first, epoch])
                logits = draw.standard_normal(len(index) * n_classes, dtype=numpy.float32)
                ends = numpy.arange(len(index) + 1, dtype=numpy.int32) * n_classes
                columns = [index, index.astype(str), index % n_classes]
                lists = pyarrow.ListArray.from_arrays(ends, logits)
                writer.write_table(pyarrow.table([pyarrow.array(c) for c in columns] + [lists], schema=schema))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enginora", default="target/release/enginora-rs")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--format", choices=["allenai", "parquet"], default="allenai")
    parser.add_argument("--folder", type=Path, default=Path("target/bench/map"))
    options = parser.parse_args()
    shape = (options.examples, options.epochs, options.classes)
    folder = options.folder / f"{options.format}-{'x'.join(map(str, shape))}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        unfinished.mkdir(parents=True)
        {"allenai": allenai, "parquet": parquet}[options.format](unfinished, *shape)
        unfinished.rename(folder)
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    command = [options.enginora, "map", folder, "--no-plots", "--quiet", "--output", options.folder / "out"]
    seconds = []
    for _ in range(options.runs):
        start = time.monotonic()
        subprocess.run(command, check=True)
        seconds.append(time.monotonic() - start)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{options.format}, {shape[0]:,} examples x {shape[1]} epochs x {shape[2]} classes, "
        f"{n_bytes / 1e6:,.0f} MB, {os.cpu_count()} cores: median {statistics.median(seconds):.3f} s, "
        f"best {min(seconds):.3f} s of {options.runs}, peak {peak:,.0f} MiB"
    )


main()
