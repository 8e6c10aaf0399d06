"""The machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import assert_never

from pipeline.precision import CpuFeature


def cpu_model() -> str:
    """The processor's name as the system gives it, e.g. `AMD EPYC`."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def channel_block() -> int:
    """How many channels ONNX Runtime computes at a time in a convolution on this processor.

    As `MlasNchwcGetBlockSize` says for x86: 16 with AVX-512, else 8. Of a count that is no multiple the last block is
    computed as a whole, and pooling behind it falls back to a slower layout.
    """
    return 16 if "avx512f" in _cpu_info("flags").split() else 8


def computes(feature: CpuFeature | None) -> bool:
    """Whether this processor has what a precision needs to be no slower than float32; all do where it needs nothing."""
    match feature:
        case None:
            return True
        case "bfloat16":
            return computes_bfloat16()
        case unreachable:
            assert_never(unreachable)


def computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; elsewhere it is slower than float32, by three times and more.

    x86-64 says `avx512_bf16` or `amx_bf16`, ARM `bf16`.
    """
    return bool({"avx512_bf16", "amx_bf16"} & {*_cpu_info("flags").split()} or "bf16" in _cpu_info("Features").split())


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_info(wanted: str) -> str:
    """The first value of a key in what Linux says of its processors; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == wanted:
            return value.strip()
    return ""
