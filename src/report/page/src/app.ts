// What the reader has chosen, and what follows from it.

import { fraction, isAtMostOne, sorted } from "./exact";
import { Marks } from "./marks";
import { Category, REGIONS, regionCategory, type DataMap, type Picks, type Signal } from "./model";

/** What has changed; views draw anew what depends on it. */
export type Topic = "axes" | "colour" | "regions" | "rows" | "order" | "current" | "marks" | "theme";

/** By what the rows are put in order: a signal or a category, or their file. */
export interface Order {
  name: string;
  descending: boolean;
}

export class App {
  x: Signal;
  y: Signal;
  /** What the colours show: a signal's or category's name. */
  colour: string;
  isDensity = false;
  /** As they were typed. */
  readonly fractions: Record<string, string> = { hard_to_learn: "0", easy_to_learn: "0", ambiguous: "0.33", random: "0" };
  seed: string;
  picks: Picks;
  problem = "";
  search = "";
  /** For a category the values that are shown. */
  readonly chosen = new Map<string, Set<number>>();
  /** For a signal the least and the greatest value that is shown. */
  readonly ranges = new Map<string, [number, number]>();
  lasso: Uint8Array | null = null;
  order: Order;
  current = -1;
  readonly marks: Marks;
  /** Whether each example passes the filters. */
  visible: Uint8Array;
  /** What is listed: visible, in the lasso, in order. */
  list: Uint32Array;
  isDark = false;
  private found: { search: string; rows: Uint8Array } | null = null;
  private regions: Category;
  private readonly listeners: [Topic[], () => void][] = [];

  constructor(
    readonly map: DataMap,
    seed: string,
  ) {
    this.x = map.signal("variability")!;
    this.y = map.signal("confidence")!;
    this.seed = seed;
    this.marks = new Marks(map);
    this.colour = map.signal("correctness") ? "correctness" : map.category("label") ? "label" : "region";
    this.picks = this.picked();
    this.regions = regionCategory(this.picks);
    this.visible = new Uint8Array(map.n).fill(1);
    this.order = map.signal("suspect_rank") ? { name: "suspect_rank", descending: false } : { name: "confidence", descending: false };
    this.list = this.listed();
  }

  on(topics: Topic[], call: () => void): void {
    this.listeners.push([topics, call]);
  }

  tell(...topics: Topic[]): void {
    for (const [wanted, call] of this.listeners) if (wanted.some((topic) => topics.includes(topic))) call();
  }

  /** The map's categories, and those that the reader makes. */
  categories(): Category[] {
    const [label, ...others] = this.map.categories;
    const made = [this.regions, this.marks.category()];
    return label ? [label, ...others, ...made] : made;
  }

  category(name: string): Category | undefined {
    if (name === "region") return this.regions;
    if (name === "mark") return this.marks.category();
    return this.map.category(name);
  }

  private picked(): Picks {
    const shares = REGIONS.map((name) => fraction(this.fractions[name]!));
    const seed = /^\d{1,20}$/.test(this.seed) ? BigInt(this.seed) : null;
    if (shares.some((share) => share === null)) this.problem = "a share is a number from 0 to 1 with at most 19 decimals";
    else if (!isAtMostOne(shares as bigint[])) this.problem = "the shares are more than 1 together";
    else if (seed === null || seed >= 2n ** 64n) this.problem = "the seed is a whole number";
    else {
      this.problem = "";
      return this.map.pick(shares as bigint[], seed);
    }
    return this.picks;
  }

  setFraction(name: string, text: string): void {
    this.fractions[name] = text;
    this.pickAnew();
  }

  setSeed(text: string): void {
    this.seed = text;
    this.pickAnew();
  }

  private pickAnew(): void {
    this.picks = this.picked();
    this.regions = regionCategory(this.picks);
    if (this.chosen.has("region") || this.order.name === "region") this.filter("regions");
    else this.tell("regions", ...(this.colour === "region" ? (["colour"] as const) : []));
  }

  setAxes(x: Signal, y: Signal): void {
    this.x = x;
    this.y = y;
    this.tell("axes");
  }

  setColour(name: string): void {
    this.colour = name;
    this.tell("colour");
  }

  setSearch(text: string): void {
    this.search = text;
    this.filter();
  }

  /** Shows these values of a category; null: all. */
  choose(name: string, values: Set<number> | null): void {
    if (values === null || values.size === this.category(name)?.values.length) this.chosen.delete(name);
    else this.chosen.set(name, values);
    this.filter();
  }

  setRange(name: string, range: [number, number] | null): void {
    if (range === null) this.ranges.delete(name);
    else this.ranges.set(name, range);
    this.filter();
  }

  setLasso(rows: Uint8Array | null): void {
    this.lasso = rows;
    this.list = this.listed();
    this.tell("rows", "order");
  }

  clearFilters(): void {
    this.search = "";
    this.chosen.clear();
    this.ranges.clear();
    this.lasso = null;
    this.filter();
  }

  get isFiltered(): boolean {
    return this.search !== "" || this.chosen.size > 0 || this.ranges.size > 0 || this.lasso !== null;
  }

  setOrder(name: string, descending: boolean): void {
    this.order = { name, descending };
    this.list = this.listed();
    this.tell("order");
  }

  mark(row: number, verdict: "mislabelled" | "keep" | null, note?: string): void {
    const before = this.marks.get(row);
    this.marks.set(row, { verdict, note: note ?? before.note });
    if (this.chosen.has("mark")) this.filter("marks");
    else this.tell("marks", ...(this.colour === "mark" ? (["colour"] as const) : []));
  }

  clearMarks(): void {
    this.marks.clear();
    this.filter("marks");
  }

  private searched(): Uint8Array | null {
    const text = this.search.trim();
    if (text === "") return null;
    if (this.found?.search !== text) {
      const rows = new Uint8Array(this.map.n);
      for (const texts of [this.map.texts, this.map.pairs, this.map.options, this.map.guids]) texts?.find(text, rows);
      this.found = { search: text, rows };
    }
    return this.found.rows;
  }

  filter(...topics: Topic[]): void {
    const visible = new Uint8Array(this.map.n).fill(1);
    const found = this.searched();
    if (found) for (let row = 0; row < visible.length; row++) visible[row]! &= found[row]!;
    for (const [name, values] of this.chosen) {
      const category = this.category(name);
      if (!category) continue;
      const isIn = Uint8Array.from(category.values, (_, value) => Number(values.has(value)));
      for (let row = 0; row < visible.length; row++) visible[row]! &= isIn[category.of[row]!]!;
    }
    for (const [name, [low, high]] of this.ranges) {
      const shown = this.map.signal(name)!.shown;
      for (let row = 0; row < visible.length; row++) visible[row]! &= Number(shown[row]! >= low && shown[row]! <= high);
    }
    this.visible = visible;
    this.list = this.listed();
    this.tell("rows", "order", ...topics, ...(this.colour === "region" || this.colour === "mark" ? (["colour"] as const) : []));
  }

  private listed(): Uint32Array {
    const { visible, lasso } = this;
    const rows = this.map.inFile.filter((row) => visible[row] === 1 && (!lasso || lasso[row] === 1));
    const values = this.map.signal(this.order.name)?.values ?? this.category(this.order.name)?.of;
    if (values) return sorted(values, rows, this.order.descending);
    return this.order.descending ? rows.reverse() : rows;
  }

  /** Goes to an example. */
  go(row: number): void {
    this.current = row;
    this.tell("current");
  }

  /** Goes on by so many in the list. */
  step(by: number): void {
    if (this.list.length === 0) return;
    const at = this.list.indexOf(this.current);
    const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), this.list.length - 1);
    this.go(this.list[next]!);
  }
}
