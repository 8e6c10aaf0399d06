"""What each worker of our own server is started from: a file in the server's private folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

SETTINGS_FILE, MODEL_FOLDER = "settings.json", "model"
# A worker that serves on an accepted host leaves here by how much its golden answers differ.
ACCEPTED_FILE = "accepted"


class Settings(BaseModel):
    """How a worker serves.

    Args:
        accept_host: whether it may serve although its golden answers differ.
        drain_s: longest time for the requests that are under way when it is asked to end, in seconds.
        most: most requests that are answered together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept_host: bool
    drain_s: float
    most: int

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / SETTINGS_FILE).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Read the file."""
        return cls.model_validate_json((folder / SETTINGS_FILE).read_bytes())
