"""The table of a profile by operator, as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from pipeline.errors import UsageError
from pipeline.profiling.document import OperatorCost, Recording, TableOrder
from pipeline.recipe.names import meant

_LONGEST_NAME, _LONGEST_SHAPES = 55, 60


def operator_table(
    recording: Recording,
    *,
    order: TableOrder = "self",
    rows: int = 15,
    by_shape: bool = False,
    operators: Sequence[str] = (),
) -> list[str]:
    """Draw the costs of operators, for each step; those of the device where it did any work.

    Args:
        recording: recorded steps.
        order: what the rows are sorted by, the largest first.
        rows: number of rows.
        by_shape: whether calls with other shapes of inputs are rows of their own.
        operators: names of the operators that are shown; empty for all.

    Raises:
        UsageError: there is no operator of that name.
    """
    costs = recording.operators_by_shape if by_shape else recording.operators
    require_operators(recording, operators)
    on_device = any(cost.device_self_us for cost in costs)
    steps = recording.recorded_steps
    whole = sum(_self_us(cost, on_device=on_device) for cost in costs)
    chosen = [cost for cost in costs if not operators or cost.name in operators]
    chosen.sort(key=_sort_key(order, on_device=on_device), reverse=True)
    heads = ["self ms", "share", "total ms", "calls", "memory MB", *(["CPU self ms"] if on_device else [])]
    table = [["operator", *heads, *(["shapes of inputs"] if by_shape else [])]]
    for cost in chosen[:rows]:
        own = _self_us(cost, on_device=on_device)
        total = cost.device_total_us if on_device else cost.total_us
        table.append(
            [
                _cut(cost.name, _LONGEST_NAME),
                f"{own / steps / 1000:.3f}",
                f"{own / whole:.1%}" if whole else "-",
                f"{total / steps / 1000:.3f}",
                f"{cost.calls / steps:,.4g}",
                f"{round(cost.memory_bytes / steps / 1e6, 2) + 0.0:,.2f}",
                *([f"{cost.self_us / steps / 1000:.3f}"] if on_device else []),
                *([_cut(cost.shapes, _LONGEST_SHAPES)] if by_shape else []),
            ]
        )
    lines = aligned(table, left=(0, len(table[0]) - 1) if by_shape else (0,))
    if rest := chosen[rows:]:
        own = sum(_self_us(cost, on_device=on_device) for cost in rest)
        lines.append(f"{len(rest)} more rows, {own / steps / 1000:.3f} ms together; --rows shows more")
    return lines


def require_operators(recording: Recording, operators: Sequence[str]) -> None:
    """Check that operators were called.

    Raises:
        UsageError: one of them was not.
    """
    names = {cost.name for cost in recording.operators}
    for name in operators:
        if name not in names:
            raise UsageError(
                f"--operator {name}: expected an operator that these steps called, found none{meant(name, names)}; "
                "without --operator all are shown"
            )


def aligned(table: Sequence[Sequence[str]], *, left: Sequence[int]) -> list[str]:
    """Bring rows of cells into columns, each to the right but those named by their place."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _sort_key(order: TableOrder, *, on_device: bool) -> Callable[[OperatorCost], float]:
    match order:
        case "self":
            return lambda cost: _self_us(cost, on_device=on_device)
        case "total":
            return lambda cost: cost.device_total_us if on_device else cost.total_us
        case "calls":
            return lambda cost: cost.calls
        case "memory":
            return lambda cost: cost.memory_bytes
        case _:
            assert_never(order)


def _self_us(cost: OperatorCost, *, on_device: bool) -> float:
    return cost.device_self_us if on_device else cost.self_us


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
