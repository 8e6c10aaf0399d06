"""The text of a JSON body, what is refused in it wherever it stands, and JSON as it is answered."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from .bad_request import BadRequest
from .decode import InputSpec
from .domain import NO_MISSING

# Up to here a JSON body is parsed at once, and what is wrong with it told exactly; that costs some milliseconds.
SMALL_JSON_BYTES = 65_536
# Beyond U+FFFF, in UTF-8: one of them makes Python keep four bytes for every character of a text. In the other
# encodings a body has no more than half as many characters as bytes.
_LARGE_CHARACTER = re.compile(rb"[\xf0-\xf7]")
_SHOWN_KEYS, _SHOWN_KEY = 8, 40


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


def strict_decoder(inputs: Sequence[InputSpec]) -> json.JSONDecoder:
    """A decoder that refuses an object with a key twice, and NaN and infinity where they are no value of an input.

    Args:
        inputs: of the model.
    """
    missing = any(spec.missing for spec in inputs)

    def constant(text: str) -> float:
        if text == "NaN" and missing:
            return math.nan
        refusal = "finite numbers" + ("" if missing else NO_MISSING)
        raise BadRequest("non-finite value in JSON", expected=refusal, found=text)

    return json.JSONDecoder(parse_constant=constant, object_pairs_hook=_unique_keys)


@contextmanager
def refused_unless_json(example: str) -> Iterator[None]:
    """Turn what a decoder says of a body into a refusal.

    Args:
        example: a body that the model takes, for the message.

    Raises:
        BadRequest: the body is not JSON.
    """
    try:
        yield
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadRequest("request body is not JSON", expected=example, found=reason) from error


def object_keys(document: Mapping[Any, Any]) -> str:
    """The first keys of a JSON object, for messages."""
    return f"an object with the keys {sorted(str(key)[:_SHOWN_KEY] for key in islice(document, _SHOWN_KEYS))}"


def compact_json(document: object) -> bytes:
    """A document as the body of an answer."""
    return json.dumps(document, separators=(",", ":")).encode()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise key_twice(key)
        document[key] = value
    return document
