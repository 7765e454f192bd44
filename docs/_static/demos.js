// The four demonstrations of the web book, without any library. A page holds
//
//   <div class="demo" data-demo="simplex"><img src="..." alt="..."></div>
//
// with simplex, race, sigmoid or bias, and loads this file; the picture becomes one with sliders. Without
// JavaScript the picture stays. The numbers and sliders are those of catvae_lib/classroom/demonstrations.py; a test
// compares them. Text and axes take the page's own colour, so the page decides between light and dark.
(function () {
  "use strict";

  // ---------------------------------------------------------------- numbers: parameters and noise in, arrays out

  const PALETTE = ["#0072B2", "#C65300", "#00684B", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
  const CORNERS = [[0, 0], [1, 0], [0.5, Math.sqrt(3) / 2]];
  const BARS = 25; // of the soft bit
  const PLACES = range(100).map((i) => (i + 0.5) / 100); // where the soft bit's density is given
  const PERTURBED = range(161).map((i) => -8 + i / 10); // where its sigmoid is given
  const TEMPERATURES = range(24).map((i) => 10 ** (i / 10 - 1.3));
  const TARGET = 0.45; // the loss of chapter 04: (b - 0.45)^4
  const REACH = [-0.1, 0.12]; // of the averaged gradients
  const SHOWN = 30; // draws of the race in its picture
  const REPEATED = 200; // averages in the last demonstration
  const MOST = 1000; // samples

  function range(n) { return Array.from({ length: n }, (_, i) => i); }
  function mean(values) { return values.reduce((a, b) => a + b, 0) / values.length; }
  function sigmoid(y) { return y >= 0 ? 1 / (1 + Math.exp(-y)) : Math.exp(y) / (1 + Math.exp(y)); }
  function argmax(row) { return row.indexOf(Math.max(...row)); }
  function softmax(row) {
    const most = Math.max(...row), powers = row.map((v) => Math.exp(v - most));
    const total = powers.reduce((a, b) => a + b, 0);
    return powers.map((v) => v / total);
  }
  function perturbed(logits, noise) { return noise.map((row) => row.map((e, k) => logits[k] + e)); }
  function shares(winner) { return range(3).map((k) => winner.filter((w) => w === k).length / winner.length); }

  // Eq. (2) with temperature, beside the hard samples of the same noise: logits (3), Gumbel noise (n, 3).
  function simplex(logits, noise, temperature) {
    const scores = perturbed(logits, noise), winner = scores.map(argmax);
    const samples = scores.map((row) => softmax(row.map((v) => v / temperature)));
    const places = samples.map((x) => [0, 1].map((i) => x.reduce((sum, v, k) => sum + v * CORNERS[k][i], 0)));
    const means = range(3).map((k) => mean(samples.map((x) => x[k])));
    return { samples, places, winner, share: shares(winner), mean: means, probabilities: softmax(logits) };
  }

  // Eq. (1): the largest of logit + noise wins.
  function race(logits, noise) {
    const scores = perturbed(logits, noise), winner = scores.map(argmax);
    return { scores, winner, share: shares(winner), probabilities: softmax(logits) };
  }

  // Eq. (3) with temperature: logistic noise (n).
  function softBit(logit, noise, temperature) {
    const sums = noise.map((e) => logit + e), samples = sums.map((y) => sigmoid(y / temperature));
    const bars = new Array(BARS).fill(0);
    for (const x of samples) bars[Math.min(BARS - 1, Math.floor(x * BARS))] += BARS / samples.length;
    const density = PLACES.map((x) => {
      const y = temperature * (Math.log(x) - Math.log(1 - x)) - logit;
      return temperature * sigmoid(y) * sigmoid(-y) / (x * (1 - x));
    });
    const curve = PERTURBED.map((y) => sigmoid(y / temperature));
    const share = mean(sums.map((y) => (y > 0 ? 1 : 0)));
    return { perturbed: sums, samples, curve, bars, density, share, theta: sigmoid(logit) };
  }

  // The gradient of (x - 0.45)^4 at a relaxed bit, with respect to its logit.
  function relaxedGradient(logit, noise, temperature) {
    const y = (logit + noise) / temperature, x = sigmoid(y);
    return 4 * (x - TARGET) ** 3 * x * sigmoid(-y) / temperature;
  }

  // The exact gradient by enumeration; squared bias and variance of one relaxed gradient by quadrature.
  const known = new Map();
  function relaxedMoments(logit) {
    if (known.has(logit)) return known.get(logit);
    const exact = sigmoid(logit) * sigmoid(-logit) * ((1 - TARGET) ** 4 - TARGET ** 4);
    const points = range(2000).map((i) => (i - 999.5) * 0.02);
    const mass = points.map((e) => sigmoid(e) * sigmoid(-e) * 0.02);
    const moments = TEMPERATURES.map((t) => {
      const found = points.map((e) => relaxedGradient(logit, e, t));
      const middle = found.reduce((sum, g, i) => sum + g * mass[i], 0);
      const variance = found.reduce((sum, g, i) => sum + (g - middle) ** 2 * mass[i], 0);
      return [(middle - exact) ** 2, variance];
    });
    known.set(logit, { exact, squared_bias: moments.map((m) => m[0]), variance: moments.map((m) => m[1]) });
    return known.get(logit);
  }

  // Averages of `samples` relaxed gradients: logistic noise (S, R), of which the first rows are used.
  function bias(logit, noise, temperature, samples) {
    const { exact, squared_bias, variance } = relaxedMoments(logit);
    const rows = noise.slice(0, samples);
    const estimates = noise[0].map((_, r) => mean(rows.map((row) => relaxedGradient(logit, row[r], temperature))));
    return { estimates, exact, squared_bias, variance: variance.map((v) => v / samples) };
  }

  // ---------------------------------------------------------------- sliders

  const TEMPERATURE = ["temperature", "temperature λ", -1.3, 1, 0.05, -0.3, 10];
  const LOGITS = [[1, -0.9], [2, -0.5], [3, 0]].map(([k, start]) => ["logit" + k, "logit " + k, -3, 3, 0.1, start, null]);
  const LOGIT = ["logit", "logit of the bit", -3, 3, 0.1, 0, null];
  const SAMPLES = ["samples", "samples", 10, MOST, 10, 400, null];
  const AVERAGED = ["samples", "samples averaged", 0, 8, 1, 4, 2];
  // Key, label, lowest, highest, step, start; with a base the parameter is the base to the power of the position.
  const CONTROLS = {
    simplex: [TEMPERATURE, ...LOGITS, SAMPLES],
    race: [...LOGITS, SAMPLES],
    sigmoid: [TEMPERATURE, LOGIT, SAMPLES],
    bias: [TEMPERATURE, LOGIT, AVERAGED],
  };

  if (typeof module !== "undefined" && module.exports) { // in Node, for the tests
    module.exports = { simplex, race, sigmoid: softBit, bias, PALETTE, CONTROLS, TEMPERATURES };
    return;
  }

  // ---------------------------------------------------------------- drawing

  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 360, HEIGHT = 300, LEFT = 52, TOP = 26, RIGHT = 10, BOTTOM = 42;
  const [BLUE, ORANGE, GREEN] = PALETTE;
  const STYLE = `
    .demo-panels { display: flex; flex-wrap: wrap; gap: 0.5rem; }
    .demo-panels > svg { flex: 1 1 290px; min-width: 0; max-width: 440px; height: auto; font: 14px sans-serif; }
    .demo-panels text { fill: currentColor; }
    .demo-sliders { display: grid; grid-template-columns: max-content minmax(5rem, 1fr) 4.5ch; gap: 0.3rem 0.7rem;
      max-width: 34rem; align-items: center; margin: 0.5rem 0; }
    .demo-sliders input { width: 100%; margin: 0; accent-color: ${BLUE}; }
    .demo-sliders output { text-align: right; font-variant-numeric: tabular-nums; }
    .demo-said { font-variant-numeric: tabular-nums; margin: 0.4rem 0; }`;

  function add(parent, tag, attributes, text) {
    const node = parent.appendChild(document.createElementNS(SVG, tag));
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // One marked place each; a path of many places is set in one step, however many samples there are.
  const dot = ([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
  const ring = ([x, y]) => `M${(x - 6).toFixed(1)} ${y.toFixed(1)}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0`;
  const diamond = ([x, y]) => `M${x.toFixed(1)} ${(y - 8).toFixed(1)}l8 8l-8 8l-8 -8z`;
  const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const box = (x, y, w, h) => `M${x.toFixed(1)} ${y.toFixed(1)}h${w.toFixed(1)}v${h.toFixed(1)}h${(-w).toFixed(1)}z`;

  // Axes with fixed limits: what moves on the screen has moved. Ticks are [value, label].
  class Panel {
    constructor(host, about, x, y) {
      this.svg = add(host, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": about });
      this.width = WIDTH - LEFT - RIGHT;
      this.height = HEIGHT - TOP - BOTTOM;
      this.x = x;
      this.y = y;
      this.title = add(this.svg, "text", { x: LEFT + this.width / 2, y: 17, "text-anchor": "middle" });
      this.area = add(this.svg, "svg", { x: LEFT, y: TOP, width: this.width, height: this.height });
      if (x.ticks) this.axes();
    }

    at([x, y]) {
      const part = (axis, v) => {
        const scale = axis.log ? Math.log10 : Number;
        return (scale(v) - scale(axis.low)) / (scale(axis.high) - scale(axis.low));
      };
      return [part(this.x, x) * this.width, (1 - part(this.y, y)) * this.height];
    }

    axes() {
      const grid = { stroke: "currentColor", "stroke-opacity": 0.15, fill: "none" };
      const frame = line([[LEFT, TOP], [LEFT, TOP + this.height], [LEFT + this.width, TOP + this.height]]);
      for (const [value, label] of this.x.ticks) {
        const [px] = this.at([value, this.y.low]);
        add(this.area, "path", { ...grid, d: `M${px} 0v${this.height}` });
        add(this.svg, "text", { x: LEFT + px, y: TOP + this.height + 16, "text-anchor": "middle" }, label);
      }
      for (const [value, label] of this.y.ticks) {
        const [, py] = this.at([this.x.low, value]);
        add(this.area, "path", { ...grid, d: `M0 ${py}h${this.width}` });
        add(this.svg, "text", { x: LEFT - 6, y: TOP + py + 4, "text-anchor": "end" }, label);
      }
      add(this.svg, "path", { d: frame, stroke: "currentColor", fill: "none" });
      add(this.svg, "text", { x: LEFT + this.width / 2, y: HEIGHT - 8, "text-anchor": "middle" }, this.x.name);
      const turned = { transform: `translate(13 ${TOP + this.height / 2}) rotate(-90)`, "text-anchor": "middle" };
      add(this.svg, "text", turned, this.y.name);
    }

    dots(colour, size) {
      const look = { stroke: colour, "stroke-width": size, "stroke-linecap": "round" };
      const path = add(this.area, "path", { ...look, fill: "none" });
      return (points) => path.setAttribute("d", points.map((p) => dot(this.at(p))).join(""));
    }

    marks(shape, colour) {
      const path = add(this.area, "path", { stroke: colour, "stroke-width": 2, fill: "none" });
      return (points) => path.setAttribute("d", points.map((p) => shape(this.at(p))).join(""));
    }

    line(colour, dashes, width) {
      const look = { stroke: colour, "stroke-width": width || 2, "stroke-dasharray": dashes || "none", fill: "none" };
      const path = add(this.area, "path", look);
      return (points) => path.setAttribute("d", line(points.map((p) => this.at(p))));
    }

    boxes(colour, opacity) { // [left, bottom, right, top] each
      const path = add(this.area, "path", { fill: colour, "fill-opacity": opacity });
      return (corners) => path.setAttribute("d", corners.map(([a, b, c, d]) => {
        const [x0, y0] = this.at([a, b]), [x1, y1] = this.at([c, d]);
        return box(x0, y1, x1 - x0, y0 - y1);
      }).join(""));
    }

    legend(entries, right) { // [drawer of the mark, label], beside or, at the right edge, below one another
      let x = right ? this.width - 110 : 14, y = 12;
      for (const [mark, label] of entries) {
        mark(this.area, x, y);
        add(this.area, "text", { x: x + 16, y: y + 4 }, label);
        if (right) y += 17; else x += 36 + 7.2 * label.length;
      }
    }
  }

  const dotMark = (area, x, y) => add(area, "path", {
    d: dot([x, y]), stroke: "currentColor", "stroke-width": 8, "stroke-linecap": "round",
  });
  const diamondMark = (area, x, y) => add(area, "path", {
    d: diamond([x, y]), stroke: "currentColor", "stroke-width": 2, fill: "none",
  });
  const lineMark = (colour, dashes) => (area, x, y) => add(area, "path", {
    d: `M${x - 10} ${y}h21`, stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes || "none",
  });
  const ticks = (...values) => values.map((v) => [v, String(v).replace("-", "−")]);
  const power = (v) => `10${String(v).replace("-", "⁻").replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d])}`;
  const three = (values) => values.map((v) => v.toFixed(2)).join(", ");

  // A bar for the probability of each category, a dot for its share of wins, and perhaps a diamond.
  function sharesPanel(host, withMean) {
    const x = { low: 0.4, high: 3.6, ticks: ticks(1, 2, 3), name: "category (bar: its probability)" };
    const panel = new Panel(host, "share of each category", x, { low: 0, high: 1.3, ticks: ticks(0, 0.5, 1), name: "" });
    const bars = range(3).map((k) => panel.boxes(PALETTE[k], 0.5));
    const dots = panel.dots("currentColor", 9);
    const diamonds = panel.marks(diamond, "currentColor");
    panel.legend(withMean ? [[dotMark, "share of wins"], [diamondMark, "mean of x"]] : [[dotMark, "share of wins"]]);
    const spread = (heights) => heights.map((height, k) => [k + 1, height]);
    return (data) => {
      data.probabilities.forEach((p, k) => bars[k]([[k + 0.65, 0, k + 1.35, p]]));
      dots(spread(data.share));
      if (withMean) diamonds(spread(data.mean));
    };
  }

  function simplexPicture(host) {
    const panel = new Panel(host, "samples in the triangle", { low: -0.14, high: 1.14 }, { low: -0.1, high: 1.0 });
    panel.area.setAttribute("overflow", "visible");
    panel.line("#888888", "", 1)([...CORNERS, CORNERS[0]]);
    const clouds = range(3).map((k) => panel.dots(PALETTE[k], 5));
    const centre = panel.marks(diamond, "currentColor");
    CORNERS.forEach((corner, k) => {
      const [x, y] = panel.at(corner);
      add(panel.area, "text", { x, y: y + (k === 2 ? -8 : 19), "text-anchor": "middle" }, k + 1);
    });
    const beside = sharesPanel(host, true);
    return (data) => {
      clouds.forEach((cloud, k) => cloud(data.places.filter((_, i) => data.winner[i] === k)));
      centre([[0, 1].map((i) => data.mean.reduce((sum, v, k) => sum + v * CORNERS[k][i], 0))]);
      beside(data);
      return `${sayShares(data)} Mean of x ${three(data.mean)}.`;
    };
  }

  function sayShares(data) {
    return `Share of wins ${three(data.share)}; probabilities ${three(data.probabilities)}.`;
  }

  function racePicture(host) {
    const x = { low: 0, high: SHOWN + 1, ticks: ticks(0, 10, 20, 30), name: "draw" };
    const y = { low: -6, high: 11, ticks: ticks(-5, 0, 5, 10), name: "logit + noise (nats)" };
    const panel = new Panel(host, "three dots a draw, the highest ringed", x, y);
    const dots = range(3).map((k) => panel.dots(PALETTE[k], 5));
    const rings = range(3).map((k) => panel.marks(ring, PALETTE[k]));
    const beside = sharesPanel(host, false);
    return (data) => {
      const scores = data.scores.slice(0, SHOWN);
      range(3).forEach((k) => {
        const points = scores.map((row, i) => [i + 1, row[k]]);
        dots[k](points);
        rings[k](points.filter((_, i) => data.winner[i] === k));
      });
      panel.title.textContent = `the first ${scores.length} of ${data.winner.length} draws`;
      beside(data);
      return sayShares(data);
    };
  }

  function softBitPicture(host) {
    const x = { low: -8, high: 8, ticks: ticks(-5, 0, 5), name: "logit + noise (nats)" };
    const y = { low: -0.02, high: 1.02, ticks: ticks(0, 0.2, 0.4, 0.6, 0.8, 1), name: "soft bit x" };
    const left = new Panel(host, "the sigmoid and the samples on it", x, y);
    const curve = left.line("#888888", "", 1);
    const dots = [BLUE, ORANGE].map((colour) => left.dots(colour, 6));
    const across = { low: 0, high: 5, ticks: ticks(0, 1, 2, 3, 4, 5), name: "density of x (cut at 5)" };
    const right = new Panel(host, "the density of the samples", across, { ...y, name: "" });
    const bars = right.boxes("currentColor", 0.25), density = right.line(GREEN);
    return (data) => {
      curve(PERTURBED.map((v, i) => [v, data.curve[i]]));
      const points = data.perturbed.map((v, i) => [v, data.samples[i]]);
      dots[0](points.filter(([v]) => v > 0));
      dots[1](points.filter(([v]) => v <= 0));
      bars(data.bars.map((length, i) => [0, i / BARS, length, (i + 1) / BARS]));
      density(PLACES.map((place, i) => [data.density[i], place]));
      const middle = mean(data.samples).toFixed(2);
      return `Share of ones ${data.share.toFixed(2)}; θ = ${data.theta.toFixed(2)}. Mean of x ${middle}.`;
    };
  }

  function biasPicture(host) {
    const x = { low: REACH[0], high: REACH[1], ticks: ticks(-0.1, -0.05, 0, 0.05, 0.1), name: "gradient (nats)" };
    const left = new Panel(host, "averaged gradients around the exact one", x, { low: 0, high: 250, ticks: [], name: "" });
    const dots = left.dots(BLUE, 5);
    const exact = left.line("currentColor"), found = left.line(ORANGE, "6 4");
    left.legend([[lineMark("currentColor"), "exact"], [lineMark(ORANGE, "6 4"), "mean of the dots"]]);
    const t = { low: 0.045, high: 11, log: true, ticks: ticks(0.1, 1, 10), name: "temperature λ" };
    const decades = [-10, -8, -6, -4, -2, 0].map((v) => [10 ** v, power(v)]);
    const error = { low: 1e-10, high: 3, log: true, ticks: decades, name: "squared error (nats²)" };
    const right = new Panel(host, "squared bias and variance by temperature", t, error);
    const now = right.line("#888888", "", 1);
    const lines = [right.line(ORANGE, "6 4"), right.line(BLUE, "2 3"), right.line(GREEN)];
    const names = [[lineMark(ORANGE, "6 4"), "squared bias"], [lineMark(BLUE, "2 3"), "variance"], [lineMark(GREEN), "sum"]];
    right.legend(names, true);
    return (data, values) => {
      const upright = (v) => [[v, 0], [v, 215]];
      dots(data.estimates.map((g, i) => [g, i + 1]));
      exact(upright(data.exact));
      const middle = mean(data.estimates);
      found(upright(middle));
      const sum = data.squared_bias.map((v, i) => v + data.variance[i]);
      [data.squared_bias, data.variance, sum].forEach((part, i) => lines[i](part.map((v, j) => [TEMPERATURES[j], v])));
      now([[values.temperature, 1e-10], [values.temperature, 3]]);
      left.title.textContent = `${data.estimates.length} averages of ${values.samples}`;
      const spread = Math.sqrt(mean(data.estimates.map((g) => (g - middle) ** 2)) * REPEATED / (REPEATED - 1));
      const outside = data.estimates.filter((g) => g < REACH[0] || g > REACH[1]).length;
      const best = TEMPERATURES[sum.indexOf(Math.min(...sum))];
      return `Exact gradient ${data.exact.toFixed(4)}; mean of the dots ${middle.toFixed(4)}, standard deviation ` +
        `${spread.toFixed(4)}; ${outside} dots lie outside. Least squared error at λ = ${best.toFixed(2)}.`;
    };
  }

  // ---------------------------------------------------------------- on the page

  // Uniform numbers inside (0, 1) from a seed (mulberry32), so that a page looks the same each time.
  function uniforms(seed) {
    let state = seed;
    return () => {
      state = (state + 0x6D2B79F5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
  }
  const gumbel = (u) => -Math.log(-Math.log(u()));
  const logistic = (u) => { const v = u(); return Math.log(v) - Math.log(1 - v); };
  const table = (rows, columns, draw, u) => range(rows).map(() => range(columns).map(() => draw(u)));
  const three_logits = (v) => [v.logit1, v.logit2, v.logit3];

  const DEMOS = {
    simplex: {
      noise: (u) => table(MOST, 3, gumbel, u),
      compute: (v, noise) => simplex(three_logits(v), noise.slice(0, v.samples), v.temperature),
      picture: simplexPicture,
    },
    race: {
      noise: (u) => table(MOST, 3, gumbel, u),
      compute: (v, noise) => race(three_logits(v), noise.slice(0, v.samples)),
      picture: racePicture,
    },
    sigmoid: {
      noise: (u) => range(MOST).map(() => logistic(u)),
      compute: (v, noise) => softBit(v.logit, noise.slice(0, v.samples), v.temperature),
      picture: softBitPicture,
    },
    bias: {
      noise: (u) => table(256, REPEATED, logistic, u),
      compute: (v, noise) => bias(v.logit, noise, v.temperature, v.samples),
      picture: biasPicture,
    },
  };

  function html(parent, tag, attributes, text) {
    const node = parent.appendChild(document.createElement(tag));
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function slider(host, id, [key, label, low, high, step, start, base], changed) {
    html(host, "label", { for: id }, label);
    const input = html(host, "input", { type: "range", id, min: low, max: high, step, value: start });
    const output = html(host, "output", { for: id });
    const value = () => (base === null ? Number(input.value) : base ** Number(input.value));
    const tell = () => {
      const digits = step >= 1 ? 0 : base === null ? 1 : 2;
      output.textContent = value().toFixed(digits).replace("-", "−");
      input.setAttribute("aria-valuetext", output.textContent); // the parameter, not the slider's position
    };
    input.addEventListener("input", () => { tell(); changed(); });
    tell();
    return [key, value];
  }

  function start(host, number) {
    const name = host.dataset.demo, parts = DEMOS[name];
    if (!parts) return;
    const image = host.querySelector("img");
    host.textContent = "";
    host.setAttribute("role", "group");
    if (image) host.setAttribute("aria-label", image.alt);
    const sliders = html(host, "div", { class: "demo-sliders" });
    let waiting = false, seed = 0, noise = parts.noise(uniforms(seed));
    const changed = () => { // at most once a frame, however fast the slider moves
      if (!waiting) requestAnimationFrame(() => { waiting = false; update(); });
      waiting = true;
    };
    const values = CONTROLS[name].map((c) => slider(sliders, `demo-${number}-${c[0]}`, c, changed));
    const button = html(host, "button", { type: "button" }, "draw new noise");
    const draw = parts.picture(html(host, "div", { class: "demo-panels" }));
    const said = html(host, "p", { class: "demo-said", "aria-live": "polite" });
    function update() {
      const now = Object.fromEntries(values.map(([key, value]) => [key, value()]));
      said.textContent = draw(parts.compute(now, noise), now);
    }
    button.addEventListener("click", () => { noise = parts.noise(uniforms(++seed)); changed(); });
    update();
  }

  function startAll() {
    html(document.head, "style", {}, STYLE);
    document.querySelectorAll(".demo[data-demo]").forEach(start);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
