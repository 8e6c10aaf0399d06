"""Metrics of the winner and of float on test: what is taken for what, by class, label or output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.commands.build_result import BuildResult
from pipeline.commands.report_page.words import percent
from pipeline.pages.report.document import Confusion
from pipeline.pages.report.table import Cell, Column, Row, Table
from pipeline.tasks.metrics import GroupMetrics, OutputMetrics, TaskMetrics

# With more classes the matrix does not fit a page; the most frequent confusions are listed.
_MOST_CLASSES = 24
_MOST_PAIRS = 24
_MOST_ROWS = 200


def confusion_of(result: BuildResult) -> Confusion | None:
    """Gather the metrics on the test split; None where the data have no labels to be judged by."""
    split = result.metrics.get("test")
    if split is None:
        return None
    winner, baseline = split.networks[result.selected], split.networks[result.baseline]
    names = tuple(group.name for group in winner.groups)
    sentences = [f"On the {winner.examples:,} examples of the test split."]
    if winner.top5_accuracy is not None and baseline.top5_accuracy is not None:
        sentences.append(
            f"The right class is among the five most probable ones in {percent(winner.top5_accuracy)} "
            f"(float: {percent(baseline.top5_accuracy)})."
        )
    matrices = {}
    if winner.confusion and len(names) <= _MOST_CLASSES:
        matrices[f"{result.selected}, on test"] = winner.confusion
        if result.selected != result.baseline:
            matrices[f"{result.baseline}, on test"] = baseline.confusion
    elif winner.confusion:
        sentences += _pairs(names, winner.confusion)
    table = _groups(winner, baseline) if winner.groups else _outputs(winner, baseline) if winner.outputs else None
    if table is None and not matrices:
        return None
    return Confusion(sentences=tuple(sentences), names=names if matrices else (), matrices=matrices, table=table)


def _pairs(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield a sentence with the most frequent confusions."""
    pairs = sorted(
        (
            (count, names[right], names[answer])
            for right, counts in enumerate(confusion)
            for answer, count in enumerate(counts)
            if count and right != answer
        ),
        key=lambda pair: -pair[0],
    )[:_MOST_PAIRS]
    if pairs:
        listed = "; ".join(f"{right} for {answer} ({count:,})" for count, right, answer in pairs)
        yield f"Most often taken for another class: {listed}."


def _groups(winner: TaskMetrics, baseline: TaskMetrics) -> Table:
    columns = (
        Column(name="class or label"),
        *(Column(name=name, numeric=True) for name in ("examples", "precision", "recall", "F1", "F1 of float")),
    )
    pairs = list(zip(winner.groups, baseline.groups, strict=True))
    left_out = len(pairs) - _MOST_ROWS
    if left_out > 0:
        pairs = sorted(pairs, key=lambda pair: 2.0 if pair[0].f1 is None else pair[0].f1)[:_MOST_ROWS]
    return Table(
        caption="By class or label, on test"
        + (f"; {left_out:,} with a higher F1 are left out." if left_out > 0 else "."),
        columns=columns,
        rows=tuple(_group(group, of_float) for group, of_float in pairs),
    )


def _group(group: GroupMetrics, of_float: GroupMetrics) -> Row:
    figures = (group.precision, group.recall, group.f1, of_float.f1)
    return Row(
        cells=(
            Cell(text=group.name),
            Cell(text=f"{group.examples:,}", value=float(group.examples)),
            *(Cell(text="-" if value is None else f"{value:.4f}", value=value) for value in figures),
        )
    )


def _outputs(winner: TaskMetrics, baseline: TaskMetrics) -> Table:
    headings = [f"{name}{of}" for name in ("MAE", "RMSE", "R²") for of in ("", " of float")]
    return Table(
        caption="By output, on test.",
        columns=(Column(name="output"), *(Column(name=name, numeric=True) for name in headings)),
        rows=tuple(
            _output(metrics, of_float)
            for metrics, of_float in list(zip(winner.outputs, baseline.outputs, strict=True))[:_MOST_ROWS]
        ),
    )


def _output(metrics: OutputMetrics, of_float: OutputMetrics) -> Row:
    pairs = ((metrics.mae, of_float.mae), (metrics.rmse, of_float.rmse), (metrics.r2, of_float.r2))
    return Row(
        cells=(
            Cell(text=f"{metrics.name} in {metrics.unit}" if metrics.unit else metrics.name),
            *(Cell(text="-" if value is None else f"{value:.4g}", value=value) for pair in pairs for value in pair),
        )
    )
