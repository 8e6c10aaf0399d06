"""The tensors in what a network returns are found, whatever holds them."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass, fields
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.models.parts import choose, leaves, output_name
from pipeline.models.spec import joined, tensors_in

LOGITS, HIDDEN = torch.zeros(2, 3), torch.ones(2, 4, 5)
Named = namedtuple("Named", ["logits", "hidden"])  # noqa: PYI024 - as users write it


@dataclass
class Fields:
    logits: Tensor
    hidden: Tensor | None = None


@dataclass
class ModelOutput(OrderedDict[str, Any]):
    """As Hugging Face writes it: a dict and a dataclass, whose fields may be None."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None

    def __post_init__(self) -> None:
        self.update({field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None})


class WithProperty:
    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    @property
    def logits(self) -> Tensor:
        return self._logits


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (LOGITS, [""]),
        ((LOGITS, HIDDEN), ["0", "1"]),
        ([LOGITS, (HIDDEN, LOGITS)], ["0", "1.0", "1.1"]),
        ({"logits": LOGITS, "hidden": {"last": HIDDEN}}, ["logits", "hidden.last"]),
        (Named(LOGITS, HIDDEN), ["logits", "hidden"]),
        (Fields(LOGITS), ["logits"]),
        (
            ModelOutput(logits=LOGITS, hidden_states=(HIDDEN, HIDDEN)),
            ["logits", "hidden_states.0", "hidden_states.1"],
        ),
        ({0: LOGITS, "empty": ()}, ["0"]),
        (None, []),
    ],
)
def test_every_part_is_named_by_its_path(value: Any, paths: list[str]) -> None:
    assert [path for path, _ in leaves(value)] == paths


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ((HIDDEN, LOGITS), "1"),
        ((HIDDEN, LOGITS), "output1"),
        ({"a": {"b": (HIDDEN, LOGITS)}}, "a.b.1"),
        ({"a.b": LOGITS}, "a.b"),
        ({"a": {"b.c": LOGITS}}, "a.b.c"),
        (Named(LOGITS, HIDDEN), "logits"),
        (Fields(LOGITS), "logits"),
        (WithProperty(LOGITS), "logits"),
        (ModelOutput(logits=LOGITS), "logits"),
    ],
)
def test_a_part_is_chosen_by_its_path(value: Any, path: str) -> None:
    assert choose(value, path) is LOGITS


@pytest.mark.parametrize(("value", "path"), [((LOGITS,), "1"), ({"a": LOGITS}, "b"), (LOGITS, "T"), ({"a": 1}, "keys")])
def test_a_part_that_is_not_there_is_none(value: Any, path: str) -> None:
    with pytest.raises(KeyError):
        choose(value, path)


def test_outputs_without_names_are_counted() -> None:
    assert [output_name(path) for path in ("", "0", "1.0", "logits", "hidden.0")] == [
        "output0",
        "output0",
        "output1.0",
        "logits",
        "hidden.0",
    ]


def test_chosen_tensors_come_in_the_order_of_the_choice() -> None:
    answers = {"logits": LOGITS, "hidden": (HIDDEN, LOGITS)}
    assert [id(tensor) for tensor in tensors_in(answers, ("hidden", "logits"))] == [id(HIDDEN), id(LOGITS), id(LOGITS)]
    assert tensors_in(LOGITS, ("logits",)) == [LOGITS], "a network may return its one output bare in evaluation mode"
    with pytest.raises(UsageError, match=r"expected a part of what the network returns \(logits, hidden.0, hidden.1\)"):
        tensors_in(answers, ("probabilities",))


def test_outputs_lie_side_by_side() -> None:
    assert joined((LOGITS, HIDDEN, torch.zeros(2))).shape == (2, 3 + 20 + 1)
    assert joined(LOGITS) is LOGITS
