"""ONNX Runtime, which sends nothing home: the one place that imports it.

Its builds since 1.29 write a device id under `~/.cache/Microsoft` and upload events to their vendor (paths, the
processor, texts of errors with the names of layers). That starts when the module is imported, unless the environment
forbids it by then (ONNX Runtime's `Privacy.md`, "Disabling Telemetry").
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

# Of a process that may import ONNX Runtime, before it does.
TELEMETRY_OFF = {"ORT_DISABLE_TELEMETRY": "1"}


def import_onnx_runtime(module: str = "onnxruntime") -> Any:
    """ONNX Runtime, or a module of it, imported with its telemetry off.

    Where another module imported it first, events end here; the device id and a first event are out by then.

    Args:
        module: full name of the module.

    Returns:
        The module. ONNX Runtime publishes no types.
    """
    os.environ.update(TELEMETRY_OFF)
    # A statement, not a name in a call: what a build depends on is read from the imports of its sources.
    import onnxruntime  # noqa: TID251 - the one place

    onnxruntime.disable_telemetry_events()
    imported: ModuleType = importlib.import_module(module)
    return imported
