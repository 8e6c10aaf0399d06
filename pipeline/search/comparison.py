"""What candidates compete in while a search goes on, and which of them is certainly better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pipeline._handlers.description import RuntimeSpec
from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import folder_of
from pipeline.candidates.report import CandidateReport
from pipeline.engine.kept import read_kept, write_kept
from pipeline.measure.gain import MINIMUM_GAIN, Ratio, speed_up
from pipeline.measure.latency import Subject, file_subject, measure_latency
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Measure

# So many times the rounds where the first ones decide nothing. They take seconds, and a network more takes minutes.
_AGAIN = 4


@dataclass(frozen=True, kw_only=True)
class SpeedComparison:
    """A goal, and how it is measured.

    Args:
        context: what the candidates are made from; their files lie in its scratch folder.
        goal: what they compete in.
        measure: how they are timed.
    """

    context: Context
    goal: Goal
    measure: Measure

    def gains(self, ones: Sequence[CandidateReport], others: Sequence[CandidateReport]) -> bool:
        """Whether the best of some candidates is certainly better than the best of others.

        An interrupted run's finding is kept: what is tried next depends on it.
        """
        if self.goal == "size":
            return _smaller([one.size for one in ones], [one.size for one in others])
        file, kept = self.context.scratch / "gains.kept", TypeAdapter(dict[str, bool])
        content = read_kept(file, self.context.reporter.log)
        found = {} if content is None else kept.validate_json(content)
        question = " ".join([*(one.identity for one in ones), "over", *(one.identity for one in others)])
        if question not in found:
            found[question] = self._faster(*([self._of(one) for one in group] for group in (ones, others)))
            write_kept(file, kept.dump_json(found))
        return found[question]

    def file_gains(self, one: Path, other: Path, runtime: RuntimeSpec) -> bool:
        """Whether the model file in one folder is certainly better than that in another, both run alike."""
        if self.goal == "size":
            return _smaller(*([(folder / runtime.file).stat().st_size] for folder in (one, other)))
        subjects = [self._subject(str(folder), folder, runtime) for folder in (one, other)]
        return self._faster(subjects[:1], subjects[1:])

    def _faster(self, ones: Sequence[Subject], others: Sequence[Subject]) -> bool:
        """Whether the fastest of some is certainly faster; a second look, where the first leaves it open, decides."""
        ratio = self._ratio(ones, others, self.measure.rounds)
        if not ratio.is_gain and ratio.high > 1 + MINIMUM_GAIN:
            ratio = self._ratio(ones, others, self.measure.rounds * _AGAIN)
        return ratio.is_gain

    def _ratio(self, ones: Sequence[Subject], others: Sequence[Subject], rounds: int) -> Ratio:
        """How many times faster the fastest of some is than the fastest of others."""
        measured = measure_latency(
            [*ones, *others], rounds=rounds, block_s=self.measure.block_ms / 1e3, reporter=self.context.reporter
        )
        fastest = [
            min((measured[one.name].timings[0] for one in group), key=lambda timing: timing.median_s).rounds_s
            for group in (others, ones)
        ]
        return speed_up(*fastest)

    def _of(self, one: CandidateReport) -> Subject:
        return self._subject(one.name, folder_of(one, self.context), one.runtime)

    def _subject(self, name: str, folder: Path, runtime: RuntimeSpec) -> Subject:
        return file_subject(
            name,
            folder,
            runtime,
            inputs=self.context.model.inputs,
            samples=self.context.samples,
            batch_sizes=(1 if self.goal == "latency" else max(self.measure.batch_sizes),),
        )


def _smaller(ones: Sequence[int], others: Sequence[int]) -> bool:
    return min(ones) * (1 + MINIMUM_GAIN) < min(others)
