// Two runs of the same examples: how far their maps agree, and what moved.

import type { App } from "./app";
import { grouped, h, oneLine, short } from "./dom";
import type { ComparisonFacts } from "./model";

const SHOWN = 50;

export function compareView(app: App, facts: ComparisonFacts, show: () => void): HTMLElement {
  const rows = facts.correlations.map(({ name, spearman, n }) => {
    const bar = h("i", { class: "meter" });
    bar.style.setProperty("--share", String(Math.max(spearman ?? 0, 0)));
    return h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, spearman === null ? "undefined" : spearman.toFixed(3)), h("td", {}, bar), h("td", { class: "muted" }, grouped(n)));
  });
  const head = ["signal", "Spearman's rank correlation", "", "examples"].map((name) => h("th", { scope: "col" }, name));
  const axes = (name: string): void => {
    const [a, b] = [app.map.signal(name), app.map.signal(`${name} in run B`)];
    if (!a || !b) return;
    app.setAxes(a, b);
    app.setColour("moved");
    show();
  };
  const buttons = ["confidence", "variability"].map((name) => h("button", { click: () => axes(name) }, `${name} of A against B`));
  const moved = app.map.signal("moved")!;
  const order = [...app.map.inFile].filter((row) => !Number.isNaN(moved.values[row]!));
  order.sort((a, b) => moved.values[b]! - moved.values[a]! || a - b);
  const label = app.category("label");
  const value = (name: string, row: number): string => short(app.map.signal(name)?.values[row] ?? NaN);
  const list = order.slice(0, SHOWN).map((row) => {
    const go = (): void => {
      app.setOrder("moved", true);
      app.go(row);
      show();
    };
    const text = app.map.texts ? app.map.texts.get(row) : app.map.guids.get(row);
    return h(
      "tr",
      {},
      h("td", { class: "of-text" }, h("button", { class: "plain link", click: go }, h("bdi", {}, oneLine(text).slice(0, 160) || "(empty text)"))),
      label ? h("td", {}, h("bdi", {}, label.text(row))) : null,
      h("td", {}, `${value("confidence", row)} \u2192 ${value("confidence in run B", row)}`),
      h("td", {}, `${value("variability", row)} \u2192 ${value("variability in run B", row)}`),
      h("td", {}, h("b", {}, short(moved.values[row]!))),
    );
  });
  const listHead = ["example", label ? "label" : "", "confidence", "variability", "moved"].filter((name) => name !== "" || label).map((name) => h("th", { scope: "col" }, name));
  const only = [facts.n_only_here > 0 ? `${grouped(facts.n_only_here)} only in run A` : "", facts.n_only_there > 0 ? `${grouped(facts.n_only_there)} only in run B` : ""].filter(Boolean);
  return h(
    "div",
    { class: "sheet" },
    h(
      "section",
      { class: "panel" },
      h("h2", {}, "How far the two maps agree"),
      h("p", { class: "muted" }, `${grouped(facts.n_shared)} examples are in both${only.length > 0 ? `; ${only.join(", ")}` : ""}.`),
      h("div", { class: "wide" }, h("table", { class: "scores" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows))),
      h("p", { class: "group" }, ...buttons),
    ),
    h(
      "section",
      { class: "panel" },
      h("h2", {}, `The ${Math.min(SHOWN, order.length)} that moved most`),
      h("div", { class: "wide" }, h("table", { class: "scores moved" }, h("thead", {}, h("tr", {}, ...listHead)), h("tbody", {}, ...list))),
    ),
  );
}
