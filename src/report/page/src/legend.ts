// What the colours mean; a group can be taken in or out.

import type { App } from "./app";
import { css, SHAPES, type Paint } from "./colours";
import { grouped, h, replace, s } from "./dom";
import type { Signal } from "./model";

const OUTLINES: Record<(typeof SHAPES)[number], string> = {
  disc: "M7 2a5 5 0 1 0 .01 0z",
  diamond: "M7 1 13 7 7 13 1 7z",
  square: "M2 2h10v10H2z",
  up: "M7 1.5 12.8 11.5H1.2z",
  down: "M7 12.5 1.2 2.5h11.6z",
  cross: "M3.5 1.5 7 5l3.5-3.5 2 2L9 7l3.5 3.5-2 2L7 9l-3.5 3.5-2-2L5 7 1.5 3.5z",
};

export function swatch(paint: Paint, colour: number): SVGElement {
  const shape = SHAPES[paint.shapes[colour] ?? 0]!;
  return s("svg", { viewBox: "0 0 14 14", class: "swatch", "aria-hidden": true }, s("path", { d: OUTLINES[shape], fill: css(paint.palette[colour]!) }));
}

export function drawLegend(element: HTMLElement, app: App, paint: Paint, fullest: number): void {
  if (app.isDensity) {
    replace(element, h("span", { class: "legend-title" }, "examples per cell"), bar(paint, "1", grouped(fullest)));
    return;
  }
  const title = h("span", { class: "legend-title" }, paint.title);
  if (paint.bar) {
    const { low, high, signal } = paint.bar;
    replace(
      element,
      title,
      bar(paint, end(signal, low), end(signal, high)),
      paint.nMissing > 0 && h("span", { class: "muted" }, `grey: ${grouped(paint.nMissing)} without a value`),
    );
    return;
  }
  const category = app.category(app.colour);
  const chosen = app.chosen.get(app.colour);
  const groups = (paint.groups ?? []).map((group) => {
    const isOff = chosen !== undefined && !chosen.has(group.value);
    const name = h("bdi", {}, group.name);
    const count = h("small", {}, grouped(group.n));
    if (!category || group.value < 0) return h("span", { class: "entry" }, swatch(paint, group.colour), name, count);
    const toggle = (): void => {
      const values = new Set(chosen ?? category.values.keys());
      if (values.has(group.value)) values.delete(group.value);
      else values.add(group.value);
      app.choose(category.name, values.size === 0 ? null : values);
    };
    return h(
      "button",
      { class: "entry plain", "aria-pressed": String(!isOff), title: "Show or hide these", click: toggle },
      swatch(paint, group.colour),
      name,
      count,
    );
  });
  replace(element, title, ...groups);
}

const end = (signal: Signal, x: number): string => signal.tick(x === signal.beyond ? x : Number(x.toPrecision(3)));

function bar(paint: Paint, low: string, high: string): HTMLElement {
  const canvas = h("canvas", { width: 120, height: 1, class: "ramp", "aria-hidden": true });
  const context = canvas.getContext("2d");
  const n = Math.min(paint.palette.length, 255);
  for (let i = 0; context && i < 120; i++) {
    context.fillStyle = css(paint.palette[Math.round((i / 119) * (n - 1))]!);
    context.fillRect(i, 0, 1, 1);
  }
  return h("span", { class: "bar-legend" }, h("small", {}, low), canvas, h("small", {}, high));
}
