"""Timing real files in real processes: what comes back, never how long it takes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline.engine.stage import Silent
from pipeline.errors import StageError
from pipeline.measure.gain import speed_up
from pipeline.measure.latency import Measurement, Subject, file_subject, measure_latency
from tests.command_line import running

INPUTS = [InputSpec(name="x", dtype="float32", shape=(4,), low=-1, high=1)]


def write_model(path: Path) -> None:
    """y = x @ ones(4, 2)."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [1.0] * 8)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model.onnx")
    save_file({"input.x": np.zeros((3, 4), dtype=np.float32)}, tmp_path / "samples.safetensors")
    return tmp_path


def subject(folder: Path, name: str, file: str = "model.onnx") -> Subject:
    return file_subject(
        name,
        folder,
        RuntimeSpec(kind="onnxruntime", file=file),
        inputs=INPUTS,
        samples=folder / "samples.safetensors",
        batch_sizes=(1, 8),
    )


def measure(*subjects: Subject, rounds: int = 3) -> dict[str, Measurement]:
    return measure_latency(subjects, rounds=rounds, block_s=0.005, reporter=Silent())


def test_every_subject_gets_a_value_per_round_and_batch_size(folder: Path) -> None:
    timings = measure(subject(folder, "a"), subject(folder, "b"))
    assert list(timings) == ["a", "b"]
    for found in timings.values():
        assert [one.batch_size for one in found.timings] == [1, 8]
        assert all(len(one.rounds_s) == 3 and min(one.rounds_s) > 0 for one in found.timings)
        assert found.load_s > 0
        assert found.peak_bytes > 1_000_000


def test_a_file_and_its_copy_show_no_gain(folder: Path) -> None:
    write_model(folder / "copy.onnx")
    assert (folder / "copy.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    claims = []
    # One claim in twenty is what a 95 % interval allows, on a busy machine too: a real gain would be claimed each time.
    for _ in range(4):
        found = measure(subject(folder, "a"), subject(folder, "b", "copy.onnx"), rounds=9)
        one, other = found["a"].timings[0].rounds_s, found["b"].timings[0].rounds_s
        claims.append((speed_up(one, other).is_gain, speed_up(other, one).is_gain))
    for direction in zip(*claims, strict=True):
        assert not all(direction)


def test_a_file_shows_no_gain_over_its_own_copies(folder: Path) -> None:
    for name in ("second", "third"):
        (folder / name).mkdir()
        shutil.copyfile(folder / "model.onnx", folder / name / "model.onnx")
    subjects = [subject(folder, "first")]
    subjects += [
        replace(subjects[0], name=name, job={**subjects[0].job, "folder": str(folder / name)})
        for name in ("second", "third")
    ]
    found = measure_latency(subjects, rounds=15, block_s=0.01, reporter=Silent())
    first, second, third = ([one.rounds_s for one in found[name].timings] for name in ("first", "second", "third"))
    for place in range(2):
        noise = speed_up(first[place], third[place])
        assert speed_up(first[place], second[place]).claim(noise) == "none"


def test_what_a_factory_prints_is_no_answer(folder: Path) -> None:
    # The module runs as a program of its own, as the one that times eager does.
    program = folder / "talks.py"
    program.write_text(
        "import os\n"
        "from pipeline.measure.worker import read_job, serve\n"
        "def load():\n"
        "    print('loading')\n"
        "    os.system('echo from a child')\n"
        "    return lambda size: lambda: print('called')\n"
        "serve(read_job(), load)\n"
    )
    talks = Subject(name="talks", worker="talks", job={}, batch_sizes=(1,), threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        [timing] = measure_latency([talks], rounds=2, block_s=0.005, reporter=Silent())["talks"].timings
    assert len(timing.rounds_s) == 2


def test_a_file_that_cannot_be_loaded_is_named(folder: Path) -> None:
    with pytest.raises(StageError, match=r"timing broken: .*none\.onnx"):
        measure(subject(folder, "broken", "none.onnx"))


def test_timing_processes_end_with_a_killed_build(folder: Path) -> None:
    (folder / "sleeps.py").write_text(
        "import os, time\n"
        "from pathlib import Path\n"
        "from pipeline.measure.worker import read_job, serve\n"
        "def load():\n"
        "    Path('pid.part').write_text(str(os.getpid()))\n"
        "    Path('pid.part').rename('pid')\n"
        "    time.sleep(600)\n"
        "serve(read_job(), load)\n"
    )
    program = (
        "from pipeline.measure.latency import Subject, measure_latency\n"
        "from pipeline.engine.stage import Silent\n"
        "sleeps = Subject(name='sleeps', worker='sleeps', job={}, batch_sizes=(1,), threads=1, own_code=True)\n"
        "measure_latency([sleeps], rounds=2, block_s=0.005, reporter=Silent())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())])}
    with running([sys.executable, "-c", program], cwd=folder, env=environment) as build:
        while not (folder / "pid").exists():
            assert build.poll() is None
            time.sleep(0.05)
        child = psutil.Process(int((folder / "pid").read_text()))
    _, alive = psutil.wait_procs([child], timeout=20)
    for process in alive:
        process.kill()
    assert alive == []
