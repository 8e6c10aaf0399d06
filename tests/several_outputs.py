"""A network with outputs of several shapes and scales, and its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from pipeline._handlers.compare import in_outputs
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.runtimes import RUNTIMES
from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.parity import check_parity
from pipeline.checks.parity_report import ParityReport
from pipeline.checks.reference import Reference, module_reference
from pipeline.export.onnx import export_onnx
from pipeline.export.torchscript import export_torchscript
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import DeployableOfOutputs

PICTURES = InputSpec(name="pictures", dtype="float32", shape=(1, 6, 6), low=-4, high=4)
SPECS = (
    OutputSpec(name="logits", shape=(5,)),
    OutputSpec(name="embedding", shape=(3,)),
    OutputSpec(name="trunk", shape=(8, 6, 6)),
    OutputSpec(name="mask", shape=(2, 6, 6)),
)
# The embedding is so much smaller than the logits.
SMALL = 1e-6


class Several(nn.Module):
    """Two convolutions, and heads behind them; the values in front of the heads are an output too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.head, self.small, self.mask = nn.Linear(8, 5), nn.Linear(8, 3), nn.Conv2d(8, 2, 1)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        trunk = self.second(self.first(pictures).relu()).relu()
        pooled = trunk.mean((2, 3))
        return {
            "logits": 100 * self.head(pooled),
            "embedding": 100 * SMALL * self.small(pooled),
            "trunk": trunk,
            "mask": self.mask(trunk),
        }


def network() -> Several:
    """The network with the same weights on every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Several()


def several(inner: nn.Module | None = None) -> DeployableOfOutputs:
    """The network behind its preprocessing; or another network in its place."""
    inner = network() if inner is None else inner
    return DeployableOfOutputs(preprocess=ToFloat(), network=inner, choice=()).eval()


def pictures(count: int = 32) -> NDArray[np.float32]:
    """Inputs (N, 1, 6, 6), the same on every call."""
    return np.random.default_rng(0).uniform(-4, 4, (count, 1, 6, 6)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A file of the network.

    Args:
        file: path of the file.
        runtime: how it is run.
    """

    file: Path
    runtime: RuntimeSpec

    def parity(self, reference: Reference, folder: Path) -> ParityReport:
        """Hold the file against a reference, on real and made-up inputs."""
        samples = folder / "samples.safetensors"
        save_file({"input.pictures": pictures()}, samples)
        return check_parity(
            candidate=self.file.name,
            file=self.file,
            runtime=self.runtime,
            reference=reference,
            inputs=(PICTURES,),
            samples=samples,
            tolerance=in_outputs(replace(FLOAT32, same_decision=False), SPECS),
            batch_sizes=(1, 7),
            scratch=folder,
        )


def written(file: Path, module: nn.Module) -> Held:
    """Export a module as ONNX or TorchScript, by the name of the file."""
    example = (torch.from_numpy(pictures(2)),)
    if file.suffix == ".onnx":
        export_onnx(module, file, inputs=(PICTURES,), outputs=SPECS, example=example, opset=18)
    else:
        export_torchscript(module, file, example=example, tolerance=in_outputs(FLOAT32, SPECS))
    kind = next(kind for kind, facts in RUNTIMES.items() if facts.ending == file.suffix)
    return Held(file=file, runtime=RuntimeSpec(kind=kind, file=file.name, outputs=SPECS))


def reference() -> Reference:
    """The network itself as a reference."""
    return module_reference(several(), (PICTURES,))
