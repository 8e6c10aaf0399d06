"""What enters the comparison: a file, or a compiled network, and what it took to make it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline._handlers.description import RuntimeSpec

# Name of what computes the answers. `handlers` is ONNX Runtime, as `handlers.model_file` serves our own files;
# `openvino` runs in the precision it takes by itself; `inductor` is what torch.compile makes.
Engine = Literal["handlers", "openvino", "openvino-f32", "inductor", "inductor-autotuned", "inductor-exported"]
Peer = Literal["onnxruntime", "torch-compile", "openvino", "neural-compressor", "olive"]
PEERS: tuple[Peer, ...] = ("onnxruntime", "torch-compile", "openvino", "neural-compressor", "olive")
# Number of training examples that a tool is given to calibrate on. It is NNCF's own default.
CALIBRATION_EXAMPLES = 300
BATCH_SIZES = (1, 32)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Something that answers, made from the float network.

    Args:
        name: name for people; it is unique.
        engine: name of what runs it.
        file: path of the model file; for the float network in `inductor`, of the run directory that holds it.
        seconds: wall-clock time of the tool's own work; None where there was none.
        size: size of what has to be shipped besides the engine, in bytes.
        note: what a reader must know; it may be empty.
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
        """Return the fields as JSON values."""
        runtime = None if self.runtime is None else self.runtime.to_json()
        return {**asdict(self), "file": str(self.file), "runtime": runtime}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Contender:
        """Read what `to_json` wrote."""
        runtime = None if document["runtime"] is None else RuntimeSpec.from_json(document["runtime"])
        return cls(**{**document, "file": Path(document["file"]), "runtime": runtime})


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every tool is handed: the same float network, the same data, the same budget.

    Args:
        run_dir: run directory of the build that trained the network.
        model: path of the float network as ONNX, which takes raw pixels and gives logits.
        input_name: name of its one input.
        classes: number of classes.
        train: path of the split to calibrate on.
        validation: path of the split that a tool may choose on.
        folder: an empty folder of its own; what it makes goes there.
        max_drop: largest drop of accuracy, as a fraction.
        search_s: time for a tool that searches as long as it may, in seconds.
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
        """Return the fields as JSON values."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Task:
        """Read what `to_json` wrote."""
        paths = ("run_dir", "model", "train", "validation", "folder")
        return cls(**{**document, **{name: Path(document[name]) for name in paths}})
