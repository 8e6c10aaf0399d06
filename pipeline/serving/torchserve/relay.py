"""The engine in front of TorchServe: what waits goes to it in frames, one for each worker, and the next one early."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline._handlers.description import Serving
from pipeline._handlers.exchange import Incoming, Response
from pipeline._handlers.frame import ALONE, BEGIN_BY_HEADER, FRAME_MEDIA, pack_requests, unpack_responses
from pipeline._handlers.limits import DEADLINE_S
from pipeline.serving.front.board import STEPS, Board, WorkerState
from pipeline.serving.front.engine import answered
from pipeline.serving.front.lane import Lane
from pipeline.serving.front.plan import LONGEST_WORK_S
from pipeline.serving.torchserve.link import LinkError, Links

_LOGGER = logging.getLogger("front")
_DECODE, _PREDICT, _ENCODE = (STEPS.index(name) for name in ("decode", "predict", "encode"))
# Pause between two looks at the workers, in seconds: while all are ready, and while one is not.
_LOOK_S, _LOOK_AGAIN_S = 5.0, 0.1
_MANAGEMENT_S = 2.0
# A TorchServe that does not describe its workers is busy, and behind this time, in seconds, lost.
_SILENT_S = 10.0
# Longest time without a ready worker, in seconds; then TorchServe has given its workers up, and is started again.
_HOPELESS_S = 60.0
# TorchServe ends a worker that takes `LONGEST_WORK_S`, and says so, before this time, in seconds, even of a frame that
# waited behind another one.
_ANSWER_S = 2 * LONGEST_WORK_S + 5.0
_GONE = Response(
    503, b'{"error":"the worker ended","expected":"another one, in a moment; ask again","found":"no answer from it"}'
)


class Relay:
    """TorchServe, as the front sees it.

    Args:
        serving: description of the model that it serves.
        digest: digest of this description.
        inference: Unix socket for predictions.
        management: Unix socket of its management.
        board: the board; each row is one of TorchServe's workers.
        most: most requests in a frame.
    """

    def __init__(
        self, serving: Serving, *, digest: str, inference: Path, management: Path, board: Board, most: int
    ) -> None:
        self.serving, self.digest = serving, digest
        self._path = f"/predictions/{serving.name}"
        self._inference = Links(inference)
        self._management = Links(management)
        self._board = board
        self._row = board.rows[0]
        self._longest_s = serving.limits.seconds if serving.limits is not None else DEADLINE_S
        workers = len(board.rows)
        # While a worker answers one frame, TorchServe has the next one ready.
        self._lane = Lane(self._ask, most=most, places=workers, early=workers, longest_s=self._longest_s, row=self._row)
        self._look_now = asyncio.Event()
        self._watched: dict[int, int] = {}  # open files of the workers' processes, by their ids
        self._ended: set[int] = set()  # workers that ended, and that TorchServe may still name

    def respond(self, incoming: Incoming) -> asyncio.Future[Response]:
        """Answer a request; while no worker is ready, the answer is 503 at once."""
        return self._lane.submit(incoming) if self._board.ready else answered(_GONE)

    async def watch(self) -> None:
        """Keep the board in step with TorchServe's workers; return where none of them comes back."""
        loop = asyncio.get_running_loop()
        ready_at = described_at = loop.time()
        self._know_none()  # of an earlier front's workers nobody has seen whether they run
        while True:
            workers = await self._described()
            if workers is not None:
                described_at = loop.time()
                self._write(workers)
            elif loop.time() - described_at > _SILENT_S:
                self._know_none()
            ready = self._board.ready
            if ready:
                ready_at = loop.time()
            else:
                self._inference.drop()  # TorchServe would keep what it was sent until a worker is back
                if loop.time() - ready_at > _HOPELESS_S:
                    return
            self._look_now.clear()
            well = workers is not None and ready == len(self._board.rows)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), _LOOK_S if well else _LOOK_AGAIN_S)

    async def _ask(self, batch: Sequence[Incoming]) -> list[Response]:
        """Send a frame, and what had no room in its answer once more, alone."""
        if not self._board.ready:
            return [_GONE] * len(batch)
        try:
            begin_by = f"{time.monotonic() + self._longest_s:.3f}"
            headers = {"content-type": FRAME_MEDIA, BEGIN_BY_HEADER: begin_by}
            answer = await self._inference.ask(
                "POST", self._path, pack_requests(batch), headers=headers, timeout_s=_ANSWER_S
            )
            if answer.status != 200 or answer.media != FRAME_MEDIA:
                _LOGGER.warning("TorchServe answered %d: %s", answer.status, answer.body[:200].decode(errors="replace"))
                self._look_now.set()
                return [_GONE] * len(batch)
            responses, steps = unpack_responses(answer.body)
        except (LinkError, ValueError) as error:
            _LOGGER.warning("TorchServe did not answer: %s", error)
            self._look_now.set()
            return [_GONE] * len(batch)
        self._row.count_batch(len(batch), steps.examples)
        self._row.count_time(_DECODE, steps.decode_s)
        self._row.count_time(_PREDICT, steps.predict_s)
        self._row.count_time(_ENCODE, steps.encode_s)
        return [
            (await self._ask([request]))[0]
            if response.status == ALONE
            else Response(response.status, response.body, answer.worker)
            for request, response in zip(batch, responses, strict=True)
        ]

    async def _described(self) -> dict[int, str] | None:
        """Ask TorchServe how its workers are, by their process ids; None where it does not say."""
        try:
            answer = await self._management.ask("GET", f"/models/{self.serving.name}", timeout_s=_MANAGEMENT_S)
            return {int(worker["pid"]): worker["status"] for worker in json.loads(answer.body)[0]["workers"]}
        except (LinkError, ValueError, LookupError, TypeError) as error:
            _LOGGER.debug("TorchServe does not describe its workers: %s", error)
            return None

    def _know_none(self) -> None:
        """Write on the board that no worker is known to be ready."""
        for row in self._board.rows:
            row.pid, row.state = 0, WorkerState.LOADING

    def _write(self, workers: Mapping[int, str]) -> None:
        """Write on the board how each worker is."""
        self._ended &= workers.keys()
        for pid in self._watched.keys() - workers.keys():
            self._on_end(pid)
        ready = sorted(pid for pid, status in workers.items() if status == "READY" and self._watches(pid))
        kept = {row.pid for row in self._board.rows if row.pid in ready}
        new = [pid for pid in ready if pid not in kept]
        for row in self._board.rows:
            if row.pid in kept:
                continue
            row.pid = new.pop() if new else 0
            row.state = WorkerState.READY if row.pid else WorkerState.LOADING

    def _watches(self, pid: int) -> bool:
        """Learn at once when a worker's process ends; tell whether it runs."""
        if pid in self._watched or pid in self._ended:
            return pid in self._watched
        try:
            process = os.pidfd_open(pid)
        except OSError:
            return False
        self._watched[pid] = process
        asyncio.get_running_loop().add_reader(process, self._on_end, pid)
        return True

    def _on_end(self, pid: int) -> None:
        """Note, once, that a worker ended."""
        process = self._watched.pop(pid)
        asyncio.get_running_loop().remove_reader(process)
        os.close(process)
        self._ended.add(pid)
        row = next((row for row in self._board.rows if row.pid == pid), None)
        if row is not None:
            row.pid, row.state = 0, WorkerState.ABSENT
        # A worker's connection ends before its process does: TorchServe may have told of its end by then.
        (row or self._row).count_restart()
        _LOGGER.warning("TorchServe's worker %d ended; TorchServe starts another one", pid)
        self._look_now.set()
