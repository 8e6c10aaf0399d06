"""Which candidates a recipe asks for, and when two of them are the same."""

from __future__ import annotations

from pipeline.candidates.spec import candidate_specs
from pipeline.passes import DynamicInt8, StaticInt8, Variant
from pipeline.recipe import Candidates


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


def test_static_int8_is_made_of_onnx_files_alone() -> None:
    variants = (Variant(name="float", passes=(StaticInt8(),)), Variant(name="float", passes=(DynamicInt8(),)))
    assert [one.name for one in candidate_specs(Candidates(variants=variants))] == [
        "float.torchscript.fp32",
        "float.onnx.fp32",
        "float.onnx.int8-static",
        "float.torchscript.int8-dynamic",
        "float.onnx.int8-dynamic",
    ]
