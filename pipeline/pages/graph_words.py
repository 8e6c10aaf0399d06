"""What a comparison of graphs says in words, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.inspection.graph_comparison import (
    TOO_SHORT_US,
    ChangeKind,
    GraphComparison,
    GraphFile,
    LayerRow,
    LayerSide,
    Side,
)

# A sentence names at most so many layers.
_NAMED = 8
_LARGEST_TIMES = 3
_DONE: dict[ChangeKind, str] = {
    "removed": "removed",
    "fused": "fused into their neighbours",
    "added": "added",
    "replaced": "replaced by layers of another kind",
    "narrowed": "narrowed",
    "widened": "widened",
    "quantized": "quantized",
    "reformatted": "in another number format",
    "weights": "of the same form with other weights",
}


def summary(comparison: GraphComparison) -> tuple[str, ...]:
    """Say in sentences what changed, where outputs part, and where the time went and goes."""
    return (
        _changes(comparison),
        *_parting(comparison),
        _sizes(comparison),
        *_times(comparison),
        *comparison.notes,
    )


def count(number: int) -> str:
    """A number of things, such as `1,625,866` or `12.3 million`."""
    return f"{number:,}" if number < 10_000_000 else f"{number / 1e6:,.1f} million"


def percent(share: float) -> str:
    """A share as a percentage, such as `34 %`; a small one keeps a digit."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{share * 100:.1f} %" if share < 0.0995 else f"{share * 100:.0f} %"


def shape_text(shape: Sequence[int] | None) -> str:
    """A shape such as `32 x 28 x 28`; empty where it is unknown or holds one value."""
    return " x ".join(map(str, shape or ()))


def microseconds(value: float) -> str:
    """A time such as `34 µs` or `4.1 ms`."""
    if value < 1000:
        return f"{value:.0f} µs"
    return f"{value / 1000:.2f} ms" if value < 10_000 else f"{value / 1000:,.0f} ms"


def time_text(layer: LayerSide) -> str:
    """Say how much of the measured time a layer takes; empty where nothing was measured."""
    if layer.timed_with:
        return f"its time is in that of {layer.timed_with}"
    if layer.time is None:
        return ""
    others = layer.time.stands_for[1:]
    shared = f", one node with {_names(others)}" if others else ""
    if layer.time.too_short:
        return f"under {TOO_SHORT_US:g} µs: too short to tell{shared}"
    return f"{percent(layer.time.share)} of time, {microseconds(layer.time.microseconds)}{shared}"


def _changes(comparison: GraphComparison) -> str:
    if not comparison.rows:
        return "Layers were not compared."
    parts = []
    for kind, done in _DONE.items():
        names = [row.name for row in comparison.rows if any(change.kind == kind for change in row.changes)]
        if names:
            parts.append(f"{len(names)} {done} ({_names(names)})")
    if not parts:
        return f"All {len(comparison.rows)} layers have the same form."
    same = [row.name for row in comparison.rows if not row.changes]
    if same:
        parts.append(f"{len(same)} unchanged ({_names(same)})")
    return f"{len(comparison.rows)} layers, each of which may count more than once: {'; '.join(parts)}."


def _parting(comparison: GraphComparison) -> list[str]:
    first = comparison.first
    if first is None:
        return ["No layer differs by more than rounding."] if comparison.inputs else []
    if first.changes:
        why = "; ".join(change.words for change in first.changes)
    else:
        why = f"its output differs by up to {first.largest_difference:.2g}"
    return [f"The first difference from the input down: {first.name}, {why}."]


def _sizes(comparison: GraphComparison) -> str:
    before, after = comparison.before, comparison.after
    pairs = [("Model file", f"{before.size / 1000:,.0f} kB", f"{after.size / 1000:,.0f} kB")]
    if before.parameters is not None and after.parameters is not None:
        pairs.append(("parameters", count(before.parameters), count(after.parameters)))
    if before.macs is not None and after.macs is not None:
        pairs.append(("multiply-adds for one example", count(before.macs), count(after.macs)))
    return (
        "; ".join(
            f"{name} {old}, both" if old == new else f"{name} {old} before, {new} after" for name, old, new in pairs
        )
        + "."
    )


def _times(comparison: GraphComparison) -> list[str]:
    sentences = []
    sides: tuple[tuple[Side, str], ...] = (("before", "went"), ("after", "goes now"))
    for side, verb in sides:
        file = comparison.file(side)
        if file.time is None:
            sentences.append(f"{file.label}: no time of each layer: {file.time_note}.")
        else:
            sentences.append(f"Where the time {verb}: {_largest(comparison.rows, side)}; {_call(file)}.")
    if comparison.before.time is not None or comparison.after.time is not None:
        sentences.append(
            "Times are shares of the sum that ONNX Runtime's profiler reports, scaled to a call without it, because "
            "the profiler's overhead exceeds a small layer's time. They come from a run of their own, so that calls "
            "may take longer or shorter here than elsewhere."
        )
    return sentences


def _largest(rows: Sequence[LayerRow], side: Side) -> str:
    timed = [(layer.time, row.name) for row in rows if (layer := row.side(side)) is not None and layer.time is not None]
    timed.sort(key=lambda pair: pair[0].share, reverse=True)
    parts = [
        f"{name}{f' with {_names(time.stands_for[1:])}' if len(time.stands_for) > 1 else ''} {percent(time.share)}"
        for time, name in timed[:_LARGEST_TIMES]
        if not time.too_short
    ]
    return ", ".join(parts) or "every layer is too short to tell"


def _call(file: GraphFile) -> str:
    time = file.time
    assert time is not None
    rest = f", {percent(time.rest_us / time.call_us)} of it in no layer" if time.rest_us > 0.01 * time.call_us else ""
    threads = "1 thread" if time.threads == 1 else f"{time.threads} threads"
    return f"a call of {time.batch_size} examples takes {microseconds(time.call_us)} with {threads}{rest}"


def _names(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
