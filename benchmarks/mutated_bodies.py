"""Bodies that were right once, from a seeded generator: bytes changed, parts cut and doubled, JSON and forms broken."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.model_requests import BOUNDARY, FORM, JSON, RAW, ModelRequest, form, model_requests
from pipeline._handlers.decode import InputSpec

# Right requests that are mutated, each in many ways.
_ORIGINALS = 300
_MOST_INSTANCES = 4
_TYPES = (
    *(RAW, JSON, FORM, "image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/heic"),
    *("", "text/plain", "text/html; charset=utf-16", "application/x-www-form-urlencoded", "application/ld+json"),
    *("application/json; charset=x", "IMAGE/PNG", "image/", "application/gzip", "*/*", "\xe9", ";;;", "a" * 2000),
    *("multipart/form-data", "multipart/mixed; boundary=a", 'multipart/form-data; boundary=""'),
    *(f"multipart/form-data; boundary={'b' * 300}", "multipart/form-data; boundary=\xe9"),
)
# What a value of a JSON document becomes.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**70, -0.0, 1e308, 256, "", "7", "\ud800", "\0", [], {}, [[]]),
    *([None], {"b64": ""}, {"b64": "!"}, {"b64": 7}, {"b64": "AAAA"}, {"b64": "", "c": 1}, {"instances": [1]}),
    "x" * 5000,
)
# These are put in as they are, because no writer of JSON would write them.
_RAW_TEXTS = ("NaN", "-Infinity", "1e999", "01", "+1", ".5", "0x1F", "'a'", "[", "]", "{", "//", "\\u0000", "1" * 5000)
_HOLE = "a hole in the document"


@dataclass(frozen=True, kw_only=True)
class MutatedRequest:
    """A request in good HTTP, whose body was right once.

    Args:
        kind: what became of it.
        path: the path.
        headers: headers beside the host and the length, names in lower case.
        body: the whole body.
    """

    kind: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes


def mutated_requests(name: str, spec: InputSpec, number: int, *, seed: int) -> Iterator[MutatedRequest]:
    """Generate requests.

    Args:
        name: name of the model.
        spec: its input.
        number: number of requests.
        seed: seed; the same one gives the same requests.
    """
    random = Random(seed)  # noqa: S311 - no cryptography
    originals = list(model_requests(name, spec, _ORIGINALS, most=_MOST_INSTANCES, seed=seed))
    for _ in range(number):
        request = random.choice(originals)
        mutations = [*_ANY, *(_DOCUMENTS if request.kind == "JSON" else _FORMS if request.kind == "form" else _ANY)]
        kind, mutate = random.choice(mutations)
        body = mutate(random, request, random.choice(originals))
        media = request.content_type if random.random() < 0.6 else random.choice(_TYPES)
        headers = [("content-type", media)] if media else []
        if random.random() < 0.1:
            headers += random.choice(_HEADERS)
        yield MutatedRequest(kind=f"{request.kind}: {kind}", path=request.path, headers=headers, body=body)


_HEADERS: tuple[list[tuple[str, str]], ...] = (
    [("x-pipeline-logits", "1")],
    [("x-pipeline-decoded", "1"), ("x-pipeline-logits", "")],
    [("content-encoding", "gzip")],
    [("content-encoding", "identity, br")],
    [("content-type", "image/png")],
    [("content-type", "application/json"), ("content-type", "")],
    [("content-transfer-encoding", "base64")],
)

Mutate = Callable[[Random, ModelRequest, ModelRequest], bytes]


def _bits(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    body = bytearray(request.body)
    for _bit in range(random.choice([1, 1, 1, 3, 10])):
        body[random.randrange(len(body))] ^= 1 << random.randrange(8)
    return bytes(body)


def _bytes(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    body = bytearray(request.body)
    for _byte in range(random.choice([1, 1, 2, 8, 50])):
        body[random.randrange(len(body))] = random.choice([0, 255, 127, 128, random.randrange(256)])
    return bytes(body)


def _beginning(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    """A change where a picture says its size, depth and way of packing."""
    body = bytearray(request.body)
    for _byte in range(random.choice([1, 1, 2, 4])):
        body[random.randrange(min(64, len(body)))] = random.choice([0, 255, 1, 128, random.randrange(256)])
    return bytes(body)


def _cut(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    return request.body[: random.randrange(len(request.body))]


def _without(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    first, second = sorted(random.randrange(len(request.body) + 1) for _side in range(2))
    return request.body[:first] + request.body[second:]


def _doubled(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    first, second = sorted(random.randrange(len(request.body) + 1) for _side in range(2))
    part = request.body[first:second] * random.choice([1, 1, 5])
    return random.choice([request.body + request.body, request.body[:second] + part + request.body[second:]])


def _inserted(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    place = random.randrange(len(request.body) + 1)
    noise = random.choice([random.randbytes(random.randrange(1, 40)), bytes(random.randrange(1, 400))])
    return request.body[:place] + noise + request.body[place:]


def _spliced(random: Random, request: ModelRequest, other: ModelRequest) -> bytes:
    return request.body[: random.randrange(len(request.body))] + other.body[random.randrange(len(other.body)) :]


def _unchanged(_: Random, request: ModelRequest, __: ModelRequest) -> bytes:
    return request.body


def _noise(random: Random, _: ModelRequest, __: ModelRequest) -> bytes:
    return random.randbytes(random.choice([0, 1, 10, 48, 100, 5000]))


def _packed(_: Random, request: ModelRequest, __: ModelRequest) -> bytes:
    return gzip.compress(request.body, mtime=0)


_ANY: Sequence[tuple[str, Mutate]] = (
    ("bits", _bits),
    ("bytes", _bytes),
    ("beginning", _beginning),
    ("cut", _cut),
    ("a part left out", _without),
    ("a part doubled", _doubled),
    ("noise inside", _inserted),
    ("spliced with another", _spliced),
    ("another type", _unchanged),
    ("noise", _noise),
    ("packed", _packed),
)


def _other_value(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    return _written(_changed(random, json.loads(request.body), random.choice(_VALUES)))


def _other_text(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    """Something that is no JSON, in the place of a value."""
    document = _written(_changed(random, json.loads(request.body), _HOLE))
    return document.replace(json.dumps(_HOLE).encode(), random.choice(_RAW_TEXTS).encode())


def _nested(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    depth = random.choice([1, 2, 5, 100, 900, 5000, 50_000])
    opening, closing = random.choice([("[", "]"), ('{"a":', "}"), ('{"instances":', "}"), ('[{"b64":', "}]")])
    document = _written(_changed(random, json.loads(request.body), _HOLE)).decode()
    return document.replace(json.dumps(_HOLE), opening * depth + "1" + closing * depth).encode()


def _other_keys(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    instances = _written(json.loads(request.body)["instances"])
    return random.choice(
        [
            b'{"instances":%b,"instances":%b}' % (instances, instances),
            b'{"instances":%b,"more":1}' % instances,
            b'{"Instances":%b}' % instances,
            b'{"inst\\u0061nces":%b}' % instances,
            b'{"inputs":%b}' % instances,
            b'{"":%b}' % instances,
            b'{"%b":%b}' % (b"k" * 3000, instances),
            b'{"instances":{"a":%b}}' % instances,
            instances,
            b'{"instances":%b} {}' % instances,
            b'{"instances":%b,}' % instances,
        ]
    )


def _other_letters(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    text = request.body.decode()
    encoding = random.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"])
    return random.choice([text.encode(encoding), request.body.replace(b"instances", b"inst\xe4nces")])


_DOCUMENTS: Sequence[tuple[str, Mutate]] = (
    ("another value", _other_value),
    ("no JSON inside", _other_text),
    ("nested", _nested),
    ("other keys", _other_keys),
    ("another encoding", _other_letters),
)


def _other_boundary(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    other = random.choice([b"", b"other", b"a-boundar", b"--", b"\xff", b"b" * 200, BOUNDARY.encode() + b"x"])
    return request.body.replace(BOUNDARY.encode(), other, random.choice([1, 1, 2, -1]))


def _other_lines(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    return request.body.replace(
        b"\r\n", random.choice([b"\n", b"\r", b"", b"\r\n\r\n", b"\r\n "]), random.choice([1, 3, -1])
    )


def _other_fields(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    picture = request.body.partition(b"\r\n\r\n")[2]
    fields = [("photo", "image/png", picture), ("user", "text/plain", b"42"), ("data", JSON, b'{"instances":[1]}')]
    chosen = random.choices(fields, k=random.choice([0, 1, 2, 3, 50, 999, 1001]))
    return form(chosen)


def _other_headers(random: Random, request: ModelRequest, _: ModelRequest) -> bytes:
    header = random.choice(
        [
            b"content-transfer-encoding: base64",
            b"content-transfer-encoding: binary",
            b"content-disposition: form-data",
            b'content-disposition: form-data; name="',
            b"content-disposition: form-data; name=a; filename*=UTF-8''%ff%00",
            b"content-disposition: attachment; name=\xff\x00",
            b"content-type: multipart/mixed; boundary=b",
            b"content-type: " + b"a" * 2000,
            b"no colon",
            b": no name",
            b"x" * 1600 + b": y",
            b"\x00: \x00",
        ]
    )
    return request.body.replace(b"content-disposition", header + b"\r\ncontent-disposition", 1)


_FORMS: Sequence[tuple[str, Mutate]] = (
    ("another boundary", _other_boundary),
    ("other ends of lines", _other_lines),
    ("other fields", _other_fields),
    ("other headers", _other_headers),
)


def _changed(random: Random, document: Any, value: object) -> Any:
    """Return the document with one of its values, at a random depth, replaced."""
    if random.random() < 0.15 or not isinstance(document, (dict, list)) or not document:
        return value
    if isinstance(document, dict):
        key = random.choice(sorted(document))
        return {**document, key: _changed(random, document[key], value)}
    place = random.randrange(len(document))
    return [*document[:place], _changed(random, document[place], value), *document[place + 1 :]]


def _written(document: object) -> bytes:
    return json.dumps(document).encode()
