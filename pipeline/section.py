"""What every group of settings is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# Pattern of every name. Names become file names and parts of URLs; TorchServe loads none with two dots in a row.
NAME = r"^[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*$"


class Section(BaseModel):
    """A frozen group of settings; an unknown key is a problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")
