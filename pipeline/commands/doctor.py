"""`pipeline.doctor`: whether a build and a serve would work here; a check per thing they need, and how to mend it."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.data.table import BUILT_IN, BuiltIn
from pipeline.engine.places import mounted_noexec, require_temp
from pipeline.engine.probe import MEND_ENVIRONMENT, Check, last_line, probe
from pipeline.engine.side_by_side import side_by_side
from pipeline.errors import PipelineError
from pipeline.serving.defaults import DEFAULT_PORT, DEFAULT_SERVER, HOST
from pipeline.serving.table import SERVERS

PYTHON_RANGE = ((3, 11), (3, 13))
# The data, a recipe's candidates and a few archives take well under this.
NEEDED_DISK_GB = 2.0

TORCH_PROBE = """
import torch, torchvision
boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5).tolist()
assert kept == [0], f"nms kept {kept}, expected [0]"
print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, nms answers")
"""

ONNX_RUNTIME_PROBE = """
import numpy, onnx, onnxruntime
from onnx import TensorProto, helper
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "probe", [value("x")], [value("y")])
model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
answer = session.run(None, {"x": numpy.ones(2, numpy.float32)})[0].tolist()
assert answer == [2.0, 2.0], f"1 + 1 gave {answer}"
print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, a session answers")
"""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Whether this machine has what it takes.

    Args:
        checks: one for each thing that was looked at, always in the same order.
    """

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether a build and a serve would work: every required check is fine."""
        return all(check.ok for check in self.checks if check.required)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"healthy": self.healthy, "checks": [check.to_json() for check in self.checks]}


def doctor(folder: Path | str | None = None, *, port: int = DEFAULT_PORT) -> Diagnosis:
    """Look at everything that a build and a serve need.

    Args:
        folder: where runs will be written; the working directory by default.
        port: where `pipeline serve` would listen.

    Returns:
        What was looked at, and how to mend what is not as it must be.
    """
    checks: list[Callable[[], Check]] = [
        lambda: check_python(sys.version_info[:3]),
        lambda: check_torch(sys.executable),
        lambda: check_onnx_runtime(sys.executable),
        *SERVERS[DEFAULT_SERVER].checks(sys.executable),
        lambda: check_port(port),
        lambda: check_disk(Path.cwd() if folder is None else Path(folder), NEEDED_DISK_GB),
        check_temp,
        check_state,
        *(partial(check_data, data_set) for data_set in BUILT_IN.values() if data_set.needed),
    ]
    return Diagnosis(checks=tuple(side_by_side(lambda check: check(), checks, at_once=len(checks))))


def check_python(version: Sequence[int]) -> Check:
    """The interpreter is one of those the tests run on."""
    low, high = PYTHON_RANGE
    ok = low <= tuple(version[:2]) < high
    remedy = f"expected Python {low[0]}.{low[1]} up to, but not including, {high[0]}.{high[1]}; install one of those"
    return Check(name="Python", ok=ok, found=".".join(map(str, version)), remedy="" if ok else remedy)


def check_torch(python: str) -> Check:
    """The pair comes from the same build: its compiled `nms` is really called."""
    ok, found = probe(python, TORCH_PROBE)
    remedy = "" if ok else torch_remedy(found)
    return Check(name="torch and torchvision", ok=ok, found=found, remedy=remedy)


def torch_remedy(found: str) -> str:
    """How to mend a pair that failed, from what its failure said."""
    if "torchvision::nms" in found or "libcudart" in found or "undefined symbol" in found:
        return (
            "torch and torchvision are of different builds (one for the CPU alone and one for CUDA, or of versions "
            f"that do not belong together); {MEND_ENVIRONMENT}, so that both come from the same place"
        )
    return MEND_ENVIRONMENT


def check_onnx_runtime(python: str) -> Check:
    """ONNX Runtime opens and runs a graph of one node."""
    ok, found = probe(python, ONNX_RUNTIME_PROBE)
    return Check(name="ONNX Runtime", ok=ok, found=found, remedy="" if ok else MEND_ENVIRONMENT)


def check_port(port: int) -> Check:
    """The port that `pipeline serve` takes by default is free; a server of ours that holds it is in the way as well."""
    from pipeline.serving.state import read_states

    if _is_free(port):
        return Check(name="port", ok=True, found=f"{port} free")
    ours = next((state for state in read_states() if state.port == port), None)
    if ours is not None:
        return Check(
            name="port",
            ok=False,
            found=f"{port} held by our own server of {ours.model} {ours.version}",
            remedy=f"end it with `pipeline stop --port {port}`, or `pipeline serve --port N` with a free one",
        )
    remedy = f"end what holds it (`ss -ltnp sport = :{port}` says what), or `pipeline serve --port N` with a free one"
    return Check(name="port", ok=False, found=f"{port} in use", remedy=remedy)


def check_disk(folder: Path, needed_gb: float) -> Check:
    """The disk holds another run."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    ok = free_gb >= needed_gb
    remedy = f"make room, or give `--run-dir` on a disk with {needed_gb:g} GB free"
    return Check(name="disk space", ok=ok, found=f"{free_gb:.1f} GB free at {folder}", remedy="" if ok else remedy)


def check_state() -> Check:
    """Running servers can be recorded: in a home, or without one."""
    from pipeline.serving.state import STATE_VARIABLE, require_state_folder, state_folder

    name = "state folder"
    try:
        require_state_folder()
    except PipelineError as error:
        return Check(
            name=name, ok=False, found=last_line(str(error)), remedy=f"set {STATE_VARIABLE} to a folder of your own"
        )
    return Check(name=name, ok=True, found=f"{state_folder()}, writable")


def check_temp(folder: Path | None = None) -> Check:
    """The temp directory takes files, and the server can work in it.

    Args:
        folder: to look at; the one that temporary files go to if not given.
    """
    name = "temp directory"
    remedy = "set TMPDIR to a short path that you may write to, /tmp for example"
    try:
        folder = folder or require_temp()
    except PipelineError as error:
        return Check(name=name, ok=False, found=last_line(str(error)), remedy=remedy)
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check(name=name, ok=False, found=f"{folder}: {error.strerror or error}", remedy=remedy)
    unfit = SERVERS[DEFAULT_SERVER].unfit_temp(folder)
    if unfit is not None:
        return Check(name=name, ok=False, found=f"{folder}: {unfit}", remedy=remedy)
    if mounted_noexec(folder):
        found = f"{folder}, writable, mounted noexec: `pipeline serve` works in /tmp or /var/tmp instead"
        remedy = "nothing to do where one of those will do; else set TMPDIR to a folder that programs may be run from"
        return Check(name=name, ok=False, found=found, remedy=remedy, required=False)
    return Check(name=name, ok=True, found=f"{folder}, writable")


def check_data(data_set: BuiltIn) -> Check:
    """A built-in data set, whole, is on this machine.

    Required: nothing is fetched here, so nobody knows that it could be.
    """
    folder = data_set.locate()
    if folder is not None:
        return Check(name="data", ok=True, found=f"{data_set.title} in {folder}")
    return Check(name="data", ok=False, found=f"{data_set.title} not fetched yet", remedy=data_set.remedy())


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As servers do: what a closed server's last connections left behind does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True
