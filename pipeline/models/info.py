"""The facts of a model that later stages need without its network or torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline._handlers.activation import Activation
from pipeline.engine.documents import Document
from pipeline.engine.handler_fields import InputField, OutputField
from pipeline.recipe.task import TaskSettings


class ModelInfo(Document):
    """The document `model.json`.

    Args:
        name: name of the network, or of the user's function that makes it.
        task: settings of the network's task.
        inputs: specifications of the inputs, in the order in which the model takes them.
        labels: names of the outputs, one for each.
        outputs: the outputs in the task of that name, with their shapes; empty in other tasks.
        single_output: whether the network tells two classes apart by one output, that of the second.
        activation: activation that the outputs have already passed.
        parameters: number of values in the network's parameters.
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
    outputs: tuple[OutputField, ...] = ()
    single_output: bool = False
