"""Recipe section `[data]`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from pipeline.recipe.names import (
    DATA_SETS,
    FACTORY,
    DataSetName,
    require_known,
)
from pipeline.recipe.section import Section


class Data(Section):
    """The data set: built in by `name`, or the user's own by `factory`."""

    name: Annotated[
        DataSetName | None, BeforeValidator(partial(require_known, names=DATA_SETS, own="data.factory"))
    ] = Field(default=None, description="a built-in data set")
    factory: str | None = Field(default=None, pattern=FACTORY, description="the user's own, as module:function")
    path: str | None = Field(
        default=None,
        description="file or folder the data is read from, relative to the recipe; given to the factory as `path`",
    )
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of the factory")
    validation_size: int = Field(
        default=10_000, ge=1, description="examples held out of a built-in training set for validation"
    )
    seed: int = Field(default=0, ge=0, description="of the train/validation split")

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.name is None) == (self.factory is None):
            raise ValueError("expected exactly one of name, factory")
        if self.name is not None and self.arguments:
            raise ValueError(f"arguments: expected none for {self.name}, found {', '.join(self.arguments)}")
        return self
