"""Recipe section `[train]`."""

from __future__ import annotations

from pydantic import Field, model_validator

from pipeline.recipe.names import (
    FACTORY,
    DeviceName,
    OptimizerName,
    ScheduleName,
)
from pipeline.recipe.section import Section


class Train(Section):
    """Training of the float network."""

    epochs: int = Field(
        default=8,
        ge=0,
        description="passes over the training data; 0 trains nothing and needs model.weights, or a model.factory that "
        "brings its own",
    )
    batch_size: int = Field(default=128, ge=1, description="examples per step")
    optimizer: OptimizerName = Field(default="adamw", description="update rule")
    learning_rate: float = Field(default=2e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=1e-2, ge=0, description="decoupled for adamw, L2 otherwise")
    schedule: ScheduleName = Field(default="one-cycle", description="learning rate over the whole run")
    loss: str | None = Field(
        default=None,
        pattern=FACTORY,
        description="the user's own, as module:function; what that returns is called with the network's outputs "
        "(B, K) and targets as the data have them, and gives a scalar; the task's own loss if not given",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="of the cross-entropy: share of the target spread over all classes"
    )
    horizontal_flip: bool = Field(default=False, description="mirror each training picture with probability 1/2")
    shift: int = Field(
        default=0, ge=0, description="move each training picture by up to so many pixels each way, zeros coming in"
    )
    seed: int = Field(default=0, ge=0, description="of initialisation, shuffling, augmentation and dropout")
    device: DeviceName = Field(default="auto", description="where to train; auto takes CUDA, then MPS, then the CPU")

    @model_validator(mode="after")
    def _smoothing_is_of_the_cross_entropy(self) -> Train:
        if self.loss is not None and self.label_smoothing:
            raise ValueError(
                f"label_smoothing = {self.label_smoothing:g} with loss {self.loss}: expected 0, because it belongs to "
                "the cross-entropy; smooth inside the loss"
            )
        return self
