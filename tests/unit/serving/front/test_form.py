"""Forms as clients write them, and as they must not be."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from pipeline._handlers.bad_request import BadRequest
from pipeline.serving.front.form import fields_of

TYPE = "multipart/form-data; boundary=b"


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'content-disposition: form-data; name="{name}"\r\n{more}\r\n'.encode() + value


def test_what_a_client_writes_is_read() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 70_000, dtype=np.uint8).tobytes()
    request = httpx.Request(
        "POST",
        "http://x",
        files=[("photo", ("ä.png", noise, "image/png")), ("photo", ("b", b"\r\n--", "text/plain"))],
        data={"user": "42", "empty": ""},
    )
    fields = fields_of(request.read(), request.headers["content-type"])
    assert [(field.name, field.content_type, field.value) for field in fields] == [
        ("user", "", b"42"),
        ("empty", "", b""),
        ("photo (1)", "image/png", noise),
        ("photo (2)", "text/plain", b"\r\n--"),
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (form(part("a", b"1")), "multipart/form-data", "a form without a boundary"),
        (form(part("a", b"1")), 'multipart/form-data; boundary=""', "a form without a boundary"),
        (form(part("a", b"1")), f"multipart/form-data; boundary={'b' * 300}", "a form that cannot be read"),
        (form(part("a", b"1")), "multipart/form-data; boundary=c", "a form that cannot be read"),
        (form(part("a", b"1"), end=b""), TYPE, "a form with a field that is cut"),
        (form(part("a", b"1"))[:-6], TYPE, "a form with a field that is cut"),
        (b"no form", TYPE, "a form that cannot be read"),
        (form(b"bad header\r\n\r\n1"), TYPE, "a form that cannot be read"),
        (
            form(part("a", b"MQ==", "content-transfer-encoding: base64\r\n")),
            TYPE,
            "a form's field with a transfer encoding",
        ),
        (form(part("a" * 2000, b"1")), TYPE, "a form's field with a long header"),
        (form(*[part("a", b"1")] * 1001), TYPE, "too many fields in one request"),
    ],
)
def test_what_is_no_whole_form_is_refused(body: bytes, content_type: str, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        fields_of(body, content_type)
    assert caught.value.error == text


def test_every_cut_of_a_form_is_refused() -> None:
    body = form(part("a", b"some text"), part("b", b"more"))
    for length in range(len(body) - 2):  # the last line may end or not
        with pytest.raises(BadRequest):
            fields_of(body[:length], TYPE)
