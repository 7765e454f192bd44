// What both browser tests share: a browser that may speak to this machine only, and a list of what went wrong.

import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

/** The folder into which npm installed playwright-core. */
const { chromium } = createRequire(path.resolve(process.env.BROWSER_TOOLS, "x.js"))("playwright-core");

export const problems = [];
export const problem = (where, what) => {
  problems.push(`${where}: ${what}`);
  console.log(`[problem] ${where}: ${what}`);
};

/** A headless Chromium in a profile of its own; requests to anywhere else are refused and are problems. */
export async function browser(options = {}) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
    ...options,
  });
  await context.route(
    (url) => url.protocol.startsWith("http") && url.hostname !== "127.0.0.1",
    (route) => {
      problem(route.request().frame().url(), `asks ${route.request().url()}`);
      return route.abort();
    },
  );
  const close = async () => {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, close };
}

/** Console errors and exceptions of a page become problems. */
export function listen(page, ignore = []) {
  const told = (what) => {
    if (!ignore.some((pattern) => pattern.test(what))) problem(page.url(), what.slice(0, 300));
  };
  page.on("pageerror", (error) => told(`exception ${error}`));
  page.on("console", (message) => message.type() === "error" && told(`console ${message.text()}`));
}

export function finish(what) {
  console.log(problems.length ? `${problems.length} problems in ${what}` : `[ok] ${what}`);
  process.exit(problems.length ? 1 : 0);
}
