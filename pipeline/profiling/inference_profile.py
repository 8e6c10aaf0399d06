"""Profile forward passes of a float network, as training's own evaluation runs them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pipeline.data.dataset import Split
from pipeline.engine.stage import Reporter
from pipeline.models.spec import ModelSpec, joined
from pipeline.profiling.document import Profile
from pipeline.profiling.hints import inference_hints
from pipeline.profiling.record import StepSchedule, Switch, record_steps
from pipeline.profiling.surroundings import surroundings_of
from pipeline.recipe.names import DeviceName
from pipeline.training.device import choose_device
from pipeline.training.examples import Examples, to_examples
from pipeline.training.layout import set_layout, to_layout


def profile_inference(
    spec: ModelSpec,
    network: nn.Module,
    examples: Split,
    plan: StepSchedule,
    *,
    batch_sizes: Sequence[int],
    device: DeviceName,
    recipe: str,
    folder: Path,
    reporter: Reporter,
) -> Profile:
    """Record and time forward passes.

    Args:
        spec: spec of the model.
        network: its network; afterwards it is on the CPU in evaluation mode.
        examples: examples that it answers.
        plan: which passes are recorded.
        batch_sizes: examples in a pass; each size is profiled.
        device: device to run on.
        recipe: name of the recipe.
        folder: existing folder that the traces are written to.
        reporter: receives a line for each batch size.

    Raises:
        UsageError: the device is not there.
    """
    place = choose_device(device)
    held = to_examples(spec, examples, place)
    model = spec.deployable(network).to(place).eval()
    held = replace(held, layout=set_layout(model, held.take(torch.arange(min(2, len(held)), device=place))))
    recordings = []
    for size in batch_sizes:
        reporter.log(f"profile: batch {size}: {plan.wait + plan.warm_up} passes to warm up, {plan.steps} recorded")
        switch = Switch()
        recording = record_steps(
            _passes(model, held, switch, size),
            switch,
            plan,
            device=place,
            batch_size=size,
            folder=folder,
            name="trace" if len(batch_sizes) == 1 else f"trace-batch-{size}",
        )
        recordings.append(recording)
    network.cpu()
    to_layout(network, torch.contiguous_format)
    return Profile(
        recipe=recipe,
        mode="inference",
        wait=plan.wait,
        warm_up=plan.warm_up,
        steps=plan.steps,
        surroundings=surroundings_of(held, None, None),
        recordings=tuple(recordings),
        hints=inference_hints(recordings),
    )


def _passes(model: nn.Module, examples: Examples, switch: Switch, size: int) -> Iterator[int]:
    """Answer one batch after the other, from the first example again behind the last one."""
    whole = max(1, len(examples) // size) * size
    order = torch.arange(whole, device=examples.device) % len(examples)
    for indices_B in itertools.cycle(torch.split(order, size)):
        with torch.inference_mode():
            with switch.span("read"):
                raw = examples.take(indices_B)
            with switch.span("forward"):
                joined(model(*raw))
        yield size
