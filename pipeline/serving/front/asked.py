"""What is asked of the model: the body of a request, and what its headers say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import require_no_encoding, require_small
from pipeline._handlers.exchange import DECODED_HEADER, LOGITS_HEADER, Incoming
from pipeline._handlers.request_fields import body_of, require_one_content_type
from pipeline.serving.front.dialects import Dialect
from pipeline.serving.front.form import FORM, fields_of

_LOGITS, _DECODED = LOGITS_HEADER.lower().encode(), DECODED_HEADER.lower().encode()
_LONGEST_TYPE = 1000
_EXTRAS = {
    (logits, decoded): Extras(logits=logits, decoded=decoded) for logits in (False, True) for decoded in (False, True)
}


# Frozen objects take two to four times as long to make.
@dataclass(slots=True, kw_only=True)
class Asked:
    """A request for predictions.

    Args:
        headers: its headers by names in lower case; of several of one name, the last.
        content_types: all values of its content type.
        encodings: all values of its content encoding.
        body: its whole body.
    """

    headers: Mapping[bytes, bytes]
    content_types: tuple[str, ...]
    encodings: tuple[str, ...]
    body: bytes


def incoming(asked: Asked, dialect: Dialect) -> Incoming:
    """Return what the model is asked; of a form, the field that counts.

    Args:
        asked: the request.
        dialect: the dialect of its address.

    Raises:
        BadRequest: the headers contradict each other, the body is too large, or the form has no such field.
    """
    require_no_encoding("content-encoding", ",".join(asked.encodings))
    require_one_content_type(asked.content_types)
    body, content_type = asked.body, asked.content_types[0] if asked.content_types else ""
    if content_type[: len(FORM)].lower() == FORM:
        field = body_of(fields_of(body, content_type))
        body, content_type = field.value, field.content_type
    require_small(body)
    if len(content_type) > _LONGEST_TYPE:
        raise BadRequest(
            "content type too long", expected=f"at most {_LONGEST_TYPE} characters", found=str(len(content_type))
        )
    content_type = dialect.content_type(content_type, asked.headers)
    extras = _EXTRAS[_LOGITS in asked.headers, _DECODED in asked.headers]
    return Incoming(body=body, content_type=content_type, extras=extras)
