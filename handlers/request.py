"""A decoded request, which is the same for every form of a body, and the limits on a body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

# Largest body, in bytes. It is TorchServe's default for a request; on a stock server a larger one never reaches a
# worker.
MAX_BODY_BYTES = 6_553_500
# Largest number of instances. More of them in one request would keep the worker from every other client.
MAX_INSTANCES = 1024

# Name of the form of a body, and so of its answer; `handlers.body_forms` has an entry for each.
FormName = Literal["picture", "raw", "instances"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A decoded body.

    Args:
        instances: one array per input name for each example; arrays have the inputs' dtypes and shapes.
        form: form of the body; the answer is written in it too.
        listed: whether the body was a list of instances; then a message numbers them.
    """

    instances: tuple[dict[str, NDArray[Any]], ...]
    form: FormName
    listed: bool


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
