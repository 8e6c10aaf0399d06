"""The search for the smallest network that stays inside the budget: prune, fine-tune, look, and go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from pydantic import TypeAdapter

from pipeline.candidates.choose import Verdict, judge
from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import is_evaluated
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import FALLBACK, FLOAT, CandidateSpec
from pipeline.candidates.unproven import Unproven, from_error
from pipeline.engine.deadline import Deadline, TimeIsUpError
from pipeline.engine.kept import read_kept, write_kept
from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError
from pipeline.measure.host import channel_block
from pipeline.precision import PRECISIONS, Precision
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget, Measure
from pipeline.recipe.names import SearchEffort
from pipeline.recipe.passes import FineTune, Pass, StaticInt8, converting_pass
from pipeline.search.calibration import best_static_int8
from pipeline.search.comparison import SpeedComparison
from pipeline.search.strategy import EFFORTS, Strategy, epochs_for, variant_name
from pipeline.search.widths import Aim, Ladder, Plan, Sensitivity, plans, scan

# Share of the labels' own loss in fine-tuning. Measured on fashion-cnn at 18 % of its cost, 5 epochs, drop on
# validation: 0.26 points without labels, 0.03 at 0.3, -0.14 at 0.6.
LABEL_WEIGHT = 0.6
# Multiply-accumulates that take as long as reading a parameter, which a call does once however many examples it has.
# Measured on fashion-cnn's ladder at batch 1, one thread: 12 with AVX-512, 4 to 8 with AVX2.
_READ = 10
# Where speed does not count, channels in such steps.
_FINEST = 8
_ALWAYS: tuple[Precision, ...] = tuple(name for name, facts in PRECISIONS.items() if facts.always_searched)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a search made, in its order.

    Args:
        specs: of the candidates that are proven.
        rows: of the others.
    """

    specs: list[CandidateSpec]
    rows: list[Unproven]

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks, in every number format of each."""
        return tuple(dict.fromkeys([*(spec.variant for spec in self.specs), *(row.variant for row in self.rows)]))


def search(
    context: Context,
    *,
    effort: SearchEffort,
    limits: Budget,
    compared: int,
    tuning: FineTune,
    baseline: CandidateSpec,
    precisions: Sequence[Precision],
    aim: Aim,
    evaluate: Callable[[CandidateSpec], CandidateReport | Unproven],
    comparison: SpeedComparison,
    deadline: Deadline,
) -> Searched:
    """Look for the narrowest network inside the budget.

    Which layers get how narrow follows from a scan of what each can lose; how narrow all of them together, from
    bisection; then one layer after the other is tried narrower yet. Each network is pruned, fine-tuned, exported in
    float and in narrower number formats, proven and judged like any other candidate. The search ends when nothing is
    left to try, when narrowing all layers makes nothing certainly better, when as many networks are made as it may, or
    when its time is over.

    Args:
        context: what candidates are made from.
        effort: how much is tried.
        limits: the budget.
        compared: lossy candidates besides those of the search, for the adjusted bound.
        tuning: how networks are fine-tuned; for how many epochs follows from their cost.
        baseline: the float network in ONNX; what the search makes for ONNX Runtime is run as it is.
        precisions: what each network is tried in, float first.
        aim: what networks are narrowed for.
        evaluate: makes, proves and judges a candidate, or gives what an earlier run made of it.
        comparison: says which candidates are better in what is searched for.
        deadline: of the search; the context's limit, and asked before each candidate.

    Returns:
        What was made.
    """
    scale = EFFORTS[effort]
    compared += planned(effort, precisions)
    proven: list[CandidateSpec] = []
    rows: list[Unproven] = []

    def attempt(plan: Plan, cost: float) -> list[CandidateReport]:
        """Make a network in every number format, and judge it; those of its candidates that are inside the budget."""
        passes = (plan.pruning, tuning.model_copy(update={"epochs": epochs_for(cost, scale)}))
        network = replace(
            baseline,
            variant=variant_name(cost, {spec.variant for spec in proven} | {row.variant for row in rows}),
            passes=passes,
        )
        reports = []
        for spec, result in _evaluate_formats(network, precisions, context, evaluate, comparison, deadline):
            if isinstance(result, Unproven):
                context.reporter.log(f"search: {result.name}: {result.verdict}: {result.reason}")
                rows.append(result)
            else:
                proven.append(spec)
                reports.append(result)
        verdicts = [judge(report.quality, limits, lossy=True, compared=compared) for report in reports]
        context.reporter.log(f"search: {_summary(network.variant, cost, reports, verdicts)}")
        return [report for report, verdict in zip(reports, verdicts, strict=True) if verdict.allowed]

    strategy = Strategy(effort=scale, attempt=attempt, gains=comparison.gains)

    def follow_strategy() -> str:
        """Try one network after the other; why it ended."""
        sensitivities, ladder = _ladder(context, aim)
        if not strategy.bisect(ladder):
            return "a narrower network is not certainly better any more"
        strategy.narrow_layers(ladder, sensitivities)
        return "it makes no more of them" if strategy.spent else "nothing is left to try"

    try:
        why = follow_strategy()
    except TimeIsUpError:
        why = "its time is over"
    except UsageError as error:
        why = f"this network cannot be made narrower: {error}"
    context.reporter.log(
        f"search: ended after {len(strategy.trials)} networks and {deadline.used_s / 60:.1f} minutes: {why}"
    )
    return Searched(specs=proven, rows=rows)


def planned(effort: SearchEffort, precisions: Sequence[Precision]) -> int:
    """How many candidates a search may make; what it makes follows from what it sees, so this is what counts."""
    return len(precisions) * EFFORTS[effort].networks


def precisions_for(
    reports: Sequence[CandidateReport],
    *,
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool],
    reporter: Reporter,
) -> tuple[Precision, ...]:
    """What the networks of a search are tried in, float first; some only where float gains by it.

    Args:
        reports: the candidates that are there already, the float network in ONNX among them.
        gains: whether the first candidates are better than the others in what is searched for.
        reporter: told why a precision is not tried, where it could be.
    """
    baseline = [report for report in reports if report.name == FALLBACK]
    worth_it: list[Precision] = []
    for report in reports:
        if report.variant != FLOAT or report.precision in _ALWAYS:
            continue
        if gains([report], baseline):
            worth_it.append(report.precision)
        else:
            reporter.log(
                f"search: {report.precision} is not tried: {report.name} is not certainly better than {FALLBACK}"
            )
    return (*_ALWAYS, *worth_it)


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


def _ladder(context: Context, aim: Aim) -> tuple[list[Sensitivity], Ladder]:
    """What single layers can lose, and the plans that follow, in the first steps in which any layer can be narrowed."""
    sensitivities: list[Sensitivity] = []
    ladder: list[Plan] = []
    for round_to in aim.round_to:
        sensitivities = _scan_once(context, round_to)
        if ladder := plans(sensitivities, round_to=round_to):
            break
    return sensitivities, Ladder(plans=ladder, context=context, aim=aim)


def _scan_once(context: Context, round_to: int) -> list[Sensitivity]:
    """The scan, or what an interrupted run found in it."""
    file = context.scratch / f"scan-{round_to}.kept"
    document = TypeAdapter(list[Sensitivity])
    content = read_kept(file, context.reporter.log)
    if content is None:
        content = document.dump_json(scan(context, round_to=round_to))
        write_kept(file, content)
    return document.validate_json(content)


def _evaluate_formats(
    network: CandidateSpec,
    precisions: Sequence[Precision],
    context: Context,
    evaluate: Callable[[CandidateSpec], CandidateReport | Unproven],
    comparison: SpeedComparison,
    deadline: Deadline,
) -> Iterator[tuple[CandidateSpec, CandidateReport | Unproven]]:
    """A network in every number format, one after the other, until the time is over.

    What cannot be made or proven is a row. In float, it ends what is tried of this network.
    """
    for precision in precisions:
        last = converting_pass(precision)
        spec = _with_last_pass(network, precision, last)
        if isinstance(last, StaticInt8):
            try:
                best = best_static_int8(network, context, comparison)
            except TimeIsUpError:
                raise
            except Exception as error:  # noqa: BLE001 - quantizers raise all kinds
                yield spec, from_error(spec, error, context.scratch)
                continue
            spec = _with_last_pass(network, precision, best)
        if not is_evaluated(spec, context):
            deadline.check()
        result = evaluate(spec)
        yield spec, result
        if last is None and isinstance(result, Unproven):
            return  # what is no candidate in float cannot be quantized


def _with_last_pass(network: CandidateSpec, precision: Precision, last: Pass | None) -> CandidateSpec:
    """The same network in another number format."""
    if last is None:
        return network
    facts = PRECISIONS[precision]
    return replace(
        network,
        passes=(*network.passes, last),
        format=network.format if network.format in facts.formats else facts.formats[0],
        precision=precision,
        optimization=facts.optimization,
    )


def _summary(variant: str, cost: float, reports: Sequence[CandidateReport], verdicts: Sequence[Verdict]) -> str:
    rows = "; ".join(
        f"{report.precision} drop {report.quality.drop * 100:+.2f} points "
        f"(bound {verdict.adjusted_drop_upper * 100:+.2f}), {verdict.text}"
        for report, verdict in zip(reports, verdicts, strict=True)
    )
    return f"{variant}, {cost:.1%} of the float network's cost: {rows or 'nothing of it is proven'}"
