"""`pipeline diff` reads two files as `inspect` does; here nothing is run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper
from safetensors.numpy import save_file

from pipeline.commands.diff import diff, save_page
from pipeline.errors import FileError, UsageError
from pipeline.inspection.graph_comparison import GraphComparison
from tests.graph_comparisons import small_comparison
from tests.onnx_files import LOGITS, graph, one_operator, shaped

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def test_number_formats_and_sizes_of_two_files(exported: Exported) -> None:
    comparison = diff(exported.folder / "float.onnx", exported.folder / "int8.onnx", run=False)
    assert [row.name for row in comparison.rows][:2] == ["preprocess", "features.0"]
    changes = {row.name: [change.words for change in row.changes] for row in comparison.rows if row.changes}
    assert changes == {name: ["quantized: fp32 to int8"] for name in ("classifier.1", "classifier.4")}
    assert comparison.first is not None
    assert comparison.first.name == "classifier.1"
    [before] = [row.before for row in comparison.rows if row.name == "classifier.1"]
    assert before is not None
    assert (before.kind, before.shape, before.parameters, before.channels) == ("Linear", (512,), 1_606_144, 512)
    assert before.compute_share == pytest.approx(1_605_632 / 5_449_216)
    assert comparison.before.opset == {"ai.onnx": 20}
    assert comparison.before.size > 3 * comparison.after.size
    assert comparison.before.time_note == "nothing was run, as was asked for"
    assert GraphComparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_the_same_file_has_no_difference(exported: Exported) -> None:
    file = exported.folder / "float.onnx"
    comparison = diff(file, file, run=False)
    assert comparison.first is None
    assert comparison.before.label != comparison.after.label


def test_labels_have_as_many_folders_as_tell_files_apart(exported: Exported, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        shutil.copyfile(exported.folder / "float.onnx", tmp_path / name / "deep" / "model.onnx")
    comparison = diff(tmp_path / "one/deep/model.onnx", tmp_path / "two/deep/model.onnx", run=False)
    assert (comparison.before.label, comparison.after.label) == ("one/deep/model.onnx", "two/deep/model.onnx")


def test_what_cannot_be_read_is_one_line(exported: Exported, tmp_path: Path) -> None:
    good = exported.folder / "float.onnx"
    damaged, weights = tmp_path / "damaged.onnx", tmp_path / "weights.pth"
    damaged.write_bytes(good.read_bytes()[:5000])
    weights.write_bytes(b"")
    for file, text in (
        (tmp_path / "none.onnx", "expected a readable file"),
        (damaged, "expected a valid ONNX model"),
        (weights, "expected a file ending in .onnx, .pt, .mar"),
    ):
        with pytest.raises(FileError, match=text) as raised:
            diff(good, file)
        assert "\n" not in str(raised.value)
        assert file.name in str(raised.value)


def test_samples_are_inputs(exported: Exported, tmp_path: Path) -> None:
    file, samples = exported.folder / "float.onnx", tmp_path / "samples.safetensors"
    save_file({"labels": np.zeros(4, np.int64)}, samples)
    with pytest.raises(FileError, match=r"expected arrays input\.<name>"):
        diff(file, file, samples=samples)
    samples.write_bytes(b"no arrays")
    with pytest.raises(FileError, match="expected a safetensors file of inputs"):
        diff(file, file, samples=samples)
    with pytest.raises(UsageError, match="--samples"):
        diff(file, file, samples=samples, run=False)


def test_what_could_do_more_than_compute_is_read_and_never_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("Own", ["values"], ["logits"], domain="my.library")]
    stranger = shaped(graph(tmp_path / "stranger.onnx", nodes, LOGITS))
    model = onnx.load(stranger)
    model.opset_import.append(helper.make_opsetid("my.library", 1))
    onnx.save(model, stranger)
    comparison = diff(stranger, one_operator(tmp_path / "good.onnx", "Relu"))
    assert "my.library::Own" in comparison.before.time_note
    assert comparison.before.time is None
    assert comparison.after.time is not None


def test_a_page_overwrites_none_of_the_files(tmp_path: Path) -> None:
    model, page = tmp_path / "model.onnx", tmp_path / "page.html"
    model.write_bytes(b"a model")
    with pytest.raises(UsageError, match="--html: expected a file of its own, found A"):
        save_page(small_comparison(), model, others={"A": model})
    assert model.read_bytes() == b"a model"
    with pytest.raises(FileError, match="expected to write the page there"):
        save_page(small_comparison(), tmp_path / "none" / "page.html", others={})
    save_page(small_comparison(), page, others={"A": model})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "SHA-256 " + "0" * 64 in text


@pytest.mark.parametrize("scopes", ["-" * 100_000 + "1", "(" * 5000, "[1", "3", "['a']", "\x00"])
def test_names_that_are_no_names_are_left_out(tmp_path: Path, scopes: str) -> None:
    file = one_operator(tmp_path / "model.onnx", "Relu")
    model = onnx.load(file)
    for key in ("name_scopes", "class_hierarchy"):
        model.graph.node[0].metadata_props.add(key=f"pkg.torch.onnx.{key}", value=scopes)
    onnx.save(model, file)
    [row] = diff(file, file, run=False).rows
    assert row.name == "logits"


def test_sizes_that_are_no_sizes_are_made_up(tmp_path: Path) -> None:
    file = one_operator(tmp_path / "model.onnx", "Relu")
    model = onnx.load(file)
    for axis in model.graph.input[0].type.tensor_type.shape.dim:
        axis.dim_value = -5
    onnx.save(model, file)
    comparison = diff(file, file)
    assert comparison.before.time is not None or "cannot be measured" in comparison.before.time_note
