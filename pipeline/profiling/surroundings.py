"""Say what profiled steps run on and with."""

from __future__ import annotations

import torch
from numpy import memmap

from pipeline.measure.host import cpu_model, usable_cores
from pipeline.profiling.document import Surroundings
from pipeline.training.examples import Examples
from pipeline.training.settings import TrainingSettings


def surroundings_of(
    examples: Examples, precision: torch.dtype | None, settings: TrainingSettings | None
) -> Surroundings:
    """Say what steps run on and with.

    Args:
        examples: examples on their device.
        precision: number format of the forward pass; None for float32.
        settings: how the network is trained; None where it is not.
    """
    device = examples.device
    layout = "channels last" if examples.layout is torch.channels_last else "contiguous"
    mapped = sum(values.nbytes for values in examples.inputs if isinstance(values, memmap))
    whole = all(isinstance(values, torch.Tensor) for values in examples.inputs)
    return Surroundings(
        device=device.type,
        processor=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model(),
        threads=torch.get_num_threads(),
        cores=usable_cores(),
        torch=str(torch.__version__),
        precision="float32" if precision is None else str(precision).removeprefix("torch."),
        layout=layout if any(examples.pictures) else "",
        data=(
            f"mapped from a file of {mapped / 1e9:,.1f} GB"
            if mapped
            else "in the device's memory"
            if whole and device.type != "cpu"
            else "in memory"
        ),
        optimizer="" if settings is None else settings.optimization.optimizer,
    )
