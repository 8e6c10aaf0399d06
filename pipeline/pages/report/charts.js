// Charts of lines: curves of a training, and how sure answers are.
const CHART = { width: 420, height: 240, left: 48, right: 12, top: 12, bottom: 36 };

// Lines in one chart; each is a list of [x, y], and y may be null.
function lineChart({ name, across, lines, range, marked }) {
  const points = lines.flatMap(line => line.points).filter(([, y]) => y !== null);
  const [left, right] = range ? [0, 1] : ends(points.map(([x]) => x)), [low, high] = range ? [0, 1] : ends(points.map(([, y]) => y));
  const { width, height } = CHART;
  const x = value => CHART.left + (width - CHART.left - CHART.right) * (right > left ? (value - left) / (right - left) : .5);
  const y = value => CHART.top + (height - CHART.top - CHART.bottom) * (1 - (high > low ? (value - low) / (high - low) : .5));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${name}: ${lines.map(line => line.name).join(", ")}` });
  for (const value of evenTicks(low, high, 4)) svg.append(
    draw("line", { class: "grid", x1: CHART.left, x2: width - CHART.right, y1: y(value), y2: y(value) }),
    draw("text", { class: "tick", x: CHART.left - 6, y: y(value) + 4, "text-anchor": "end" }, String(Number(value.toPrecision(4)))),
  );
  for (const value of evenTicks(left, right, 6).filter(each => range || Number.isInteger(each))) svg.append(
    draw("text", { class: "tick", x: x(value), y: height - CHART.bottom + 16, "text-anchor": "middle" }, String(Number(value.toPrecision(4)))),
  );
  svg.append(draw("text", { class: "axis", x: (CHART.left + width - CHART.right) / 2, y: height - 4, "text-anchor": "middle" }, across));
  if (range) svg.append(draw("line", { class: "even", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
  if (marked !== undefined && marked !== null) svg.append(draw("line", { class: "even", x1: x(marked), x2: x(marked), y1: CHART.top, y2: height - CHART.bottom }));
  // Where one line lies upon another both are seen: those drawn first are wider, and the others are broken.
  for (const [index, line] of lines.entries()) {
    const drawn = line.points.filter(point => point[1] !== null);
    svg.append(draw("polyline", { class: `line line-${index}`, "stroke-width": widthOf(index, lines), points: drawn.map(point => `${x(point[0])},${y(point[1])}`).join(" ") }));
    if (drawn.length === 1 || (drawn.length < 60 && lines.length < 3)) svg.append(...drawn.map(point => draw("circle", { class: `dot line-${index}`, cx: x(point[0]), cy: y(point[1]), r: 2.5 })));
  }
  const keys = make("ul", "legend");
  for (const [index, line] of lines.entries()) {
    const key = draw("svg", { viewBox: "0 0 20 8", "aria-hidden": "true" }, draw("line", { class: `line line-${index}`, "stroke-width": widthOf(index, lines), x1: 0, x2: 20, y1: 4, y2: 4 }));
    keys.append(make("li", "", key, line.name));
  }
  return make("figure", "chart", make("figcaption", "", name), svg, keys);
}

function widthOf(index, lines) {
  return 2 + (lines.length > 2 ? .35 * (lines.length - 1 - index) : 0);
}

function ends(values) {
  return values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
}

function evenTicks(low, high, count) {
  if (!(high > low)) return [low];
  const step = round125((high - low) / count), ticks = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) ticks.push(Number(value.toPrecision(10)));
  return ticks;
}

// A matrix of counts: true classes down, answers across; a cell is the darker, the larger its share of its row.
function confusionTable(caption, names, matrix) {
  const body = make("tbody"), head = make("tr", "", make("td", "corner", "true class \\ answer"));
  for (const name of names) {
    const cell = make("th", "", make("span", "upright", name));
    cell.scope = "col";
    head.append(cell);
  }
  for (const [row, counts] of matrix.entries()) {
    const first = make("th", "", names[row]), total = counts.reduce((sum, count) => sum + count, 0) || 1;
    first.scope = "row";
    const line = make("tr", "", first);
    for (const [column, count] of counts.entries()) {
      const cell = make("td", row === column ? "right" : "wrong", count ? count.toLocaleString("en") : "");
      cell.style.setProperty("--share", Math.sqrt(count / total));
      line.append(cell);
    }
    body.append(line);
  }
  return scrolling(caption, make("table", "confusion", make("caption", "", caption), make("thead", "", head), body));
}
