// The page: reads its data, and shows the map and the run.

import "./page.css";
import { App } from "./app";
import { facts } from "./blocks";
import { classesView } from "./classes";
import { compareView } from "./compare";
import { grouped, h, own, replace, visible } from "./dom";
import { mapView } from "./mapview";
import { DataMap, type ComparisonFacts, type MapFacts } from "./model";
import { runView, type NamedRun, type RunFacts } from "./run";
import type { Scatter } from "./scatter";

interface PageFacts {
  version: string;
  title: string;
  seed: string;
  run: RunFacts;
  map?: MapFacts;
  other?: { title: string; run: RunFacts };
  comparison?: ComparisonFacts;
}

interface View {
  id: string;
  title: string;
  make(): HTMLElement;
}

const THEME = "enginora-rs theme";

async function start(): Promise<void> {
  const page = document.getElementById("page")!;
  const began = performance.now();
  const said = (await facts()) as PageFacts;
  document.title = `${visible(said.title)} \u00b7 data map`;
  const map = said.map ? await DataMap.read(said.map, said.comparison ?? null) : null;
  const app = map ? new App(map, said.seed) : null;
  const isDark = prefersDark();
  setTheme(isDark);
  if (app) app.isDark = isDark;

  let scatter: Scatter | null = null;
  const runs: NamedRun[] = [{ name: "run A", run: said.run }];
  if (said.other) runs.push({ name: "run B", run: said.other.run });
  const views: View[] = [];
  const show = (id: string): void => {
    for (const { element, tab, view } of shown) {
      const isIt = view.id === id;
      if (isIt && !element.firstChild) element.append(view.make());
      element.hidden = !isIt;
      tab.setAttribute("aria-selected", String(isIt));
      tab.tabIndex = isIt ? 0 : -1;
    }
    window.scrollTo(0, 0);
  };
  if (app) {
    views.push({
      id: "map",
      title: "Map",
      make: () => {
        const made = mapView(app);
        scatter = made.scatter;
        return made.element;
      },
    });
    views.push({ id: "classes", title: "Classes", make: () => classesView(app, () => show("map")) });
    if (said.comparison) views.push({ id: "compare", title: "Comparison", make: () => compareView(app, said.comparison!, () => show("map")) });
  }
  views.push({ id: "run", title: said.other ? "Runs" : "Run", make: () => runView(runs, app ? set(app) : null) });
  const shown = views.map((view) => {
    const element = h("main", { id: `view-${view.id}`, role: "tabpanel", "aria-labelledby": `tab-${view.id}`, hidden: true });
    const tab = h("button", { id: `tab-${view.id}`, role: "tab", "aria-controls": `view-${view.id}`, click: () => show(view.id) }, view.title);
    return { view, element, tab };
  });
  const tabs = h("nav", { role: "tablist", "aria-label": "Views" }, ...shown.map(({ tab }) => tab));
  tabs.addEventListener("keydown", (event) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const at = shown.findIndex(({ tab }) => tab === document.activeElement);
    const next = shown[at + by];
    if (by === 0 || at < 0 || !next) return;
    show(next.view.id);
    next.tab.focus();
  });
  const theme = h("button", { class: "theme", title: "Light or dark" });
  const turn = (dark: boolean, isKept: boolean): void => {
    setTheme(dark);
    replace(theme, dark ? "Light" : "Dark");
    if (isKept) keepTheme(dark);
    if (!app) return;
    app.isDark = dark;
    app.tell("theme");
  };
  replace(theme, isDark ? "Light" : "Dark");
  theme.addEventListener("click", () => turn(document.documentElement.dataset["theme"] !== "dark", true));
  const heading = h(
    "h1",
    {},
    own(said.title),
    h("small", {}, map ? `${grouped(map.n)} examples${map.nEpochs > 0 ? `, ${map.nEpochs} epochs` : ""}` : "no map"),
  );
  const help = h("button", { title: "Keys (?)", "aria-label": "Keys" }, "?");
  const keys = keyHelp();
  help.addEventListener("click", () => keys.showModal());
  replace(page, h("header", { class: "top" }, heading, tabs, h("span", { class: "gap" }), app && help, theme), ...shown.map(({ element }) => element), keys);
  page.append(h("footer", {}, `Made by enginora-rs ${said.version}. Nothing on this page leaves your computer.`));
  show(views[0]!.id);

  if (app) listen(app, keys, () => show("map"));
  let wasDark = isDark;
  window.addEventListener("beforeprint", () => {
    wasDark = document.documentElement.dataset["theme"] === "dark";
    if (wasDark) turn(false, false);
    const picture = scatter?.picture();
    if (picture) scatter?.element.append(h("img", { class: "print-only", src: picture, alt: "The map" }));
  });
  window.addEventListener("afterprint", () => {
    document.querySelectorAll(".print-only").forEach((element) => element.remove());
    if (wasDark) turn(true, false);
  });
  // For measuring and testing; nothing of the page depends on it.
  Object.assign(window, { enginora: { app, scatter: () => scatter, millisecondsToOpen: performance.now() - began } });
  page.dataset["ready"] = "true";
}

function listen(app: App, keys: HTMLDialogElement, showMap: () => void): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    const isWriting = target.matches("input[type=text], input[type=search], textarea, select");
    if (event.key === "Escape" && isWriting) target.blur();
    if (isWriting || keys.open) return;
    const turn = (verdict: "mislabelled" | "keep"): void => {
      if (app.current < 0) return;
      app.mark(app.current, app.marks.get(app.current).verdict === verdict ? null : verdict);
    };
    const actions: Record<string, () => void> = {
      j: () => app.step(1),
      n: () => app.step(1),
      k: () => app.step(-1),
      p: () => app.step(-1),
      m: () => turn("mislabelled"),
      g: () => turn("keep"),
      "/": () => {
        showMap();
        const search = document.getElementById("search");
        search?.closest("details")?.setAttribute("open", "");
        search?.focus();
      },
      "?": () => keys.showModal(),
      Escape: () => app.lasso && app.setLasso(null),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function keyHelp(): HTMLDialogElement {
  const all: [string, string][] = [
    ["J or N", "next example in the list"],
    ["K or P", "previous example"],
    ["M", "mark as mislabelled, or take the mark back"],
    ["G", "mark as one to keep"],
    ["/", "search"],
    ["Escape", "drop the lasso"],
    ["arrows, + \u2212 0", "on the map: move, zoom, show all"],
    ["Shift and drag", "on the map: lasso"],
  ];
  const rows = all.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)));
  const dialog = h("dialog", { "aria-label": "Keys" }, h("h2", {}, "Keys"), h("dl", {}, ...rows));
  dialog.append(h("button", { click: () => dialog.close() }, "Close"));
  return dialog;
}

/** The set of examples in numbers. */
function set(app: App): HTMLElement {
  const label = app.category("label");
  const counts = label?.counts() ?? [];
  const most = Math.max(...counts, 1);
  const bars = counts.slice(0, 30).map((n, value) => {
    const bar = h("i", { class: "meter" });
    bar.style.setProperty("--share", String(n / most));
    return h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, label!.shown(value))), h("td", {}, grouped(n)), h("td", {}, bar));
  });
  const courses = app.category("course");
  const rows = (courses?.counts() ?? []).map((n, value) =>
    h("tr", {}, h("th", { scope: "row" }, courses!.shown(value)), h("td", {}, grouped(n)), h("td", { class: "muted" }, `${((100 * n) / app.map.n).toFixed(1)} %`)),
  );
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "The examples on the map"),
    h(
      "div",
      { class: "figures" },
      bars.length > 0 && h("table", { class: "scores" }, h("caption", {}, "by label"), h("tbody", {}, ...bars)),
      rows.length > 0 && h("table", { class: "scores" }, h("caption", {}, "by the course of learning"), h("tbody", {}, ...rows)),
    ),
  );
}

function prefersDark(): boolean {
  try {
    const kept = localStorage.getItem(THEME);
    if (kept) return kept === "dark";
  } catch {
    // A browser that keeps nothing for files asks the system.
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(isDark: boolean): void {
  document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
}

function keepTheme(isDark: boolean): void {
  try {
    localStorage.setItem(THEME, isDark ? "dark" : "light");
  } catch {
    // It holds until the page is closed.
  }
}

start().catch((error: unknown) => {
  const page = document.getElementById("page")!;
  replace(page, h("p", { class: "wait" }, `This page could not be shown: ${String(error)}`));
  console.error(error);
});
