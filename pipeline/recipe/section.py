"""The base class of every group of settings, and the pattern of names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# Pattern of every name. Names become file names and parts of URLs; TorchServe loads none with two dots in a row.
# The pattern is the same as in `handlers.description_checks`, which reads what others wrote.
NAME = r"^[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*$"
LONGEST_NAME = 100


class Section(BaseModel):
    """A frozen group of settings; an unknown key is a problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")
