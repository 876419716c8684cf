// What is on the map: axes, colours, regions, filters, marks.

import type { App } from "./app";
import { css, regionColours } from "./colours";
import { grouped, h, later, onFrame, replace, short } from "./dom";
import { guidList, markTable, regionYaml, rowTable, save, selectArguments } from "./downloads";
import { REGIONS, type Signal } from "./model";

/** A category with more values than these is chosen from by search. */
const MOST_BOXES = 12;

export function controlsView(app: App): HTMLElement {
  const isWide = window.matchMedia("(min-width: 1000px)").matches;
  return h("aside", { class: "controls", "aria-label": "What is shown" }, group("Map", true, axes(app)), group("Regions", isWide, regions(app)), group("Find", isWide, filters(app)), group("Marks", isWide, marks(app)));
}

function group(title: string, isOpen: boolean, content: HTMLElement): HTMLElement {
  return h("details", { class: "panel", open: isOpen }, h("summary", {}, title), content);
}

function menu(label: string, options: [string, string][], chosen: string, change: (name: string) => void): HTMLElement {
  const select = h("select", { "aria-label": label }, ...options.map(([name, text]) => h("option", { value: name, selected: name === chosen }, text)));
  select.addEventListener("change", () => change(select.value));
  return h("label", { class: "field" }, h("span", {}, label), select);
}

function axes(app: App): HTMLElement {
  const { map } = app;
  const signals = map.signals.map((signal): [string, string] => [signal.name, signal.title]);
  const box = h("div", { class: "stack" });
  const draw = (): void => {
    const categories = app.categories().map((category): [string, string] => [category.name, category.title]);
    const meaning = map.signal(app.colour)?.meaning;
    replace(
      box,
      menu("Across", signals, app.x.name, (name) => app.setAxes(map.signal(name)!, app.y)),
      menu("Up", signals, app.y.name, (name) => app.setAxes(app.x, map.signal(name)!)),
      menu("Colour", [...categories, ...signals], app.colour, (name) => app.setColour(name)),
      meaning ? h("p", { class: "muted small" }, `${map.signal(app.colour)!.title}: ${meaning}`) : null,
    );
  };
  app.on(["axes", "colour"], () => {
    if (!box.contains(document.activeElement)) draw();
  });
  draw();
  return box;
}

function regions(app: App): HTMLElement {
  const box = h("div", { class: "stack" });
  const counts: HTMLElement[] = [];
  const problem = h("p", { class: "warning", role: "alert" });
  const command = h("code", { class: "command" });
  const total = h("span", { class: "muted" });
  const seed = h("input", { type: "text", inputmode: "numeric", value: app.seed, "aria-label": "Seed of the random picks" });
  const seedField = h("label", { class: "field" }, h("span", {}, "Seed"), seed);
  seed.addEventListener("input", () => app.setSeed(seed.value.trim()));
  for (const name of REGIONS) {
    const dot = h("i", { class: "dot" });
    const paint = (): void => dot.style.setProperty("background", css(regionColours(app.isDark)[name]!));
    app.on(["theme"], paint);
    paint();
    const title = name.replaceAll("_", " ");
    const slider = h("input", { type: "range", min: 0, max: 100, step: 1, value: 100 * Number(app.fractions[name]), "aria-label": `Share of ${title}` });
    const text = h("input", { type: "text", inputmode: "decimal", class: "share", value: app.fractions[name]!, "aria-label": `Share of ${title} as a number` });
    const count = h("output", {});
    counts.push(count);
    const apply = onFrame(() => app.setFraction(name, text.value));
    slider.addEventListener("input", () => {
      text.value = decimal(Number(slider.value));
      apply();
    });
    text.addEventListener("input", () => {
      const value = Number(text.value);
      if (Number.isFinite(value)) slider.value = String(100 * value);
      apply();
    });
    box.append(h("div", { class: "region" }, h("span", { class: "region-name" }, dot, title), count, slider, text));
  }
  const draw = (): void => {
    app.picks.rows.forEach((rows, i) => replace(counts[i]!, grouped(rows.length)));
    replace(problem, app.problem);
    problem.hidden = app.problem === "";
    seedField.hidden = !(Number(app.fractions["random"]) > 0);
    const n = app.picks.rows.reduce((sum, rows) => sum + rows.length, 0);
    replace(total, `${grouped(n)} of ${grouped(app.map.n)} examples`);
    replace(command, `enginora-rs select MAP${selectArguments(app)} --output selection.txt`);
  };
  const picked = (): Uint32Array => Uint32Array.from(app.picks.rows.flatMap((rows) => [...rows]));
  box.append(
    seedField,
    problem,
    h(
      "div",
      { class: "group" },
      total,
      h("span", { class: "gap" }),
      h("button", { title: "The guids that the regions take, as select writes them", click: () => saveGuids(app, picked(), "regions.txt") }, "Guids"),
      h("button", { click: () => save("regions.csv", rowTable(app, picked())) }, "CSV"),
      h("button", { title: "The selector for a config", click: () => save("selectors.yaml", regionYaml(app)) }, "YAML"),
    ),
    h("p", { class: "muted small" }, "The same examples, from the command line:"),
    command,
  );
  app.on(["regions"], draw);
  draw();
  return box;
}

/** A whole number of hundredths as a decimal, exactly. */
function decimal(hundredths: number): string {
  return hundredths === 100 ? "1" : `0.${String(hundredths).padStart(2, "0")}`.replace(/0$/, "").replace(/^0\.$/, "0");
}

function saveGuids(app: App, rows: Uint32Array, name: string): void {
  const text = guidList(app, rows);
  if (text === null) window.alert("A guid has a line break in it: take the CSV.");
  else save(name, text);
}

function filters(app: App): HTMLElement {
  const search = h("input", { type: "search", id: "search", placeholder: app.map.texts ? "Search texts and guids  ( / )" : "Search guids  ( / )", "aria-label": "Search" });
  search.addEventListener("input", later(app.map.n > 50_000 ? 350 : 120, () => app.setSearch(search.value)));
  const clear = h("button", { click: () => app.clearFilters() }, "Clear all");
  const boxes = h("div", { class: "stack" });
  const ranges = h("div", { class: "stack" });
  const drawBoxes = (): void => {
    if (boxes.contains(document.activeElement) && document.activeElement instanceof HTMLInputElement) {
      drawBoxCounts();
      return;
    }
    replace(boxes, ...app.categories().filter((c) => c.values.length > 1).map((category) => categoryFilter(app, category.name)));
  };
  const drawBoxCounts = (): void => {
    for (const category of app.categories()) {
      const counts = category.counts();
      boxes.querySelectorAll<HTMLElement>("small[data-of]").forEach((small) => {
        const [name, value] = (small.dataset["of"] ?? "").split(" ");
        if (name === category.name) replace(small, grouped(counts[Number(value)]!));
      });
    }
  };
  const drawRanges = (): void => {
    if (ranges.contains(document.activeElement)) return;
    const added = [...new Set(["confidence", "variability", app.x.name, app.y.name, ...app.ranges.keys()])];
    const others = app.map.signals.filter((signal) => !added.includes(signal.name));
    replace(
      ranges,
      ...added.map((name) => rangeFilter(app, app.map.signal(name)!)),
      others.length > 0 &&
        menu("Range of", [["", "another signal ..."], ...others.map((o): [string, string] => [o.name, o.title])], "", (name) => {
          if (name !== "") {
            const signal = app.map.signal(name)!;
            (document.activeElement as HTMLElement | null)?.blur();
            app.setRange(name, [signal.low, signal.high]);
          }
        }),
    );
  };
  app.on(["rows"], () => {
    if (app.search === "" && document.activeElement !== search) search.value = "";
    clear.hidden = !app.isFiltered;
    drawBoxes();
    drawRanges();
  });
  app.on(["regions", "marks"], drawBoxes);
  app.on(["axes"], drawRanges);
  clear.hidden = true;
  drawBoxes();
  drawRanges();
  return h("div", { class: "stack" }, h("div", { class: "group" }, search, clear), boxes, ranges);
}

function categoryFilter(app: App, name: string): HTMLElement {
  const category = app.category(name)!;
  const chosen = app.chosen.get(name);
  const counts = category.counts();
  const summary = chosen ? `${category.title}: ${chosen.size} of ${category.values.length}` : category.title;
  const box = h("div", { class: "boxes" });
  const fill = (wanted: string): void => {
    const values = [...category.values.keys()].filter((value) => counts[value]! > 0 && category.shown(value).toLowerCase().includes(wanted));
    replace(
      box,
      ...values.slice(0, 60).map((value) => {
        const input = h("input", { type: "checkbox", checked: !app.chosen.has(name) || app.chosen.get(name)!.has(value) });
        input.addEventListener("change", () => {
          const now = new Set(app.chosen.get(name) ?? category.values.keys());
          if (input.checked) now.add(value);
          else now.delete(value);
          app.choose(name, now);
        });
        const only = h("button", { class: "plain only", click: () => app.choose(name, new Set([value])) }, "only");
        return h("div", { class: "box" }, h("label", {}, input, h("bdi", {}, category.shown(value)), h("small", { "data-of": `${name} ${value}` }, grouped(counts[value]!))), only);
      }),
      values.length > 60 && h("small", { class: "muted" }, `and ${values.length - 60} more: search`),
    );
  };
  fill("");
  const find = category.values.length > MOST_BOXES && h("input", { type: "search", placeholder: "Search", "aria-label": `Search ${category.title}` });
  if (find) find.addEventListener("input", () => fill(find.value.toLowerCase()));
  const all = chosen && h("button", { class: "plain only", click: () => app.choose(name, null) }, "all");
  const isOpen = chosen !== undefined || name === "label";
  return h("details", { class: "filter", open: isOpen }, h("summary", {}, h("span", {}, summary), all), find, box);
}

function rangeFilter(app: App, signal: Signal): HTMLElement {
  const [low, high] = app.ranges.get(signal.name) ?? [signal.low, signal.high];
  const steps = signal.isWhole ? Math.max(Math.round(signal.high - signal.low), 1) : 200;
  const at = (value: number): number => Math.min(Math.max(Math.round(((value - signal.low) / (signal.high - signal.low || 1)) * steps), 0), steps);
  const value = (place: number): number => signal.low + ((signal.high - signal.low) * place) / steps;
  const said = h("small", {});
  const from = h("input", { type: "range", min: 0, max: steps, value: at(low), "aria-label": `Least ${signal.title}` });
  const to = h("input", { type: "range", min: 0, max: steps, value: at(high), "aria-label": `Greatest ${signal.title}` });
  const say = (): void => {
    const isShort = signal.isWhole ? signal.tick.bind(signal) : (x: number) => (signal.beyond !== null && x > signal.beyond - 1e-9 ? signal.tick(signal.beyond) : short(Number(x.toPrecision(3))));
    replace(said, `${isShort(value(Number(from.value)))} to ${isShort(value(Number(to.value)))}`);
  };
  const apply = later(60, () => {
    const [a, b] = [Number(from.value), Number(to.value)].sort((p, q) => p - q) as [number, number];
    app.setRange(signal.name, a === 0 && b === steps ? null : [a === 0 ? -Infinity : value(a) - 1e-12, b === steps ? Infinity : value(b) + 1e-12]);
  });
  for (const input of [from, to]) {
    input.addEventListener("input", () => {
      say();
      apply();
    });
  }
  say();
  return h("div", { class: "range" }, h("span", { title: signal.meaning }, signal.title), said, h("span", { class: "two" }, from, to));
}

function marks(app: App): HTMLElement {
  const box = h("div", { class: "stack" });
  const draw = (): void => {
    const rows = app.marks.rows();
    const kept = (): void => {
      const isKept = (row: number): boolean => app.marks.get(row).verdict !== "mislabelled";
      saveGuids(app, app.map.inFile.filter(isKept), "kept.txt");
    };
    replace(
      box,
      h("p", {}, `${app.marks.count("mislabelled")} mislabelled, ${app.marks.count("keep")} to keep`),
      h(
        "div",
        { class: "group" },
        h("button", { disabled: rows.length === 0, title: "For select --drop, which leaves out those that are mislabelled", click: () => save("marks.csv", markTable(app)) }, "Marks as CSV"),
        h("button", { disabled: rows.length === 0, title: "All guids but the mislabelled ones, one a line", click: kept }, "Kept guids"),
        h("button", {
          disabled: rows.length === 0,
          click: () => {
            if (window.confirm(`Forget ${rows.length} marks?`)) app.clearMarks();
          },
        }, "Forget"),
      ),
      h("p", { class: "muted small" }, "Kept in this browser for this set of examples. With the mislabelled ones left out:"),
      h("code", { class: "command" }, "enginora-rs select MAP --drop marks.csv --fraction ..."),
      h("p", { class: "muted small" }, "Or in a config, with the kept guids:"),
      h("code", { class: "command" }, "selectors: [{name: command, args: {command: [cat, kept.txt]}}]"),
    );
  };
  app.on(["marks"], draw);
  draw();
  return box;
}
