// The list of examples; only the rows that are seen are in the document.

import type { App } from "./app";
import { grouped, h, oneLine, onFrame, replace } from "./dom";
import { guidList, listYaml, rowTable, save } from "./downloads";

const ROW = 29;
/** Pixels of columns, as in the style. */
const WIDTHS: Record<string, number> = { "of-guid": 96, "of-text": 260, "of-class": 90 };
/** Browsers do not scroll further than some millions of pixels. */
const MOST_PIXELS = 12_000_000;

interface Column {
  name: string;
  title: string;
  look: string;
  text(row: number): string;
}

export function tableView(app: App): HTMLElement {
  const count = h("span", { class: "count", "aria-live": "polite" });
  const head = h("div", { class: "table-row table-head", role: "row" });
  const rows = h("div", { class: "table-rows" });
  const space = h("div", { class: "table-space" }, rows);
  const scroller = h("div", { class: "table-body", role: "rowgroup", tabindex: 0, "aria-label": "Examples, arrow keys go on" }, space);
  const said = h("span", { class: "muted", role: "status" });
  const say = (text: string): void => replace(said, text);
  let columns = columnsOf(app);
  let element: HTMLElement | undefined;

  const drawHead = (): void => {
    columns = columnsOf(app);
    const cells = columns.map((column) => {
      const isChosen = app.order.name === column.name;
      const canSort = column.name !== "text" && column.name !== "guid";
      const sign = isChosen ? (app.order.descending ? " \u2193" : " \u2191") : "";
      const turn = (): void => app.setOrder(column.name, isChosen ? !app.order.descending : false);
      return h(
        "span",
        { class: `cell ${column.look}`, role: "columnheader", "aria-sort": isChosen ? (app.order.descending ? "descending" : "ascending") : null },
        canSort ? h("button", { class: "plain", click: turn }, column.title + sign) : column.title,
      );
    });
    replace(head, ...cells);
    element?.style.setProperty("--wide", `${columns.reduce((sum, column) => sum + (WIDTHS[column.look] ?? 94), 20)}px`);
  };

  /** Beyond what a browser scrolls a pixel stands for more than one. */
  const stretch = (): number => Math.max((app.list.length * ROW) / MOST_PIXELS, 1);

  const drawRows = (): void => {
    const height = app.list.length * ROW;
    space.style.height = `${height / stretch()}px`;
    const most = Math.max(height - scroller.clientHeight, 0);
    const scrollable = Math.max(height / stretch() - scroller.clientHeight, 1);
    const top = stretch() > 1 ? (scroller.scrollTop / scrollable) * most : scroller.scrollTop;
    const first = Math.max(Math.floor(top / ROW) - 4, 0);
    const last = Math.min(first + Math.ceil(scroller.clientHeight / ROW) + 9, app.list.length);
    rows.style.transform = `translateY(${scroller.scrollTop - (top - first * ROW)}px)`;
    const drawn: HTMLElement[] = [];
    for (let i = first; i < last; i++) {
      const row = app.list[i]!;
      const cells = columns.map((column) => h("span", { class: `cell ${column.look}`, role: "gridcell" }, h("bdi", {}, column.text(row))));
      const verdict = app.marks.get(row).verdict ?? "";
      drawn.push(
        h(
          "div",
          {
            class: `table-row ${row === app.current ? "current" : ""} ${verdict}`,
            role: "row",
            "aria-rowindex": i + 2,
            "aria-selected": String(row === app.current),
            click: () => app.go(row),
          },
          ...cells,
        ),
      );
    }
    replace(rows, ...drawn);
  };
  const redraw = onFrame(drawRows);

  const drawCount = (): void => {
    const what = app.isFiltered ? `${grouped(app.list.length)} of ${grouped(app.map.n)} examples` : `${grouped(app.map.n)} examples`;
    replace(count, h("b", {}, what), ` by ${app.order.name.replaceAll("_", " ")}`);
    element?.setAttribute("aria-rowcount", String(app.list.length + 1));
  };

  const reveal = (): void => {
    const at = app.list.indexOf(app.current);
    if (at < 0) return redraw();
    const most = Math.max(app.list.length * ROW - scroller.clientHeight, 1);
    const scrollable = Math.max((app.list.length * ROW) / stretch() - scroller.clientHeight, 1);
    const toScroll = (y: number): number => (stretch() > 1 ? (y / most) * scrollable : y);
    const from = stretch() > 1 ? (scroller.scrollTop / scrollable) * most : scroller.scrollTop;
    if (at * ROW < from) scroller.scrollTop = toScroll(at * ROW);
    else if ((at + 1) * ROW > from + scroller.clientHeight) scroller.scrollTop = toScroll((at + 1) * ROW - scroller.clientHeight);
    redraw();
  };

  scroller.addEventListener("scroll", redraw);
  scroller.addEventListener("keydown", (event) => {
    const page = Math.max(Math.floor(scroller.clientHeight / ROW) - 1, 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    const by = steps[event.key];
    if (by === undefined) return;
    event.preventDefault();
    app.step(by);
  });
  new ResizeObserver(redraw).observe(scroller);

  const guids = (): void => {
    const text = guidList(app, app.list);
    if (text === null) return say("A guid has a line break in it: take the CSV.");
    save("selection.txt", text);
    say(`selection.txt: ${grouped(app.list.length)} guids`);
  };
  const table = (): void => {
    save("selection.csv", rowTable(app, app.list));
    say(`selection.csv: ${grouped(app.list.length)} rows`);
  };
  const yaml = (): void => {
    save("selectors.yaml", listYaml("selection.txt"));
    say("selectors.yaml: trains on the guids of selection.txt");
  };
  element = h(
    "section",
    { class: "panel table", role: "grid", "aria-label": "List of examples" },
    h(
      "div",
      { class: "table-bar", role: "presentation" },
      count,
      orderMenu(app),
      h("span", { class: "gap" }),
      said,
      h("span", { class: "group" },
        h("span", { class: "muted" }, "Download"),
        h("button", { title: "The listed guids, one a line", click: guids }, "Guids"),
        h("button", { title: "All that is known of the listed examples", click: table }, "CSV"),
        h("button", { title: "A selector that trains on the listed guids", click: yaml }, "YAML"),
      ),
    ),
    h("div", { class: "table-scroll", role: "presentation" }, head, scroller),
  );
  const all = (): void => {
    drawHead();
    drawCount();
    redraw();
  };
  app.on(["rows", "order"], () => {
    scroller.scrollTop = 0;
    all();
  });
  app.on(["axes", "regions"], all);
  app.on(["marks"], redraw);
  app.on(["current"], reveal);
  all();
  return element;
}

function columnsOf(app: App): Column[] {
  const { map } = app;
  const columns: Column[] = [{ name: "guid", title: "guid", look: "of-guid", text: (row) => oneLine(map.guids.get(row)) }];
  const add = (name: string): void => {
    if (columns.some((column) => column.name === name)) return;
    const signal = map.signal(name);
    const category = signal ? undefined : app.category(name);
    if (signal) columns.push({ name, title: signal.title, look: "number", text: (row) => signal.text(row) });
    else if (category) columns.push({ name, title: category.title, look: "of-class", text: (row) => oneLine(category.text(row)) });
  };
  if (map.texts) columns.push({ name: "text", title: "text", look: "of-text", text: (row) => oneLine(map.texts!.get(row)).slice(0, 300) });
  if (!map.signal(app.order.name)) add(app.order.name);
  for (const name of ["label", "prediction", "region"]) add(name);
  if (map.signal(app.order.name)) add(app.order.name);
  for (const name of ["confidence", "variability", "correctness", app.x.name, app.y.name]) add(name);
  return columns;
}

/** Orders that are asked for often, and all others. */
function orderMenu(app: App): HTMLElement {
  const select = h("select", { "aria-label": "Order of the list" });
  const draw = (): void => {
    const option = (name: string, descending: boolean, text: string): HTMLElement => {
      const isChosen = app.order.name === name && app.order.descending === descending;
      return h("option", { value: `${Number(descending)}${name}`, selected: isChosen }, text);
    };
    const options = [
      app.map.signal("suspect_rank") && option("suspect_rank", false, "most suspicious first"),
      option("confidence", false, "lowest confidence first"),
      option("confidence", true, "highest confidence first"),
      option("variability", true, "highest variability first"),
      app.map.signal("moved") && option("moved", true, "moved most first"),
      option("file", false, "order of the file"),
    ];
    for (const signal of app.map.signals) {
      if (["confidence", "suspect_rank", "moved"].includes(signal.name)) continue;
      if (signal.name !== "variability") options.push(option(signal.name, true, `${signal.title}, highest first`));
      options.push(option(signal.name, false, `${signal.title}, lowest first`));
    }
    for (const category of app.categories()) {
      if (category.name === app.order.name) {
        for (const descending of [false, true]) options.push(option(category.name, descending, category.title));
      }
    }
    replace(select, ...options);
  };
  select.addEventListener("change", () => {
    app.setOrder(select.value.slice(1), select.value[0] === "1");
    app.step(0);
  });
  app.on(["order"], draw);
  draw();
  return select;
}
