"""What an archive answers without a server is what a real server answers with it, to the last digit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import httpx
import numpy as np

from pipeline.archive.mar import Archive
from pipeline.errors import DataError
from pipeline.serving import lifecycle
from pipeline.serving.encoding import encode_png
from tests.command_line import run

PIXELS = np.random.default_rng(5).integers(0, 256, (40, 1, 20, 17), dtype=np.uint8)


def test_pictures_without_a_server_and_with_one(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, pixels in enumerate(PIXELS):
        (folder / f"{number:02d}.png").write_bytes(encode_png(pixels))
    (folder / "broken.png").write_bytes(encode_png(PIXELS[0])[:100])
    (folder / "text.jpg").write_text("no picture")
    single, batches = tmp_path / "single.jsonl", tmp_path / "batches.csv"
    command = ["predict", archive.path, "--data", folder, "--workers", 2]
    assert run(*command, "--out", single, "--batch-size", 1).returncode == DataError.exit_code
    assert run(*command, "--out", batches).returncode == DataError.exit_code
    documents = [json.loads(line) for line in single.read_text().splitlines()]
    with batches.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [document["file"] for document in documents] == [row["file"] for row in rows]
    with lifecycle.running_server(archive.path) as server:
        for document, row in zip(documents, rows, strict=True):
            body = (folder / document.pop("file")).read_bytes()
            response = httpx.post(f"{server.url}/predictions/tiny", content=body, headers={"content-type": "image/png"})
            answer = response.json()
            if response.status_code == httpx.codes.OK:
                assert document == answer
                assert (row["label"], row["label_2"]) == (answer["label"], answer["top"][1]["label"])
                assert abs(float(row["probability"]) - answer["probability"]) < 1e-6
            else:
                words = f"{answer['error']}: expected {answer['expected']}, found {answer['found']}"
                assert document["error"] == row["error"] == words
    assert sum("error" in document for document in documents) == 2
