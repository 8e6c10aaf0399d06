"""Recipes as files."""

from __future__ import annotations

from pathlib import Path

MINIMAL = """
[model]
name = "fashion-cnn"
[data]
name = "fashion-mnist"
"""


def write(folder: Path, text: str) -> Path:
    """Write `mine.toml` into a folder."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path
