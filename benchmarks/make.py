"""Let one tool do its work, in a process of its own: `python -m benchmarks.make PEER JOB.json MADE.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import assert_never

from benchmarks.contender import PEERS, Contender, Peer, Task
from benchmarks.telemetry import switch_off


def main() -> None:
    """Make a peer's contenders, and write down what they are."""
    name, job, result = sys.argv[1:]
    peer = next(peer for peer in PEERS if peer == name)
    switch_off(peer)
    contenders = make(peer, Task.from_json(json.loads(Path(job).read_text(encoding="utf-8"))))
    Path(result).write_text(json.dumps([contender.to_json() for contender in contenders]), encoding="utf-8")


def make(peer: Peer, task: Task) -> list[Contender]:
    """Return what a peer makes of the float network.

    Args:
        peer: name of the peer.
        task: task that it is handed.
    """
    match peer:
        case "onnxruntime":
            from benchmarks.peers import onnx_runtime

            return onnx_runtime.make(task)
        case "torch-compile":
            from benchmarks.peers import torch_compile

            return torch_compile.make(task)
        case "openvino":
            from benchmarks.peers import openvino_nncf

            return openvino_nncf.make(task)
        case "neural-compressor":
            from benchmarks.peers import neural_compressor_int8

            return neural_compressor_int8.make(task)
        case "olive":
            from benchmarks.peers import olive_search

            return olive_search.make(task)
        case unreachable:
            assert_never(unreachable)


if __name__ == "__main__":
    main()
