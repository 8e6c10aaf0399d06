"""The present state of a server of ours: its record, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.serving.server import ServerState, Worker


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """A server of ours, as it is now.

    Args:
        state: record that was written when it started.
        healthy: whether it answers.
        workers: workers as it describes them; none if it does not answer.
    """

    state: ServerState
    healthy: bool
    workers: tuple[Worker, ...]

    @property
    def ready(self) -> bool:
        """Whether it was proven, and every worker is still there."""
        loaded = [worker for worker in self.workers if worker.status == "READY"]
        return self.state.ready and self.healthy and len(loaded) == self.state.workers

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        state = self.state
        return {
            "url": state.url,
            "model": state.model,
            "version": state.version,
            "digest": state.digest,
            "archive": state.archive,
            "pid": state.pid,
            "ready": self.ready,
            "accepted": state.accepted,
            "private": state.private,
            "workers": [
                {"id": worker.name, "pid": worker.pid or None, "status": worker.status} for worker in self.workers
            ],
        }
