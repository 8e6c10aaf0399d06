"""Draws which decisions of lossy candidates changed, and the figures of the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.candidates.choose import ERROR_RATE
from pipeline.visible import visible

if TYPE_CHECKING:
    from pipeline.commands.build_result import Row
    from pipeline.recipe.limits import Budget
    from pipeline.tasks.quality import Figure, QualityReport
    from pipeline.tasks.words import DecisionWords

# Number of figures of a whole set that fit into a line or a table.
_MOST_FIGURES = 4


def points(fraction: float) -> str:
    """Write a fraction in points, with its sign."""
    return f"{fraction * 100:+.2f}"


def decision_table(rows: Sequence[Row], words: DecisionWords) -> Table:
    """Draw a row per lossy candidate: which decisions changed, how sure float was of them, and what could be proven."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("  decisions of", no_wrap=True)
    quality = rows[0].report.quality
    sure = [] if quality.confident_flips is None else ["confident", "near ties"]
    calibrated = [] if quality.calibration_error is None else ["ECE"]
    for heading in (
        "flips",
        "lost",
        "gained",
        *sure,
        f"worst {words.group}",
        words.divergence,
        *calibrated,
        "provable",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        quality = row.report.quality
        worst = f"{_short(quality.worst_class_name, words.longest_group)} {points(quality.worst_class_drop)}"
        table.add_row(
            ("* " if row.selected else "  ") + row.report.name,
            str(quality.flips),
            str(quality.lost),
            str(quality.gained),
            *([] if quality.confident_flips is None else [str(quality.confident_flips), str(quality.near_tie_flips)]),
            worst if quality.worst_class_drop > 0 else "-",
            f"{quality.divergence:.1e}",
            *([] if quality.calibration_error is None else [f"{quality.calibration_error:.3f}"]),
            f"{row.verdict.smallest_provable_drop * 100:.2f}",
            style="bold green" if row.selected else None,
        )
    return table


def decision_legend(rows: Sequence[Row], limits: Budget, words: DecisionWords) -> str:
    """Say what the columns of `decision_table` mean."""
    quality = rows[0].report.quality
    together = round(ERROR_RATE / (1 - rows[0].verdict.confidence))
    error = quality.float_calibration_error
    calibration = "" if error is None else f"ECE: 15 bins, float {error:.3f}; "
    lost = (
        f"lost: {words.lost}; gained: the reverse"
        if quality.judged_by == "targets"
        else "lost: decided otherwise than by float"
    )
    return (
        f"on {quality.examples:,} validation examples; {lost}; "
        f"{words.legend.format(limit=f'{limits.max_confident_flips:.2%}')}{calibration}provable: the smallest drop in "
        f"points that so many examples can prove.\n"
        f"Each bound holds with {rows[0].verdict.confidence:.2%}, all {together} that could have been "
        "compared together with 95 % (Bonferroni)."
    )


def figures_line(quality: QualityReport) -> str:
    """Write the figures of a whole set, each beside that of float if there are labels."""
    labelled = quality.judged_by == "targets"
    shown = [
        f"{visible(figure.name)} {figure.value:.4g}"
        + (f" (float {figure.float_value:.4g}{_unit(figure)})" if labelled else _unit(figure))
        for figure in quality.figures[:_MOST_FIGURES]
    ]
    more = len(quality.figures) - len(shown)
    return ", ".join(shown) + (f" and {more} more, in --json" if more else "")


def figure_table(rows: Sequence[Row]) -> Table:
    """Draw a row per lossy candidate, and one for float if there are labels: figures that no limit is held against."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("  without a limit", no_wrap=True)
    figures = rows[0].report.quality.figures[:_MOST_FIGURES]
    for figure in figures:
        table.add_column(f"{visible(figure.name)}{_unit(figure)}", justify="right", no_wrap=True)
    if rows[0].report.quality.judged_by == "targets":
        table.add_row("  float", *(f"{figure.float_value:.4g}" for figure in figures), style="dim")
    for row in rows:
        table.add_row(
            ("* " if row.selected else "  ") + row.report.name,
            *(f"{figure.value:.4g}" for figure in row.report.quality.figures[:_MOST_FIGURES]),
            style="bold green" if row.selected else None,
        )
    return table


def _unit(figure: Figure) -> str:
    return f" {visible(figure.unit)}" if figure.unit else ""


def _short(name: str, width: int) -> str:
    name = visible(name)
    return name if len(name) <= width else f"{name[: width - 1]}…"
