"""Reports made by hand, for tests of the page that need no build, and what a page holds."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.candidates.choose import choose
from pipeline.candidates.contest import contestants
from pipeline.candidates.report import CandidateReport
from pipeline.measure.gain import MINIMUM_GAIN
from pipeline.pages.report.document import (
    Bin,
    Calibration,
    Confusion,
    Curve,
    Digest,
    Disagreements,
    Example,
    KeyFigure,
    Panel,
    Proofs,
    ReportDocument,
    Snippet,
    Training,
    Verdict,
)
from pipeline.pages.report.table import Cell, Column, Row, State, Table
from pipeline.pages.report.trade_off import Axis, Point, Rival, TradeOff
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.serving.encoding import encode_png
from tests.builders import LIMITS, candidate, quality

_PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 8, 6)
GOALS: tuple[Goal, ...] = ("latency", "throughput", "size")
REPORTS = (
    candidate(ms=1.0, size=9000),
    candidate("slim", ms=0.5, size=3000, judged=quality(lost=40)),
    candidate("thin", ms=0.3, size=1000, judged=quality(lost=70)),
    candidate("bold", ms=0.2, size=900, judged=quality(lost=300)),
    candidate("wild", ms=0.1, size=800, judged=quality(lost=20, gained=20, confident=900)),
)


def rivals(reports: Sequence[CandidateReport], goal: Goal, limits: Budget = LIMITS) -> tuple[Rival, ...]:
    """What the page is given to say who would win."""
    verdicts = choose(reports, goal=goal, limits=limits).verdicts
    found = contestants(reports, verdicts=verdicts, goal=goal, limits=limits)
    return tuple(Rival.model_validate(asdict(contestant)) for contestant in found)


def trade_off(reports: Sequence[CandidateReport] = REPORTS) -> TradeOff:
    """The picture of some candidates."""
    choice = choose(reports, goal="latency", limits=LIMITS)
    states: dict[str, State] = {
        report.name: "inside" if choice.verdicts[report.name].allowed else "outside" for report in reports
    }
    states[choice.selected] = "chosen"
    return TradeOff(
        drop_name="accuracy against float",
        budget=LIMITS.max_accuracy_drop,
        minimum_gain=MINIMUM_GAIN,
        goal="latency",
        axes=tuple(
            Axis(
                goal=goal,
                name=goal,
                label=goal,
                unit="kB" if goal == "size" else "ms",
                costs={report.name: _cost(report, goal) for report in reports},
                rivals=rivals(reports, goal),
            )
            for goal in GOALS
        ),
        points=tuple(
            Point(
                name=report.name,
                drop=report.quality.drop,
                low=report.quality.interval_lower if report.lossy else 0.0,
                high=choice.verdicts[report.name].adjusted_drop_upper if report.lossy else 0.0,
                state=states[report.name],
            )
            for report in reports
        ),
    )


def document(text: str = "class") -> ReportDocument:
    """A report with all of its parts.

    Args:
        text: what stands wherever a stranger's text may.
    """
    picture = base64.b64encode(encode_png(_PIXELS)).decode()
    drawn = trade_off()
    return ReportDocument(
        name=text,
        source=f"Made of {text}.",
        verdict=Verdict(
            sentences=(f"The build chose {text}.", "It lost nothing."),
            warnings=(f"But {text}.",),
            figures=(KeyFigure(name="Model file", value="3 kB", detail=f"float: {text}"),),
            notes=(f"Chosen by {text}.",),
        ),
        trade_off=drawn,
        candidates=Table(
            caption="Candidates",
            columns=(Column(name="candidate"), Column(name="why"), Column(name="ms", numeric=True, meaning="time")),
            sorted_by=2,
            notes=(f"Of {text}.",),
            terms={text: f"made of {text}"},
            rows=tuple(
                Row(
                    name=point.name,
                    state=point.state,
                    cells=(
                        Cell(text=point.name),
                        Cell(text=text, details=text),
                        Cell(text=f"{drawn.axes[0].costs[point.name][0]}", value=drawn.axes[0].costs[point.name][0]),
                    ),
                )
                for point in sorted(drawn.points, key=lambda point: drawn.axes[0].costs[point.name][0])
            ),
        ),
        proofs=Proofs(
            sentences=(f"The same as {text}.",),
            empty=(f"{text} proves nothing.",),
            table=Table(
                caption="Parity",
                columns=(Column(name="candidate"), Column(name="limit", numeric=True)),
                rows=(Row(name=text, cells=(Cell(text=text), Cell(text="1e-5", value=1e-5))),),
            ),
        ),
        disagreements=Disagreements(
            sentences=("This page holds validation data.",),
            groups={text: f"{text}: 2 points lost"},
            examples=(
                Example(
                    number=7,
                    group=text,
                    picture=f"data:image/png;base64,{picture}",
                    right=text,
                    of_float=text,
                    of_winner=text,
                    better="float",
                ),
                Example(number=1200, group=text, values={text: text}, of_float="1.5", of_winner="1.7"),
            ),
        ),
        calibration=Calibration(
            sentences=("Surer than right.",),
            bins={text: (Bin(examples=5, certainty=0.4, right=0.5), Bin(examples=9, certainty=0.9, right=0.8))},
        ),
        confusion=Confusion(
            sentences=("On test.",),
            names=(text, "dress"),
            matrices={f"{text}, on test": ((40, 2), (1, 39)), "float, on test": ((41, 1), (0, 40))},
        ),
        training=Training(
            sentences=("Trained.",),
            epochs=(1, 2),
            kept=1,
            panels=(Panel(label="loss", curves=(Curve(name=text, values=(0.5, None)),)),),
        ),
        elsewhere=(Snippet(name="Python", text=text, code=f"print({text!r})"),),
        digests=(Digest(name=text, value="0" * 64),),
        absent={"graph": f"No graph of {text}."},
    )


def shown(page: Path) -> dict[str, Any]:
    """What a page holds as data."""
    text = page.read_text(encoding="utf-8")
    [data] = re.findall(r'<script type="application/json" id="report">(.*?)</script>', text, re.DOTALL)
    content: dict[str, Any] = json.loads(data)
    return content


def _cost(report: CandidateReport, goal: Goal) -> tuple[float, float, float]:
    if goal == "size":
        return report.size / 1e3, report.size / 1e3, report.size / 1e3
    value = report.timing(1 if goal == "latency" else 32).median_ms
    return value, 0.99 * value, 1.01 * value
