"""Networks that return several tensors: which are outputs, what they are called, and what is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline.data.dataset import Split
from pipeline.errors import UsageError
from pipeline.models.first_call import check_first_call, check_first_step, check_training_mode
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.table import task_named

SOURCE = "model.factory nets:build"
SPEC = InputSpec(name="values", dtype="float32", shape=(8,), low=-np.inf, high=np.inf)
FREE = InputSpec(name="steps", dtype="float32", shape=(6, 8), low=-np.inf, high=np.inf, dynamic_axes=(0,))
DRAW = np.random.default_rng(0)
EXAMPLES = Split(inputs={"values": DRAW.normal(0, 1, (6, 8)).astype(np.float32)}, labels=np.arange(6) % 3)
SERIES = Split(inputs={"steps": DRAW.normal(0, 1, (6, 6, 8)).astype(np.float32)}, labels=np.arange(6) % 3)


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


class Net(nn.Module):
    """Two tensors of eight numbers, in what an argument makes of them."""

    def __init__(self, ending: Callable[..., Any], train_ending: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 4), nn.Linear(4, 3)
        self.ending, self.train_ending = ending, train_ending or ending

    def forward(self, values: Tensor) -> Any:
        hidden = self.body(values)
        return (self.train_ending if self.training else self.ending)(self.head(hidden), hidden)


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        raise NotImplementedError


def spec(task: str = "outputs", choice: tuple[str, ...] = (), inputs: tuple[InputSpec, ...] = (SPEC,)) -> ModelSpec:
    fields: dict[str, Any] = {"task": task, "choice": choice, "labels": tuple("abc")}
    return ModelSpec(name="net", build=lambda: Net(Output), preprocess=ToFloat, inputs=inputs, **fields)


def called(network: nn.Module, model: ModelSpec, examples: Split = EXAMPLES) -> ModelSpec:
    task = task_named(model.task)
    return check_first_call(model, network, task=task, examples=examples, source=SOURCE)


def refused(network: nn.Module, model: ModelSpec, examples: Split = EXAMPLES) -> str:
    with pytest.raises(UsageError) as caught:
        called(network, model, examples)
    text = str(caught.value)
    assert text.startswith(SOURCE)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("ending", "outputs"),
    [
        (Output, {"logits": (3,), "hidden": (4,)}),
        (lambda logits, hidden: (logits, hidden[:, :, None, None]), {"output0": (3,), "output1": (4, 1, 1)}),
        (lambda logits, hidden: {"a": logits, "b": [hidden.sum(1), None]}, {"a": (3,), "b.0": ()}),
        (lambda logits, _: logits[:, :, None], {"output0": (3, 1)}),
    ],
)
def test_outputs_are_named_with_their_shapes(ending: Callable[..., Any], outputs: dict[str, tuple[int, ...]]) -> None:
    checked = called(Net(ending), spec())
    assert checked.outputs == tuple(OutputSpec(name=name, shape=shape) for name, shape in outputs.items())
    assert checked.labels == tuple(outputs)
    assert checked.columns == sum(int(np.prod(shape)) for shape in outputs.values())


def test_a_list_chooses_several_outputs() -> None:
    checked = called(Net(lambda logits, hidden: (logits, hidden, hidden.argmax(1))), spec(choice=("1", "0")))
    assert [output.name for output in checked.outputs] == ["output1", "output0"]


def test_shorter_numbers_are_cast_and_told() -> None:
    reporter = Lines()
    check_first_call(
        spec(),
        Net(lambda logits, hidden: {"logits": logits, "hidden": hidden.to(torch.bfloat16)}),
        task=task_named("outputs"),
        examples=EXAMPLES,
        source=SOURCE,
        reporter=reporter,
    )
    assert reporter.lines == ["train: outputs logits [3], hidden [4]; cast to float32: hidden from bfloat16"]
    model = spec().deployable(Net(lambda logits, hidden: (logits, hidden.half())))
    assert [tensor.dtype for tensor in model(torch.zeros(2, 8))] == [torch.float32, torch.float32]


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (
            lambda logits, hidden: (logits, hidden.argmax(1)),
            r"output output1: .* found int64 \(2,\); whole numbers jump where the values behind them nearly tie",
        ),
        (
            lambda logits, _: {"a": logits, "b": "text"},
            "output b: expected a floating-point tensor, examples first, found str; name the others in model.output",
        ),
        (
            lambda logits, hidden: (logits, hidden.mean(0)),
            r"output output1: .* found float32 \(4,\) for 2 examples; as many examples must come out",
        ),
        (lambda logits, hidden: (logits, hidden[:, :0]), "output output1: .* which holds no values"),
        (lambda logits, _: {"values": logits}, "output values: .* found it twice among inputs and outputs"),
        (lambda logits, _: {"a\nb": logits}, "names of outputs: output: expected text without control"),
        (
            lambda logits, _: (logits, logits @ logits.T),
            r"output output1: expected one shape .* found \(3,\) for 3 of them, \(2,\) before",
        ),
        (lambda *_: (), "expected tensors, found tuple"),
        (
            lambda logits, _: (logits, logits[:, :, None].expand(-1, -1, 50_000)),
            r"at most 136531 values an example, .* found 150003 \(output0 3, output1 150000\); pool them, or name",
        ),
    ],
)
def test_what_is_no_output_is_refused_by_name(ending: Callable[..., Any], text: str) -> None:
    assert re.search(text, refused(Net(ending), spec()))


def test_an_output_that_follows_a_free_axis_is_refused_by_name() -> None:
    network = Net(lambda logits, hidden: {"logits": logits.mean(1), "steps_out": hidden})
    text = refused(network, spec(inputs=(FREE,)), SERIES)
    assert "output steps_out: expected a fixed shape behind the axis of examples, found (6, 4) for the data" in text
    assert "and (1, 4) with steps of 1; pool it over that axis, name the other outputs in model.output" in text
    pooled = Net(lambda logits, hidden: {"logits": logits.mean(1), "steps_out": hidden.mean(1)})
    assert called(pooled, spec(inputs=(FREE,)), SERIES).labels == ("logits", "steps_out")


def test_a_chosen_output_is_all_that_a_classifier_has() -> None:
    for ending, path in ((Output, "logits"), (lambda logits, hidden: (hidden, logits), "1")):
        checked = called(Net(ending), spec("classification", (path,)))
        assert checked.outputs == ()
        assert checked.deployable(Net(ending))(torch.zeros(2, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("ending", "choice", "text"),
    [
        (Output, (), 'return its part .logits alone, .* or choose it by model.output = "logits"'),
        (Output, ("classes",), r"model.output: expected a part of .* \(logits, hidden\), found classes"),
        (
            lambda logits, hidden: {"all": (logits, hidden)},
            ("all",),
            'model.output: expected one tensor, found all.0, all.1; choose one .* by task.kind = "outputs"',
        ),
        (
            lambda logits, _: logits,
            ("logits",),
            "model.output: expected a network that returns several tensors, .* take model.output out of the recipe",
        ),
    ],
)
def test_a_wrong_choice_is_told(ending: Callable[..., Any], choice: tuple[str, ...], text: str) -> None:
    assert re.search(text, refused(Net(ending), spec("classification", choice)))


def test_auxiliary_outputs_of_training_are_left_out_by_the_same_choice() -> None:
    """As torchvision's GoogLeNet has them: one tensor in evaluation mode, an object with three in training."""
    network = Net(lambda logits, _: logits, train_ending=Output)
    task = task_named("classification")
    step = partial(
        check_first_step,
        criterion=nn.functional.cross_entropy,
        task=task,
        examples=EXAMPLES,
        batch_size=4,
        source=SOURCE,
        loss="train.loss cross-entropy",
    )
    plain = called(network, spec("classification"))
    with pytest.raises(UsageError, match=r'in training mode, .* choose it by model.output = "logits"'):
        step(plain, network)
    with pytest.raises(UsageError, match=r'in training mode, .* choose it by model.output = "logits"'):
        check_training_mode(plain, network, task=task, examples=EXAMPLES, source=SOURCE)
    chosen = called(network, spec("classification", ("logits",)))
    check_training_mode(chosen, network, task=task, examples=EXAMPLES, source=SOURCE)
    assert network.training, "as it was"
    step(chosen, network)
    outputs = called(network, spec("outputs"))
    with pytest.raises(UsageError, match=r"expected the outputs output0, as in .*, found logits, hidden; "):
        step(outputs, network)
