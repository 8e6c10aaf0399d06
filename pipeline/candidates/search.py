"""The search for the smallest network that stays inside the budget: prune, fine-tune, look, and go on from there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, assert_never, get_args

from pydantic import TypeAdapter

from handlers.serving import RuntimeSpec
from pipeline.candidates.calibrate import best_static_int8
from pipeline.candidates.choose import Limits, Verdict, judge
from pipeline.candidates.evaluate import folder_of, is_evaluated
from pipeline.candidates.ground import Ground
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import SLIM, CandidateSpec
from pipeline.candidates.widths import Ladder, Sensitivity, plans, scan
from pipeline.errors import ProofError, RecipeError
from pipeline.manifest import write_atomically
from pipeline.measure.gain import MINIMUM_GAIN, speed_up
from pipeline.measure.latency import file_subject, measure_latency
from pipeline.passes import DynamicInt8, FineTune, Pass, Precision
from pipeline.recipe import Goal, Measure
from pipeline.stage import Reporter


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a search tries.

    Args:
        networks: at most so many are trained.
        epochs: of fine-tuning for a network as costly as float; a cheaper one gets more, see `epochs_for`.
        first: cost of the first network, as a share of the float network's.
        resolution: the search ends when the narrowest that fits and the widest that does not are so near in cost.
    """

    networks: int
    epochs: int
    first: float
    resolution: float


EFFORTS = {
    "quick": Effort(networks=4, epochs=2, first=0.15, resolution=1.6),
    "deep": Effort(networks=10, epochs=10, first=0.08, resolution=1.15),
}
# Of the float network's cost. Wider, there is nothing to gain; narrower, a call costs what any call costs.
_WIDEST, _NARROWEST = 0.7, 0.005
_STEP = 2.5
# Networks nearer in cost, as the logarithm of the ratio, are one and the same for all that matters.
_SAME_COST = 0.02
# Share of the labels' own loss in fine-tuning. Measured on fashion-cnn at 18 % of its cost, 5 epochs, drop on
# validation: 0.26 points without labels, 0.03 at 0.3, -0.14 at 0.6.
LABEL_WEIGHT = 0.6
# What each network is tried in.
_PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One network that was tried: its cost, as a share of the float network's, and whether a candidate of it fits."""

    cost: float
    fits: bool


class TimeIsUpError(Exception):
    """The search's time is over; what is finished counts."""


class Clock:
    """Counts the seconds of a search over interruptions, and ends it from within whatever reports progress.

    Args:
        file: where the seconds used so far are kept.
        limit_s: of all runs together.
        reporter: told what is reported here.
    """

    def __init__(self, file: Path, limit_s: float, reporter: Reporter) -> None:
        self._file = file
        self._limit_s = limit_s
        self._reporter = reporter
        self._before = float(file.read_text()) if file.exists() else 0.0
        self._started = time.monotonic()
        self._saved = self._before

    @property
    def used_s(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._started

    def check(self) -> None:
        """End the search if its time is over.

        Raises:
            TimeIsUpError: it is.
        """
        if self.used_s > self._saved + 1:
            self._saved = self.used_s
            write_atomically(self._file, f"{self._saved:.1f}\n".encode())
        if self.used_s > self._limit_s:
            raise TimeIsUpError

    def log(self, message: str) -> None:
        """One finished line."""
        self._reporter.log(message)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """How far a task is; the place where a search ends whose time is over."""
        self._reporter.progress(task, completed, total, detail)
        if completed < total:
            self.check()


def next_cost(trials: Sequence[Trial], effort: Effort) -> float | None:
    """The cost of the network to try next: bisection between what fits and what does not, in ratios.

    Returns:
        As a share of the float network's cost; None where nothing is left to try.
    """
    if len(trials) >= effort.networks:
        return None
    fitting = min((one.cost for one in trials if one.fits), default=None)
    failing = max((one.cost for one in trials if not one.fits and one.cost < (fitting or math.inf)), default=None)
    if fitting is not None and failing is not None:
        return math.sqrt(fitting * failing) if fitting / failing > effort.resolution else None
    if fitting is not None:
        narrower = max(fitting / _STEP, _NARROWEST)
        return narrower if fitting / narrower > effort.resolution else None
    if failing is not None:
        wider = min(failing * _STEP, _WIDEST)
        return wider if wider / failing > effort.resolution else None
    return effort.first


def epochs_for(cost: float, effort: Effort) -> int:
    """Epochs of fine-tuning: the narrower, the more there is to win back, and the less time an epoch takes.

    Args:
        cost: as a share of the float network's.
        effort: of the search.
    """
    return max(1, round(effort.epochs / math.sqrt(cost)))


def search(
    ground: Ground,
    *,
    effort: Literal["quick", "deep"],
    limits: Limits,
    compared: int,
    tuning: FineTune,
    baseline: CandidateSpec,
    evaluate: Callable[[CandidateSpec], CandidateReport],
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool],
    clock: Clock,
) -> list[CandidateSpec]:
    """Look for the narrowest network inside the budget.

    Which layers get how narrow follows from a scan of what each can lose; how narrow all of them together, from
    bisection: each network is pruned, fine-tuned, exported in float and in int8, proven and judged like any other
    candidate. The search ends when nothing is left to try, when a narrower network is not certainly better, or when its
    time is over.

    Args:
        ground: what candidates are made from.
        effort: how much is tried.
        limits: the budget.
        compared: lossy candidates besides those of the search, for the adjusted bound.
        tuning: how networks are fine-tuned; for how many epochs follows from their cost.
        baseline: the float network in ONNX; what the search makes is run as it is.
        evaluate: makes, proves and judges a candidate, or gives what an earlier run made of it.
        gains: whether the first candidates are better than the others in what is searched for.
        clock: of the search.

    Returns:
        The specifications that were evaluated, in the order of the search.
    """
    scale = EFFORTS[effort]
    compared += planned(effort)
    made: list[CandidateSpec] = []
    trials: list[Trial] = []

    def tried() -> str:
        """Try one network after the other; why it ended."""
        ladder = Ladder(plans=plans(_scanned(ground, clock)), ground=ground)
        best: list[CandidateReport] = []
        while ladder.plans and (wanted := next_cost(trials, scale)) is not None:
            step = ladder.nearest(wanted)
            cost = ladder.cost(step)
            if any(abs(math.log(cost / one.cost)) < _SAME_COST for one in trials):
                return "no other network lies between"
            passes = (ladder.plans[step].pruning, tuning.model_copy(update={"epochs": epochs_for(cost, scale)}))
            network = replace(baseline, variant=f"{SLIM}{cost * 100:.3g}", passes=passes)
            reports = []
            for spec, report in _evaluated(network, ground, evaluate, clock):
                made.append(spec)
                reports.append(report)
            verdicts = [judge(one.quality, limits, lossy=True, compared=compared) for one in reports]
            fitting = [one for one, verdict in zip(reports, verdicts, strict=True) if verdict.allowed]
            narrowest = all(cost < one.cost for one in trials if one.fits)
            trials.append(Trial(cost=cost, fits=bool(fitting)))
            clock.log(f"search: {_told(network.variant, cost, reports, verdicts)}")
            if fitting and narrowest:
                if best and not gains(fitting, best):
                    return "a narrower network is not certainly better any more"
                best = fitting
        return "nothing is left to try"

    try:
        why = tried()
    except TimeIsUpError:
        why = "its time is over"
    except RecipeError as error:
        why = f"this network cannot be made narrower: {error}"
    clock.log(f"search: ended after {len(trials)} networks and {clock.used_s / 60:.1f} minutes: {why}")
    return made


def planned(effort: Literal["quick", "deep"]) -> int:
    """How many candidates a search may make; what it makes follows from what it sees, so this is what counts."""
    return len(_PRECISIONS) * EFFORTS[effort].networks


def _scanned(ground: Ground, clock: Clock) -> list[Sensitivity]:
    """The scan, or what an interrupted run found in it."""
    file = ground.scratch / "scan.json"
    kept = TypeAdapter(list[Sensitivity])
    if not file.exists():
        write_atomically(file, kept.dump_json(scan(ground, clock)))
    return kept.validate_json(file.read_bytes())


def _evaluated(
    network: CandidateSpec, ground: Ground, evaluate: Callable[[CandidateSpec], CandidateReport], clock: Clock
) -> Iterator[tuple[CandidateSpec, CandidateReport]]:
    """A network in every number format, one after the other, until the time is over.

    Raises:
        ProofError: its export does not reproduce it. A quantized file of which that is true is left out: nobody asked
            for it.
    """
    for precision in _PRECISIONS:
        try:
            spec = _in_precision(network, precision, ground)
            if not is_evaluated(spec, ground):
                clock.check()
            report = evaluate(spec)
        except ProofError as error:
            if precision == "fp32":
                raise ProofError(f"{error}; search.effort=off builds without the networks of the search") from error
            clock.log(f"search: {network.variant} in {precision} is left out: {error}")
        except RecipeError as error:
            clock.log(f"search: {network.variant} in {precision} is left out: {error}")
            if precision == "fp32":
                return  # what cannot be made in float cannot be quantized
        else:
            yield spec, report


def _in_precision(network: CandidateSpec, precision: Precision, ground: Ground) -> CandidateSpec:
    """The same network in another number format, static int8 as suits it best."""
    match precision:
        case "fp32":
            return network
        case "int8-dynamic":
            int8: Pass = DynamicInt8()
        case "int8-static":
            int8 = best_static_int8(network, ground)
        case _:
            assert_never(precision)
    return replace(network, passes=(*network.passes, int8), precision=precision)


def _told(variant: str, cost: float, reports: Sequence[CandidateReport], verdicts: Sequence[Verdict]) -> str:
    rows = "; ".join(
        f"{report.precision} drop {report.quality.drop * 100:+.2f} points (bound {verdict.drop_upper * 100:+.2f}), "
        f"{verdict.text}"
        for report, verdict in zip(reports, verdicts, strict=True)
    )
    return f"{variant}, {cost:.1%} of the float network's cost: {rows}"


def gains(
    narrower: Sequence[CandidateReport],
    wider: Sequence[CandidateReport],
    ground: Ground,
    *,
    goal: Goal,
    measure: Measure,
) -> bool:
    """Whether the best of some candidates is really better than the best of others.

    Args:
        narrower: candidates made of one network.
        wider: those of another.
        ground: what they are made from; their files lie in its scratch folder.
        goal: what they compete in.
        measure: how they are timed.
    """
    if goal == "size":
        return min(one.size for one in narrower) * (1 + MINIMUM_GAIN) < min(one.size for one in wider)
    batch_size = 1 if goal == "latency" else max(measure.batch_sizes)
    measured = measure_latency(
        [
            file_subject(
                one.name,
                folder_of(one, ground),
                RuntimeSpec.from_json(one.runtime),
                inputs=ground.model.inputs,
                samples=ground.samples,
                batch_sizes=(batch_size,),
            )
            for one in (*narrower, *wider)
        ],
        rounds=measure.rounds,
        block_s=measure.block_ms / 1e3,
        reporter=ground.reporter,
    )
    rounds = [
        min((measured[one.name].timings[0] for one in ones), key=lambda timing: timing.median_s).rounds_s
        for ones in (wider, narrower)
    ]
    return speed_up(*rounds).is_gain
