"""Answers of a trained network to a whole split, on the device where it was trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.data.dataset import Split
from pipeline.models.spec import ModelSpec
from pipeline.recipe.names import DeviceName
from pipeline.training.device import choose_device, repeatable
from pipeline.training.examples import Examples, predict, to_examples
from pipeline.training.layout import set_layout, to_layout


@contextmanager
def on_device(
    spec: ModelSpec, network: nn.Module, split: Split, *, device: DeviceName
) -> Iterator[tuple[nn.Module, Examples]]:
    """Bring a network and a split to a device, in the layout that is fast there; afterwards the network is on the CPU.

    Args:
        spec: spec of the model.
        network: network without its preprocessing.
        split: split whose raw inputs are used.
        device: device to run on.

    Yields:
        The deployable model and the examples.

    Raises:
        UsageError: the device is not there.
    """
    target = choose_device(device)
    examples = to_examples(spec, split, target)
    model = spec.deployable(network).to(target)
    layout = set_layout(model, examples.take(torch.arange(min(2, len(examples)), device=target)))
    yield model, replace(examples, layout=layout)
    to_layout(network.cpu(), torch.contiguous_format)


def answers(spec: ModelSpec, network: nn.Module, split: Split, *, device: DeviceName) -> NDArray[np.float32]:
    """Compute the outputs (N, K) of a network in evaluation mode; the arguments are as in `on_device`.

    Raises:
        UsageError: the device is not there.
    """
    with repeatable(choose_device(device)), on_device(spec, network, split, device=device) as (model, examples):
        outputs: NDArray[np.float32] = torch.cat(list(predict(model, examples))).to(torch.float32).numpy()
    return outputs
