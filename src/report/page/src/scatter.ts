// The map: a marker for every example, with axes, outlines, zoom, pan and lasso.
//
// Markers are drawn with WebGL2, or into the pixels of a 2D canvas where there is none. They are in
// a random order, so that no group hides another, and so that while the map moves a part of them is
// a fair picture of all: as many are drawn then as the machine can do smoothly.

import { later, onFrame } from "./dom";
import type { Rgb } from "./colours";
import { viridis } from "./colours";
import { GlPoints, PixelPoints, type Points, type View } from "./points";
import type { Signal } from "./model";

export interface Outline {
  label: string;
  colour: Rgb;
  /** In the signals' units; infinite where it reaches the edge. */
  left: number;
  right: number;
  bottom: number;
  top: number;
}

export interface ScatterEvents {
  onHover(row: number, x: number, y: number): void;
  onPick(row: number): void;
  onLasso(rows: Uint8Array): void;
}

/** Room around the panel; at the left at least, as labels may be wide. */
const MARGIN = { left: 60, right: 14, top: 14, bottom: 46 };
const LABEL_FONT = "12px system-ui, sans-serif";
/** Cells of the index in which markers are looked up, to each side. */
const CELLS = 256;
/** Pixels of a cell of the density view. */
const DENSITY = 7;
/** So many markers are drawn at once by any machine. */
const SMALL = 20_000;
/** Milliseconds that markers may take of the 16 of a frame; axes and browser need some. */
const PART_TIME = 10;
/** At least so many markers are drawn at a time. */
const LEAST_PART = 6000;
/** Markers that are drawn at a time before it is known how long they take. */
const FIRST_BUDGET = 40_000;
/** How far markers of whole numbers are spread, in units. */
export const SPREAD = 0.32;

export class Scatter {
  readonly element: HTMLElement;
  /** The part of the map that is seen, in shares of the signals' ranges. */
  private view: View = { x: 0, y: 0, scale: 1 };
  private readonly pointsCanvas = document.createElement("canvas");
  private readonly overlay = document.createElement("canvas");
  private readonly points: Points;
  private readonly order: Uint32Array;
  private places: Float32Array;
  private cells = new Uint32Array(CELLS * CELLS + 1);
  private cellRows: Uint32Array;
  private x!: Signal;
  private y!: Signal;
  private range = { x0: 0, x1: 1, y0: 0, y1: 1 };
  /** 0 hidden, 1 faint, 2 shown, 3 raised. */
  private states: Uint8Array;
  private outlines: Outline[] = [];
  private current = -1;
  private hovered = -1;
  private lasso: [number, number][] | null = null;
  private width = 0;
  private height = 0;
  private ratio = 1;
  /** How many markers are drawn at a time, as many as do not hold up the next frame. */
  private budget: number;
  private lastMove = 0;
  isDensity = false;
  tool: "pan" | "lasso" = "pan";
  isDark = false;
  /** Milliseconds between the last frames of a movement, for measuring. */
  readonly frames: number[] = [];

  constructor(
    private readonly n: number,
    private readonly events: ScatterEvents,
  ) {
    this.element = document.createElement("div");
    this.element.className = "scatter";
    this.pointsCanvas.className = "points";
    this.overlay.className = "overlay";
    this.overlay.tabIndex = 0;
    this.overlay.setAttribute("role", "img");
    this.element.append(this.pointsCanvas, this.overlay);
    // For measuring and testing the address can say which way to draw.
    const gl = location.hash === "#2d" ? null : GlPoints.open(this.pointsCanvas, location.hash === "#webgl");
    this.points = gl ?? new PixelPoints(this.pointsCanvas);
    this.order = randomOrder(n);
    this.places = new Float32Array(2 * n);
    this.cellRows = new Uint32Array(n);
    this.states = new Uint8Array(n).fill(2);
    this.budget = Math.min(n, FIRST_BUDGET);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.element);
  }

  get renderer(): string {
    return this.points.name;
  }

  /** Puts these signals on the axes, with all examples in view. */
  setAxes(x: Signal, y: Signal): void {
    this.x = x;
    this.y = y;
    const [x0, x1] = padded(x);
    const [y0, y1] = padded(y);
    this.range = { x0, x1, y0, y1 };
    const [kx, ky] = [1 / (x1 - x0), 1 / (y1 - y0)];
    for (let row = 0; row < this.n; row++) {
      const dx = x.isWhole ? spread(row, 1) : 0;
      const dy = y.isWhole ? spread(row, 2) : 0;
      this.places[2 * row] = (x.shown[row]! + dx - x0) * kx;
      this.places[2 * row + 1] = (y.shown[row]! + dy - y0) * ky;
    }
    this.fillCells();
    this.view = { x: 0, y: 0, scale: 1 };
    this.hovered = -1;
    this.points.setPlaces(this.inOrder2(this.places));
    this.say();
    this.draw();
  }

  setColours(palette: Rgb[], shapes: number[], of: Uint8Array): void {
    this.points.setColours(palette, shapes, this.inOrder(of));
    this.draw();
  }

  setStates(states: Uint8Array): void {
    this.states = states;
    this.points.setStates(this.inOrder(states));
    this.draw();
  }

  setOutlines(outlines: Outline[]): void {
    this.outlines = outlines;
    this.draw();
  }

  setCurrent(row: number): void {
    this.current = row;
    this.drawOverlay();
  }

  private inOrder(values: Uint8Array): Uint8Array {
    const ordered = new Uint8Array(this.n);
    for (let i = 0; i < this.n; i++) ordered[i] = values[this.order[i]!]!;
    return ordered;
  }

  private inOrder2(values: Float32Array): Float32Array {
    const ordered = new Float32Array(2 * this.n);
    for (let i = 0; i < this.n; i++) {
      ordered[2 * i] = values[2 * this.order[i]!]!;
      ordered[2 * i + 1] = values[2 * this.order[i]! + 1]!;
    }
    return ordered;
  }

  private say(): void {
    this.overlay.setAttribute(
      "aria-label",
      `Map of ${this.n} examples, ${this.x.title} across and ${this.y.title} up. Arrow keys move it, plus and minus zoom, 0 shows all.`,
    );
  }

  private fillCells(): void {
    const cellOf = new Uint32Array(this.n);
    this.cells.fill(0);
    for (let row = 0; row < this.n; row++) {
      const [x, y] = [this.places[2 * row]!, this.places[2 * row + 1]!];
      const cell = Number.isNaN(x) || Number.isNaN(y) ? 0 : cellAt(y) * CELLS + cellAt(x);
      cellOf[row] = cell;
      this.cells[cell + 1]!++;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell++) this.cells[cell + 1]! += this.cells[cell]!;
    const next = this.cells.slice();
    for (let row = 0; row < this.n; row++) this.cellRows[next[cellOf[row]!]!++] = row;
  }

  private resize(): void {
    const box = this.element.getBoundingClientRect();
    if (box.width < 20 || box.height < 20) return;
    this.width = box.width;
    this.height = box.height;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const canvas of [this.pointsCanvas, this.overlay]) {
      canvas.width = Math.round(this.width * this.ratio);
      canvas.height = Math.round(this.height * this.ratio);
    }
    this.drawNow();
  }

  private get panel(): { left: number; top: number; width: number; height: number } {
    return {
      left: this.left,
      top: MARGIN.top,
      width: Math.max(this.width - this.left - MARGIN.right, 1),
      height: Math.max(this.height - MARGIN.top - MARGIN.bottom, 1),
    };
  }

  private left = MARGIN.left;

  /** Makes room for the labels of what is seen of the axis at the left. */
  private fitLabels(): void {
    const context = this.overlay.getContext("2d");
    if (!context) return;
    context.font = LABEL_FONT;
    const widest = this.ticksUp().reduce((most, tick) => Math.max(most, context.measureText(this.y.tick(tick)).width), 0);
    this.left = Math.max(MARGIN.left, Math.min(widest + 32, this.width / 3));
  }

  private ticksUp(): number[] {
    const { top, height } = this.panel;
    const { y0, y1 } = this.range;
    const at = (py: number): number => y0 + this.place(0, py)[1] * (y1 - y0);
    return ticks(this.y, [at(top + height), at(top)], height / 48);
  }

  /** A place of the map in pixels. */
  private pixel(x: number, y: number): [number, number] {
    const { left, top, width, height } = this.panel;
    const { x: vx, y: vy, scale } = this.view;
    return [left + (x - vx) * scale * width, top + height - (y - vy) * scale * height];
  }

  private place(px: number, py: number): [number, number] {
    const { left, top, width, height } = this.panel;
    const { x, y, scale } = this.view;
    return [x + (px - left) / (scale * width), y + (top + height - py) / (scale * height)];
  }

  private readonly draw = onFrame(() => this.drawNow());

  /** Draws all markers when the map has come to rest. */
  private readonly settle = later(160, () => {
    this.lastMove = 0;
    this.wholeFrom = 0;
    this.fill();
  });

  /** Draws while the map moves: a part of the markers, which are in a random order. */
  private readonly drawMoving = onFrame(() => {
    const now = performance.now();
    if (this.lastMove > 0) {
      this.frames.push(now - this.lastMove);
      if (this.frames.length > 600) this.frames.shift();
    }
    this.lastMove = now;
    this.fitLabels();
    this.drawPart(0, Math.round(this.budget));
    this.drawOverlay();
    this.settle();
  });

  /** Adds markers to those that are drawn, some in each frame, until all are there. */
  private readonly fill = onFrame(() => {
    if (this.lastMove > 0 || this.width === 0) return;
    const from = this.wholeFrom;
    // At rest a part may take longer than a frame.
    const to = Math.min(from + Math.round(4 * this.budget), this.n);
    this.drawPart(from, to);
    this.wholeFrom = to;
    if (to < this.n) this.fill();
    else this.wholeFrom = 0;
  });
  private wholeFrom = 0;

  /** Draws all markers: at once, where that does not hold up the page, else one part after the other. */
  private drawNow(): void {
    if (this.width === 0 || !this.x) return;
    this.wholeFrom = 0;
    this.lastMove = 0;
    this.fitLabels();
    this.drawPart(0, Math.round(this.budget));
    this.drawOverlay();
    if (this.budget < this.n) {
      this.wholeFrom = Math.round(this.budget);
      this.fill();
    }
  }

  private drawPart(from: number, to: number): void {
    const { left, top, width, height } = this.panel;
    const started = performance.now();
    this.points.draw({
      from: this.isDensity ? 0 : from,
      to: this.isDensity ? 0 : to,
      view: this.view,
      left: left * this.ratio,
      top: top * this.ratio,
      width: width * this.ratio,
      height: height * this.ratio,
      size: this.markerSize() * this.ratio,
      alpha: this.alpha(),
    });
    if (this.isDensity) return;
    if (this.n <= SMALL) return;
    this.points.finish();
    const taken = performance.now() - started;
    const wanted = ((to - from) / Math.max(taken, 0.2)) * PART_TIME;
    if (to > from) this.budget = Math.min(Math.max((this.budget + wanted) / 2, Math.min(this.n, LEAST_PART)), this.n);
  }

  private markerSize(): number {
    const crowd = Math.log10(Math.max(this.n, 10));
    const size = Math.max(9.5 - 1.35 * crowd, 1.6) * Math.min(this.view.scale ** 0.3, 2.6);
    return Math.min(size, 11);
  }

  private alpha(): number {
    const crowd = Math.log10(Math.max(this.n, 10));
    return Math.min(Math.max(1.15 - 0.115 * crowd, 0.4) * Math.min(this.view.scale ** 0.25, 2), 0.95);
  }

  private drawOverlay(): void {
    const context = this.overlay.getContext("2d");
    if (!context || !this.x) return;
    const style = getComputedStyle(this.element);
    const ink = (name: string): string => style.getPropertyValue(name).trim();
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const { left, top, width, height } = this.panel;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    if (this.isDensity) this.drawDensity(context);
    this.drawOutlines(context, ink);
    this.drawRings(context, ink);
    this.drawLasso(context, ink);
    context.restore();
    this.drawAxes(context, ink);
  }

  private drawDensity(context: CanvasRenderingContext2D): void {
    const { left, top, width, height } = this.panel;
    const [columns, rows] = [Math.ceil(width / DENSITY), Math.ceil(height / DENSITY)];
    const counts = new Uint32Array(columns * rows);
    const [kx, ky] = [(this.view.scale * width) / DENSITY, (this.view.scale * height) / DENSITY];
    let most = 0;
    for (let row = 0; row < this.n; row++) {
      if (this.states[row]! < 2) continue;
      const x = Math.floor((this.places[2 * row]! - this.view.x) * kx);
      const y = Math.floor(height / DENSITY - (this.places[2 * row + 1]! - this.view.y) * ky);
      if (x >= 0 && x < columns && y >= 0 && y < rows) {
        const count = ++counts[y * columns + x]!;
        if (count > most) most = count;
      }
    }
    this.fullest = most;
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const count = counts[y * columns + x]!;
        if (count === 0) continue;
        const [r, g, b] = viridis(Math.log(count + 0.5) / Math.log(most + 0.5), this.isDark);
        context.fillStyle = `rgb(${r},${g},${b})`;
        context.fillRect(left + x * DENSITY, top + y * DENSITY, DENSITY, DENSITY);
      }
    }
    this.onDensity?.(most);
  }

  /** The most examples that a cell of the density view has. */
  fullest = 0;
  onDensity: ((most: number) => void) | null = null;

  private drawOutlines(context: CanvasRenderingContext2D, ink: (name: string) => string): void {
    const { left, top, width, height } = this.panel;
    const { x0, x1, y0, y1 } = this.range;
    const taken: [number, number, number][] = [];
    const boxes: { outline: Outline; a: number; b: number; c: number; d: number }[] = [];
    for (const outline of this.outlines) {
      let [a, b] = this.pixel((outline.left - x0) / (x1 - x0), (outline.top - y0) / (y1 - y0));
      let [c, d] = this.pixel((outline.right - x0) / (x1 - x0), (outline.bottom - y0) / (y1 - y0));
      a = Math.max(a, left + 1.5);
      b = Math.max(b, top + 1.5);
      c = Math.min(c, left + width - 1.5);
      d = Math.min(d, top + height - 1.5);
      if (c - a < 1 || d - b < 1) continue;
      boxes.push({ outline, a, b, c, d });
      context.strokeStyle = `rgb(${outline.colour.join(",")})`;
      context.lineWidth = 1.75;
      context.setLineDash([6, 3]);
      context.strokeRect(a, b, c - a, d - b);
    }
    context.setLineDash([]);
    for (const { outline, a, b, c, d } of boxes) {
      context.strokeStyle = `rgb(${outline.colour.join(",")})`;
      context.font = "600 11.5px system-ui, sans-serif";
      const wide = context.measureText(outline.label).width + 16;
      const lx = Math.min(Math.max((a + c) / 2 - wide / 2, left + 4), left + width - wide - 4);
      let ly = Math.min(Math.max((b + d) / 2 - 10, top + 4), top + height - 24);
      while (taken.some(([x, y, w]) => Math.abs(y - ly) < 23 && lx < x + w && x < lx + wide)) ly += 24;
      taken.push([lx, ly, wide]);
      context.fillStyle = ink("--surface");
      context.beginPath();
      context.roundRect(lx, ly, wide, 20, 4);
      context.fill();
      context.stroke();
      context.fillStyle = ink("--text");
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(outline.label, lx + wide / 2, ly + 10.5);
    }
  }

  private drawRings(context: CanvasRenderingContext2D, ink: (name: string) => string): void {
    const ring = (row: number, colour: string, radius: number): void => {
      if (row < 0 || Number.isNaN(this.places[2 * row]!) || Number.isNaN(this.places[2 * row + 1]!)) return;
      const [x, y] = this.pixel(this.places[2 * row]!, this.places[2 * row + 1]!);
      for (const [stroke, width] of [[ink("--surface"), 5], [colour, 2.25]] as const) {
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.strokeStyle = stroke;
        context.lineWidth = width;
        context.stroke();
      }
    };
    if (this.hovered !== this.current) ring(this.hovered, ink("--muted"), 7);
    ring(this.current, ink("--text"), 9);
  }

  private drawLasso(context: CanvasRenderingContext2D, ink: (name: string) => string): void {
    if (!this.lasso || this.lasso.length < 2) return;
    context.beginPath();
    this.lasso.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
    context.closePath();
    context.fillStyle = ink("--accent");
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = ink("--accent");
    context.lineWidth = 1.5;
    context.setLineDash([5, 3]);
    context.stroke();
    context.setLineDash([]);
  }

  private drawAxes(context: CanvasRenderingContext2D, ink: (name: string) => string): void {
    const { left, top, width, height } = this.panel;
    const { x0, x1, y0, y1 } = this.range;
    const [fromX, fromY] = this.place(left, top + height);
    const [toX, toY] = this.place(left + width, top);
    const seenX = [x0 + fromX * (x1 - x0), x0 + toX * (x1 - x0)] as const;
    const seenY = [y0 + fromY * (y1 - y0), y0 + toY * (y1 - y0)] as const;
    context.strokeStyle = ink("--axis");
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
    context.font = LABEL_FONT;
    context.fillStyle = ink("--muted");
    context.beginPath();
    context.textAlign = "center";
    context.textBaseline = "top";
    let end = -Infinity;
    for (const tick of ticks(this.x, seenX, width / 76)) {
      const px = left + ((tick - seenX[0]) / (seenX[1] - seenX[0])) * width;
      context.moveTo(px, top + height);
      context.lineTo(px, top + height + 5);
      const label = this.x.tick(tick);
      const half = context.measureText(label).width / 2;
      if (px - half < end + 6) continue;
      end = px + half;
      context.fillText(label, px, top + height + 8);
    }
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of this.ticksUp()) {
      const py = top + height - ((tick - seenY[0]) / (seenY[1] - seenY[0])) * height;
      context.moveTo(left, py);
      context.lineTo(left - 5, py);
      context.fillText(this.y.tick(tick), left - 8, py);
    }
    context.stroke();
    context.fillStyle = ink("--text");
    context.font = "600 12.5px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.fillText(axisTitle(this.x), left + width / 2, this.height - 7, width);
    context.save();
    context.translate(13, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(axisTitle(this.y), 0, 0, height);
    context.restore();
  }

  /** The shown example nearest to a place in pixels, within reach. */
  private nearest(px: number, py: number, reach: number): number {
    const { width, height } = this.panel;
    const [x, y] = this.place(px, py);
    const [rx, ry] = [reach / (this.view.scale * width), reach / (this.view.scale * height)];
    let [best, least] = [-1, reach * reach];
    for (let cy = cellAt(y - ry); cy <= cellAt(y + ry); cy++) {
      for (let cx = cellAt(x - rx); cx <= cellAt(x + rx); cx++) {
        const cell = cy * CELLS + cx;
        for (let i = this.cells[cell]!; i < this.cells[cell + 1]!; i++) {
          const row = this.cellRows[i]!;
          if (this.states[row]! < 2) continue;
          const [qx, qy] = this.pixel(this.places[2 * row]!, this.places[2 * row + 1]!);
          const distance = (qx - px) ** 2 + (qy - py) ** 2;
          if (distance < least) [best, least] = [row, distance];
        }
      }
    }
    return best;
  }

  private finishLasso(): void {
    const line = this.lasso!;
    this.lasso = null;
    if (line.length < 3) {
      this.draw();
      return;
    }
    const path = line.map(([x, y]) => this.place(x, y));
    const xs = path.map(([x]) => x);
    const ys = path.map(([, y]) => y);
    const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const rows = new Uint8Array(this.n);
    for (let row = 0; row < this.n; row++) {
      if (this.states[row]! === 0) continue;
      const [x, y] = [this.places[2 * row]!, this.places[2 * row + 1]!];
      if (x < left || x > right || y < bottom || y > top) continue;
      let isIn = false;
      for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
        const [ax, ay] = path[i]!;
        const [bx, by] = path[j]!;
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) isIn = !isIn;
      }
      if (isIn) rows[row] = 1;
    }
    this.events.onLasso(rows);
    this.draw();
  }

  showAll(): void {
    this.view = { x: 0, y: 0, scale: 1 };
    this.draw();
  }

  zoomBy(factor: number, px = this.width / 2, py = this.height / 2): void {
    const [x, y] = this.place(px, py);
    const scale = Math.min(Math.max(this.view.scale * factor, 0.8), 4000);
    const change = this.view.scale / scale;
    this.view = { x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change, scale };
    this.keepInSight();
    this.drawMoving();
  }

  private panBy(dx: number, dy: number): void {
    const { width, height } = this.panel;
    const { x, y, scale } = this.view;
    this.view = { x: x - dx / (scale * width), y: y + dy / (scale * height), scale };
    this.keepInSight();
    this.drawMoving();
  }

  /** Some of the map stays in the panel. */
  private keepInSight(): void {
    const reach = 1 / this.view.scale;
    this.view.x = Math.min(Math.max(this.view.x, -0.7 * reach), 1 - 0.3 * reach);
    this.view.y = Math.min(Math.max(this.view.y, -0.7 * reach), 1 - 0.3 * reach);
  }

  private listen(): void {
    const canvas = this.overlay;
    const pointers = new Map<number, [number, number]>();
    let moved = 0;
    const at = (event: PointerEvent | WheelEvent): [number, number] => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, at(event));
      moved = 0;
      const isLasso = this.tool === "lasso" || event.shiftKey;
      this.lasso = isLasso && pointers.size === 1 ? [at(event)] : null;
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      const before = pointers.get(event.pointerId);
      if (!before) {
        this.hover(x, y);
        return;
      }
      moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
      if (this.lasso) {
        this.lasso.push([x, y]);
        this.drawOverlay();
      } else if (pointers.size === 2) {
        const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const [ox, oy] = other!;
        const grown = Math.hypot(x - ox, y - oy) / Math.max(Math.hypot(before[0] - ox, before[1] - oy), 1);
        this.panBy((x - before[0]) / 2, (y - before[1]) / 2);
        this.zoomBy(grown, (x + ox) / 2, (y + oy) / 2);
      } else if (moved > 3) {
        this.panBy(x - before[0], y - before[1]);
      }
      pointers.set(event.pointerId, [x, y]);
    });
    const end = (event: PointerEvent): void => {
      if (!pointers.delete(event.pointerId)) return;
      if (this.lasso) {
        this.finishLasso();
      } else if (moved <= 3 && event.type === "pointerup") {
        const row = this.nearest(...at(event), event.pointerType === "touch" ? 24 : 12);
        if (row >= 0) this.events.onPick(row);
      }
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => {
      this.hovered = -1;
      this.events.onHover(-1, 0, 0);
      this.drawOverlay();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), ...at(event));
      },
      { passive: false },
    );
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, event.offsetX, event.offsetY));
    canvas.addEventListener("keydown", (event) => {
      const step = 40;
      const moves: Record<string, () => void> = {
        ArrowLeft: () => this.panBy(step, 0),
        ArrowRight: () => this.panBy(-step, 0),
        ArrowUp: () => this.panBy(0, step),
        ArrowDown: () => this.panBy(0, -step),
        "+": () => this.zoomBy(1.3),
        "=": () => this.zoomBy(1.3),
        "-": () => this.zoomBy(1 / 1.3),
        "0": () => this.showAll(),
      };
      const move = moves[event.key];
      if (!move || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      move();
    });
  }

  private hover(x: number, y: number): void {
    const row = this.isDensity ? -1 : this.nearest(x, y, 10);
    if (row !== this.hovered) {
      this.hovered = row;
      this.drawOverlay();
    }
    this.overlay.style.cursor = row >= 0 ? "pointer" : this.tool === "lasso" ? "crosshair" : "grab";
    this.events.onHover(row, x, y);
  }

  /** Where an example is drawn, in pixels of the element. */
  where(row: number): [number, number] {
    return this.pixel(this.places[2 * row]!, this.places[2 * row + 1]!);
  }

  redraw(): void {
    this.drawNow();
  }

  /** All of it as a picture, for paper, onto which browsers do not bring WebGL. */
  picture(): string {
    const canvas = document.createElement("canvas");
    canvas.width = this.overlay.width;
    canvas.height = this.overlay.height;
    const context = canvas.getContext("2d");
    if (!context) return "";
    this.drawPart(0, this.n);
    this.drawOverlay();
    context.drawImage(this.pointsCanvas, 0, 0);
    context.drawImage(this.overlay, 0, 0);
    return canvas.toDataURL();
  }
}

function padded(signal: Signal): [number, number] {
  if (signal.isWhole) return [signal.low - 0.6, signal.high + 0.6];
  // What differs by less is rounding, and has no digits that an axis could show.
  const least = Math.max(1e-6 * Math.max(Math.abs(signal.low), Math.abs(signal.high)), 1e-9);
  const span = signal.high - signal.low;
  const reach = span > least ? 0.03 * span : least;
  return [signal.low - reach, signal.high + reach];
}

const cellAt = (x: number): number => Math.min(Math.max(Math.floor(x * CELLS), 0), CELLS - 1);

/** A number from -SPREAD to SPREAD that is always the same for a row. */
function spread(row: number, axis: number): number {
  let x = Math.imul(row + 1, 0x9e3779b1) ^ Math.imul(axis, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
  return (((x ^ (x >>> 15)) >>> 0) / 2 ** 32 - 0.5) * 2 * SPREAD;
}

function randomOrder(n: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 0x2545f491;
  for (let i = n - 1; i > 0; i--) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

function axisTitle(signal: Signal): string {
  const unit = signal.isWhole ? ` (spread by up to ${SPREAD})` : signal.name === "entropy" || signal.name === "loss" ? " (nats)" : "";
  return signal.title + unit;
}

/** Round numbers in a range, about so many. */
export function ticks(signal: Signal, [low, high]: readonly [number, number], about: number): number[] {
  const rough = (high - low) / Math.max(about, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = power * ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10);
  if (signal.isWhole) step = Math.max(Math.round(step), 1);
  const found: number[] = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(12)));
  if (signal.beyond !== null) {
    const end = signal.beyond;
    const last = signal.isWhole ? end - 1 : end - 0.5 * step;
    const within = found.filter((tick) => tick <= last + 1e-9);
    return end >= low && end <= high ? [...within, end] : within;
  }
  return found;
}
