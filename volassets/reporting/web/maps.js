// Maps of numbers by row and column, on a canvas: the pointer shows what a cell holds.
volassets.kinds.map = (() => {
  "use strict";
  const { values, colour, element, written, drawn } = volassets;
  const BELOW = [0, 92, 150];
  const ABOVE = [190, 80, 0];

  function shade(value, bound, paper) {
    const share = Math.min(Math.abs(value) / bound, 1);
    const end = value < 0 ? BELOW : ABOVE;
    return `rgb(${paper.map((from, i) => Math.round(from + share * (end[i] - from))).join(",")})`;
  }

  function rgb(text) {
    return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  }

  return (figure, spec) => {
    const cells = values(spec.values);
    const columns = spec.columns.length;
    const at = (row, column) => cells[row * columns + column];
    const box = element("div", { class: "map" });
    const canvas = element("canvas", { role: "img", "aria-label": figure.dataset.says });
    const says = element("div", { class: "keys" });
    box.append(canvas);
    figure.prepend(box, says);
    for (const [name, look] of Object.entries(spec.codes ?? {})) {
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = look;
      const key = element("span", { class: "key" });
      key.append(swatch, name);
      says.append(key);
    }
    const answer = element("span", { class: "when" }, spec.codes ? "" : "blue: below zero, orange: above");
    says.append(answer);
    const looks = Object.values(spec.codes ?? {});
    const names = Object.keys(spec.codes ?? {});
    const font = spec.rows.length > 40 ? 9 : 11;
    let left = 0;
    let wide = 0;
    const high = spec.rows.length > 40 ? 10 : 18;

    function draw() {
      const ratio = devicePixelRatio || 1;
      const brush = canvas.getContext("2d");
      brush.font = `${font}px system-ui, sans-serif`;
      left = Math.min(Math.max(...spec.rows.map((row) => brush.measureText(row).width)) + 6, 0.42 * box.clientWidth);
      wide = Math.min((box.clientWidth - left) / columns, spec.square ? high : 60);
      const height = spec.rows.length * high + (spec.square ? 2 : 18);
      canvas.style.height = `${height}px`;
      canvas.width = box.clientWidth * ratio;
      canvas.height = height * ratio;
      brush.scale(ratio, ratio);
      brush.font = `${font}px system-ui, sans-serif`;
      const paper = rgb(colour("paper"));
      const ink = colour("ink");
      brush.textBaseline = "middle";
      spec.rows.forEach((row, i) => {
        brush.fillStyle = ink;
        brush.fillText(row, 0, (i + 0.5) * high, left - 4);
        for (let j = 0; j < columns; j += 1) {
          const value = at(i, j);
          if (value === null) continue;
          brush.fillStyle = spec.codes ? looks[value] : shade(value, spec.bound, paper);
          brush.fillRect(left + j * wide, i * high, wide + 0.3, high - (high > 12 ? 1 : 0));
        }
      });
      brush.fillStyle = ink;
      let free = left;
      for (let j = 0; j < columns && !spec.square; j += 1) {
        const width = brush.measureText(spec.columns[j]).width;
        if (left + j * wide < free || left + j * wide + width > box.clientWidth) continue;
        brush.fillText(spec.columns[j], left + j * wide, spec.rows.length * high + 10);
        free = left + j * wide + width + 14;
      }
    }

    canvas.addEventListener("pointermove", (event) => {
      const row = Math.floor(event.offsetY / high);
      const column = Math.floor((event.offsetX - left) / wide);
      const value = column >= 0 && column < columns && row < spec.rows.length ? at(row, column) : null;
      if (value === null || value === undefined) return;
      const text = spec.codes ? names[value] : written(value, spec.format);
      answer.textContent = `${spec.rows[row]}, ${spec.columns[column]}: ${text}`;
    });
    new ResizeObserver(draw).observe(box);
    draw();
    drawn.push({ redraw: draw });
  };
})();
