#!/usr/bin/env bash
# Trains each tiny model of tests/fixtures/models for one epoch with enginora-rs, as a user would,
# and checks that transformers reads the saved model and tokenizer without a missing or
# unexpected weight and computes the same logits for the test set. Pairs are checked, too.
#
#     PARITY_PYTHON=.../bin/python tests/parity/fixtures.sh [MODEL...]
#
# The Python needs requirements.txt beside this file; tests/parity/run.sh makes one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly PYTHON=${PARITY_PYTHON:-target/parity-venv/bin/python}
readonly OUTPUT=target/parity/fixtures
readonly BINARY=${ENGINORA_RS:-target/release/enginora-rs}

[ -n "${ENGINORA_RS:-}" ] || cargo build --release
mkdir -p "$OUTPUT"

# Special tokens in a text, an empty second text and texts that are cut are among them. `<pad>`
# is not: transformers' RoBERTa and its kin give the tokens after it other positions than ours.
cat > "$OUTPUT/train.tsv" <<'TSV'
id	sentence1	sentence2	label
1	the movie is good, and the story is not bad at all.	the film	yes
2	a bad film	the actors are good	no
3	Good		yes
4	<mask> and [MASK] in a film	</s> [SEP] <unk>	no
5	it was the best of films, it was the worst of films, and the plot of it made me sleep. i would not see it again	the story of this long film is not very good	no
6	Café déjà vu, 中文 "quoted"	don't you?	yes
TSV

models=("$@")
if [ ${#models[@]} -eq 0 ]; then
    for config in tests/fixtures/models/*/config.json; do
        models+=("$(basename "$(dirname "$config")")")
    done
fi
for model in "${models[@]}"; do
    echo "== $model"
    cat > "$OUTPUT/$model.yaml" <<YAML
model: {model_name: tests/fixtures/models/$model, max_length: 40}
training:
  dataset_path: $OUTPUT/train.tsv
  epochs: 1
  batch_size: 2
  learning_rate: 1e-2
testing: {dataset_path: $OUTPUT/train.tsv, results_file: predictions_test.jsonl}
YAML
    rm -rf "${OUTPUT:?}/$model"
    "$BINARY" loop --quiet --config "$OUTPUT/$model.yaml" --output-dir "$OUTPUT/$model" > "$OUTPUT/$model.txt"
    "$PYTHON" tests/parity/check_run.py "$OUTPUT/$model/runs/0001"
done
echo "parity: all of ${models[*]} agree"
