"""The search for the smallest network that stays inside the budget: prune, fine-tune, look, and go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, assert_never, get_args

from pydantic import TypeAdapter

from handlers.serving import RuntimeSpec
from pipeline.candidates.calibrate import best_static_int8
from pipeline.candidates.choose import Limits, Verdict, judge
from pipeline.candidates.clock import Clock, TimeIsUpError
from pipeline.candidates.descent import EFFORTS, Descent, epochs_for, variant_name
from pipeline.candidates.evaluate import folder_of, is_evaluated
from pipeline.candidates.ground import Ground
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import CandidateSpec
from pipeline.candidates.widths import Aim, Ladder, Plan, Sensitivity, plans, scan
from pipeline.errors import ProofError, RecipeError
from pipeline.manifest import write_atomically
from pipeline.measure.gain import MINIMUM_GAIN, speed_up
from pipeline.measure.host import channel_block
from pipeline.measure.latency import file_subject, measure_latency
from pipeline.passes import DynamicInt8, FineTune, Pass, Precision
from pipeline.recipe import Goal, Measure

# Share of the labels' own loss in fine-tuning. Measured on fashion-cnn at 18 % of its cost, 5 epochs, drop on
# validation: 0.26 points without labels, 0.03 at 0.3, -0.14 at 0.6.
LABEL_WEIGHT = 0.6
# Multiply-accumulates that take as long as reading a parameter, which a call does once however many examples it has.
# Measured on fashion-cnn's ladder at batch 1, one thread: 12 with AVX-512, 4 to 8 with AVX2.
_READ = 10
# Where speed does not count, channels in such steps.
_FINEST = 8
# What each network is tried in.
_PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def search(
    ground: Ground,
    *,
    effort: Literal["quick", "deep"],
    limits: Limits,
    compared: int,
    tuning: FineTune,
    baseline: CandidateSpec,
    aim: Aim,
    evaluate: Callable[[CandidateSpec], CandidateReport],
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool],
    clock: Clock,
) -> list[CandidateSpec]:
    """Look for the narrowest network inside the budget.

    Which layers get how narrow follows from a scan of what each can lose; how narrow all of them together, from
    bisection; then one layer after the other is tried narrower yet. Each network is pruned, fine-tuned, exported in
    float and in int8, proven and judged like any other candidate. The search ends when nothing is left to try, when
    narrowing all layers makes nothing certainly better, when as many networks are made as it may, or when its time is
    over.

    Args:
        ground: what candidates are made from.
        effort: how much is tried.
        limits: the budget.
        compared: lossy candidates besides those of the search, for the adjusted bound.
        tuning: how networks are fine-tuned; for how many epochs follows from their cost.
        baseline: the float network in ONNX; what the search makes is run as it is.
        aim: what networks are narrowed for.
        evaluate: makes, proves and judges a candidate, or gives what an earlier run made of it.
        gains: whether the first candidates are better than the others in what is searched for.
        clock: of the search.

    Returns:
        The specifications that were evaluated, in the order of the search.
    """
    scale = EFFORTS[effort]
    compared += planned(effort)
    made: list[CandidateSpec] = []

    def attempt(plan: Plan, cost: float) -> list[CandidateReport]:
        """Make a network in every number format, and judge it; those of its candidates that are inside the budget."""
        passes = (plan.pruning, tuning.model_copy(update={"epochs": epochs_for(cost, scale)}))
        network = replace(baseline, variant=variant_name(cost, {one.variant for one in made}), passes=passes)
        reports = []
        for spec, report in _evaluated(network, ground, evaluate, clock):
            made.append(spec)
            reports.append(report)
        verdicts = [judge(one.quality, limits, lossy=True, compared=compared) for one in reports]
        clock.log(f"search: {_told(network.variant, cost, reports, verdicts)}")
        return [one for one, verdict in zip(reports, verdicts, strict=True) if verdict.allowed]

    descent = Descent(effort=scale, attempt=attempt, gains=gains)

    def tried() -> str:
        """Try one network after the other; why it ended."""
        sensitivities, ladder = _ladder(ground, clock, aim)
        if not descent.bisect(ladder):
            return "a narrower network is not certainly better any more"
        descent.narrow_layers(ladder, sensitivities)
        return "it makes no more of them" if descent.spent else "nothing is left to try"

    try:
        why = tried()
    except TimeIsUpError:
        why = "its time is over"
    except RecipeError as error:
        why = f"this network cannot be made narrower: {error}"
    clock.log(f"search: ended after {len(descent.trials)} networks and {clock.used_s / 60:.1f} minutes: {why}")
    return made


def planned(effort: Literal["quick", "deep"]) -> int:
    """How many candidates a search may make; what it makes follows from what it sees, so this is what counts."""
    return len(_PRECISIONS) * EFFORTS[effort].networks


def aim_for(goal: Goal, measure: Measure, *, round_to: int | None) -> Aim:
    """What networks are narrowed for on this machine.

    Args:
        goal: what is searched for.
        measure: the larger its batches, the more examples share one reading of the parameters.
        round_to: what channel counts become multiples of; the machine's own preference if None.
    """
    fastest = (round_to,) if round_to else tuple(dict.fromkeys((channel_block(), _FINEST)))
    match goal:
        case "latency":
            return Aim(round_to=fastest, parameter_cost=_READ, mac_cost=1)
        case "throughput":
            return Aim(round_to=fastest, parameter_cost=_READ / max(measure.batch_sizes), mac_cost=1)
        case "size":
            return Aim(round_to=(round_to or _FINEST,), parameter_cost=1, mac_cost=0)
        case _:
            assert_never(goal)


def _ladder(ground: Ground, clock: Clock, aim: Aim) -> tuple[list[Sensitivity], Ladder]:
    """What single layers can lose, and the plans that follow, in the first steps in which any layer can be narrowed."""
    sensitivities: list[Sensitivity] = []
    made: list[Plan] = []
    for round_to in aim.round_to:
        sensitivities = _scanned(ground, clock, round_to)
        if made := plans(sensitivities, round_to=round_to):
            break
    return sensitivities, Ladder(plans=made, ground=ground, aim=aim)


def _scanned(ground: Ground, clock: Clock, round_to: int) -> list[Sensitivity]:
    """The scan, or what an interrupted run found in it."""
    file = ground.scratch / f"scan-{round_to}.json"
    kept = TypeAdapter(list[Sensitivity])
    if not file.exists():
        write_atomically(file, kept.dump_json(scan(ground, clock, round_to=round_to)))
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

    An interrupted run's finding is kept: what is tried next depends on it.

    Args:
        narrower: candidates made of one network.
        wider: those of another.
        ground: what they are made from; their files lie in its scratch folder.
        goal: what they compete in.
        measure: how they are timed.
    """
    if goal == "size":
        return min(one.size for one in narrower) * (1 + MINIMUM_GAIN) < min(one.size for one in wider)
    file, kept = ground.scratch / "gains.json", TypeAdapter(dict[str, bool])
    found = kept.validate_json(file.read_bytes()) if file.exists() else {}
    question = " ".join([*(one.identity for one in narrower), "over", *(one.identity for one in wider)])
    if question not in found:
        batch_size = 1 if goal == "latency" else max(measure.batch_sizes)
        found[question] = _faster(narrower, wider, ground, batch_size=batch_size, measure=measure)
        write_atomically(file, kept.dump_json(found))
    return found[question]


def _faster(
    narrower: Sequence[CandidateReport],
    wider: Sequence[CandidateReport],
    ground: Ground,
    *,
    batch_size: int,
    measure: Measure,
) -> bool:
    """Whether the fastest of some candidates is certainly faster than the fastest of others."""
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
