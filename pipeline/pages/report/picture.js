// What the picture of candidates is drawn of: scales, axes, lines, points and names.
const PICTURE = { height: 440, left: 62, right: 18, top: 16, bottom: 54 };
const STATES = {
  chosen: "chosen", inside: "inside its limits", outside: "over the budget, or not provably inside",
  overturns: "refused for too many confident flips (decisions that differ from float's where float was sure)",
};

function signed(fraction) {
  return (fraction < 0 ? "\u2212" : "+") + Math.abs(100 * fraction).toFixed(2);
}

function figure(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

// Places from 0 (bottom) to 1 (top) of drops in points: even up to twice the budget, and by magnitude far above it.
function dropScale(budget, least, largest) {
  const unit = budget || .1, turn = 2 * unit, far = largest > 5 * unit;
  const bend = drop => (far && drop > turn ? turn * (1 + .8 * Math.log(drop / turn)) : drop);
  const unbend = value => (far && value > turn ? turn * Math.exp((value / turn - 1) / .8) : value);
  const low = Math.min(least, 0) - .08 * bend(largest), high = bend(largest) + .02 * bend(largest);
  const ticks = [];
  const step = round125(far ? turn / 4 : (largest - Math.min(least, 0)) / 6);
  for (let drop = Math.ceil(Math.min(least, 0) / step) * step; drop <= (far ? turn : largest) + 1e-9; drop += step) ticks.push(drop);
  if (far) for (let drop = turn * 2; drop < largest; drop *= 2) ticks.push(drop);
  return { place: drop => (bend(drop) - low) / (high - low), drops: place => unbend(low + place * (high - low)), ticks };
}

function round125(value) {
  const power = 10 ** Math.floor(Math.log10(value)), digit = value / power;
  return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

function costScale(costs, width) {
  const low = Math.log(Math.min(...costs.map(cost => cost[1])) / 1.25), high = Math.log(Math.max(...costs.map(cost => cost[2])) * 1.25);
  const space = width - PICTURE.left - PICTURE.right;
  const place = value => PICTURE.left + space * (Math.log(value) - low) / (high - low);
  const ticks = [], digits = high - low > 2.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  for (let power = 10 ** Math.floor(low / Math.LN10); power <= Math.exp(high); power *= 10) {
    ticks.push(...digits.map(digit => digit * power).filter(value => Math.log(value) > low && Math.log(value) < high));
  }
  while (ticks.length > space / 52) ticks.splice(0, ticks.length, ...ticks.filter((_, index) => index % 2 === 0));
  return Object.assign(place, { ticks });
}

function grid(axis, x, y, scale, width, dropName) {
  const bottom = PICTURE.height - PICTURE.bottom, parts = [];
  for (const value of x.ticks) parts.push(
    draw("line", { class: "grid", x1: x(value), x2: x(value), y1: PICTURE.top, y2: bottom }),
    draw("text", { class: "tick", x: x(value), y: bottom + 16, "text-anchor": "middle" }, figure(value)),
  );
  for (const drop of scale.ticks) parts.push(
    draw("line", { class: Math.abs(drop) < 1e-9 ? "zero" : "grid", x1: PICTURE.left, x2: width - PICTURE.right, y1: y(drop), y2: y(drop) }),
    draw("text", { class: "tick", x: PICTURE.left - 8, y: y(drop) + 4, "text-anchor": "end" }, String(Number(drop.toPrecision(3))).replace("-", "\u2212")),
  );
  const middle = (PICTURE.top + bottom) / 2;
  parts.push(
    draw("text", { class: "axis", x: (PICTURE.left + width - PICTURE.right) / 2, y: PICTURE.height - 12, "text-anchor": "middle" }, `${axis.label} (left is better)`),
    draw("text", { class: "axis", "text-anchor": "middle", transform: `translate(14 ${middle}) rotate(-90)` }, `drop of ${dropName}, points`),
  );
  const box = draw("g", { "aria-hidden": "true" }, ...parts);
  return [box];
}

// The least drop up to each cost, as measured.
function frontLine(points, axis, x, y) {
  return draw("path", { class: "front", d: `M${stepCorners(points, axis, x, y).map(([across, up]) => `${across} ${up}`).join("L")}`, "aria-hidden": "true" });
}

function stepCorners(points, axis, x, y) {
  const ordered = [...points].sort((one, other) => axis.costs[one.name][0] - axis.costs[other.name][0] || one.drop - other.drop);
  const corners = [];
  let least = Infinity;
  for (const point of ordered) {
    if (point.drop >= least) continue;
    const across = x(axis.costs[point.name][0]);
    if (corners.length) corners.push([across, corners.at(-1)[1]]);
    corners.push([across, y(100 * point.drop)]);
    least = point.drop;
  }
  return corners;
}

function budgetLine(at, width, points, movable, largest) {
  const shown = Number(points.toFixed(4)), text = `budget ${shown} ${shown === 1 ? "point" : "points"}`;
  const line = draw("g", { class: "budget", ...(movable ? {
    "data-key": "budget", role: "slider", tabindex: 0, "aria-label": "Budget", "aria-orientation": "vertical", "aria-valuemin": 0,
    "aria-valuemax": largest, "aria-valuenow": Number(points.toFixed(4)), "aria-valuetext": text,
  } : { "aria-hidden": "true" }) });
  line.append(
    draw("line", { class: "handle", x1: PICTURE.left, x2: width - PICTURE.right, y1: at, y2: at }),
    draw("line", { class: "dash", x1: PICTURE.left, x2: width - PICTURE.right, y1: at, y2: at }),
    draw("text", { x: width - PICTURE.right - 4, y: at - 6, "text-anchor": "end" }, text),
  );
  return line;
}

const SHAPES = {
  chosen: "M0-9 2.6-3.2 8.9-2.6 4.2 1.6 5.6 7.8 0 4.5-5.6 7.8-4.2 1.6-8.9-2.6-2.6-3.2Z",
  inside: "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z",
  outside: "M-5-3-3-5 0-2 3-5 5-3 2 0 5 3 3 5 0 2-3 5-5 3-2 0Z",
  overturns: "M0-6 6 0 0 6-6 0Z",
};

function mark(point, state, wins, axis, x, y, words) {
  const [value, low, high] = axis.costs[point.name], across = x(value), up = y(100 * point.drop);
  const link = draw("a", { class: `point ${state}`, href: "#candidates", "data-key": point.name, "aria-label": words });
  link.append(
    draw("line", { class: "bar", x1: across, x2: across, y1: y(100 * point.low), y2: y(100 * point.high) }),
    draw("line", { class: "bar", x1: x(low), x2: x(high), y1: up, y2: up }),
    draw("circle", { class: "reach", cx: across, cy: up, r: 12 }),
  );
  if (wins) link.append(draw("circle", { class: "winner", cx: across, cy: up, r: 13 }));
  link.append(draw("path", { class: "shape", d: SHAPES[state], transform: `translate(${across} ${up})` }));
  return link;
}

// Names of candidates where there is room for them, the first ones first: beside points, bars and lines.
function names(points, wanted, axis, x, y, width, budget) {
  const at = y(100 * budget), zero = y(0), end = width - PICTURE.right, corners = stepCorners(points, axis, x, y);
  const marks = points.map(point => around(x(axis.costs[point.name][0]), y(100 * point.drop), 9));
  const lines = [[PICTURE.left, at - 1, end, at + 1], [end - 110, at - 18, end, at], [PICTURE.left, zero - 1, end, zero + 1]];
  for (const point of points) {
    const [value, low, high] = axis.costs[point.name], across = x(value), up = y(100 * point.drop);
    lines.push([across - 1, y(100 * point.high), across + 1, y(100 * point.low)], [x(low), up - 1, x(high), up + 1]);
  }
  for (const [index, [right, down]] of corners.slice(1).entries()) {
    const [left, up] = corners[index];
    lines.push([left, Math.min(up, down) - 1, right, Math.max(up, down) + 1]);
  }
  const taken = [...marks, ...lines], group = draw("g", { class: "names", "aria-hidden": "true" });
  for (const [index, name] of [...new Set(wanted)].entries()) {
    const point = points.find(each => each.name === name);
    if (!point) continue;
    const across = x(axis.costs[name][0]), up = y(100 * point.drop), long = 6.2 * name.length;
    const boxOf = ([right, down, anchor]) => {
      const left = across + right - { start: 0, middle: long / 2, end: long }[anchor];
      return [left, up + down - 12, left + long, up + down + 3];
    };
    const within = ([left, top, right, bottom]) => left > PICTURE.left && right < width - 2 && top > 0 && bottom < PICTURE.height - PICTURE.bottom;
    const free = others => PLACES.find(place => within(boxOf(place)) && !others.some(other => overlaps(boxOf(place), other)));
    // The first one, who would win, is named even where its name lies on a line.
    const place = free(taken) || (index ? null : free(marks));
    if (!place) continue;
    taken.push(boxOf(place));
    if (Math.abs(place[1]) > NEAR) group.append(draw("line", { class: "leader", x1: across, y1: up, x2: across + place[0], y2: up + place[1] - 4 }));
    group.append(draw("text", { x: across + place[0], y: up + place[1], "text-anchor": place[2] }, name));
  }
  return group;
}

// Places of a name beside its point: to the right and down, and what it is anchored by; the nearest ones first.
const PLACES = [-6, 14, 4, -14, 20, -22, 28, -32, 38, -44, 50].flatMap(down => [[14, down, "start"], [-14, down, "end"]]).concat([[0, -16, "middle"], [0, 24, "middle"]]);
const NEAR = 20;

function around(x, y, reach) {
  return [x - reach, y - reach, x + reach, y + reach];
}

function overlaps(one, other) {
  return one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];
}

// The key of what is in the picture now.
function legend(states, axis) {
  const entries = Object.entries(STATES).filter(([state]) => states.has(state)).map(([state, words]) => {
    const shape = draw("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true", class: `point ${state}` });
    shape.append(draw("path", { class: "shape", d: SHAPES[state] }));
    return make("li", "", shape, words);
  });
  const steps = draw("svg", { viewBox: "0 0 24 16", "aria-hidden": "true", class: "front" });
  steps.append(draw("path", { class: "front", d: "M1 3H10V13H23" }));
  entries.push(make("li", "", steps, "the least drop that was measured at each cost"));
  const upper = axis.rivals.length ? "the bound that the budget is held against" : "its upper bound";
  entries.push(make("li", "", `A vertical bar goes from ${axis.rivals.length ? "the lower end of the drop's 95 % interval" : "the drop, or the lower end of its 95 % interval where that is known,"} up to ${upper}${axis.goal === "size" ? "" : "; a horizontal bar is the 95 % interval of the time"}.`));
  if (axis.rivals.length) entries.push(make("li", "", "A ring marks the candidate that would win."));
  return entries;
}
