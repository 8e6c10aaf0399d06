"""A table through every stage without code: built, proven, served, asked by the names of its columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import pipeline
from pipeline.serving import lifecycle
from pipeline.serving.server import ServerState
from tests.command_line import run

RECIPE = """
[model]
name = "mlp"
arguments = { hidden = [24] }
[data]
table = "houses.csv"
targets = ["price", "rent"]
missing = true
columns = { number = "ignore" }
[task]
kind = "regression"
tolerance = [40, 0.4]
units = ["euro", "euro a day"]
[train]
epochs = 30
batch_size = 32
learning_rate = 0.01
[candidates]
formats = ["onnx"]
variants = [
  { name = "pruned", passes = [{ kind = "magnitude-pruning", amount = 0.3 }] },
  { name = "slim", passes = [{ kind = "channel-pruning", keep = 0.75 }, { kind = "fine-tune", epochs = 1 }] },
  { name = "float", passes = [{ kind = "static-int8" }] },
]
[budget]
max_accuracy_drop = 0.2
"""
QUICK = ("measure.rounds=6", "measure.block_ms=5", "verify.samples=32", "smoke.pictures=4")
ROWS = 500


def write_table(path: Path) -> None:
    """Houses whose price and rent follow from area and quarter; some areas and quarters are missing."""
    generator = np.random.default_rng(0)
    quarters = ["old, town", "harbour [east]", "hill"]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["number", "area", "quarter", "built", "price", "rent"])
        for number in range(ROWS):
            area, quarter = generator.uniform(30, 200), generator.integers(3)
            built = int(generator.integers(1900, 2020))
            price = 3 * area + 100 * quarter + 0.2 * (built - 1960)
            gap = number % 25
            writer.writerow(
                [
                    number,
                    "" if gap == 0 else f"{area:.2f}",
                    "" if gap == 1 else quarters[quarter],
                    built,
                    f"{price:.1f}",
                    f"{price / 100:.3f}",
                ]
            )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pipeline.BuildResult]:
    folder = tmp_path_factory.mktemp("table")
    write_table(folder / "houses.csv")
    (folder / "houses.toml").write_text(RECIPE)
    result = pipeline.build(
        folder / "houses.toml", run_dir=folder / "run", model_store=folder / "store", overrides=QUICK
    )
    return folder, result


@pytest.fixture(scope="module")
def server(built: tuple[Path, pipeline.BuildResult]) -> Iterator[ServerState]:
    with lifecycle.running_server(built[0] / "store" / "houses.mar") as state:
        yield state


def ask(server: ServerState, *instances: object) -> httpx.Response:
    return httpx.post(f"{server.url}/predictions/houses", json={"instances": instances}, timeout=30)


def test_every_candidate_is_proven(built: tuple[Path, pipeline.BuildResult]) -> None:
    folder, _ = built
    names = {path.parent.name for path in (folder / "run" / "candidates").glob("*/report.json")}
    assert {"float.onnx.fp32", "pruned.onnx.fp32", "slim.onnx.fp32"} <= names
    assert "float.onnx.int8-static" in names
    facts = json.loads((folder / "run" / "data" / "data.json").read_text())
    assert [column["name"] for column in facts["inputs"][0]["columns"]] == ["area", "quarter", "built"]
    assert len(facts["statistics"]["mean"]) == 2
    card = pipeline.evidence(folder / "store" / "houses.mar", form="markdown")
    assert "features: a row of 3 columns, NaN for missing ones: area, quarter (harbour" in card


def test_the_server_answers_by_names_and_in_order(server: ServerState) -> None:
    by_name = {"built": 1960, "quarter": "hill", "area": 100}
    response = ask(server, by_name, [100, "hill", 1960], {"area": None, "quarter": None, "built": 1960})
    assert response.status_code == httpx.codes.OK, response.text
    named, ordered, gaps = response.json()["predictions"]
    assert named == ordered
    values = {entry["name"]: entry for entry in named["values"]}
    assert values["price"]["value"] == pytest.approx(500, abs=60)
    assert values["rent"]["value"] == pytest.approx(5, abs=0.6)
    assert values["price"]["unit"] == "euro"
    assert gaps != named


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"area": 100, "quarter": "valley", "built": 1960}, "old, town"),
        ({"area": 100, "quarter": "hill"}, "the columns area, quarter, built"),
        (["large", "hill", 1960], "a number"),
    ],
)
def test_a_wrong_row_is_told_its_column(server: ServerState, instance: object, expected: str) -> None:
    response = ask(server, instance)
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert expected in response.json()["expected"]


def test_what_is_served_is_what_was_built(built: tuple[Path, pipeline.BuildResult], server: ServerState) -> None:
    folder, _ = built
    archive = folder / "store" / "houses.mar"
    ended = run("verify", archive, "--url", server.url, "--data", folder / "run" / "data", "--json")
    assert ended.returncode == 0, ended.stderr
    assert len(json.loads(ended.stdout)["served"]["quality"]) == 2
    (folder / "rows.json").write_text(json.dumps({"instances": [[100, "hill", 1960]]}))
    told = run("predict", folder / "rows.json", "--url", server.url)
    assert "price" in told.stdout, told.stderr
