"""What process 0 decides for all processes of a training: where it goes on, and the figures of each epoch.

Processes on unlike machines may round a figure otherwise, and whatever goes by figures, such as early stopping, must
come out the same in all of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from pipeline.training.checkpoint import checkpoint_of
from pipeline.training.history import Epoch, epoch_of
from pipeline.training.processes import Processes
from pipeline.training.state import TrainingState


def share_state(state: TrainingState, processes: Processes) -> None:
    """Let the training of all processes go on where that of process 0 does, which has read its checkpoint."""
    if processes.alone:
        return
    content = b""
    if processes.leads and state.epochs:
        content = state.to_checkpoint(origin={}, planned=0).to_bytes()
    content = processes.from_leader(content)
    if content and not processes.leads:
        state.restore(checkpoint_of(content))


def agreed(epoch: Epoch, processes: Processes) -> Epoch:
    """The figures of an epoch as process 0 has them."""
    if processes.alone:
        return epoch
    return epoch_of(json.loads(processes.from_leader(json.dumps(asdict(epoch)).encode())))
