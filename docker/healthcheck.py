"""Is the server of this container ready? It asks /readyz, and ends with 0, or with 1 and one line.

The record that `pipeline serve` leaves of itself says where it listens.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
from pathlib import Path

_TIMEOUT_S = 4.0


def main() -> int:
    """Ask every server that is recorded; there is one."""
    records = sorted(Path(os.environ["PIPELINE_STATE"]).glob("*.json"))
    if not records:
        return _unhealthy("no server is recorded")
    for record in records:
        try:
            status, body = _ask(json.loads(record.read_bytes()))
        except (KeyError, OSError, ValueError, http.client.HTTPException) as error:
            return _unhealthy(f"{type(error).__name__}: {error}")
        if status != http.HTTPStatus.OK:
            return _unhealthy(f"{status} {body}")
    return 0


def _ask(record: dict[str, object]) -> tuple[int, str]:
    address, port = str(record["contact"]).strip("[]"), int(str(record["port"]))
    if record["encrypted"]:
        # The certificate is for the server's name, and is asked for under its address; nothing secret is sent.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(address, port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read(1000).decode(errors="replace")
    finally:
        connection.close()


def _unhealthy(reason: str) -> int:
    sys.stderr.write(f"not ready: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
