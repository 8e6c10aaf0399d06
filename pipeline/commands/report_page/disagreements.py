"""Where float and the winner disagree: the examples themselves with both answers, the worst class first."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.columns import table_rows
from pipeline._handlers.description import Serving
from pipeline._handlers.task_answers import TaskName
from pipeline.commands.report_page.answer_words import answer_words, right_words
from pipeline.commands.report_page.answers import Compared
from pipeline.commands.report_page.words import points
from pipeline.pages.report.document import Disagreements, Example
from pipeline.pages.sheet import to_pixels
from pipeline.recipe.names import ReportedExamples

# So many examples are shown, of one class no more than the second number, and their pictures take no more bytes.
_MOST, _MOST_OF_A_CLASS, _MOST_BYTES = 36, 8, 400_000
# Length of the longer side of a picture, in pixels: no more than a person sees in its place.
_SIDE = 96
_MOST_COLUMNS = 40


def disagreements_of(compared: Compared, serving: Serving, *, shown: ReportedExamples) -> Disagreements:
    """Tell where two networks disagree.

    Args:
        compared: their answers.
        serving: description of the packed model, by which answers are told.
        shown: which examples the page may hold.
    """
    task, activation = compared.task, compared.info.activation
    differ = task.disagreements(compared.winner, compared.baseline, activation=activation)
    scores, of_float = (
        task.scores(outputs, compared.targets, activation=activation)
        for outputs in (compared.winner, compared.baseline)
    )
    drops = of_float - scores
    places = np.flatnonzero(differ)
    sentences = [_counts(compared, places, drops)]
    if shown == "none":
        sentences.append(
            "The recipe keeps examples out of this page: by `examples` in its section [report], or by a golden batch "
            "of other inputs."
        )
        return Disagreements(sentences=tuple(sentences))
    groups, order = _grouped(compared, places, scores, of_float)
    examples = _examples(compared, serving, order, drops)
    if examples:
        sentences.append(
            f"This page holds validation data: {_shown(compared, examples, of=len(places), grouped=any(groups))}. "
            'The recipe leaves them out with examples = "none" in its section [report].'
        )
    kept = {example.group for example in examples}
    return Disagreements(
        sentences=tuple(sentences),
        groups={name: words for name, words in groups.items() if name in kept},
        examples=tuple(examples),
        truth=_truth(compared.task.name),
    )


def _shown(compared: Compared, examples: Sequence[Example], *, of: int, grouped: bool) -> str:
    """Say how many of the examples are shown, and that they are no fair sample where these are not all."""
    if len(examples) == of:
        return "all of these examples"
    text = f"{len(examples)} of these examples{', the class that lost most first' if grouped else ''}"
    if not compared.labelled:
        return text
    better = Counter(example.better for example in examples)
    within = " within a class" if grouped else ""
    return (
        f"{text}, and{within} those first where the winner lost most, so that they are no fair sample: float's answer "
        f"is better on {better['float']} of them, the winner's on {better['winner']}, and on {better['']} neither"
    )


def _truth(task: TaskName) -> str:
    """What the right answer to an example is called."""
    match task:
        case "classification":
            return "true class"
        case "multi-label":
            return "true labels"
        case "regression" | "outputs":
            return "true values"
        case _:
            assert_never(task)


def _counts(compared: Compared, places: NDArray[np.int64], drops: NDArray[np.float64]) -> str:
    looked = len(compared.rows)
    of_all = "" if looked == compared.whole else f" of {compared.whole:,}"
    text = f"On {len(places):,} of {looked:,} validation examples that were looked at{of_all}, their answers differ"
    if not compared.labelled or not len(places):
        return f"{text}."
    worse, better = int((drops[places] > 0).sum()), int((drops[places] < 0).sum())
    return (
        f"{text}: float's is better on {worse:,}, the winner's on {better:,}, and on {len(places) - worse - better:,} "
        "neither."
    )


def _grouped(
    compared: Compared, places: NDArray[np.int64], scores: NDArray[np.float64], of_float: NDArray[np.float64]
) -> tuple[dict[str, str], list[tuple[str, int]]]:
    """Put examples that get different answers into classes, the class that lost most first, the worst example first.

    Returns:
        What stands over each class, by its name, and the examples as pairs of class and place.
    """
    drops = of_float - scores
    distance = _distances(compared)
    ordered = sorted(places.tolist(), key=lambda place: (-drops[place], -distance[place]))
    members_NG = _members(compared)
    if members_NG is None:
        return {"": ""}, [("", place) for place in ordered]
    counts = members_NG.sum(axis=0)
    lost = np.divide(drops @ members_NG, counts, out=np.full(len(counts), -np.inf), where=counts > 0)
    names = compared.info.labels
    own = {place: int(np.where(members_NG[place], lost, -np.inf).argmax()) for place in ordered}
    words, pairs = {}, []
    for group in sorted(set(own.values()), key=lambda group: (-lost[group], group)):
        in_group = [place for place in ordered if own[place] == group and members_NG[place, group]]
        if not in_group:
            continue
        rows = members_NG[:, group]
        words[names[group]] = (
            f"{names[group]}: {points(float(lost[group]))} points lost on its {int(counts[group]):,} examples "
            f"(float {float(of_float[rows].mean()):.4f}, winner {float(scores[rows].mean()):.4f})"
        )
        pairs += [(names[group], place) for place in in_group]
    rest = [place for place in ordered if not members_NG[place].any()]
    if rest:
        words[""] = "Without any label"
        pairs += [("", place) for place in rest]
    return words, pairs


def _members(compared: Compared) -> NDArray[np.bool_] | None:
    """Whether each example belongs to each class or label, (N, G); None where there are no groups."""
    targets: NDArray[Any] = compared.targets
    match compared.task.name:
        case "classification":
            return np.asarray(np.arange(len(compared.info.labels)) == targets[:, np.newaxis])
        case "multi-label":
            return np.asarray(targets == 1)
        case "regression" | "outputs":
            return None


def _distances(compared: Compared) -> NDArray[np.float64]:
    """How far the answers to each example are apart, in spreads of float's outputs, (N,)."""
    spread = float(compared.baseline.std()) or 1.0
    far: NDArray[np.float64] = np.abs(compared.winner.astype(np.float64) - compared.baseline).max(axis=1) / spread
    return far


def _examples(
    compared: Compared, serving: Serving, order: Sequence[tuple[str, int]], drops: NDArray[np.float64]
) -> list[Example]:
    examples: list[Example] = []
    held = 0
    for group, place in order:
        alone = len(compared.info.labels) == 1 or not group
        if not alone and sum(example.group == group for example in examples) >= _MOST_OF_A_CLASS:
            continue
        picture = _picture(compared, place)
        held += len(picture)
        if len(examples) >= _MOST or held > _MOST_BYTES:
            break
        of_float, of_winner = answer_words(serving, compared.baseline[place], compared.winner[place])
        judged = compared.labelled and drops[place] != 0
        examples.append(
            Example(
                number=int(compared.rows[place]),
                group=group,
                picture=picture,
                values={} if picture else _values(compared, place),
                right=right_words(serving, compared.targets[place]) if compared.labelled else "",
                of_float=of_float,
                of_winner=of_winner,
                better=("float" if drops[place] > 0 else "winner") if judged else "",
            )
        )
    return examples


def _picture(compared: Compared, place: int) -> str:
    """The first input that is a picture, as a data URI; empty where none is."""
    for spec in compared.info.inputs:
        values = compared.split.inputs[spec.name][place]
        if values.ndim == 3:
            picture = Image.fromarray(to_pixels(values, low=spec.low, high=spec.high))
            picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
            content = io.BytesIO()
            picture.save(content, format="PNG", optimize=True)
            return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    return ""


def _values(compared: Compared, place: int) -> dict[str, str]:
    """The first values of an example, by column where an input is a row of a table."""
    values: dict[str, str] = {}
    for spec in compared.info.inputs:
        array = compared.split.inputs[spec.name][place : place + 1]
        if spec.columns:
            (cells,) = table_rows(array, spec.columns)
            for column, cell in zip(spec.columns, cells, strict=True):
                values[column.name] = (
                    "missing" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)
                )
        else:
            for index, value in enumerate(np.asarray(array).ravel()[:_MOST_COLUMNS].tolist()):
                values[f"{spec.name}[{index}]"] = f"{value:.6g}"
    return dict(list(values.items())[:_MOST_COLUMNS])
