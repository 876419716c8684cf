// Uses pages as a reader does; each check names what must hold.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(fileURLToPath(new URL("../../src/report/page/package.json", import.meta.url)));
const { chromium } = require("playwright-core");

const [, , program, work] = process.argv;
const plain = join(work, "plain");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** Says nothing of what is drawn, but takes the driver's time. */
const isHarmless = (text) => text.includes("GPU stall due to ReadPixels");
const complaints = [];

async function open(file, { width = 1440, height = 900, hash = "", colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, acceptDownloads: true, colorScheme });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (!isHarmless(message.text())) complaints.push(`${file}: ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${file}: ${error.message}`));
  page.on("dialog", (dialog) => dialog.accept());
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) complaints.push(`${file}: asks for ${request.url()}`);
  });
  await page.goto(`file://${file}${hash}`);
  await page.waitForSelector("[data-ready]");
  return page;
}

async function saved(page, act) {
  const [download] = await Promise.all([page.waitForEvent("download"), act()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
}

let n = 0;
async function check(name, test) {
  const started = Date.now();
  await test();
  n += 1;
  console.log(`ok ${n} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

const select = (...arguments_) => {
  execFileSync(program, ["-q", "select", ...arguments_, "--output", "picks.txt"], { cwd: plain });
  return readFileSync(join(plain, "picks.txt"), "utf8");
};
// Of a line of CSV; some values are quoted and hold commas.
const cells = (line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]
  .map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);
const listed = (page) => page.evaluate(() => window.enginora.app.list.length);
const button = (page, part, name) => page.locator(part).getByRole("button", { name, exact: true });

await check("the page of a run opens and draws its map with WebGL2", async () => {
  // This browser draws with the processor, where the page would rather use pixels.
  const page = await open(join(plain, "out/report.html"), { hash: "#webgl" });
  assert.equal(await page.evaluate(() => window.enginora.scatter().renderer), "WebGL2");
  assert.equal(await page.title(), "train.jsonl \u00b7 data map");
  assert.equal(await listed(page), 360);
  await page.waitForTimeout(200);
  const nColours = await page.evaluate(() => {
    const canvas = document.querySelector("canvas.points");
    const gl = canvas.getContext("webgl2");
    const pixels = new Uint8Array(canvas.width * canvas.height * 4);
    gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return new Set(new Uint32Array(pixels.buffer)).size;
  });
  assert.ok(nColours > 20, `${nColours} colours`);
  await page.context().close();
});

await check("without a graphics processor the map is drawn in pixels", async () => {
  const page = await open(join(plain, "out/report.html"));
  assert.equal(await page.evaluate(() => window.enginora.scatter().renderer), "2D canvas");
  await page.waitForTimeout(200);
  const nDrawn = await page.evaluate(() => {
    const canvas = document.querySelector("canvas.points");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((x, i) => i % 4 === 3 && x > 0).length;
  });
  assert.ok(nDrawn > 500, `${nDrawn} pixels`);
  await page.context().close();
});

await check("what lies under the pointer is said, and a click shows the example", async () => {
  const page = await open(join(plain, "out/report.html"));
  const row = 17;
  const [x, y] = await page.evaluate((at) => window.enginora.scatter().where(at), row);
  const box = await page.locator(".overlay").boundingBox();
  await page.mouse.move(box.x + x, box.y + y);
  await page.waitForSelector(".tip:not([hidden])");
  const tip = await page.textContent(".tip");
  assert.match(tip, /label (good|bad)/);
  await page.mouse.click(box.x + x, box.y + y);
  const current = await page.evaluate(() => window.enginora.app.current);
  const [cx, cy] = await page.evaluate((at) => window.enginora.scatter().where(at), current);
  assert.ok(Math.hypot(cx - x, cy - y) < 12);
  const guid = await page.evaluate((at) => window.enginora.app.map.guids.get(at), current);
  assert.equal(await page.textContent(".example .guid"), guid);
  assert.equal(await page.locator(".example svg path.line").count(), 2);
  await page.context().close();
});

await check("the regions take what `select` takes, in its order", async () => {
  const page = await open(join(plain, "out/report.html"));
  const shares = [
    { ambiguous: "0.33" },
    { hard_to_learn: "0.1", easy_to_learn: "0.2", ambiguous: "0.3" },
    { hard_to_learn: "0.29", random: "0.25" },
    { hard_to_learn: "0.7", ambiguous: "0.3" },
    { easy_to_learn: "1e-1", ambiguous: ".15", random: "0.05" },
    { hard_to_learn: "0.0027777777777777778" },
    { hard_to_learn: "0.2", easy_to_learn: "0.2", ambiguous: "0.2", random: "0.4" },
  ];
  for (const wanted of shares) {
    for (const name of ["hard to learn", "easy to learn", "ambiguous", "random"]) {
      await page.getByLabel(`Share of ${name} as a number`, { exact: true }).fill(wanted[name.replaceAll(" ", "_")] ?? "0");
    }
    await page.waitForTimeout(80);
    const fractions = Object.entries(wanted).flatMap(([name, share]) => ["--fraction", `${name}=${share}`]);
    const { text } = await saved(page, () => button(page, ".controls details:nth-of-type(2)", "Guids").click());
    assert.equal(text, select("out", ...fractions), JSON.stringify(wanted));
  }
  await page.getByLabel("Share of random as a number").fill("0.9");
  await page.getByLabel("Share of ambiguous as a number").fill("0.2");
  await page.waitForSelector("text=the shares are more than 1 together");
  await page.context().close();
});

await check("the selector for a config picks the same", async () => {
  const page = await open(join(plain, "out/report.html"));
  await page.getByLabel("Share of hard to learn as a number").fill("0.05");
  await page.waitForTimeout(80);
  const { text } = await saved(page, () => button(page, ".controls details:nth-of-type(2)", "YAML").click());
  assert.match(text, /data_cartography\n\s+args: \{hard_to_learn: 0\.05, easy_to_learn: 0, ambiguous: 0\.33, random: 0\}/);
  await page.context().close();
});

await check("a lasso lists what it holds, and the list can be taken along", async () => {
  const page = await open(join(plain, "out/report.html"));
  await page.getByRole("button", { name: "Lasso", exact: true }).click();
  const box = await page.locator(".overlay").boundingBox();
  const corners = [[0.3, 0.1], [0.9, 0.1], [0.9, 0.6], [0.3, 0.6]].map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
  await page.mouse.move(...corners[0]);
  await page.mouse.down();
  for (const corner of [...corners.slice(1), corners[0]]) await page.mouse.move(...corner, { steps: 6 });
  await page.mouse.up();
  await page.waitForTimeout(100);
  const inside = await page.evaluate(([left, top, right, bottom]) => {
    const { app, scatter } = window.enginora;
    return [...app.map.inFile].filter((row) => {
      const [x, y] = scatter().where(row);
      return x > left && x < right && y > top && y < bottom;
    }).map((row) => app.map.guids.get(row)).sort();
  }, [0.3 * box.width, 0.1 * box.height, 0.9 * box.width, 0.6 * box.height]);
  const { name, text } = await saved(page, () => button(page, ".table-bar", "Guids").click());
  assert.equal(name, "selection.txt");
  assert.deepEqual(text.trimEnd().split("\n").sort(), inside);
  assert.ok(inside.length > 5 && inside.length < 360, `${inside.length} inside`);
  await page.keyboard.press("Escape");
  assert.equal(await listed(page), 360);
  await page.context().close();
});

await check("search and filters narrow the list down, and a download has just that", async () => {
  const page = await open(join(plain, "out/report.html"));
  await page.keyboard.press("/");
  await page.keyboard.type("LOVELY");
  await page.waitForFunction(() => window.enginora.app.list.length < 360);
  const training = readFileSync(join(plain, "train.jsonl"), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  const guids = await page.evaluate(() => [...window.enginora.app.list].map((row) => window.enginora.app.map.guids.get(row)));
  const found = training.filter(({ text, id }) => text.includes("lovely") && guids.includes(id));
  assert.equal(found.length, guids.length);
  await page.keyboard.press("Escape");
  await page.locator(".boxes label", { hasText: "bad" }).first().locator("input").uncheck();
  await page.waitForTimeout(150);
  const { text } = await saved(page, () => button(page, ".table-bar", "CSV").click());
  const [header, ...rows] = text.trimEnd().split("\n").map((line) => cells(line));
  assert.ok(rows.length > 0 && rows.length <= guids.length);
  assert.ok(rows.every((row) => row[header.indexOf("label")] === "good"));
  assert.ok(rows.every((row) => row[header.indexOf("text")].includes("lovely")));
  const confidence = rows.map((row) => Number(row[header.indexOf("suspect_rank")] || NaN));
  assert.ok(confidence.every((x) => Number.isNaN(x)), "the page of the run itself knows no audit");
  await page.locator("#search").fill("");
  await page.waitForTimeout(250);
  const range = page.getByLabel("Greatest confidence");
  await range.fill("100");
  await page.waitForTimeout(250);
  assert.ok((await listed(page)) < 360);
  await page.getByRole("button", { name: "Clear all" }).click();
  assert.equal(await listed(page), 360);
  await page.context().close();
});

await check("the keyboard reads through the list, sorted by any column", async () => {
  const page = await open(join(plain, "out/report.html"));
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  const at = await page.evaluate(() => {
    const { app } = window.enginora;
    const values = app.map.signal("confidence").values;
    const order = [...app.map.inFile].sort((a, b) => values[a] - values[b] || app.map.indices[a] - app.map.indices[b]);
    return order.indexOf(app.current);
  });
  assert.equal(at, 1);
  await page.locator(".table-head").getByRole("button", { name: "variability" }).click();
  await page.locator(".table-head").getByRole("button", { name: "variability" }).click();
  await page.locator(".table-body").focus();
  await page.keyboard.press("Home");
  const isMost = await page.evaluate(() => {
    const { app } = window.enginora;
    return app.map.signal("variability").values[app.current] === Math.max(...app.map.signal("variability").values);
  });
  assert.ok(isMost);
  await page.keyboard.press("End");
  assert.equal(await page.textContent(".place"), "360 of 360");
  assert.ok((await page.locator(".table-rows .table-row").count()) < 60, "only the rows that are seen are drawn");
  await page.context().close();
});

await check("marks stay, and `select --drop` takes them", async () => {
  const page = await open(join(plain, "out/report.html"));
  const marked = [];
  for (const key of ["m", "g", "m"]) {
    await page.keyboard.press("j");
    await page.keyboard.press(key);
    if (key === "m") marked.push(await page.textContent(".example .guid"));
  }
  await page.getByLabel("Note on this example").fill('wrong, "really"');
  await page.waitForTimeout(350);
  await page.reload();
  await page.waitForSelector("[data-ready]");
  await page.waitForSelector("text=2 mislabelled, 1 to keep");
  const { name, text } = await saved(page, () => page.getByRole("button", { name: "Marks as CSV" }).click());
  assert.equal(name, "marks.csv");
  assert.match(text, /^guid,mark,label,note\n/);
  assert.match(text, /,"wrong, ""really"""\n/);
  writeFileSync(join(plain, "marks.csv"), text);
  const left = select("out", "--drop", "marks.csv", "--fraction", "random=1").trimEnd().split("\n");
  assert.equal(left.length, 358);
  assert.ok(marked.every((guid) => !left.includes(guid)));
  const kept = await saved(page, () => page.getByRole("button", { name: "Kept guids" }).click());
  assert.deepEqual(kept.text.trimEnd().split("\n").sort(), left.sort());
  await page.getByRole("button", { name: "Forget" }).click();
  await page.waitForSelector("text=0 mislabelled, 0 to keep");
  await page.context().close();
});

await check("axes, colours and density can be changed, and the map moved by keys", async () => {
  const page = await open(join(plain, "out/report.html"));
  const names = await page.evaluate(() => window.enginora.app.map.signals.map((signal) => signal.name));
  for (const name of names) {
    await page.getByLabel("Across", { exact: true }).selectOption(name);
    await page.getByLabel("Colour", { exact: true }).selectOption(name);
    await page.waitForTimeout(20);
  }
  for (const name of ["label", "prediction", "course", "region", "mark"]) {
    await page.getByLabel("Colour", { exact: true }).selectOption(name);
    await page.waitForTimeout(20);
    assert.ok((await page.locator(".legend .entry").count()) >= 1, name);
  }
  await page.getByRole("button", { name: "Density" }).click();
  await page.waitForSelector("text=examples per cell");
  await page.locator(".overlay").focus();
  for (const key of ["+", "+", "ArrowLeft", "ArrowUp", "-", "0"]) await page.keyboard.press(key);
  await page.getByRole("button", { name: "Dark" }).click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.context().close();
});

await check("a cell of the confusion shows its examples", async () => {
  const page = await open(join(plain, "out/report.html"));
  await page.getByRole("tab", { name: "Classes" }).click();
  const cell = page.locator(".confusion td.wrong button").first();
  const expected = Number((await cell.locator("b").textContent()).replaceAll(",", ""));
  await cell.click();
  assert.equal(await listed(page), expected);
  await page.context().close();
});

await check("the run's numbers are on the page", async () => {
  const page = await open(join(plain, "out/report.html"));
  await page.getByRole("tab", { name: "Run" }).click();
  const text = await page.textContent("#view-run");
  for (const part of ["Scores of the best model", "Learning curves", "Confusion", "bootstrap confidence intervals", "random_state: 11"]) {
    assert.ok(text.includes(part), part);
  }
  const metrics = readFileSync(join(plain, "out/metrics.yaml"), "utf8");
  const loss = /test:\n\s+loss: ([\d.]+)/.exec(metrics)[1];
  assert.ok(text.includes(Number(loss).toFixed(4)));
  await page.context().close();
});

await check("two runs are compared, with the suspects of the audit", async () => {
  const page = await open(join(plain, "two.html"));
  await page.getByRole("tab", { name: "Comparison" }).click();
  // Another seed splits another tenth off.
  assert.match(await page.textContent("#view-compare"), /324 examples are in both; 36 only in run A, 36 only in run B/);
  await page.getByRole("button", { name: "confidence of A against B" }).click();
  assert.equal(await page.evaluate(() => window.enginora.app.y.name), "confidence in run B");
  assert.equal(await page.evaluate(() => window.enginora.app.order.name), "suspect_rank");
  await page.context().close();
});

await check("a run without a map has a page of its numbers", async () => {
  const page = await open(join(plain, "mapless/report.html"));
  assert.deepEqual(await page.getByRole("tab").allTextContents(), ["Run"]);
  assert.match(await page.textContent("#view-run"), /Scores of the best model/);
  await page.context().close();
});

await check("a table with nothing but confidence and variability is a map, too", async () => {
  const page = await open(join(plain, "least.html"));
  assert.equal(await listed(page), 3);
  for (const tab of ["Classes", "Run", "Map"]) await page.getByRole("tab", { name: tab, exact: true }).click();
  await page.keyboard.press("j");
  assert.equal(await page.textContent(".example .guid"), "b");
  await page.context().close();
});

await check("texts, labels and ids that mean harm are only shown", async () => {
  const page = await open(join(work, "hostile/out/report.html"));
  for (const tab of ["Classes", "Run", "Map"]) await page.getByRole("tab", { name: tab, exact: true }).click();
  for (let i = 0; i < 20; i++) await page.keyboard.press("j");
  const box = await page.locator(".overlay").boundingBox();
  for (let i = 0; i < 12; i++) await page.mouse.move(box.x + 70 + i * 40, box.y + 40 + i * 20);
  for (const name of ["label", "prediction"]) await page.getByLabel("Colour", { exact: true }).selectOption(name);
  await page.locator("#search").fill("<script>");
  await page.waitForTimeout(300);
  assert.ok((await listed(page)) > 0);
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  assert.equal(await page.evaluate(() => document.querySelectorAll("img, a[href], iframe, object, embed, svg[onload]").length), 0);
  const texts = await page.textContent(".example");
  assert.ok(texts.includes("<") || texts.includes("javascript:"));
  // The policy holds even if something were to try.
  const isStopped = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.harmed = true";
    document.body.append(script);
    return window.harmed === undefined;
  });
  assert.ok(isStopped);
  await page.context().close();
  const at = complaints.findIndex((text) => text.includes("violates the following Content Security Policy"));
  assert.ok(at >= 0, "the browser says that it stopped the script");
  complaints.splice(at, 1);
});

await check("pairs of texts and options are shown, with the label among them", async () => {
  const pairs = await open(join(work, "pairs/out/report.html"));
  await pairs.keyboard.press("j");
  assert.equal(await pairs.locator(".example .text").count(), 2);
  assert.match(await pairs.locator(".example .text").nth(1).textContent(), /^second/);
  await pairs.context().close();
  const choice = await open(join(work, "choice/out/report.html"));
  await choice.keyboard.press("j");
  assert.equal(await choice.locator(".options li").count(), 2);
  assert.match(await choice.locator(".options li.gold").textContent(), /label/);
  await choice.context().close();
});

await check("every view fits a laptop and a phone, light and dark", async () => {
  for (const [width, height] of [[1440, 900], [1180, 800], [390, 844]]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(join(plain, "two.html"), { width, height, colorScheme });
      for (const tab of ["Map", "Classes", "Comparison", "Runs"]) {
        await page.getByRole("tab", { name: tab, exact: true }).click();
        await page.waitForTimeout(60);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${tab} is ${wide} wide at ${width}`);
      }
      await page.context().close();
    }
  }
});

await browser.close();
assert.deepEqual(complaints, [], "the browser's console is empty, and nothing is asked for");
console.log(`${n} checks, nothing on the console, no request`);
