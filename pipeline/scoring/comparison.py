"""What follows from the differences between two archives: how surely they are few, and may one replace the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.archive.mar import Archive
from pipeline.errors import ProofError
from pipeline.scoring.differences import Difference, Tally
from pipeline.scoring.shares import examples_needed, share_bound, share_interval
from pipeline.tasks.scores import score_figures

# Confidence of the bound that a limit is held against, and of the intervals.
CONFIDENCE = 0.95
Verdict = Literal["inside", "outside", "not provable", "no limit"]


@dataclass(frozen=True, kw_only=True)
class MetricChange:
    """How the mean score changes, on examples whose targets are known.

    Args:
        metric: name of the mean score, such as accuracy.
        old: mean score of the old archive.
        new: mean score of the new archive.
        drop: old - new.
        lower: lower end of the two-sided 95 % interval of the drop.
        upper: upper end of that interval.
    """

    metric: str
    old: float
    new: float
    drop: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class LargestDifference:
    """Where the outputs of two archives are farthest apart.

    Args:
        value: the difference, in the unit of the output.
        name: the file, or the number of the row.
        output: name of the output.
    """

    value: float
    name: str | int
    output: str


@dataclass(frozen=True, kw_only=True)
class ArchiveComparison:
    """How far the answers of two archives are apart.

    Args:
        old: path of the archive that is in use.
        new: path of the archive that might replace it.
        old_model: name, version and digest of the old archive's model.
        new_model: name, version and digest of the new archive's model.
        data: data that both answered.
        examples: number of examples that were compared.
        unanswered: number of examples that neither answered, such as damaged files; nothing is said of them.
        differing: number of examples with different decisions, or that one of the two does not answer.
        one_sided: number of those that one of the two does not answer.
        identical: number of examples whose outputs are the same bit for bit.
        share: `differing` as a share of `examples`.
        lower: lower end of the exact two-sided 95 % interval of that share (Clopper and Pearson).
        upper: upper end of that interval.
        bound: exact one-sided upper bound of that share, with 95 % confidence.
        limit: largest share that is allowed; None where none was given.
        verdict: whether the bound is inside the limit: `inside`; `outside`, where the share itself is not; or `not
            provable` with so many examples; or `no limit`.
        sentence: the verdict for a person.
        metric: change of the mean score; None where the data have no targets.
        largest: largest difference of an output; None where outputs of the two mean different things.
        differences: the first examples that differ, with both answers.
        notes: lines on how the data were read, and what was left out.
    """

    old: Path
    new: Path
    old_model: str
    new_model: str
    data: Path
    examples: int
    unanswered: int
    differing: int
    one_sided: int
    identical: int
    share: float
    lower: float
    upper: float
    bound: float
    limit: float | None
    verdict: Verdict
    sentence: str
    metric: MetricChange | None
    largest: LargestDifference | None
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def require(self) -> None:
        """Raise an error where a limit was given, and it is not shown that the new archive is inside.

        Raises:
            ProofError: more decisions may differ than are allowed.
        """
        if self.verdict in ("outside", "not provable"):
            raise ProofError(f"{self.new}: {self.sentence}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        differences = [difference.to_json() for difference in self.differences]
        paths = {"old": str(self.old), "new": str(self.new), "data": str(self.data)}
        return {**asdict(self), **paths, "differences": differences}


def conclude(
    old: Archive,
    new: Archive,
    data: Path,
    tally: Tally,
    shown: Sequence[Difference],
    *,
    limit: float | None,
    notes: Iterable[str],
) -> ArchiveComparison:
    """Draw the conclusion from all answers.

    Args:
        old: archive that is in use.
        new: archive that might replace it.
        data: data that both answered.
        tally: counts over all examples, at least one.
        shown: the first examples that differ.
        limit: largest share of decisions that may differ; None for no limit.
        notes: lines on how the data were read.
    """
    lower, upper = share_interval(tally.differing, tally.examples, confidence=CONFIDENCE)
    bound = share_bound(tally.differing, tally.examples, confidence=CONFIDENCE)
    verdict, sentence = _verdict(tally.differing, tally.examples, bound, limit)
    metric = _metric(tally)
    if metric is not None:
        name = metric.metric[:1].upper() + metric.metric[1:]
        sentence += (
            f" {name} {metric.old:.4f} before, {metric.new:.4f} after: a drop of "
            f"{metric.drop * 100:+.2f} points (95 % interval {metric.lower * 100:+.2f} to {metric.upper * 100:+.2f})."
        )
    largest = None
    if tally.largest is not None:
        value, example, output = tally.largest
        largest = LargestDifference(value=value, name=example, output=output)
    return ArchiveComparison(
        old=old.path,
        new=new.path,
        old_model=_model(old),
        new_model=_model(new),
        data=data,
        examples=tally.examples,
        unanswered=tally.unanswered,
        differing=tally.differing,
        one_sided=tally.one_sided,
        identical=tally.identical,
        share=tally.differing / tally.examples,
        lower=lower,
        upper=upper,
        bound=bound,
        limit=limit,
        verdict=verdict,
        sentence=sentence,
        metric=metric,
        largest=largest,
        differences=tuple(shown),
        notes=tuple(notes),
    )


def _model(archive: Archive) -> str:
    serving = archive.serving
    return f"{serving.name} {serving.version}, candidate {serving.candidate}, digest {archive.digest}"


def _verdict(differing: int, examples: int, bound: float, limit: float | None) -> tuple[Verdict, str]:
    """Answer in a sentence whether the new archive may replace the old one."""
    counted = f"{differing:,} of {examples:,} decisions differ"
    shown = f"with {CONFIDENCE * 100:g} % confidence at most {_percent(bound)} do"
    if limit is None:
        return "no limit", f"{counted}, {shown}; no limit was given (--max-differing)."
    if bound <= limit:
        return "inside", f"Yes, it may replace the old one: {counted}, {shown}, inside the limit of {_percent(limit)}."
    if differing / examples > limit:
        return "outside", f"No, it may not replace the old one: {counted}, more than the limit of {_percent(limit)}."
    needed = examples_needed(limit, confidence=CONFIDENCE)
    more = f"at least {needed:,} examples are needed" if needed > examples else "more examples may show it"
    return "not provable", f"Not shown: {counted}, {shown}, and the limit is {_percent(limit)}; {more}."


def _percent(share: float) -> str:
    """Write a share with two digits that say something, rounded up: a bound must not look smaller than it is."""
    if not 0 < share < 1:
        return f"{share * 100:.0f} %"
    step = 10 ** (math.floor(math.log10(share)) - 1)
    # What is a multiple of the step already is not moved by a rounding error.
    return f"{math.ceil(round(share / step, 6)) * step * 100:.4g} %"


def _metric(tally: Tally) -> MetricChange | None:
    if not tally.old_scores:
        return None
    figures = score_figures(np.concatenate(tally.new_scores), np.concatenate(tally.old_scores))
    return MetricChange(
        metric=tally.task.metric,
        old=figures["float_accuracy"],
        new=figures["accuracy"],
        drop=figures["drop"],
        lower=figures["interval_lower"],
        upper=figures["interval_upper"],
    )
