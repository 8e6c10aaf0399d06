"""Decides during a search which candidates are certainly better by its goal."""

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

# Factor on the number of rounds when the first comparison was undecided. More rounds take seconds, and one more network
# takes minutes.
_MORE_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class SpeedComparison:
    """Compares candidates by a goal.

    Args:
        context: what the candidates are made from; their files lie in its scratch folder.
        goal: what they compete in.
        measure: how they are timed.
    """

    context: Context
    goal: Goal
    measure: Measure

    def gains(self, candidates: Sequence[CandidateReport], rivals: Sequence[CandidateReport]) -> bool:
        """Return whether the best of some candidates is certainly better than the best of their rivals.

        The decision of an interrupted run is kept, because what is tried next depends on it.
        """
        if self.goal == "size":
            return _smaller([report.size for report in candidates], [report.size for report in rivals])
        file, decisions_format = self.context.scratch / "gains.kept", TypeAdapter(dict[str, bool])
        content = read_kept(file, self.context.reporter.log)
        decisions = {} if content is None else decisions_format.validate_json(content)
        question = " ".join(
            [*(report.identity for report in candidates), "over", *(report.identity for report in rivals)]
        )
        if question not in decisions:
            groups = ([self._report_subject(report) for report in group] for group in (candidates, rivals))
            decisions[question] = self._faster(*groups)
            write_kept(file, decisions_format.dump_json(decisions))
        return decisions[question]

    def file_gains(self, candidate: Path, rival: Path, runtime: RuntimeSpec) -> bool:
        """Return whether the model file in one folder is certainly better than that in another, both run alike."""
        if self.goal == "size":
            return _smaller(*([(folder / runtime.file).stat().st_size] for folder in (candidate, rival)))
        subjects = [self._subject(str(folder), folder, runtime) for folder in (candidate, rival)]
        return self._faster(subjects[:1], subjects[1:])

    def _faster(self, subjects: Sequence[Subject], rivals: Sequence[Subject]) -> bool:
        """Return whether the fastest subject is certainly faster than the fastest rival; look again if undecided."""
        ratio = self._ratio(subjects, rivals, self.measure.rounds)
        if not ratio.is_gain and ratio.high > 1 + MINIMUM_GAIN:
            ratio = self._ratio(subjects, rivals, self.measure.rounds * _MORE_ROUNDS)
        return ratio.is_gain

    def _ratio(self, subjects: Sequence[Subject], rivals: Sequence[Subject], rounds: int) -> Ratio:
        """Return how many times faster the fastest subject is than the fastest rival."""
        measured = measure_latency(
            [*subjects, *rivals], rounds=rounds, block_s=self.measure.block_ms / 1e3, reporter=self.context.reporter
        )
        fastest = [
            min((measured[subject.name].timings[0] for subject in group), key=lambda timing: timing.median_s).rounds_s
            for group in (rivals, subjects)
        ]
        return speed_up(*fastest)

    def _report_subject(self, report: CandidateReport) -> Subject:
        return self._subject(report.name, folder_of(report, self.context), report.runtime)

    def _subject(self, name: str, folder: Path, runtime: RuntimeSpec) -> Subject:
        return file_subject(
            name,
            folder,
            runtime,
            inputs=self.context.model.inputs,
            samples=self.context.samples,
            batch_sizes=(1 if self.goal == "latency" else max(self.measure.batch_sizes),),
        )


def _smaller(sizes: Sequence[int], rivals: Sequence[int]) -> bool:
    return min(sizes) * (1 + MINIMUM_GAIN) < min(rivals)
