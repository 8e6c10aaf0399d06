"""What training reports of pictures, of rows of a table, and of a network that is never wrong."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.documents import read_document
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.stages.train_report import write_report
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.metrics import SplitMetrics
from tests.stage_outputs import outputs

TASK = ClassificationTask()


def spec_of(inputs: InputSpec) -> ModelSpec:
    """A model that answers with the second class where the sum of its input is above 0."""

    def build() -> nn.Module:
        layer = nn.Linear(int(np.prod(inputs.shape)), 2, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.stack([-torch.ones(layer.in_features), torch.ones(layer.in_features)]))
        return nn.Sequential(nn.Flatten(), layer)

    return ModelSpec(name="sum", build=build, preprocess=ToFloat, inputs=(inputs,), labels=("low", "high"))


def report(folder: Path, inputs: InputSpec, values: np.ndarray, labels: list[int]) -> tuple[SplitMetrics, list[str]]:
    spec, written = spec_of(inputs), outputs(folder, "train")
    split = Split(inputs={inputs.name: values}, labels=np.array(labels))
    metrics = write_report(written, spec, spec.build(), task=TASK, validation=split, device="cpu")
    document = read_document(written.folder / "metrics.json", SplitMetrics)
    assert document.networks == {"float": metrics}
    return document, sorted(path.name for path in written.folder.iterdir())


def test_rows_of_a_table_are_told_by_column(tmp_path: Path) -> None:
    columns = (Column(name="age"), Column(name="job", categories=("cook", "clerk")))
    inputs = InputSpec(name="row", dtype="float32", shape=(2,), low=-99, high=99, columns=columns, missing=True)
    values = np.array([[-3.0, 1.0], [5.0, 0.0], [2.0, 1.0]], np.float32)
    document, files = report(tmp_path, inputs, values, [0, 0, 0])
    assert [(answer.example, answer.row) for answer in document.worst] == [
        (1, {"age": 5.0, "job": "cook"}),
        (2, {"age": 2.0, "job": "clerk"}),
    ]
    assert document.split == "validation"
    assert document.error_name == "cross-entropy in nats"
    assert files == ["confusion_matrix.png", "metrics.json"]


def test_pictures_are_drawn(tmp_path: Path) -> None:
    inputs = InputSpec(name="image", dtype="uint8", shape=(1, 4, 4), low=0, high=255)
    values = np.zeros((3, 1, 4, 4), np.uint8)
    values[2] = 200
    document, files = report(tmp_path, inputs, values, [0, 1, 0])
    assert document.worst[0].example == 2
    assert files == ["confusion_matrix.png", "metrics.json", "worst_examples.png"]
    sheet = Image.open(io.BytesIO((tmp_path / "train" / "worst_examples.png").read_bytes())).convert("L")
    assert sheet.getpixel((12 + 64, 40 + 64)) == 200, "the worst comes first"


def test_where_no_answer_is_wrong_there_is_no_sheet(tmp_path: Path) -> None:
    inputs = InputSpec(name="image", dtype="uint8", shape=(1, 4, 4), low=0, high=255)
    document, files = report(tmp_path, inputs, np.full((3, 1, 4, 4), 9, np.uint8), [1, 1, 1])
    assert document.worst == ()
    assert document.networks["float"].score == 1.0
    assert files == ["confusion_matrix.png", "metrics.json"]
