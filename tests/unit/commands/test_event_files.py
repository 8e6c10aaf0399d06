"""Event files hold each epoch of one training once, whatever interrupted it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from pipeline.commands.event_files import EventFiles, read_steps
from pipeline.errors import FileError
from tests.reporters import Lines


def epochs(count: int, *, loss: float = 1.0) -> list[dict[str, float]]:
    return [{"loss/train": loss / number, "learning_rate": 0.1} for number in range(1, count + 1)]


def written_steps(folder: Path) -> Iterator[int]:
    """The steps of all records in all files, without looking at checksums."""
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content, place = file.read_bytes(), 0
        while place < len(content):
            length = int.from_bytes(content[place : place + 8], "little")
            event = Event.FromString(content[place + 12 : place + 12 + length])
            place += length + 16
            if event.HasField("summary"):
                yield event.step


def test_a_step_for_each_epoch_and_a_folder_for_each_training(tmp_path: Path) -> None:
    lines = Lines()
    events = EventFiles(tmp_path / "curves", lines)
    for count in (1, 2, 3):
        events.scalars("train", epochs(count))
    events.scalars("fine-tune slim50 (no. 1)", epochs(1))
    events.log("done")
    assert sorted(folder.name for folder in (tmp_path / "curves").iterdir()) == ["fine-tune-slim50-no.-1", "train"]
    assert read_steps(tmp_path / "curves" / "train") == {
        1: {"loss/train": 1.0, "learning_rate": pytest.approx(0.1)},
        2: {"loss/train": 0.5, "learning_rate": pytest.approx(0.1)},
        3: {"loss/train": pytest.approx(1 / 3), "learning_rate": pytest.approx(0.1)},
    }
    assert list(written_steps(tmp_path / "curves" / "train")) == [1, 2, 3]
    assert lines.said == ["done"]


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_training_that_goes_on_doubles_no_step_and_leaves_none_out(tmp_path: Path, before: int) -> None:
    EventFiles(tmp_path, Lines()).scalars("train", epochs(2))
    again = EventFiles(tmp_path, Lines())
    # It was killed before its last step was written, behind it, or behind a checkpoint that was not.
    again.scalars("train", epochs(before))
    for count in range(before + 1, 5):
        again.scalars("train", epochs(count))
    assert list(written_steps(tmp_path / "train")) == [1, 2, 3, 4]


def test_a_record_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    EventFiles(tmp_path, Lines()).scalars("train", epochs(3))
    (file,) = (tmp_path / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    assert sorted(read_steps(tmp_path / "train")) == [1, 2]
    EventFiles(tmp_path, Lines()).scalars("train", epochs(4))
    assert sorted(read_steps(tmp_path / "train")) == [1, 2, 3, 4]
    assert list(written_steps(tmp_path / "train")) == [1, 2, 3, 4]


def test_another_training_takes_the_place_of_the_earlier_one_and_leaves_files_of_others(tmp_path: Path) -> None:
    EventFiles(tmp_path, Lines()).scalars("train", epochs(3))
    foreign = tmp_path / "train" / "events.out.tfevents.1.host"
    foreign.write_bytes(b"another tool's")
    EventFiles(tmp_path, Lines()).scalars("train", epochs(1, loss=2.0))
    assert read_steps(tmp_path / "train") == {1: {"loss/train": 2.0, "learning_rate": pytest.approx(0.1)}}
    assert foreign.read_bytes() == b"another tool's"


def test_what_was_trained_before_is_written_from_its_history(tmp_path: Path) -> None:
    figures = {"loss": 0.5, "accuracy": 0.75}
    epoch = {"epoch": 1, "learning_rate": 0.125, "train": figures, "validation": {**figures, "macro_F1": 0.25}}
    history = tmp_path / "history.json"
    history.write_text(json.dumps({"epochs": [epoch], "final": {}}))
    for _ in range(2):
        EventFiles(tmp_path / "curves", Lines()).complete(history)
    assert read_steps(tmp_path / "curves" / "train") == {
        1: {
            "accuracy/train": 0.75,
            "accuracy/validation": 0.75,
            "loss/train": 0.5,
            "loss/validation": 0.5,
            "macro_F1/validation": 0.25,
            "learning_rate": 0.125,
        }
    }
    assert list(written_steps(tmp_path / "curves" / "train")) == [1]


def test_a_place_that_is_no_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "curves").write_text("a file")
    with pytest.raises(FileError, match=r"--tensorboard .*curves: expected a folder to write to, found: File exists"):
        EventFiles(tmp_path / "curves", Lines())
