// The map with its legend, tools and what is under the pointer.

import type { App } from "./app";
import { paintCategory, paintCorrectness, paintSignal, regionColours, viridis, type Paint } from "./colours";
import { controlsView } from "./controls";
import { grouped, h, oneLine, replace } from "./dom";
import { exampleView } from "./example";
import { drawLegend } from "./legend";
import { REGIONS } from "./model";
import { Scatter, type Outline } from "./scatter";
import { tableView } from "./table";

export function mapView(app: App): { element: HTMLElement; scatter: Scatter } {
  const tip = h("div", { class: "tip", hidden: true });
  const legend = h("div", { class: "legend", role: "group", "aria-label": "Legend" });
  const scatter = new Scatter(app.map.n, {
    onHover: (row, x, y) => showTip(app, tip, row, x, y),
    onPick: (row) => app.go(row),
    onLasso: (rows) => app.setLasso(rows),
  });
  let paint: Paint;
  const colour = (): void => {
    scatter.isDark = app.isDark;
    paint = paintOf(app);
    scatter.setColours(paint.palette, paint.shapes, paint.of);
    drawLegend(legend, app, paint, scatter.fullest);
  };
  const states = (): void => {
    const values = new Uint8Array(app.map.n);
    for (let row = 0; row < values.length; row++) {
      values[row] = app.visible[row] === 0 ? 1 : !app.lasso ? 2 : app.lasso[row] === 1 ? 3 : 1;
    }
    scatter.setStates(values);
    drawLegend(legend, app, paint, scatter.fullest);
  };
  const outline = (): void => scatter.setOutlines(outlines(app));
  const theme = (): void => {
    colour();
    outline();
  };
  scatter.onDensity = (most) => {
    if (app.isDensity) drawLegend(legend, app, densityPaint(app), most);
  };
  app.on(["axes"], () => {
    scatter.setAxes(app.x, app.y);
    outline();
  });
  app.on(["colour"], colour);
  app.on(["rows"], states);
  app.on(["regions"], outline);
  app.on(["theme"], theme);
  app.on(["current"], () => scatter.setCurrent(app.current));
  scatter.setAxes(app.x, app.y);
  colour();
  states();
  outline();

  const bar = toolbar(app, scatter, () => drawLegend(legend, app, app.isDensity ? densityPaint(app) : paint, scatter.fullest));
  scatter.element.append(tip);
  const chart = h("section", { class: "panel chart-panel", "aria-label": "Data map" }, bar, scatter.element, legend);
  const element = h("div", { class: "map-view" }, controlsView(app), h("div", { class: "middle" }, chart, tableView(app)), exampleView(app));
  return { element, scatter };
}

function paintOf(app: App): Paint {
  const signal = app.map.signal(app.colour);
  if (!signal) return paintCategory(app.category(app.colour)!, app.isDark);
  if (signal.name === "correctness" && app.map.nEpochs >= 1 && signal.high <= app.map.nEpochs) {
    return paintCorrectness(signal, app.map.nEpochs, app.isDark);
  }
  return paintSignal(signal, app.isDark);
}

function densityPaint(app: App): Paint {
  const palette = Array.from({ length: 120 }, (_, i) => viridis(i / 119, app.isDark));
  return { title: "", palette, shapes: [], of: new Uint8Array(), nMissing: 0 };
}

/** The regions' borders; they are seen where confidence and variability are on the axes. */
function outlines(app: App): Outline[] {
  const isPaper = app.x.name === "variability" && app.y.name === "confidence";
  const isTurned = app.x.name === "confidence" && app.y.name === "variability";
  if (!isPaper && !isTurned) return [];
  const colours = regionColours(app.isDark);
  const { confidence, variability } = { confidence: app.map.signal("confidence")!.values, variability: app.map.signal("variability")!.values };
  const [hard, easy, ambiguous] = app.picks.rows as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  const last = (rows: Uint32Array, values: ArrayLike<number>): number => values[rows[rows.length - 1]!]!;
  const below = hard.length > 0 ? last(hard, confidence) : -Infinity;
  const above = easy.length > 0 ? last(easy, confidence) : Infinity;
  const found: Outline[] = [];
  const add = (region: number, low: number, high: number, from: number): void => {
    const name = REGIONS[region]!;
    const label = `${name.replaceAll("_", " ")}: ${grouped(app.picks.rows[region]!.length)}`;
    const colour = colours[name]!;
    found.push(
      isPaper
        ? { label, colour, left: from, right: Infinity, bottom: low, top: high }
        : { label, colour, left: low, right: high, bottom: from, top: Infinity },
    );
  };
  if (hard.length > 0) add(0, -Infinity, below, -Infinity);
  if (easy.length > 0) add(1, above, Infinity, -Infinity);
  if (ambiguous.length > 0) add(2, below, above, last(ambiguous, variability));
  return found;
}

function showTip(app: App, tip: HTMLElement, row: number, x: number, y: number): void {
  tip.hidden = row < 0;
  if (row < 0) return;
  const { map } = app;
  const text = map.texts ? oneLine(map.texts.get(row)) : oneLine(map.guids.get(row));
  const label = app.category("label");
  const prediction = app.category("prediction");
  const signals = [...new Set([app.y, app.x])];
  const coloured = map.signal(app.colour);
  if (coloured && !signals.includes(coloured)) signals.push(coloured);
  replace(
    tip,
    h("bdi", { class: "tip-text" }, text.length > 160 ? `${text.slice(0, 158)}\u2026` : text || "(empty text)"),
    h(
      "span",
      { class: "tip-line" },
      label && h("span", {}, "label ", h("b", {}, h("bdi", {}, label.text(row)))),
      prediction && h("span", {}, "predicted ", h("b", {}, h("bdi", {}, prediction.text(row)))),
      ...signals.map((signal) => h("span", {}, `${signal.title} `, h("b", {}, signal.text(row)))),
    ),
  );
  const box = tip.parentElement!.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(x - width / 2, 4), box.width - width - 4);
  const top = y - height - 16 > 0 ? y - height - 16 : y + 18;
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

function toolbar(app: App, scatter: Scatter, drawLegendAnew: () => void): HTMLElement {
  const pan = h("button", { "aria-pressed": "true", title: "Drag moves the map" }, "Move");
  const lasso = h("button", { "aria-pressed": "false", title: "Drag around examples to list them (or Shift and drag)" }, "Lasso");
  const choose = (tool: "pan" | "lasso"): void => {
    scatter.tool = tool;
    pan.setAttribute("aria-pressed", String(tool === "pan"));
    lasso.setAttribute("aria-pressed", String(tool === "lasso"));
  };
  pan.addEventListener("click", () => choose("pan"));
  lasso.addEventListener("click", () => choose("lasso"));
  const drop = h("button", { hidden: true, click: () => app.setLasso(null) }, "Drop lasso");
  app.on(["rows"], () => (drop.hidden = app.lasso === null));
  const density = h("button", { "aria-pressed": "false", title: "How many examples lie where" }, "Density");
  density.addEventListener("click", () => {
    app.isDensity = scatter.isDensity = !app.isDensity;
    density.setAttribute("aria-pressed", String(app.isDensity));
    scatter.redraw();
    drawLegendAnew();
  });
  return h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Map tools" },
    h("span", { class: "joined" }, pan, lasso),
    drop,
    density,
    h("span", { class: "gap" }),
    h(
      "span",
      { class: "joined" },
      h("button", { title: "Zoom out (-)", "aria-label": "Zoom out", click: () => scatter.zoomBy(1 / 1.5) }, "\u2212"),
      h("button", { title: "Zoom in (+)", "aria-label": "Zoom in", click: () => scatter.zoomBy(1.5) }, "+"),
      h("button", { title: "Show all (0)", click: () => scatter.showAll() }, "All"),
    ),
  );
}
