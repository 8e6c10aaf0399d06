"""The part of this process's environment that reaches a process which runs a model file, perhaps a stranger's.

Many a shell's environment holds keys, tokens and passwords, under names that nobody can list. So this module lists the
names that are let through: each says where something lies or how to compute, and holds nothing secret. Proxies are not
among them: their addresses often hold a password, and a server of a model asks nobody for anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.errors import UsageError

# Names of the variables that are let through, by purpose. A name that ends in `*` stands for all names that begin so.
ALLOWED: dict[str, tuple[str, ...]] = {
    "programs and folders": ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CACHE_HOME"),
    "locale and time zone": ("LANG", "LANGUAGE", "LC_*", "TZ"),
    "where libraries lie": (
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_LIBRARY_PATH",
        "DYLD_FALLBACK_LIBRARY_PATH",
        "NIX_LD",
        "NIX_LD_LIBRARY_PATH",
        "GLIBC_TUNABLES",
        "PYTHONHOME",
        "PYTHONUSERBASE",
        "PYTHONUTF8",
        "PYTHONPYCACHEPREFIX",
        "__PYVENV_LAUNCHER__",
        "PYTHONNOUSERSITE",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDA_CACHE_PATH",
    ),
    "which devices are seen": (
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "ONEAPI_DEVICE_SELECTOR",
    ),
    "threads, memory and arithmetic": (
        "OMP_*",
        "GOMP_*",
        "KMP_*",
        "MKL_*",
        "OPENBLAS_*",
        "BLIS_*",
        "VECLIB_MAXIMUM_THREADS",
        "ONEDNN_*",
        "DNNL_*",
        "MALLOC_*",
        "ATEN_CPU_CAPABILITY",
        "CUBLAS_WORKSPACE_CONFIG",
        "NVIDIA_TF32_OVERRIDE",
    ),
}
_NAMES = frozenset(name for names in ALLOWED.values() for name in names if not name.endswith("*"))
_PREFIXES = tuple(name[:-1] for names in ALLOWED.values() for name in names if name.endswith("*"))


def allowed_environment(passed: Sequence[str] = ()) -> dict[str, str]:
    """This process's environment, reduced to variables that are known to be harmless.

    Args:
        passed: names of further variables that are let through.

    Raises:
        UsageError: a variable among those is not set.
    """
    for name in passed:
        if name not in os.environ:
            raise UsageError(
                f"--pass-env {name}: expected the name of a variable that is set, found none; set it, or leave it out"
            )
    return {
        name: value
        for name, value in os.environ.items()
        if name in _NAMES or name.startswith(_PREFIXES) or name in passed
    }
