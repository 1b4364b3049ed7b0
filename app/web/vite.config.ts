import { readdirSync } from "node:fs";
import { defineConfig } from "vitest/config";

// Every file in src/pages/ is a page's entry. Names hold a hash of the content, and older builds stay: a server that runs
// goes on giving out what its pages ask for.
const pages = readdirSync("src/pages").filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));

export default defineConfig({
  base: "/static/",
  build: {
    outDir: "static",
    emptyOutDir: false,
    manifest: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    // what is inlined as data: would need a wider Content-Security-Policy
    assetsInlineLimit: 0,
    rollupOptions: { input: pages.map((name) => `src/pages/${name}`) },
  },
  test: { include: ["src/**/*.test.ts"] },
});
