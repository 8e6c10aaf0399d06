// Fills the page from the data that it holds.
const report = JSON.parse($("report").textContent);
const SECTIONS = [
  ["verdict", "Verdict"], ["trade-off", "Trade-off"], ["candidates", "Candidates"], ["proofs", "Proofs"],
  ["disagreements", "Disagreements"], ["calibration", "Calibration"], ["confusion", "Confusion"], ["training", "Training"],
  ["graph", "Graph"], ["elsewhere", "How to run it"], ["digests", "Digests"],
];

function showVerdict({ figures, warnings, notes }) {
  for (const warning of warnings) $("figures").append(make("p", "warning", warning));
  const tiles = make("dl", "tiles");
  for (const { name, value, detail } of figures) tiles.append(make("div", "", make("dt", "", name), make("dd", "value", value), make("dd", "quiet", detail)));
  if (figures.length) $("figures").append(tiles);
  $("figures").append(...paragraphs(notes, "note"));
}

const rowId = row => (row.name ? `row-${report.candidates.rows.indexOf(row)}` : "");

function markRow(name) {
  const row = report.candidates.rows.find(each => each.name === name), line = row && $(rowId(row));
  document.querySelectorAll("tr.marked").forEach(each => { each.classList.remove("marked"); each.removeAttribute("aria-current"); });
  if (!line) return;
  line.classList.add("marked");
  line.setAttribute("aria-current", "true");
  line.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function showCandidates(section, table) {
  section.append(...paragraphs(table.notes), sortedTable(table, { rowId }));
  const names = Object.entries(table.terms);
  if (names.length) section.append(hidden("What the names mean", [terms(names)]));
}

function showProofs(section, proofs) {
  section.append(make("ul", "sentences", ...proofs.sentences.map(sentence => make("li", "", sentence))));
  if (proofs.empty.length) section.append(make("h3", "", "Proofs that say nothing"), ...paragraphs(proofs.empty, "warning"));
  if (proofs.table) section.append(hidden("Parity of every candidate", [sortedTable(proofs.table)]));
}

function exampleCard(example, truth) {
  const card = make("li", "card");
  if (example.picture) {
    const image = make("img");
    image.alt = `Validation example ${example.number.toLocaleString("en")}`;
    image.src = example.picture;
    card.append(image);
  }
  const mark = which => (example.better === which ? "\u00a0\u2713" : "");
  card.append(terms([
    ...(example.right ? [[truth, example.right]] : []),
    ["float", example.of_float + mark("float")], ["winner", example.of_winner + mark("winner")],
    ["example", example.number.toLocaleString("en")],
  ]));
  const values = Object.entries(example.values);
  if (values.length) card.append(make("details", "", make("summary", "", "Its values"), terms(values)));
  return card;
}

function showDisagreements(section, disagreements) {
  section.append(...paragraphs(disagreements.sentences));
  for (const [group, words] of Object.entries(disagreements.groups)) {
    const list = make("ul", "cards", ...disagreements.examples.filter(example => example.group === group).map(example => exampleCard(example, disagreements.truth)));
    section.append(...(words ? [make("h3", "", words)] : []), list);
  }
}

function showCalibration(section, calibration) {
  section.append(...paragraphs(calibration.sentences));
  const networks = Object.entries(calibration.bins);
  if (!networks.length) return;
  const lines = networks.map(([name, bins]) => ({ name, points: bins.map(bin => [bin.certainty, bin.right]) }));
  section.append(lineChart({ name: "Share of right answers, by how sure they are", across: "mean certainty of the answers", lines, range: true }));
  section.append(hidden("The figures of the chart", networks.map(([name, bins]) => plainTable(
    name, ["answers", "mean certainty", "share right"],
    bins.map(bin => [bin.examples.toLocaleString("en"), bin.certainty.toFixed(4), bin.right.toFixed(4)]),
  )), "on-screen"));
}

function showConfusion(section, confusion) {
  section.append(...paragraphs(confusion.sentences));
  const matrices = Object.entries(confusion.matrices);
  for (const [index, [name, matrix]] of matrices.entries()) {
    const table = confusionTable(name, confusion.names, matrix);
    section.append(index ? hidden(name, [table]) : table);
  }
  if (confusion.table) section.append(sortedTable(confusion.table));
}

function showTraining(section, training) {
  section.append(...paragraphs(training.sentences));
  const charts = training.panels.map(panel => lineChart({
    name: panel.label, across: "epoch", marked: training.kept,
    lines: panel.curves.map(curve => ({ name: curve.name, points: training.epochs.map((epoch, place) => [epoch, curve.values[place]]) })),
  }));
  if (!charts.length) return;
  section.append(make("div", "charts", ...charts));
  const curves = training.panels.flatMap(panel => panel.curves.map(curve => [`${panel.label}, ${curve.name}`, curve.values]));
  section.append(hidden("The figures of the curves", [plainTable(
    "Figures by epoch", ["epoch", ...curves.map(([name]) => name)],
    training.epochs.map((epoch, place) => [String(epoch), ...curves.map(([, values]) => (values[place] === null ? "" : String(Number(values[place].toPrecision(5)))))]),
  )], "on-screen"));
}

function showElsewhere(section, snippets) {
  for (const { name, text, code } of snippets) {
    const button = make("button", "second", "Copy"), block = scrolling(name, make("pre", "", make("code", "", code)));
    button.type = "button";
    button.setAttribute("aria-label", `Copy: ${name}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code).then(() => { button.textContent = "Copied"; }, () => {
        getSelection().selectAllChildren(block);
        button.textContent = "Selected";
      });
    });
    section.append(make("div", "head", make("h3", "", name), button), ...paragraphs(text ? [text] : []), block);
  }
}

function plainTable(caption, columns, rows) {
  const head = make("tr", "", ...columns.map(column => {
    const cell = make("th", "number", column);
    cell.scope = "col";
    return cell;
  }));
  const body = make("tbody", "", ...rows.map(cells => make("tr", "", ...cells.map(text => make("td", "number", text)))));
  return scrolling(caption, make("table", "", make("caption", "", caption), make("thead", "", head), body));
}

function hidden(summary, parts, className = "") {
  return make("details", className, make("summary", "", summary), ...parts);
}

const SHOW = {
  "trade-off": [report.trade_off, (section, part) => showTradeOff(section, part, markRow)],
  candidates: [report.candidates, showCandidates],
  proofs: [report.proofs, showProofs],
  disagreements: [report.disagreements, showDisagreements],
  calibration: [report.calibration, showCalibration],
  confusion: [report.confusion, showConfusion],
  training: [report.training, showTraining],
  elsewhere: [report.elsewhere.length ? report.elsewhere : null, showElsewhere],
  digests: [report.digests.length ? report.digests : null, (section, part) => section.append(terms(part.map(({ name, value }) => [name, make("code", "", value)]), "digests"))],
};

showVerdict(report.verdict);
for (const [name, words] of SECTIONS) {
  const section = $(name), [part, show] = SHOW[name] || [];
  if (part) show(section, part);
  if (report.absent[name]) section.append(make("p", "quiet", report.absent[name]));
  // A section of which nothing is known, and nothing is said, is left out.
  section.hidden = section.childElementCount < 2;
  if (section.hidden) continue;
  const link = make("a", "", words);
  link.href = `#${name}`;
  $("contents").append(link, " ");
}
$("contents").hidden = false;
// On paper, what can be opened is open.
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(details => { details.open = true; }));
