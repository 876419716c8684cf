// Small charts as SVG.

import { h, s, short } from "./dom";

export interface Line {
  name: string;
  /** A CSS class that gives colour and dashes: line-0 to line-6, or line-gold. */
  look: string;
  /** Across and up. */
  points: [number, number][];
}

interface Frame {
  width: number;
  height: number;
  x: [number, number];
  y: [number, number];
  xTicks: number[];
  yTicks: number[];
  xTitle: string;
  label: string;
}

/** A round number without zeros at its end. */
const plain = (x: number): string => String(Number(x.toPrecision(6)));

/** Round numbers between two. */
export function round(low: number, high: number, about: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10);
  const found: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** Lines over whole numbers, each named at its end where there is room. */
export function lineChart(lines: Line[], frame: Frame, names = true): SVGElement {
  const longest = Math.max(...lines.map((line) => line.name.length), 0);
  const margin = { left: 40, right: names ? Math.min(18 + 6.9 * longest, 112) : 12, top: 8, bottom: 30 };
  const wide = frame.width - margin.left - margin.right;
  const high = frame.height - margin.top - margin.bottom;
  const px = (x: number): number => margin.left + ((x - frame.x[0]) / (frame.x[1] - frame.x[0] || 1)) * wide;
  const py = (y: number): number => margin.top + high - ((y - frame.y[0]) / (frame.y[1] - frame.y[0] || 1)) * high;
  const chart = s("svg", { viewBox: `0 0 ${frame.width} ${frame.height}`, class: "chart", role: "img", "aria-label": frame.label });
  for (const y of frame.yTicks) {
    chart.append(
      s("line", { class: "grid", x1: margin.left, x2: margin.left + wide, y1: py(y), y2: py(y) }),
      s("text", { class: "tick", x: margin.left - 6, y: py(y) + 3.5, "text-anchor": "end" }, plain(y)),
    );
  }
  for (const x of frame.xTicks) {
    chart.append(s("text", { class: "tick", x: px(x), y: margin.top + high + 14, "text-anchor": "middle" }, plain(x)));
  }
  chart.append(s("text", { class: "tick", x: margin.left + wide / 2, y: frame.height - 3, "text-anchor": "middle" }, frame.xTitle));
  const taken: number[] = [];
  for (const line of [...lines].reverse()) {
    const seen = line.points.filter(([, y]) => Number.isFinite(y));
    if (seen.length === 0) continue;
    const path = seen.map(([x, y], i) => `${i === 0 ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
    chart.append(s("path", { class: `line ${line.look}`, d: path }));
    for (const [x, y] of seen.length <= 40 ? seen : []) {
      const dot = s("circle", { class: `dot ${line.look}`, cx: px(x).toFixed(1), cy: py(y).toFixed(1), r: 2.6 });
      dot.append(s("title", {}, `${line.name}, ${frame.xTitle} ${short(x)}: ${short(y)}`));
      chart.append(dot);
    }
  }
  if (names) {
    const ends = lines.filter(({ points }) => points.length > 0).map((line) => ({ line, y: py(line.points.at(-1)![1]) }));
    ends.sort((a, b) => a.y - b.y);
    for (const end of ends.slice(0, 7)) {
      let y = end.y + 3.5;
      const last = taken.at(-1);
      if (last !== undefined && y < last + 11) y = last + 11;
      taken.push(y);
      const name = end.line.name.length > 13 ? `${end.line.name.slice(0, 12)}\u2026` : end.line.name;
      chart.append(s("text", { class: `name ${end.line.look}`, x: margin.left + wide + 7, y }, name));
    }
  }
  return chart;
}

/** How many values lie in each of some parts of a range. */
export function histogram(values: ArrayLike<number>, rows: (row: number) => boolean, low: number, high: number, nBins: number): number[] {
  const bins = new Array<number>(nBins).fill(0);
  const scale = high > low ? nBins / (high - low) : 0;
  for (let row = 0; row < values.length; row++) {
    if (!rows(row)) continue;
    const x = values[row]!;
    if (Number.isNaN(x)) continue;
    bins[Math.min(Math.max(Math.floor((x - low) * scale), 0), nBins - 1)]!++;
  }
  return bins;
}

export function barChart(bins: number[], low: number, high: number, title: string, look: string): SVGElement {
  const [width, height, left, bottom] = [230, 96, 8, 28];
  const most = Math.max(...bins, 1);
  const wide = (width - 2 * left) / bins.length;
  const tall = height - bottom - 6;
  const chart = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `Distribution of ${title}` });
  bins.forEach((n, i) => {
    const top = (n / most) * tall;
    const bar = s("rect", { class: `bar ${look}`, x: left + i * wide + 0.5, y: 6 + tall - top, width: wide - 1, height: top });
    const from = low + ((high - low) * i) / bins.length;
    bar.append(s("title", {}, `${short(from)} to ${short(from + (high - low) / bins.length)}: ${n}`));
    chart.append(bar);
  });
  chart.append(
    s("line", { class: "axis", x1: left, x2: width - left, y1: 6 + tall, y2: 6 + tall }),
    s("text", { class: "tick", x: left, y: height - bottom + 12 }, short(low)),
    s("text", { class: "tick", x: width - left, y: height - bottom + 12, "text-anchor": "end" }, short(high)),
    s("text", { class: "tick strong", x: width / 2, y: height - 3, "text-anchor": "middle" }, title),
  );
  return chart;
}

/** How many examples of each class were taken for which; a cell can be chosen. */
export function confusionTable(
  classes: string[],
  counts: number[][],
  caption: string,
  pick?: (gold: number, predicted: number) => void,
): HTMLElement {
  const sums = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const bdi = (name: string): HTMLElement => h("bdi", {}, name === "" ? "(none)" : name);
  const table = h("table", { class: "confusion" }, h("caption", {}, caption));
  const head = h("tr", {}, h("th", { scope: "col" }, "label \\ prediction"), ...classes.map((name) => h("th", { scope: "col" }, bdi(name))));
  table.append(h("thead", {}, head));
  const body = h("tbody");
  counts.forEach((row, gold) => {
    const cells = row.map((n, predicted) => {
      const share = sums[gold]! > 0 ? n / sums[gold]! : 0;
      const cell = h("td", { class: gold === predicted ? "right" : "wrong" });
      cell.style.setProperty("--share", share.toFixed(3));
      const text = [h("b", {}, n.toLocaleString("en-US")), h("small", {}, `${(100 * share).toFixed(1)} %`)];
      if (pick) cell.append(h("button", { class: "plain", title: "Show these on the map", click: () => pick(gold, predicted) }, ...text));
      else cell.append(...text);
      return cell;
    });
    body.append(h("tr", {}, h("th", { scope: "row" }, bdi(classes[gold]!)), ...cells));
  });
  table.append(body);
  return h("div", { class: "wide" }, table);
}
