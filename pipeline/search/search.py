"""Searches for the smallest network inside the budget: prune, fine-tune, evaluate, and go on from the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from pydantic import TypeAdapter

from pipeline.candidates.choose import Verdict, adjusted_confidence, judge
from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import is_evaluated
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import FALLBACK, FLOAT, CandidateSpec
from pipeline.candidates.unproven import Unproven, from_error
from pipeline.engine.deadline import Deadline, TimeIsUpError
from pipeline.engine.kept import read_kept, write_kept
from pipeline.engine.stage import Reporter, report_status
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
from pipeline.tasks.quality import QualityReport

# Share of the labels' own loss in fine-tuning. On fashion-cnn at 18 % of its cost, after 5 epochs, the drop on
# validation data was 0.26 points without labels, 0.03 at 0.3, and -0.14 at 0.6.
LABEL_WEIGHT = 0.6
# Number of multiply-accumulates that take as long as reading one parameter. A call reads each parameter once, however
# many examples it has. On fashion-cnn's ladder at batch 1, one thread, it was 12 with AVX-512, 4 to 8 with AVX2.
_READ = 10
# Number whose multiples channel counts become where speed does not count.
_FINEST = 8
_ALWAYS: tuple[Precision, ...] = tuple(name for name, facts in PRECISIONS.items() if facts.always_searched)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a search made, in the order in which it was made.

    Args:
        specs: specifications of the candidates that are proven.
        rows: rows of the others.
    """

    specs: list[CandidateSpec]
    rows: list[Unproven]

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks; each is named once for all its number formats."""
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

    A scan of what each layer can lose decides how narrow layers get relative to each other. Bisection decides how
    narrow all of them get together. Then one layer after the other is tried narrower still. Each network is pruned,
    fine-tuned, exported in float and in narrower number formats, proven and judged like any other candidate. The search
    ends when nothing is left to try, when narrowing all layers makes nothing certainly better, when it made as many
    networks as its effort allows, or when its time is over.

    Args:
        context: what candidates are made from.
        effort: how much is tried.
        limits: the budget.
        compared: number of lossy candidates besides those of the search, for the adjusted bound.
        tuning: how networks are fine-tuned. The number of epochs follows from a network's cost instead.
        baseline: the float network in ONNX. What the search makes for ONNX Runtime is run like it.
        precisions: number formats that each network is tried in, float first.
        aim: what networks are narrowed for.
        evaluate: function that makes, proves and judges a candidate, or returns what an earlier run made of it.
        comparison: decides which candidates are better by the search's goal.
        deadline: deadline of the search. It is the context's limit too, and is checked before each candidate.

    Returns:
        The candidates that the search made.
    """
    scale = EFFORTS[effort]
    compared += planned(effort, precisions)
    proven: list[CandidateSpec] = []
    rows: list[Unproven] = []
    costs: dict[float, list[CandidateReport]] = {}

    def attempt(plan: Plan, cost: float) -> list[CandidateReport]:
        """Make a network in every number format, judge it, and return its candidates inside the budget."""
        _show_time(deadline, context.reporter, f"network {len(strategy.trials) + 1} of at most {scale.networks}")
        passes = (plan.pruning, tuning.model_copy(update={"epochs": epochs_for(cost, scale)}))
        network = replace(
            baseline,
            variant=variant_name(cost, {spec.variant for spec in proven} | {row.variant for row in rows}),
            passes=passes,
        )
        reports = []
        for spec, result in _evaluate_formats(network, precisions, context, evaluate, comparison, deadline):
            if isinstance(result, Unproven):
                report_status(context.reporter, "step", f"search: {result.name}: {result.verdict}: {result.reason}")
                rows.append(result)
            else:
                proven.append(spec)
                reports.append(result)
        verdicts = [judge(report.quality, limits, lossy=True, compared=compared) for report in reports]
        report_status(context.reporter, "step", f"search: {_summary(network.variant, cost, reports, verdicts)}")
        fitting = [report for report, verdict in zip(reports, verdicts, strict=True) if verdict.allowed]
        costs.update({cost: fitting} if fitting else {})
        _show_best(costs, context.reporter)
        return fitting

    strategy = Strategy(effort=scale, attempt=attempt, gains=comparison.gains)

    def follow_strategy() -> str:
        """Try one network after the other, and return why the search ended."""
        sensitivities, ladder = _ladder(context, aim)
        if not strategy.bisect(ladder):
            return "a narrower network is not certainly better any more"
        strategy.narrow_layers(ladder, sensitivities)
        return "it makes no more of them" if strategy.spent else "nothing is left to try"

    _show_time(deadline, context.reporter, "what each layer can lose")
    try:
        why = follow_strategy()
    except TimeIsUpError:
        why = "its time is over"
    except UsageError as error:
        why = f"this network cannot be made narrower: {error}"
    context.reporter.progress("search", round(deadline.limit_s), round(deadline.limit_s))
    context.reporter.log(
        f"search: ended after {len(strategy.trials)} networks and {deadline.used_s / 60:.1f} minutes: {why}"
    )
    return Searched(specs=proven, rows=rows)


def _show_time(deadline: Deadline, reporter: Reporter, detail: str) -> None:
    """Show how much of its time a search has used, at most as if a second were left."""
    limit = round(deadline.limit_s)
    reporter.progress("search", min(round(deadline.used_s), limit - 1), limit, f"seconds at most, {detail}")


def _show_best(costs: Mapping[float, Sequence[CandidateReport]], reporter: Reporter) -> None:
    """Show the narrowest network inside the budget so far, with its smallest file."""
    if costs:
        best = min(costs[min(costs)], key=lambda report: report.size)
        drop = f"drop {best.quality.drop * 100:+.2f} points"
        report_status(reporter, "best", f"{best.name}, {drop}, {min(costs):.1%} of the float network's cost")


def planned(effort: SearchEffort, precisions: Sequence[Precision]) -> int:
    """Return how many candidates a search may make. This number counts, for what it makes follows from what it saw."""
    return len(precisions) * EFFORTS[effort].networks


def beyond_proof(quality: QualityReport, limits: Budget, *, compared: int) -> str:
    """Say that examples without labels are too few to prove any network of a search; empty where they are enough.

    By float's own decisions no candidate gains anything, so the bound of one that decides everything as float does is
    the lowest that there is.

    Args:
        quality: quality report on the float network's file.
        limits: the budget.
        compared: number of lossy candidates besides those of the search, for the adjusted bound.
    """
    confidence = adjusted_confidence(compared + planned("quick", _ALWAYS))
    least = quality.model_copy(update={"lost": 0, "gained": 0}).smallest_provable(confidence)
    budget = limits.max_accuracy_drop
    if least <= budget:
        return ""
    # The bound is a / (n + a) for n examples, or as good as that.
    needed = math.ceil(quality.examples * least / (1 - least) * (1 - budget) / budget) if budget and least < 1 else 0
    enough = f"give {needed:,} validation examples or more, or" if needed else "give"
    return (
        f"the smallest drop that {quality.examples:,} validation examples can prove is {least * 100:.2f} points, and "
        f"the budget is {budget * 100:.2f}; {enough} a larger budget.max_accuracy_drop"
    )


def precisions_for(
    reports: Sequence[CandidateReport],
    *,
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool],
    reporter: Reporter,
) -> tuple[Precision, ...]:
    """Return the number formats that the networks of a search are tried in, float first.

    Some are tried only where the float network gains by them.

    Args:
        reports: reports on the candidates that exist already. The float network in ONNX is among them.
        gains: function that says whether the first candidates are better than the others by the search's goal.
        reporter: receives the reason why a possible precision is not tried.
    """
    baseline = [report for report in reports if report.name == FALLBACK]
    worth_it: list[Precision] = []
    for report in reports:
        if report.variant != FLOAT or report.precision in _ALWAYS:
            continue
        if gains([report], baseline):
            worth_it.append(report.precision)
        else:
            why = f"{report.name} is not certainly better than {FALLBACK}"
            report_status(reporter, "step", f"search: {report.precision} is not tried: {why}")
    return (*_ALWAYS, *worth_it)


def aim_for(goal: Goal, measure: Measure, *, round_to: int | None) -> Aim:
    """Return what networks are narrowed for on this machine.

    Args:
        goal: goal of the search.
        measure: holds the batch sizes. In larger batches, more examples share one reading of the parameters.
        round_to: number whose multiples channel counts become; the machine's own preference if None.
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
    """Return what single layers can lose, and the plans that follow, for the first `round_to` that allows any."""
    sensitivities: list[Sensitivity] = []
    ladder: list[Plan] = []
    for round_to in aim.round_to:
        sensitivities = _scan_once(context, round_to)
        if ladder := plans(sensitivities, round_to=round_to):
            break
    return sensitivities, Ladder(plans=ladder, context=context, aim=aim)


def _scan_once(context: Context, round_to: int) -> list[Sensitivity]:
    """Return the result of the scan, or the one that an interrupted run kept."""
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
    """Evaluate a network in every number format, one after the other, until the time is over.

    A candidate that cannot be made or proven gives a row. If it is the one in float, no other format is tried.
    """
    for precision in precisions:
        last = converting_pass(precision)
        spec = _with_last_pass(network, precision, last)
        if isinstance(last, StaticInt8):
            report_status(context.reporter, "candidate", spec.name)
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
            return  # a network that is no candidate in float cannot be quantized


def _with_last_pass(network: CandidateSpec, precision: Precision, last: Pass | None) -> CandidateSpec:
    """Return the same network in another number format."""
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
