"""A fault in a network's first call is reported in one line: what was expected, what was found, and where."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.errors import DataError, UsageError
from pipeline.models.first_call import check_first_call, check_first_step, check_network
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.classification.member import ClassificationTask
from tests.reporters import Lines

SOURCE = "model.factory nets:build"
TASK = ClassificationTask()
SPEC = InputSpec(name="values", dtype="float32", shape=(8,), low=-np.inf, high=np.inf)
EXAMPLES = Split(
    inputs={"values": np.random.default_rng(0).normal(0, 1, (6, 8)).astype(np.float32)}, labels=np.arange(6) % 3
)
Named = namedtuple("Named", ["logits", "auxiliary"])  # noqa: PYI024 - as users write it


@dataclass
class Output:
    hidden: Tensor
    logits: Tensor


class Net(nn.Module):
    """A network of three classes and eight numbers; an argument changes its outputs further."""

    def __init__(self, ending: Callable[..., Any] = lambda logits, _: logits, outputs: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(8, outputs)
        self.ending = ending

    def forward(self, values: Tensor) -> Any:
        return self.ending(self.head(values), values)


def spec(classes: int = 3, **changes: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "name": "net",
        "build": Net,
        "preprocess": ToFloat,
        "inputs": (SPEC,),
        "labels": tuple("abcdefgh"[:classes]),
    }
    return ModelSpec(**{**fields, **changes})


def called(network: nn.Module, classes: int = 3, weights: str | None = None) -> None:
    check_first_call(spec(classes), network, task=TASK, examples=EXAMPLES, source=SOURCE, weights=weights)


def raised(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as told:
        call()
    text = str(told.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("ending", "found", "advice"),
    [
        (
            lambda logits, values: {"hidden": values, "logits": logits},
            "dict with ['hidden'] float32 (2, 8), ['logits'] float32 (2, 3)",
            "return its part ['logits'] alone",
        ),
        (
            lambda logits, values: (logits, values),
            "tuple with [0] float32 (2, 3), [1] float32 (2, 8)",
            "part [0] alone",
        ),
        (Named, "Named with .logits float32 (2, 3)", "part .logits alone"),
        (lambda logits, values: Output(values, logits), "Output with .hidden float32 (2, 8)", "part .logits alone"),
        (lambda logits, _: logits.tolist(), "list with [0] list, [1] list", "return the outputs of the classes alone"),
        (lambda *_: None, "NoneType", "return the outputs of the classes alone"),
        (lambda logits, _: logits[:, :, None, None], "float32 (2, 3, 1, 1)", "end its forward with .flatten(1)"),
        (lambda logits, _: logits[:, :, None].expand(-1, -1, 4), "float32 (2, 3, 4)", "one for each pixel or step"),
        (lambda logits, _: logits[:, 0], "float32 (2,)", "end in a layer of 3 outputs, or set task.kind"),
        (lambda logits, _: logits[:, :1], "float32 (2, 1)", "end in a layer of 3 outputs, or set task.kind"),
        (lambda logits, _: logits.T, "float32 (3, 2)", "the batch axis comes first: transpose it"),
        (lambda logits, _: logits.mean(0, keepdim=True), "float32 (1, 3)", "as many examples must come out"),
        (lambda logits, _: logits.sum(), "float32 ()", "a loss is computed by train.loss"),
        (lambda logits, _: logits.double(), "float64 (2, 3)", "end its forward with .float()"),
        (lambda logits, _: logits.half(), "float16 (2, 3)", "end its forward with .float()"),
        (lambda logits, _: logits.to(torch.complex64), "complex64 (2, 3)", "end its forward with .float()"),
        (lambda logits, _: logits.argmax(1, keepdim=True).expand(-1, 3), "int64 (2, 3)", "end its forward with"),
        (lambda logits, _: logits.to("meta"), "float32 (2, 3) on meta", "on the device of its inputs"),
    ],
)
def test_outputs_that_are_no_logits(ending: Callable[..., Any], found: str, advice: str) -> None:
    text = raised(UsageError, lambda: called(Net(ending)))
    assert text.startswith(f"{SOURCE}: Net.forward ({__file__}:")
    assert "expected one float32 tensor of shape (2, 3), examples by classes" in text
    assert f"found {found}" in text
    assert advice in text


def test_a_thousand_outputs_for_two_classes() -> None:
    text = raised(UsageError, lambda: called(Net(outputs=1000), classes=2))
    assert "found float32 (2, 1000); give the last layer 2 outputs, or the data the 1000 classes" in text


def test_with_two_classes_a_third_example_shows_which_axis_is_the_batch() -> None:
    transposed = Net(lambda logits, _: logits.T, outputs=2)
    assert "expected one float32 tensor of shape (3, 2)" in raised(UsageError, lambda: called(transposed, classes=2))


@pytest.mark.parametrize("ending", [lambda logits, _: logits, lambda logits, _: logits[:, 0]], ids=["(B, 1)", "(B,)"])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_output_for_two_classes(ending: Callable[..., Any], activation: Activation | None) -> None:
    network = Net(ending, outputs=1).eval()
    told = Lines()
    before = spec(2, activation=activation)
    found = check_first_call(before, network, task=TASK, examples=EXAMPLES, source=SOURCE, reporter=told)
    assert found == replace(before, single_output=True)
    assert found.outputs_are == ("none" if activation is None else "softmax")
    assert [line.partition("counts as ")[2] for line in told.said] == [
        f"the {'logit' if activation is None else 'probability'} of class b"
    ]
    values = torch.from_numpy(EXAMPLES.inputs["values"])
    columns_B2 = found.deployable(network)(values)
    assert columns_B2.shape == (6, 2)
    output_B = network(values).flatten()
    torch.testing.assert_close(columns_B2[:, 1], output_B, rtol=0, atol=0)
    torch.testing.assert_close(columns_B2[:, 0], 1 - output_B if activation else torch.zeros(6), rtol=0, atol=0)
    if activation is None:
        torch.testing.assert_close(columns_B2.softmax(1)[:, 1], output_B.sigmoid())


def test_one_output_that_cannot_stand_for_two_classes() -> None:
    assert "expected one float32 tensor of shape (2, 1), examples by classes, found float64 (2, 1)" in raised(
        UsageError, lambda: called(Net(lambda logits, _: logits.double(), outputs=1), classes=2)
    )


def test_a_right_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    called(network)
    check_first_step(
        spec(), network, F.cross_entropy, task=TASK, examples=EXAMPLES, batch_size=4, source=SOURCE, loss="train.loss"
    )
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_a_forward_raises_is_told_with_its_line() -> None:
    def ending(*_: Tensor) -> Tensor:
        raise KeyError("no such\nkey")

    text = raised(UsageError, lambda: called(Net(ending)))
    assert "expected an answer for values float32 (2, 8), found KeyError: 'no such\\nkey' (" in text
    line = ending.__code__.co_firstlineno + 1
    # This file lies in no recipe's folder, so any file counts; the innermost line is its own.
    assert f"{__file__}:{line})" in text


def test_a_network_changes_its_input_or_overwrites_its_answers() -> None:
    def halves(logits: Tensor, values: Tensor) -> Tensor:
        values.mul_(0.5)
        return logits

    text = raised(UsageError, lambda: called(Net(halves)))
    assert "expected input values to be left as it is, found it changed by the call; clone it first" in text
    text = raised(UsageError, lambda: called(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 3))))
    assert "beware of inplace=True in the first layer" in text
    kept = torch.zeros(9, 3)

    def into_kept(logits: Tensor, _: Tensor) -> Tensor:
        return torch.add(logits, 0, out=kept[: len(logits)])

    assert "a call overwrites what an earlier one returned; return a clone" in raised(
        UsageError, lambda: called(Net(into_kept))
    )


def test_answers_that_are_not_finite_are_the_weights_fault_where_there_are_any() -> None:
    endless = Net(lambda logits, _: logits / 0)
    assert "found NaN or Inf for 2 of 2 examples; mend its forward" in raised(UsageError, lambda: called(endless))
    assert "examples with weights w.pth; give weights that fit" in raised(
        DataError, lambda: called(endless, weights="w.pth")
    )


def test_what_a_factory_builds_is_a_float32_network_on_the_cpu() -> None:
    check_network(Net(), source=SOURCE)
    for dtype in (torch.float16, torch.bfloat16):
        text = raised(UsageError, partial(check_network, Net().to(dtype), source=SOURCE))
        assert f"expected parameters in float32, found 2 in {str(dtype)[6:]}, such as head.weight" in text
    with torch.device("meta"):
        nowhere = Net()
    assert "expected a network on the CPU, found head.weight on meta" in raised(
        UsageError, lambda: check_network(nowhere, source=SOURCE)
    )
    assert "expected a torch.nn.Module to be built, found dict" in raised(
        UsageError, lambda: check_network({}, source=SOURCE)
    )
    assert "its parameters are in float64: build it with .float()" in raised(UsageError, lambda: called(Net().double()))


def test_a_preprocessing_that_is_no_module() -> None:
    for preprocess, found in ((lambda: abs, "builtin_function_or_method"), (lambda: 1 / 0, "ZeroDivisionError")):
        wrong = spec(preprocess=preprocess)
        call = partial(check_first_call, wrong, Net(), task=TASK, examples=EXAMPLES, source=SOURCE)
        text = raised(UsageError, call)
        assert f"{SOURCE}: preprocess: expected it to make a" in text
        assert f"found {found}" in text


class TwoFaced(nn.Module):
    """A network that answers with a pair in training mode, as inception_v3 does."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, values: Tensor) -> Any:
        logits = self.head(values)
        return Named(logits, logits) if self.training else logits


def stepped(network: nn.Module, criterion: Callable[[Tensor, Tensor], Tensor], batch_size: int = 4) -> str:
    called(network)
    return raised(
        UsageError,
        lambda: check_first_step(
            spec(),
            network,
            criterion,
            task=TASK,
            examples=EXAMPLES,
            batch_size=batch_size,
            source=SOURCE,
            loss="train.loss my:loss",
        ),
    )


def test_what_shows_only_in_a_training_step() -> None:
    text = stepped(TwoFaced(), F.cross_entropy)
    assert f"{SOURCE}: in training mode, TwoFaced.forward ({__file__}:" in text
    assert "found Named with .logits float32 (4, 3), .auxiliary float32 (4, 3); return its part .logits" in text
    normed = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    text = stepped(normed, F.cross_entropy, batch_size=1)
    assert "a batch of 1, found ValueError: Expected more than 1 value per channel when training" in text
    frozen = Net().requires_grad_(requires_grad=False)
    assert "expected parameters to train, found all 2 frozen (requires_grad is False)" in stepped(
        frozen, F.cross_entropy
    )
    detached = Net(lambda logits, _: logits.detach())
    assert "found one without a gradient; neither the loss nor Net.forward" in stepped(detached, F.cross_entropy)


def test_what_a_loss_gets_wrong() -> None:
    def unfit(_outputs: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(labels.float()[:, 5], labels.float())

    text = stepped(Net(), unfit)
    assert (
        "train.loss my:loss: expected a loss for outputs float32 (4, 3) and labels int64 (4,), found IndexError" in text
    )

    def changes_what_the_gradient_needs(outputs: Tensor, labels: Tensor) -> Tensor:
        exponentials = outputs.exp()
        loss = F.cross_entropy(exponentials, labels)
        exponentials += 1
        return loss + exponentials.sum() * 0

    text = stepped(Net(), changes_what_the_gradient_needs)
    assert "expected gradients of train.loss my:loss, found RuntimeError: one of the variables needed for grad" in text


def test_a_loss_that_needs_a_whole_batch_has_one() -> None:
    def hardest(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels, reduction="none").topk(3).values.mean()

    check_first_step(
        spec(), Net(), hardest, task=TASK, examples=EXAMPLES, batch_size=4, source=SOURCE, loss="train.loss my:loss"
    )


def test_what_a_forward_pass_changes_while_it_trains_is_no_data_of_the_training() -> None:
    class Scaling(Net):
        def forward(self, values: Tensor) -> Any:
            return self.head(values.mul_(2) if self.training else values)

    examples = Split(inputs={"values": EXAMPLES.inputs["values"].copy()}, labels=EXAMPLES.labels)
    check_first_step(
        spec(preprocess=nn.Identity),
        Scaling(),
        F.cross_entropy,
        task=TASK,
        examples=examples,
        batch_size=4,
        source=SOURCE,
        loss="train.loss",
    )
    assert np.array_equal(examples.inputs["values"], EXAMPLES.inputs["values"])
