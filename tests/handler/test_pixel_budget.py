"""Pictures whose few bytes ask for much work: they are refused before a pixel of them is decoded."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.jpeg_scans import MAX_SCANS, count_scans
from pipeline._handlers.limits import usual_pixels
from pipeline._handlers.picture_kinds import PICTURE_KINDS
from pipeline._handlers.pixel_budget import PixelBudget

COLOUR = InputSpec(name="image", dtype="uint8", shape=(3, 24, 32), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
PIXELS = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced: int = 0, more: bytes = b"") -> bytes:
    """The beginning of a PNG file of any size; its pixels are never looked at."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


PROGRESSIVE = encoded(Image.fromarray(PIXELS), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rfind(b"\xff\xda") : -2]


def with_scans(number: int, in_front: bytes = b"") -> bytes:
    return PROGRESSIVE[:-2] + in_front + LAST_SCAN * number + PROGRESSIVE[-2:]


def jpeg(width: int, height: int) -> bytes:
    """A progressive JPEG file that says it is of another size."""
    place = PROGRESSIVE.index(b"\xff\xc2") + 5
    return PROGRESSIVE[:place] + struct.pack(">HH", height, width) + PROGRESSIVE[place + 4 :]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (png(3548, 3548), "3548 x 3548"),
        (png(2509, 2509, colour=6), "2509 x 2509, each counted 2 times (transparency)"),
        (png(2509, 2509, colour=0, more=chunk(b"tRNS", b"\0\1")), "2509 x 2509, each counted 2 times (transparency)"),
        (png(2509, 2509, depth=16), "2509 x 2509, each counted 2 times (16 bits)"),
        (png(2509, 2509, depth=16, colour=0), "2509 x 2509, each counted 2 times (16 bits)"),
        (png(1774, 1774, depth=16, colour=6), "1774 x 1774, each counted 4 times (transparency, 16 bits)"),
        (png(2509, 2509, interlaced=1), "2509 x 2509, each counted 2 times (interlaced)"),
        (png(1, 196_609), "1 x 196609, sides below 64 counted as 64"),
        (png(196_609, 63, colour=0), "196609 x 63, sides below 64 counted as 64"),
        (jpeg(4000, 3000), "4000 x 3000, each counted 2 times (10 scans)"),
    ],
)
def test_a_pixel_counts_by_what_it_costs(monkeypatch: pytest.MonkeyPatch, body: bytes, found: str) -> None:
    def load(picture: ImageFile.ImageFile) -> None:
        raise AssertionError(f"{picture.size} is decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(BadRequest) as caught:
        decode_image(body, COLOUR, PixelBudget(usual_pixels([COLOUR])))
    assert (caught.value.status, caught.value.expected, caught.value.found) == (413, "at most 12582912 pixels", found)
    with pytest.raises(BadRequest, match="cannot be decoded"):  # a larger limit lets it through to be decoded
        decode_image(body, COLOUR, PixelBudget(1 << 25))


@pytest.mark.parametrize(
    "body",
    [
        png(4080, 3072),  # a phone's photo
        png(3024, 1964, colour=6),  # a screenshot
        png(2480, 3508, depth=1, colour=0),  # a page
    ],
)
def test_what_people_send_is_within_the_limit(body: bytes) -> None:
    with pytest.raises(BadRequest, match="PNG file cannot be decoded"):
        decode_image(body, COLOUR, PixelBudget(usual_pixels([COLOUR])))


@pytest.mark.parametrize(
    ("mode", "progressive", "scans"), [("L", False, 1), ("RGB", False, 1), ("L", True, 6), ("RGB", True, 10)]
)
def test_scans_of_ordinary_files(mode: str, progressive: bool, scans: int) -> None:
    assert count_scans(encoded(Image.fromarray(PIXELS).convert(mode), "JPEG", progressive=progressive)) == scans


@pytest.mark.parametrize(
    ("between", "hidden"),
    [
        (b"", 0),
        (b"\xff\xfe\0\x06\xff\xd9\xff\xd9", 0),  # a comment that looks like the file's end
        (b"\xff\x02\xff\xff", 0),  # no marker of JPEG, which libjpeg steps over where it looks for a restart
        (b"\xff" * 9, 0),
        (b"\xff\xd3\xff\0", 0),
        (b"\xff\xfe\0\x06\xff\xda\xff\xda", 0),  # two bytes of a scan that is none
        (b"\xff\xd9", 7),  # what is behind the end does not count
    ],
)
def test_scans_between_which_something_stands(between: bytes, hidden: int) -> None:
    assert count_scans(with_scans(7, in_front=between)) == 17 - hidden


def test_thousands_of_scans_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_scans(with_scans(MAX_SCANS - 10)) == MAX_SCANS
    unopened = replace(PICTURE_KINDS["JPEG"], open=lambda _: pytest.fail("the file is opened"))
    monkeypatch.setitem(PICTURE_KINDS, "JPEG", unopened)
    with pytest.raises(BadRequest, match=r"too many scans \(JPEG\): expected at most 64, found more") as caught:
        decode_image(with_scans(5000), COLOUR)
    assert caught.value.status == 413


def test_a_film_behind_a_photo_is_no_scan() -> None:
    film = re.sub(b"\xff\xd9", b"\xff\xda", np.random.default_rng(0).bytes(1 << 20)) + b"\xff\xda" * 999
    photo = encoded(Image.fromarray(PIXELS), "JPEG")
    np.testing.assert_array_equal(decode_image(photo + film, COLOUR), decode_image(photo, COLOUR))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count is read")
def test_a_bomb_behind_the_last_row_is_not_inflated(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    packer = zlib.compressobj(9)
    bomb = packer.compress(rows) + packer.compress(bytes(50_000_000)) + packer.flush()
    body = png(32, 24).replace(chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IDAT", bomb))
    (tmp_path / "bomb.png").write_bytes(body)
    program = """
import sys
from pathlib import Path
from tests.handler.test_pixel_budget import COLOUR, decode_image, np, PIXELS
def most():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])
before = most()
np.testing.assert_array_equal(decode_image(Path(sys.argv[1]).read_bytes(), COLOUR), PIXELS.transpose(2, 0, 1))
print(most() - before)
"""
    # A process of its own: it reports the most that it ever held, in kB (`ru_maxrss` begins with the parent's).
    command = [sys.executable, "-c", program, str(tmp_path / "bomb.png")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < 40_000


def test_a_picture_of_the_inputs_own_size_is_never_too_large() -> None:
    large = replace(COLOUR, shape=(3, 4100, 4200))
    for body in (png(4200, 4100), png(4200, 4100, colour=6), png(4100, 4200, colour=6)):
        with pytest.raises(BadRequest, match="cannot be decoded"):
            decode_image(body, large, PixelBudget(usual_pixels([large])))
    for body in (png(4201, 4100, colour=6), png(4100 * 4200, 1)):
        with pytest.raises(BadRequest, match="picture too large"):
            decode_image(body, large, PixelBudget(usual_pixels([large])))


def test_what_counts_several_times_is_said_of_several_pictures() -> None:
    budget = PixelBudget(4 * 4096)
    for _ in range(4):
        budget.take("PNG", (10, 10), (8, 6))
    with pytest.raises(
        BadRequest, match="found 20480 up to a picture of 10 x 10, small or costly ones counted several"
    ):
        budget.take("PNG", (10, 10), (8, 6))
