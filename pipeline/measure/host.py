"""Describe the machine on which a figure was measured."""

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
    """The number of channels that ONNX Runtime computes at a time in a convolution on this processor.

    For x86 it follows `MlasNchwcGetBlockSize`: 16 with AVX-512, else 8. Where a channel count is no multiple of it, the
    last block is still computed as a whole, and pooling behind it falls back to a slower layout.
    """
    return 16 if "avx512f" in _cpu_info("flags").split() else 8


def computes(feature: CpuFeature | None) -> bool:
    """Whether this processor has the feature without which a precision is slower than float32; None is always there."""
    match feature:
        case None:
            return True
        case "bfloat16":
            return computes_bfloat16()
        case unreachable:
            assert_never(unreachable)


def computes_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; else bfloat16 is slower than float32, by three times and more.

    The feature is called `avx512_bf16` or `amx_bf16` on x86-64, and `bf16` on ARM.
    """
    return bool({"avx512_bf16", "amx_bf16"} & {*_cpu_info("flags").split()} or "bf16" in _cpu_info("Features").split())


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_info(name: str) -> str:
    """The first value of a key in what Linux says about its processors; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
