// Opens a page three times and moves its map; see page.py.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../src/report/page/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

for (let time = 0; time < 3; time++) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const begin = performance.now();
  await page.goto(`file://${process.argv[2]}`);
  await page.waitForSelector("[data-ready]", { timeout: 120_000 });
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const seconds = (performance.now() - begin) / 1000;
  const box = await page.locator(".overlay").boundingBox();
  await page.evaluate(() => { enginora.scatter().frames.length = 0; });
  await page.mouse.move(box.x + 300, box.y + 200);
  await page.mouse.down();
  const moving = performance.now();
  for (let i = 1; performance.now() - moving < 4000; i++)
    await page.mouse.move(box.x + 300 + 120 * Math.sin(i / 15), box.y + 200 + 60 * Math.cos(i / 11));
  await page.mouse.up();
  const frames = await page.evaluate(() => enginora.scatter().frames.slice());
  frames.sort((a, b) => a - b);
  const rate = (1000 * frames.length) / frames.reduce((sum, frame) => sum + frame, 0);
  const slow = frames[Math.floor(0.95 * frames.length)];
  console.log(`  opened and drawn in ${seconds.toFixed(1)} s; moves at ${rate.toFixed(0)} frames/s, 95 % of them within ${slow.toFixed(0)} ms`);
  await browser.close();
}
