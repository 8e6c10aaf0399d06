"""What becomes of candidates that a network does not allow."""

from __future__ import annotations

import pytest

from pipeline.candidates.report import CandidateReport
from pipeline.candidates.requested import make_requested
from pipeline.candidates.spec import CandidateSpec, baseline_of
from pipeline.candidates.unproven import NOT_MADE, NOT_PROVEN, Named, Refusal, Unproven, ending, unproven, way_on
from pipeline.errors import PipelineError, ProofError, UsageError
from pipeline.measure import host
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.passes import Bfloat16, DynamicInt8, MagnitudePruning, StaticInt8, Variant
from tests.builders import candidate
from tests.reporters import Lines

HALF = (Variant(name="float", passes=(Bfloat16(),)),)
THIN = Variant(name="thin", passes=(MagnitudePruning(),))


def made(
    candidates: Candidates, refused: dict[str, Refusal], *, selected: str | None = None, said: Lines | None = None
) -> tuple[list[str], list[Unproven]]:
    """Names of what is proven, and rows of the others, where some are refused."""
    named = Named(
        formats=candidates.named_formats,
        variants=tuple(one.name for one in candidates.variants or ()),
        candidate=selected,
    )

    def make(one: CandidateSpec) -> CandidateReport | Unproven:
        if one.name not in refused:
            return candidate(one.variant, one.format, one.precision)
        row = unproven(one, refused[one.name], "something is odd")
        if (way := way_on(row, named, candidates.formats)) is not None:
            raise ending(row, way)
        return row

    proven, rows = make_requested(candidates, make=make, named=named, reporter=said or Lines())
    return [one.name for one in proven], rows


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("float.torchscript.bf16", NOT_MADE),
        ("float.torchscript.bf16", NOT_PROVEN),
        ("float.onnx.int8-dynamic", NOT_MADE),
        ("float.onnx.int8-static", NOT_PROVEN),
        ("pruned30.onnx.fp32", NOT_PROVEN),
    ],
)
def test_a_default_candidate_is_a_row_with_the_reason(
    name: str, verdict: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "computes_bfloat16", lambda: True)
    said = Lines()
    names, rows = made(Candidates(), {name: verdict}, said=said)
    assert len(names) == 9
    assert [(row.name, row.verdict, row.reason) for row in rows] == [(name, verdict, "something is odd")]
    assert said.said == [f"candidates: {name}: {verdict}, and the build goes on: something is odd"]


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_a_format_that_the_network_cannot_have_is_left_out_and_nothing_else_is_tried_in_it(form: str) -> None:
    names, rows = made(Candidates(), {f"float.{form}.fp32": NOT_MADE})
    other = {"onnx": "torchscript", "torchscript": "onnx"}[form]
    assert names
    assert {name.split(".")[1] for name in names} == {other}
    assert {row.format for row in rows} == {form}
    assert baseline_of(names) == f"float.{other}.fp32"
    assert rows[1].reason == f"float.{form}.fp32 cannot be made, and nothing else in this format is tried"


def test_onnx_that_was_not_asked_for_does_not_end_the_build() -> None:
    only = Candidates(formats=("torchscript",))
    for verdict in (NOT_MADE, NOT_PROVEN):
        names, rows = made(only, {"float.onnx.fp32": verdict})
        assert "float.torchscript.fp32" in names
        assert [row.name for row in rows] == ["float.onnx.fp32"]


def test_a_named_variant_goes_on_in_the_other_format() -> None:
    names, rows = made(Candidates(variants=(THIN,)), {"float.onnx.fp32": NOT_MADE})
    assert names == ["float.torchscript.fp32", "thin.torchscript.fp32"]
    assert [row.name for row in rows] == ["float.onnx.fp32", "thin.onnx.fp32"]


ONNX = Candidates(formats=("onnx",))
STATIC = Candidates(variants=(Variant(name="float", passes=(StaticInt8(),)),))
DYNAMIC = Candidates(variants=(Variant(name="float", passes=(DynamicInt8(),)),))


@pytest.mark.parametrize(
    ("candidates", "name", "verdict", "selected", "kind", "way"),
    [
        (
            Candidates(),
            "float.torchscript.fp32",
            NOT_PROVEN,
            None,
            ProofError,
            r'formats = \["onnx"\] to build without it',
        ),
        (Candidates(), "float.onnx.fp32", NOT_PROVEN, None, ProofError, r'formats = \["torchscript"\] to build'),
        (ONNX, "float.onnx.fp32", NOT_MADE, None, UsageError, r'formats = \["torchscript"\] to build without it'),
        (
            Candidates(variants=HALF),
            "float.torchscript.bf16",
            NOT_MADE,
            None,
            UsageError,
            "leave it out of candidates",
        ),
        (
            Candidates(variants=HALF),
            "float.torchscript.bf16",
            NOT_PROVEN,
            None,
            ProofError,
            "leave it out of candidates",
        ),
        (STATIC, "float.onnx.fp32", NOT_MADE, None, UsageError, r"leave it out of candidates\.variants"),
        (DYNAMIC, "float.onnx.int8-dynamic", NOT_PROVEN, None, ProofError, r"leave it out of candidates\.variants"),
        (
            Candidates(),
            "float.onnx.int8-static",
            NOT_PROVEN,
            "float.onnx.int8-static",
            ProofError,
            r"the same model: nothing was packed; name another one in select\.candidate, or none",
        ),
        (Candidates(), "float.onnx.fp32", NOT_MADE, "pruned30.onnx.fp32", UsageError, r"name another one in select"),
    ],
    ids=[
        "float in TorchScript",
        "float in ONNX",
        "a format that is named",
        "a variant that cannot be made",
        "a variant that is not proven",
        "a variant in its only format",
        "a variant in one of its formats",
        "the selected one",
        "the selected one, by its format",
    ],
)
def test_what_somebody_counts_on_ends_the_build_and_the_line_says_how_to_go_on(
    candidates: Candidates,
    name: str,
    verdict: Refusal,
    selected: str | None,
    kind: type[PipelineError],
    way: str,
) -> None:
    with pytest.raises(kind, match=way):
        made(candidates, {name: verdict}, selected=selected)


def test_float_in_no_format_ends_the_build_with_both_reasons() -> None:
    both = r"found it in none: float\.torchscript\.fp32: cannot be made: .*; float\.onnx\.fp32: cannot be made: "
    with pytest.raises(UsageError, match=both):
        made(Candidates(), {"float.onnx.fp32": NOT_MADE, "float.torchscript.fp32": NOT_MADE})
