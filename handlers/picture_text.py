"""Picture files as text: standard base64, in one line."""

from __future__ import annotations

import base64
import binascii

from .bad_request import BadRequest
from .picture_kinds import PICTURE_FILE


def picture_of_text(text: str, where: str, example: str) -> bytes:
    """Decode the text of a picture file.

    Args:
        text: base64 in the standard alphabet, without spaces and line breaks.
        where: instance and input, for messages.
        example: a body that the model takes, for messages.

    Raises:
        BadRequest: the text is not such base64; the message says what it is instead.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        if text.startswith("data:"):
            reason = "a data URL; leave out all up to its comma"
        elif len(text.split(maxsplit=1)) != 1 or text != text.strip():
            reason = "spaces or line breaks"
        elif "-" in text or "_" in text:
            reason = "the alphabet for URLs, with - and _ instead of + and /"
        else:
            reason = str(error)
        expected = f"standard base64 of {PICTURE_FILE}, in one line: {example}"
        raise BadRequest(f"{where}: not base64", expected=expected, found=reason) from error
