// Makes two runs of the program, tiny, and one whose data mean harm.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [, , program, work] = process.argv;
export const HOSTILE = [
  "</script><script>window.harmed = true</script>",
  "<img src=x onerror=\"window.harmed = true\">",
  "<!--", "--><svg onload='window.harmed = true'>",
  "javascript:window.harmed=true", "\u2028\u2029", "\u202Egnp.exe\u202C", "null \u0000 byte", "\"quoted\", and, commas",
];

const words = ["film", "story", "actor", "scene", "plot", "music", "ending"];
const opinion = [["dull", "awful", "boring"], ["fine", "lovely", "moving"]];

/** Sentences of two classes; every eleventh has the other class's label. */
function rows(n, text) {
  return Array.from({ length: n }, (_, i) => {
    const label = i % 2;
    const word = opinion[label][Math.floor(i / 2) % 3];
    const sentence = `the ${words[i % 7]} was ${word} and the ${words[(Math.floor(i / 7) + 3) % 7]} too`;
    return text(i, sentence, i % 11 === 10 ? 1 - label : label);
  });
}

function run(name, training, test, settings) {
  const folder = join(work, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, lines] of [["train.jsonl", training], ["test.jsonl", test]]) {
    writeFileSync(join(folder, file), lines.map((line) => JSON.stringify(line) + "\n").join(""));
  }
  const config = {
    random_state: 11,
    data: { output_dir: "out" },
    model: { model_name: "scratch", max_length: 32, scratch: { vocab_size: 300, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32 } },
    training: { dataset_path: "train.jsonl", validation_size: 0.1, batch_size: 16, epochs: 4, learning_rate: 0.005, perform_data_cartography: true, data_cartography_results: "map.parquet" },
    testing: { dataset_path: "test.jsonl" },
    confidence_intervals: { n_resamples: 50, confidence_level: 0.95 },
    ...settings,
  };
  // JSON is YAML, too.
  writeFileSync(join(folder, "run.yaml"), JSON.stringify(config));
  execFileSync(program, ["-q", "loop", "--config", "run.yaml"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  return folder;
}

const plain = (prefix) => (i, text, label) => ({ id: `${prefix}-${i}`, text, label: label === 1 ? "good" : "bad" });
const folder = run("plain", rows(400, plain("train")), rows(60, plain("test")));
execFileSync(program, ["-q", "audit", "out"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
execFileSync(program, ["-q", "loop", "--config", "run.yaml", "--set", "random_state=5", "--output-dir", "other"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
execFileSync(program, ["-q", "report", "out", "other", "--output", "two.html"], { cwd: folder });
execFileSync(program, ["-q", "loop", "--config", "run.yaml", "--set", "training.perform_data_cartography=false", "--output-dir", "mapless"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });

const harm = (i, text, label) => ({
  id: `${HOSTILE[i % HOSTILE.length]} ${i}`,
  text: `${text} ${HOSTILE[(i * 5 + 1) % HOSTILE.length]}`,
  label: label === 1 ? HOSTILE[0] : HOSTILE[4],
});
run("hostile", rows(90, harm), rows(20, harm), { random_state: 3, mlflow: null });

const pair = (i, text, label) => ({ id: `pair-${i}`, sentence1: text, sentence2: `second ${text}`, label });
run("pairs", rows(60, pair), rows(10, pair), {});
const choice = (i, text, label) => ({ id: `choice-${i}`, text: "it was _ in all", first: "dull", second: "fine", label });
run("choice", rows(60, choice), rows(10, choice), {
  data: { output_dir: "out", text_column: "text", label_column: "label", option_columns: ["first", "second"], option_blank: "_" },
});

// The least that is a map: another program's table.
writeFileSync(join(folder, "least.csv"), "guid,confidence,variability\na,0.9,0.1\nb,0.5,0.4\nc,0.5,0.4\n");
execFileSync(program, ["-q", "report", "least.csv", "--no-texts", "--output", "least.html"], { cwd: folder });
