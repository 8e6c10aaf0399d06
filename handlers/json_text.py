"""The text of a JSON body, the faults that are refused anywhere in it, and the JSON of an answer."""

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

# Up to this size a JSON body is parsed as a whole, so that a refusal can say exactly what is wrong; that costs some
# milliseconds.
SMALL_JSON_BYTES = 65_536
# These bytes begin a character beyond U+FFFF in UTF-8. One such character makes Python keep four bytes for every
# character of a text. In the other encodings a body has no more than half as many characters as bytes.
_LARGE_CHARACTER = re.compile(rb"[\xf0-\xf7]")
_SHOWN_KEYS, _SHOWN_KEY = 8, 40
# No answer contains itself, so no circle is looked for, which would take a third of the time.
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def json_text(body: bytes, inputs: Sequence[InputSpec], example: str) -> str:
    """Decode the text of a body in UTF-8, UTF-16 or UTF-32.

    Args:
        body: the body as received.
        inputs: inputs of the model; their names, columns and categories may have any characters.
        example: a body that the model takes, for messages.

    Raises:
        BadRequest: the text would be four times as large as the body.
        ValueError: the body is not text.
    """
    encoding = json.detect_encoding(body)
    if len(body) > SMALL_JSON_BYTES and encoding.startswith("utf-8") and _LARGE_CHARACTER.search(body):
        rest = body
        for spec in inputs:
            texts = [text for column in spec.columns for text in (column.name, *column.categories)]
            for text in (spec.name, *(text for text in texts if max(text) > "\uffff")):
                rest = rest.replace(text.encode(), b"")
        if _LARGE_CHARACTER.search(rest):
            raise BadRequest("JSON of the wrong form", expected=example, found="characters beyond U+FFFF")
    return body.decode(encoding, "surrogatepass")


def key_twice(key: str) -> BadRequest:
    """Return the refusal of an object that has a key twice: one of the two values would be ignored."""
    return BadRequest("JSON object with a key twice", expected="each key once", found=json.dumps(key)[:80])


def strict_decoder(inputs: Sequence[InputSpec]) -> json.JSONDecoder:
    """Make a decoder that refuses an object with a key twice, and NaN and infinity where no input has such a value.

    Args:
        inputs: inputs of the model.
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
    """Turn a decoder's error into a refusal of the body.

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
    """List the first keys of a JSON object, for messages."""
    return f"an object with the keys {sorted(str(key)[:_SHOWN_KEY] for key in islice(document, _SHOWN_KEYS))}"


def compact_json(document: object) -> bytes:
    """Write a document as the body of an answer."""
    return compact_text(document).encode()


def compact_text(document: object) -> str:
    """Write a document as it stands in the body of an answer."""
    return _ENCODER.encode(document)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise key_twice(key)
        document[key] = value
    return document
