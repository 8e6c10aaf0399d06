"""What a build's closing lines say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pipeline.candidates.choose import WITHIN, judge
from pipeline.candidates.report import CandidateReport, EagerReport, EagerTiming
from pipeline.candidates.speed import speed_ups
from pipeline.candidates.unproven import Unproven
from pipeline.cli.render.console import flips_note, save_picture
from pipeline.cli.render.summary import print_result
from pipeline.cli.render.terminal import Terminal
from pipeline.commands.build_result import BuildResult, Row
from pipeline.data.dataset import SplitName
from pipeline.recipe.limits import Budget
from pipeline.recipe.names import SLIM_LEGEND
from pipeline.tasks.coverage import Coverage, coverage
from pipeline.tasks.quality import Figure
from pipeline.tasks.table import task_named
from tests.builders import candidate, not_proven, quality, timing

FEW = (
    "The limit of confident flips, 0.10% of 539 validation examples, allows not a single one, so hardly any narrower\n"
    "network can be selected: give 1,000 validation examples or more, or a budget.max_confident_flips of at least "
    "0.0019."
)


def built(
    *reports: CandidateReport,
    searched: tuple[str, ...] | None = None,
    rows: tuple[Unproven, ...] = (),
    coverage: Mapping[SplitName, Coverage] | None = None,
    verdicts: Mapping[str, str] | None = None,
    unlisted_operators: tuple[str, ...] = (),
) -> BuildResult:
    limits = Budget(max_accuracy_drop=0.03, max_confident_flips=0.001)
    eager = EagerReport(timings=tuple(EagerTiming(**timing(size, 2.0).model_dump(), layout="NCHW") for size in (1, 32)))
    verdict = judge(reports[0].quality, limits, lossy=False, compared=1)
    proven = tuple(
        Row(
            report=report,
            verdict=verdict.model_copy(update={"text": (verdicts or {}).get(report.name, verdict.text)}),
            speed=speed_ups(report, eager=eager, baseline=reports[0]),
            outcome="no benefit",
            selected=report is reports[0],
        )
        for report in reports
    )
    return BuildResult(
        recipe="digits",
        run_dir=Path("run"),
        candidates=proven,
        unproven=rows,
        eager=eager,
        selected=reports[0].name,
        why="best latency",
        limits=limits,
        searched=searched,
        test=reports[0].quality,
        test_verdict=verdict,
        coverage=coverage or {},
        words=task_named("classification").words,
        archive=Path("digits.mar"),
        archive_sha256="0" * 64,
        unlisted_operators=unlisted_operators,
        stages=(),
    )


def test_what_a_reader_of_the_archive_has_to_allow_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(built(candidate()))
    assert "--allow-operator" not in capsys.readouterr().out
    print_result(built(candidate(), unlisted_operators=("aten::grad", "mine::op")))
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "It calls operators that may do more than compute: verify, bench and serve want --allow-operator aten::grad "
        "--allow-operator mine::op"
    ) in out


def test_the_sheet_of_augmented_pictures_is_named_where_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = replace(built(candidate()), run_dir=tmp_path)
    print_result(result)
    assert "augmentation" not in capsys.readouterr().out
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "augmentation.png").write_bytes(b"")
    print_result(result)
    assert "Training pictures as augmentation leaves them:" in capsys.readouterr().out


def test_too_few_examples_for_one_confident_flip_are_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    few = quality(examples=539)
    print_result(built(candidate(judged=few), candidate("slim38.4", judged=few), searched=("slim38.4",)))
    assert capsys.readouterr().out.count(FEW) == 1


@pytest.mark.parametrize(
    ("share", "examples", "note"),
    [
        (0.001, 539, FEW),
        (0.001, 1000, ""),  # one of them
        (0.0, 539, ""),  # none is what was asked for
    ],
)
def test_the_note_on_confident_flips(share: float, examples: int, note: str) -> None:
    assert flips_note(Budget(max_accuracy_drop=0.03, max_confident_flips=share), examples) == note


def test_names_of_searched_networks_are_explained_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(built(candidate(), candidate("slim38.4"), searched=("slim38.4",)))
    assert capsys.readouterr().out.count(SLIM_LEGEND) == 1
    print_result(built(candidate(), candidate("slim50")))  # a name that a recipe chose
    print_result(built(candidate(), candidate("pruned30"), searched=()))
    assert "slimNN" not in capsys.readouterr().out


def test_what_is_not_proven_is_a_row_without_figures_and_its_reason_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = tuple(not_proven(name, "differs at head") for name in ("float.onnx.int8-static", "thin.onnx.int8-static"))
    result = built(candidate(), candidate("thin"), rows=rows)
    print_result(result)
    text = capsys.readouterr().out
    first = next(line for line in text.splitlines() if line.strip().startswith("float.onnx.int8-static"))
    assert first.split()[1:7] == ["-"] * 6
    assert "not proven: 24 of 96" in first
    assert text.count("float.onnx.int8-static, thin.onnx.int8-static: not proven: differs at head") == 1
    assert [row["name"] for row in result.to_json()["unproven"]] == [row.name for row in rows]
    assert {point.name for point in result.points()} == {"float.onnx.fp32", "thin.onnx.fp32"}


def test_ratios_are_over_the_float_file_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    result = built(candidate(form="torchscript"), candidate("thin", "torchscript"))
    print_result(result)
    assert "float: float.torchscript.fp32;" in capsys.readouterr().out
    assert result.to_json()["baseline"] == "float.torchscript.fp32"


def test_a_verdict_names_the_classes_that_its_split_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    held: dict[SplitName, Coverage] = {
        "train": coverage([9, 0], ["calm", "alarm"]),
        "validation": coverage([9, 0], ["calm", "alarm"]),
        "test": coverage([9, 3], ["calm", "alarm"]),
    }
    result = built(candidate(), candidate("thin"), coverage=held)
    print_result(result)
    text = capsys.readouterr().out
    (row,) = [line for line in text.splitlines() if line.strip().startswith("thin.onnx.fp32") and "²" in line]
    assert not [line for line in text.splitlines() if "float.onnx.fp32" in line and "²" in line]
    assert row.rstrip().endswith("²")
    assert "² Of the verdict: validation holds no example of class alarm: no figure there speaks of it" in text
    assert "Of this line: test holds 8 examples or fewer of class alarm (3): " in text
    assert [row["not_judged"] for row in result.to_json()["candidates"]] == [[], ["alarm"]]
    assert result.to_json()["coverage"]["validation"] == {"absent": ("alarm",), "scarce": {}, "group": "class"}


def test_a_class_that_pays_for_the_others_is_named_beside_a_verdict_within_the_budget(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = quality().model_copy(
        update={"worst_class_name": "alarm", "worst_class_drop": 1.0, "worst_class_examples": 9}
    )
    line = (
        "thin.onnx.fp32 is within budget, but class alarm loses +100.00 points of its own (9 examples) on validation."
    )
    for verdict, times in (("within budget", 1), ("over budget", 0)):
        reports = (candidate(), candidate("thin", judged=lost))
        print_result(built(*reports, verdicts={"thin.onnx.fp32": verdict}))
        assert capsys.readouterr().out.count(line) == times


def test_an_empty_proof_and_made_up_inputs_that_prove_nothing_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    report = candidate()
    left_out = {"zeros": "the network itself answers NaN or infinity to 32 of 32"}
    empty = report.model_copy(update={"parity": report.parity.model_copy(update={"empty": True, "left_out": left_out})})
    print_result(built(empty))
    out = capsys.readouterr().out
    assert "empty (1e+00)" in out
    assert "empty: one and the same answer to every example would be inside that limit; the proof says nothing." in out
    assert f"zeros: made-up inputs left out of {report.name}: {left_out['zeros']}" in out
    print_result(built(report))
    assert "empty" not in capsys.readouterr().out


def test_labels_are_neither_markup_nor_emoji_codes_nor_control_characters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    within = {"thin.onnx.fp32": WITHIN}
    label = "[/b] :boot: [red]x\x1b[2J\nArchive: forged"
    few = quality(lost=2, examples=900).model_copy(
        update={"worst_class_name": label, "worst_class_drop": 0.5, "worst_class_examples": 4}
    )
    result = built(candidate(judged=few), candidate("thin", judged=few), verdicts=within)
    print_result(result)
    text = capsys.readouterr().out
    assert r"class [/b] :boot: [red]x\x1b[2J\nArchive: forged loses" in text
    assert "\x1b" not in text
    assert "\nArchive: forged" not in text
    save_picture(result, tmp_path / "table.svg")
    picture = (tmp_path / "table.svg").read_text()
    assert "[/b]&#160;:boot:" in picture
    ET.fromstring(picture)  # noqa: S314 - made here
    assert "\x1b" not in picture


def test_what_stages_report_is_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.log("train: [bold]x[/bold] :boot:\x1b[2J\nerror: forged")
    assert capsys.readouterr().err == "train: [bold]x[/bold] :boot:\\x1b[2J\\nerror: forged\n"


def test_a_regression_is_told_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    figures = (
        Figure(name="MAE of price", value=12.5, float_value=12.25, unit="EUR"),
        Figure(name="R² of price", value=0.5, float_value=0.625),
    )
    judged = quality(lost=30).model_copy(
        update={
            "metric": "score within tolerance",
            "confident_flips": None,
            "near_tie_flips": None,
            "calibration_error": None,
            "float_calibration_error": None,
            "worst_class_name": "price 800 to 990",
            "worst_class_drop": 0.3,
            "figures": figures,
        }
    )
    result = built(candidate(judged=judged), candidate("slim", judged=judged), verdicts={"slim.onnx.fp32": WITHIN})
    print_result(replace(result, words=task_named("regression").words))
    out = " ".join(capsys.readouterr().out.split())
    assert "flips lost gained worst range MSE provable" in out
    assert "slim.onnx.fp32 30 30 0 price 800 to 990 +30.00" in out
    assert "lost: inside the tolerance in float, outside here" in out
    assert "without a limit MAE of price EUR R² of price" in out
    assert "float 12.25 0.625" in out
    assert "range price 800 to 990 loses +30.00 points of its own" in out
    assert "There: MAE of price 12.5 (float 12.25 EUR), R² of price 0.5 (float 0.625)." in out
    assert "points of score within tolerance lost" in out
    assert "confident" not in out


def test_without_labels_every_figure_is_of_agreement_with_float(capsys: pytest.CaptureFixture[str]) -> None:
    update = {"metric": "agreement with float", "calibration_error": None, "float_calibration_error": None}
    judged = quality(lost=70).model_copy(update=update)
    worst = judged.model_copy(update={"worst_class_drop": 0.3, "worst_class_examples": 50})
    held: dict[SplitName, Coverage] = {"validation": coverage([9, 0], ["calm", "alarm"])}
    result = built(
        candidate(judged=judged),
        candidate("thin", judged=worst),
        coverage=held,
        verdicts={"thin.onnx.fp32": "within budget"},
    )
    print_result(result)
    out = capsys.readouterr().out
    text = " ".join(out.split())
    assert "ccuracy" not in text
    assert "drop: points of agreement with float lost on validation" in text
    assert "The data have no labels. Every figure of quality says how far decisions agree with float's" in text
    assert "Test set, opened for this line alone: agreement with float 0.9230, drop +0.70 points" in text
    assert "class a, as float decides it, loses +30.00 points of its own (50 examples) on validation" in text
    assert "validation, as float decides it, holds no example of class alarm" in text
    assert "ECE:" not in text
    assert result.to_json()["judged_by"] == "agreement with float"
    print_result(built(candidate()))
    assert "no labels" not in capsys.readouterr().out
