"""Recipe section `[train]`."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.recipe.augmentation import PictureAugmentation
from pipeline.recipe.names import (
    FACTORY,
    LOSSES,
    DeviceName,
    KeepName,
    MixedPrecision,
    MonitorName,
    OptimizerName,
    SamplingName,
    ScheduleName,
    meant,
)
from pipeline.recipe.section import Section
from pipeline.recipe.train_conflicts import conflicts

# LBFGS searches along a line for the length of each step: it starts from a whole step, and neither a cycle of learning
# rates nor a decay of the weights belongs to it.
_LBFGS_DEFAULTS = {"learning_rate": 1.0, "schedule": "constant", "weight_decay": 0.0}


class StepDecay(Section):
    """Schedule `step`: the learning rate falls every so many epochs (`torch.optim.lr_scheduler.StepLR`)."""

    every: int = Field(ge=1, description="epochs between two falls of the learning rate")
    factor: float = Field(default=0.1, gt=0, lt=1, description="what the learning rate is multiplied by")


class Plateau(Section):
    """Schedule `reduce-on-plateau`: the rate falls where validation no longer gets better (`ReduceLROnPlateau`)."""

    patience: int = Field(default=3, ge=0, description="epochs without gain after which the next one lets it fall")
    factor: float = Field(default=0.1, gt=0, lt=1, description="what the learning rate is multiplied by")
    min_gain: float = Field(
        default=1e-4, ge=0, lt=1, description="smallest gain that counts, as a share of the best value so far"
    )
    lowest: float = Field(default=0.0, ge=0, description="learning rate below which it does not fall")


class EarlyStopping(Section):
    """Training ends before `train.epochs` where validation no longer gets better."""

    patience: int = Field(ge=1, description="epochs in a row without gain after which training ends")
    min_gain: float = Field(default=0.0, ge=0, description="smallest gain that counts, in the monitored figure's unit")


class Lbfgs(Section):
    """Optimizer `lbfgs`: a quasi-Newton step with a search along its line (`torch.optim.LBFGS`)."""

    iterations: int = Field(default=20, ge=1, description="most iterations in one step, all on the same examples")
    history: int = Field(default=10, ge=1, description="earlier iterations that the curvature is estimated from")


def _weights(value: Any) -> Any:
    """Check the weights of classes: balanced, or a table of numbers by name."""
    if value is None or value == "balanced":
        return value
    numbers = isinstance(value, dict) and all(
        isinstance(weight, int | float) and not isinstance(weight, bool) for weight in value.values()
    )
    if not numbers:
        raise ValueError('expected "balanced", or a table of class names with a number each')
    return value


ClassWeights = Annotated[Literal["balanced"] | dict[str, float] | None, BeforeValidator(_weights)]


class Train(Section):
    """Training of the float network."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "accumulate",
            "momentum",
            "nesterov",
            "lbfgs",
            "warm_up",
            "step",
            "plateau",
            "clip_norm",
            "class_weights",
            "sampling",
            "mixed_precision",
            "activation_checkpointing",
            "compile",
            "ema_decay",
            "monitor",
            "keep",
            "early_stopping",
            "checkpoints",
            "augmentation",
            "freeze",
            "unfreeze_after",
        }
    )

    epochs: int = Field(
        default=8,
        ge=0,
        description="passes over the training data; 0 trains nothing and needs model.weights, or a model.factory that "
        "brings its own",
    )
    batch_size: int = Field(default=128, ge=1, description="examples in a batch")
    accumulate: int = Field(
        default=1, ge=1, description="batches whose gradients are added up before each step: a larger batch in parts"
    )
    optimizer: OptimizerName = Field(default="adamw", description="update rule")
    momentum: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="of sgd (0.9 if not given, which one-cycle moves between 0.85 and 0.95) and of rmsprop (0)",
    )
    nesterov: bool | None = Field(
        default=None, description="whether sgd looks ahead by its momentum; it does if not given, where it has momentum"
    )
    lbfgs: Lbfgs | None = Field(default=None, description="settings of lbfgs; their defaults if not given")
    learning_rate: float = Field(
        default=2e-3, gt=0, description="peak learning rate; for lbfgs the first length of each step, 1 if not given"
    )
    weight_decay: float = Field(default=1e-2, ge=0, description="decoupled for adamw, L2 otherwise; lbfgs has none")
    schedule: ScheduleName = Field(
        default="one-cycle",
        description="learning rate over the whole run: constant; cosine, from the peak to 0; one-cycle, up for 30 % of "
        "the steps, then down to almost 0; step, and reduce-on-plateau, see their tables",
    )
    warm_up: float = Field(
        default=0.0,
        ge=0,
        description="epochs, parts of one too, in which the learning rate rises in a line to where the schedule begins",
    )
    step: StepDecay | None = Field(default=None, description="settings of the schedule step")
    plateau: Plateau | None = Field(
        default=None, description="settings of the schedule reduce-on-plateau; their defaults if not given"
    )
    clip_norm: float | None = Field(
        default=None, gt=0, description="largest norm of all gradients together; larger ones are scaled down to it"
    )
    loss: str | None = Field(
        default=None,
        description=f"one of {', '.join(LOSSES)}, where the task has it, or the user's own, as module:function; what "
        "that returns is called with the network's outputs (B, K) and targets as the data have them, and gives a "
        "scalar; the task's own loss if not given",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="of the cross-entropy: share of the target spread over all classes"
    )
    class_weights: ClassWeights = Field(
        default=None,
        description="weight of each class in the loss, by name (1 for others), or balanced: the rarer, the heavier",
    )
    sampling: SamplingName = Field(
        default="shuffled",
        description="examples of an epoch: shuffled, each once; balanced, as many, drawn from all classes alike",
    )
    horizontal_flip: bool = Field(default=False, description="mirror each training picture with probability 1/2")
    shift: int = Field(
        default=0, ge=0, description="move each training picture by up to so many pixels each way, zeros coming in"
    )
    augmentation: PictureAugmentation = PictureAugmentation()
    freeze: tuple[str, ...] = Field(
        default=(),
        description="names of modules whose parameters are not trained, and whose batch norms stay as they are",
    )
    unfreeze_after: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default={},
        description="frozen modules that are trained after so many epochs, by name, such as { layer4 = 2 }",
        json_schema_extra={"unit": "epochs"},
    )
    mixed_precision: MixedPrecision = Field(
        default="off",
        description="number format of the forward pass: off is float32; bf16; fp16 with scaled gradients, on CUDA "
        "alone; auto takes what the device computes in (bf16, on an older CUDA device fp16), else off",
    )
    activation_checkpointing: tuple[str, ...] = Field(
        default=(),
        description="names of modules whose activations are computed again in the backward pass, which saves memory",
    )
    compile: bool = Field(default=False, description="compile the network for its training steps with torch.compile")
    ema_decay: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share that the averaged weights keep of themselves at each step (exponential moving average); "
        "they are validated and kept instead of the last step's; no average if not given",
    )
    monitor: MonitorName = Field(
        default="metric",
        description="figure on the validation split that keep, early_stopping and reduce-on-plateau go by: the task's "
        "metric, or the loss that is minimised",
    )
    keep: KeepName = Field(
        default="last", description="epoch whose weights are kept: the last, or the best on the validation split"
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="when training ends early; never if not given"
    )
    checkpoints: int = Field(
        default=2, ge=1, description="number of last epochs whose checkpoints are kept until training has ended"
    )
    seed: int = Field(default=0, ge=0, description="of initialisation, shuffling, augmentation and dropout")
    device: DeviceName = Field(default="auto", description="where to train; auto takes CUDA, then MPS, then the CPU")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_lbfgs(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("optimizer") == "lbfgs":
            return {**_LBFGS_DEFAULTS, **values}
        return values

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, loss: str | None) -> str | None:
        if loss is None or loss in LOSSES or re.fullmatch(FACTORY, loss):
            return loss
        raise ValueError(f"expected {', '.join(LOSSES)}, or your own as module:function{meant(loss, LOSSES)}")

    @model_validator(mode="after")
    def _no_conflicts(self) -> Train:
        if problems := conflicts(self):
            raise ValueError("; ".join(problems))
        return self

    @property
    def loss_factory(self) -> str | None:
        """The user's own loss, as `module:function`; None where the loss is built in."""
        return None if self.loss in LOSSES else self.loss

    @property
    def monitored_by(self) -> tuple[str, ...]:
        """The settings that go by the monitored figure on the validation split; empty where none does."""
        using = {
            "keep": self.keep == "best",
            "early_stopping": self.early_stopping is not None,
            "schedule": self.schedule == "reduce-on-plateau",
        }
        return tuple(name for name, used in using.items() if used)
