"""The memory that the largest pictures of each kind take while they are decoded, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline._handlers.picture_kinds import PictureKindName

SIDE = 2500
# The kernel counts the most memory of a process's own address space; `ru_maxrss` begins with that of the parent.
PROGRAM = """
import sys
from pathlib import Path
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
def most():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10
crop = ImageDecoding(mode="RGB", fit="crop", resize_to=(36, 36))
spec = InputSpec(name="image", dtype="uint8", shape=(3, 32, 32), low=0, high=255, decoding=crop)
body = Path(sys.argv[1]).read_bytes()
before = most()
assert decode_image(body, spec).max() == 90
print(most() - before)
"""


# Bytes a pixel: Pillow's picture has 4 in colour, and its final form 4 more where the mode changes; libwebp holds two
# copies of 4 and hands over a third.
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count is read")
@pytest.mark.parametrize(
    ("name", "mode", "options", "most"),
    [
        ("WebP", "RGB", {"lossless": True, "method": 0, "quality": 0}, 16),
        ("WebP", "RGBA", {"lossless": True, "method": 0, "quality": 0}, 16),
        ("GIF", "P", {}, 6),
        ("BMP", "RGB", {}, 4),
        ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}, 4),
        ("TIFF", "CMYK", {"compression": "tiff_lzw"}, 9),
    ],
)
def test_memory_follows_from_the_pixels(
    tmp_path: Path, name: PictureKindName, mode: str, options: dict[str, Any], most: int
) -> None:
    colours: dict[str, float | tuple[float, ...]] = {"P": 3, "CMYK": (165, 165, 165, 0)}
    picture = Image.new(mode, (SIDE, SIDE), colours.get(mode, (90, 90, 90, 255)[: len(mode)]))
    if mode == "P":
        picture.putpalette([90] * 768)
    picture.save(tmp_path / "picture", format=name, **options)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "picture")]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown < (most + 1) * SIDE * SIDE
