"""The server that people write themselves: an ASGI application of twenty lines around ONNX Runtime.

Any ASGI server runs it: `MODEL=FOLDER uvicorn benchmarks.serving_peer:application`; FOLDER is an unpacked archive. It
decodes with our own function, so that both do the same work; it checks nothing, batches nothing and counts nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline._handlers.decode import decode_image
from pipeline._handlers.description import SERVING_FILE, Serving
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime

_FOLDER = Path(os.environ["MODEL"])
_SERVING = Serving.from_json(json.loads((_FOLDER / SERVING_FILE).read_bytes()))
_SPEC = _SERVING.inputs[0]
_PNG = (b"content-type", b"image/png")


def _session() -> Any:
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = str(_FOLDER / _SERVING.runtime.file)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


_SESSION = _session()
_OUTPUT = [_SESSION.get_outputs()[0].name]


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer one picture, as a PNG file or as raw values."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if _PNG in scope["headers"]:
        picture = decode_image(body, _SPEC)
    else:
        picture = np.frombuffer(body, _SPEC.dtype).reshape(_SPEC.shape)
    [[logits]] = _SESSION.run(_OUTPUT, {_SPEC.name: picture[np.newaxis]})
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = int(shares.argmax())
    answer = json.dumps({"label": _SERVING.labels[best], "class_id": best, "probability": float(shares[best])}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
