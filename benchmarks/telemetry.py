"""Keeps other tools from reporting to their vendors."""

from __future__ import annotations

import os
import sys

from benchmarks.contender import Peer

# Variables that a tool reads when it is imported. Olive sends one event in spite of a variable of its own, and none
# where it sees `CI`; torch compiles otherwise where it sees `CI`, so it is for Olive alone.
_VARIABLES: dict[Peer, dict[str, str]] = {
    "openvino": {"NNCF_CI": "1"},
    "olive": {"CI": "true", "OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
}


def switch_off(peer: Peer) -> None:
    """Keep this process, which has imported nothing of a tool yet, from telling its vendor of it.

    OpenVINO has no setting for one process, only a file in the home folder. Without the package that sends, it and NNCF
    send nothing.

    Args:
        peer: the tool that is about to be imported.
    """
    os.environ.update(_VARIABLES.get(peer, {}))
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
