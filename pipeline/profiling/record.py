"""Record steps by operator with torch.profiler, then time as many without it."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from pipeline.profiling.document import OperatorCost, Recording, trace_paths
from pipeline.profiling.stopwatch import Stopwatch, waiter

Watch = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class StepSchedule:
    """Which steps are recorded.

    Args:
        wait: steps before the profiler is started; memory is allocated and programs are compiled in the first ones.
        warm_up: steps in which it runs and records nothing, because its own first step is slow.
        steps: steps that it records.
    """

    wait: int
    warm_up: int
    steps: int


class Switch:
    """The block around the parts of a step that is asked for at the moment."""

    def __init__(self) -> None:
        self.watch: Watch = record_function

    def span(self, name: str) -> AbstractContextManager[object]:
        """Give the block around a part of a step."""
        return self.watch(name)


def record_steps(
    steps: Iterator[int],
    switch: Switch,
    plan: StepSchedule,
    *,
    device: torch.device,
    batch_size: int,
    folder: Path,
    name: str,
) -> Recording:
    """Take steps, and record and time where their time goes.

    Args:
        steps: takes a step at each turn, and gives the number of its examples; it never ends.
        switch: what gives the blocks around the parts of these steps.
        plan: which steps are recorded; as many are timed afterwards.
        device: device of the steps.
        batch_size: examples in a batch.
        folder: existing folder that the trace is written to, and its copy for TensorBoard.
        name: name of the trace.

    Returns:
        The recording.
    """
    wait = waiter(device)
    on_device = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    recorded_s = 0.0
    switch.watch = record_function
    with profile(
        activities=activities,
        schedule=schedule(wait=plan.wait, warmup=plan.warm_up, active=plan.steps, repeat=1),
        record_shapes=True,
        profile_memory=True,
    ) as profiler:
        for number in range(plan.wait + plan.warm_up + plan.steps):
            started = time.perf_counter()
            next(steps)
            wait()
            if number >= plan.wait + plan.warm_up:
                recorded_s += time.perf_counter() - started
            profiler.step()
    trace, copy = (folder / path for path in trace_paths(name))
    profiler.export_chrome_trace(str(trace))
    _copy_for_tensorboard(trace, copy)
    stopwatch = Stopwatch(device)
    switch.watch = stopwatch.block
    step_ms, examples = [], 0
    for _ in range(plan.steps):
        started = time.perf_counter()
        examples += next(steps)
        wait()
        step_ms.append(1000 * (time.perf_counter() - started))
    return Recording(
        batch_size=batch_size,
        examples_per_step=examples / plan.steps,
        recorded_steps=plan.steps,
        recorded_ms=1000 * recorded_s / plan.steps,
        step_ms=tuple(step_ms),
        spans_ms={span: 1000 * seconds / plan.steps for span, seconds in stopwatch.seconds.items()},
        operators=tuple(operator_costs(profiler.key_averages(), on_device=on_device)),
        operators_by_shape=tuple(operator_costs(profiler.key_averages(group_by_input_shape=True), on_device=on_device)),
        trace=name,
    )


def operator_costs(events: Iterable[Any], *, on_device: bool) -> Iterator[OperatorCost]:
    """Yield the costs of operators out of torch's averaged events.

    The blocks around parts of a step, and torch's own around the optimizer, are no operators: their own time is that
    of Python between operators. Rows of kernels repeat what their operators hold as time on the device.

    Args:
        events: events of `torch.profiler.profile.key_averages`.
        on_device: whether the memory that counts is that of a device.
    """
    for event in events:
        if event.is_user_annotation or event.device_type.name != "CPU":
            continue
        yield OperatorCost(
            name=event.key,
            shapes=_shapes(event.input_shapes),
            calls=event.count,
            self_us=event.self_cpu_time_total,
            total_us=event.cpu_time_total,
            device_self_us=event.self_device_time_total,
            device_total_us=event.device_time_total,
            memory_bytes=event.self_device_memory_usage if on_device else event.self_cpu_memory_usage,
        )


def _shapes(shapes: Any) -> str:
    """The shapes of an operator's inputs, such as `(128, 1, 28, 28) (64, 1, 3, 3)`; values without one are left out."""
    return " ".join(f"({', '.join(map(str, shape))})" for shape in shapes or () if shape)


def _copy_for_tensorboard(trace: Path, copy: Path) -> None:
    copy.parent.mkdir(exist_ok=True)
    with trace.open("rb") as source, gzip.open(copy, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target)
