"""Each task from training to HTTP, with the recipes and the code of docs/tasks.md as they stand.

A network that was pruned until its answers moved is refused by the budget, and its twins inside the budget are not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import pipeline
from pipeline.data.dataset import read_split
from tests.report_documents import shown

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VARIANTS = """candidates.variants = [
  { name = "float", passes = [{ kind = "static-int8" }] },
  { name = "slim", passes = [{ kind = "channel-pruning", keep = 0.5 }, { kind = "fine-tune", epochs = 12 }] },
  { name = "fault", passes = [{ kind = "magnitude-pruning", amount = 0.97 }] },
]"""
OVERRIDES = (
    VARIANTS.replace("\n", " ").replace("candidates.variants = ", "candidates.variants="),
    'candidates.formats=["onnx"]',
    "measure.rounds=6",
    "measure.block_ms=5",
    "verify.samples=32",
    "verify.batch_sizes=[1, 7]",
    "smoke.pictures=20",
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a build of a task must show.

    Args:
        metric: name of its mean score.
        figures: names of the figures that it reports besides.
        said: part of what `pipeline predict` and the model card say.
    """

    metric: str
    figures: tuple[str, ...]
    card: str


TASKS = {
    "regression": Task(
        metric="score within tolerance",
        figures=("MAE of progression", "R² of progression"),
        card="- Task: regression of 1 value: progression",
    ),
    "labels": Task(
        metric="F1", figures=("macro F1", "exact match"), card="- Task: multi-label with 3 labels: even, loop, large"
    ),
}


def write_project(name: str, folder: Path) -> Path:
    """Write the blocks of the page that belong to a task; return the recipe."""
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    for path, text in blocks.items():
        if path.startswith(f"{name}/"):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
    return folder / name / "recipe.toml"


def answers_of(name: str, outputs: NDArray[Any]) -> dict[str, Any]:
    """What a client must get for some outputs, by this test's own words."""
    if name == "regression":
        return {"values": [{"name": "progression", "unit": "points", "value": pytest.approx(float(outputs[0]))}]}
    shares = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    entries: list[dict[str, Any]] = [
        {"label": label, "class_id": index, "probability": pytest.approx(shares[index])}
        for index, label in enumerate(("even", "loop", "large"))
    ]
    entries.sort(key=lambda entry: -shares[entry["class_id"]])
    return {"labels": [entry for entry in entries if shares[entry["class_id"]] >= 0.5], "top": entries}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["regression", "labels"])
def test_a_task_from_training_to_http(name: str, tmp_path: Path) -> None:
    recipe, task = write_project(name, tmp_path), TASKS[name]
    result = pipeline.build(recipe, run_dir=tmp_path / "run", model_store=tmp_path / "store", overrides=OVERRIDES)
    page = shown(result.page)
    assert page["absent"].keys() <= {"graph", "disagreements", *(["calibration"] if name == "regression" else [])}
    assert page["confusion"]["table"]["rows"]
    verdicts = {row.report.name: row.verdict for row in result.candidates}
    judged = result.candidates[0].report.quality.examples
    assert verdicts["float.onnx.fp32"].text == "lossless"
    assert verdicts["float.onnx.int8-static"].text == "within budget"
    # So few examples prove little of a network that was made narrower; it is not over budget, at least.
    assert verdicts["slim.onnx.fp32"].text in ("within budget", f"not provable with {judged} examples")
    assert verdicts["fault.onnx.fp32"].text == "over budget"
    assert (result.metric, tuple(figure.name for figure in result.test.figures)) == (task.metric, task.figures)
    assert result.test_verdict.adjusted_drop_upper >= result.test.drop

    float_model = tmp_path / "run" / "candidates" / "float.onnx.fp32" / "model.onnx"
    server = pipeline.serve(result.archive, port=None, model_store=None)
    try:
        validation = read_split(tmp_path / "run" / "data" / "validation.safetensors")
        (values,) = validation.inputs.values()
        response = httpx.post(
            f"{server.url}/predictions/{server.model}",
            json={"instances": values[:3].tolist()},
            headers={"X-Pipeline-Logits": "1"},
        )
        for prediction in response.json()["predictions"]:
            expected = answers_of(name, np.array(prediction["logits"], np.float32))
            assert {field: prediction[field] for field in expected} == expected
        verified = pipeline.verify(
            result.archive,
            digest=server.digest,
            url=server.url,
            data=tmp_path / "run" / "data",
            float_model=float_model,
        )
        assert isinstance(verified, pipeline.ArchiveVerification)
        assert verified.served is not None
        assert [quality.metric for quality in verified.served.quality] == [task.metric] * 2
        recorded = {quality.split: (quality.accuracy, quality.recorded) for quality in verified.quality}
        assert all(accuracy == pytest.approx(before, abs=0.02) for accuracy, before in recorded.values())
        request = tmp_path / "request.json"
        request.write_text(json.dumps({"instances": values[:1].tolist()}))
        [answered] = pipeline.predict(request)
        words = str(answered.predictions[0])
        assert words.startswith("progression ") if name == "regression" else "." in words
    finally:
        pipeline.stop(server.port)
    checked = pipeline.verify(tmp_path / "run")
    assert isinstance(checked, pipeline.RunVerification)
    checked.require()
    card = pipeline.evidence(result.archive, form="markdown")
    assert task.card in card
    assert all(f"| test | {figure} |" in card for figure in task.figures)
