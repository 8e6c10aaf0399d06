"""What becomes of candidates that a network does not allow."""

from __future__ import annotations

import pytest

from pipeline.candidates import spec
from pipeline.candidates.spec import CandidateSpec
from pipeline.errors import PipelineError, ProofError, RecipeError
from pipeline.passes import Bfloat16, Variant
from pipeline.recipe import Candidates
from pipeline.stages.candidates import make_asked
from tests.reporters import Lines

HALF = (Variant(name="float", passes=(Bfloat16(),)),)


def made(candidates: Candidates, faulty: str, error: PipelineError, said: Lines) -> list[str]:
    def make(one: CandidateSpec) -> None:
        if one.name == faulty:
            raise error

    return [one.name for one in make_asked(candidates, make=make, reporter=said)]


@pytest.mark.parametrize(
    ("faulty", "error"),
    [
        ("float.torchscript.bf16", RecipeError("does not run in it")),
        ("float.torchscript.bf16", ProofError("not the same")),
        ("float.onnx.int8-dynamic", RecipeError("no linear layer")),
    ],
)
def test_a_default_candidate_is_left_out_with_the_reason(
    faulty: str, error: PipelineError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "computes_bfloat16", lambda: True)
    said = Lines()
    names = made(Candidates(), faulty, error, said)
    assert len(names) == 9
    assert faulty not in names
    assert said.said == [f"candidates: {faulty} is left out: {error}"]


@pytest.mark.parametrize(
    ("candidates", "faulty", "error"),
    [
        (Candidates(), "float.onnx.fp32", RecipeError("cannot be exported")),
        (Candidates(), "float.onnx.int8-static", ProofError("not the same")),
        (Candidates(variants=HALF), "float.torchscript.bf16", RecipeError("does not run in it")),
        (Candidates(variants=HALF), "float.torchscript.bf16", ProofError("not the same")),
    ],
    ids=["lossless", "a fault", "asked for", "asked for, a fault"],
)
def test_what_somebody_counts_on_ends_the_build(candidates: Candidates, faulty: str, error: PipelineError) -> None:
    with pytest.raises(type(error), match=str(error)):
        made(candidates, faulty, error, Lines())
