"""The form of a body that is one picture file; its answer is one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .answer_size import Extras, most_instances
from .decode import InputSpec, decode_image
from .effort import Effort
from .picture_kinds import PICTURE_FILE
from .request import FormNotTakenError, Request

if TYPE_CHECKING:
    from .description import Serving


class PictureBody:
    """A body that is a picture of the only input."""

    def accepted(self, inputs: Sequence[InputSpec]) -> str:
        """Describe a picture file, where the only input is a picture."""
        return PICTURE_FILE if len(inputs) == 1 and inputs[0].decoding is not None else ""

    def decode(self, body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode the picture to the only instance."""
        if not self.accepted(inputs):
            raise FormNotTakenError("this model takes no picture as a body", found=media or "a picture")
        spec = inputs[0]
        instance: dict[str, NDArray[Any]] = {spec.name: decode_image(body, spec, effort.pixels)}
        return Request(instances=(instance,), form="picture", listed=False)

    def most_instances(self, serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:
        """Count as for a list of answers: each answer is the same."""
        return most_instances(serving, longest, extras)

    def join(self, answers: Sequence[str]) -> bytes:
        """Write the only answer."""
        return answers[0].encode()
