"""The board as Prometheus reads it: text exposition format 0.0.4."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipeline.serving.front.board import BUCKETS, STEPS, Board

_PREFIX = "pipeline"


def exposition(board: Board, *, name: str, version: str, digest: str) -> str:
    """Write the counts of all workers together.

    Args:
        board: the board of the server.
        name: the model's name.
        version: its version.
        digest: digest of the archive's description.
    """
    return "\n".join([*_model(name, version, digest), *_workers(board), *_responses(board), *_times(board), ""])


def _model(name: str, version: str, digest: str) -> Iterator[str]:
    yield from _head("model_info", "gauge", "The model that answers.")
    labels = ",".join(
        f"{key}={json.dumps(value)}" for key, value in (("name", name), ("version", version), ("digest", digest))
    )
    yield f"{_PREFIX}_model_info{{{labels}}} 1"


def _workers(board: Board) -> Iterator[str]:
    for name, kind, text, value in (
        ("workers", "gauge", "Workers that there should be.", len(board.rows)),
        ("workers_ready", "gauge", "Workers that are ready.", board.reached),
        ("worker_restarts_total", "counter", "Workers that were started again.", sum(r.restarts for r in board.rows)),
        ("connections", "gauge", "Open connections.", sum(row.connections for row in board.rows)),
    ):
        yield from _head(name, kind, text)
        yield f"{_PREFIX}_{name} {value}"


def _responses(board: Board) -> Iterator[str]:
    yield from _head("responses_total", "counter", "Responses by HTTP status.")
    totals: dict[int, int] = {}
    for row in board.rows:
        for status, number in row.statuses.items():
            totals[status] = totals.get(status, 0) + number
    for status, number in totals.items():
        if number:
            yield f'{_PREFIX}_responses_total{{status="{status or "other"}"}} {number}'
    for name, text, index in (
        ("batched_requests_total", "Requests that the model answered in batches.", 0),
        ("batches_total", "Batches that the model answered.", 1),
        ("examples_total", "Examples that the model answered.", 2),
    ):
        yield from _head(name, "counter", text)
        yield f"{_PREFIX}_{name} {sum(row.batches[index] for row in board.rows)}"


def _times(board: Board) -> Iterator[str]:
    yield from _head("step_seconds", "histogram", "Time of a step: of a request (queue, whole) or of a batch.")
    for step, name in enumerate(STEPS):
        times = [row.times(step) for row in board.rows]
        total = 0
        for place, bound in enumerate((*map(str, BUCKETS), "+Inf")):
            total += sum(time.counts[place] for time in times)
            yield f'{_PREFIX}_step_seconds_bucket{{step="{name}",le="{bound}"}} {total}'
        yield f'{_PREFIX}_step_seconds_sum{{step="{name}"}} {sum(time.total for time in times)!r}'
        yield f'{_PREFIX}_step_seconds_count{{step="{name}"}} {total}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {text}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"
