"""The table says where ours is not ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.contender import BATCH_SIZES, Contender
from benchmarks.ours import FLOAT, OURS
from benchmarks.run import COPY, Decisions
from benchmarks.table import Comparison, draw
from pipeline.candidates.choose import judge
from pipeline.recipe.limits import Budget
from pipeline.tasks.classification.quality import judge_quality

WINNER = f"{OURS}slim.onnx.fp32"
EXAMPLES = 400


def contender(name: str) -> Contender:
    return Contender(name=name, engine="handlers", file=Path("model.onnx"), seconds=60.0, size=2000)


def decisions(wrong: int) -> dict[str, Decisions]:
    labels = np.zeros(EXAMPLES, dtype=np.int64)
    right = np.tile(np.array([1.0, 0.0], dtype=np.float32), (EXAMPLES, 1))
    logits = right.copy()
    logits[:wrong] = [0.0, 1.0]
    quality = judge_quality(candidate="x", logits=logits, float_logits=right, labels=labels, classes=("a", "b"))
    limits = Budget(max_accuracy_drop=0.05, max_confident_flips=0.5)
    decisions = Decisions(
        quality=quality,
        verdict=judge(quality, limits, lossy=True, compared=1),
        right=logits.argmax(axis=1) == labels,
    )
    return dict.fromkeys(("validation", "test"), decisions)


def rounds(milliseconds: float) -> dict[int, tuple[float, ...]]:
    return {size: tuple(milliseconds * size * scale / 1e3 for scale in (1.0, 1.001, 0.999)) for size in BATCH_SIZES}


def drawn() -> str:
    times = {"eager": 3.0, FLOAT: 1.0, COPY: 1.0, WINNER: 0.5, "slow": 0.9, "fast": 0.2, "as fast, worse": 0.5}
    wrong = {FLOAT: 0, WINNER: 2, "slow": 2, "fast": 3, "as fast, worse": 200}
    return draw(
        Comparison(
            contenders=[contender(name) for name in wrong],
            decisions={name: decisions(count) for name, count in wrong.items()},
            rounds={name: rounds(value) for name, value in times.items()},
            left_out={"olive": "no module of that name"},
            facts=("a machine",),
            max_drop=0.05,
        )
    )


def row(heading: str, name: str) -> list[str]:
    part = drawn().split(heading)[1]
    line = next(row for row in part.splitlines() if row.startswith((f"| {name} ", f"| **{name}** ")))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_who_is_not_beaten_is_named() -> None:
    summary = drawn().splitlines()[-2:]

    for size, line in zip(BATCH_SIZES, summary, strict=True):
        assert line == (
            f"- At batch {size}, ours is ahead of 2 of 4; against fast it is behind; "
            "against as fast, worse it is as fast, more accurate."
        )


def test_a_gain_is_signed_and_the_fastest_comes_first() -> None:
    latency = drawn().split("## Latency")[1].split("##")[0].splitlines()
    names = [line.split("|")[1].strip() for line in latency if line.startswith("| ") and "---" not in line]

    assert names[1:3] == ["fast", f"**{WINNER}**"]
    assert row("## Latency", WINNER)[3] == "2.00 (2.00-2.00)+"
    assert row("## Latency", FLOAT)[3] == "-"


def test_what_was_not_run_stands_there_with_its_reason() -> None:
    assert row("## Latency", "olive")[1] == "not run: no module of that name"
    assert row("## Accuracy", "olive")[1] == "not run: no module of that name"


def test_a_budget_that_is_missed_is_a_verdict_not_an_omission() -> None:
    assert row("## Accuracy", "as fast, worse")[3] == "over budget"
    assert row("## Accuracy", WINNER)[3] == "within budget"
