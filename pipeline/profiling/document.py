"""The file profile.json: all that a profile recorded, measured and tried."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import ClassVar, Literal

from pydantic import Field, ValidationError

from pipeline.engine.documents import Document, first_problem
from pipeline.errors import FileError

PROFILE_NAME = "profile.json"
_TENSORBOARD = "tensorboard"
_TRACE = ".json"
# What TensorBoard's plug-in for profiles looks for; before it stands what it shows as the worker's name.
_TENSORBOARD_TRACE = ".pt.trace.json.gz"
Mode = Literal["training", "inference"]
# What the table of operators is sorted by.
TableOrder = Literal["self", "total", "calls", "memory"]
TrialKind = Literal["batch size", "mixed precision", "accumulate", "threads", "activation checkpointing"]


class OperatorCost(Document):
    """What the calls of an operator cost in all recorded steps together.

    Args:
        name: name of the operator, such as `aten::convolution_backward`.
        shapes: shapes of its inputs, as text; empty where calls with any shapes are added up.
        calls: number of calls.
        self_us: time on the CPU without the operators that it calls itself, in microseconds.
        total_us: time on the CPU with them.
        device_self_us: time of its own kernels on the device, in microseconds; 0 where all runs on the CPU.
        device_total_us: time of all kernels below it.
        memory_bytes: memory that it allocated itself and did not free, in bytes, on the device where there is one; it
            is negative where it freed more.
    """

    name: str
    shapes: str = ""
    calls: int
    self_us: float
    total_us: float
    device_self_us: float = 0.0
    device_total_us: float = 0.0
    memory_bytes: int = 0


class Recording(Document):
    """Steps of one batch size: some recorded by operator, and as many timed without the recording, which slows them.

    Args:
        batch_size: examples in a batch.
        examples_per_step: mean number of examples in a step; more than a batch where gradients are accumulated.
        recorded_steps: number of recorded steps.
        recorded_ms: mean length of a recorded step, in milliseconds.
        step_ms: length of each step that was timed without recording, in milliseconds.
        spans_ms: mean time in each part of these steps, in milliseconds.
        operators: costs by operator.
        operators_by_shape: costs by operator and shapes of its inputs.
        trace: name of the trace, without the endings of its files.
    """

    batch_size: int
    examples_per_step: float
    recorded_steps: int
    recorded_ms: float
    step_ms: tuple[float, ...]
    spans_ms: dict[str, float]
    operators: tuple[OperatorCost, ...]
    operators_by_shape: tuple[OperatorCost, ...]
    trace: str

    @property
    def median_ms(self) -> float:
        """The length of a step, in milliseconds."""
        return median(self.step_ms)

    @property
    def loading_ms(self) -> float:
        """The time of a step in which the network waits for its data, in milliseconds."""
        return self.spans_ms.get("read", 0.0) + self.spans_ms.get("augment", 0.0)

    @property
    def loading_share(self) -> float:
        """The share of a step in which the network waits for its data."""
        return self.share(self.loading_ms)

    def share(self, milliseconds: float) -> float:
        """The share of a step that a time makes up."""
        return milliseconds / (sum(self.step_ms) / len(self.step_ms))


class Trial(Document):
    """The same training with one setting changed, in turns with the training as it is.

    Args:
        kind: what was changed.
        setting: the changed setting, as a person writes it.
        batch_size: examples in a batch.
        rate: examples a second, the median over the turns; 0 where it was not tried.
        base_rate: examples a second of the training as it is, in the same turns.
        gain: median over the turns of its rate over the rate as it is; 0 where it was not tried.
        left_out: why it was not tried.
    """

    kind: TrialKind
    setting: str
    batch_size: int
    rate: float = 0.0
    base_rate: float = 0.0
    gain: float = 0.0
    left_out: str = ""


class Loading(Document):
    """What adds to the time in which a step waits for its data.

    Args:
        augmentation_shares: share of the time of a load that is saved without a setting of augmentation, by setting.
        mapping_share: share that is saved where the batch is in memory; 0 where all examples are.
    """

    augmentation_shares: dict[str, float] = Field(default={})
    mapping_share: float = 0.0


class Surroundings(Document):
    """What the steps ran on and with.

    Args:
        device: kind of the device.
        processor: name of the device.
        threads: number of torch's threads.
        cores: number of cores that the process may use.
        torch: version of torch.
        precision: number format of the forward pass.
        layout: memory layout of pictures; empty where there are none.
        data: where the examples lie: in memory, or in a file of so many bytes that is mapped.
        optimizer: update rule; empty where nothing is trained.
    """

    device: str
    processor: str
    threads: int
    cores: int
    torch: str
    precision: str
    layout: str
    data: str
    optimizer: str = ""


class Profile(Document):
    """A profile of a recipe.

    Args:
        schema_number: number of this form of the file.
        recipe: name of the recipe.
        mode: whether training or forward passes were profiled.
        wait: steps before the profiler is started.
        warm_up: steps in which it runs and records nothing.
        steps: steps that it records.
        surroundings: what the steps ran on and with.
        recordings: a recording for each batch size.
        loading: what adds to the time in which a step waits for its data.
        trials: what was tried otherwise.
        hints: what a person may change, in words.
    """

    title: ClassVar[str] = "a profile as pipeline profile writes it"

    schema_number: Literal[1] = 1
    recipe: str
    mode: Mode
    wait: int
    warm_up: int
    steps: int
    surroundings: Surroundings
    recordings: tuple[Recording, ...]
    loading: Loading = Loading()
    trials: tuple[Trial, ...] = ()
    hints: tuple[str, ...] = ()


def trace_paths(name: str) -> tuple[Path, Path]:
    """Paths of a trace and of its copy for TensorBoard, in the folder of the profile.

    Args:
        name: name of the trace.
    """
    return Path(f"{name}{_TRACE}"), Path(_TENSORBOARD, f"{name}{_TENSORBOARD_TRACE}")


def read_profile(place: Path) -> Profile:
    """Read a profile.

    Args:
        place: the file, or the folder that it lies in.

    Raises:
        FileError: there is none, or the file holds something else.
    """
    file = place / PROFILE_NAME if place.is_dir() else place
    if not file.is_file():
        raise FileError(f"{place}: expected a {PROFILE_NAME} of pipeline profile, or a folder with one, found none")
    try:
        return Profile.model_validate(json.loads(file.read_bytes()))
    except ValidationError as error:
        raise FileError(
            f"{file}: expected {Profile.title}, found: {first_problem(error)}; another version wrote it, or it is "
            "something else: profile again"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{file}: expected {Profile.title}, found: {error}; profile again") from error
