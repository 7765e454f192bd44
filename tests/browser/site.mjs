// node site.mjs SITE AXE [SCREENSHOTS]: every page of the built web book in a browser.
//
// No console error, no request to elsewhere, every equation rendered, no sideways scrolling at three widths, no serious
// accessibility fault, every internal link resolves, search finds a word (also from file://), and each demonstration
// moves with its slider.

import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { browser, finish, listen, problem } from "./common.mjs";

const [site, axeFile, shots] = process.argv.slice(2).map((name) => path.resolve(name));
const axe = fs.readFileSync(axeFile, "utf8");
const kinds = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json" };
const server = http.createServer((request, response) => {
  const file = path.join(site, decodeURIComponent(new URL(request.url, "http://x").pathname));
  if (!fs.existsSync(file) || fs.statSync(file).isDirectory()) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": kinds[path.extname(file)] ?? "application/octet-stream" });
  fs.createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${server.address().port}`;
const pages = fs
  .readdirSync(site, { recursive: true })
  .filter((name) => name.endsWith(".html") && !name.startsWith("_"))
  .sort();
const { context, close } = await browser();
const page = context.pages()[0];
listen(page);
const links = new Map(); // an internal address: a page that links to it
const anchors = new Map(); // an address: the ids on its page
let heaviest = ["", 0];
let slowest = ["", 0];
for (const name of pages) {
  let weight = 0;
  const weigh = async (response) => {
    weight += (await response.body().catch(() => "")).length;
  };
  page.on("response", weigh);
  const since = Date.now();
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(`${origin}/${name}`, { waitUntil: "load" });
  const loaded = Date.now() - since;
  await page.evaluate(() => window.MathJax?.startup?.promise);
  page.off("response", weigh);
  if (weight > heaviest[1]) heaviest = [name, weight];
  if (loaded > slowest[1]) slowest = [name, loaded];
  const bare = await page.evaluate(() => {
    const left = [...document.querySelectorAll(".math")].filter((one) => !one.querySelector("mjx-container"));
    const faults = [...document.querySelectorAll("mjx-merror, [data-mjx-error]")];
    return [...left, ...faults].map((one) => one.textContent.slice(0, 80));
  });
  const { ids, hrefs } = await page.evaluate(() => ({
    ids: [...document.querySelectorAll("[id], a[name]")].flatMap((one) => [one.id, one.name]),
    hrefs: [...document.querySelectorAll("a[href]")].map((one) => one.href),
  }));
  anchors.set(`${origin}/${name}`, new Set(ids));
  for (const href of hrefs.filter((one) => one.startsWith(origin))) links.set(href, name);
  for (const text of bare) problem(name, `an equation is not rendered: ${text}`);
  for (const width of [375, 768, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (wide > 1) problem(name, `scrolls sideways by ${wide} px at ${width} px`);
    if (shots && [375, 1440].includes(width)) {
      await page.waitForTimeout(700); // the sidebar slides away
      fs.mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: path.join(shots, `${name.replaceAll("/", "-")}-${width}.png`) });
    }
  }
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const fault of found.violations.filter((one) => ["serious", "critical"].includes(one.impact)))
    problem(name, `${fault.id}, ${fault.nodes.length} times: ${fault.nodes[0].html.slice(0, 160)}`);
}
const status = new Map();
for (const [href, name] of links) {
  const [address, fragment] = href.split("#");
  if (!status.has(address)) status.set(address, (await context.request.get(address)).status());
  const ids = anchors.get(address);
  if (status.get(address) !== 200) problem(name, `the link ${href} leads nowhere`);
  else if (fragment && ids && !ids.has(decodeURIComponent(fragment))) problem(name, `no place is called ${href}`);
}
for (const start of [origin, `file://${site}`]) {
  await page.goto(`${start}/search.html?q=temperature`);
  const hits = page.locator("#search-results li");
  await hits.first().waitFor({ timeout: 15000 }).catch(() => problem(start, "search does not find temperature"));
}
await page.setViewportSize({ width: 1000, height: 900 });
await page.goto(`${origin}/demonstrations.html`);
const demos = page.locator(".demo");
if ((await demos.count()) < 4) problem("demonstrations", `${await demos.count()} of four`);
for (let number = 0; number < (await demos.count()); number++) {
  const demo = demos.nth(number);
  await demo.scrollIntoViewIfNeeded();
  await page.waitForTimeout(300);
  const before = await demo.screenshot();
  await demo.locator("input[type=range]").first().focus();
  for (let press = 0; press < 12; press++) await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(300);
  if (before.equals(await demo.screenshot())) problem("demonstrations", `number ${number + 1} does not move`);
}
console.log(`${pages.length} pages, ${links.size} internal links; heaviest ${heaviest[0]}, ${(heaviest[1] / 1e6).toFixed(2)} MB; slowest ${slowest[0]}, ${slowest[1]} ms`);
await close();
server.close();
finish("the web book");
