"""Reporters that let a test see what a build says."""

from __future__ import annotations

from pipeline.engine.stage import Silent


class Lines(Silent):
    """Keeps what it is told, step counts aside."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, message: str) -> None:
        self.said.append(message)
