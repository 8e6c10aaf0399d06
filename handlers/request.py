"""A decoded request, which is the same for every form of a body, and the limits on a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .answer_size import Extras

# Largest body, in bytes. It is TorchServe's default for a request; on a stock server a larger one never reaches a
# worker.
MAX_BODY_BYTES = 6_553_500
# Largest number of instances. More of them in one request would keep the worker from every other client.
MAX_INSTANCES = 1024

# Name of the form of a body, and so of its answer; `handlers.body_forms` has an entry for each.
FormName = Literal["picture", "raw", "instances", "tensors"]


@dataclass(frozen=True, kw_only=True)
class TensorWishes:
    """What a request in the form `tensors` says of its answer.

    Args:
        id: identifier that the answer repeats; None for none.
        outputs: for each tensor that the answer shall hold, whether as binary data, by name; empty for all tensors.
        binary: whether all tensors shall be binary data, where `outputs` is empty.
    """

    id: str | None = None
    outputs: Mapping[str, bool] = field(default_factory=dict)
    binary: bool = False


# Frozen objects take two to four times as long to make.
@dataclass(slots=True, kw_only=True)
class Request:
    """A decoded body.

    Args:
        instances: one array per input name for each example; arrays have the inputs' dtypes and shapes.
        form: form of the body; the answer is written in it too.
        listed: whether the body was a list of instances; then a message numbers them.
        wishes: what the request says of its answer, where its form lets it.
    """

    instances: tuple[dict[str, NDArray[Any]], ...]
    form: FormName
    listed: bool
    wishes: TensorWishes = TensorWishes()


class Answered(NamedTuple):
    """A request with its answer.

    Args:
        request: the request.
        logits: the model's outputs (N, K), one row per instance.
        extras: what each answer holds besides the task's own fields.
    """

    request: Request
    logits: NDArray[np.float32]
    extras: Extras


class FormNotTakenError(Exception):
    """An error: the model takes no body of this form. `body_forms` knows all forms, and says which ones it takes.

    Args:
        error: what is wrong, for the client.
        found: what the body is.
    """

    def __init__(self, error: str, *, found: str) -> None:
        self.error = error
        self.found = found
        super().__init__(f"{error}: found {found}")
