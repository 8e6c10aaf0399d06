"""What was proven of the candidates, and against what; proofs that say nothing are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.candidates.report import CandidateReport
from pipeline.checks.parity_report import SAME_FILE
from pipeline.commands.build_result import BuildResult, Row
from pipeline.commands.report_page.trade_off import state_of
from pipeline.commands.report_page.words import counted, percent, points
from pipeline.pages.report.document import Proofs
from pipeline.pages.report.table import Cell, Column, Table
from pipeline.pages.report.table import Row as TableRow
from pipeline.stages.smoke import SmokeReport


def proofs_of(result: BuildResult, *, smoke: SmokeReport | None) -> Proofs:
    """Gather the proofs of a build.

    Args:
        result: what the build ended with.
        smoke: the check through a server; None where its document cannot be read.
    """
    winner = next(row for row in result.candidates if row.selected)
    sentences = [*_parity(winner.report), *_quality(result, winner)]
    if smoke is not None:
        sentences.append(_served(smoke, labelled=result.labelled))
    empty = tuple(_empty(result))
    if not empty:
        sentences.append("Proofs that say nothing: none.")
    not_proven = ", ".join(row.name for row in result.unproven)
    sentences.append(f"Candidates that are not proven, and cannot be chosen: {not_proven or 'none'}.")
    return Proofs(sentences=tuple(sentences), empty=empty, table=_table(result))


def _parity(report: CandidateReport) -> Iterator[str]:
    parity = report.parity
    yield (
        f"Same answers: the file was held against {parity.reference} in {counted(parity.checks, 'comparison')} on real "
        f"and made-up inputs, alone and in batches. The difference that came closest to its limit is "
        f"{parity.nearest:.2g} of {parity.limit:.2g} allowed; decisions were the same in "
        f"{percent(parity.argmax_agreement)}."
    )
    yield shown_by(lossy=report.lossy, reference=parity.reference)
    yield f"The file was run {_listed(parity.runs)}."
    for run, reason in parity.not_run.items():
        yield f"It was not run {run}: {reason}."
    if parity.batch_invariant:
        yield "The answer to an example does not depend on what else is in its batch."
    else:
        allowed = report.runtime.allow_batch_variant
        served = "in batches all the same, because the recipe allows it" if allowed else "one by one"
        yield f"The answer to an example depends on the rest of its batch, so it is served {served}."


def shown_by(*, lossy: bool, reference: str) -> str:
    """Say what parity is a proof of, and what it is none of.

    Args:
        lossy: whether the candidate may answer otherwise than float at all.
        reference: name of what it was held against.
    """
    if not lossy:
        return "So the file answers as the float network does, within rounding."
    if reference == SAME_FILE:
        shown = "So the runtime's optimizations do not change its answers beyond that limit."
    else:
        shown = "So nothing was lost on the way from the compressed network to the file as it is served."
    return (
        f"{shown} How far it answers otherwise than the float network is another question, which the figures of "
        "quality answer."
    )


def _listed(runs: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(runs[:-1]), runs[-1]) if part)


def _quality(result: BuildResult, winner: Row) -> Iterator[str]:
    quality, verdict, test = winner.report.quality, winner.verdict, result.test
    against = "float, by the labels" if result.labelled else "float's decisions"
    if not winner.report.lossy:
        yield "It is a lossless export: what holds of the float network's answers holds of its own."
        return
    yield (
        f"Quality on validation: held against {against}, on {quality.examples:,} examples, it loses "
        f"{points(quality.drop)} points of {result.drop_name}, and with {percent(verdict.confidence)} confidence no "
        f"more than {points(verdict.adjusted_drop_upper)}."
    )
    decided = f"{quality.flips:,} decisions differ from float's"
    if quality.confident_flips is not None:
        decided += (
            f", {quality.confident_flips:,} of them where float was sure ({percent(quality.confident_share)} of all "
            f"examples; {percent(result.limits.max_confident_flips)} are allowed)"
        )
    worst = (
        f" The {result.words.group} that lost most is {quality.worst_class_name}: {points(quality.worst_class_drop)} "
        f"points of its own ({quality.worst_class_examples:,} examples)."
    )
    yield f"{decided}.{worst if quality.worst_class_examples else ''}"
    yield (
        f"Quality on test: {test.examples:,} examples, opened once, for the winner alone: a drop of "
        f"{points(test.drop)} points, and with {percent(test.confidence)} confidence no more than "
        f"{points(test.drop_upper)}; {result.test_verdict.text}."
    )


def _served(smoke: SmokeReport, *, labelled: bool) -> str:
    golden = sum(int(form["posted"]) for form in smoke.forms)
    largest = max((float(form["max_absolute"]) for form in smoke.forms), default=0.0)
    right = "right" if labelled else "float's"
    correct = "" if smoke.correct is None else f", {smoke.correct:g} of them {right}"
    return (
        f"Through a real server: {counted(golden, 'golden request')} and "
        f"{counted(smoke.posted, 'validation example')} ({smoke.content_type}){correct}; the answers "
        f"are those of the file here, with a largest difference of {largest:.2g}."
    )


def _empty(result: BuildResult) -> Iterator[str]:
    """Yield what looks like a proof and is none."""
    reports = [row.report for row in result.candidates]
    empty = [report.name for report in reports if report.parity.empty]
    if empty:
        yield (
            f"{', '.join(empty)}: one and the same answer to every example would be inside the limit of parity, so "
            "that it proves nothing."
        )
    left_out: dict[tuple[str, str], list[str]] = {}
    for report in reports:
        for kind, reason in report.parity.left_out.items():
            left_out.setdefault((kind, reason), []).append(report.name)
    for (kind, reason), names in left_out.items():
        yield f"Made-up inputs of kind {kind} prove nothing of {', '.join(names)}: {reason}."
    for split, coverage in result.coverage.items():
        for line in coverage.lines(split, by_float=not result.labelled):
            yield f"{line[:1].upper()}{line[1:]}."


def _table(result: BuildResult) -> Table:
    columns = (
        Column(name="candidate"),
        Column(name="held against"),
        Column(name="comparisons", numeric=True),
        Column(name="closest difference", numeric=True, meaning="the difference that came closest to its limit"),
        Column(name="its limit", numeric=True),
        Column(name="same decision", numeric=True, meaning="smallest share of equal decisions"),
        Column(name="run"),
    )
    rows = []
    for row, point in zip(result.candidates, result.points(), strict=True):
        parity = row.report.parity
        rows.append(
            TableRow(
                name=row.report.name,
                state=state_of(point),
                cells=(
                    Cell(text=row.report.name),
                    Cell(text=parity.reference),
                    Cell(text=f"{parity.checks}", value=float(parity.checks)),
                    Cell(text="empty proof" if parity.empty else f"{parity.nearest:.1e}", value=parity.nearest),
                    Cell(text=f"{parity.limit:.1e}", value=parity.limit),
                    Cell(text=percent(parity.argmax_agreement), value=parity.argmax_agreement),
                    Cell(text="; ".join(parity.runs)),
                ),
            )
        )
    return Table(caption="Parity: how closely each file reproduces its own source.", columns=columns, rows=tuple(rows))
