// What the page's charts share: numbers unpacked, colours of the page, axes, keys, periods. Drawn by uPlot.
const volassets = (() => {
  "use strict";
  const page = JSON.parse(document.getElementById("chart-data").textContent);
  const drawn = [];
  const unpacked = new Map();
  const DAY = 86400;
  const MISSING = 65535;
  let printing = false;

  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  // Packed arrays are little-endian; null is a gap.
  function values(name) {
    if (!unpacked.has(name)) {
      const { b, f, unit, offset } = page.arrays[name];
      if (f) {
        const view = new DataView(bytes(f).buffer);
        const count = view.byteLength / 4;
        const read = (i) => view.getFloat32(4 * i, true);
        unpacked.set(name, Array.from({ length: count }, (_, i) => (Number.isNaN(read(i)) ? null : read(i))));
      } else {
        const view = new DataView(bytes(b).buffer);
        const read = (i) => view.getUint16(2 * i, true);
        const value = (code) => (code === MISSING ? null : offset + unit * code);
        unpacked.set(name, Array.from({ length: view.byteLength / 2 }, (_, i) => value(read(i))));
      }
    }
    return unpacked.get(name);
  }

  function dates(name) {
    return values(name).map((day) => day * DAY);
  }

  function colour(name) {
    const paper = { ink: "#000000", grid: "#cccccc", paper: "#ffffff", soft: "#444444" };
    return printing ? paper[name] : getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  const formats = {
    percent: (value) => `${(100 * value).toFixed(1)} %`,
    whole: (value) => `${+(100 * value).toPrecision(3)} %`,
    decimal: (value) => value.toFixed(3),
    signed: (value) => (value > 0 ? "+" : "") + value.toFixed(2),
    price: (value) => value.toLocaleString("en", { maximumSignificantDigits: 6 }),
    plain: (value) => String(+value.toPrecision(6)),
  };
  const written = (value, format) => (value === null || value === undefined ? "–" : formats[format](value));
  const day = (time) => new Date(time * 1000).toISOString().slice(0, 10);

  function element(tag, attributes = {}, text = "") {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  }

  function button(text, pressed, act) {
    const made = element("button", { type: "button", ...(pressed === null ? {} : { "aria-pressed": pressed }) }, text);
    made.addEventListener("click", act);
    return made;
  }

  function select(label, names, chosen, act) {
    const box = element("label", { class: "choice" }, `${label} `);
    const made = element("select");
    for (const name of names) made.append(new Option(name, name, name === chosen, name === chosen));
    made.addEventListener("change", () => act(made.value));
    box.append(made);
    return box;
  }

  // Round values inside a logarithmic axis: uPlot's own stand at powers of ten, which say too little of volatilities.
  function logSplits(_, __, low, high) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const lead of high / low > 30 ? [1, 3] : [1, 2, 5]) {
        const value = lead * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found;
  }

  function paths(kind) {
    if (kind === "points") return () => null;
    if (kind === "steps") return uPlot.paths.stepped({ align: 1 });
    if (kind === "bars") return uPlot.paths.bars({ size: [0.7, 40] });
    return uPlot.paths.linear();
  }

  function seriesOptions(line) {
    const alone = line.kind === "points";
    const ink = () => (line.colour === "ink" ? colour("ink") : line.colour);
    return {
      label: line.label,
      show: line.show !== false,
      stroke: ink,
      width: line.width ?? 1.4,
      dash: line.dash,
      alpha: line.alpha ?? 1,
      fill: line.kind === "bars" ? ink : undefined,
      paths: line.paths ?? paths(line.kind),
      points: { show: line.points ?? alone, size: line.size ?? 4, stroke: ink, fill: ink, width: 0 },
      spanGaps: line.gaps ?? false,
    };
  }

  function axes(spec) {
    const common = {
      stroke: () => colour("ink"),
      grid: { stroke: () => colour("grid"), width: 1 },
      ticks: { stroke: () => colour("grid"), width: 1, size: 4 },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
      labelSize: 18,
    };
    const y = { ...common, size: 58, label: spec.y.label, values: (_, marks) => marks.map((v) => formats[spec.y.marks](v)) };
    // Without a filter of its own a logarithmic axis labels powers of ten only.
    const log = { splits: logSplits, filter: (_, marks) => marks };
    if (spec.y.log) Object.assign(y, log);
    const x = spec.time ? common : { ...common, label: spec.xLabel };
    if (spec.xLog) Object.assign(x, log, { values: (_, marks) => marks.map(formats.whole) });
    return [x, y];
  }

  function range(spec) {
    if (spec.y.range) return () => spec.y.range;
    if (spec.y.log) return (_, low, high) => (low > 0 ? [low * 0.94, high * 1.06] : [0.01, 1]);
    return (_, low, high) => {
      const room = 0.05 * (high - low || Math.abs(high) || 1);
      return [spec.y.zero ? Math.min(0, low) : low - room, high + room];
    };
  }

  function zones(u, spec) {
    for (const { from, to, fill } of spec.zones ?? []) {
      const top = u.valToPos(Math.min(to, u.scales.y.max), "y", true);
      const bottom = u.valToPos(Math.max(from, u.scales.y.min), "y", true);
      u.ctx.save();
      u.ctx.globalAlpha = 0.16;
      u.ctx.fillStyle = fill;
      u.ctx.fillRect(u.bbox.left, top, u.bbox.width, bottom - top);
      u.ctx.restore();
    }
  }

  // The chart with its keys: a key switches its line on and off, and shows the value under the pointer.
  function chart(figure, spec, data) {
    const tools = element("div", { class: "tools" });
    const host = element("div", { class: "plot", tabindex: "0", role: "img", "aria-label": figure.dataset.says });
    const keys = element("div", { class: "keys" });
    figure.prepend(tools, host, keys);
    const when = element("span", { class: "when" });
    keys.append(when);
    const height = () => (host.clientWidth < 500 ? Math.min(spec.height ?? 280, 260) : spec.height ?? 280);
    const options = {
      width: host.clientWidth || 700,
      height: height(),
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, points: { size: 6 }, ...(spec.sync ? { sync: { key: spec.sync } } : {}) },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
      scales: { x: { time: Boolean(spec.time), ...(spec.xLog ? { distr: 3, range: range({ y: { log: true } }) } : {}) }, y: { distr: spec.y.log ? 3 : 1, range: range(spec) } },
      axes: axes(spec),
      series: [{}, ...spec.series.map(seriesOptions)],
      bands: spec.bands,
      hooks: { drawClear: [(u) => zones(u, spec)], setCursor: [(u) => readout(u)], setData: [(u) => readout(u)] },
    };
    const shown = [];
    const u = new uPlot(options, data, host);
    spec.series.forEach((line, i) => {
      if (line.hidden) return;
      const key = button("", line.show !== false, () => {
        const show = !u.series[i + 1].show;
        key.setAttribute("aria-pressed", show);
        u.setSeries(i + 1, { show });
      });
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = line.colour === "ink" ? "var(--ink)" : line.colour;
      const value = element("b");
      key.append(swatch, `${line.label} `, value);
      keys.append(key);
      shown.push([i + 1, line, value]);
    });
    function readout(of) {
      const last = of.data[0].length - 1;
      const at = of.cursor.idx ?? last;
      const x = of.data[0][at] ?? 0;
      when.textContent = spec.time ? day(x) : `${spec.xLabel} ${spec.xLog ? formats.percent(x) : +x.toPrecision(4)}`;
      for (const [i, line, value] of shown) {
        value.textContent = line.write ? line.write(at, of) : written(of.data[i][at], line.format ?? spec.y.format);
      }
    }
    readout(u);
    host.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = Math.min(Math.max((u.cursor.idx ?? u.data[0].length) + step, 0), u.data[0].length - 1);
      u.setCursor({ left: u.valToPos(u.data[0][at], "x"), top: 10 });
    });
    new ResizeObserver(() => {
      if (host.clientWidth && !printing) u.setSize({ width: host.clientWidth, height: height() });
    }).observe(host);
    drawn.push(u);
    return { u, tools, keys };
  }

  // Buttons for the length of the period that is shown, and to go back and forth: what a pointer does by dragging.
  function periods(made, chosen) {
    const { u, tools } = made;
    const group = element("div", { class: "periods", role: "group", "aria-label": "Period" });
    const lengths = { "3 months": 92, "1 year": 366, "5 years": 1827, all: Infinity };
    const ends = () => [u.data[0][0], u.data[0][u.data[0].length - 1]];
    const show = (low, high) => u.setScale("x", { min: low, max: high });
    const press = (name) => {
      for (const other of group.querySelectorAll("[aria-pressed]")) {
        other.setAttribute("aria-pressed", other.textContent === name);
      }
    };
    const choose = (name) => {
      const [first, last] = ends();
      show(Math.max(first, last - lengths[name] * DAY), last + 0.01 * Math.min(last - first, lengths[name] * DAY));
      press(name);
    };
    const move = (way) => {
      const [first, last] = ends();
      const { min, max } = u.scales.x;
      const step = Math.min(Math.max(way * 0.8 * (max - min), first - min), last - max);
      show(min + step, max + step);
    };
    for (const name of Object.keys(lengths)) group.append(button(name, false, () => choose(name)));
    const back = button("‹", null, () => move(-1));
    const forth = button("›", null, () => move(1));
    back.setAttribute("aria-label", "earlier");
    forth.setAttribute("aria-label", "later");
    group.append(back, forth);
    tools.prepend(group);
    choose(chosen);
    return () => choose([...group.querySelectorAll("[aria-pressed=true]")][0]?.textContent ?? chosen);
  }

  function redraw() {
    for (const one of drawn) one.redraw(false);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => { printing = true; redraw(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });

  return { page, values, dates, colour, formats, written, day, element, button, select, chart, periods, drawn };
})();
