"""What a user may ask for: the sections of a recipe, as frozen models. `pipeline.recipe_file` reads them from TOML."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.formats import FormatName
from pipeline.names import (
    DATA_SETS,
    NETWORKS,
    SLIM,
    DataSetName,
    DeviceName,
    NetworkName,
    OptimizerName,
    PruningScope,
    ScheduleName,
    SearchEffort,
    is_search_name,
    require_known,
)
from pipeline.passes import Pass, Variant
from pipeline.precision import PRECISIONS
from pipeline.section import LONGEST_NAME, NAME, Section

_FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Preprocessing(Section):
    """How raw values become what the network sees, inside the exported graph: (x * scale - mean) / std."""

    scale: float = Field(default=1.0, description="factor on the raw value, e.g. 1/255 = 0.00392156862745098")
    mean: tuple[float, ...] = Field(
        default=(0.0,), description="subtracted after scaling; one value, or one per channel or feature"
    )
    std: tuple[float, ...] = Field(
        default=(1.0,), description="divisor after subtraction; one value, or one per channel or feature"
    )


# The same as in `handlers.activation`, which computes with them.
Activation = Literal["none", "softmax", "sigmoid"]


class Model(Section):
    """The network: built in by `name`, or the user's own by `factory`."""

    name: Annotated[
        NetworkName | None, BeforeValidator(partial(require_known, known=NETWORKS, own="model.factory"))
    ] = Field(default=None, description="a built-in architecture")
    factory: str | None = Field(default=None, pattern=_FACTORY, description="the user's own, as module:function")
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of the architecture or factory")
    weights: str | None = Field(
        default=None, description="file of weights, relative to the recipe: .safetensors, or a .pt/.pth state dict"
    )
    weights_key: str | None = Field(
        default=None,
        min_length=1,
        description="where in that file the weights lie, as a dotted path, such as model_ema; needed where it holds "
        "several sets, or other things under one prefix",
    )
    preprocessing: Preprocessing | None = Field(default=None, description="for a factory that returns a bare network")
    activation: Activation | None = Field(
        default=None,
        description="what the network's outputs are already: none for logits, or the probabilities of softmax or "
        "sigmoid. If not given they are logits, and a build whose network answers with probabilities ends",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if (self.name is None) == (self.factory is None):
            raise ValueError("expected exactly one of name, factory")
        if self.weights_key is not None and self.weights is None:
            raise ValueError("weights_key without weights: expected the file that it is a key of; give model.weights")
        return self


class Data(Section):
    """The data set: built in by `name`, or the user's own by `factory`."""

    name: Annotated[
        DataSetName | None, BeforeValidator(partial(require_known, known=DATA_SETS, own="data.factory"))
    ] = Field(default=None, description="a built-in data set")
    factory: str | None = Field(default=None, pattern=_FACTORY, description="the user's own, as module:function")
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
        pattern=_FACTORY,
        description="the user's own, as module:function; what that returns is called with the network's outputs "
        "(B, K) and labels (B,) and gives a scalar; cross-entropy if not given",
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


class Candidates(Section):
    """Which networks are compared. Float is always among them."""

    pruning_amount: float = Field(
        default=0.3, gt=0, lt=1, description="share of weights set to zero in the default variants"
    )
    pruning_scope: PruningScope = Field(
        default="layer", description="rank weights per layer or over all layers in the default variants"
    )
    formats: tuple[FormatName, ...] = Field(
        default=("torchscript", "onnx"),
        min_length=1,
        description="what each variant is exported to (one with static-int8 to ONNX alone, one with bfloat16 to "
        "TorchScript alone); float.onnx.fp32 is always tried. If not given, a format that the network cannot have is "
        "left out",
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="inside one call, timed and served; a server's workers times threads should not exceed its cores",
    )
    allow_batch_variant: bool = Field(
        default=False,
        description="serve a candidate whose answer depends on the rest of its batch in batches, not one by one",
    )
    variants: tuple[Variant, ...] | None = Field(
        default=None,
        description="instead of the default variants (pruned, int8, pruned and int8, and bfloat16 "
        "where the processor computes in it)",
    )

    @model_validator(mode="after")
    def _one_network_per_name(self) -> Candidates:
        networks: dict[str, tuple[Pass, ...]] = {"float": ()}
        seen = {("float", "fp32")}
        for variant in self.variants or ():
            if networks.setdefault(variant.name, variant.float_passes) != variant.float_passes:
                raise ValueError(f"variant {variant.name!r} names two different networks; give each its own name")
            if (variant.name, variant.precision) in seen:
                raise ValueError(
                    f"variant {variant.name!r} at {variant.precision} is given twice (float at fp32 is built in)"
                )
            seen.add((variant.name, variant.precision))
            possible = PRECISIONS[variant.precision].formats
            if not set(possible) & set(self.formats):
                raise ValueError(
                    f"variant {variant.name!r} at {variant.precision}: expected {' or '.join(possible)} among formats, "
                    f"found {', '.join(self.formats)}; add it, or leave the variant out"
                )
        return self

    @property
    def named_formats(self) -> tuple[FormatName, ...]:
        """The formats, where the recipe gives them: a network that cannot be had in one of them ends the build."""
        return self.formats if "formats" in self.model_fields_set else ()


Goal = Literal["latency", "throughput", "size"]


class Search(Section):
    """The search for the smallest network inside the budget: channels pruned, fine-tuned, in several number formats."""

    effort: SearchEffort | Literal["off"] | None = Field(
        default=None,
        description="off: none; quick: a few networks, fine-tuned for some epochs each; deep: more, at finer steps, "
        "for five times as many. If not given quick, or off where candidates.variants or select.candidate says which "
        "networks to compare, or nothing is exported to ONNX",
    )
    max_minutes: float | None = Field(
        default=None,
        gt=0,
        description="the search ends after these, with what is finished; 5 for quick, 90 for deep if not given",
    )
    shift: int | None = Field(
        default=None,
        ge=0,
        description="move training pictures by up to so many pixels each way while networks are fine-tuned, so that "
        "they learn less by heart in many epochs; as in [train] if not given",
    )
    round_to: int | None = Field(
        default=None,
        ge=1,
        description="channel counts become multiples of this. If not given 8, or 16 where the goal is speed and this "
        "CPU has AVX-512, with which ONNX Runtime computes so many at a time; give that of the CPU that will serve",
    )
    goal: Goal | None = Field(default=None, description="another name for select.goal")


class Export(Section):
    """How files are exported."""

    opset: int = Field(default=20, ge=18, le=23, description="ONNX operator set version")


class Verify(Section):
    """Parity and quality checks."""

    samples: int = Field(default=256, ge=32, description="real validation inputs replayed through every candidate")
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(1, 2, 7, 32), min_length=1, description="examples per call in the parity check"
    )
    reference_evaluator_macs: int = Field(
        default=50_000_000,
        ge=0,
        description="ONNX files of at most so many multiply-accumulates also meet onnx's reference evaluator; 0: none",
    )


class Measure(Section):
    """Timing of the candidates, each with the threads it is served with."""

    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 32), min_length=1, description="examples per call; 1 is always among them"
    )
    rounds: int = Field(
        default=9,
        ge=6,
        description="interleaved rounds; below 6 the bootstrap interval over them misses far more often than it says",
    )
    block_ms: float = Field(default=60.0, ge=5, description="length of one timed block, in milliseconds")

    @model_validator(mode="after")
    def _one_is_there(self) -> Measure:
        if 1 not in self.batch_sizes:
            raise ValueError("batch_sizes: expected 1 among them, because selection by latency is at batch size 1")
        return self


class Budget(Section):
    """What a lossy candidate may lose."""

    max_accuracy_drop: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="largest drop against float, as a fraction; held against a one-sided 95 % bound, all together",
    )
    max_confident_flips: float = Field(
        default=0.001,
        ge=0,
        le=1,
        description="largest share of examples that float labels by a margin of 0.5 or more, and it otherwise",
    )


class Select(Section):
    """Which of the candidates inside their limits wins."""

    goal: Goal = Field(
        default="latency", description="latency at batch 1, throughput at the largest measured batch, or file size"
    )
    candidate: str | None = Field(default=None, description="take this one, by name, if it is inside its limits")


class Package(Section):
    """The archive."""

    name: str | None = Field(
        default=None,
        pattern=NAME,
        max_length=LONGEST_NAME,
        description="model name in the archive and in the URL; the recipe's name by default",
    )
    version: str = Field(
        default="1.0", pattern=NAME, max_length=LONGEST_NAME, description="model version in the archive"
    )
    golden: str = Field(
        default="validation",
        description="`validation` examples, `synthetic`, or a .npy file of raw inputs, relative to the recipe",
    )
    golden_size: int = Field(default=32, ge=1, le=256, description="golden inputs in the archive")
    max_pixels: int | None = Field(
        default=None,
        ge=4096,  # as much as the smallest picture counts
        le=1 << 28,
        description="most pixels in the pictures of one request; each takes up to 8 bytes and 35 ns, twice that with "
        "transparency or 16 bits; by default 12,582,912, or up to 32,000,000 for a large input",
    )
    deadline_s: float = Field(
        default=10.0, ge=1, le=30, description="seconds after which a request that is not answered yet is refused"
    )


class Smoke(Section):
    """The check through a real server at the end of a build."""

    pictures: int = Field(default=16, ge=1, le=1000, description="validation examples posted to the server")
    timeout_s: float = Field(default=120.0, gt=0, description="longest wait for the server to be ready, in seconds")


class Recipe(Section):
    """A whole recipe. `folder` is where relative paths and the user's modules are looked up."""

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME, description="names the run directory and the archive")
    model: Model
    data: Data
    train: Train = Train()
    candidates: Candidates = Candidates()
    export: Export = Export()
    verify: Verify = Verify()
    measure: Measure = Measure()
    budget: Budget = Budget()
    search: Search = Search()
    select: Select = Select()
    package: Package = Package()
    smoke: Smoke = Smoke()
    folder: Path = Field(default=Path(), exclude=True, description="set by the loader")

    @model_validator(mode="after")
    def _one_goal(self) -> Recipe:
        given = self.select.goal if "goal" in self.select.model_fields_set else None
        if given is not None and self.search.goal not in (None, given):
            raise ValueError(
                f"search.goal {self.search.goal} and select.goal {given}: expected the same, for what is searched is "
                "what is selected; give one of them"
            )
        return self

    @model_validator(mode="after")
    def _names_of_a_search(self) -> Recipe:
        taken = [one.name for one in self.candidates.variants or () if is_search_name(one.name)]
        if taken and self.search_effort != "off":
            raise ValueError(
                f"variant {taken[0]!r}: expected another name, because a search names its networks so; rename it, or "
                "set search.effort to off"
            )
        return self

    @model_validator(mode="after")
    def _weights_or_training(self) -> Recipe:
        if self.train.epochs == 0 and self.model.weights is None and self.model.factory is None:
            raise ValueError(
                f"train.epochs = 0 without model.weights: expected weights, because {self.model.name} is made at "
                "random; give model.weights, or train.epochs of 1 or more"
            )
        return self

    @property
    def search_effort(self) -> SearchEffort | Literal["off"]:
        """How much is searched."""
        if self.search.effort is not None:
            return self.search.effort
        candidates, named = self.candidates, self.select.candidate
        chosen = candidates.variants is not None or (named is not None and not named.startswith(SLIM))
        return "off" if chosen or "onnx" not in candidates.formats else "quick"

    @property
    def search_limit_s(self) -> float:
        """Seconds after which the search ends."""
        return 60 * (self.search.max_minutes or (90 if self.search_effort == "deep" else 5))

    @property
    def goal(self) -> Goal:
        """What the candidates compete in."""
        return self.search.goal or self.select.goal

    @property
    def model_name(self) -> str:
        """The name in the archive and in the URL."""
        return self.package.name or self.name
