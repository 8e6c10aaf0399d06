"""The JSON in front of binary data, which a client sends again and again: it is parsed once.

Parsing and checking it takes longer than all else that is done with the values of one small picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .decode import InputSpec
from .tensor_request import InferRequest

# So many texts are kept, none of them longer than this, in bytes. A client has one for each number of examples.
_MOST, _LONGEST = 256, 2048


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What was read, and for what: the model's inputs, and the names of its tensors."""

    inputs: Sequence[InputSpec]
    tensors: Sequence[str] | None
    request: InferRequest


class KnownHeads:
    """The requests that were read from the last texts; they hold no values."""

    def __init__(self) -> None:
        self._heads: dict[bytes, _Known] = {}

    def get(self, head: bytes, inputs: Sequence[InputSpec], tensors: Sequence[str] | None) -> InferRequest | None:
        """Return what was read from this text for the same model; None where nothing is kept."""
        known = self._heads.get(head)
        # Inputs of equal content would do as well, but comparing them takes long.
        return known.request if known is not None and known.inputs is inputs and known.tensors == tensors else None

    def keep(
        self, head: bytes, inputs: Sequence[InputSpec], tensors: Sequence[str] | None, request: InferRequest
    ) -> None:
        """Keep what was read, unless the text has values in it, or an id, with which it hardly comes again."""
        values = any(tensor.binary_size is None for tensor in request.tensors)
        if values or request.wishes.id is not None or len(head) > _LONGEST:
            return
        if len(self._heads) >= _MOST:
            self._heads.clear()
        self._heads[head] = _Known(inputs=inputs, tensors=tensors, request=request)
