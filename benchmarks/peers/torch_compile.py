"""torch.compile with the inductor back end: nothing is made but code, when the network is first called."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from safetensors.numpy import load_file

from benchmarks.contender import BATCH_SIZES, Contender, Task
from benchmarks.engines import engine_mode, load_engine

_MODES: tuple[tuple[str, Literal["inductor", "inductor-autotuned"]], ...] = (
    ("torch.compile", "inductor"),
    ("torch.compile, max-autotune", "inductor-autotuned"),
)


def make(task: Task) -> list[Contender]:
    """Compile for each batch size that is timed, into a cache that later processes find."""
    images = load_file(task.train)[f"input.{task.input_name}"]
    contenders = []
    for name, engine in _MODES:
        started = time.perf_counter()
        with engine_mode(engine):
            prepare = load_engine(engine, task.run_dir)
            for size in BATCH_SIZES:
                prepare(np.ascontiguousarray(images[:size]))
        contenders.append(
            Contender(
                name=name,
                engine=engine,
                file=task.run_dir,
                seconds=time.perf_counter() - started,
                size=(task.run_dir / "train" / "weights.safetensors").stat().st_size,
                note="frozen weights, inference mode; size: of the weights; needs torch and a C++ compiler there",
            )
        )
    return contenders
