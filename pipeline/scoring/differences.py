"""What differs between the answers of two archives to the same examples, counted as the examples go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.activation import Activation
from pipeline._handlers.description import Serving
from pipeline._handlers.task_answers import ANSWERS, Cell
from pipeline.scoring.pool import Answers
from pipeline.tasks.task import Task

# So many of the most probable classes say why a decision changed.
_SHORT_TOP = 2


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An example that two archives decide differently.

    Args:
        name: the file, or the number of the row.
        target: what would be right, in words; None where nobody says.
        old: answer of the old archive, as its server gives it; None where it has none.
        new: answer of the new archive; None where it has none.
        old_cells: the old answer as a row of a table; None where there is none.
        new_cells: the new answer as a row of a table; None where there is none.
        old_words: the old answer in short, for a person; `no answer` without one.
        new_words: the new answer in short.
        reason: why one of them has no answer; empty where both have one.
        largest: largest difference of an output; None where the outputs cannot be compared.
    """

    name: str | int
    target: str | None
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    old_cells: tuple[Cell, ...] | None
    new_cells: tuple[Cell, ...] | None
    old_words: str
    new_words: str
    reason: str
    largest: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, without the rows of a table, which say the same as the answers."""
        return {name: value for name, value in asdict(self).items() if name not in ("old_cells", "new_cells")}


@dataclass(kw_only=True)
class Tally:
    """Counts so far.

    Args:
        task: task of both archives.
        old: description of the old archive.
        new: description of the new archive.
        examples: number of examples that at least one of them answered.
        unanswered: number of examples that neither answered, which say nothing.
        differing: number of examples with different decisions, or with one answer.
        one_sided: number of those with one answer.
        identical: number of examples whose outputs are the same bit for bit.
        largest: largest difference of an output, the example and the name of the output; None before the first one.
        old_scores: scores of the old archive's answers, for each part; empty without targets.
        new_scores: scores of the new archive's answers to the same examples.
        unreadable: name and reason of the first examples that neither answered.
    """

    task: Task
    old: Serving
    new: Serving
    examples: int = 0
    unanswered: int = 0
    differing: int = 0
    one_sided: int = 0
    identical: int = 0
    largest: tuple[float, str | int, str] | None = None
    old_scores: list[NDArray[np.float64]] = field(default_factory=list)
    new_scores: list[NDArray[np.float64]] = field(default_factory=list)
    unreadable: list[tuple[str | int, str]] = field(default_factory=list)

    @property
    def same_scale(self) -> bool:
        """Whether outputs of both mean the same, so that their difference says something."""
        return self.old.activation == self.new.activation

    def add(self, old: Answers, new: Answers, targets: NDArray[Any] | None) -> Iterator[Difference]:
        """Count the answers to one request, and yield the examples that are decided differently.

        Args:
            old: outputs of the old archive.
            new: outputs of the new archive, to the same request.
            targets: targets of the request's examples, (N, ...); None without.
        """
        names = old.request.names
        outputs, has_old = _outputs(old, self.old.columns)
        other, has_new = _outputs(new, self.new.columns)
        both, one = has_old & has_new, has_old ^ has_new
        neither = ~(has_old | has_new)
        reasons = {**dict(old.reasons), **dict(new.reasons)}
        self.unreadable += [(names[row], reasons[names[row]]) for row in np.flatnonzero(neither).tolist()]
        self.unanswered += int(neither.sum())
        self.examples += int((~neither).sum())
        differs = one.copy()
        if both.any():
            differs[both] |= self.task.disagreements(outputs[both], other[both], activation=self.old.activation)
            self._compare_outputs(names, outputs, other, both)
        if targets is not None:
            self.old_scores.append(self._scores(outputs, has_old, targets, self.old.activation)[~neither])
            self.new_scores.append(self._scores(other, has_new, targets, self.new.activation)[~neither])
        self.differing += int(differs.sum())
        self.one_sided += int(one.sum())
        for row in np.flatnonzero(differs).tolist():
            yield Difference(
                name=names[row],
                target=None if targets is None else target_in_words(targets[row], self.old),
                old=_answer(self.old, outputs[row]) if has_old[row] else None,
                new=_answer(self.new, other[row]) if has_new[row] else None,
                old_cells=_cells(self.old, outputs[row]) if has_old[row] else None,
                new_cells=_cells(self.new, other[row]) if has_new[row] else None,
                old_words=_in_short(self.old, outputs[row]) if has_old[row] else "no answer",
                new_words=_in_short(self.new, other[row]) if has_new[row] else "no answer",
                reason=reasons.get(names[row], ""),
                largest=float(np.abs(outputs[row] - other[row]).max()) if both[row] and self.same_scale else None,
            )

    def _compare_outputs(
        self,
        names: Sequence[str | int],
        outputs: NDArray[np.float32],
        other: NDArray[np.float32],
        both: NDArray[np.bool_],
    ) -> None:
        self.identical += int((outputs[both] == other[both]).all(axis=1).sum())
        if not self.same_scale:
            return
        differences = np.where(both[:, np.newaxis], np.abs(outputs.astype(np.float64) - other), -1.0)
        row, output = (int(place) for place in np.unravel_index(differences.argmax(), differences.shape))
        if self.largest is None or differences[row, output] > self.largest[0]:
            self.largest = float(differences[row, output]), names[row], _output_name(self.old, output)

    def _scores(
        self, outputs: NDArray[np.float32], answered: NDArray[np.bool_], targets: NDArray[Any], activation: Activation
    ) -> NDArray[np.float64]:
        """Score every example; one without an answer is wrong."""
        scores = np.zeros(len(answered))
        if answered.any():
            scores[answered] = self.task.scores(outputs[answered], targets[answered], activation=activation)
        return scores


def target_in_words(target: NDArray[Any], serving: Serving) -> str:
    """Write a target for a person: a class by its name, several labels by theirs, numbers as they are."""
    if target.ndim == 0:
        return serving.labels[int(target)] if target.dtype.kind in "iu" else str(target.item())
    if target.dtype == np.uint8 and target.shape == (len(serving.labels),):
        return ";".join(label for label, flag in zip(serving.labels, target.tolist(), strict=True) if flag)
    return " ".join(str(value) for value in target.ravel().tolist())


def _outputs(answers: Answers, width: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return outputs (N, K), zeros where there is no answer, and which examples have one (N,)."""
    reasons = {name for name, _ in answers.reasons}
    answered = np.array([name not in reasons for name in answers.request.names], dtype=np.bool_)
    outputs = np.zeros((len(answered), width), dtype=np.float32)
    outputs[answered] = np.frombuffer(answers.content, dtype="<f4").reshape(-1, width)
    return outputs, answered


def _output_name(serving: Serving, output: int) -> str:
    """Name one of the K values: it has a label of its own, or is a place in one of several outputs."""
    names = serving.labels if serving.columns == len(serving.labels) else ANSWERS[serving.task].columns(serving)
    return names[output]


def _answer(serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
    return ANSWERS[serving.task].tell(serving, outputs)


def _cells(serving: Serving, outputs: NDArray[np.float32]) -> tuple[Cell, ...]:
    return ANSWERS[serving.task].cells(serving, outputs)


def _in_short(serving: Serving, outputs: NDArray[np.float32]) -> str:
    short = replace(serving, top=min(serving.top, _SHORT_TOP))
    return ANSWERS[serving.task].words(_answer(short, outputs))
