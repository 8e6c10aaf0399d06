"""The page's network of two inputs and outputs of several shapes: built as it stands, served and asked over HTTP."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import pipeline
from pipeline.archive.mar import read_archive
from pipeline.candidates.report import CandidateReport
from pipeline.engine.documents import read_document
from tests.command_line import free_port
from tests.report_documents import shown

PAGE = (Path(__file__).parents[2] / "docs" / "own-model.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Several outputs\n")[2].partition("\n## ")[0]
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE))
QUICK = ("measure.rounds=6", "measure.block_ms=5", "measure.batch_sizes=[1]", "verify.samples=32", "smoke.pictures=4")
SHAPES = {"scores": [3], "heat": [2, 4, 4], "level": [], "hidden_states.0": [32]}
VALUES, TOKENS = [0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name, block in BLOCKS.items():
        if "." in name:
            (tmp_path / name).write_text(block)
    yield tmp_path
    for name in ("heads", "pairs"):
        sys.modules.pop(name, None)


def expected(folder: Path) -> dict[str, Any]:
    """What the page's network answers to the page's request, (*shape) by name."""
    network = runpy.run_path(str(folder / "heads.py"))["build"]().eval()
    with torch.no_grad():
        output = network(torch.tensor([VALUES], dtype=torch.float32), torch.tensor([TOKENS]))
    tensors = (output.scores, output.heat, output.level, output.hidden_states[0])
    return {name: tensor[0].numpy() for name, tensor in zip(SHAPES, tensors, strict=True)}


@pytest.mark.slow
def test_it_is_proven_packed_and_answered_by_name(folder: Path) -> None:
    result = pipeline.build(
        folder / "many.toml",
        run_dir=folder / "run",
        model_store=folder / "store",
        overrides=(*QUICK, "candidates.variants=[]", 'candidates.formats=["onnx"]'),
    )
    absent = shown(result.page)["absent"]
    assert absent.keys() - {"graph"} == {"calibration", "confusion", "disagreements"}
    graph = onnx.load(folder / "run" / "candidates" / "float.onnx.fp32" / "model.onnx").graph
    assert [value.name for value in graph.output] == list(SHAPES)
    serving = read_archive(result.archive).serving
    assert serving.labels == tuple(SHAPES)
    assert [list(spec.shape) for spec in serving.outputs] == list(SHAPES.values())
    assert serving.task_settings == {
        "tolerance": {"scores": 0.05, "heat": "5 %", "level": "5 %", "hidden_states.0": "5 %"}
    }
    smoke = json.loads((folder / "run" / "smoke" / "smoke.json").read_text())
    assert smoke["comparison"]["passed"]
    assert smoke["correct"] == 4


@pytest.mark.slow
def test_it_is_built_served_and_asked_as_the_page_says(folder: Path) -> None:
    port = free_port()
    recipe = (folder / "many.toml").read_text()
    slim = '{ name = "slim", passes = [{ kind = "channel-pruning", keep = 0.5 }, { kind = "fine-tune", epochs = 1 }] }'
    int8 = '{ name = "int8", passes = [{ kind = "static-int8" }] }'
    (folder / "many.toml").write_text(f"{recipe}\n[candidates]\nvariants = [{slim}, {int8}]\n")
    quick = " ".join(f"--set '{setting}'" for setting in QUICK)
    commands = BLOCKS["many"].replace("8080", str(port)).replace("build many.toml", f"build many.toml {quick}")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIPELINE_STATE": str(folder / "state"),
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=5000,
    )  # fmt: skip
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    answer = next(line for line in ended.stdout.splitlines() if line.startswith('{"predictions"'))
    [prediction] = json.loads(answer[: answer.rindex("}") + 1].partition("stopped")[0])["predictions"]
    assert {name: list(np.shape(tensor)) for name, tensor in prediction["outputs"].items()} == SHAPES
    for name, tensor in expected(folder).items():
        limit = 0.05 * max(np.ptp(tensor), float(np.abs(tensor).max()))
        assert np.abs(np.array(prediction["outputs"][name]) - tensor).max() <= limit, name
    reports = {
        path.parent.name: read_document(path, CandidateReport)
        for path in (folder / "runs" / "many" / "candidates").glob("*/report.json")
    }
    assert {name.partition(".")[0] for name in reports} == {"float", "slim", "int8"}
    assert reports["slim.onnx.fp32"].passes[0].removed_weight_share > 0.2, "heads and hidden states keep their channels"
    assert reports["float.torchscript.fp32"].how == "trace"
    quality = reports["int8.onnx.int8-static"].quality
    assert quality.metric == "agreement with float"
    assert quality.accuracy > 0.9
    assert {figure.name.partition(" (")[0] for figure in quality.figures} == {
        f"largest difference of {name}" for name in SHAPES
    }
