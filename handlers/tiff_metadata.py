"""TIFF files: which of them are taken, and what of them is decoded.

TIFF is a frame for pictures of many kinds. Those that Pillow would decode to something else than a person sees, and
those whose few bytes ask for much work or memory, are refused here, before the decoder sees them.
"""

from __future__ import annotations

from .bad_request import BadRequest
from .jpeg_scans import count_scans
from .picture_metadata import MAX_BLOCKS, MAX_METADATA, read_orientation
from .tiff_directory import TiffDirectory, read_directory

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES = 266, 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 284, 317, 322, 323, 324, 325
_INKS, _EXTRA, _FORMAT, _XMP, _DNG = 332, 338, 339, 700, 50706
# What decides about pixels: these, the options of fax (292, 293), the palette (320), the tables of JPEG (347), and what
# says how its colour is stored (529 to 532).
_KEPT = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR),
    *(_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _FORMAT),
    *(292, 293, 320, 347, 529, 530, 531, 532),
)
_RAW, _JPEG = 1, 7
_FAX = (2, 3, 4)
# Plain; fax; LZW; JPEG; deflate, under its own and an older number; PackBits.
_COMPRESSIONS = (_RAW, *_FAX, 5, _JPEG, 8, 32946, 32773)
_YCBCR = 6
# Bits of a value that are taken, by photometric interpretation: grey (0 is white, or black), RGB, palette, CMYK, YCbCr.
_TAKEN_BITS = {0: (1, 2, 4, 8), 1: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 5: (8, 16), _YCBCR: (8,)}
_COLOURS = {2: 3, 5: 4, _YCBCR: 3}
_PREMULTIPLIED = 1
# Bit of the kind of a picture: a smaller version of another one in the file; and the bit of a mask for another one.
_SMALLER, _MASK = 1, 4
# Largest number of directories behind the first that are looked at.
_MOST_PAGES = 16
# A tile may be so many times as large as the whole picture, besides the usual 256 x 256.
_TILE_SHARE, _USUAL_TILE = 4, 1 << 16


def tiff_without_metadata(body: bytes) -> tuple[bytes, int]:
    """Reduce a TIFF file to its first picture, with the fields that decide about its pixels.

    Args:
        body: bytes of the file.

    Returns:
        The file with one directory, and its orientation, 1 where it has none that can be read.

    Raises:
        BadRequest: the picture is of a form that is not taken, or asks for too much.
        ValueError: the file is damaged.
    """
    directory = read_directory(body)
    _require_one_picture(directory)
    _require_known_form(directory)
    _require_data(directory)
    xmp = directory.text(_XMP)
    try:
        orientation = directory.number(_ORIENTATION, 0)
    except ValueError:
        orientation = 0
    return directory.write(_KEPT), orientation or read_orientation(b"", xmp if len(xmp) <= MAX_METADATA else b"")


def count_tiff_scans(body: bytes) -> int:
    """Count the scans in the strip or tile of a TIFF file that has most; JPEG data alone have several.

    Args:
        body: bytes of a file that `tiff_without_metadata` returned.

    Raises:
        BadRequest: one has too many.
    """
    directory = read_directory(body)
    if directory.number(_COMPRESSION, _RAW) != _JPEG:
        return 1
    places, lengths = _data(directory)
    return max(count_scans(body[place : place + length]) for place, length in zip(places, lengths, strict=True))


def _require_one_picture(directory: TiffDirectory) -> None:
    """Refuse a camera's raw file, whose first picture is a preview, and a file of several pages."""
    if _DNG in directory.entries or directory.body[8:10] == b"CR" or directory.number(_SUBFILE, 0) & _SMALLER:
        raise _refusal("a camera's raw picture, or a preview of another one in the file")
    place, pages = directory.following, 0
    while place and pages < _MOST_PAGES:
        try:
            page = read_directory(directory.body, place)
            kind = page.number(_SUBFILE, 0)
        except ValueError:
            return  # what is behind the first picture need not be whole
        if not kind & (_SMALLER | _MASK):
            raise _refusal("several pages", expected="one page")
        place, pages = page.following, pages + 1


def _require_known_form(directory: TiffDirectory) -> None:
    compression, photometric = directory.number(_COMPRESSION, _RAW), directory.number(_PHOTOMETRIC, -1)
    bits, extra = directory.numbers(_BITS) or (1,), directory.numbers(_EXTRA)
    depth, colours = bits[0], _COLOURS.get(photometric, 1)
    samples = directory.number(_SAMPLES, 1)
    problems = {
        f"compression {compression}": compression not in _COMPRESSIONS,
        f"photometric interpretation {photometric}": photometric not in _TAKEN_BITS,
        f"values of {' and '.join(map(str, sorted(set(bits))))} bits": set(bits) != {depth}
        or depth not in _TAKEN_BITS.get(photometric, (depth,)),
        "values with a sign or a fraction": set(directory.numbers(_FORMAT)) - {1} != set(),
        f"{samples} values a pixel": samples < colours or len(bits) not in (1, samples),
        "colour in YCbCr that is not compressed by JPEG": photometric == _YCBCR and compression != _JPEG,
        "fax of more than one bit": compression in _FAX and depth != 1,
        "grey that was multiplied by its transparency": colours == 1 and _PREMULTIPLIED in extra,
        "channels of 16 bits in separate planes": directory.number(_PLANAR, 1) != 1 and depth != 8 and samples > 1,
        "inks other than CMYK": directory.number(_INKS, 1) != 1,
    }
    problem = next((text for text, wrong in problems.items() if wrong), "")
    if problem:
        raise _refusal(problem)


def _require_data(directory: TiffDirectory) -> None:
    """Refuse strips or tiles that are huge, very many, of another number than the picture has, or share their data."""
    width, height = directory.number(_WIDTH, 0), directory.number(_HEIGHT, 0)
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width} x {height}")
    columns, rows = width, min(directory.number(_ROWS, height), height)
    if _TILES in directory.entries:
        columns, rows = directory.number(_TILE_WIDTH, 0), directory.number(_TILE_HEIGHT, 0)
    if columns < 1 or rows < 1:
        raise ValueError(f"strips or tiles of {columns} x {rows}")
    if columns * rows > max(_TILE_SHARE * width * height, _USUAL_TILE):
        raise _refusal(f"tiles of {columns} x {rows} in a picture of {width} x {height}", status=413)
    planes = directory.number(_SAMPLES, 1) if directory.number(_PLANAR, 1) == 2 else 1
    number = -(-width // columns) * -(-height // rows) * planes
    if number > MAX_BLOCKS:
        raise _refusal(f"{number} strips or tiles", expected=f"at most {MAX_BLOCKS} strips or tiles", status=413)
    places, lengths = _data(directory)
    if len(places) != number or len(lengths) != number:
        raise ValueError(f"{number} strips or tiles expected, {min(len(places), len(lengths))} found")
    if any(place + length > len(directory.body) for place, length in zip(places, lengths, strict=True)):
        raise ValueError("a strip or tile that is cut off")
    if sum(lengths) > len(directory.body):
        raise ValueError("strips or tiles that share their data")


def _data(directory: TiffDirectory) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the places and the lengths of the strips or tiles."""
    if _TILES in directory.entries:
        return directory.numbers(_TILES), directory.numbers(_TILE_BYTES)
    return directory.numbers(_STRIPS), directory.numbers(_STRIP_BYTES)


def _refusal(found: str, *, expected: str = "", status: int = 400) -> BadRequest:
    usual = "grey, colour, a palette or CMYK in whole numbers of up to 16 bits"
    return BadRequest(
        "TIFF file not taken",
        expected=f"{expected or usual}; save the picture as PNG or JPEG",
        found=found,
        status=status,
    )
