"""Writes the figures of trainings as event files, which TensorBoard draws as curves.

The format is TensorFlow's: a file is a row of records, each with its length and checksums around it
(https://www.tensorflow.org/tutorials/load_data/tfrecord), and a record is an `Event`. tensorboardX has both.
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.engine.places import no_room, os_error_text
from pipeline.engine.stage import Reporter, Status, report_stage, report_status
from pipeline.errors import FileError
from pipeline.training.scalars import epoch_scalars

# Our own file in a folder is told by this ending. Files of others beside it are neither read nor removed.
_ENDING = ".pipeline"
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_VERSION = "brain.Event:2"


class EventFiles:
    """A reporter that also writes event files: a folder for each training, a step for each epoch.

    The steps in a folder are always those of one training. One that was interrupted goes on behind its last step, and
    no step is there twice. Another training with other figures takes the place of the earlier one.

    Args:
        folder: folder of the event files, made if missing.
        reporter: reporter that is told everything, too.

    Raises:
        FileError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, reporter: Reporter) -> None:
        self._folder = folder
        self._reporter = reporter
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def log(self, message: str) -> None:
        """Show one finished line."""
        self._reporter.log(message)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Show how far a task is."""
        self._reporter.progress(task, completed, total, detail)

    def stage(self, names: Sequence[str], place: int) -> None:
        """Show which of the stages begins."""
        report_stage(self._reporter, names, place)

    def status(self, status: Status, text: str) -> None:
        """Show where the build stands."""
        report_status(self._reporter, status, text)

    def scalars(self, task: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """Write the figures of the epochs that are not there yet.

        Raises:
            FileError: they cannot be written.
        """
        folder = self._folder / (re.sub(r"[^\w.-]+", "-", task).strip("-.") or "training")
        with _writing(folder):
            folder.mkdir(exist_ok=True)
            write_steps(folder, {number: _in_float32(scalars) for number, scalars in enumerate(epochs, start=1)})

    def complete(self, history: Path) -> None:
        """Write what a history says of the float network's training; all of it, where no training ran now.

        Args:
            history: file `history.json` of the stage that trains.

        Raises:
            FileError: the figures cannot be written.
        """
        document = json.loads(history.read_bytes())
        self.scalars("train", [epoch_scalars(epoch) for epoch in document["epochs"]])


def write_steps(folder: Path, steps: Mapping[int, Mapping[str, float]]) -> None:
    """Bring our event file in a folder to exactly these steps: by writing those that are missing, or all anew.

    Args:
        folder: folder of one training.
        steps: figures by step and name, each as float32 holds it.
    """
    file = _own_file(folder)
    present: dict[int, dict[str, float]] = {}
    if file is not None:
        present, whole = _read(file)
        if any(steps.get(step) != scalars for step, scalars in present.items()):
            file.unlink()
            file, present = None, {}
        elif whole < file.stat().st_size:
            os.truncate(file, whole)  # the process was killed in the middle of a record
    missing = sorted(steps.keys() - present.keys())
    if file is None and missing:
        # TensorBoard reads a new file from its beginning, where it would go on in the middle of one of the same name.
        file = folder / f"events.out.tfevents.{time.time_ns()}{_ENDING}"
        _append(file, {"file_version": _VERSION})
    for step in missing:
        values = [{"tag": tag, "simple_value": value} for tag, value in steps[step].items()]
        assert file is not None
        _append(file, {"step": step, "summary": {"value": values}})


def read_steps(folder: Path) -> dict[int, dict[str, float]]:
    """Read the figures by step and name from our event file in a folder; a half-written end does not count."""
    file = _own_file(folder)
    return {} if file is None else _read(file)[0]


def _own_file(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob(f"events.out.tfevents.*{_ENDING}"))), None)


def _append(file: Path, fields: Mapping[str, Any]) -> None:
    """Write an event as one more record."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    record = Event(wall_time=time.time(), **fields).SerializeToString()
    header = _LENGTH.pack(len(record))
    with file.open("ab") as stream:
        stream.write(header + _CHECKSUM.pack(masked_crc32c(header)) + record + _CHECKSUM.pack(masked_crc32c(record)))


def _read(file: Path) -> tuple[dict[int, dict[str, float]], int]:
    """The figures by step in a file, and the number of its bytes up to the first record that is not whole."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    content, place = file.read_bytes(), 0
    steps: dict[int, dict[str, float]] = {}
    while len(header := content[place : place + _LENGTH.size]) == _LENGTH.size:
        start = place + _LENGTH.size + _CHECKSUM.size
        end = start + _LENGTH.unpack(header)[0]
        record = content[start:end]
        checksums = content[start - _CHECKSUM.size : start] + content[end : end + _CHECKSUM.size]
        if checksums != b"".join(_CHECKSUM.pack(masked_crc32c(part)) for part in (header, record)):
            break
        event = Event.FromString(record)
        if event.HasField("summary"):
            steps.setdefault(event.step, {}).update({value.tag: value.simple_value for value in event.summary.value})
        place = end + _CHECKSUM.size
    return steps, place


def _in_float32(scalars: Mapping[str, float]) -> dict[str, float]:
    """The figures as the files hold them: in float32."""
    values = struct.unpack(f"<{len(scalars)}f", struct.pack(f"<{len(scalars)}f", *scalars.values()))
    return dict(zip(scalars, values, strict=True))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"--tensorboard {folder}: expected a folder to write to, found: {os_error_text(error)}"
        raise FileError(no_room(error, folder) or message) from error
