"""Which candidates a recipe asks for, and when two of them are the same."""

from __future__ import annotations

import pytest

from pipeline.candidates.spec import FLOAT_NAMES, candidate_specs
from pipeline.commands.preflight import resolve
from pipeline.errors import UsageError
from pipeline.measure import host
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.passes import Bfloat16, DynamicInt8, StaticInt8, Variant


def test_how_a_candidate_is_served_is_part_of_its_identity() -> None:
    usual = candidate_specs(Candidates(formats=("torchscript",)))
    allowed = candidate_specs(Candidates(formats=("torchscript",), allow_batch_variant=True))
    assert [one.name for one in usual] == [one.name for one in allowed]
    assert not any(one.allow_batch_variant for one in usual)
    assert all(one.allow_batch_variant for one in allowed), "float.onnx.fp32, which nobody asked for, among them"
    assert not {one.identity for one in usual} & {one.identity for one in allowed}
    two = candidate_specs(Candidates(formats=("torchscript",), threads=2))
    assert {one.threads for one in two} == {2}
    assert not {one.identity for one in usual} & {one.identity for one in two}


def test_each_number_format_is_made_in_the_formats_that_have_it() -> None:
    variants = [Variant(name="float", passes=(one,)) for one in (StaticInt8(), DynamicInt8(), Bfloat16())]
    specs = candidate_specs(Candidates(variants=tuple(variants)))
    assert [one.name for one in specs] == [
        "float.torchscript.fp32",
        "float.onnx.fp32",
        "float.onnx.int8-static",
        "float.torchscript.int8-dynamic",
        "float.onnx.int8-dynamic",
        "float.torchscript.bf16",
    ]
    assert [one.optimization for one in specs] == ["all"] * 5 + ["none"]
    assert [one.lossy for one in specs] == [False, False, True, True, True, True]
    assert {spec.name: spec.file_pass for spec in specs if spec.file_pass is not None} == {
        "float.onnx.int8-static": StaticInt8(),
        "float.onnx.int8-dynamic": DynamicInt8(),
    }, "what is no ONNX file is converted before its export"


def test_float_in_onnx_comes_first_where_it_can_be_had() -> None:
    assert FLOAT_NAMES == ("float.onnx.fp32", "float.torchscript.fp32")


@pytest.mark.parametrize("has_it", [True, False])
def test_bfloat16_is_tried_by_itself_where_the_processor_computes_in_it(
    has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "computes_bfloat16", lambda: has_it)
    assert ("float.torchscript.bf16" in [one.name for one in candidate_specs(Candidates())]) is has_it
    assert "float.torchscript.bf16" not in [one.name for one in candidate_specs(Candidates(formats=("onnx",)))]


def test_a_recipe_that_names_it_elsewhere_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    named = "select.candidate=float.torchscript.bf16"
    for has_it in (True, False):
        monkeypatch.setattr(host, "computes_bfloat16", lambda has_it=has_it: has_it)
        if has_it:
            assert resolve("fashion-cnn", [named]).select.candidate == "float.torchscript.bf16"
        else:
            with pytest.raises(UsageError, match=r"found float\.torchscript\.bf16; no build tries bfloat16 by itself"):
                resolve("fashion-cnn", [named])
