"""Rows of what could not be made or proven: what becomes one, and what they say."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline._handlers.tolerance import FLOAT32
from pipeline.candidates.spec import CandidateSpec, candidate_specs
from pipeline.candidates.unproven import CandidateList, Named, differing, from_error, way_on
from pipeline.checks.locate.layers import LayerFinding
from pipeline.checks.parity_report import ParityReport
from pipeline.engine.documents import read_document, write_document
from pipeline.errors import DataError, ProofError, UsageError
from pipeline.recipe.candidates import Candidates

SPECS = {spec.name: spec for spec in candidate_specs(Candidates())}
FLOAT, STATIC = SPECS["float.onnx.fp32"], SPECS["float.onnx.int8-static"]


@pytest.mark.parametrize(
    ("spec", "error", "verdict", "reason"),
    [
        (STATIC, ProofError("float.onnx.int8-static: it differs"), "not proven", "it differs"),
        (STATIC, UsageError("no layer"), "cannot be made", "no layer"),
        (STATIC, KeyError("logits"), "cannot be made", "KeyError: 'logits'"),
        (STATIC, RuntimeError("in\n  two lines"), "cannot be made", "RuntimeError: in two lines"),
        (STATIC, ValueError(), "cannot be made", "ValueError: no more is said"),
        (FLOAT, UsageError("no such operator"), "cannot be made", "no such operator"),
        (FLOAT, ProofError("a decision turned"), "not proven", "a decision turned"),
    ],
)
def test_whatever_is_raised_for_a_candidate_is_its_row(
    spec: CandidateSpec, error: Exception, verdict: str, reason: str, tmp_path: Path
) -> None:
    row = from_error(spec, error, tmp_path)
    assert (row.name, row.identity, row.lossy) == (spec.name, spec.identity, spec.lossy)
    assert (row.verdict, row.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (FLOAT, KeyError("of ours")),
        (STATIC, DataError("no such file")),
        (STATIC, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        (STATIC, ProofError(f"it cannot be replayed: OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}")),
        (STATIC, RuntimeError(f"cannot write model.onnx: {os.strerror(errno.ENOSPC)}")),
        (STATIC, MemoryError()),
    ],
    ids=["a fault of ours", "the data", "a full disk", "in another process", "in a library", "no memory"],
)
def test_what_says_nothing_about_a_candidate_ends_the_build(
    spec: CandidateSpec, error: Exception, tmp_path: Path
) -> None:
    with pytest.raises(type(error)) as caught:
        from_error(spec, error, tmp_path)
    assert caught.value is error


def test_what_a_search_makes_besides_named_variants_does_not_end_the_build(tmp_path: Path) -> None:
    row = from_error(replace(STATIC, variant="slim12.5"), ProofError("it differs"), tmp_path)
    assert way_on(row, Named(variants=("thin",)), ("onnx",)) is None
    assert way_on(row.model_copy(update={"variant": "thin"}), Named(variants=("thin",)), ("onnx",)) is not None


def test_a_format_that_ends_the_build_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    whole = from_error(FLOAT, ProofError("it differs"), tmp_path)
    only = 'set candidates.formats = ["torchscript"]'
    assert way_on(whole, Named(), ("torchscript", "onnx")) == f"{only} to build without it"
    assert way_on(whole, Named(), ("onnx",)) == f"{only} to build without it"
    assert way_on(whole, Named(), ("torchscript",)) is None
    named = Named(variants=("float",))
    static = from_error(STATIC, ProofError("it differs"), tmp_path)
    assert way_on(static, named, ("torchscript", "onnx")) == "leave it out of candidates.variants"
    dynamic = from_error(SPECS["float.onnx.int8-dynamic"], ProofError("it differs"), tmp_path)
    assert way_on(dynamic, named, ("onnx",)) == f"leave it out of candidates.variants, or {only}"


@pytest.mark.parametrize(("spec", "verdict"), [(FLOAT, "cannot be made"), (STATIC, "not proven")])
def test_a_format_in_which_float_cannot_be_run_cannot_be_had(spec: CandidateSpec, verdict: str) -> None:
    error = "model.onnx cannot be replayed (onnxruntime): NOT_IMPLEMENTED"
    parity = ParityReport(candidate=spec.name, reference="its torch module", tolerance=FLOAT32, checks=(), error=error)
    row = differing(spec, parity, LayerFinding())
    assert (row.verdict, row.short) == (verdict, f"{verdict}: it cannot be replayed")
    assert row.reason == f"parity with its torch module: {error}"


def test_a_reason_names_no_place_on_this_machine(tmp_path: Path) -> None:
    said = (
        "Load model from /tmp/pipeline-int8-x81/model.onnx failed: (/opt/ort/a.cc:12) <N object at 0x7f0a12b3c4d5> 1/2"
    )
    assert from_error(STATIC, UsageError(said), tmp_path).reason == (
        "Load model from model.onnx failed: (a.cc:12) <N object at 0x...> 1/2"
    )


def test_what_was_tried_crosses_a_file(tmp_path: Path) -> None:
    listed = CandidateList(
        order=("float.onnx.fp32",), compared=4, unproven=(from_error(STATIC, KeyError("a"), tmp_path),)
    )
    write_document(tmp_path / "order.json", listed)
    assert read_document(tmp_path / "order.json", CandidateList) == listed
    (tmp_path / "order.json").write_text('{"order": ["float.onnx.fp32"], "compared": 0}')
    assert read_document(tmp_path / "order.json", CandidateList).unproven == (), "as earlier versions wrote it"
