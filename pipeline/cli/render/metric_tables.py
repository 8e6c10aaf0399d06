"""Draws the metrics of the winner on test, by class, label or output, and what is worst on validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.commands.build_result import BuildResult
    from pipeline.tasks.metrics import GroupMetrics, SplitMetrics, TaskMetrics, WrongAnswer

# Of more classes, only those with the lowest F1 are shown; of more outputs, only the first.
_MOST_ROWS = 20
# Number of wrong answers that are told here, and of columns of a table's row.
_WORST, _MOST_COLUMNS = 5, 6
_LONGEST_NAME = 28


def draw_metrics(console: Console, result: BuildResult) -> None:
    """Draw the metrics of the field, which no limit is held against, and say where the pictures of the training lie."""
    lines: list[str] = []
    if "test" in result.metrics:
        names = {"winner": result.selected, "baseline": result.baseline}
        table = metric_table(result.metrics["test"], **names, group=result.words.group)
        if table is not None:
            console.print(table)
        lines += left_out_metrics(result.metrics["test"], **names)
    if "validation" in result.metrics:
        lines += worst_lines(result.metrics["validation"])
    if result.pictures:
        pictures = ", ".join(path.name for path in result.pictures)
        lines.append(f"Pictures of the training: {pictures} in {result.pictures[0].parent}")
    for line in lines:
        console.print(line, style="dim")


def metric_table(test: SplitMetrics, *, winner: str, baseline: str, group: str) -> Table | None:
    """Draw the metrics of the winner on test beside those of float; None where the task has none by class or output.

    Args:
        test: metrics on the test split.
        winner: name of the winner.
        baseline: name of the float candidate.
        group: what a class or label is called in the task.
    """
    of_winner, of_float = test.networks[winner], test.networks[baseline]
    if of_winner.groups:
        return _group_table(of_winner, of_float, group=group)
    return _output_table(of_winner, of_float) if of_winner.outputs else None


def _group_table(winner: TaskMetrics, baseline: TaskMetrics, *, group: str) -> Table:
    """A row for each class or label, and one for each average."""
    table = _table(f"  {group} on test", "examples", "precision", "recall", "F1", "F1 of float")
    if winner.confusion:
        table.add_column("most often taken for", no_wrap=True)
    for place in _shown(winner.groups):
        metrics, of_float = winner.groups[place], baseline.groups[place]
        values = (metrics.precision, metrics.recall, metrics.f1, of_float.f1)
        taken = [_taken_for(winner, place)] if winner.confusion else []
        table.add_row(f"  {_name(metrics.name)}", f"{metrics.examples:,}", *map(_share, values), *taken)
    for average, of_float_average in zip(winner.averages, baseline.averages, strict=True):
        values = (average.precision, average.recall, average.f1, of_float_average.f1)
        table.add_row(f"  {average.name} average", f"{winner.examples:,}", *map(_share, values), style="dim")
    return table


def _shown(groups: Sequence[GroupMetrics]) -> Sequence[int]:
    """The places of the groups that are shown, in their order."""
    if len(groups) <= _MOST_ROWS:
        return range(len(groups))
    occurring = [place for place, group in enumerate(groups) if group.f1 is not None]
    return sorted(sorted(occurring, key=lambda place: groups[place].f1 or 0.0)[:_MOST_ROWS])


def _taken_for(metrics: TaskMetrics, place: int) -> str:
    """The class that examples of a class are most often taken for, with their number."""
    counts = [count if other != place else 0 for other, count in enumerate(metrics.confusion[place])]
    most = max(counts)
    return f"{_name(metrics.groups[counts.index(most)].name)} {most:,}" if most else "-"


def _output_table(winner: TaskMetrics, baseline: TaskMetrics) -> Table:
    """A row for each output."""
    headings = [f"{name}{of}" for name in ("MAE", "RMSE", "R²") for of in ("", " of float")]
    table = _table("  output on test", *headings)
    for metrics, of_float in list(zip(winner.outputs, baseline.outputs, strict=True))[:_MOST_ROWS]:
        unit = f" in {visible(metrics.unit)}" if metrics.unit else ""
        pairs = ((metrics.mae, of_float.mae), (metrics.rmse, of_float.rmse), (metrics.r2, of_float.r2))
        cells = ["-" if value is None else f"{value:.4g}" for pair in pairs for value in pair]
        table.add_row(f"  {_name(metrics.name)}{unit}", *cells)
    return table


def left_out_metrics(test: SplitMetrics, *, winner: str, baseline: str) -> Iterator[str]:
    """Yield lines on what the table of test does not hold; the arguments are as in `metric_table`."""
    of_winner, of_float = test.networks[winner], test.networks[baseline]
    if of_winner.top5_accuracy is not None:
        yield f"top-5 accuracy on test {of_winner.top5_accuracy:.4f} (float {_share(of_float.top5_accuracy)})."
    rows = max(len(of_winner.groups), len(of_winner.outputs))
    if rows > _MOST_ROWS:
        which = "with the lowest F1" if of_winner.groups else "first"
        yield f"The {_MOST_ROWS} {which} of {rows:,} are shown; all are in --json."


def worst_lines(validation: SplitMetrics) -> Iterator[str]:
    """Yield lines on the answers on validation that are most wrong; none where all are right."""
    if validation.worst:
        yield f"Most wrong on validation, by {validation.error_name}, as trained:"
        yield from (f"  {_worst_line(answer)}" for answer in validation.worst[:_WORST])


def _worst_line(answer: WrongAnswer) -> str:
    line = f"example {answer.example:,}: {answer.error:.2f}, right {answer.right}, answered {answer.answered}"
    if answer.row:
        values = [f"{name} {'missing' if value is None else value}" for name, value in answer.row.items()]
        more = ", ..." if len(values) > _MOST_COLUMNS else ""
        line += f"; {', '.join(values[:_MOST_COLUMNS])}{more}"
    return visible(line)


def _table(first: str, *headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _name(name: str) -> str:
    name = visible(name)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
