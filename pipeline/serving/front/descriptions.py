"""What a server says of itself and of its model, in the words of each dialect."""

from __future__ import annotations

from collections.abc import Callable

from pipeline import __version__
from pipeline._handlers.description import Serving
from pipeline._handlers.open_inference import model_metadata, server_metadata
from pipeline.serving.front.answer import Answer, json_answer


def descriptions(serving: Serving, digest: str) -> dict[str, Callable[[], Answer]]:
    """Return what is answered at each address of a description.

    Args:
        serving: the model's description.
        digest: digest of this description.
    """
    name, version = serving.name, serving.version
    model = json_answer(model_metadata(serving, digest))
    server = json_answer(server_metadata(__version__))
    return {
        "/ping": lambda: json_answer({"status": "Healthy"}),
        "/v1/models": lambda: json_answer({"models": [name]}),
        "/v2": lambda: server,
        f"/v2/models/{name}": lambda: model,
        f"/v2/models/{name}/versions/{version}": lambda: model,
    }


def readiness_paths(serving: Serving) -> dict[str, bool]:
    """Return the addresses that ask whether the model is ready, and whether a probe asks there without a token."""
    name, version = serving.name, serving.version
    return {
        "/readyz": True,
        "/v2/health/ready": True,
        f"/v1/models/{name}": False,
        f"/v2/models/{name}/ready": False,
        f"/v2/models/{name}/versions/{version}/ready": False,
    }
