"use strict";
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// All that is shown goes in as text: names of classes, files and columns are others' words.
function make(tag, className, ...parts) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...parts);
  return element;
}

function draw(tag, attributes = {}, ...parts) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...parts);
  return element;
}

function paragraphs(sentences, className = "") {
  return sentences.map(sentence => make("p", className, sentence));
}

function terms(pairs, className = "") {
  const list = make("dl", className);
  for (const [term, ...words] of pairs) list.append(make("dt", "", term), make("dd", "", ...words));
  return list;
}

// A part that scrolls by itself can be reached by keyboard, and has a name.
function scrolling(name, ...parts) {
  const box = make("div", "scrolling", ...parts);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", name);
  return box;
}

// A name may break behind its dots.
function breakable(text, isName) {
  return isName ? text.split(/(?<=\.)/).flatMap((part, index) => (index ? [make("wbr"), part] : [part])) : [text];
}

// A table whose columns are sorted by buttons in its head.
function sortedTable(table, { rowId = () => "" } = {}) {
  const body = make("tbody"), heads = [];
  const rows = table.rows.map((row, index) => {
    const line = make("tr", row.state || "");
    line.setAttribute("role", "row");
    if (rowId(row)) line.id = rowId(row);
    for (const [place, cell] of row.cells.entries()) {
      const column = table.columns[place], element = make(place ? "td" : "th", column.numeric ? "number" : "", ...breakable(cell.text, !place));
      if (cell.details) element.append(make("details", "", make("summary", "", "What was found"), cell.details));
      element.setAttribute("role", place ? "cell" : "rowheader");
      element.dataset.label = column.name;
      if (!place) {
        element.scope = "row";
        if (row.state === "chosen") element.append(" ", make("span", "tag", "chosen"));
      }
      line.append(element);
    }
    return { row, line, index };
  });
  const headings = make("tr");
  for (const [place, column] of table.columns.entries()) {
    const button = make("button", "sort", column.name), head = make("th", column.numeric ? "number" : "", button);
    head.scope = "col";
    head.setAttribute("role", "columnheader");
    if (column.meaning) button.title = column.meaning;
    button.type = "button";
    button.addEventListener("click", () => sort(place));
    heads.push(head);
    headings.append(head);
  }

  function sort(place) {
    const falling = heads[place].getAttribute("aria-sort") === "ascending", sign = falling ? -1 : 1;
    heads.forEach(head => head.removeAttribute("aria-sort"));
    heads[place].setAttribute("aria-sort", falling ? "descending" : "ascending");
    rows.sort((one, other) => {
      const [a, b] = [one, other].map(({ row }) => row.cells[place]);
      if ((a.value === null) !== (b.value === null)) return a.value === null ? 1 : -1;
      const order = a.value === null ? a.text.localeCompare(b.text) : a.value - b.value;
      return sign * order || one.index - other.index;
    });
    body.append(...rows.map(({ line }) => line));
  }

  body.append(...rows.map(({ line }) => line));
  if (table.sorted_by !== null) heads[table.sorted_by].setAttribute("aria-sort", "ascending");
  const head = make("thead", "", headings), element = make("table", "sortable", make("caption", "", table.caption), head, body);
  // On a narrow page rows are blocks, and would be no table for a screen reader without these roles.
  for (const [part, role] of [[element, "table"], [head, "rowgroup"], [body, "rowgroup"], [headings, "row"]]) part.setAttribute("role", role);
  return scrolling(table.caption, element);
}
