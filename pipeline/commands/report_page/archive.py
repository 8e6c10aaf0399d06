"""The report of an archive, from its evidence alone: it holds no timings, no examples and no course of a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pipeline.archive.evidence.document import CandidateEvidence, Evidence, read_evidence
from pipeline.archive.mar import Archive
from pipeline.archive.releases import made_elsewhere
from pipeline.candidates.choose import LOSSLESS, OVERTURNS, WITHIN
from pipeline.candidates.spec import FLOAT_NAMES
from pipeline.commands.report_page.digests import digests_of
from pipeline.commands.report_page.elsewhere import elsewhere_of
from pipeline.commands.report_page.proofs import shown_by
from pipeline.commands.report_page.rows import unproven_row
from pipeline.commands.report_page.words import file_size, percent, points
from pipeline.errors import FileError
from pipeline.measure.gain import MINIMUM_GAIN, times
from pipeline.pages.report.document import KeyFigure, Proofs, ReportDocument, SectionName, Verdict
from pipeline.pages.report.table import Cell, Column, Row, State, Table
from pipeline.pages.report.trade_off import Axis, Point, TradeOff

_ABSENT: Final[dict[SectionName, str]] = {
    "trade-off": "An archive holds no timings and not the number of candidates that were compared, so that only sizes "
    "are drawn, and nobody can tell from it who would win under another budget. Bounds are those of each candidate "
    "alone.",
    "disagreements": "An archive holds no examples that float and the winner answer differently; the report of the run "
    "directory shows them.",
    "calibration": "An archive holds no single answers; the report of the run directory draws them.",
    "confusion": "An archive holds no confusion matrix.",
    "training": "An archive holds nothing of the course of the training.",
    "graph": "The graph of float is not in an archive.",
}


def report_of_archive(archive: Archive) -> ReportDocument:
    """Gather what an archive's evidence says.

    Raises:
        FileError: it holds no evidence, or evidence that says something else.
    """
    evidence = read_evidence(str(archive.path), archive.evidence)
    try:
        budget = float(evidence.recipe["budget"]["max_accuracy_drop"])
        model = f"{evidence.model['name']} {evidence.model['version']}"
        return ReportDocument(
            name=model,
            source=f"From the evidence in {archive.path.name}, whose bytes were checked; nothing was measured anew.",
            verdict=_verdict(evidence, budget),
            trade_off=_trade_off(evidence, budget),
            candidates=_candidates(evidence),
            proofs=_proofs(evidence),
            elsewhere=elsewhere_of(archive),
            digests=digests_of(archive, evidence),
            absent=_ABSENT,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Whoever made the archive wrote the evidence: a figure may be missing, or be none.
        fault = f"{type(error).__name__}: {error}{made_elsewhere(archive.evidence or {})}"
        raise FileError(
            f"{archive.path}: evidence.json: expected what `pipeline build` writes, found {fault}"
        ) from error


def _verdict(evidence: Evidence, budget: float) -> Verdict:
    packed, test = evidence.packed, evidence.metrics.test
    sizes = {row.name: row.size for row in evidence.candidates}
    whole = next((sizes[name] for name in FLOAT_NAMES if name in sizes), packed.size)
    smaller = "" if whole <= packed.size else f", {times(whole / packed.size)} times smaller than the float network's"
    first = (
        f"The build chose {packed.name}, a file of {file_size(packed.size)}{smaller} ({evidence.why}); an archive does "
        "not say how fast it is, which depends on the machine."
    )
    compared = (
        f"its {test.metric} is {percent(test.accuracy)} and that of the float network {percent(test.float_accuracy)}"
        if evidence.labelled
        else f"it decides as the float network does in {percent(test.accuracy)}"
    )
    lost = (
        "it loses nothing, for its answers are those of the float network within rounding"
        if not packed.lossy
        else f"it lost {points(test.drop)} points, and with 95 % confidence no more than {points(test.drop_upper)}; "
        f"{points(budget)} are allowed"
    )
    unlabelled = "The data have no labels: every figure says how far decisions agree with float's."
    return Verdict(
        sentences=(first, f"On {test.examples:,} test examples that nothing had looked at before, {compared}: {lost}."),
        warnings=() if evidence.labelled else (unlabelled,),
        figures=(
            KeyFigure(name="Model file", value=file_size(packed.size), detail=f"float: {file_size(whole)}"),
            KeyFigure(
                name=f"{test.metric[:1].upper()}{test.metric[1:]} on test",
                value=percent(test.accuracy),
                detail=_of_float(evidence),
            ),
            KeyFigure(
                name="Lost on test, at most",
                value=f"{points(test.drop_upper)} points" if packed.lossy else "nothing",
                detail=f"measured {points(test.drop)}; allowed {points(budget)}" if packed.lossy else "",
            ),
        ),
    )


def _of_float(evidence: Evidence) -> str:
    return f"float: {percent(evidence.metrics.test.float_accuracy)}" if evidence.labelled else ""


def _trade_off(evidence: Evidence, budget: float) -> TradeOff:
    metric = evidence.metrics.validation.metric
    return TradeOff(
        drop_name=f"{metric} against float" if evidence.labelled else metric,
        budget=budget,
        minimum_gain=MINIMUM_GAIN,
        goal="size",
        axes=(
            Axis(
                goal="size",
                name="size",
                label="size of the model file, kB",
                unit="kB",
                costs={row.name: (row.size / 1e3,) * 3 for row in evidence.candidates},
            ),
        ),
        points=tuple(_point(row, evidence) for row in evidence.candidates),
    )


def _point(row: CandidateEvidence, evidence: Evidence) -> Point:
    drop, high = (row.quality.drop, row.quality.drop_upper) if row.lossy else (0.0, 0.0)
    low = _number(row.quality.model_extra, "interval_lower", drop) if row.lossy else 0.0
    return Point(name=row.name, drop=drop, low=low, high=high, state=_state(row, evidence))


def _state(row: CandidateEvidence, evidence: Evidence) -> State:
    if row.name == evidence.candidate:
        return "chosen"
    return "inside" if row.verdict in (LOSSLESS, WITHIN) else "overturns" if row.verdict == OVERTURNS else "outside"


def _candidates(evidence: Evidence) -> Table:
    metric = evidence.metrics.validation.metric
    return Table(
        caption="Drops are in points, on validation; bounds are those of each candidate alone.",
        columns=(
            Column(name="candidate"),
            Column(name="why it is not the winner"),
            Column(name=f"{metric} (validation)", numeric=True),
            Column(name="drop", numeric=True),
            Column(name="at most", numeric=True, meaning="bound of the drop, of this candidate alone"),
            Column(name="kB", numeric=True, meaning="size of the model file"),
        ),
        rows=(
            *sorted(_rows(evidence), key=lambda row: row.state != "chosen"),
            *(unproven_row(row, columns=6) for row in evidence.unproven),
        ),
    )


def _rows(evidence: Evidence) -> Iterator[Row]:
    for row in evidence.candidates:
        quality, chosen = row.quality, row.name == evidence.candidate
        drop, bound = (quality.drop, quality.drop_upper) if row.lossy else (0.0, 0.0)
        inside = row.verdict in (LOSSLESS, WITHIN)
        yield Row(
            name=row.name,
            state=_state(row, evidence),
            cells=(
                Cell(text=row.name),
                Cell(
                    text=f"It is: {evidence.why}."
                    if chosen
                    else f"{row.verdict[:1].upper()}{row.verdict[1:]}{', but another one won' if inside else ''}."
                ),
                Cell(text=f"{quality.accuracy:.4f}", value=quality.accuracy),
                Cell(text=points(drop), value=drop),
                Cell(text=points(bound), value=bound),
                Cell(text=f"{row.size / 1e3:,.0f}", value=float(row.size)),
            ),
        )


def _proofs(evidence: Evidence) -> Proofs:
    packed, rows = evidence.packed, evidence.candidates
    empty = [row.name for row in rows if (row.parity.model_extra or {}).get("empty") is True]
    return Proofs(
        sentences=(
            _same_model(packed),
            shown_by(lossy=packed.lossy, reference=packed.parity.reference),
            *(f"{step.kind}: {step.detail}." for step in packed.passes),
        ),
        empty=(
            *(
                f"{name}: one and the same answer to every example would be inside the limit of parity."
                for name in empty
            ),
            *(f"{line[:1].upper()}{line[1:]}." for line in evidence.data.gaps),
        ),
        table=Table(
            caption="Parity: how closely each file reproduces its own source.",
            columns=(
                Column(name="candidate"),
                Column(name="held against"),
                Column(name="largest difference", numeric=True),
                Column(name="limit", numeric=True),
            ),
            rows=tuple(
                Row(
                    name=row.name,
                    state=_state(row, evidence),
                    cells=(
                        Cell(text=row.name),
                        Cell(text=row.parity.reference),
                        Cell(
                            text="empty proof" if row.name in empty else f"{row.parity.max_absolute:.1e}",
                            value=row.parity.max_absolute,
                        ),
                        Cell(text=f"{row.parity.limit:.1e}", value=row.parity.limit),
                    ),
                )
                for row in rows
            ),
        ),
    )


def _same_model(packed: CandidateEvidence) -> str:
    parity = packed.parity
    return (
        f"Same answers: the file was held against {parity.reference}; the largest difference is "
        f"{parity.max_absolute:.2g}, and {parity.limit:.2g} is allowed where it came closest."
    )


def _number(values: dict[str, Any] | None, name: str, otherwise: float) -> float:
    """A figure that evidence may hold besides those that it must."""
    return float((values or {}).get(name, otherwise))
