// The colours of the program's pictures.

import type { Category, Signal } from "./model";

/** The palette of Okabe and Ito (2008) without its yellow; a wine of Tol's muted palette is in its place. */
const CATEGORIES = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#882255", "#cc79a7"];

/** Correctness at 0, 0.2, ... 1: warm for hard, cool for easy. */
const CORRECTNESS = ["#b2182b", "#e26f2c", "#e8b25c", "#9aa3ad", "#5aa2d8", "#1f4e9e"];
/** The same where the page is dark, the ends lighter. */
const CORRECTNESS_DARK = ["#e0485a", "#ee8444", "#e8b25c", "#9aa3ad", "#6fb3e6", "#5b8fe8"];

/** viridis (van der Walt and Smith, CC0) at 0, 1/16, ... 1. */
const VIRIDIS = [
  "#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e", "#1f988b",
  "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#eae51a", "#fde725",
];

/** Below zero, none, above. */
const DIVERGING = ["#2166ac", "#67a9cf", "#d1d5da", "#ef8a62", "#b2182b"];

export type Rgb = [number, number, number];

export const SHAPES = ["disc", "diamond", "square", "up", "down", "cross"] as const;

/** How the points are coloured: an entry of the palette for each. */
export interface Paint {
  title: string;
  /** Up to 256 colours. */
  palette: Rgb[];
  /** For each colour a shape, a position in SHAPES. */
  shapes: number[];
  /** For each example a position in the palette; 255 where it has no value. */
  of: Uint8Array;
  /** Named colours. */
  groups?: { name: string; colour: number; n: number; value: number }[];
  /** A bar of colours from the least to the greatest value. */
  bar?: { low: number; high: number; signal: Signal };
  /** Examples without a value. */
  nMissing: number;
}

export const MISSING = 255;

export function rgb(hex: string): Rgb {
  const number = parseInt(hex.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

export const css = ([r, g, b]: Rgb): string => `rgb(${r}, ${g}, ${b})`;

function blend(colours: string[], at: number): Rgb {
  const place = Math.min(Math.max(at, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(place), colours.length - 2);
  const share = place - low;
  const [a, b] = [rgb(colours[low]!), rgb(colours[low + 1]!)];
  return [0, 1, 2].map((i) => Math.round(a[i]! + (b[i]! - a[i]!) * share)) as Rgb;
}

/** From few to many, or from low to high. */
export const viridis = (at: number, isDark: boolean): Rgb => blend(VIRIDIS, isDark ? 0.12 + 0.88 * at : 0.94 * (1 - at));

export const categoryColour = (i: number, isDark: boolean): Rgb =>
  i < CATEGORIES.length ? rgb(CATEGORIES[i]!) : rgb(isDark ? "#d0d4da" : "#444444");

export const regionColours = (isDark: boolean): Record<string, Rgb> => ({
  hard_to_learn: rgb("#d55e00"),
  easy_to_learn: rgb(isDark ? "#3d9be0" : "#0072b2"),
  ambiguous: rgb("#e69f00"),
  random: rgb(isDark ? "#d98cc0" : "#a8508c"),
  none: rgb(isDark ? "#5b6570" : "#b4bcc5"),
});

/** Missing values, and what is not in the legend. */
export const grey = (isDark: boolean): Rgb => rgb(isDark ? "#59626d" : "#c3c9d0");

/** Correctness in the classes of the program's figure: at most six. */
export function paintCorrectness(signal: Signal, nEpochs: number, isDark: boolean): Paint {
  const last = Math.min(nEpochs, 5);
  const colours = isDark ? CORRECTNESS_DARK : CORRECTNESS;
  const of = new Uint8Array(signal.values.length);
  const counts = new Array<number>(last + 1).fill(0);
  for (let i = 0; i < of.length; i++) {
    const group = Math.floor((2 * signal.values[i]! * last + nEpochs) / (2 * nEpochs));
    of[i] = group;
    counts[group]!++;
  }
  const decimals = last === 3 || last === 4 ? 2 : 1;
  const shapes = [5, 4, 1, 2, 3, 0];
  const palette = counts.map((_, i) => blend(colours, i / last));
  const groups = counts.map((n, i) => ({ name: (i / last).toFixed(decimals), colour: i, n, value: i }));
  return {
    title: `correctness (share of ${nEpochs} epochs)`,
    palette,
    shapes: counts.map((_, i) => shapes[Math.round((i / last) * 5)]!),
    of,
    groups: groups.reverse(),
    nMissing: 0,
  };
}

/** The largest categories, and the rest together. */
export function paintCategory(category: Category, isDark: boolean): Paint {
  const counts = category.counts();
  const most = CATEGORIES.length;
  const bySize = counts.map((_, i) => i).filter((i) => counts[i]! > 0);
  const order = bySize.length > most ? [...bySize].sort((a, b) => counts[b]! - counts[a]! || a - b) : bySize;
  const own = order.slice(0, most);
  if (order.length === most + 1) own.push(order[most]!);
  own.sort((a, b) => a - b);
  const fixed = category.colours?.(isDark);
  const colourOf = new Uint8Array(counts.length).fill(own.length);
  own.forEach((value, i) => (colourOf[value] = i));
  const palette = own.map((value, i) => fixed?.[category.values[value]!] ?? categoryColour(i, isDark));
  palette.push(grey(isDark));
  const of = new Uint8Array(category.of.length);
  for (let i = 0; i < of.length; i++) of[i] = colourOf[category.of[i]!]!;
  const groups = own.map((value, i) => ({ name: category.shown(value), colour: i, n: counts[value]!, value }));
  const rest = order.filter((value) => !own.includes(value));
  if (rest.length > 0) {
    const n = rest.reduce((sum, value) => sum + counts[value]!, 0);
    groups.push({ name: `${rest.length} others`, colour: own.length, n, value: -1 });
  }
  const isNothing = (value: number) => ["none", "not selected"].includes(category.values[value]!);
  const shapes = own.map((value, i) => (isNothing(value) ? 0 : i % SHAPES.length));
  shapes.push(0);
  return { title: category.title, palette, shapes, of, groups, nMissing: 0 };
}

/** A signal from its least to its greatest value; around zero where it says what changed. */
export function paintSignal(signal: Signal, isDark: boolean): Paint {
  const palette: Rgb[] = [];
  const isChange = signal.name.startsWith("change of");
  for (let i = 0; i < 255; i++) {
    palette.push(isChange ? blend(DIVERGING, i / 254) : viridis(i / 254, isDark));
  }
  palette.push(grey(isDark));
  let [low, high] = [signal.low, signal.high];
  if (isChange) [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
  const of = new Uint8Array(signal.values.length);
  let nMissing = 0;
  const scale = high > low ? 254 / (high - low) : 0;
  for (let i = 0; i < of.length; i++) {
    const x = signal.shown[i]!;
    if (Number.isNaN(x)) {
      of[i] = MISSING;
      nMissing++;
    } else {
      of[i] = Math.round((Math.min(Math.max(x, low), high) - low) * scale);
    }
  }
  return {
    title: signal.title,
    palette,
    shapes: palette.map(() => 0),
    of,
    bar: { low, high, signal },
    nMissing,
  };
}
