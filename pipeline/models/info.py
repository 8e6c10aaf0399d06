"""Facts of a model that stages after training need, without its network or torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline._handlers.activation import Activation
from pipeline.engine.documents import Document
from pipeline.engine.handler_fields import InputField
from pipeline.recipe.task import TaskSettings


class ModelInfo(Document):
    """The document `model.json`.

    Args:
        name: of the network, or of the user's function that makes it.
        task: what the network is for.
        inputs: in the order the model takes them.
        labels: one per output.
        activation: what the outputs are already.
        parameters: values in the network's parameters.
        files: SHA-256 of the files that the network was made from, by name, for the evidence.
    """

    title: ClassVar[str] = "the facts of a model"

    name: str
    task: TaskSettings
    inputs: tuple[InputField, ...]
    labels: tuple[str, ...]
    activation: Activation
    parameters: int
    files: dict[str, str] = Field(default={})
