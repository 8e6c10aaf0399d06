"""Servers that run a faulty handler, packed with every digest right: what refuses to start, what a reviewer sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.archive.mar import Archive
from tests.command_line import error_line, free_port, run
from tests.faulty_archives import made_again
from tests.served_models import COLOUR, GREY, build_archive


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    run("stop")


def with_handler(archive: Archive, path: Path, name: str, before: str, after: str) -> Archive:
    """The archive with one place of one of its handler's sources changed."""
    text = archive.members[f"handlers/{name}"].decode()
    assert text.count(before) == 1
    return made_again(archive, path, members={f"handlers/{name}": text.replace(before, after).encode()})


def test_channels_in_another_order_are_refused_by_the_worker(tmp_path: Path) -> None:
    archive = build_archive(tmp_path / "twin", [COLOUR])
    faulty = with_handler(
        archive, tmp_path / "tiny.mar", "decode.py", "3).transpose(2, 0, 1)", "3).transpose(2, 0, 1)[::-1]"
    )
    verified = run("verify", faulty.path)
    assert verified.returncode == 0, "its model is right, and its handler is not run here"
    assert "handler    not this installation's" in verified.stdout
    done = run("serve", faulty.path, "--trust", "--port", free_port(), "--detach")
    assert done.returncode == 6
    line = error_line(done)
    assert (
        " refuses to serve: candidate float.onnx.fp32: input image, picture 0: expected the pixels packed with " in line
    )
    assert " of 144 values different, by up to " in line


@pytest.mark.slow
def test_another_resize_filter_behind_a_server_that_was_let_through(tmp_path: Path) -> None:
    archive = build_archive(tmp_path / "twin", [GREY])
    faulty = with_handler(
        archive,
        tmp_path / "tiny.mar",
        "framing.py",
        '"bilinear": Image.Resampling.BILINEAR',
        '"bilinear": Image.Resampling.NEAREST',
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    done = run("serve", faulty.path, "--trust", "--port", port, "--detach", "--accept-host")
    assert done.returncode == 0, done.stderr
    assert "accepted host: input image, picture 0: expected the pixels packed with it, found " in done.stderr
    # Golden pictures have the input's own size: only others show it.
    found = run("verify", faulty.path, "--url", url)
    assert found.returncode == 5
    assert (
        "image/png, picture 0: candidate float.onnx.fp32: expected the server to decode it to the pixels packed "
        in (error_line(found))
    )
    other = run("verify", archive.path, "--url", url)
    assert other.returncode == 5
    assert f"expected answers of archive {archive.digest}, found {faulty.digest}, which answers alike" in error_line(
        other
    )


def test_labels_in_another_order_behind_a_server(tmp_path: Path) -> None:
    archive = build_archive(tmp_path / "twin", [GREY])
    faulty = with_handler(
        archive,
        tmp_path / "tiny.mar",
        "classification_answer.py",
        '"label":{labels[index]}',
        '"label":{labels[::-1][index]}',
    )
    port = free_port()
    done = run("serve", faulty.path, "--trust", "--port", port, "--detach")
    assert done.returncode == 0, "its logits are right"
    found = run("verify", faulty.path, "--url", f"http://127.0.0.1:{port}")
    assert found.returncode == 5
    assert "image/png, alone, example 0: expected label " in error_line(found)
