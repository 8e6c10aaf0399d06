"""Write the part of a page that shows two graphs side by side, layer by layer."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pipeline.inspection.graph_comparison import (
    GraphComparison,
    GraphFile,
    LayerRow,
    LayerSide,
    Side,
)
from pipeline.pages.graph_style import STYLE
from pipeline.pages.graph_words import count, percent, shape_text, summary, time_text
from pipeline.visible import visible

# A page shows at most so many layers, those that matter most; each takes some 1.5 kB. The file graph.json holds all.
_MOST_ROWS = 250


def graph_section(comparison: GraphComparison, *, remarks: Sequence[str] = (), whole: str = "") -> str:
    """Write the section `<section id="graph">`, with its own style and no script.

    Args:
        comparison: two files; names in them may be anybody's, and are escaped.
        remarks: sentences on what the comparison itself does not know, which are escaped too.
        whole: where all layers stand, if they are too many for a page; empty where they stand nowhere else.

    Returns:
        HTML, as part of a page of any encoding that holds Unicode.
    """
    before, after = comparison.before, comparison.after
    says = "".join(f"<li>{_text(sentence)}</li>" for sentence in (*summary(comparison), *remarks))
    return (
        f'<section id="graph" aria-labelledby="graph-title">\n<style>{STYLE}</style>\n'
        '<h2 id="graph-title">The graph, before and after</h2>\n'
        f'<ul class="g-says">{says}</ul>\n'
        f'<table role="table">\n<caption>{_text(_caption(comparison))}</caption>\n'
        '<thead role="rowgroup"><tr role="row">'
        f"{_head('Layer', 'from the input down')}{_head('Before', before.label)}{_head('After', after.label)}"
        f"{_head('What changed', '')}{_head('Output differs by at most', '')}</tr></thead>\n"
        f'<tbody role="rowgroup">\n{"".join(_body(comparison, whole))}</tbody>\n</table>\n</section>\n'
    )


def _caption(comparison: GraphComparison) -> str:
    inputs = f" Outputs were compared on {comparison.inputs}." if comparison.inputs else ""
    return (
        "Each row is a layer under the name of its module; both files have the same order. A shape is that of the "
        "layer's output for one example, and compute is its share of multiply-adds. A bar on the left marks a layer "
        f"that changed; in another colour, the first one that differs.{inputs}"
    )


def _body(comparison: GraphComparison, whole: str) -> list[str]:
    """The rows; runs of layers that matter least are one line where there are too many."""
    shown = _shown(comparison.rows)
    lines, left_out = [], list[LayerRow]()
    for place, row in enumerate(comparison.rows):
        if place in shown:
            lines += [*_gathered(left_out, whole), _row(comparison, row)]
            left_out = []
        else:
            left_out.append(row)
    return lines + _gathered(left_out, whole)


def _shown(rows: Sequence[LayerRow]) -> set[int]:
    """The places of the rows that matter most."""
    return set(sorted(range(len(rows)), key=lambda place: _weight(rows[place]), reverse=True)[:_MOST_ROWS])


def _weight(row: LayerRow) -> tuple[bool, float]:
    """How much a layer matters to a reader."""
    sides = [side for side in (row.before, row.after) if side is not None]
    shares = [side.time.share for side in sides if side.time is not None]
    return row.first, max([*shares, *(side.compute_share or 0.0 for side in sides)])


def _gathered(rows: Sequence[LayerRow], whole: str) -> list[str]:
    if not rows:
        return []
    kinds = dict.fromkeys(change.kind for row in rows for change in row.changes)
    changed = f"changed: {', '.join(kinds)}" if kinds else "without change"
    names = rows[0].name if len(rows) == 1 else f"{rows[0].name} to {rows[-1].name}"
    text = f"{len(rows)} more, {names}, {changed}{f'; each is in {whole}' if whole else ''}"
    return [f'<tr role="row"><td role="cell" class="g-more g-quiet" colspan="5">{_text(text)}</td></tr>\n']


def _row(comparison: GraphComparison, row: LayerRow) -> str:
    kind = " ".join(["g-row", *(["g-changed"] if row.changes else []), *(["g-first"] if row.first else [])])
    flag = '<span class="g-flag">First difference</span>' if row.first else ""
    changes = "".join(
        f'<li><span class="g-{change.kind}">{_text(change.words[:1].upper() + change.words[1:])}</span></li>'
        for change in row.changes
    )
    what = (
        f'<ul class="g-changes">{changes}</ul>' if changes else f'<span class="g-quiet">{_text(_unchanged(row))}</span>'
    )
    return (
        f'<tr role="row" class="{kind}"><th role="rowheader" scope="row"><span class="g-name">{_text(row.name)}</span>'
        f"{flag}</th>{_side(comparison, row, 'before')}{_side(comparison, row, 'after')}"
        f'<td role="cell" class="g-what">{what}</td>{_difference(row)}</tr>\n'
    )


def _unchanged(row: LayerRow) -> str:
    if row.before is None or row.after is None:
        return "the same"
    words = "the same" if row.before.shape == row.after.shape else "the same, on another shape"
    host = row.before.timed_with
    return f"{words}; in both files one node with {host} when run" if host and host == row.after.timed_with else words


def _side(comparison: GraphComparison, row: LayerRow, side: Side) -> str:
    layer = row.side(side)
    title = "Before" if side == "before" else "After"
    label = f'<span class="g-label">{title}</span>'
    if layer is None:
        return f'<td role="cell" class="g-side g-{side}">{label}<span class="g-gone">not in this file</span></td>'
    form = " · ".join(part for part in (layer.kind, shape_text(layer.shape), layer.number_format) if part)
    costs = [f"{count(layer.parameters)} parameters"] if layer.parameters else []
    if layer.compute_share:
        costs.append(f"{percent(layer.compute_share)} of compute")
    lines = [f'<div class="g-form">{_text(form)}</div>']
    if costs:
        lines.append(f'<div class="g-quiet g-number">{_text(", ".join(costs))}</div>')
    lines.append(_time(layer, comparison.file(side)))
    return f'<td role="cell" class="g-side g-{side}">{label}{"".join(lines)}</td>'


def _time(layer: LayerSide, file: GraphFile) -> str:
    text = time_text(layer)
    if file.time is None or not text:
        return ""
    bar = ""
    if layer.time is not None and not layer.time.too_short:
        width = max(0.0, min(1.0, layer.time.share))
        bar = f'<span class="g-track" aria-hidden="true"><span class="g-bar" style="width:{width:.1%}"></span></span>'
    return f'{bar}<div class="g-quiet g-number">{_text(text)}</div>'


def _difference(row: LayerRow) -> str:
    if row.largest_difference is None:
        # Of a layer that one file lacks there is nothing to compare.
        note = row.difference_note if row.before is not None and row.after is not None else ""
        none, text = ("", f"not compared: {note}") if note else (" g-none", "")
        return f'<td role="cell" class="g-difference g-quiet{none}">{_text(text)}</td>'
    of = f", where values reach {row.largest_value:.3g}" if row.largest_value else ""
    text = "0: the very same" if row.largest_difference == 0 else f"{row.largest_difference:.2g}{of}"
    label = '<span class="g-label">Output differs by at most</span>'
    return f'<td role="cell" class="g-difference g-number">{label}{_text(text)}</td>'


def _head(title: str, below: str) -> str:
    small = f"<small>{_text(below)}</small>" if below else ""
    return f'<th role="columnheader" scope="col">{_text(title)}{small}</th>'


def _text(text: str) -> str:
    return html.escape(visible(text))
