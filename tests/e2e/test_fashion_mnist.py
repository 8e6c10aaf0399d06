"""Fashion-MNIST through the whole pipeline: real pictures, one epoch, and the answers of a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipeline
from pipeline.archive.mar import read_archive
from pipeline.candidates.served import served_quality
from pipeline.data.dataset import read_split
from pipeline.inspection.onnx_model import OnnxInspection
from pipeline.serving.address import endpoint_of
from pipeline.serving.client import predict_bytes
from pipeline.serving.encoding import encode_png
from pipeline.serving.lifecycle import running_server

# One epoch and the two candidates that matter most here; the rest of a build is tried on the example.
QUICK = (
    "train.epochs=1",
    'candidates.formats=["onnx"]',
    'candidates.variants=[{name="float",passes=[{kind="dynamic-int8"}]}]',
    "measure.rounds=6",
    "measure.block_ms=5",
)
PREPROCESSING = {"Cast", "Mul", "Add"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fashion")


@pytest.fixture(scope="module")
def result(folder: Path) -> pipeline.BuildResult:
    return pipeline.build("fashion-cnn", run_dir=folder / "run", model_store=folder / "store", overrides=QUICK)


def test_one_epoch_learns_and_int8_keeps_it(result: pipeline.BuildResult) -> None:
    assert result.test.examples == 10_000
    assert result.test.float_accuracy > 0.8
    int8 = next(row.report for row in result.candidates if row.report.name == "float.onnx.int8-dynamic")
    assert int8.quality.examples == 10_000
    assert abs(int8.quality.drop) < 0.01
    assert int8.passes[0].weight_share == pytest.approx(1_610_752 / 1_630_090)


def test_graph_holds_exactly_the_networks_operators(folder: Path, result: pipeline.BuildResult) -> None:
    model = folder / "run" / "candidates" / "float.onnx.fp32" / "model.onnx"
    found = pipeline.inspect(model)
    assert isinstance(found, OnnxInspection)
    assert found.parameters == 1_630_090
    assert set(found.operators) - PREPROCESSING == {"Conv", "MaxPool", "Relu", "Reshape", "Gemm"}
    [taken], [given] = found.inputs, found.outputs
    assert (taken.dtype, taken.shape) == ("uint8", ("batch", 1, 28, 28))
    assert (given.name, given.dtype, given.shape) == ("logits", "float32", ("batch", 10))
    # Preprocessing comes first and is nothing but those three.
    assert {name: count for name, count in found.operators.items() if name in PREPROCESSING} == dict.fromkeys(
        PREPROCESSING, 1
    )
    info = json.loads((folder / "run" / "train" / "model.json").read_text())
    assert info["parameters"] == 1_630_090
    assert result.selected in {row.report.name for row in result.candidates}


def test_the_server_names_real_pictures_as_the_model_does(folder: Path, result: pipeline.BuildResult) -> None:
    test = read_split(folder / "run" / "data" / "test.safetensors").take(slice(0, 32))
    pictures = [encode_png(picture) for picture in test.inputs["image"]]
    archive = read_archive(result.archive)
    with running_server(result.archive) as server:
        endpoint = endpoint_of(server)
        answers = [predict_bytes(endpoint, picture, "image/png")[0] for picture in pictures]
    assert test.labels is not None
    right = sum(one.answer["class_id"] == label for one, label in zip(answers, test.labels, strict=True))
    assert right > 24
    assert {one.digest for one in answers} == {archive.digest}


def test_the_winner_judged_against_itself_loses_nothing(folder: Path, result: pipeline.BuildResult) -> None:
    float_row = next(row.report for row in result.candidates if row.report.name == "float.onnx.fp32")
    model = folder / "run" / "candidates" / float_row.name / "model.onnx"
    quality = served_quality(
        float_row,
        model,
        float_row,
        model,
        model_info=folder / "run" / "train" / "model.json",
        data=folder / "run" / "data" / "test.safetensors",
        folder=folder,
        scratch=folder,
    ).quality
    assert (quality.drop, quality.lost, quality.gained) == (0, 0, 0)
    assert 0 < quality.drop_upper < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fashion-mlp", "fashion-cnn-wide"])
def test_the_other_recipes_are_built(recipe: str, tmp_path: Path) -> None:
    sets = [*QUICK[:2], "candidates.variants=[]", *QUICK[3:]]
    result = pipeline.build(recipe, run_dir=tmp_path / "run", model_store=tmp_path / "store", overrides=sets)
    assert result.selected == "float.onnx.fp32"
    assert result.test.accuracy > 0.75
    assert result.archive == tmp_path / "store" / f"{recipe}.mar"
