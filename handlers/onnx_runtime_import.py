"""The one place that imports ONNX Runtime, with its telemetry off.

Its builds since 1.29 write a device id under `~/.cache/Microsoft` and upload events to their vendor (paths, the
processor, texts of errors with the names of layers). That starts when the module is imported, unless the environment
forbids it by then (ONNX Runtime's `Privacy.md`, "Disabling Telemetry").
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

# Environment that a process needs before it imports ONNX Runtime.
TELEMETRY_OFF = {"ORT_DISABLE_TELEMETRY": "1"}


def import_onnx_runtime(module: str = "onnxruntime") -> Any:
    """Import ONNX Runtime, or a module of it, with its telemetry off.

    Where other code imported it first, no more events are sent from here on; but the device id and a first event are
    out by then.

    Args:
        module: full name of the module.

    Returns:
        The module. ONNX Runtime publishes no types.
    """
    os.environ.update(TELEMETRY_OFF)
    # This is a statement, not a name in a call, because the dependencies of a build are read from the import statements
    # of its sources.
    import onnxruntime  # noqa: TID251 - the one place

    onnxruntime.disable_telemetry_events()
    imported: ModuleType = importlib.import_module(module)
    return imported
