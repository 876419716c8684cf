// Each class by itself, and what was taken for what.

import type { App } from "./app";
import { barChart, confusionTable, histogram } from "./charts";
import { grouped, h, replace, short } from "./dom";

/** More classes than these are the largest ones. */
const MOST = 24;

export function classesView(app: App, show: () => void): HTMLElement {
  const element = h("div", { class: "sheet" });
  const label = app.category("label");
  if (!label) {
    element.append(h("p", {}, "The map does not say the examples' labels."));
    return element;
  }
  const counts = label.counts();
  const classes = [...label.values.keys()].sort((a, b) => counts[b]! - counts[a]! || a - b).slice(0, MOST);
  classes.sort((a, b) => a - b);
  const confidence = app.map.signal("confidence")!;
  const variability = app.map.signal("variability")!;
  const correctness = app.map.signal("correctness");
  const cards = classes.map((value) => {
    const isIn = (row: number): boolean => label.of[row] === value;
    let [sum, never] = [0, 0];
    for (let row = 0; row < app.map.n; row++) {
      if (!isIn(row)) continue;
      sum += confidence.values[row]!;
      if (correctness && correctness.values[row] === 0) never++;
    }
    const n = counts[value]!;
    const go = (): void => {
      app.choose("label", new Set([value]));
      show();
    };
    return h(
      "article",
      { class: "panel card" },
      h("h3", {}, h("bdi", {}, label.shown(value))),
      h("p", { class: "muted" }, `${grouped(n)} examples, ${((100 * n) / app.map.n).toFixed(1)} %`),
      h("p", {}, "mean confidence ", h("b", {}, short(sum / Math.max(n, 1)))),
      correctness && h("p", {}, "never right ", h("b", {}, `${grouped(never)} (${((100 * never) / Math.max(n, 1)).toFixed(1)} %)`)),
      barChart(histogram(confidence.values, isIn, 0, 1, 20), 0, 1, "confidence", "of-confidence"),
      barChart(histogram(variability.values, isIn, 0, variability.high, 20), 0, variability.high, "variability", "of-variability"),
      h("button", { click: go }, "Show on the map"),
    );
  });
  const parts: (Node | false)[] = [];
  const confusion = epochConfusion(app, show);
  if (confusion) parts.push(h("section", { class: "panel" }, h("h2", {}, "Training set after the last epoch"), confusion));
  const note = label.values.length > MOST && h("p", { class: "muted" }, `The ${MOST} largest of ${label.values.length} classes.`);
  replace(element, ...parts, h("section", {}, h("h2", {}, "Classes"), note || null, h("div", { class: "cards" }, ...cards)));
  return element;
}

function epochConfusion(app: App, show: () => void): HTMLElement | false {
  const found = app.map.trajectory;
  if (!found || found.classes.length > 60) return false;
  const n = found.classes.length;
  const counts = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  for (let row = 0; row < app.map.n; row++) counts[found.gold[row]!]![found.predicted[row]!]!++;
  return confusionTable(found.classes, counts, "Choose a cell to see its examples on the map.", (gold, predicted) => {
    const label = app.category("label");
    const at = label?.values.indexOf(found.classes[gold]!) ?? -1;
    if (at >= 0) app.choose("label", new Set([at]));
    app.choose("prediction", new Set([predicted]));
    show();
  });
}
