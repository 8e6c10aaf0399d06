// The picture of what candidates lose and gain, with a budget that can be moved.
function showTradeOff(section, tradeOff, onPick) {
  const own = tradeOff.goal;
  let budget = tradeOff.budget, axis = tradeOff.axes.find(each => each.goal === own) || tradeOff.axes[0], slider, paper = false;
  const largest = 100 * Math.max(tradeOff.budget * 2, ...tradeOff.points.map(point => point.high));
  const least = 100 * Math.min(0, ...tradeOff.points.map(point => point.low));
  const scale = dropScale(100 * tradeOff.budget, least, largest * 1.08);
  const svg = draw("svg", { class: "trade-off", role: "group", "aria-label": "Drop of each candidate against its cost" });
  const named = make("p", "readout", "Point at a candidate, or reach it with the tab key: its figures stand here. A click marks its row in the table.");
  const verdict = make("p", "who"), gains = make("p", "gains"), key = make("ul", "legend");
  verdict.setAttribute("role", "status");
  const field = make("input");
  Object.assign(field, { type: "number", min: 0, max: Math.ceil(largest), step: 0.01, id: "budget" });
  const label = make("label", "", "Budget, points of drop");
  label.htmlFor = "budget";
  const reset = make("button", "second", `Reset to ${(100 * tradeOff.budget).toFixed(2)}`);
  reset.type = "button";
  const hint = make("p", "quiet hint", "Move the dashed line, with the mouse or with the arrow keys, to see who would win under another budget.");
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
    svg.append(names(tradeOff.points, [...first, ...axis.front], axis, x, y, width, budget));
    field.value = (100 * budget).toFixed(2);
    movable.hidden = hint.hidden = verdict.hidden = gains.hidden = !axis.rivals.length;
    gains.textContent = gainsInWords(tradeOff, winner);
    key.replaceChildren(...legend(new Set(tradeOff.points.map(stateOf)), axis));
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
  section.append(controls, hint, svg, key, named, verdict, gains, ...paragraphs(tradeOff.note ? [tradeOff.note] : [], "quiet"));
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
