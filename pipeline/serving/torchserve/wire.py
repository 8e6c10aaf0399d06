"""The path and headers with which TorchServe is asked for predictions."""

from __future__ import annotations

import re

from pipeline._handlers.exchange import DECODED_HEADER, LOGITS_HEADER, WORKER_HEADER
from pipeline.serving.wire import Wire

WIRE = Wire(
    path="/predictions/",
    logits_header=LOGITS_HEADER,
    decoded_header=DECODED_HEADER,
    worker_header=WORKER_HEADER,
    # TorchServe answers so for a worker that ended, at once or a little later, and while none is in its place.
    worker_gone=re.compile(r"refused with (?:50[37]:|500: Worker died)"),
)
