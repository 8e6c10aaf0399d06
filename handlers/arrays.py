"""Arrays of a safetensors file that somebody else wrote."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def load_arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of a safetensors file.

    Args:
        content: the file's bytes.
        name: the file's name, for the message.

    Returns:
        The arrays by name.

    Raises:
        ValueError: the content is not a safetensors file, or holds a type that numpy does not have.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        # For a type that it knows and numpy does not, safetensors raises a KeyError or an AttributeError.
        reason = " ".join(str(error).split())
        raise ValueError(f"{name}: expected arrays that numpy has, found: {type(error).__name__}: {reason}") from error
