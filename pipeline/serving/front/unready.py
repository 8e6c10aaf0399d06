"""What a server answers while no worker is ready."""

from __future__ import annotations

from pipeline.serving.front.answer import TEXT, Answer, json_answer
from pipeline.serving.front.exchange import Receive, Scope, Send

_ALIVE = Answer(200, b"ok\n", TEXT)
_UNREADY = json_answer(
    {"error": "no worker is ready", "expected": "a worker, in a moment; ask again", "found": "workers that load"}, 503
)


class Unready:
    """The application in place of the front."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Answer 503 and close, so that the client's next connection reaches a worker."""
        answer = _ALIVE if scope["path"] == "/livez" else _UNREADY
        headers = [(b"content-type", answer.media), (b"connection", b"close")]
        if answer.status == 503:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
