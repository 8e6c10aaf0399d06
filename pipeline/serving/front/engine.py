"""What answers the requests behind the front."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from pipeline._handlers.description import Serving
from pipeline._handlers.exchange import Incoming, Response


class Engine(Protocol):
    """A model that is ready to answer.

    Attributes:
        serving: the model's description.
        digest: digest of this description.
    """

    serving: Serving
    digest: str

    def respond(self, incoming: Incoming) -> Awaitable[Response]:
        """Answer a request; a busy engine answers 503 at once. What goes wrong is in the response, not raised."""
        ...


def busy(wait_s: float) -> Response:
    """Return the response to a request that would wait too long."""
    return Response(
        503,
        b'{"error":"the server is busy","expected":"fewer requests at once; ask again later",'
        b'"found":"requests that wait for %.3g s"}' % wait_s,
    )


def answered(response: Response) -> asyncio.Future[Response]:
    """Return a future that has this response already."""
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    future.set_result(response)
    return future
