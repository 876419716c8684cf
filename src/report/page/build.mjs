// Builds the page's script and style into dist/, which the program embeds.
// `node build.mjs --check` builds elsewhere and fails where the committed build differs.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const isCheck = process.argv.includes("--check");
const out = isCheck ? mkdtempSync(join(tmpdir(), "page-")) : join(here, "dist");

await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  charset: "ascii",
  format: "iife",
  target: ["es2022"],
  legalComments: "none",
});

if (isCheck) {
  const differs = ["page.js", "page.css"].filter(
    (name) => !readFileSync(join(out, name)).equals(readFileSync(join(here, "dist", name))),
  );
  rmSync(out, { recursive: true });
  if (differs.length > 0) {
    console.error(`dist/ is not what the sources give: ${differs.join(", ")}; run: npm run build`);
    process.exit(1);
  }
  console.log("dist/ is what the sources give");
}
