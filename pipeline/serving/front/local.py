"""The engine of a worker that runs the model itself."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline._handlers.body_forms import form_of
from pipeline._handlers.exchange import Incoming, Response, Steps, respond
from pipeline._handlers.limits import Deadline
from pipeline._handlers.predictor import Predictor
from pipeline.serving.front.board import STEPS, Row
from pipeline.serving.front.lane import Lane

# A batch that takes less is answered where requests are received: a thread would cost more than it gives.
_BRIEF_S = 0.002
# Bodies of which an example is decoded in a small part of that.
_BRIEF_BYTES = 16_384
_BRIEF_PIXELS = 65_536
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">II")
_DECODE, _PREDICT, _ENCODE = (STEPS.index(name) for name in ("decode", "predict", "encode"))


class LocalEngine:
    """A predictor in this process.

    Brief requests are answered by the thread that receives them, all that wait together. The others are answered by a
    second thread, so that a large picture keeps nobody from being received.

    Args:
        predictor: the loaded model, proven.
        row: row of the board that counts.
        most: most requests that are answered together.
    """

    def __init__(self, predictor: Predictor, row: Row, *, most: int) -> None:
        self.serving, self.digest = predictor.serving, predictor.digest
        self._predictor = predictor
        self._row = row
        self._seconds = predictor.limits.seconds
        self._brief_model = _seconds_of(predictor) * most < _BRIEF_S
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._brief = Lane(self._answer, most=most, longest_s=self._seconds, row=row)
        self._long = Lane(self._answer_in_thread, most=most, longest_s=self._seconds, row=row)
        self._begun = self._finished = self._seen = 0  # batches of the second thread

    def respond(self, incoming: Incoming) -> asyncio.Future[Response]:
        """Answer a request together with those that wait beside it."""
        return (self._brief if self._is_brief(incoming) else self._long).submit(incoming)

    def moves(self) -> bool:
        """Whether the second thread is free, or has begun another batch since the last call."""
        before, self._seen = self._seen, self._begun
        return self._begun == self._finished or self._begun != before

    def _is_brief(self, incoming: Incoming) -> bool:
        """Whether a request is answered in a moment, whatever it holds."""
        body = incoming.body
        if not self._brief_model or len(body) > _BRIEF_BYTES:
            return False
        media = incoming.content_type.partition(";")[0].strip().lower()
        form = form_of(body, media, self.serving.inputs)
        if form == "picture":
            if not body.startswith(_PNG) or len(body) < 24:
                return False
            width, height = _PNG_SIZE.unpack_from(body, 16)
            return bool(width * height <= _BRIEF_PIXELS)
        return form == "raw" or b"b64" not in body

    def _answer(self, batch: Sequence[Incoming]) -> list[Response]:
        steps = Steps()
        responses = respond(self._predictor, batch, Deadline(self._seconds), steps)
        self._count(batch, steps)
        return responses

    async def _answer_in_thread(self, batch: Sequence[Incoming]) -> list[Response]:
        steps = Steps()
        loop = asyncio.get_running_loop()
        self._begun += 1
        try:
            responses = await loop.run_in_executor(
                self._thread, respond, self._predictor, batch, Deadline(self._seconds), steps
            )
        finally:
            self._finished += 1
        self._count(batch, steps)
        return responses

    def _count(self, batch: Sequence[Incoming], steps: Steps) -> None:
        self._row.count_batch(len(batch), steps.examples)
        self._row.count_time(_DECODE, steps.decode_s)
        self._row.count_time(_PREDICT, steps.predict_s)
        self._row.count_time(_ENCODE, steps.encode_s)


def _seconds_of(predictor: Predictor) -> float:
    """Return the time of one answer, in seconds: the least of several, for the first ones may be slow."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        predictor.answers_golden()
        times.append(time.perf_counter() - began)
    return min(times)
