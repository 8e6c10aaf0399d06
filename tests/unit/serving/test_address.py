"""Where predictions are asked for."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.serving.address import prediction_endpoint
from pipeline.serving.server import ServerState
from pipeline.serving.state import write_state


def test_address(state: ServerState) -> None:
    with pytest.raises(UsageError, match="expected one running server, found none; start one with `pipeline serve`"):
        prediction_endpoint(None)
    write_state(state)
    full = "http://127.0.0.1:9999/predictions/tiny"
    for url in (None, "http://127.0.0.1:9999", "127.0.0.1:9999/", "http://localhost:9999", full):
        assert prediction_endpoint(url).url == full
    assert prediction_endpoint("https://host/predictions/other").url == "https://host/predictions/other"
    with pytest.raises(UsageError, match=r"--url http://host:80: expected /predictions/<name> at its end"):
        prediction_endpoint("http://host:80")
    with pytest.raises(UsageError, match=r"expected the path /predictions/<name>, found /models/x"):
        prediction_endpoint("http://host:80/models/x")
    with pytest.raises(UsageError, match=r"--url ftp://host: expected http://host:port"):
        prediction_endpoint("ftp://host")
