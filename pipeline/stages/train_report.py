"""What the stage `train` reports of the trained network besides its curves: metrics, and its worst examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline._handlers.columns import table_rows
from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import write_document
from pipeline.engine.stage import Outputs
from pipeline.models.spec import ModelSpec
from pipeline.pages.confusion import draw_confusion
from pipeline.pages.sheet import Cell, draw_sheet, to_pixels
from pipeline.recipe.names import DeviceName
from pipeline.tasks.metrics import SplitMetrics, TaskMetrics, WrongAnswer
from pipeline.tasks.task import Task
from pipeline.training.answers import answers

if TYPE_CHECKING:
    from torch import nn

# Number of wrong answers that are told: a sheet of four rows of six pictures.
_WORST = 24
_COLUMNS = 6
_CELL_PIXELS = 190
# Name of the trained network among the networks of a document of metrics.
FLOAT = "float"


def write_report(
    outputs: Outputs, spec: ModelSpec, network: nn.Module, *, task: Task, validation: Split, device: DeviceName
) -> TaskMetrics:
    """Write `metrics.json`, and pictures of the confusion matrix and of the worst examples where there are such.

    Args:
        outputs: where the stage writes.
        spec: specification of the model.
        network: trained network; its weights are not changed.
        task: task of the network.
        validation: split that it answers, with labels.
        device: device to run on.

    Returns:
        The metrics of the network on the split.
    """
    values = answers(spec, network, validation, device=device)
    targets = validation.labels
    assert targets is not None  # nothing else is trained or judged here
    names, activation = spec.labels, spec.outputs_are
    metrics = task.metrics(values, targets, names=names, activation=activation)
    worst = [
        answer.model_copy(update={"row": _row(spec.inputs, validation, answer.example)})
        for answer in task.wrong_answers(values, targets, names=names, activation=activation, count=_WORST)
    ]
    document = SplitMetrics(
        split="validation", networks={FLOAT: metrics}, error_name=task.error_name, worst=tuple(worst)
    )
    write_document(outputs.path(Kind.VALIDATION_METRICS, "metrics.json"), document)
    if metrics.confusion:
        title = f"{spec.name} on validation: {metrics.metric} {metrics.score:.4f}, {metrics.examples:,} examples"
        picture = draw_confusion(metrics.confusion, names, title=title)
        outputs.path(Kind.CONFUSION_MATRIX, "confusion_matrix.png").write_bytes(picture)
    pictures = next((each for each in spec.inputs if len(each.shape) == 3), None)
    if worst and pictures is not None:
        sheet = _sheet(worst, validation, pictures, title=f"{spec.name} on validation: largest {task.error_name}")
        outputs.path(Kind.WORST_EXAMPLES, "worst_examples.png").write_bytes(sheet)
    return metrics


def _row(inputs: Sequence[InputSpec], split: Split, example: int) -> dict[str, float | str | None]:
    """The values of an example by column, where an input is a row of a table; else empty."""
    for spec in inputs:
        if spec.columns:
            (values,) = table_rows(split.inputs[spec.name][example : example + 1], spec.columns)
            return {column.name: value for column, value in zip(spec.columns, values, strict=True)}
    return {}


def _sheet(worst: Sequence[WrongAnswer], split: Split, spec: InputSpec, *, title: str) -> bytes:
    """The pictures of the examples, each with what is right and what was answered."""
    cells = [
        Cell(
            pixels=to_pixels(split.inputs[spec.name][answer.example], low=spec.low, high=spec.high),
            lines=(
                f"right: {answer.right}",
                f"answer: {answer.answered}",
                f"example {answer.example}, {answer.error:.2f}",
            ),
        )
        for answer in worst
    ]
    return draw_sheet(cells, title=title, columns=_COLUMNS, width=_CELL_PIXELS)
