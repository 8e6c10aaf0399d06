"""The path and headers with which our own server is asked for predictions."""

from __future__ import annotations

import re

from pipeline._handlers.exchange import DECODED_HEADER, LOGITS_HEADER, WORKER_HEADER
from pipeline.serving.wire import Wire

WIRE = Wire(
    path="/predictions/",
    logits_header=LOGITS_HEADER,
    decoded_header=DECODED_HEADER,
    worker_header=WORKER_HEADER,
    # While no worker is ready, and where a connection ends with the worker that held it.
    worker_gone=re.compile(r"refused with 503:|found: (?:Server disconnected|\[Errno 104\])"),
)
