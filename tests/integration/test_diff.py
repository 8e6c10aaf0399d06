"""A build ends with its graph, before and after; `pipeline diff` measures any two files in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper

import pipeline
from pipeline.commands import graph_file
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import read_manifest
from pipeline.inspection.graph_comparison import GRAPH_NAME, GraphComparison, LayerRow
from tests.example_build import Built
from tests.onnx_files import LOGITS, freeze_batch, graph, one_operator, shaped
from tests.reporters import Lines


def candidate(built: Built, name: str) -> Path:
    return built.run_dir / "candidates" / name / "model.onnx"


def row(comparison: GraphComparison, name: str) -> LayerRow:
    return next(row for row in comparison.rows if row.name == name)


def test_a_build_ends_with_float_and_winner_layer_by_layer(built: Built) -> None:
    comparison = read_document(built.run_dir / GRAPH_NAME, GraphComparison)
    assert comparison.before.label == built.result.baseline
    assert comparison.after.label == built.result.selected
    assert comparison.rows
    assert graph_file.is_compared(built.run_dir)


def test_times_add_up_to_a_call_and_outputs_are_compared_on_samples(built: Built) -> None:
    samples = built.run_dir / "candidates" / "samples.safetensors"
    comparison = pipeline.diff(
        candidate(built, "float.onnx.fp32"), candidate(built, "float.onnx.int8-dynamic"), samples=samples
    )
    for side in ("before", "after"):
        file = comparison.file(side)
        assert file.time is not None
        assert file.time.calls >= 3
        times = [layer.time for row in comparison.rows if (layer := row.side(side)) is not None and layer.time]
        assert sum(time.microseconds for time in times) + file.time.rest_us == pytest.approx(file.time.call_us)
        assert sum(time.share for time in times) <= 1.0001
    assert comparison.inputs.startswith("32 of ")
    assert comparison.first is not None
    assert any("quantized: fp32 to int8" in change.words for change in comparison.first.changes)
    last = comparison.rows[-1]
    assert last.largest_difference is not None
    assert last.largest_value is not None
    assert 0 < last.largest_difference < 0.2 * last.largest_value
    assert comparison.rows[0].largest_difference == 0


def test_a_file_beside_itself_is_measured_once(built: Built) -> None:
    comparison = pipeline.diff(candidate(built, "float.onnx.fp32"), candidate(built, "float.onnx.fp32"))
    assert comparison.before.time is not None
    assert comparison.before.time == comparison.after.time
    assert all(row.before == row.after for row in comparison.rows)
    assert {row.largest_difference for row in comparison.rows if row.largest_difference is not None} == {0.0}
    assert comparison.first is None


def test_an_archive_brings_its_golden_inputs(built: Built) -> None:
    comparison = pipeline.diff(candidate(built, "float.onnx.fp32"), built.result.archive)
    assert "golden examples of digits.mar" in comparison.inputs or comparison.after.format == "torchscript"
    assert comparison.after.label == f"digits.mar ({built.result.selected})"


def test_noise_serves_where_nobody_has_inputs_and_a_fixed_batch_is_kept(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["values", "fc.weight"], ["h"]),
        helper.make_node("Relu", ["h"], ["logits"]),
    ]
    weight = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    free = shaped(graph(tmp_path / "free.onnx", nodes, LOGITS, **{"fc.weight": weight}))
    fixed = shaped(graph(tmp_path / "fixed.onnx", nodes, LOGITS, **{"fc.weight": weight * 1.5}))
    freeze_batch(fixed)
    comparison = pipeline.diff(free, fixed)
    assert comparison.inputs == "1 made-up examples, which are noise"
    assert comparison.before.time is not None
    assert comparison.after.time is not None
    assert (comparison.before.time.batch_size, comparison.after.time.batch_size) == (32, 1)
    assert [change.kind for change in row(comparison, "fc").changes] == ["weights"]
    difference, value = row(comparison, "fc").largest_difference, row(comparison, "fc").largest_value
    assert difference is not None
    assert difference == pytest.approx(0.5 * (value or 0), rel=1e-5)


def test_files_of_other_inputs_are_timed_and_not_compared(built: Built, tmp_path: Path) -> None:
    other = one_operator(tmp_path / "other.onnx", "Relu")
    comparison = pipeline.diff(candidate(built, "float.onnx.fp32"), other)
    assert "Outputs were not compared, because the files take different inputs." in comparison.notes
    assert comparison.after.time is not None


def test_a_file_that_cannot_run_is_compared_as_it_stands(tmp_path: Path) -> None:
    """It reads a row that its table does not have, which nobody sees before it runs."""
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["row"]),
        helper.make_node("Add", ["values", "row"], ["logits"]),
    ]
    constants = {"table": np.ones((2, 3), np.float32), "index": np.array(7)}
    broken = shaped(graph(tmp_path / "broken.onnx", nodes, LOGITS, **constants))
    comparison = pipeline.diff(broken, broken)
    assert comparison.before.time is None
    assert "cannot be measured" in comparison.before.time_note
    assert [change.kind for row in comparison.rows for change in row.changes] == []


def test_a_build_is_as_good_without_its_graph(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(built.run_dir)
    assert manifest is not None
    path = built.run_dir / GRAPH_NAME
    kept, times = path.read_bytes(), path.stat()
    reporter = Lines()
    monkeypatch.setattr(graph_file, "_compare", lambda *_: SimpleNamespace().missing)
    try:
        graph_file.write_graph(built.result, manifest, reporter)
        assert not path.exists()
        assert not graph_file.is_compared(built.run_dir)
        assert any("graph.json was not written" in line for line in reporter.said)
    finally:
        path.write_bytes(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_no_weights_outside_the_file_are_read(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["values", "fc.weight"], ["logits"])]
    file = shaped(graph(tmp_path / "model.onnx", nodes, LOGITS, **{"fc.weight": np.ones((3, 3), np.float32)}))
    model = onnx.load(file)
    onnx.save(model, file, save_as_external_data=True, location="secret", size_threshold=0)
    comparison = pipeline.diff(file, file)
    assert "in another place" in comparison.before.time_note
