"""The files that a model was made from, as the evidence names them."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.models.outside import files_behind
from pipeline.recipe.model import Model


def test_files_are_named_without_places_on_the_builders_machine(tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    outside = tmp_path / "some folder" / "trunk.bin"
    for path in (folder / "w.pth", folder / "mean.npy", outside):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
    torch.save({"weight": torch.zeros(1)}, folder / "w.pth")
    arguments = {"trunk": str(outside), "mean": "mean.npy", "width": 3}
    model = Model(factory="nets:build", arguments=arguments, weights="w.pth")
    reads = {"classes.txt": "c", "/home/someone/table.csv": "t", "pictures/": "p", "nets.py": "n"}
    digest = digest_bytes(b"1")
    assert files_behind(model, folder, reads) == {
        "classes.txt": "c",
        "model.arguments.mean mean.npy": digest,
        "model.arguments.trunk trunk.bin": digest,
        "model.weights": digest_file(folder / "w.pth"),
        "table.csv": "t",
    }
