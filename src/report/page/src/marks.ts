// What a reader says of examples, kept in the browser under the set's name.

import type { DataMap } from "./model";
import { Category } from "./model";

export type Verdict = "mislabelled" | "keep";

export interface Mark {
  verdict: Verdict | null;
  note: string;
}

export class Marks {
  private readonly marks = new Map<number, Mark>();
  private readonly key: string;
  /** Whether the browser keeps them. */
  isKept = true;

  constructor(private readonly map: DataMap) {
    this.key = `enginora-rs marks ${map.id}`;
    try {
      const kept = JSON.parse(localStorage.getItem(this.key) ?? "{}") as Record<string, Mark>;
      for (const [row, mark] of Object.entries(kept)) {
        const at = Number(row);
        if (!Number.isInteger(at) || at < 0 || at >= map.n || typeof mark !== "object" || !mark) continue;
        const verdict = mark.verdict === "mislabelled" || mark.verdict === "keep" ? mark.verdict : null;
        this.marks.set(at, { verdict, note: String(mark.note ?? "") });
      }
    } catch {
      this.isKept = false;
    }
  }

  get(row: number): Mark {
    return this.marks.get(row) ?? { verdict: null, note: "" };
  }

  set(row: number, mark: Mark): void {
    if (mark.verdict === null && mark.note === "") this.marks.delete(row);
    else this.marks.set(row, mark);
    try {
      localStorage.setItem(this.key, JSON.stringify(Object.fromEntries(this.marks)));
      this.isKept = true;
    } catch {
      this.isKept = false;
    }
  }

  clear(): void {
    for (const row of [...this.marks.keys()]) this.set(row, { verdict: null, note: "" });
  }

  /** All that are marked, in the order of their file. */
  rows(): number[] {
    const isMarked = (row: number): boolean => this.marks.has(row);
    return [...this.map.inFile].filter(isMarked);
  }

  count(verdict: Verdict): number {
    return [...this.marks.values()].filter((mark) => mark.verdict === verdict).length;
  }

  category(): Category {
    const of = new Uint8Array(this.map.n);
    for (const [row, mark] of this.marks) of[row] = mark.verdict === "mislabelled" ? 1 : mark.verdict === "keep" ? 2 : 3;
    return new Category("mark", ["none", "mislabelled", "keep", "note only"], of);
  }
}
