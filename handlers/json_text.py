"""The text of a JSON body, and what is refused in it wherever it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .bad_request import BadRequest
from .decode import InputSpec

# Up to here a JSON body is parsed at once, and what is wrong with it told exactly; that costs some milliseconds.
SMALL_JSON_BYTES = 65_536
# Beyond U+FFFF, in UTF-8: one of them makes Python keep four bytes for every character of a text. In the other
# encodings a body has no more than half as many characters as bytes.
_LARGE_CHARACTER = re.compile(rb"[\xf0-\xf7]")


def json_text(body: bytes, inputs: Sequence[InputSpec], example: str) -> str:
    """The text of a body in UTF-8, UTF-16 or UTF-32.

    Args:
        body: as received.
        inputs: of the model; their names may be written in any characters.
        example: a body that the model takes, for messages.

    Raises:
        BadRequest: the text would be four times as large as the body.
        ValueError: this is not text.
    """
    encoding = json.detect_encoding(body)
    if len(body) > SMALL_JSON_BYTES and encoding.startswith("utf-8") and _LARGE_CHARACTER.search(body):
        rest = body
        for spec in inputs:
            rest = rest.replace(spec.name.encode(), b"")
        if _LARGE_CHARACTER.search(rest):
            raise BadRequest("JSON of the wrong form", expected=example, found="characters beyond U+FFFF")
    return body.decode(encoding, "surrogatepass")


def key_twice(key: str) -> BadRequest:
    """The refusal of an object that has a key twice, of whose values one would be ignored."""
    return BadRequest("JSON object with a key twice", expected="each key once", found=json.dumps(key)[:80])
