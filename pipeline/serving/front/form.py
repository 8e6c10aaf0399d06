"""A multipart form as a body: its fields, as `handlers.request_fields` chooses among them."""

from __future__ import annotations

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.request_fields import Field, distinct_names

FORM = "multipart/form-data"
# It warns of each form that it cannot read; a client's fault is no line in our log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)
# A form with so many fields is refused: nobody needs as many.
_MOST_FIELDS = 1000
_LONGEST_HEADER = 1536
_EXPECTED = "whole fields, each behind the form's boundary, and the boundary with -- at the end"


class _Form:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str, bytes]] = []
        self.whole = False
        self._name, self._type, self._encoding = "", "", ""
        self._header, self._value = bytearray(), bytearray()
        self._data: list[bytes] = []

    def begin(self) -> None:
        """Begin a field."""
        if len(self.fields) >= _MOST_FIELDS:
            raise BadRequest(
                "too many fields in one request", expected=f"fewer than {_MOST_FIELDS}", found="more", status=413
            )
        self._name, self._type, self._encoding = "", "", ""
        self._data = []

    def header_field(self, data: bytes, start: int, end: int) -> None:
        """Add to the name of a header."""
        self._header += data[start:end]
        self._require_short()

    def header_value(self, data: bytes, start: int, end: int) -> None:
        """Add to its value."""
        self._value += data[start:end]
        self._require_short()

    def header_end(self) -> None:
        """Keep what a header says."""
        name, value = bytes(self._header).lower(), bytes(self._value)
        self._header.clear()
        self._value.clear()
        if name == b"content-disposition":
            _, options = parse_options_header(value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        elif name == b"content-type":
            self._type = value.decode("latin-1")
        elif name == b"content-transfer-encoding":
            self._encoding = value.decode("latin-1").strip().lower()

    def headers_finished(self) -> None:
        """Refuse a field that is encoded."""
        if self._encoding not in ("", "binary", "8bit", "7bit"):
            raise BadRequest(
                "a form's field with a transfer encoding",
                expected="the field as it is",
                found=f"content-transfer-encoding: {self._encoding}",
                status=415,
            )

    def data(self, data: bytes, start: int, end: int) -> None:
        """Add to the value of the field."""
        self._data.append(data[start:end])

    def finish(self) -> None:
        """Keep the field."""
        self.fields.append((self._name, self._type, b"".join(self._data)))

    def end(self) -> None:
        """Note that the last boundary came."""
        self.whole = True

    def _require_short(self) -> None:
        if len(self._header) + len(self._value) > _LONGEST_HEADER:
            raise BadRequest(
                "a form's field with a long header",
                expected=f"at most {_LONGEST_HEADER} bytes",
                found="more",
                status=413,
            )


def fields_of(body: bytes, content_type: str) -> list[Field]:
    """Return the fields of a form; repeated names are numbered.

    Args:
        body: the whole form.
        content_type: the request's content type, with the boundary.

    Raises:
        BadRequest: it is no form, a field is cut, or there are too many of them.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise BadRequest("a form without a boundary", expected=f"{FORM}; boundary=...", found=content_type)
    form = _Form()
    try:
        parser = MultipartParser(  # which refuses a long boundary
            boundary,
            {
                "on_part_begin": form.begin,
                "on_header_field": form.header_field,
                "on_header_value": form.header_value,
                "on_header_end": form.header_end,
                "on_headers_finished": form.headers_finished,
                "on_part_data": form.data,
                "on_part_end": form.finish,
                "on_end": form.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest("a form that cannot be read", expected=_EXPECTED, found=str(error)) from error
    if not form.whole:
        raise BadRequest(
            "a form with a field that is cut", expected=_EXPECTED, found=f"{len(body)} bytes without the last boundary"
        )
    names = distinct_names([name for name, _, _ in form.fields])
    return [
        Field(name=name, value=value, content_type=media)
        for name, (_, media, value) in zip(names, form.fields, strict=True)
    ]
