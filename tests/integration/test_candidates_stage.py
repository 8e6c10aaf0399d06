"""The stage `candidates` by itself, on the data and weights of the worked example."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from pipeline.candidates import evaluate as evaluation
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.unproven import CandidateList
from pipeline.engine.artifacts import Kind, digest_file
from pipeline.engine.documents import read_document
from pipeline.engine.stage import Inputs, Outputs
from pipeline.export import onnx as export
from pipeline.precision import PRECISIONS
from pipeline.recipe.loading import load_recipe
from pipeline.stages.candidates import STAGE
from tests.example_build import Built
from tests.reporters import Lines
from tests.stage_outputs import outputs

FLOAT, INT8 = "float.onnx.fp32", "float.onnx.int8-dynamic"
FEW = ('candidates.formats=["onnx"]', 'candidates.variants=[{name="float",passes=[{kind="dynamic-int8"}]}]')


def run(built: Built, writes: Outputs) -> None:
    data = built.run_dir / "data"
    files = {
        Kind.DATA_INFO: data / "data.json",
        Kind.MODEL_INFO: built.run_dir / "train" / "model.json",
        Kind.TRAIN_DATA: data / "train.safetensors",
        Kind.VALIDATION_DATA: data / "validation.safetensors",
        Kind.WEIGHTS: built.run_dir / "train" / "weights.safetensors",
    }
    recipe = load_recipe(built.recipe, [*built.overrides, *FEW])
    reads = Inputs(stage=STAGE.name, files={(kind, None): file for kind, file in files.items()})
    STAGE.run(STAGE.settings(recipe), reads, writes)


def test_each_candidate_has_a_file_and_a_report_and_is_made_once(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[Path] = []

    def export_onnx(module: nn.Module, path: Path, **arguments: Any) -> None:
        exported.append(path)
        export.export_onnx(module, path, **arguments)

    monkeypatch.setattr(evaluation, "export_onnx", export_onnx)
    # What a batch does to its answers is found out, whatever was expected of its number format.
    for precision, facts in list(PRECISIONS.items()):
        monkeypatch.setitem(PRECISIONS, precision, replace(facts, scales_per_call=not facts.scales_per_call))
    first = outputs(tmp_path, STAGE.name)
    run(built, first)
    assert len(exported) == 1, "the float network is quantized as it was exported and proven"
    files = first.declared
    each = (Kind.CANDIDATE_MODEL, Kind.CANDIDATE_REPORT)
    once = (Kind.SAMPLES, Kind.CANDIDATE_ORDER, Kind.EAGER_REPORT)
    assert files.keys() == {(kind, name) for kind in each for name in (FLOAT, INT8)} | {(kind, None) for kind in once}
    assert read_document(files[Kind.CANDIDATE_ORDER, None], CandidateList) == CandidateList(
        order=(FLOAT, INT8), compared=1
    )
    for name in (FLOAT, INT8):
        report = read_document(files[Kind.CANDIDATE_REPORT, name], CandidateReport)
        assert report.sha256 == digest_file(files[Kind.CANDIDATE_MODEL, name])
        assert report.sha256 == digest_file(built.run_dir / "candidates" / name / "model.onnx"), "whatever is beside it"
        assert [timing.batch_size for timing in report.timings] == [1, 32]
        there = read_document(built.run_dir / "candidates" / name / "report.json", CandidateReport)
        assert report.parity.batch_invariant == there.parity.batch_invariant == (name == FLOAT)
        assert (report.runtime, report.quality) == (there.runtime, there.quality)

    # It is interrupted before it is done: what lies in the scratch folder is not made again.
    first.folder.rename(tmp_path / "interrupted")
    monkeypatch.setattr(evaluation, "evaluate", None)
    said = Lines()
    second = outputs(tmp_path, STAGE.name, reporter=said)
    run(built, second)
    for name in (FLOAT, INT8):
        before = tmp_path / "interrupted" / name / "model.onnx"
        assert digest_file(second.declared[Kind.CANDIDATE_MODEL, name]) == digest_file(before)
    assert any(FLOAT in line for line in said.said)
