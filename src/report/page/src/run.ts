// The run at a glance: scores, curves, confusion, experiments, config.

import { confusionTable, lineChart, round, type Line } from "./charts";
import { grouped, h, own, short } from "./dom";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Numbers = Record<string, Json>;

export interface RunFacts {
  version: string | null;
  config: string | null;
  metrics: Record<string, Numbers> | null;
  history: Numbers[] | null;
  training_log: Numbers[] | null;
  selection: Json;
  confusions: Record<string, { classes: string[]; counts: number[][]; n: number }> | null;
  experiment: Experiment[] | null;
  audit: Json;
}

interface Experiment {
  selection: string;
  stage: string;
  metric: string;
  fraction: number;
  n_examples: number;
  n: number;
  mean: number | null;
  standard_deviation: number | null;
  low: number | null;
  high: number | null;
}

export interface NamedRun {
  name: string;
  run: RunFacts;
}

export function runView(runs: NamedRun[], set: HTMLElement | null): HTMLElement {
  const [{ run }] = runs as [NamedRun];
  const parts = [
    set,
    scores(runs),
    curves(runs),
    confusions(run),
    experiment(run),
    tree("Selection", run.selection, "What each selector was given and took"),
    tree("Audit", run.audit, "How many labels are likely to be wrong"),
    config(runs),
  ];
  const element = h("div", { class: "sheet" }, ...parts);
  if (element.childElementCount === 0) element.append(h("p", {}, "There are no files of a run beside the map."));
  return element;
}

const number = (value: Json | undefined): number => (typeof value === "number" ? value : NaN);

function scores(runs: NamedRun[]): HTMLElement | null {
  const rows: HTMLElement[] = [];
  const names: string[] = [];
  const stagesOf = (run: RunFacts): [string, Numbers][] => Object.entries(run.metrics ?? {}).filter(([stage]) => stage !== "confidence_intervals");
  for (const { run } of runs) {
    for (const [, metrics] of stagesOf(run)) {
      for (const [name, value] of Object.entries(metrics)) if ((typeof value === "number" || value === null) && !names.includes(name)) names.push(name);
    }
  }
  if (names.length === 0) return null;
  for (const { name: runName, run } of runs) {
    const intervals = (run.metrics?.["confidence_intervals"] ?? {}) as Record<string, Record<string, { low: number; high: number }>>;
    for (const [stage, metrics] of stagesOf(run)) {
      const cells = names.map((name) => {
        const interval = intervals[stage]?.[name];
        const value = metrics[name];
        if (value === undefined) return h("td", {});
        const text = value === null ? "undefined" : number(value).toFixed(4);
        return h("td", {}, h("b", {}, text), interval ? h("small", {}, ` [${short(interval.low)}, ${short(interval.high)}]`) : null);
      });
      const n = run.confusions?.[stage]?.n;
      rows.push(
        h("tr", {}, runs.length > 1 && h("td", {}, runName), h("th", { scope: "row" }, stage), h("td", { class: "muted" }, n ? grouped(n) : ""), ...cells),
      );
    }
  }
  const head = h(
    "tr",
    {},
    runs.length > 1 && h("th", { scope: "col" }, "run"),
    h("th", { scope: "col" }, "stage"),
    h("th", { scope: "col" }, "examples"),
    ...names.map((name) => h("th", { scope: "col" }, name.replaceAll("_", " "))),
  );
  const table = h("table", { class: "scores" }, h("thead", {}, head), h("tbody", {}, ...rows));
  const isSure = runs.some(({ run }) => run.metrics?.["confidence_intervals"]);
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Scores of the best model"),
    h("div", { class: "wide" }, table),
    isSure ? h("p", { class: "muted small" }, "In brackets: bootstrap confidence intervals.") : null,
  );
}

function curves(runs: NamedRun[]): HTMLElement | null {
  const charts: HTMLElement[] = [];
  const found = new Map<string, Line[]>();
  runs.forEach(({ name, run }, at) => {
    const suffix = runs.length > 1 ? ` ${name.slice(-1)}` : "";
    const add = (metric: string, line: Line): void => {
      if (line.points.length > 0) found.set(metric, [...(found.get(metric) ?? []), line]);
    };
    const trained = (run.training_log ?? []).map((line) => [number(line["epoch"]), number(line["loss"])] as [number, number]);
    add("loss", { name: `training${suffix}`, look: `line-${1 + 2 * at}`, points: trained });
    const history = (run.history ?? []).filter((line) => line["stage"] === "validation");
    // The best model is measured once more at the end.
    const seen = new Set<number>();
    const lines = history.filter((line) => !seen.has(number(line["epoch"])) && seen.add(number(line["epoch"])));
    const names = Object.keys(lines[0] ?? {}).filter((key) => !["epoch", "step", "stage"].includes(key) && typeof lines[0]![key] === "number");
    for (const metric of names) {
      const points = lines.map((line) => [number(line["epoch"]), number(line[metric])] as [number, number]);
      add(metric, { name: `validation${suffix}`, look: `line-${2 * at}`, points });
    }
  });
  for (const [metric, lines] of found) {
    const all = lines.flatMap((line) => line.points).filter(([, y]) => Number.isFinite(y));
    if (all.length === 0) continue;
    const xs = all.map(([x]) => x);
    const ys = all.map(([, y]) => y);
    const x: [number, number] = [Math.min(...xs), Math.max(...xs)];
    const margin = (Math.max(...ys) - Math.min(...ys)) * 0.1 || 0.05;
    const y: [number, number] = [Math.min(...ys) - margin, Math.max(...ys) + margin];
    const chart = lineChart(lines, {
      width: 380,
      height: 200,
      x,
      y,
      xTicks: round(x[0], x[1], 6).filter(Number.isInteger),
      yTicks: round(y[0], y[1], 4),
      xTitle: "epoch",
      label: `${metric} per epoch`,
    });
    charts.push(h("figure", {}, h("figcaption", {}, metric.replaceAll("_", " ")), chart));
  }
  if (charts.length === 0) return null;
  return h("section", { class: "panel" }, h("h2", {}, "Learning curves"), h("div", { class: "figures" }, ...charts));
}

function confusions(run: RunFacts): HTMLElement | null {
  const all = Object.entries(run.confusions ?? {});
  if (all.length === 0) return null;
  const tables = all.map(([stage, { classes, counts, n }]) => confusionTable(classes, counts, `${stage}, ${grouped(n)} examples`));
  return h("section", { class: "panel" }, h("h2", {}, "Confusion"), h("div", { class: "figures" }, ...tables));
}

/** The means over seeds, a table for the metric that is chosen. */
function experiment(run: RunFacts): HTMLElement | null {
  const rows = run.experiment;
  if (!rows || rows.length === 0) return null;
  const stages = [...new Set(rows.map((row) => row.stage))];
  const metrics = [...new Set(rows.map((row) => row.metric))];
  const place = h("div");
  const draw = (metric: string): void => {
    const of = rows.filter((row) => row.metric === metric);
    const groups = [...new Set(of.map((row) => `${row.fraction} ${row.selection}`))];
    const lines = groups.map((group) => {
      const cells = stages.map((stage) => {
        const row = of.find((r) => `${r.fraction} ${r.selection}` === group && r.stage === stage);
        if (!row || row.mean === null) return h("td", {});
        const deviation = row.standard_deviation === null ? "" : ` \u00b1 ${row.standard_deviation.toFixed(4)}`;
        const interval = row.low === null || row.high === null ? "" : ` [${row.low.toFixed(4)}, ${row.high.toFixed(4)}]`;
        return h("td", {}, h("b", {}, row.mean.toFixed(4)), h("small", {}, deviation + interval));
      });
      const first = of.find((r) => `${r.fraction} ${r.selection}` === group)!;
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, own(first.selection.replaceAll("_", " "))),
        h("td", {}, `${Number((100 * first.fraction).toPrecision(4))} %`),
        h("td", {}, grouped(first.n_examples)),
        h("td", {}, String(first.n)),
        ...cells,
      );
    });
    const head = ["selection", "share", "examples", "seeds", ...stages].map((name) => h("th", { scope: "col" }, name.replaceAll("_", " ")));
    place.replaceChildren(h("table", { class: "scores" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...lines)));
  };
  const preferred = metrics.find((metric) => metric !== "loss") ?? metrics[0]!;
  const select = h("select", { "aria-label": "Metric" }, ...metrics.map((name) => h("option", { value: name, selected: name === preferred }, name.replaceAll("_", " "))));
  select.addEventListener("change", () => draw(select.value));
  draw(preferred);
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Subset experiments"),
    h("p", { class: "muted small" }, "Means over seeds, \u00b1 their standard deviation, and 95 % intervals (Student's t)."),
    select,
    h("div", { class: "wide" }, place),
  );
}

function tree(title: string, value: Json, about: string): HTMLElement | null {
  if (value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0)) return null;
  return h("details", { class: "panel" }, h("summary", {}, h("b", {}, title), h("span", { class: "muted" }, `  ${about}`)), lines(value));
}

function lines(value: Json): HTMLElement {
  if (value === null || typeof value !== "object") return own(typeof value === "number" ? short(value) : String(value));
  const entries = Array.isArray(value) ? value.map((item, i) => [String(i + 1), item] as const) : Object.entries(value);
  return h("dl", { class: "tree" }, ...entries.map(([key, item]) => h("div", {}, h("dt", {}, own(key)), h("dd", {}, lines(item)))));
}

function config(runs: NamedRun[]): HTMLElement | null {
  const blocks = runs.filter(({ run }) => run.config !== null);
  if (blocks.length === 0) return null;
  const parts = blocks.map(({ name, run }) =>
    h(
      "details",
      { class: "panel" },
      h("summary", {}, h("b", {}, runs.length > 1 ? `Config of ${name}` : "Config"), h("span", { class: "muted" }, `  enginora-rs ${run.version ?? "?"}`)),
      h("pre", {}, own(run.config!)),
    ),
  );
  return h("section", { class: "stack" }, ...parts);
}
