"""An answer as a row of a table has one value for each column, whatever the model answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline._handlers.predictor import Predictor
from pipeline._handlers.task_answers import ANSWERS
from tests.served_models import GREY, LABELS, build_archive


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder: Path = tmp_path_factory.mktemp("packed")
    build_archive(folder, [GREY]).unpack(folder / "unpacked")
    return Predictor.load(folder / "unpacked")


def test_a_classifiers_row_holds_its_most_probable_classes(predictor: Predictor) -> None:
    answer = predictor.answer(np.array([0.0, 3.0, 1.0, 2.0, -1.0], dtype=np.float32))
    kind = ANSWERS[predictor.serving.task]
    columns, cells = kind.columns(predictor.serving), kind.cells(predictor.serving, answer)
    assert columns[:6] == ("label", "class_id", "probability", "label_2", "class_id_2", "probability_2")
    row = dict(zip(columns, cells, strict=True))
    assert (row["label"], row["label_2"], row["label_3"]) == (LABELS[1], LABELS[3], LABELS[2])
    assert (row["class_id"], row["probability"]) == (answer["class_id"], answer["probability"])
    assert row["probability_3"] == answer["top"][2]["probability"]
