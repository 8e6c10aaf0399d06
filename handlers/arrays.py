"""Arrays of a safetensors file that somebody else wrote."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def load_arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file.

    Args:
        content: of the file.
        name: of the file, for the message.

    Raises:
        ValueError: it is no such file, or holds a type that numpy does not have.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        # What safetensors raises of a type it knows and numpy does not is a KeyError or an AttributeError.
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: expected arrays that numpy has, found: {type(error).__name__}: {reason}") from error
