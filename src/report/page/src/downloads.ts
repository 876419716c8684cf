// Files that a reader takes along.

import type { App } from "./app";
import { REGIONS } from "./model";

/** Hands a file to the browser. */
export function save(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function csvCell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csv = (rows: string[][]): string => rows.map((row) => row.map(csvCell).join(",") + "\n").join("");

/** The ids of rows, one a line, as `select` writes them; null where an id has a line break in it. */
export function guidList(app: App, rows: ArrayLike<number>): string | null {
  let text = "";
  for (let i = 0; i < rows.length; i++) {
    const guid = app.map.guids.get(rows[i]!);
    if (/[\r\n]/.test(guid)) return null;
    text += guid + "\n";
  }
  return text;
}

/** A table of rows: every category and signal, the marks, and the texts where the page has them. */
export function rowTable(app: App, rows: ArrayLike<number>): string {
  const { map, marks } = app;
  const categories = app.categories().filter(({ name }) => name !== "mark");
  const header = ["guid", "index", ...categories.map((c) => c.name), ...map.signals.map((signal) => signal.name), "mark", "note"];
  if (map.texts) header.push("text");
  if (map.pairs) header.push("text_pair");
  const position = new Uint32Array(map.n);
  map.inFile.forEach((row, i) => (position[row] = i));
  const table = [header];
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    const mark = marks.get(row);
    const cells = [map.guids.get(row), String(map.indices[row]!)];
    cells.push(...categories.map((category) => category.values[category.of[row]!] ?? ""));
    cells.push(...map.signals.map((signal) => (Number.isNaN(signal.values[row]!) ? "" : plain(signal.values[row]!, signal.values instanceof Float32Array))));
    cells.push(mark.verdict ?? "", mark.note);
    if (map.texts) cells.push(map.texts.get(row));
    if (map.pairs) cells.push(map.pairs.get(row));
    table.push(cells);
  }
  return csv(table);
}

const plain = (x: number, isRounded: boolean): string => String(isRounded && !Number.isInteger(x) ? Number(x.toPrecision(7)) : x);

/** The marks: `select --drop` leaves out those that are mislabelled. */
export function markTable(app: App): string {
  const rows = app.marks.rows().map((row) => {
    const mark = app.marks.get(row);
    const label = app.map.category("label");
    return [app.map.guids.get(row), mark.verdict ?? "", label ? label.values[label.of[row]!]! : "", mark.note];
  });
  return csv([["guid", "mark", "label", "note"], ...rows]);
}

/** The regions as a selector of a config. */
export function regionYaml(app: App): string {
  const shares = REGIONS.map((name) => `${name}: ${app.fractions[name]!.trim() || "0"}`);
  return (
    `training:\n  selectors:\n    - name: data_cartography\n      args: {${shares.join(", ")}}\n` +
    `# From a table of its own: enginora-rs select MAP${selectArguments(app)} --output selection.txt\n`
  );
}

export function selectArguments(app: App): string {
  const used = REGIONS.filter((name) => !/^\s*(0*\.?0*)\s*$/.test(app.fractions[name]!));
  const seed = app.fractions["random"] !== "0" ? ` --seed ${app.seed}` : "";
  return used.map((name) => ` --fraction ${name}=${app.fractions[name]!.trim()}`).join("") + seed;
}

/** A list of ids as a selector of a config. */
export const listYaml = (file: string): string =>
  `training:\n  selectors:\n    - name: command\n      args: {command: [cat, ${file}]}   # one guid a line\n`;
