"""Requests that are no HTTP, or hardly, from a seeded generator: what any open port is sent, and worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

# A path that no one asks for. An answer that speaks of it says that a part of a body was taken for a request.
SMUGGLED = "/smuggled"
_HEAD_BYTES = 65_536
_TOKEN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """What is sent on one connection.

    Args:
        kind: what is wrong with it.
        sent: all bytes.
        smuggles: whether its body holds a request for `SMUGGLED` that must never be answered.
    """

    kind: str
    sent: bytes
    smuggles: bool = False


def malformed_requests(path: str, body: bytes, number: int, *, seed: int) -> Iterator[Malformed]:
    """Generate requests, of all kinds in turn.

    Args:
        path: a path that good requests are sent to.
        body: a body that is right there, raw.
        number: number of requests.
        seed: seed; the same one gives the same requests.
    """
    random = Random(seed)  # noqa: S311 - no cryptography
    good = _Good(path.encode(), body)
    kinds = list(_KINDS.items())
    for place in range(number):
        kind, make = kinds[place % len(kinds)]
        yield Malformed(kind=kind, sent=make(random, good), smuggles=make is _smuggling)


@dataclass(frozen=True)
class _Good:
    path: bytes
    body: bytes

    def request(self, *, method: bytes = b"POST", headers: bytes | None = None, body: bytes | None = None) -> bytes:
        """A request in which one part may be another than the right one."""
        body = self.body if body is None else body
        if headers is None:
            headers = b"content-type: application/octet-stream\r\ncontent-length: %d\r\n" % len(body)
        return b"%b %b HTTP/1.1\r\nhost: localhost\r\n%b\r\n%b" % (method, self.path, headers, body)


def _request_line(random: Random, good: _Good) -> bytes:
    path = good.path
    line = random.choice(
        [
            b"POST" + path + b" HTTP/1.1",
            b"POST " + path,
            b"POST  " + path + b"  HTTP/1.1",
            b"POST\t" + path + b"\tHTTP/1.1",
            b" POST " + path + b" HTTP/1.1",
            b"post " + path + b" http/1.1",
            b"POST " + path + b" HTTP/" + random.choice([b"0.9", b"1.2", b"2.0", b"9.9", b"1.1.1", b"1", b"", b"-1.1"]),
            b"POST " + path + b" HTTP/1.1 " + _noise(random, 8),
            b"POST " + path + b" HTCPCP/1.0",
            _token(random) + b" " + path + b" HTTP/1.1",
            b"GET " + path + _noise(random, 30) + b" HTTP/1.1",
            b"GET http://" + _token(random) + path + b" HTTP/1.1",
            b"GET //" + _token(random) + b"@:0/%zz%00%" + path + b" HTTP/1.1",
            b"GET " + path + b"/../../etc/passwd HTTP/1.1",
            b"GET " + path + b"#part HTTP/1.1",
            b"GET \xff\xfe HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT " + _token(random) + b":443 HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"",
        ]
    )
    end = random.choice([b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r"])
    return line + end + b"host: localhost\r\n\r\n" + random.choice([b"", good.body])


def _header(random: Random, good: _Good) -> bytes:
    name, value = _token(random), _noise(random, 20)
    header = random.choice(
        [
            name + b"\r\n",
            name + b" : x\r\n",
            b" " + name + b": x\r\n",
            b": x\r\n",
            name + b": a\r\n b\r\n",
            name + b": a\rb\r\n",
            name + b": a\nb: c\r\n",
            name + b":" + value + b"\r\n",
            _noise(random, 12) + b": x\r\n",
            name + b": \x7f\x01\x1b[31m\r\n",
            b"host: other\r\n" * random.randrange(1, 4),
            b"content-type: " + b"application/json; " * random.randrange(500) + b"\r\n",
            b"content-type: multipart/form-data; boundary=" + value + b"\r\n",
            b"content-encoding: " + random.choice([b"gzip", b"br, gzip", value]) + b"\r\n",
            b"expect: " + random.choice([b"100-continue", b"200-ok", value]) + b"\r\n",
            b"connection: "
            + random.choice([b"upgrade", b"close, keep-alive", b"keep-alive\r\nconnection: close"])
            + b"\r\n",
            b"connection: upgrade\r\nupgrade: " + random.choice([b"h2c", b"websocket"]) + b"\r\n",
            b"x-request-id: " + value * 20 + b"\r\n",
            b"x-pipeline-logits: \r\nx-pipeline-decoded: " + value + b"\r\n",
            b"authorization: Bearer " + value + b"\r\n",
            b"a: b\r\n" * random.randrange(1000),
        ]
    )
    length = b"content-length: %d\r\n" % len(good.body)
    return good.request(headers=random.choice([header + length, length + header]))


def _length(random: Random, good: _Good) -> bytes:
    size = len(good.body)
    value = random.choice(
        [
            b"-1", b"+%d" % size, b"0x30", b"%d, %d" % (size, size), b"%d %d" % (size, size), b"", b" ", b"abc", b"1e3",
            b"%d.0" % size, b"18446744073709551616", b"18446744073709551615", b"9" * random.randrange(1, 400),
            b"%d" % (size + random.randrange(1, 100)), b"%d" % random.randrange(size), b"%d\x00" % size,
            b"%d\r\ncontent-length: %d" % (size, size + 1), b"\xd9\xa4", b"6553501", b"8191876", b"00%d" % size,
        ]
    )  # fmt: skip
    return good.request(headers=b"content-length: " + value + b"\r\n")


def _chunks(random: Random, good: _Good) -> bytes:
    body = good.body
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    sent = random.choice(
        [
            b"-1\r\n" + body,
            b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
            b"g\r\n" + body,
            b"\r\n" + body,
            b"%x\n%b\n0\n\n" % (len(body), body),
            b"%x%b\r\n0\r\n\r\n" % (len(body), body),
            b"f" * random.randrange(1, 40) + b"\r\n" + body,
            b"%x\r\n%bxx0\r\n\r\n" % (len(body), body),
            b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(body), _token(random) * random.randrange(2000), body),
            b'%x; a="%b"\r\n%b\r\n0\r\n\r\n' % (len(body), _noise(random, 9), body),
            chunk,
            chunk + b"0\r\n",
            chunk + b"0\r\n" + _token(random) + b": x\r\n\r\n",
            chunk + b"0\r\ncontent-length: 99\r\nhost: x\r\n\r\n",
            chunk + b"0\r\n" + b"trailer: x\r\n" * random.randrange(9000) + b"\r\n",
            chunk + b"0\r\n\r\n" + _noise(random, 40),
            b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n",
            b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"00000000000000000000\r\n\r\n",
        ]
    )  # fmt: skip
    encoding = random.choice([b"chunked"] * 6 + [b"gzip, chunked", b"chunked, chunked", b"identity", b"Chunked", b""])
    return good.request(headers=b"transfer-encoding: " + encoding + b"\r\n", body=sent)


def _smuggling(random: Random, good: _Good) -> bytes:
    """Two lengths, of which one makes a request of the body's end; none of them may be believed."""
    inner = b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % SMUGGLED.encode()
    tail = b"0\r\n\r\n" + inner
    headers = random.choice(
        [
            b"content-length: %d\r\ntransfer-encoding: chunked\r\n" % len(tail),
            b"transfer-encoding: chunked\r\ncontent-length: %d\r\n" % len(tail),
            b"content-length: 5\r\ncontent-length: %d\r\n" % len(tail),
            b"content-length: %d\r\ncontent-length: 5\r\n" % len(tail),
            b"content-length: 5, %d\r\n" % len(tail),
            b"content-length: 5\r\ntransfer-encoding : chunked\r\n",
            b"content-length: 5\r\n transfer-encoding: chunked\r\n",
            b"content-length: 5\r\ntransfer-encoding: xchunked\r\n",
            b"transfer-encoding: chunked\r\ntransfer-encoding: %b\r\n" % _token(random),
            b"transfer-encoding: chunked, identity\r\n",
            b"transfer-encoding:\x0bchunked\r\ncontent-length: %d\r\n" % len(tail),
            b"transfer-encoding\x00: chunked\r\ncontent-length: 5\r\n",
            b"x: y\rtransfer-encoding: chunked\r\ncontent-length: 5\r\n",
            b"content-length: +5\r\n",
            b"content-length: -5\r\n",
            b"content-length : 5\r\n",
            b"content-length\x00: 5\r\n",
        ]
    )
    return good.request(headers=headers, body=tail)


def _pipelined(random: Random, good: _Good) -> bytes:
    return good.request() * random.randrange(1, 5) + _noise(random, random.choice([1, 30, 3000]))


def _cut(random: Random, good: _Good) -> bytes:
    request = random.choice(
        [good.request(), good.request(headers=b"transfer-encoding: chunked\r\n", body=_chunked(good))]
    )
    return request[: random.randrange(len(request))]


def _flipped(random: Random, good: _Good) -> bytes:
    request = bytearray(good.request())
    for _ in range(random.choice([1, 1, 2, 5, 20])):
        request[random.randrange(len(request))] = random.randrange(256)
    return bytes(request)


def _other_protocol(random: Random, good: _Good) -> bytes:  # noqa: ARG001 - as all of them
    return random.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(508),
            b"\x80\x2e\x01\x00\x02" + random.randbytes(40),
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random.randbytes(30),
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
            b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c" + random.randbytes(12),
            b"*1\r\n$4\r\nPING\r\n",
            b"EHLO localhost\r\n",
            b"\x05\x01\x00",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"\r\n" * random.randrange(1, 2000),
            random.randbytes(random.randrange(1, 4000)),
        ]
    )


def _nuls(random: Random, good: _Good) -> bytes:
    request = good.request()
    place = random.randrange(len(request) - len(good.body))
    zeros = bytes(random.choice([1, 2, 100, 70_000]))
    return random.choice([zeros, request[:place] + zeros + request[place:], zeros + request])


def _endless(random: Random, good: _Good) -> bytes:
    size = _HEAD_BYTES + random.randrange(-2000, 120_000)
    return random.choice(
        [
            b"GET /" + b"a" * size,
            b"G" * size,
            b"GET / HTTP/1.1\r\n" + b"a" * size,
            b"GET / HTTP/1.1\r\na: " + b"b" * size,
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (size // 6),
            b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (size // 4),
            b"GET /?" + b"%41" * (size // 3) + b" HTTP/1.1\r\n\r\n",
            good.request(headers=b"transfer-encoding: chunked\r\n", body=b"1;" + b"x" * size),
        ]
    )


_KINDS: dict[str, Callable[[Random, _Good], bytes]] = {
    "request line": _request_line,
    "header": _header,
    "length": _length,
    "chunks": _chunks,
    "smuggling": _smuggling,
    "garbage behind requests": _pipelined,
    "cut": _cut,
    "bytes changed": _flipped,
    "another protocol": _other_protocol,
    "NULs": _nuls,
    "endless head": _endless,
}


def _chunked(good: _Good) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(good.body), good.body)


def _token(random: Random) -> bytes:
    return bytes(random.choices(_TOKEN, k=random.randrange(1, 20)))


def _noise(random: Random, most: int) -> bytes:
    return random.randbytes(random.randrange(1, most + 1))
