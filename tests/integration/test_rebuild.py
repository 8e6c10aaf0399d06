"""A named candidate built again elsewhere: the same bytes for weights, exports and archive."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.archive.mar import read_archive
from pipeline.engine.artifacts import digest_file

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
SETTINGS = (
    "train.epochs=1",
    "measure.rounds=6",
    "measure.block_ms=5",
    "verify.samples=32",
    'candidates.variants=[{name="cut", passes=[{kind="magnitude-pruning"}, {kind="dynamic-int8"}]}]',
    "select.candidate=float.onnx.fp32",
)
# All but the try through a server: it runs on the finished archive.
PROGRAM = """
import sys
from pathlib import Path
from pipeline.commands.init import init_project
from pipeline.recipe.loading import load_recipe
from pipeline.engine.runner import run_stages
from pipeline.engine.stage import Silent
from pipeline.stages import BUILD
if __name__ == "__main__":
    init_project(Path("example"))
    run_stages(BUILD[:-1], load_recipe("example/recipe.toml", sys.argv[1:]), Path("run"), Silent())
"""


def start(folder: Path, *, user: int | None = None, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True)
    if user is not None:
        os.chown(folder, user, user)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *SETTINGS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        umask=0o077 if environment else 0o022,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        stderr=subprocess.PIPE,
        text=True,
    )


def digests(folder: Path) -> dict[str, str]:
    """Of the splits, the weights, every candidate's file and the archive."""
    kinds = (
        "data/*.safetensors",
        "data/data.json",
        "train/weights.safetensors",
        "candidates/*/model.*",
        "package/*.mar",
    )
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for kind in kinds
        for path in sorted((folder / "run").glob(kind))
    }


@pytest.fixture
def another_user() -> int | None:
    """A user who can run this installation; None where there is none, or this user may not become another."""
    if os.geteuid() != 0:
        return None
    program = [sys.executable, "-c", "import pipeline, torch"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        subprocess.run(program, env=environment, user=NOBODY, group=NOBODY, extra_groups=[], check=True)
    except (PermissionError, subprocess.CalledProcessError):
        return None
    return NOBODY


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own let in nobody else."""
    with tempfile.TemporaryDirectory(prefix="another place ") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.slow
def test_another_directory_time_zone_locale_and_user_give_the_same_bytes(
    tmp_path: Path, elsewhere: Path, another_user: int | None
) -> None:
    here, there = tmp_path / "here", elsewhere / "there"
    builds = [
        start(here),
        start(
            there,
            user=another_user,
            TZ="Pacific/Kiritimati",
            LC_ALL="tr_TR.UTF-8",
            LANG="tr_TR.UTF-8",
            HOME=str(there / "home"),
            USER="someone",
            LOGNAME="someone",
            PYTHONHASHSEED="7",
        ),
    ]
    for build in builds:
        _, errors = build.communicate()
        assert build.returncode == 0, errors
    found = digests(here)
    assert sum(name.endswith((".onnx", ".pt")) for name in found) == 4
    assert digests(there) == found
    archive = read_archive(here / "run" / "package" / "digits.mar")
    assert archive.evidence is not None
    assert str(tmp_path).encode() not in archive.to_bytes()
