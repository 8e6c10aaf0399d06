"""What a search narrows networks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.candidates.report import CandidateReport
from pipeline.measure import host
from pipeline.precision import Precision
from pipeline.recipe.limits import Budget, Measure
from pipeline.search.search import aim_for, beyond_proof, planned, precisions_for
from tests.builders import LIMITS, candidate, quality
from tests.reporters import Lines


def cost(parameters: int, macs: int, *, goal: str, batch_sizes: tuple[int, ...] = (1, 32)) -> float:
    aim = aim_for(goal, Measure(batch_sizes=batch_sizes), round_to=None)  # type: ignore[arg-type]
    return aim.parameter_cost * parameters + aim.mac_cost * macs


def test_parameters_count_more_the_fewer_examples_share_their_reading() -> None:
    assert cost(100, 5000, goal="latency") == 6000
    assert cost(100, 5000, goal="throughput", batch_sizes=(1, 10)) == 5100
    assert cost(100, 5000, goal="size") == 100


@pytest.mark.parametrize(("flags", "steps"), [("fpu avx2 avx512f", (16, 8)), ("fpu avx2", (8,)), ("", (8,))])
def test_for_speed_channels_go_in_blocks_of_this_processor(
    flags: str, steps: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"model name\t: A: CPU\nflags\t\t: {flags}\n")
    monkeypatch.setattr(host, "Path", lambda _: info)
    assert host.cpu_model() == "A: CPU"
    assert aim_for("latency", Measure(), round_to=None).round_to == steps
    assert aim_for("throughput", Measure(), round_to=None).round_to == steps
    assert aim_for("size", Measure(), round_to=None).round_to == (8,)
    assert aim_for("latency", Measure(), round_to=4).round_to == (4,)
    assert aim_for("size", Measure(), round_to=4).round_to == (4,)


def test_networks_are_tried_in_bfloat16_where_float_gains_by_it() -> None:
    whole, half = candidate("float", "onnx", "fp32"), candidate("float", "torchscript", "bf16")
    other = candidate("float", "torchscript", "int8-dynamic")
    onnx: tuple[Precision, ...] = ("fp32", "int8-dynamic", "int8-static")
    said = Lines()
    asked: list[tuple[list[CandidateReport], list[CandidateReport]]] = []

    def gains(ones: Sequence[CandidateReport], others: Sequence[CandidateReport]) -> bool:
        asked.append(([*ones], [*others]))
        return len(asked) == 1

    assert precisions_for([whole, other, half], gains=gains, reporter=said) == (*onnx, "bf16")
    assert asked == [([half], [whole])]
    assert precisions_for([whole, other, half], gains=gains, reporter=said) == onnx
    assert said.said == [
        "search: bf16 is not tried: float.torchscript.bf16 is not certainly better than float.onnx.fp32"
    ]
    assert precisions_for([whole, other], gains=gains, reporter=said) == onnx
    assert len(asked) == 2, "the recipe asked for no such candidate, or the processor has no use for it"
    assert planned("quick", onnx) * 4 == planned("quick", (*onnx, "bf16")) * 3


@pytest.mark.parametrize(("examples", "needed"), [(20, 741), (740, 741)])
def test_a_search_that_could_prove_nothing_by_floats_decisions_says_how_many_examples_could(
    examples: int, needed: int
) -> None:
    why = beyond_proof(quality(examples=examples, lost=1), LIMITS, compared=4)
    assert f"the smallest drop that {examples} validation examples can prove is" in why
    assert f"the budget is 1.00; give {needed} validation examples or more, or a larger budget" in why
    assert beyond_proof(quality(examples=needed, lost=1), LIMITS, compared=4) == ""
    assert beyond_proof(quality(), Budget(max_accuracy_drop=0.0), compared=4).endswith(
        "the budget is 0.00; give a larger budget.max_accuracy_drop"
    )
