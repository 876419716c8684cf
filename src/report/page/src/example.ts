// One example: its texts, what the model said of it, and what the reader says.

import type { App } from "./app";
import { lineChart } from "./charts";
import { grouped, h, later, own, replace } from "./dom";

export function exampleView(app: App): HTMLElement {
  const element = h("section", { class: "panel example", "aria-label": "Example" });
  const draw = (): void => {
    const row = app.current;
    if (row < 0) replace(element, empty(app));
    else replace(element, ...content(app, row));
  };
  app.on(["current"], draw);
  app.on(["regions", "order", "marks"], () => {
    // A note that is being written stays.
    if (!element.contains(document.activeElement) || document.activeElement instanceof HTMLButtonElement) draw();
  });
  draw();
  return element;
}

function empty(app: App): HTMLElement {
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "No example chosen"),
    h("p", {}, "Click a marker, or read through the list from its top."),
    h("button", { class: "main", click: () => app.step(0) }, "Read the list"),
    h("p", { class: "keys" }, h("kbd", {}, "J"), " next ", h("kbd", {}, "K"), " previous ", h("kbd", {}, "M"), " mislabelled ", h("kbd", {}, "G"), " keep"),
  );
}

function content(app: App, row: number): (Node | false)[] {
  const { map } = app;
  const at = app.list.indexOf(row);
  const place = at >= 0 ? `${grouped(at + 1)} of ${grouped(app.list.length)}` : "not in the list";
  const head = h(
    "header",
    { class: "example-head" },
    h("button", { title: "Previous (K)", "aria-label": "Previous example", click: () => app.step(-1) }, "\u2190"),
    h("span", { class: "place", "aria-live": "polite" }, place),
    h("button", { title: "Next (J)", "aria-label": "Next example", click: () => app.step(1) }, "\u2192"),
  );
  const guid = h("h2", { class: "guid" }, own(map.guids.get(row)));
  return [head, guid, texts(app, row), answer(app, row), marking(app, row), trajectory(app, row), signals(app, row)];
}

function texts(app: App, row: number): HTMLElement {
  const { map } = app;
  const box = h("div", { class: "texts" });
  if (!map.texts) {
    box.append(h("p", { class: "muted" }, "This page has no texts."));
    return box;
  }
  box.append(own(map.texts.get(row), { class: "text" }));
  const pair = map.pairs?.get(row);
  if (pair) box.append(h("small", { class: "muted" }, "second text"), own(pair, { class: "text" }));
  const options = map.options ? (JSON.parse(map.options.get(row) || "[]") as [string, string][]) : [];
  if (options.length > 0) {
    const gold = map.trajectory?.gold[row];
    const predicted = map.trajectory?.predicted[row];
    const items = options.map(([first, second], i) => {
      const text = first === map.texts!.get(row) ? second : `${first} ${second}`;
      const notes = [i === gold ? "label" : "", i === predicted ? "prediction" : ""].filter(Boolean).join(", ");
      return h("li", { class: i === gold ? "gold" : "" }, own(text), notes !== "" && h("small", {}, ` ${notes}`));
    });
    box.append(h("ol", { class: "options" }, ...items));
  }
  return box;
}

function answer(app: App, row: number): HTMLElement {
  const label = app.category("label");
  const prediction = app.category("prediction");
  const list = h("dl", { class: "answer" });
  const add = (name: string, text: string, look = ""): void =>
    list.append(h("div", { class: look }, h("dt", {}, name), h("dd", {}, own(text))));
  if (label) add("label", label.text(row));
  if (prediction) {
    const isRight = app.map.trajectory!.predicted[row] === app.map.trajectory!.gold[row];
    add("last prediction", prediction.text(row), isRight ? "is-right" : "is-wrong");
  }
  for (const category of app.categories()) {
    if (["label", "prediction", "mark"].includes(category.name)) continue;
    const value = category.values[category.of[row]!];
    if (value !== "" && value !== undefined) add(category.title, category.text(row));
  }
  return list;
}

function marking(app: App, row: number): HTMLElement {
  const mark = app.marks.get(row);
  const button = (verdict: "mislabelled" | "keep", name: string, key: string): HTMLElement =>
    h(
      "button",
      {
        class: `verdict ${verdict}`,
        "aria-pressed": String(mark.verdict === verdict),
        title: `${name} (${key})`,
        click: () => app.mark(row, app.marks.get(row).verdict === verdict ? null : verdict),
      },
      name,
    );
  const note = h("input", { type: "text", placeholder: "Note", "aria-label": "Note on this example", value: mark.note });
  const keep = (): void => app.mark(row, app.marks.get(row).verdict, note.value);
  note.addEventListener("input", later(250, keep));
  note.addEventListener("change", keep);
  return h(
    "div",
    { class: "marking" },
    button("mislabelled", "Mislabelled", "M"),
    button("keep", "Keep", "G"),
    note,
    !app.marks.isKept && h("small", { class: "warning" }, "This browser keeps nothing for files: download the marks before you close the page."),
  );
}

function trajectory(app: App, row: number): HTMLElement | false {
  const found = app.map.trajectory;
  if (!found) return false;
  const lines = found.of(row);
  let n = 0;
  const chart = lineChart(
    lines.map((line) => ({
      name: line.name,
      look: line.isGold ? "line-gold" : `line-${n++ % 6}`,
      points: line.values.map((value, i) => [found.epochs[i]!, value] as [number, number]),
    })),
    {
      width: 330,
      height: 150,
      x: [found.epochs[0]!, found.epochs.at(-1)!],
      y: [0, 1],
      xTicks: found.epochs.length <= 10 ? found.epochs : found.epochs.filter((_, i) => i % Math.ceil(found.epochs.length / 8) === 0),
      yTicks: [0, 0.5, 1],
      xTitle: "epoch",
      label: `Probability of each class over ${found.nEpochs} epochs`,
    },
  );
  return h("figure", {}, h("figcaption", {}, "Probability of each class; the label's line is thick"), chart);
}

function signals(app: App, row: number): HTMLElement {
  const body = h("tbody");
  for (const signal of app.map.signals) {
    const isChosen = app.order.name === signal.name;
    body.append(
      h(
        "tr",
        { class: isChosen ? "chosen" : "" },
        h("th", { scope: "row", title: signal.meaning }, signal.title),
        h("td", {}, signal.text(row)),
        h("td", { class: "muted" }, rank(app, signal.values, row)),
      ),
    );
  }
  const head = h("tr", {}, h("th", { scope: "col" }, "signal"), h("th", { scope: "col" }, "value"), h("th", { scope: "col", title: "1 has the lowest value" }, "rank"));
  return h("table", { class: "signals" }, h("thead", {}, head), body);
}

/** How many have a lower value, and one more. */
function rank(app: App, values: ArrayLike<number>, row: number): string {
  const own = values[row]!;
  if (Number.isNaN(own)) return "";
  let n = 1;
  for (let i = 0; i < values.length; i++) if (values[i]! < own) n++;
  return `${grouped(n)} of ${grouped(app.map.n)}`;
}
