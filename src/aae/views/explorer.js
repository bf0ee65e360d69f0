"use strict";
// What `window.explorer` offers to whoever drives the page: ready, times, moveTo(x, y), decode(code, label), state.
window.explorer = { times: [] };
window.explorer.ready = (async function () {
  const content = JSON.parse(document.getElementById("content").textContent);
  const $ = (id) => document.getElementById(id);
  let frame = null; // a notebook or another page that shows this one gives it the height that it needs
  try { frame = window.frameElement; } catch { /* of another origin */ }
  document.documentElement.classList.toggle("framed", Boolean(frame));
  const { dim, count } = content;

  // Arrays: gzip and base64; halves become floats.

  const TYPES = { float64: Float64Array, float32: Float32Array, float16: Uint16Array, uint16: Uint16Array, int16: Int16Array, uint8: Uint8Array };

  function halves(bits) {
    const table = new Float32Array(65536);
    for (let k = 0; k < 65536; k++) {
      const sign = k & 0x8000 ? -1 : 1, exponent = (k >> 10) & 31, fraction = k & 1023;
      table[k] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (2 ** -14 * fraction) / 1024);
    }
    return Float32Array.from(bits, (k) => table[k]);
  }

  async function unpack(packed) {
    const text = atob(packed.data), bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const values = new TYPES[packed.type](await new Response(stream).arrayBuffer());
    return packed.type === "float16" ? halves(values) : values;
  }

  const arrays = {};
  await Promise.all(Object.entries(content.arrays).map(async ([name, packed]) => { arrays[name] = await unpack(packed); }));

  // The decoder: dense layers and 3x3 convolutions on (height, width, channels).

  function erf(x) { // Abramowitz and Stegun 7.1.26
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const rest = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-x * x);
    return Math.sign(x) * (1 - rest);
  }

  const ACTIVATIONS = {
    relu: (v) => (v > 0 ? v : 0),
    leaky_relu: (v) => (v > 0 ? v : 0.01 * v),
    elu: (v) => (v > 0 ? v : Math.expm1(v)),
    gelu: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
    tanh: Math.tanh,
  };

  function dense(x, weight, bias) {
    const outputs = bias.length, y = Float32Array.from(bias);
    for (let i = 0; i < x.length; i++) {
      const v = x[i];
      if (v !== 0) for (let j = 0, at = i * outputs; j < outputs; j++) y[j] += v * weight[at + j];
    }
    return y;
  }

  function convolution(x, weight, bias, [h, w, inputs, height, width]) {
    const outputs = bias.length, y = new Float32Array(height * width * outputs);
    for (let row = 0; row < height; row++) for (let col = 0; col < width; col++) {
      const to = (row * width + col) * outputs;
      for (let j = 0; j < outputs; j++) y[to + j] = bias[j];
      for (let dr = 0; dr < 3; dr++) for (let dc = 0; dc < 3; dc++) {
        const r = row + dr - 1, c = col + dc - 1;
        if (r < 0 || c < 0 || r >= height || c >= width) continue;
        const from = (Math.floor((r * h) / height) * w + Math.floor((c * w) / width)) * inputs;
        for (let i = 0, at = (dr * 3 + dc) * inputs * outputs; i < inputs; i++, at += outputs) {
          const v = x[from + i];
          if (v !== 0) for (let j = 0; j < outputs; j++) y[to + j] += v * weight[at + j];
        }
      }
    }
    return y;
  }

  const codeSize = content.code_size; // entries of the code of the label; 0 without one

  function labelCode(k) {
    return codeSize ? arrays.label_codes.slice(k * codeSize, (k + 1) * codeSize) : new Float32Array(0);
  }

  // From a code (dim,) and the code of the label to a row as the network sees it.
  function network(z, label) {
    if (content.grid) return fromGrid(z, label);
    let x = new Float32Array(content.inputs), at = 0;
    for (const part of content.parts) {
      const values = part === "label" ? label : z;
      x.set(values, at);
      at += values.length;
    }
    content.layers.forEach((layer, k) => {
      const weight = arrays[`weight${k}`], bias = arrays[`bias${k}`];
      x = layer.image.length ? convolution(x, weight, bias, layer.image) : dense(x, weight, bias);
      const activation = ACTIVATIONS[layer.activation];
      if (activation) for (let j = 0; j < x.length; j++) x[j] = activation(x[j]);
    });
    if (content.sigmoid) for (let j = 0; j < x.length; j++) x[j] = 1 / (1 + Math.exp(-x[j]));
    return x;
  }

  function fromGrid(z, label) {
    const { side, low, high } = content.grid;
    const cell = (k) => Math.min(side - 1, Math.max(0, Math.round(((z[k] - low[k]) / (high[k] - low[k] || 1)) * (side - 1))));
    let which = 0;
    if (codeSize) {
      let best = Infinity;
      for (let k = 0; k < content.label_names.length; k++) {
        const far = labelCode(k).reduce((sum, v, i) => sum + (v - label[i]) ** 2, 0);
        if (far < best) { best = far; which = k; }
      }
    }
    const place = (which * side + (dim > 1 ? cell(1) : 0)) * side + cell(0), size = content.size;
    return arrays.grid.slice(place * size, (place + 1) * size);
  }

  // From the network's units to those of the rows.
  const one = (values, k) => values[values.length > 1 ? k : 0];
  function stored(y, k) {
    if (arrays.constant && arrays.constant[k]) return arrays.constant_value[k];
    let v = y;
    if (arrays.bent && arrays.bent[k]) v = Math.sinh(Math.min(80, Math.max(-80, y / one(arrays.gain, k) + one(arrays.shift, k))));
    return v / one(arrays.factor, k) + one(arrays.offset, k);
  }

  function decode(z, label) {
    const y = network(z, label), [low, high] = content.image_range;
    if (!content.image.length) return { network: y, values: Float64Array.from(y, stored) };
    return { network: y, values: Float32Array.from(y, (v, k) => Math.min(1, Math.max(0, (stored(v, k) - low) / (high - low || 1)))) };
  }

  // Axes: those of the code, or principal ones. Rows, prior and heads are kept in coordinates of the chosen axes.

  function coordinates(points) {
    if (basis === "axes") return points;
    const out = new Float32Array(points.length), v = arrays.principal, mean = arrays.mean;
    for (let n = 0; n < points.length / dim; n++) for (let a = 0; a < dim; a++) {
      let sum = 0;
      for (let k = 0; k < dim; k++) sum += (points[n * dim + k] - mean[k]) * v[a * dim + k];
      out[n * dim + a] = sum;
    }
    return out;
  }

  function toCode(c) {
    if (basis === "axes") return Float32Array.from(c);
    const z = Float32Array.from(arrays.mean);
    for (let a = 0; a < dim; a++) for (let k = 0; k < dim; k++) z[k] += c[a] * arrays.principal[a * dim + k];
    return z;
  }

  let basis = "axes", across = 0, up = Math.min(1, dim - 1), rows, prior, heads;
  let point = new Float32Array(dim), held = false, label = labelCode(0), labelIndex = 0, near = -1;
  const ends = { a: null, b: null };
  let view = { x: 0, y: 0, reach: 1, reachX: 1 };

  function place() {
    rows = coordinates(arrays.points);
    prior = arrays.prior ? coordinates(arrays.prior) : new Float32Array(0);
    heads = arrays.heads ? coordinates(arrays.heads) : new Float32Array(0);
  }

  const bands = dim === 1; // a code of one dimension: a line, with a band for each colour
  const heightOf = (n) => bands ? -(group(n) + 0.5 + 0.8 * (((n * 0.618034) % 1) - 0.5)) : rows[n * dim + up];

  function showAll() { // all but one in a thousand, which may lie far outside
    const ends = [across, up].map((axis) => {
      const values = [rows, prior, heads].flatMap((some) => Array.from({ length: some.length / dim }, (_, n) => some[n * dim + axis]));
      const sorted = Float32Array.from(values).sort();
      return [sorted[Math.floor(0.0005 * (sorted.length - 1))], sorted[Math.ceil(0.9995 * (sorted.length - 1))]];
    });
    const half = ends.map(([low, high]) => Math.max((high - low) / 2, 1e-6)), middle = ends.map(([low, high]) => (low + high) / 2);
    const reach = 1.08 * Math.max(...half);
    view = { x: middle[0], y: middle[1], reach, reachX: reach };
    if (bands) { view.y = -groups().length / 2 + 0.5; view.reach = 0.54 * (groups().length + 1); }
  }

  // Colours.

  const dark = () => { const theme = document.documentElement.dataset.theme; return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches; };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

  function visible(hex) { // on a dark ground, dark colours are lightened
    const c = rgb(hex), light = 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2];
    return dark() && light < 75 ? c.map((v) => Math.round(v + 0.45 * (255 - v))) : c;
  }

  const colourings = content.colourings; // {key, title, names, colours}
  let colouring = colourings[0];
  const hidden = new Set();
  const groups = () => (colouring ? colouring.names : ["rows"]);
  function group(n) {
    if (!colouring) return 0;
    if (colouring.key === "agreement") return arrays.labels[n] < 0 ? 2 : arrays.labels[n] === arrays.predicted[n] ? 0 : 1;
    const k = arrays[colouring.key][n];
    return k < 0 ? colouring.names.length - 1 : k;
  }

  function legend() {
    $("legend").replaceChildren();
    for (const [drawn, name, kind] of [[prior, "prior", "prior"], [heads, "cluster head", "head"]]) {
      if (!drawn.length) continue;
      const entry = document.createElement("span"), mark = document.createElement("i");
      mark.className = kind;
      entry.append(mark, name);
      $("legend").append(entry);
    }
    if (!colouring) return;
    colouring.names.forEach((name, k) => {
      const button = document.createElement("button"), dot = document.createElement("i");
      dot.style.background = `rgb(${visible(colouring.colours[k])})`;
      button.append(dot, name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(k)));
      button.onclick = () => { hidden.has(k) ? hidden.delete(k) : hidden.add(k); legend(); drawScatter(); update(); };
      $("legend").append(button);
    });
  }

  // Drawing. Pixels of the scatter are set directly, which takes milliseconds for 70,000 rows without a graphics card.

  const scatter = $("scatter"), marks = $("marks");
  let size = 0, ratio = 1;
  const across2px = (x) => (0.5 + (x - view.x) / (2 * view.reachX)) * size;
  const up2px = (y) => (0.5 - (y - view.y) / (2 * view.reach)) * size;
  const px2across = (px) => view.x + (px / size - 0.5) * 2 * view.reachX;
  const px2up = (px) => view.y - (px / size - 0.5) * 2 * view.reach;

  function disc(pixels, side, cx, cy, radius, colour, alpha) {
    const left = Math.max(0, Math.floor(cx - radius - 1)), right = Math.min(side - 1, Math.ceil(cx + radius + 1));
    const top = Math.max(0, Math.floor(cy - radius - 1)), bottom = Math.min(side - 1, Math.ceil(cy + radius + 1));
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) {
      const inside = radius + 0.5 - Math.hypot(x - cx, y - cy);
      if (inside <= 0) continue;
      const a = alpha * Math.min(1, inside), at = 4 * (y * side + x);
      for (let k = 0; k < 3; k++) pixels[at + k] += a * (colour[k] - pixels[at + k]);
    }
  }

  function drawScatter() {
    ratio = window.devicePixelRatio || 1;
    size = $("plane").clientWidth;
    const side = Math.max(1, Math.round(size * ratio));
    for (const canvas of [scatter, marks]) { canvas.width = side; canvas.height = side; }
    const context = scatter.getContext("2d"), image = context.createImageData(side, side), pixels = image.data;
    const ground = rgb(css("--plane")), cloud = rgb(css("--prior"));
    for (let k = 0; k < pixels.length; k += 4) { pixels[k] = ground[0]; pixels[k + 1] = ground[1]; pixels[k + 2] = ground[2]; pixels[k + 3] = 255; }
    const draw = (x, y, radius, colour, alpha) => disc(pixels, side, across2px(x) * ratio - 0.5, up2px(y) * ratio - 0.5, radius * ratio, colour, alpha);
    for (let n = 0; n < prior.length / dim; n++) {
      const y = bands ? 0.5 + 0.8 * (((n * 0.618034) % 1) - 0.5) : prior[n * dim + up];
      draw(prior[n * dim + across], y, 2, cloud, 1);
    }
    const colours = (colouring ? colouring.colours : ["#1f77b4"]).map(visible);
    const radius = Math.min(3.2, Math.max(0.9, 170 / Math.sqrt(count)));
    let step = Math.max(1, Math.floor(count * 0.618034)); // an order in which no class hides the others
    while (gcd(step, count) > 1) step++;
    for (let n = 0, k = 0; k < count; k++, n = (n + step) % count) {
      const g = group(n);
      if (!hidden.has(g)) draw(rows[n * dim + across], heightOf(n), radius, colours[g], 0.85);
    }
    context.putImageData(image, 0, 0);
    context.scale(ratio, ratio);
    context.strokeStyle = css("--ink");
    context.lineWidth = 1.4;
    for (let n = 0; n < heads.length / dim; n++) {
      const x = across2px(heads[n * dim + across]), y = bands ? up2px(0.5) : up2px(heads[n * dim + up]);
      context.beginPath();
      context.moveTo(x - 4, y - 4); context.lineTo(x + 4, y + 4); context.moveTo(x - 4, y + 4); context.lineTo(x + 4, y - 4);
      context.stroke();
    }
    ticks(context);
  }

  const gcd = (a, b) => (b ? gcd(b, a % b) : a);
  const axisName = (k) => (basis === "axes" ? (content.embedding ? `dimension ${k + 1}` : `z${k + 1}`) : `principal axis ${k + 1}`);

  function ticks(context) {
    const rough = (2 * view.reachX) / 6, unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((k) => k * unit >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = css("--faint");
    context.strokeStyle = css("--line");
    context.lineWidth = 1;
    context.textAlign = "center";
    for (let k = Math.ceil((view.x - view.reachX) / step); k * step <= view.x + view.reachX; k++) {
      const x = across2px(k * step);
      if (x < 14 || x > size - 14) continue;
      context.beginPath(); context.moveTo(x, size); context.lineTo(x, size - 4); context.stroke();
      context.fillText((k * step).toFixed(digits), x, size - 7);
    }
    context.textAlign = "right";
    context.fillText(axisName(across), size - 6, size - 22);
    context.textAlign = "left";
    if (bands) return;
    for (let k = Math.ceil((view.y - view.reach) / step); k * step <= view.y + view.reach; k++) {
      const y = up2px(k * step);
      if (y < 28 || y > size - 24) continue;
      context.beginPath(); context.moveTo(0, y); context.lineTo(4, y); context.stroke();
      context.fillText((k * step).toFixed(digits), 7, y + 4);
    }
    context.fillText(axisName(up), 7, 14);
  }

  function drawMarks() {
    const context = marks.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, size, size);
    const ink = css("--ink"), accent = css("--accent");
    const spot = (c) => [across2px(c[across]), bands ? size / 2 : up2px(c[up])];
    if (near >= 0) {
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(across2px(rows[near * dim + across]), up2px(heightOf(near)), 5, 0, 7);
      context.stroke();
    }
    context.strokeStyle = accent;
    if (ends.a && ends.b) {
      context.setLineDash([4, 3]);
      context.beginPath(); context.moveTo(...spot(ends.a.point)); context.lineTo(...spot(ends.b.point)); context.stroke();
      context.setLineDash([]);
    }
    context.font = "bold 13px system-ui, sans-serif";
    context.fillStyle = accent;
    for (const name of ["a", "b"]) if (ends[name]) { const [x, y] = spot(ends[name].point); context.lineWidth = 4; context.strokeStyle = css("--plane"); context.strokeText(name.toUpperCase(), x + 5, y - 5); context.fillText(name.toUpperCase(), x + 5, y - 5); context.fillRect(x - 3, y - 3, 6, 6); }
    const [x, y] = spot(point);
    context.strokeStyle = held ? accent : ink;
    context.lineWidth = held ? 2 : 1;
    context.beginPath();
    if (bands) { context.moveTo(x, 0); context.lineTo(x, size); } else {
      context.moveTo(x - 9, y); context.lineTo(x + 9, y); context.moveTo(x, y - 9); context.lineTo(x, y + 9);
    }
    context.stroke();
  }

  function paint(canvas, values) {
    const [height, width, colours = 1] = content.image;
    canvas.width = width; canvas.height = height;
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let p = 0; p < width * height; p++) {
      for (let k = 0; k < 3; k++) image.data[4 * p + k] = Math.round(255 * values[p * colours + (colours > 1 ? k : 0)]);
      image.data[4 * p + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  const sheets = (content.sheets || []).map((source) => { const image = new Image(); image.src = source; return image; });
  await Promise.all(sheets.map((image) => image.decode()));

  function paintRow(n) {
    const { width, height, across: tiles, per_sheet: perSheet } = content.tiles;
    const canvas = $("nearest"), k = n % perSheet;
    canvas.width = width; canvas.height = height;
    canvas.getContext("2d").drawImage(sheets[Math.floor(n / perSheet)], (k % tiles) * width, Math.floor(k / tiles) * height, width, height, 0, 0, width, height);
  }

  // Tables: a bar for each column, from the lowest to the highest of the rows; a tick is the nearest row.
  const LINE = 22;
  const rowValue = (n, k) => arrays.low[k] + (arrays.rows[n * content.size + k] / 65535) * (arrays.high[k] - arrays.low[k]);
  const number = (v) => (Number.isInteger(v) && Math.abs(v) < 1e6 ? String(v) : Math.abs(v) >= 1e6 || (v && Math.abs(v) < 1e-3) ? v.toExponential(2) : String(Number(v.toPrecision(4))));

  function bars(y) {
    const canvas = $("chart"), width = $("bars").clientWidth, columns = content.size;
    canvas.style.width = `${width}px`; canvas.style.height = `${LINE * columns}px`;
    canvas.width = Math.round(width * ratio); canvas.height = Math.min(32000, Math.round(LINE * columns * ratio));
    const context = canvas.getContext("2d"), names = Math.min(130, 0.36 * width), numbers = 76, room = width - names - numbers;
    context.scale(ratio, ratio);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const ink = css("--ink"), faint = css("--faint"), accent = css("--accent"), field = css("--field");
    for (let k = 0; k < columns; k++) {
      const middle = (k + 0.5) * LINE, low = arrays.low[k], span = arrays.high[k] - low || 1;
      const at = (v) => names + room * Math.min(1, Math.max(0, (v - low) / span));
      context.fillStyle = field; context.fillRect(names, middle - 6, room, 12);
      context.fillStyle = accent; context.fillRect(names, middle - 6, Math.max(1, at(y[k]) - names), 12);
      if (near >= 0) { context.fillStyle = ink; context.fillRect(at(rowValue(near, k)) - 1, middle - 9, 2, 18); }
      context.fillStyle = faint; context.textAlign = "right";
      let name = content.columns[k];
      while (name.length > 2 && context.measureText(name).width > names - 10) name = `${name.slice(0, -2)}…`;
      context.fillText(name, names - 6, middle);
      context.fillStyle = ink; context.textAlign = "left"; context.fillText(number(stored(y[k], k)), names + room + 6, middle);
    }
  }

  function nearestRow() {
    let best = Infinity, found = -1;
    if (!bands && !hidden.size) {
      for (let n = 0, x = across, y = up; n < count; n++, x += dim, y += dim) {
        const dx = rows[x] - point[across], dy = rows[y] - point[up], far = dx * dx + dy * dy;
        if (far < best) { best = far; found = n; }
      }
      return found;
    }
    const stretch = bands ? view.reachX / view.reach : 1, height = bands ? cursorY : point[up];
    for (let n = 0; n < count; n++) {
      if (hidden.size && hidden.has(group(n))) continue;
      const dx = rows[n * dim + across] - point[across], dy = (heightOf(n) - height) * stretch;
      const far = dx * dx + dy * dy;
      if (far < best) { best = far; found = n; }
    }
    return found;
  }

  function describeRow(n) {
    const said = [content.ids ? content.ids[n] : `${n}`];
    if (arrays.labels) said.push(arrays.labels[n] < 0 ? "no label" : `label ${content.class_names[arrays.labels[n]]}`);
    if (arrays.predicted) said.push(`${content.clusters ? "cluster" : "predicted"} ${content.category_names[arrays.predicted[n]]}`);
    return said.join(", ");
  }

  let cursorY = 0, result = null;
  function update() {
    near = nearestRow();
    const z = toCode(point);
    result = decode(z, label);
    if (content.image.length) { paint($("decoded"), result.values); if (near >= 0) paintRow(near); } else bars(result.network);
    const shown = dim <= 4 ? `at (${Array.from(z, (v) => v.toFixed(2)).join(", ")})` : `at ${axisName(across)} ${point[across].toFixed(2)}, ${axisName(up)} ${point[up].toFixed(2)}`;
    $("where").textContent = shown;
    $("which").textContent = near >= 0 ? describeRow(near) : "";
    $("caption").textContent = content.image.length ? "" : `bars: decoded ${shown}; ticks: nearest row ${near >= 0 ? describeRow(near) : ""}`;
    drawMarks();
  }

  // Controls.

  let asked = null;
  function later(from) { // once per frame, however fast the pointer is
    if (asked !== null) return;
    asked = from;
    requestAnimationFrame(() => {
      const began = asked;
      asked = null;
      update();
      window.explorer.times.push(performance.now() - began);
    });
  }

  function moveTo(x, y) {
    point[across] = x;
    if (bands) cursorY = y; else point[up] = y;
    sync();
  }

  const plane = $("plane");
  let drag = null;
  const at = (event) => { const box = plane.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  plane.addEventListener("pointerdown", (event) => {
    if (event.target.closest("#zoom")) return;
    const [x, y] = at(event);
    plane.setPointerCapture(event.pointerId);
    drag = { x, y, pan: event.shiftKey, moved: false, touch: event.pointerType !== "mouse" };
    if (drag.touch) { moveTo(px2across(x), px2up(y)); later(event.timeStamp); }
  });
  plane.addEventListener("pointermove", (event) => {
    if (event.target.closest("#zoom")) return;
    const [x, y] = at(event);
    if (drag) drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 3;
    if (drag && drag.pan) {
      view.x -= ((x - drag.x) / size) * 2 * view.reachX; view.y += ((y - drag.y) / size) * 2 * view.reach;
      drag.x = x; drag.y = y;
      drawScatter(); drawMarks();
    } else if (!held || drag) { moveTo(px2across(x), px2up(y)); later(event.timeStamp); }
  });
  plane.addEventListener("pointerup", (event) => {
    if (drag && !drag.touch && !drag.pan) {
      const [x, y] = at(event);
      held = drag.moved ? true : !held;
      moveTo(px2across(x), px2up(y)); later(event.timeStamp);
    }
    drag = null;
  });
  plane.addEventListener("pointercancel", () => { drag = null; });
  plane.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] || [];
    if (dx === undefined) return;
    event.preventDefault();
    moveTo(point[across] + (dx * view.reachX) / 50, (bands ? cursorY : point[up]) + (dy * view.reach) / 50);
    later(event.timeStamp);
  });
  function zoom(by, x, y) {
    if (!by) showAll(); else {
      const [u, v] = [px2across(x), px2up(y)];
      view.reachX *= by; view.x = u + (view.x - u) * by;
      if (!bands) { view.reach *= by; view.y = v + (view.y - v) * by; }
    }
    drawScatter(); drawMarks();
  }
  plane.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, ...at(event)); }, { passive: false });
  for (const button of document.querySelectorAll("#zoom button")) button.onclick = () => zoom(Number(button.dataset.zoom), size / 2, size / 2);

  $("theme").onclick = () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; redraw(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  function redraw() { legend(); drawScatter(); update(); strip(); }

  colourings.forEach((c, k) => $("colour").append(new Option(c.title, String(k))));
  $("colour-control").hidden = colourings.length < 2;
  $("colour").onchange = () => { colouring = colourings[Number($("colour").value)]; hidden.clear(); if (bands) showAll(); redraw(); };

  $("label-control").hidden = !codeSize || content.label_names.length < 2;
  $("label").max = Math.max(0, content.label_names.length - 1);
  $("label").value = 0;
  function setLabel(k) { labelIndex = k; label = labelCode(k); $("label").value = k; $("label-name").textContent = content.label_names[k] ?? ""; }
  setLabel(content.label_names.length ? content.label : 0);
  $("label").oninput = (event) => { setLabel(Number($("label").value)); later(event.timeStamp); };

  const sliders = [];
  function makeAxes() {
    for (const id of ["horizontal", "vertical"]) {
      $(id).replaceChildren(...Array.from({ length: dim }, (_, k) => new Option(axisName(k), String(k))));
      $(id).value = String(id === "horizontal" ? across : up);
    }
    $("sliders").replaceChildren();
    sliders.length = 0;
    for (let k = 0; k < dim; k++) {
      if (k === across || k === up) continue;
      const values = Float32Array.from({ length: count }, (_, n) => rows[n * dim + k]).sort();
      const low = Math.min(values[Math.floor(0.005 * (count - 1))], -1e-3), high = Math.max(values[Math.ceil(0.995 * (count - 1))], 1e-3);
      const line = document.createElement("div"), name = document.createElement("label"), input = document.createElement("input"), output = document.createElement("output");
      line.className = "control";
      name.textContent = basis === "axes" ? axisName(k) : `axis ${k + 1}`;
      name.htmlFor = input.id = `slider-${k}`;
      Object.assign(input, { type: "range", min: low, max: high, step: "any" });
      input.oninput = (event) => { point[k] = Number(input.value); output.textContent = point[k].toFixed(2); later(event.timeStamp); };
      line.append(name, input, output);
      $("sliders").append(line);
      sliders.push({ k, input, output });
    }
    sync();
  }
  function sync() { for (const { k, input, output } of sliders) { input.value = point[k]; output.textContent = point[k].toFixed(2); } }

  $("axes").hidden = dim < 3 || Boolean(content.grid);
  $("basis").onchange = () => {
    const z = toCode(point), walked = {};
    for (const name of ["a", "b"]) if (ends[name]) walked[name] = toCode(ends[name].point);
    basis = $("basis").value;
    place();
    point = coordinates(z);
    for (const name of ["a", "b"]) if (walked[name]) ends[name].point = coordinates(walked[name]);
    makeAxes(); showAll(); redraw();
  };
  for (const id of ["horizontal", "vertical"]) $(id).onchange = () => {
    const k = Number($(id).value), old = [across, up];
    if (id === "horizontal") { across = k; if (k === up) up = old[0]; } else { up = k; if (k === across) across = old[1]; }
    makeAxes(); showAll(); redraw();
  };

  function setEnd(name) {
    ends[name] = { point: Float32Array.from(point), label: Float32Array.from(label) };
    const both = Boolean(ends.a && ends.b);
    $("play").disabled = $("step").disabled = !both;
    if (both) strip();
    drawMarks();
  }
  const between = (a, b, t) => Float32Array.from(a, (v, k) => (1 - t) * v + t * b[k]);
  function walkTo(t) {
    held = true;
    point = between(ends.a.point, ends.b.point, t);
    label = between(ends.a.label, ends.b.label, t);
    const mixed = Array.from(label).some((v) => v > 0.001 && v < 0.999);
    $("label-name").textContent = mixed ? "between" : $("label-name").textContent;
    $("step").value = t;
    sync();
  }
  $("set-a").onclick = () => setEnd("a");
  $("set-b").onclick = () => setEnd("b");
  $("step").oninput = (event) => { walkTo(Number($("step").value)); later(event.timeStamp); };
  $("visit").onclick = () => {
    if (near < 0) return;
    held = true;
    point = rows.slice(near * dim, (near + 1) * dim);
    if (bands) cursorY = heightOf(near);
    const seen = content.clusters || !arrays.labels || arrays.labels[near] < 0 ? arrays.predicted : arrays.labels;
    if (codeSize && seen && seen[near] >= 0 && seen[near] < content.label_names.length) setLabel(seen[near]);
    sync(); update();
  };
  let walking = 0;
  $("play").onclick = () => {
    if (walking) { walking = 0; $("play").textContent = "walk"; return; }
    walking = performance.now();
    $("play").textContent = "stop";
    const go = (now) => {
      if (!walking) return;
      const t = ((now - walking) / 2000) % 2;
      walkTo(t > 1 ? 2 - t : Math.max(0, t));
      later(now);
      requestAnimationFrame(go);
    };
    requestAnimationFrame(go);
  };
  function strip() { // nine images on the way from A to B
    const canvas = $("strip");
    canvas.hidden = !(ends.a && ends.b && content.image.length);
    if (canvas.hidden) return;
    const [height, width] = content.image, tile = document.createElement("canvas");
    canvas.width = 9 * (width + 1) - 1; canvas.height = height;
    for (let k = 0; k < 9; k++) {
      paint(tile, decode(toCode(between(ends.a.point, ends.b.point, k / 8)), between(ends.a.label, ends.b.label, k / 8)).values);
      canvas.getContext("2d").drawImage(tile, k * (width + 1), 0);
    }
  }

  $("summary").textContent = content.summary;
  $("pair").hidden = !content.image.length;
  $("bars").hidden = Boolean(content.image.length);
  place();
  makeAxes();
  showAll();
  legend();
  if (frame) new ResizeObserver(() => { frame.style.height = `${document.body.offsetHeight}px`; }).observe(document.body);
  new ResizeObserver(() => { if ($("plane").clientWidth !== size) { drawScatter(); update(); } }).observe(plane);
  drawScatter();
  strip();
  moveTo(view.x, view.y);
  update();
  Object.assign(window.explorer, {
    moveTo: (x, y) => { moveTo(x, y); update(); },
    decode: (z, k) => decode(Float32Array.from(z), labelCode(k || 0)),
    pixel: (x, y) => [across2px(x), up2px(y)],
    state: () => ({ point: Array.from(point), code: Array.from(toCode(point)), label: Array.from(label), labelIndex, near, held, basis, across, up, values: Array.from(result.values), sliders: sliders.map((s) => s.k) }),
  });
})();
window.explorer.ready.catch((error) => {
  const failure = document.getElementById("failure");
  failure.hidden = false;
  failure.textContent = `This page cannot be shown: ${error.message}. It needs a browser of 2023 or later.`;
});
