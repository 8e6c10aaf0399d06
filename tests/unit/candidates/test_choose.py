"""Which candidate wins, and which never does."""

from __future__ import annotations

import pytest

from pipeline.candidates.choose import choose
from pipeline.candidates.report import (
    CandidateReport,
    ParityFigures,
    PassFigures,
    TimingFigures,
)
from pipeline.errors import ProofError, RecipeError
from pipeline.recipe import Format, Precision
from pipeline.verify.quality import QualityReport

JITTER = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.002, 0.998, 1.0)
PRUNED = PassFigures(kind="magnitude-pruning", detail="30 %", sparsity=0.3, weight_share=0.3, compute_share=1.0)


def timing(batch_size: int, milliseconds: float) -> TimingFigures:
    values = tuple(milliseconds * factor for factor in JITTER)
    return TimingFigures(batch_size=batch_size, median_ms=milliseconds, rounds_ms=values)


def candidate(
    variant: str = "float",
    form: Format = "onnx",
    precision: Precision = "fp32",
    *,
    ms: float = 1.0,
    batch_ms: float = 30.0,
    size: int = 1000,
    drop: float = 0.0,
    bound: float = 0.001,
    provable: float = 0.0005,
) -> CandidateReport:
    lossy = variant != "float" or precision != "fp32"
    return CandidateReport(
        name=f"{variant}.{form}.{precision}",
        identity=variant,
        variant=variant,
        format=form,
        precision=precision,
        lossy=lossy,
        how="export",
        passes=(PRUNED,) if lossy else (),
        runtime={},
        sha256="0" * 64,
        size=size,
        parity=ParityFigures(
            reference="torch", checks=1, max_absolute=0, limit=1, batch_invariant=True, batch_difference=0
        ),
        quality=QualityReport(
            examples=10_000,
            accuracy=0.93 - drop,
            float_accuracy=0.93,
            drop=drop,
            drop_lower=drop - 0.001,
            drop_upper=bound,
            confidence=0.95,
            flips=2,
            lost=1,
            gained=1,
            smallest_provable_drop=provable,
        ),
        timings=(timing(1, ms), timing(32, batch_ms)),
    )


def test_fastest_inside_the_budget_wins() -> None:
    chosen = choose([candidate(), candidate("slim", ms=0.5)], goal="latency", max_accuracy_drop=0.01)
    assert chosen.selected == "slim.onnx.fp32"
    assert chosen.verdicts["slim.onnx.fp32"].text == "within budget"


def test_over_budget_is_never_selected() -> None:
    reports = [candidate(), candidate("slim", ms=0.1, drop=0.02, bound=0.023)]
    chosen = choose(reports, goal="latency", max_accuracy_drop=0.01)
    assert chosen.selected == "float.onnx.fp32"
    assert chosen.verdicts["slim.onnx.fp32"].text == "over budget"


def test_too_few_examples_are_said_to_prove_nothing() -> None:
    reports = [candidate(), candidate("slim", ms=0.1, bound=0.02, provable=0.015)]
    chosen = choose(reports, goal="latency", max_accuracy_drop=0.01)
    assert chosen.selected == "float.onnx.fp32"
    assert chosen.verdicts["slim.onnx.fp32"].text == "not provable with 10000 examples"


def test_a_gain_under_three_percent_loses_to_the_simpler_candidate() -> None:
    chosen = choose([candidate(), candidate("slim", ms=0.98)], goal="latency", max_accuracy_drop=0.01)
    assert chosen.selected == "float.onnx.fp32"
    assert chosen.why == "slim.onnx.fp32 gains less than 3% latency over this simpler candidate"


def test_torchscript_must_earn_its_place_too() -> None:
    equal = choose([candidate(form="torchscript"), candidate()], goal="latency", max_accuracy_drop=0.01)
    assert equal.selected == "float.onnx.fp32"
    faster = choose([candidate(form="torchscript", ms=0.5), candidate()], goal="latency", max_accuracy_drop=0.01)
    assert faster.selected == "float.torchscript.fp32"


@pytest.mark.parametrize(
    ("goal", "winner"),
    [("latency", "quick.onnx.fp32"), ("throughput", "wide.onnx.fp32"), ("size", "small.onnx.fp32")],
)
def test_the_goal_decides(goal: str, winner: str) -> None:
    reports = [
        candidate(),
        candidate("quick", ms=0.5),
        candidate("wide", batch_ms=10),
        candidate("small", size=100),
    ]
    assert choose(reports, goal=goal, max_accuracy_drop=0.01).selected == winner  # type: ignore[arg-type]


def test_named_candidate_is_taken() -> None:
    chosen = choose(
        [candidate(), candidate("slow", ms=9)], goal="latency", max_accuracy_drop=0.01, named="slow.onnx.fp32"
    )
    assert (chosen.selected, chosen.why) == ("slow.onnx.fp32", "named by the recipe")


def test_named_candidate_over_budget_fails_the_build() -> None:
    reports = [candidate(), candidate("slim", drop=0.02, bound=0.023)]
    with pytest.raises(ProofError, match=r"slim.onnx.fp32: over budget: expected a drop provably under 0.0100, found"):
        choose(reports, goal="latency", max_accuracy_drop=0.01, named="slim.onnx.fp32")


def test_unknown_name_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"expected one of float.onnx.fp32, found fast"):
        choose([candidate()], goal="latency", max_accuracy_drop=0.01, named="fast")
