"""Draws the layers in which two model files differ, and says in sentences what changed."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.inspection.graph_comparison import TOO_SHORT_US, GraphComparison, GraphFile, LayerRow, LayerSide
from pipeline.pages.graph_words import percent, shape_text, summary

_FIRST = "> "


def draw_comparison(console: Console, comparison: GraphComparison, *, every: bool) -> None:
    """Draw the files, a table of layers, and the sentences.

    Args:
        console: console to draw on.
        comparison: what was compared.
        every: whether layers that are the same have rows too.
    """
    console.print(f"before  {_file(comparison.before)}")
    console.print(f"after   {_file(comparison.after)}")
    rows = [row for row in comparison.rows if every or row.changes or row.first]
    if rows:
        console.print(_table(comparison, rows))
    left_out = len(comparison.rows) - len(rows)
    if left_out:
        console.print(f"{left_out} more layers, of the same form; --all shows them", style="dim")
    for sentence in summary(comparison):
        console.print(sentence)


def _table(comparison: GraphComparison, rows: list[LayerRow]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("  layer", overflow="fold")
    for heading in ("before", "after"):
        table.add_column(heading, overflow="fold")
    table.add_column("what changed", overflow="fold")
    table.add_column("differs by", justify="right")
    timed = comparison.before.time is not None or comparison.after.time is not None
    if timed:
        table.add_column("time", justify="right")
        table.add_column("now", justify="right")
    for row in rows:
        changes = "; ".join(change.words for change in row.changes) or "the same"
        difference = "-" if row.largest_difference is None else f"{row.largest_difference:.2g}"
        times = (_time(row.before), _time(row.after)) if timed else ()
        name = f"{_FIRST if row.first else '  '}{row.name}"
        table.add_row(name, _layer(row.before), _layer(row.after), changes, difference, *times)
    if any(row.first for row in rows):
        table.caption = "> the first difference from the input down"
        table.caption_justify = "left"
    return table


def _layer(layer: LayerSide | None) -> str:
    if layer is None:
        return "-"
    return " ".join(part for part in (layer.kind, shape_text(layer.shape), layer.number_format) if part)


def _time(layer: LayerSide | None) -> str:
    if layer is None:
        return "-"
    if layer.timed_with:
        return "with it"
    if layer.time is None:
        return "-"
    return f"< {TOO_SHORT_US:g} µs" if layer.time.too_short else percent(layer.time.share)


def _file(file: GraphFile) -> str:
    opset = ", ".join(f"{domain} {version}" for domain, version in file.opset.items())
    facts = [file.format, f"{file.size:,} bytes", *([f"opset {opset}"] if opset else []), f"SHA-256 {file.sha256[:12]}"]
    return f"{file.label}: {', '.join(facts)}"
