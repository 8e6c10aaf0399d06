"""Each file has its answer or its error, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import pipeline
from pipeline.serving import client

BAG = pipeline.Prediction(
    task="classification",
    answer={"label": "bag", "class_id": 1, "probability": 0.9, "top": []},
    version="1.0",
    digest="0" * 64,
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Path], str | None]]:
    """What the client was asked; it answers pictures alone."""
    calls: list[tuple[list[Path], str | None]] = []

    def predict(
        files: Sequence[Path], url: str | None
    ) -> Iterator[tuple[Path, tuple[pipeline.Prediction, ...] | pipeline.PipelineError]]:
        calls.append((list(files), url))
        for file in files:
            yield file, (BAG,) if file.suffix == ".png" else pipeline.UsageError(f"{file}: not a picture")

    monkeypatch.setattr(client, "predict", predict)
    return calls


def test_a_refused_file_stops_no_other(calls: list[tuple[list[Path], str | None]]) -> None:
    answers = pipeline.predict(["a.txt", Path("b.png")], url="http://127.0.0.1:8080")
    assert calls == [([Path("a.txt"), Path("b.png")], "http://127.0.0.1:8080")]
    refused, answered = answers
    assert (refused.file, refused.predictions) == (Path("a.txt"), ())
    assert isinstance(refused.error, pipeline.UsageError)
    assert refused.to_json() == {"file": "a.txt", "error": "a.txt: not a picture"}
    assert answered == pipeline.FileAnswer(file=Path("b.png"), predictions=(BAG,))
    assert answered.to_json() == {"file": "b.png", "predictions": [BAG.to_json()]}


@pytest.mark.parametrize("file", ["b.png", Path("b.png")])
def test_a_file_may_stand_alone(calls: list[tuple[list[Path], str | None]], file: str | Path) -> None:
    [answer] = pipeline.predict(file)
    assert answer.predictions == (BAG,)
    assert calls == [([Path("b.png")], None)]
