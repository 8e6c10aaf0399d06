"""What enters the comparison: a file, or a compiled network, and what it took to make it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline._handlers.description import RuntimeSpec

# What computes the answers. `handlers`: ONNX Runtime, as `handlers.model_file` serves our own files; `openvino`: in the
# precision it takes by itself; `inductor`: what torch.compile makes.
Engine = Literal["handlers", "openvino", "openvino-f32", "inductor", "inductor-autotuned", "inductor-exported"]
Peer = Literal["onnxruntime", "torch-compile", "openvino", "neural-compressor", "olive"]
PEERS: tuple[Peer, ...] = ("onnxruntime", "torch-compile", "openvino", "neural-compressor", "olive")
# Training examples that a tool is given to calibrate on: NNCF's own default.
CALIBRATION_EXAMPLES = 300
BATCH_SIZES = (1, 32)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Something that answers, made from the float network.

    Args:
        name: for people; unique.
        engine: what runs it.
        file: the model file; for the float network in `inductor`, the run directory that holds it.
        seconds: wall-clock of the tool's own work; None where there was none.
        size: of what has to be shipped, in bytes, besides the engine.
        note: what a reader must know; may be empty.
        runtime: how `handlers` runs it; None for another engine.
        lossy: whether it may answer otherwise than float; only what a build proved to be lossless may not.
    """

    name: str
    engine: Engine
    file: Path
    seconds: float | None
    size: int
    note: str = ""
    runtime: RuntimeSpec | None = None
    lossy: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        runtime = None if self.runtime is None else self.runtime.to_json()
        return {**asdict(self), "file": str(self.file), "runtime": runtime}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Contender:
        """The opposite of `to_json`."""
        runtime = None if document["runtime"] is None else RuntimeSpec.from_json(document["runtime"])
        return cls(**{**document, "file": Path(document["file"]), "runtime": runtime})


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every tool is handed: the same float network, the same data, the same budget.

    Args:
        run_dir: of the build that trained the network.
        model: the float network as ONNX: raw pixels in, logits out.
        input_name: of its one input.
        classes: number of them.
        train: split to calibrate on.
        validation: split that a tool may choose on.
        folder: its own, empty; what it makes goes there.
        max_drop: of accuracy, as a fraction.
        search_s: for a tool that searches as long as it may.
    """

    run_dir: Path
    model: Path
    input_name: str
    classes: int
    train: Path
    validation: Path
    folder: Path
    max_drop: float
    search_s: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Task:
        """The opposite of `to_json`."""
        paths = ("run_dir", "model", "train", "validation", "folder")
        return cls(**{**document, **{name: Path(document[name]) for name in paths}})
