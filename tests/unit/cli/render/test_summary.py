"""The end of a build as somebody at a terminal sees it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.candidates.choose import LOSSLESS, NAMED, OVER, OVERTURNS, WITHIN
from pipeline.cli.render.plain_console import plain_console
from pipeline.cli.render.summary import COLUMNS, LINES, draw_summary, print_result
from pipeline.commands.build_result import BuildResult
from pipeline.engine.runner import Outcome
from pipeline.tasks.coverage import coverage
from tests.build_results import result_of
from tests.builders import candidate, not_proven, quality

FLOAT = candidate(ms=1.0, batch_ms=30, size=6000_000)
SLIM = candidate("slim20", ms=0.1, batch_ms=5, size=400_000, judged=quality(lost=60, gained=20))


def shown(result: BuildResult, width: int = COLUMNS) -> list[str]:
    console = plain_console(width=width, file=io.StringIO())
    with console.capture() as text:
        draw_summary(console, result)
    return [line.rstrip() for line in text.get().splitlines()]


def test_the_winner_what_it_gains_and_what_it_loses() -> None:
    lines = shown(result_of(FLOAT, SLIM))
    assert lines[0] == "selected  slim20.onnx.fp32"
    assert lines[1] == "gains     10.0x float's speed at batch 1 (0.100 ms, float 1.000), 6.00x at 32"
    assert lines[2] == "          15.0x smaller: 400 kB, float 6,000 kB"
    assert lines[3] == "          400.0x the speed of eager torch at batch 1, 8.00x at 32"
    text = " ".join(" ".join(lines).split())
    assert "loses 0.40 points of accuracy on validation (0.9260, float 0.9300), at most 0.56 (95 % sure); 1" in text
    assert "1.00 allowed confirmed: 0.40 points of accuracy on test (0.9260, float 0.9300), at most 0.56 (" in text
    assert "next pipeline serve model_store/digits.mar" in text


def test_why_each_of_the_next_best_is_not_the_winner() -> None:
    reports = (
        FLOAT,
        SLIM,
        candidate("over", ms=0.05, judged=quality(lost=300)),
        candidate("unsure", ms=0.06, judged=quality(lost=110, gained=20)),
        candidate("turning", ms=0.07, judged=quality(lost=30, confident=50)),
        candidate("slow", ms=0.5),
    )
    rows = [line for line in shown(result_of(*reports), 160) if ".onnx.fp32  " in line]
    assert [" ".join(row.split()) for row in rows] == [
        "over.onnx.fp32 20.0x lost 3.00 points, at most 3.42 (99.00 % sure); 1.00 allowed",
        (
            "unsure.onnx.fp32 16.7x lost 0.90 points, at most 1.19 (99.00 % sure); 1.00 allowed; more examples "
            "might prove it"
        ),
        "turning.onnx.fp32 14.3x turned 0.50 % of all answers where float was sure; 0.10 % allowed",
    ]
    rows = [line for line in shown(result_of(FLOAT, SLIM, candidate("slow", ms=0.5)), 160) if ".onnx.fp32  " in line]
    assert rows[0].endswith(
        "2.00x  inside its limits, but it takes 5.00 times as long (5.00 to 5.00) as slim20.onnx.fp32"
    )


def test_a_faster_one_that_is_not_certainly_faster_and_one_that_the_recipe_names() -> None:
    nearly = candidate("slim20", precision="int8-static", ms=0.099, judged=quality(lost=60, gained=20))
    nearly = nearly.model_copy(update={"passes": (*nearly.passes, *nearly.passes)})
    lines = shown(result_of(FLOAT, SLIM, nearly))
    assert lines[0] == "selected  slim20.onnx.fp32"
    simpler = "no certain gain of 3% in latency over slim20.onnx.fp32, which is simpler"
    assert any(line.endswith(f"10.1x  {simpler}") for line in shown(result_of(FLOAT, SLIM, nearly), 160))
    named = result_of(FLOAT, SLIM, named=FLOAT.name)
    assert named.why == NAMED
    assert any(line.endswith("the recipe selects float.onnx.fp32 by name") for line in shown(named))


def test_what_competes_in_size_is_told_by_size() -> None:
    large = candidate("large", size=4000_000, ms=0.01)
    lines = shown(result_of(FLOAT, SLIM, large, goal="size"), 160)
    why = "inside its limits, but its file is 10.0 times as large as that of slim20.onnx.fp32"
    assert any(line.startswith("  large.onnx.fp32") and line.endswith(f"1.50x  {why}") for line in lines)


def test_float_as_the_winner_loses_nothing() -> None:
    lines = shown(result_of(FLOAT, candidate("slow", ms=3)))
    assert lines[1] == "gains     nothing over float: it is the float network"
    text = " ".join(lines)
    assert f"nothing: {LOSSLESS}; its answers are those of its source within 0.0e+00 of 1e+00 allowed" in text


def test_a_test_set_that_denies_the_budget_is_said() -> None:
    result = result_of(FLOAT, SLIM)
    denied = result.test_verdict.model_copy(update={"allowed": False, "text": OVER})
    assert any(
        "NOT CONFIRMED, over budget: 0.40 points" in line for line in shown(replace(result, test_verdict=denied))
    )


def test_stages_and_the_page_are_told_where_there_are_any(tmp_path: Path) -> None:
    result = result_of(FLOAT, SLIM)
    assert not any(line.startswith(("ran", "report")) for line in shown(result))
    ran = (Outcome(stage="data", action="ran", seconds=3.25), Outcome(stage="train", action="ran", seconds=200))
    idle = Outcome(stage="data", action="up to date")
    assert "ran      data 3.2 s, train 3:20 min" in shown(replace(result, stages=ran))
    assert "ran      nothing: everything is up to date" in shown(replace(result, stages=(idle,)))
    (tmp_path / "report.html").write_text("")
    lines = "\n".join(shown(replace(result, run_dir=tmp_path)))
    assert "report   " in lines
    assert "pareto.png" not in lines


@pytest.fixture
def worst() -> BuildResult:
    """As much to say as there can be."""
    lost = quality(lost=60, gained=20).model_copy(
        update={"worst_class_name": "x" * 60, "worst_class_drop": 0.5, "worst_class_examples": 9}
    )
    parity = SLIM.parity.model_copy(update={"empty": True, "batch_invariant": False})
    winner = SLIM.model_copy(update={"parity": parity, "quality": lost, "variant": "v" * 30})
    others = [candidate(f"{'w' * 30}{number}", ms=0.05, judged=quality(lost=110, gained=20)) for number in range(9)]
    result = result_of(FLOAT, winner, *others, unproven=(not_proven("thin.onnx.fp32"),))
    return replace(
        result,
        unlisted_operators=("aten::grad", "mine::operator_with_a_long_name", "mine::another"),
        coverage={"test": coverage([0, 0, 3, 900], ["calm", "alarm", "gale", "x"])},
        stages=tuple(Outcome(stage=name, action="ran", seconds=99) for name in ("data", "train", "candidates")),
        test_verdict=result.test_verdict.model_copy(update={"text": WITHIN}),
    )


def test_it_never_takes_more_than_its_lines(worst: BuildResult) -> None:
    lines = shown(worst)
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert "the proof of the winner is empty" in "\n".join(lines)
    assert "  8 more, 1 of them not proven: pipeline report runs/digits --tables" in lines


def test_a_narrow_terminal_gets_the_same_words(worst: BuildResult) -> None:
    lines = shown(result_of(FLOAT, SLIM), 60)
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()).count("at most 0.56 (95 % sure)") == 2
    assert max(map(len, shown(worst, 60))) <= 60


def test_a_pipe_gets_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(result_of(FLOAT, SLIM))
    out = capsys.readouterr().out
    assert "parity (limit)" in out
    assert "Selected slim20.onnx.fp32" in out
    assert OVERTURNS not in out
