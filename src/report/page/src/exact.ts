// What picks examples, exactly as `enginora-rs select` does: fractions as decimals, the order by a
// signal, and the random picks.

/** Decimals that a fraction can have. */
const PLACES = 19;
const ONE = 10n ** BigInt(PLACES);

/** A share as a whole number of 10^-19, or null where the text is no number from 0 to 1. */
export function fraction(text: string): bigint | null {
  const match = /^\s*\+?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?\s*$/.exec(text);
  if (!match || !(match[1] || match[2])) return null;
  const decimals = match[2] ?? "";
  const digits = BigInt(`${match[1]}${decimals}` || "0");
  const places = decimals.length - Number(match[3] ?? 0);
  let units: bigint;
  if (places <= PLACES) {
    units = digits * 10n ** BigInt(PLACES - places);
  } else {
    const below = 10n ** BigInt(places - PLACES);
    if (digits % below !== 0n) return null;
    units = digits / below;
  }
  return units <= ONE ? units : null;
}

/** floor(share n). */
export function shareOf(units: bigint, n: number): number {
  return Number((units * BigInt(n)) / ONE);
}

export const isAtMostOne = (shares: bigint[]): boolean => shares.reduce((a, b) => a + b, 0n) <= ONE;

/**
 * The rows in the order of their values, the order of `rows` among equals (IEEE 754's total order,
 * as Rust's `total_cmp`, but with NaN last either way). Sixteen bits at a time, least first.
 */
export function sorted(values: ArrayLike<number>, rows: Uint32Array, descending: boolean): Uint32Array {
  const n = rows.length;
  const keys = new Float64Array(n);
  for (let i = 0; i < n; i++) keys[i] = values[rows[i]!]!;
  const halves = new Uint16Array(keys.buffer);
  for (let i = 0; i < n; i++) {
    const at = i * 4;
    if (Number.isNaN(keys[i]!)) {
      halves.fill(0xffff, at, at + 4);
      continue;
    }
    // Read as whole numbers, positive ones come in their order and negative ones turned around.
    const isNegative = (halves[at + 3]! & 0x8000) !== 0;
    const low = isNegative === descending ? 0 : 0xffff;
    const high = isNegative ? low : descending ? 0x7fff : 0x8000;
    if (isNegative || descending) for (let part = 0; part < 3; part++) halves[at + part]! ^= low;
    halves[at + 3]! ^= high;
  }
  let order = new Uint32Array(n);
  let next = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  const counts = new Uint32Array(0x10000);
  for (let part = 0; part < 4; part++) {
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[halves[i * 4 + part]!]!++;
    let sum = 0;
    for (let i = 0; i < 0x10000; i++) {
      const count = counts[i]!;
      counts[i] = sum;
      sum += count;
    }
    for (let i = 0; i < n; i++) {
      const item = order[i]!;
      next[counts[halves[item * 4 + part]!]!++] = item;
    }
    [order, next] = [next, order];
  }
  for (let i = 0; i < n; i++) next[i] = rows[order[i]!]!;
  return next;
}

/** The high and low half of a product of two 32-bit numbers. */
function product(a: number, b: number): [number, number] {
  const [a1, a0, b1, b0] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);
  const cross = a0 * b1 + (middle % 0x10000);
  const high = a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/** Philox4x32-10 (Salmon et al., SC 2011). */
export function philox(counter: [number, number, number, number], key: [number, number]): number[] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = product(0xd2511f53, c0);
    const [high1, low1] = product(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** What the program's random picks are for. */
const SELECTION = 5;

/** Puts rows into the order in which `random` picks them (Fisher and Yates). */
export function shuffled(rows: Uint32Array, seed: bigint): Uint32Array {
  const key: [number, number] = [Number(seed & 0xffffffffn), Number((seed >> 32n) & 0xffffffffn)];
  const items = rows.slice();
  let words: number[] = [];
  let held = -1;
  for (let i = items.length - 1; i >= 1; i--) {
    const block = Math.floor(i / 2);
    if (block !== held) {
      words = philox([block >>> 0, 0, 0, SELECTION], key);
      held = block;
    }
    const at = 2 * (i % 2);
    const other = below(words[at]!, words[at + 1]!, i + 1);
    const item = items[i]!;
    items[i] = items[other]!;
    items[other] = item;
  }
  return items;
}

/** floor((high 2^32 + low) n / 2^64). */
function below(high: number, low: number, n: number): number {
  // A double holds the sum exactly up to 2^53.
  if (n <= 0x200000) return Math.floor((high * n + Math.floor((low * n) / 2 ** 32)) / 2 ** 32);
  return Number((((BigInt(high) << 32n) | BigInt(low)) * BigInt(n)) >> 64n);
}
