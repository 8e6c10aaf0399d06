// The picture of what candidates lose and gain, with a budget that can be moved.
const PICTURE = { height: 440, left: 62, right: 18, top: 16, bottom: 54 };
const STATES = {
  chosen: "chosen", inside: "inside its limits", outside: "over the budget, or not provably inside",
  overturns: "refused for too many confident flips",
};

function showTradeOff(section, tradeOff, onPick) {
  const own = tradeOff.goal;
  let budget = tradeOff.budget, axis = tradeOff.axes.find(each => each.goal === own) || tradeOff.axes[0], slider, paper = false;
  const largest = 100 * Math.max(tradeOff.budget * 2, ...tradeOff.points.map(point => point.high));
  const least = 100 * Math.min(0, ...tradeOff.points.map(point => point.low));
  const scale = dropScale(100 * tradeOff.budget, least, largest * 1.08);
  const svg = draw("svg", { class: "trade-off", role: "group", "aria-label": "Drop of each candidate against its cost" });
  const named = make("p", "readout", "Point at a candidate, or reach it with the tab key: its figures stand here. A click marks its row in the table.");
  const verdict = make("p", "who");
  verdict.setAttribute("role", "status");
  const field = make("input");
  Object.assign(field, { type: "number", min: 0, max: Math.ceil(largest), step: 0.01, id: "budget" });
  const label = make("label", "", "Budget, points of drop");
  label.htmlFor = "budget";
  const reset = make("button", "second", "As it was built");
  reset.type = "button";
  const hint = make("p", "quiet hint", "Move the dashed line, with the mouse or with the arrow keys.");
  const movable = make("div", "controls movable", label, field, reset);
  const controls = make("div", "controls");
  if (tradeOff.axes.length > 1) controls.append(axisSwitch(tradeOff.axes, axis, picked => { axis = picked; redraw(); }));
  controls.append(movable);

  const stateOf = point => {
    const rival = axis.rivals.find(each => each.name === point.name);
    if (!rival) return point.state;
    if (budget === tradeOff.budget && axis.goal === own && point.state === "chosen") return "chosen";
    if (isInside(rival, budget)) return "inside";
    return rival.bound <= budget ? "overturns" : "outside";
  };
  const inWords = point => {
    const [value] = axis.costs[point.name];
    const bound = point.high === point.drop ? "" : ` (at most ${signed(point.high)})`;
    return `${point.name}: drop ${signed(point.drop)} points${bound}, ${figure(value)} ${axis.unit}, ${STATES[stateOf(point)]}`;
  };

  function moveTo(points) {
    budget = Math.round(Math.min(Math.max(points, 0), Math.ceil(largest)) * 100) / 100 / 100;
    redraw();
  }

  function redraw() {
    const focused = document.activeElement && svg.contains(document.activeElement) ? document.activeElement.dataset.key : "";
    const width = paper ? 680 : Math.max(section.clientWidth || 700, 280);
    svg.setAttribute("viewBox", `0 0 ${width} ${PICTURE.height}`);
    const x = costScale(Object.values(axis.costs), width), y = drops => PICTURE.top + (PICTURE.height - PICTURE.top - PICTURE.bottom) * (1 - scale.place(drops));
    const winner = axis.rivals.length ? (whoWins(axis.rivals, budget) || {}).chosen : "";
    svg.replaceChildren(...grid(axis, x, y, scale, width, tradeOff.drop_name));
    svg.append(frontLine(tradeOff.points, axis, x, y));
    slider = budgetLine(y(100 * budget), width, 100 * budget, axis.rivals.length > 0, Math.ceil(largest));
    svg.append(slider);
    for (const point of tradeOff.points) svg.append(mark(point, stateOf(point), point.name === winner, axis, x, y, inWords(point)));
    const first = [winner, ...tradeOff.points.filter(point => point.state === "chosen").map(point => point.name)];
    svg.append(names(tradeOff.points, [...first, ...axis.front], axis, x, y, width));
    field.value = (100 * budget).toFixed(2);
    movable.hidden = hint.hidden = verdict.hidden = !axis.rivals.length;
    reset.disabled = budget === tradeOff.budget;
    verdict.textContent = axis.rivals.length ? winnerInWords(tradeOff, axis, budget) + otherwise() : "";
    if (focused) [...svg.querySelectorAll("[data-key]")].find(element => element.dataset.key === focused)?.focus();
  }

  // What is said where the recipe names its candidate, or competes in something else.
  function otherwise() {
    if (tradeOff.named) return ` The recipe names ${tradeOff.named}, whatever would win by itself.`;
    return axis.goal === own ? "" : ` The recipe competes in ${own}.`;
  }

  const pointOf = event => tradeOff.points.find(point => point.name === event.target.closest?.("[data-key]")?.dataset.key);
  for (const name of ["pointerover", "focusin"]) svg.addEventListener(name, event => {
    const point = pointOf(event);
    if (point) named.textContent = inWords(point);
  });
  svg.addEventListener("click", event => {
    const point = pointOf(event);
    if (!point) return;
    event.preventDefault();
    onPick(point.name);
  });
  svg.addEventListener("pointerdown", event => {
    if (event.target.closest("[data-key]") !== slider || !axis.rivals.length) return;
    event.preventDefault();
    slider.focus();
    const follow = moved => {
      const box = svg.getBoundingClientRect(), at = (moved.clientY - box.top) * PICTURE.height / box.height;
      moveTo(scale.drops(1 - (at - PICTURE.top) / (PICTURE.height - PICTURE.top - PICTURE.bottom)));
    };
    const stop = () => {
      window.removeEventListener("pointermove", follow);
      window.removeEventListener("pointerup", stop);
    };
    window.addEventListener("pointermove", follow);
    window.addEventListener("pointerup", stop);
  });
  svg.addEventListener("keydown", event => {
    if (event.target !== slider) return;
    const steps = { ArrowUp: .01, ArrowRight: .01, ArrowDown: -.01, ArrowLeft: -.01, PageUp: .1, PageDown: -.1 };
    const target = { Home: 0, End: largest }[event.key] ?? 100 * budget + steps[event.key];
    if (Number.isNaN(target)) return;
    event.preventDefault();
    moveTo(target);
  });
  field.addEventListener("change", () => moveTo(field.valueAsNumber || 0));
  reset.addEventListener("click", () => { budget = tradeOff.budget; redraw(); });
  section.append(controls, svg, named, verdict, hint, legend(axis.rivals.length > 0), ...paragraphs(tradeOff.note ? [tradeOff.note] : [], "quiet"));
  redraw();
  // What was drawn for a wide screen would be small on paper.
  window.addEventListener("beforeprint", () => { paper = true; redraw(); });
  window.addEventListener("afterprint", () => { paper = false; redraw(); });
  let width = section.clientWidth;
  new ResizeObserver(() => {
    if (section.clientWidth === width) return;
    width = section.clientWidth;
    redraw();
  }).observe(section);
}

function axisSwitch(axes, chosen, onChange) {
  const box = make("fieldset", "switch", make("legend", "", "Drop against"));
  for (const axis of axes) {
    const radio = make("input");
    Object.assign(radio, { type: "radio", name: "axis", id: `axis-${axis.goal}`, checked: axis === chosen });
    radio.addEventListener("change", () => onChange(axis));
    const label = make("label", "", radio, ` ${axis.name}`);
    box.append(label);
  }
  return box;
}

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
  const ordered = [...points].sort((one, other) => axis.costs[one.name][0] - axis.costs[other.name][0] || one.drop - other.drop);
  let path = "", least = Infinity;
  for (const point of ordered) {
    if (point.drop >= least) continue;
    const across = x(axis.costs[point.name][0]);
    path += path ? `H${across}V${y(100 * point.drop)}` : `M${across} ${y(100 * point.drop)}`;
    least = point.drop;
  }
  return draw("path", { class: "front", d: path, "aria-hidden": "true" });
}

function budgetLine(at, width, points, movable, largest) {
  const text = `budget ${Number(points.toFixed(4))} points`;
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

// Names of candidates where there is room for them, the first ones first.
function names(points, wanted, axis, x, y, width) {
  const taken = points.map(point => {
    const across = x(axis.costs[point.name][0]), up = y(100 * point.drop);
    return [across - 8, up - 8, across + 8, up + 8];
  });
  const group = draw("g", { class: "names", "aria-hidden": "true" });
  for (const name of new Set(wanted)) {
    const point = points.find(each => each.name === name);
    if (!point) continue;
    const across = x(axis.costs[name][0]), up = y(100 * point.drop), long = 6.7 * name.length;
    const places = [[12, -6, "start"], [-12, -6, "end"], [12, 16, "start"], [12, 4, "start"], [-12, 4, "end"], [0, -14, "middle"], [0, 22, "middle"], [12, -12, "start"], [-12, 18, "end"]];
    for (const [right, down, anchor] of places) {
      const left = across + right - { start: 0, middle: long / 2, end: long }[anchor], box = [left, up + down - 12, left + long, up + down + 3];
      const fits = box[0] > PICTURE.left && box[2] < width - 2 && box[1] > 0 && box[3] < PICTURE.height - PICTURE.bottom;
      if (!fits || taken.some(other => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      group.append(draw("text", { x: across + right, y: up + down, "text-anchor": anchor }, name));
      break;
    }
  }
  return group;
}

function legend(movable) {
  const list = make("ul", "legend");
  for (const [state, words] of Object.entries(STATES)) {
    const shape = draw("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true", class: `point ${state}` });
    shape.append(draw("path", { class: "shape", d: SHAPES[state] }));
    list.append(make("li", "", shape, words));
  }
  if (movable) list.append(make("li", "", "Bars end at the bound that the budget is held against; the ring is who would win."));
  return list;
}
