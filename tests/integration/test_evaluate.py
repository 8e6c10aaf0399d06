"""Single candidates of the worked example: made, proven and judged, or a row that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from pipeline.candidates import evaluate as evaluation
from pipeline.candidates.evaluate import evaluate, evaluate_once, float_logits, folder_of, is_evaluated, keep_row
from pipeline.candidates.rank import rank_layers
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import candidate_specs
from pipeline.candidates.unproven import Named, Unproven, way_on
from pipeline.data.dataset import read_split
from pipeline.engine.kept import read_kept
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.passes import Bfloat16, Variant
from tests.example_build import Built
from tests.example_candidates import context_of
from tests.onnx_files import freeze_batch
from tests.reporters import Lines


def raise_key_error(file: Path) -> None:
    file.unlink()
    raise KeyError("head.bias")


def answer_nan(file: Path) -> None:
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.name == "network.head.bias":
            values = numpy_helper.to_array(tensor).copy()
            values[0] = float("nan")
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, file)


@pytest.mark.parametrize(
    ("plant", "verdict", "reason"),
    [
        (raise_key_error, "cannot be made", "KeyError: 'head.bias'"),
        (freeze_batch, "not proven", "InvalidArgument: "),
        (answer_nan, "not proven", "is nan"),
    ],
)
def test_whatever_is_wrong_with_a_default_candidate_is_a_row_that_an_interruption_does_not_change(
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[Path], None],
    verdict: str,
    reason: str,
) -> None:
    context = context_of(built, tmp_path / "scratch", Lines())
    logits = float_logits(context.model, context.weights, context.validation)
    spec = next(one for one in candidate_specs(Candidates()) if one.name == "float.onnx.int8-dynamic")
    quantize = evaluation.quantize_file

    def faulty(*arguments: Any, **settings: Any) -> Any:
        made = quantize(*arguments, **settings)
        plant(arguments[2])
        return made

    monkeypatch.setattr(evaluation, "quantize_file", faulty)
    row = evaluate_once(spec, context, float_logits=logits)
    assert isinstance(row, Unproven)
    assert row.verdict == verdict
    assert reason in row.reason
    assert str(tmp_path) not in row.reason
    assert not is_evaluated(spec, context), "a build that ended for it tries it again"
    keep_row(spec, context, row)
    monkeypatch.setattr(evaluation, "evaluate", None)
    assert is_evaluated(spec, context)
    assert evaluate_once(spec, context, float_logits=logits) == row
    kept = read_kept(folder_of(spec, context) / "unproven.kept", print)
    assert kept is not None
    assert json.loads(kept)["verdict"] == verdict


def test_float_that_is_not_proven_ends_the_build(built: Built, tmp_path: Path) -> None:
    context = context_of(built, tmp_path / "scratch", Lines())
    logits = float_logits(context.model, context.weights, context.validation)
    spec = next(one for one in candidate_specs(Candidates()) if one.name == "float.torchscript.fp32")
    row = evaluate_once(spec, context, float_logits=-logits)
    assert isinstance(row, Unproven)
    assert (row.verdict, row.lossy) == ("not proven", False)
    assert row.reason.startswith("parity on validation: expected the decisions of its torch module")
    assert way_on(row, Named(), ("torchscript", "onnx")) == 'set candidates.formats = ["onnx"] to build without it'


def test_bfloat16_rounds_where_its_module_does_and_is_made_again_as_it_was(built: Built, tmp_path: Path) -> None:
    context = context_of(built, tmp_path / "scratch", Lines())
    variants = (Variant(name="float", passes=(Bfloat16(),)),)
    [spec] = [one for one in candidate_specs(Candidates(variants=variants)) if one.precision == "bf16"]
    (tmp_path / "made").mkdir()
    logits = float_logits(context.model, context.weights, context.validation)
    report = evaluate(spec, context, tmp_path / "made", float_logits=logits)
    assert isinstance(report, CandidateReport)
    assert (report.how, report.parity.max_absolute) == ("trace", 0)
    assert 0 < report.quality.divergence < 1e-3
    assert report.spec == spec
    found = rank_layers(spec, context, read_split(context.validation).take(slice(0, 64)), tuned=None)
    assert found.divergence > 0
    assert found.gains == (), "all of its layers compute in bfloat16, or none"
