"""Recipe section `[task]`: what the network is for, and the settings that its evaluation needs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.recipe.section import Section

# The same as in `handlers.task_answers`, which loads numpy; a test holds the two together.
TaskName = Literal["classification"]


class Classification(Section):
    """Each example has one class; the network has an output for each."""

    kind: Literal["classification"] = Field(default="classification", description="what the network is for")


# This is a closed union: `kind` tells its members apart.
TaskSettings = Classification
