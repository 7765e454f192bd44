// node lab.mjs ROOT JUPYTER NOTEBOOK...: JupyterLab as a reader uses it. Open each notebook, run all cells, and where
// it shows a widget, move its first slider and see the picture change. It works on a copy without stored outputs.

import { spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { browser, finish, listen, problem } from "./common.mjs";

const [book, jupyter, ...notebooks] = process.argv.slice(2);
const port = await new Promise((found) => {
  const one = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = one.address();
    one.close(() => found(port));
  });
});
const token = crypto.randomBytes(16).toString("hex");
const own = fs.mkdtempSync(path.join(os.tmpdir(), "lab-"));
const root = path.join(own, "book");
fs.cpSync(path.join(book, "notebooks"), path.join(root, "notebooks"), { recursive: true });
fs.copyFileSync(path.join(book, "jupytext.toml"), path.join(root, "jupytext.toml"));
fs.cpSync(path.join(book, "figures"), path.join(root, "figures"), { recursive: true });
for (const notebook of notebooks) {
  const stored = JSON.parse(fs.readFileSync(path.join(root, notebook), "utf8"));
  for (const cell of stored.cells.filter((one) => one.cell_type === "code")) Object.assign(cell, { execution_count: null, outputs: [] });
  fs.writeFileSync(path.join(root, notebook), JSON.stringify(stored));
}
const quiet = path.join(own, "settings", "@jupyterlab", "apputils-extension");
fs.mkdirSync(quiet, { recursive: true });
fs.writeFileSync(path.join(quiet, "notification.jupyterlab-settings"), '{"fetchNews": "false", "checkForUpdates": false}');
const places = { CONFIG_DIR: "config", DATA_DIR: "data", RUNTIME_DIR: "run" };
const environment = { ...process.env, IPYTHONDIR: path.join(own, "ipython"), CATVAE_FIGURES: path.join(own, "figures") };
for (const [name, folder] of Object.entries(places)) environment[`JUPYTER_${name}`] = path.join(own, folder);
environment.JUPYTERLAB_SETTINGS_DIR = path.join(own, "settings");
environment.JUPYTERLAB_WORKSPACES_DIR = path.join(own, "workspaces");
const words = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", `--ServerApp.port=${port}`, "--ServerApp.port_retries=0"];
words.push(`--IdentityProvider.token=${token}`, `--ServerApp.root_dir=${path.resolve(root)}`, "--LabApp.extension_manager=readonly");
const lab = spawn(jupyter, ["lab", ...words], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
let log = "";
lab.stdout.on("data", (data) => (log += data));
lab.stderr.on("data", (data) => (log += data));
const base = `http://127.0.0.1:${port}`;
const ask = async (what) => (await fetch(`${base}/api/${what}?token=${token}`)).json();
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(true_, what, seconds) {
  for (let tries = 0; tries < seconds * 4; tries++) {
    if (lab.exitCode !== null) throw new Error(`JupyterLab ended: ${log.slice(-2000)}`);
    if (await true_().catch(() => false)) return;
    await wait(250);
  }
  throw new Error(`${what} did not come within ${seconds} seconds`);
}

const idle = (notebook) => async () => {
  const session = (await ask("sessions")).find((one) => one.path === notebook);
  return session?.kernel.execution_state === "idle" && session.kernel.connections > 0;
};

async function runAll(page, notebook) {
  await page.goto(`${base}/lab/tree/${notebook}?reset&token=${token}`);
  await page.waitForSelector(".jp-Notebook .jp-Cell", { timeout: 90000 });
  await until(idle(notebook), "an idle kernel", 60);
  await wait(500); // the toolbar is ready a little later than the kernel
  await page.click('li.lm-MenuBar-item:has-text("Run")');
  await page.click('li.lm-Menu-item:has-text("Run All Cells") >> nth=0');
  const saved = () => JSON.parse(fs.readFileSync(path.join(root, notebook), "utf8"));
  const codes = () => saved().cells.filter((cell) => cell.cell_type === "code" && cell.source.length);
  const done = async () => {
    if (!(await idle(notebook)())) return false;
    await page.keyboard.press("Control+s");
    await wait(1000);
    return codes().every((cell) => cell.execution_count);
  };
  await until(done, "the last cell", 120);
  for (const output of codes().flatMap((cell) => cell.outputs).filter((one) => one.output_type === "error"))
    problem(notebook, `${output.ename}: ${output.evalue}`);
}

async function moveSlider(page, notebook) {
  const source = fs.readFileSync(path.join(root, notebook), "utf8");
  if (!source.includes("interactive.")) return;
  for (let tries = 0; tries < 40 && !(await page.locator(".widget-slider .noUi-handle").count()); tries++) {
    await page.locator(".jp-Notebook .jp-WindowedPanel-outer, .jp-Notebook").first().hover();
    await page.mouse.wheel(0, -900);
    await wait(250);
  }
  const handle = page.locator(".widget-slider .noUi-handle").first();
  const picture = () => page.locator("img.widget-image").first().screenshot();
  await handle.scrollIntoViewIfNeeded();
  const before = await picture();
  await handle.focus();
  for (let press = 0; press < 10; press++) await page.keyboard.press("ArrowLeft");
  await wait(2000);
  if (before.equals(await picture())) problem(notebook, "the slider moves, the picture does not");
  else console.log(`${notebook}: the picture follows the slider`);
}

const { context, close } = await browser({ viewport: { width: 1400, height: 1000 } });
try {
  await until(async () => (await ask("status")).started, "JupyterLab", 90);
  const page = context.pages()[0];
  listen(page, [/favicon/, /404/, /WebSocket/, /ResizeObserver/]);
  for (const notebook of notebooks) {
    const since = Date.now();
    await runAll(page, notebook);
    await moveSlider(page, notebook);
    console.log(`${notebook}: all cells in ${((Date.now() - since) / 1000).toFixed(0)} s`);
  }
} catch (error) {
  problem("JupyterLab", error.message);
  if (process.env.SCREENSHOT) await context.pages()[0].screenshot({ path: process.env.SCREENSHOT });
} finally {
  await close();
  lab.kill("SIGINT");
  await wait(300);
  lab.kill("SIGTERM");
  await Promise.race([new Promise((done) => lab.on("exit", done)), wait(8000)]);
  lab.kill("SIGKILL");
  fs.rmSync(own, { recursive: true, force: true, maxRetries: 5 });
}
finish("JupyterLab");
