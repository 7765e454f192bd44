#!/bin/sh
# sh tests/browser/run.sh BIN [--if-found]: the web book and JupyterLab in Chromium, with the programs in BIN.
#
# It needs Chromium (or CHROMIUM=PATH), Node.js and, the first time, the npm registry, from which it gets playwright-core
# and axe-core into .cache/browser. With --if-found, where one of these is missing it says so and ends well.
set -eu
bin=$1
tools=.cache/browser

missing() {
    echo "[not run] the browser tests: $1"
    [ "${2:-}" = --if-found ] && exit 0 || exit 1
}

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    CHROMIUM=$(command -v "$name" || true)
    [ -n "$CHROMIUM" ] && break
done
[ -n "$CHROMIUM" ] || missing "no Chromium is found: install it, or name it by CHROMIUM=PATH" "${2:-}"
command -v npm >/dev/null || missing "npm is not found: install Node.js" "${2:-}"
npm install --silent --no-fund --prefer-offline --prefix "$tools" playwright-core@1.65.1 axe-core@4.14.1 ||
    missing "npm cannot get playwright-core and axe-core: connect to the network once" "${2:-}"
export CHROMIUM BROWSER_TOOLS=$tools OMP_NUM_THREADS=1
"$bin/python" tools/web.py
node tests/browser/site.mjs .cache/site "$tools/node_modules/axe-core/axe.min.js"
node tests/browser/lab.mjs . "$bin/jupyter" notebooks/01_gumbel_sampling.ipynb \
    notebooks/04_softmax_relaxation.ipynb notebooks/06_training_a_bernoulli_vae.ipynb
