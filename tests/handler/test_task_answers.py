"""What a client gets in each task, and the same as a row of a table with one value for each column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.description import Serving
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.task_answers import ANSWERS, TaskName, read_answer
from tests.served_models import GREY, LABELS, build_archive


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder: Path = tmp_path_factory.mktemp("packed")
    build_archive(folder, [GREY]).unpack(folder / "unpacked")
    return Predictor.load(folder / "unpacked")


def test_a_classifiers_row_holds_its_most_probable_classes(predictor: Predictor) -> None:
    outputs = np.array([0.0, 3.0, 1.0, 2.0, -1.0], dtype=np.float32)
    answer = predictor.answer(outputs)
    kind = ANSWERS[predictor.serving.task]
    columns, cells = kind.columns(predictor.serving), kind.cells(predictor.serving, outputs)
    assert columns[:6] == ("label", "class_id", "probability", "label_2", "class_id_2", "probability_2")
    row = dict(zip(columns, cells, strict=True))
    assert (row["label"], row["label_2"], row["label_3"]) == (LABELS[1], LABELS[3], LABELS[2])
    assert (row["class_id"], row["probability"]) == (answer["class_id"], answer["probability"])
    assert row["probability_3"] == answer["top"][2]["probability"]


def served(folder: Path, task: TaskName, settings: Mapping[str, Any], labels: tuple[str, ...]) -> Serving:
    serving = build_archive(folder, [GREY]).serving
    document = {**serving.to_json(), "task": task, "task_settings": dict(settings), "labels": list(labels), "top": 2}
    return Serving.from_json(document)


LOGITS = np.array([3.0, -1.0, 0.5, -0.01, 0.0], dtype=np.float32)


def test_labels_above_their_thresholds_are_answered_with_all_probabilities_up_to_top(tmp_path: Path) -> None:
    serving = served(tmp_path, "multi-label", {"threshold": [0.5, 0.2, 0.7, 0.5, 0.5]}, LABELS)
    kind = ANSWERS["multi-label"]
    answer = json.loads(json.dumps(kind.tell(serving, LOGITS)))
    assert [entry["label"] for entry in answer["labels"]] == [LABELS[0], LABELS[4], LABELS[1]]
    assert [entry["label"] for entry in answer["top"]] == [LABELS[0], LABELS[2]]
    assert answer["labels"][0]["probability"] == pytest.approx(1 / (1 + np.exp(-3)))
    assert kind.read({**answer, "version": "1"}) == answer
    assert read_answer(answer) == ("multi-label", answer)
    assert kind.difference(serving, LOGITS, answer) == ""
    assert kind.words(answer) == (f"{LABELS[0]} 0.9526, {LABELS[4]} 0.5000, {LABELS[1]} 0.2689 ({LABELS[2]} 0.6225)")
    assert kind.words({"labels": [], "top": answer["top"][:1]}) == f"no label ({LABELS[0]} 0.9526)"
    row = dict(zip(kind.columns(serving), kind.cells(serving, LOGITS), strict=True))
    assert row["labels"] == f"{LABELS[0]};{LABELS[4]};{LABELS[1]}"
    assert [row[f"probability {label}"] for label in LABELS] == pytest.approx((1 / (1 + np.exp(-LOGITS))).tolist())
    assert len(json.dumps(kind.longest(serving))) >= len(json.dumps(answer))


def test_an_answer_with_other_labels_or_probabilities_is_told(tmp_path: Path) -> None:
    serving = served(tmp_path, "multi-label", {"threshold": [0.5]}, LABELS)
    kind = ANSWERS["multi-label"]
    answer = kind.tell(serving, LOGITS)
    fewer = {**answer, "labels": answer["labels"][1:]}
    assert "expected labels" in kind.difference(serving, LOGITS, fewer)
    shifted = {**answer, "labels": [{**answer["labels"][0], "probability": 0.5}, *answer["labels"][1:]]}
    assert f"expected probability 0.952574 of {LABELS[0]}" in kind.difference(serving, LOGITS, shifted)


def test_values_are_answered_with_name_and_unit_and_with_the_fewest_digits(tmp_path: Path) -> None:
    names = ("price", "weight", "height", "width", "depth")
    serving = served(tmp_path, "regression", {"tolerance": [1], "units": ["EUR", "kg", "m", "m", "m"]}, names)
    outputs = np.array([151.2, -1e-30, 3, np.float32(1 / 3), 2.5e20], np.float32)
    kind = ANSWERS["regression"]
    answer = json.loads(json.dumps(kind.tell(serving, outputs)))
    assert answer["values"][0] == {"name": "price", "value": 151.2, "unit": "EUR"}
    assert [np.float32(entry["value"]) for entry in answer["values"]] == list(outputs)
    assert read_answer(answer) == ("regression", answer)
    assert kind.words(answer).startswith("price 151.2 EUR, weight -1e-30 kg, ")
    assert kind.difference(serving, outputs, answer) == ""
    assert kind.columns(serving)[:2] == ("price [EUR]", "weight [kg]")
    assert kind.cells(serving, outputs)[0] == 151.2
    for longest in (outputs, np.full(5, -6.843686e15, np.float32), np.full(5, -1.1754944e-38, np.float32)):
        assert len(json.dumps(kind.longest(serving))) >= len(json.dumps(kind.tell(serving, longest)))
    other = {"values": [{**answer["values"][0], "value": 151.3}, *answer["values"][1:]]}
    assert "expected value 151.2 of price" in kind.difference(serving, outputs, other)
    renamed = {"values": [{**answer["values"][0], "unit": "USD"}, *answer["values"][1:]]}
    assert "expected unit EUR of a value, found USD" in kind.difference(serving, outputs, renamed)
    plain = served(tmp_path, "regression", {"tolerance": [1]}, names)
    assert set(kind.tell(plain, outputs)["values"][0]) == {"name", "value"}


@pytest.mark.parametrize(
    ("task", "settings", "text"),
    [
        ("multi-label", {"threshold": [0.5, 0.5]}, "threshold: expected a list of 1 or 5 numbers"),
        ("multi-label", {"threshold": ["a"]}, "threshold: expected a number"),
        ("multi-label", {"threshold": 0.5}, "threshold: expected a list"),
        ("regression", {"units": ["kg", "m"]}, "units: expected a list of none, 1 or 5 units"),
    ],
)
def test_a_description_whose_settings_do_not_fit_is_refused(
    task: TaskName, settings: Mapping[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=text):
        served(tmp_path, task, settings, LABELS)
