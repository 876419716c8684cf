"""Measures how well `enginora-rs audit` finds wrong labels, beside cleanlab.

    python3 -m venv target/bench/venv
    target/bench/venv/bin/pip install cleanlab==2.9.0 scikit-learn pandas pyarrow
    target/bench/venv/bin/python tests/bench/label_errors.py [--noisyag FILE.csv] [--examples 3000]
        [--noisyag-examples 4000] [--epochs 3] [--folds 3] [--seeds 1 2 3] [--rates 0.01 0.05 0.2]
        [--model data/models/all-MiniLM-L6-v2] [--enginora target/release/enginora-rs]
        [--folder target/bench/label_errors] [--only single|folds] [--table]

Data: sentences of movie reviews (data/mr_products) of which a share has its label flipped, and, if
named, a CSV file of texts with annotators' labels and true ones (columns `label`, `gt`, `text`),
such as NoisyAG-News. A seed decides which examples are drawn, which labels are flipped, the
model's head and the order of training.

Each row of the table is the average precision (mean, and standard deviation over the seeds) with
which a score ranks the wrong labels first. From ONE training run: each score of `audit`, and
cleanlab's on the probabilities of that run's last epoch and on their mean over its epochs. With
folds: cleanlab's on the held-out probabilities of the last epoch, its documented use, and
`audit --folds`. Both use the same folds, models and probabilities. cleanlab ranks by the issues
that find_label_issues finds, those first, and by get_label_quality_scores, with either of its
scores; here they are `issues`, `self confidence` and `normalized margin`.

Runs that are finished are kept and not done again, so that it can be stopped and continued;
`--table` only prints what there is.
"""

import argparse
import csv
import random
import statistics
import subprocess
from pathlib import Path

import numpy
import pandas
import pyarrow.parquet
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

LOWER_IS_SUSPECT = {
    "confidence", "aum", "last_confidence", "normalized_margin", "confident_learning",
    "held_out_confidence", "held_out_last_confidence",
}
SCORES = [
    "combined", "confidence", "aum", "el2n", "loss", "forgetfulness", "last_confidence",
    "normalized_margin", "confident_learning",
]


def draw(rows, n, seed):
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows[:n]


def write_tsv(path, header, rows):
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "w", encoding="utf-8") as file:
        for row in [header] + rows:
            file.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")
    unfinished.rename(path)


def movie_reviews(folder, options, seed, rate):
    with open("data/mr_products/mr_train.tsv", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    write_tsv(folder / "train.tsv", ["id", "label", "text"], draw(rows, options.examples, seed))
    return f"label_noise: {{fraction: {rate}, kind: uniform, seed: {seed}}}"


def noisyag(folder, options, seed, _rate):
    with open(options.noisyag, encoding="utf-8", newline="") as file:
        rows = [[str(i), r["label"], r["gt"], r["text"]] for i, r in enumerate(csv.DictReader(file))]
    drawn = draw(rows, options.noisyag_examples, seed)
    write_tsv(folder / "train.tsv", ["id", "label", "gt", "text"], drawn)
    return "true_label_column: gt"


def run(options, *arguments):
    subprocess.run(["nice", "-n", "19", str(options.enginora), *map(str, arguments), "-q"],
                   check=True, stdout=subprocess.DEVNULL)


def train(folder, options, prepare, seed, rate):
    """One run and its audit, unless they are there."""
    if not (folder / "audit" / "audit.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = prepare(folder, options, seed, rate)
        (folder / "run.yaml").write_text(f"""random_state: {seed}
data: {{output_dir: {folder}/out, quoting: none, {data}}}
model: {{model_name: {options.model}, max_length: {options.max_length}}}
training:
  dataset_path: {folder}/train.tsv
  batch_size: 32
  epochs: {options.epochs}
  learning_rate: {options.learning_rate}
  warmup_ratio: 0.1
  weight_decay: 0.01
  perform_data_cartography: true
  data_cartography_results: map.parquet
""")
        run(options, "loop", "--config", folder / "run.yaml")
        run(options, "audit", folder / "out", "--output", folder / "audit")


def cross_validate(folder, options):
    """The audit with folds, unless it is there; finished folds are kept by the program."""
    if not (folder / "audit-folds" / "audit.yaml").exists():
        run(options, "audit", folder / "out", "--folds", options.folds, "--output", folder / "audit-folds")


def truth(folder):
    """The examples' ids, and whether their labels are wrong."""
    table = pandas.read_csv(folder / "audit" / "audit.csv", dtype=str, keep_default_na=False)
    return dict(zip(table.guid, (table.gold != table.true_label).astype(int)))


def ours(path, is_wrong, names):
    table = pandas.read_csv(path, dtype={"guid": str})
    wrong = [is_wrong[guid] for guid in table.guid]
    sign = {name: -1 if name in LOWER_IS_SUSPECT else 1 for name in names}
    return {name: average_precision_score(wrong, sign[name] * table[name]) for name in names}


def cleanlabs(gold, probabilities, wrong):
    gold, wrong = numpy.array(gold), numpy.array(wrong)
    found = {}
    for method in ["self_confidence", "normalized_margin"]:
        quality = get_label_quality_scores(gold, probabilities, method=method)
        found[method.replace("_", " ")] = average_precision_score(wrong, -quality)
    # The issues in its own order come first, the others by their quality.
    issues = find_label_issues(gold, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1)
    suspicion = -quality.astype(float)
    suspicion[issues] += 10
    found["issues"] = average_precision_score(wrong, suspicion)
    return found


def softmax(logits):
    exponentials = numpy.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def of_one_run(folder):
    """Ids, class indices and probabilities (epochs, examples, classes) of the run's dynamics."""
    epochs = sorted((folder / "out" / "training_dynamics").glob("epoch=*"), key=lambda p: int(p.name[6:]))
    tables = [pyarrow.parquet.read_table(p / "part-0.parquet").to_pydict() for p in epochs]
    probabilities = softmax(numpy.array([table["logits"] for table in tables], dtype=float))
    return tables[0]["guid"], tables[0]["gold"], probabilities


def measure(folder):
    """Names to average precisions of what is finished in a folder."""
    found = {}
    if not (folder / "audit" / "audit.yaml").exists():
        return found
    is_wrong = truth(folder)
    found["random order"] = statistics.fmean(is_wrong.values())
    for name, value in ours(folder / "audit" / "audit.csv", is_wrong, SCORES).items():
        found[f"one run, audit: {name}"] = value
    guids, gold, probabilities = of_one_run(folder)
    wrong = [is_wrong[guid] for guid in guids]
    for what, rows in [("last epoch", probabilities[-1]), ("mean of epochs", probabilities.mean(axis=0))]:
        for name, value in cleanlabs(gold, rows, wrong).items():
            found[f"one run, cleanlab on its {what}: {name}"] = value
    if (folder / "audit-folds" / "audit.yaml").exists():
        [path] = (folder / "audit-folds").glob("*-folds-*/held_out.parquet")
        held_out = pyarrow.parquet.read_table(path).to_pydict()
        wrong = [is_wrong[guid] for guid in held_out["guid"]]
        rows = numpy.array(held_out["probabilities"])
        for name, value in cleanlabs(held_out["gold"], rows, wrong).items():
            found[f"folds, cleanlab on held-out: {name}"] = value
        names = ["combined", "held_out_confidence", "held_out_last_confidence"]
        for name, value in ours(folder / "audit-folds" / "audit.csv", is_wrong, names).items():
            found[f"folds, audit: {name}"] = value
    return found


def table(cells):
    """Markdown: scores down, data sets across, mean and standard deviation over the seeds."""
    sets = list(cells)
    names = list(dict.fromkeys(name for seeds in cells.values() for found in seeds for name in found))
    ranks = {"random": 0, "one ru": 1, "folds,": 2}
    names.sort(key=lambda name: ranks[name[:6]])
    lines = ["| average precision | " + " | ".join(sets) + " |", "| --- |" + " --- |" * len(sets)]
    for name in names:
        row = []
        for seeds in cells.values():
            values = [found[name] for found in seeds if name in found]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            row.append(f"{statistics.fmean(values):.3f}{spread} ({len(values)})" if values else "")
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enginora", type=Path, default=Path("target/release/enginora-rs"))
    parser.add_argument("--noisyag", type=Path)
    parser.add_argument("--model", default="data/models/all-MiniLM-L6-v2")
    parser.add_argument("--folder", type=Path, default=Path("target/bench/label_errors"))
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--noisyag-examples", type=int, default=4000)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", default="5e-5")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rates", nargs="+", default=["0.01", "0.05", "0.2"])
    parser.add_argument("--only", choices=["single", "folds"])
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    sets = [(f"MR {100 * float(rate):g} % flipped", movie_reviews, rate, options.examples) for rate in options.rates]
    if options.noisyag:
        sets.insert(0, ("NoisyAG-News", noisyag, "", options.noisyag_examples))
    folders = {}
    for name, prepare, rate, n in sets:
        for seed in options.seeds:
            run_name = f"{prepare.__name__}{rate}-{n}x{options.epochs}-seed{seed}"
            folders[name, seed] = (options.folder / run_name, prepare, rate)

    def show():
        cells = {name: [measure(folders[name, seed][0]) for seed in options.seeds] for name, *_ in sets}
        text = table({name: seeds for name, seeds in cells.items() if any(seeds)})
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "table.md").write_text(text + "\n")
        return text

    if not options.table:
        # Seed by seed, so that a measurement that is stopped has something of everything.
        for seed in options.seeds:
            for name, *_ in sets:
                folder, prepare, rate = folders[name, seed]
                if options.only != "folds":
                    train(folder, options, prepare, seed, rate)
                if options.only != "single" and (folder / "audit").exists():
                    cross_validate(folder, options)
                show()
                print(f"{name}, seed {seed}: done", flush=True)
    print(show())


main()
