// What the page knows of its examples: signals, categories, texts, trajectories.

import { block, type Values } from "./blocks";
import { regionColours, type Rgb } from "./colours";
import { shareOf, shuffled, sorted } from "./exact";
import { short } from "./dom";

/** What the program calls an example that was never right in the column `forgetfulness`. */
const NEVER = 1000;

const MEANINGS: Record<string, string> = {
  confidence: "mean probability of the label over the epochs",
  variability: "standard deviation of the label's probability over the epochs",
  correctness: "epochs in which the prediction was the label",
  forgetfulness: "times right and then wrong",
  threshold_closeness: "confidence times 1 minus confidence",
  aum: "mean margin of the label's logit over the largest other",
  el2n: "mean distance of the probabilities from the label",
  entropy: "of the mean prediction, in nats",
  loss: "mean cross entropy, in nats",
  correct_ratio: "share of the epochs in which the prediction was the label",
  learnt_times: "times wrong and then right",
  first_learn: "first epoch in which it was right",
  first_forget: "first epoch in which it was wrong after being right",
  max_label_probs: "the label's highest probability",
  min_label_probs: "the label's lowest probability",
  suspect_rank: "place in the audit's list of likely label errors, 1 the likeliest",
  likely_label_error: "1 where the audit finds the label likely to be wrong",
  moved: "distance on the map from run A to run B",
};

/** A column of numbers. */
export class Signal {
  /** The values as they are drawn: never and infinite are a step above the rest. */
  readonly shown: ArrayLike<number>;
  /** The least and the greatest drawn value. */
  readonly low: number;
  readonly high: number;
  /** Where `never` or infinity is drawn; none where there is none. */
  readonly beyond: number | null = null;
  readonly isNeverLearnt: boolean = false;

  constructor(
    readonly name: string,
    readonly isWhole: boolean,
    readonly values: Values,
  ) {
    this.isNeverLearnt = name === "forgetfulness" && values.includes(NEVER);
    const never = this.isNeverLearnt ? NEVER : Infinity;
    let low = Infinity;
    let high = -Infinity;
    let nBeyond = 0;
    for (let i = 0; i < values.length; i++) {
      const x = values[i]!;
      if (x === Infinity || x === never) {
        nBeyond++;
        continue;
      }
      if (x < low) low = x;
      if (x > high) high = x;
    }
    if (low > high) [low, high] = [0, isWhole ? 0 : 1];
    this.shown = values;
    if (nBeyond > 0) {
      const beyond = isWhole ? high + 1 : high + 0.08 * (high - low || 1);
      const shown = Float32Array.from(values);
      for (let i = 0; i < shown.length; i++) if (values[i] === Infinity || values[i] === never) shown[i] = beyond;
      this.shown = shown;
      this.beyond = beyond;
      high = beyond;
    }
    this.low = low;
    this.high = high;
  }

  get title(): string {
    return this.name.replaceAll("_", " ");
  }

  get meaning(): string {
    return MEANINGS[this.name] ?? "";
  }

  /** The value of an example as text. */
  text(row: number): string {
    const x = this.values[row]!;
    if (this.isNeverLearnt && x === NEVER) return "never right";
    const isPlain = !this.isWhole && Number.isFinite(x) && Math.abs(x) < 100 && (x === 0 || Math.abs(x) >= 1e-3);
    return isPlain ? x.toFixed(Math.abs(x) < 10 ? 4 : 3) : short(x);
  }

  /** What stands at a place of its axis. */
  tick(x: number): string {
    if (this.beyond !== null && Math.abs(x - this.beyond) < 1e-9) return this.isNeverLearnt ? "never" : "\u221e";
    const size = Math.abs(x);
    return size !== 0 && (size < 1e-4 || size >= 1e6) ? String(Number(x.toPrecision(6))) : String(x);
  }
}

/** A column of few texts. */
export class Category {
  colours?: (isDark: boolean) => Record<string, Rgb>;

  constructor(
    readonly name: string,
    readonly values: string[],
    readonly of: Uint8Array | Uint16Array,
  ) {}

  get title(): string {
    return this.name.replaceAll("_", " ");
  }

  counts(rows?: Uint8Array): number[] {
    const counts = new Array<number>(this.values.length).fill(0);
    for (let i = 0; i < this.of.length; i++) if (!rows || rows[i]) counts[this.of[i]!]!++;
    return counts;
  }

  shown(value: number): string {
    const text = this.values[value] ?? "";
    return text === "" ? "(none)" : isOfProgram(this.name) ? text.replaceAll("_", " ") : text;
  }

  text(row: number): string {
    return this.shown(this.of[row]!);
  }
}

const isOfProgram = (name: string): boolean => ["region", "subset", "course", "mark"].includes(name);

/** Many texts, decoded as they are wanted. */
export class Texts {
  private readonly starts: Uint32Array;
  private readonly decoder = new TextDecoder();

  constructor(
    private readonly bytes: Uint8Array,
    lengths: Uint32Array,
  ) {
    this.starts = new Uint32Array(lengths.length + 1);
    for (let i = 0; i < lengths.length; i++) this.starts[i + 1] = this.starts[i]! + lengths[i]!;
  }

  get(row: number): string {
    return this.decode(row, row + 1);
  }

  private decode(from: number, to: number): string {
    return this.decoder.decode(this.bytes.subarray(this.starts[from]!, this.starts[to]!));
  }

  /** Marks the rows that have the text in them, whatever the case of its letters. */
  find(text: string, found: Uint8Array): void {
    const wanted = text.toLowerCase();
    const n = this.starts.length - 1;
    const step = 256;
    for (let from = 0; from < n; from += step) {
      const to = Math.min(from + step, n);
      if (!this.decode(from, to).toLowerCase().includes(wanted)) continue;
      for (let row = from; row < to; row++) {
        if (!found[row] && this.get(row).toLowerCase().includes(wanted)) found[row] = 1;
      }
    }
  }
}

/** The classes' probabilities over the epochs. */
export class Trajectory {
  constructor(
    readonly classes: string[],
    readonly nEpochs: number,
    /** The epochs that are kept, from 1. */
    readonly epochs: number[],
    private readonly nSlots: number,
    private readonly slots: Uint16Array | null,
    private readonly probabilities: Uint8Array,
    private readonly right: Uint8Array,
    readonly predicted: Uint16Array,
    readonly gold: Uint16Array,
    private readonly n: number,
  ) {}

  /** A line for each class that is kept, the label's first. */
  of(row: number): { name: string; isGold: boolean; values: number[] }[] {
    const gold = this.gold[row]!;
    const lines = Array.from({ length: this.nSlots }, (_, slot) => {
      const id = this.slots ? this.slots[slot * this.n + row]! : slot;
      const values = this.epochs.map((_, epoch) => this.probabilities[(epoch * this.nSlots + slot) * this.n + row]! / 255);
      return { name: this.classes[id] ?? `LABEL_${id}`, isGold: id === gold, values };
    });
    return lines.sort((a, b) => Number(b.isGold) - Number(a.isGold));
  }

  isRight(row: number, epoch: number): boolean {
    return ((this.right[(epoch >> 3) * this.n + row]! >> (epoch & 7)) & 1) === 1;
  }

  /** How learning went, in words. */
  courses(): Category {
    const of = new Uint8Array(this.n);
    for (let row = 0; row < this.n; row++) {
      let [nRight, nForgotten] = [0, 0];
      let before = false;
      for (let epoch = 0; epoch < this.nEpochs; epoch++) {
        const now = this.isRight(row, epoch);
        if (now) nRight++;
        if (before && !now) nForgotten++;
        before = now;
      }
      if (nRight === this.nEpochs) of[row] = 0;
      else if (nRight === 0) of[row] = 4;
      else if (nForgotten === 0) of[row] = 1;
      else of[row] = before ? 2 : 3;
    }
    return new Category("course", COURSES, of);
  }
}

const COURSES = ["always right", "learnt", "forgotten, right at the end", "learnt, then forgotten", "never right"];

/** The regions in the order in which they pick. */
export const REGIONS = ["hard_to_learn", "easy_to_learn", "ambiguous", "random"] as const;

/** What the regions take. */
export interface Picks {
  /** For each region its rows, first pick first. */
  rows: Uint32Array[];
  /** For each row the region that took it, a position in REGIONS; 4 for none. */
  region: Uint8Array;
}

interface Column {
  name: string;
  block: string;
}

/** What the program says of a map. */
export interface MapFacts {
  id: string;
  n: number;
  guids: [string, string];
  indices: string;
  signals: (Column & { whole: boolean })[];
  categories: (Column & { values: string[] })[];
  texts?: [string, string];
  pairs?: [string, string];
  options?: [string, string];
  trajectory: null | {
    classes: string[];
    n_epochs: number;
    epochs: number[];
    n_slots: number;
    slots: string | null;
    probabilities: string;
    right: string;
    predicted: string;
    gold: string;
  };
}

export interface ComparisonFacts {
  n_shared: number;
  n_only_here: number;
  n_only_there: number;
  correlations: { name: string; spearman: number | null; n: number }[];
  signals: Column[];
}

export class DataMap {
  private readonly orders = new Map<number, Uint32Array>();

  private constructor(
    readonly id: string,
    readonly n: number,
    readonly guids: Texts,
    readonly texts: Texts | null,
    readonly pairs: Texts | null,
    readonly options: Texts | null,
    readonly signals: Signal[],
    readonly categories: Category[],
    readonly trajectory: Trajectory | null,
    /** The examples' places in their file, which decide ties. */
    readonly indices: Uint32Array,
    /** The rows in the order of their file. */
    readonly inFile: Uint32Array,
  ) {}

  static async read(facts: MapFacts, comparison: ComparisonFacts | null): Promise<DataMap> {
    const texts = async (names?: [string, string]): Promise<Texts | null> => {
      if (!names) return null;
      const [bytes, lengths] = await Promise.all([block(names[0]), block(names[1])]);
      return new Texts(bytes as Uint8Array, lengths as Uint32Array);
    };
    const signals = await Promise.all(
      facts.signals.map(async ({ name, whole, block: at }) => new Signal(name, whole, await block(at))),
    );
    const categories = await Promise.all(
      facts.categories.map(async ({ name, values, block: at }) => new Category(name, values, (await block(at)) as Uint16Array)),
    );
    const of = facts.trajectory;
    let trajectory: Trajectory | null = null;
    if (of) {
      const [slots, probabilities, right, predicted, gold] = await Promise.all(
        [of.slots, of.probabilities, of.right, of.predicted, of.gold].map((at) => (at === null ? null : block(at))),
      );
      trajectory = new Trajectory(
        of.classes,
        of.n_epochs,
        of.epochs,
        of.n_slots,
        slots as Uint16Array | null,
        probabilities as Uint8Array,
        right as Uint8Array,
        predicted as Uint16Array,
        gold as Uint16Array,
        facts.n,
      );
      const at = categories.findIndex((category) => category.name === "label");
      categories.splice(at + 1, 0, new Category("prediction", of.classes, trajectory.predicted), trajectory.courses());
    }
    if (comparison) signals.push(...(await changes(signals, comparison)));
    const indices = (await block(facts.indices)) as Uint32Array;
    const rows = Uint32Array.from({ length: facts.n }, (_, row) => row);
    return new DataMap(
      facts.id,
      facts.n,
      (await texts(facts.guids))!,
      await texts(facts.texts),
      await texts(facts.pairs),
      await texts(facts.options),
      signals,
      categories,
      trajectory,
      indices,
      indices.every((index, row) => row === 0 || indices[row - 1]! < index) ? rows : sorted(indices, rows, false),
    );
  }

  signal(name: string): Signal | undefined {
    return this.signals.find((signal) => signal.name === name);
  }

  category(name: string): Category | undefined {
    return this.categories.find((category) => category.name === name);
  }

  /** The number of epochs that correctness counts. */
  get nEpochs(): number {
    return this.trajectory?.nEpochs ?? this.signal("correctness")?.high ?? 0;
  }

  /** The rows in the order in which a region picks them; none for random picks. */
  private orderOf(region: number): Uint32Array | undefined {
    const signal = [this.signal("confidence"), this.signal("confidence"), this.signal("variability")][region];
    if (signal && !this.orders.has(region)) this.orders.set(region, sorted(signal.values, this.inFile, region > 0));
    return this.orders.get(region);
  }

  /** What `enginora-rs select` picks by these shares, in this order, without replacement. */
  pick(shares: bigint[], seed: bigint): Picks {
    const region = new Uint8Array(this.n).fill(REGIONS.length);
    const rows = REGIONS.map((_, i) => {
      const picked = new Uint32Array(shareOf(shares[i] ?? 0n, this.n));
      if (picked.length === 0) return picked;
      const left = (): Uint32Array => shuffled(this.inFile.filter((row) => region[row] === REGIONS.length), seed);
      const order = this.orderOf(i) ?? left();
      let n = 0;
      for (let at = 0; n < picked.length && at < order.length; at++) {
        const row = order[at]!;
        if (region[row] !== REGIONS.length) continue;
        region[row] = i;
        picked[n++] = row;
      }
      return picked;
    });
    return { rows, region };
  }
}

export function regionCategory(picks: Picks): Category {
  const category = new Category("region", [...REGIONS, "none"], picks.region);
  category.colours = regionColours;
  return category;
}

/** What the other run says of the examples, and how far they moved. */
async function changes(signals: Signal[], facts: ComparisonFacts): Promise<Signal[]> {
  const found: Signal[] = [];
  const squares = new Float32Array(signals[0]!.values.length);
  for (const { name, block: at } of facts.signals) {
    const here = signals.find((signal) => signal.name === name)!;
    const there = (await block(at)) as Float32Array;
    found.push(new Signal(`${name} in run B`, here.isWhole, there));
    const change = there.map((x, row) => x - here.values[row]!);
    found.push(new Signal(`change of ${name}`, here.isWhole, change));
    if (name !== "correctness") change.forEach((x, row) => (squares[row]! += x * x));
  }
  found.push(new Signal("moved", false, squares.map(Math.sqrt)));
  return found;
}
