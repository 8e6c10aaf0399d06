"""The stages `data` and `train` on real data, through the runner."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.commands.event_files import EventFiles, read_steps
from pipeline.commands.init import FILES, init_project
from pipeline.data import fashion_mnist_files as files
from pipeline.data.dataset import read_info, read_split
from pipeline.data.fashion_mnist import load
from pipeline.engine.runner import Outcome, run_stages
from pipeline.engine.stage import Silent
from pipeline.errors import DataError, UsageError
from pipeline.recipe.loading import load_recipe
from pipeline.stages.data import STAGE as DATA_STAGE
from pipeline.stages.train import STAGE as TRAIN_STAGE
from tests.reporters import Lines

CHECKOUT = Path(__file__).parents[2]
STAGES = (DATA_STAGE, TRAIN_STAGE)


def _run(recipe: Path, *overrides: str) -> dict[str, Outcome]:
    _, outcomes = run_stages(STAGES, load_recipe(recipe, overrides), recipe.parent / "run", Silent())
    return {one.stage: one for one in outcomes}


def test_fashion_mnist_is_what_it_is_known_to_be() -> None:
    whole = load(validation_size=10_000, seed=0)
    assert [len(one) for one in (whole.train, whole.validation, whole.test)] == [50_000, 10_000, 10_000]
    both = np.concatenate([whole.train.labels, whole.validation.labels])
    assert np.bincount(both).tolist() == [6_000] * 10
    assert whole.test.labels is not None
    assert np.bincount(whole.test.labels).tolist() == [1_000] * 10
    pixels = np.concatenate([whole.train.inputs["image"], whole.validation.inputs["image"]]) / np.float32(255)
    assert pixels.mean() == pytest.approx(0.2860, abs=1e-4)
    assert pixels.std() == pytest.approx(0.3530, abs=1e-4)
    assert load(validation_size=10_000, seed=0).digest() == whole.digest()
    assert load(validation_size=10_000, seed=1).digest() != whole.digest()
    assert files.locate() is not None


class _Mirror(BaseHTTPRequestHandler):
    """Answers as the mirror would, asked through a proxy."""

    folder: ClassVar[Path]
    status: ClassVar[int]

    def do_GET(self) -> None:
        content = (self.folder / self.path.rpartition("/")[2]).read_bytes()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def _mirror(monkeypatch: pytest.MonkeyPatch, folder: Path, status: int) -> Iterator[None]:
    handler = type("Mirror", (_Mirror,), {"folder": folder, "status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_fetched_from_the_web_into_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = files.ensure()
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path))
    monkeypatch.setattr(files, "SYSTEM_FOLDER", tmp_path / "system")
    with _mirror(monkeypatch, source, 200):
        assert files.ensure() == tmp_path / "fashion-mnist"
    assert sorted(path.name for path in (tmp_path / "fashion-mnist").iterdir()) == sorted(files.CONTENTS)
    assert files.ensure() == tmp_path / "fashion-mnist", "the second time without the web"


def test_a_mirror_that_answers_nonsense_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    for name in files.CONTENTS:
        (folder / name).write_bytes(b"<html>not found</html>")
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(files, "SYSTEM_FOLDER", tmp_path / "system")
    with (
        _mirror(monkeypatch, folder, 200),
        pytest.raises(DataError, match=r"the web \(.*expected a readable gzip"),
    ):
        files.ensure()
    with _mirror(monkeypatch, folder, 404), pytest.raises(DataError, match=r"the web \(.*404"):
        files.ensure()
    assert not list((tmp_path / "data" / "fashion-mnist").iterdir())


def test_when_nothing_works_one_line_says_what_was_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(files, "SYSTEM_FOLDER", tmp_path / "system")
    told: list[str] = []
    with pytest.raises(DataError) as caught:
        files.ensure(log=told.append)
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        f"tried {tmp_path}/fashion-mnist (no such folder)",
        f"{tmp_path}/system (no such folder)",
        "the web (http",
        "the Debian package dataset-fashion-mnist (apt-get and dpkg not on this machine)",
        f"copy them to {tmp_path}/fashion-mnist, or set PIPELINE_DATA",
    ):
        assert part in text
    assert told == [
        "Fashion-MNIST: fetching from the web",
        "Fashion-MNIST: fetching from the Debian package dataset-fashion-mnist",
    ]
    assert not list((tmp_path / "fashion-mnist").iterdir()), "nothing half-fetched is left"


def test_the_example_from_another_working_directory(tmp_path: Path) -> None:
    """Two real processes: the second finds everything up to date."""
    recipe = init_project(tmp_path / "project")[0]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from pipeline.recipe.loading import load_recipe\n"
        "from pipeline.engine.runner import run_stages\n"
        "from pipeline.engine.stage import Silent\n"
        "from pipeline.stages import data, train\n"
        "recipe = load_recipe(sys.argv[2], ['train.epochs=6'])\n"
        "_, outcomes = run_stages((data.STAGE, train.STAGE), recipe, Path(sys.argv[3]), Silent())\n"
        "print([one.action for one in outcomes], [one.reason for one in outcomes])\n"
    )
    run_dir = tmp_path / "run"
    command = [sys.executable, "-c", code, str(CHECKOUT), "../project/recipe.toml", str(run_dir)]
    for expected in ("['ran', 'ran'] ['not built yet', 'not built yet']\n", "['up to date', 'up to date'] ['', '']\n"):
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
    info = read_info(run_dir / "data" / "data.json")
    assert (info.name, info.sizes) == ("digits", {"train": 899, "validation": 539, "test": 359})
    model = json.loads((run_dir / "train" / "model.json").read_text())
    assert (model["name"], model["inputs"][0]["shape"], len(model["labels"])) == ("my_nets", [1, 8, 8], 10)
    history = json.loads((run_dir / "train" / "history.json").read_text())
    assert len(history["epochs"]) == 6
    assert history["final"]["validation"]["accuracy"] > 0.9
    assert (run_dir / "train" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in recipe.parent.iterdir()) == sorted(FILES), "the project is left as it was"


NETS = (
    "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))\n"
)
DATA = """
import numpy as np
from pipeline._handlers.decode import InputSpec
from pipeline import DataSet

def load(path=None, shift=0.0):
    raw = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    spec = InputSpec(name="x", dtype="float32", shape=(2,), low=-99, high=99)
    labels = (raw.sum(axis=1) > 0).astype(np.int64)
    return DataSet.from_arrays("plane", {"x": raw + np.float32(shift)}, labels, classes=["a", "b"], specs=[spec])
"""
RECIPE = """
[model]
factory = "nets:build"
[data]
factory = "points:load"
[train]
epochs = 4
batch_size = 16
learning_rate = 0.01
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "points.py").write_text(DATA)
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_what_is_edited_is_noticed_and_only_what_depends_on_it_runs_again(recipe: Path) -> None:
    folder = recipe.parent
    _run(recipe)
    assert [one.action for one in _run(recipe).values()] == ["up to date", "up to date"]

    (folder / "nets.py").write_text(NETS.replace("16", "12"))
    outcomes = _run(recipe)
    assert [one.action for one in outcomes.values()] == ["up to date", "ran"]
    assert "nets.py changed" in outcomes["train"].reason
    assert load_file(folder / "run" / "train" / "weights.safetensors")["0.weight"].shape == (12, 2)

    (folder / "points.py").write_text(DATA.replace("shift=0.0", "shift=1.0"))
    assert [one.action for one in _run(recipe).values()] == ["ran", "ran"]
    assert read_split(folder / "run" / "data" / "test.safetensors").inputs["x"].mean() == pytest.approx(1, abs=0.3)

    assert [one.action for one in _run(recipe, "train.seed=1").values()] == ["up to date", "ran"]


def test_a_copy_of_the_project_elsewhere_gives_the_same_bytes(recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    other.mkdir()
    for name in ("nets.py", "points.py", "recipe.toml"):
        (other / name).write_bytes((recipe.parent / name).read_bytes())
    _run(recipe)
    _run(other / "recipe.toml")
    written = sorted(path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*.*") if path.is_file())
    assert len(written) >= 8
    for path in written:
        if path.name not in ("manifest.json", ".lock"):
            assert (tmp_path / "run" / path).read_bytes() == (other / "run" / path).read_bytes(), path


# What torch's own modules do on import of the compiler.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_weights_without_epochs_are_taken_as_they_are(recipe: Path) -> None:
    _run(recipe)
    trained = load_file(recipe.parent / "run" / "train" / "weights.safetensors")
    before = json.loads((recipe.parent / "run" / "train" / "history.json").read_text())["final"]
    torch.save({"state_dict": {f"module.{key}": value for key, value in trained.items()}}, recipe.parent / "w.pth")

    _run(recipe, "model.weights=w.pth", "train.epochs=0")
    again = load_file(recipe.parent / "run" / "train" / "weights.safetensors")
    assert all(torch.equal(value, again[key]) for key, value in trained.items())
    history = json.loads((recipe.parent / "run" / "train" / "history.json").read_text())
    assert history == {"epochs": [], "final": before}

    with pytest.raises(UsageError, match=r"found 4 of 4 tensors made at random, .*: 0\.weight, 0\.bias, 2\.weight"):
        _run(recipe, "train.epochs=0")
    save_file(trained, recipe.parent / "mine.safetensors")
    loads = "    network.load_state_dict(load_file(path))\n    return torch.compile(network)\n"
    own = NETS.replace("    return ", "    network = ").replace("build()", "build(path)") + loads
    (recipe.parent / "nets.py").write_text(f"import torch\nfrom safetensors.torch import load_file\n{own}")
    _run(recipe, "train.epochs=0", f"model.arguments.path={recipe.parent / 'mine.safetensors'}")
    again = load_file(recipe.parent / "run" / "train" / "weights.safetensors")
    assert all(torch.equal(value, again[key]) for key, value in trained.items()), "under the network's own names"
    (recipe.parent / "nets.py").write_text(NETS)

    torch.save(
        {"model": trained, "model_ema": {key: value + 1 for key, value in trained.items()}}, recipe.parent / "w.pth"
    )
    _run(recipe, "model.weights=w.pth", "train.epochs=0", "model.weights_key=model_ema")
    _run(recipe, "model.weights=w.pth", "train.epochs=0", "model.weights_key=model")
    again = load_file(recipe.parent / "run" / "train" / "weights.safetensors")
    assert all(torch.equal(value, again[key]) for key, value in trained.items()), "the key is a part of what was asked"

    _run(recipe, "model.weights=w.pth", "model.weights_key=model", "train.epochs=1")
    further = json.loads((recipe.parent / "run" / "train" / "history.json").read_text())
    assert further["epochs"][0]["train"]["accuracy"] > 0.9, "it starts from the weights"


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pipeline.commands.event_files import EventFiles
from pipeline.recipe.loading import load_recipe
from pipeline.engine.runner import run_stages
from pipeline.engine.stage import Silent
from pipeline.stages import data, train

class Deadly(Silent):
    def progress(self, task, completed, total, detail=""):
        if task == "train" and completed >= int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

reporter = EventFiles(Path(sys.argv[5]), Deadly())
run_stages((data.STAGE, train.STAGE), load_recipe(sys.argv[2]), Path(sys.argv[3]), reporter)
"""


def test_a_killed_training_continues_to_bitwise_the_same_weights(recipe: Path, tmp_path: Path) -> None:
    """15 steps an epoch: killed in the second of four, continued here, and compared with a run in one go."""
    command = [sys.executable, "-c", KILLED, str(CHECKOUT), str(recipe), str(tmp_path / "parts"), "25"]
    command.append(str(tmp_path / "curves-parts"))
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "parts").rglob("epoch-0001-accuracy-*.kept"))) == 1
    assert not (tmp_path / "parts" / "train").exists()
    told = Lines()
    for name in ("parts", "whole"):
        run_stages(STAGES, load_recipe(recipe), tmp_path / name, EventFiles(tmp_path / f"curves-{name}", told))
    assert told.said.count("train: continues after epoch 1 of 4") == 1
    curves = read_steps(tmp_path / "curves-parts" / "train")
    assert list(curves) == [1, 2, 3, 4]
    assert curves == read_steps(tmp_path / "curves-whole" / "train")
    for name in ("weights.safetensors", "history.json", "learning_curves.png", "metrics.json", "model.json"):
        assert (tmp_path / "whole" / "train" / name).read_bytes() == (tmp_path / "parts" / "train" / name).read_bytes()


def test_a_fault_in_the_users_network_is_one_line(recipe: Path) -> None:
    (recipe.parent / "nets.py").write_text("def build():\n    return undefined\n")
    with pytest.raises(UsageError, match=r"factory nets:build: NameError: name 'undefined'.*nets\.py:2\)"):
        _run(recipe)


def test_a_network_that_is_too_large_ends_training_with_one_line(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (3_000_000_000, 3_000_000_000))\n"
        "sys.argv = ['pipeline', 'train', 'toy', '--set', 'model.arguments.hidden=[60000,60000]', '--run-dir', 'run']\n"
        "from pipeline.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: stage train: out of memory: expected 14.4 GB more, found ")
