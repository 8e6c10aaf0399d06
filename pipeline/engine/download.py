"""Copies a URL to a file within a time limit."""

from __future__ import annotations

import time
from pathlib import Path

# A connection that takes longer is no connection: most machines without the web drop packets instead of refusing them.
CONNECT_TIMEOUT_S = 5.0


def download(url: str, path: Path, *, deadline: float, limit_s: float) -> None:
    """Copy a URL to a file; proxies and certificates come from the environment.

    Args:
        url: address; redirects are followed.
        path: file to write.
        deadline: end of the whole copy, by `time.monotonic`; each wait is bounded by the connect time-out.
        limit_s: the whole time that the caller gives, for the message.

    Raises:
        OSError: there is no answer, another answer than a file, or the deadline has passed.
    """
    import httpx

    try:
        with (
            httpx.stream("GET", url, timeout=CONNECT_TIMEOUT_S, follow_redirects=True) as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_raw():
                file.write(chunk)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {limit_s:g} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(" ".join(str(error).split()) or type(error).__name__) from error
