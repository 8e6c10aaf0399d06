"""The limit on the pixels of a request's pictures, which are counted before any picture is decoded."""

from __future__ import annotations

from PIL.ImageFile import ImageFile

from .bad_request import BadRequest

# Largest number of pixels in one picture, or in all pictures of a request; a phone's default has fewer. Pillow keeps
# colour in 4 bytes a pixel; the picture and its final form are in memory together, 8 bytes a pixel, whatever the kind:
# 256 MB. While a progressive JPEG is read, libjpeg also holds its coefficients, 2 bytes a channel: 384 MB for CMYK; and
# while a WebP file is read, libwebp holds two more copies: 512 MB.
MAX_PIXELS = 32_000_000
# A shorter side counts as so many pixels, because each row and column itself costs time, and memory in Pillow's tables:
# 1 x 30,000,000 pixels cost 4 s and 800 MB, and 16 x 1,000,000 as much as 36 million pixels in a square.
_SHORTEST_SIDE = 64
# Pillow marks a PNG or TIFF file with values of 16 bits by this text.
_SIXTEEN_BITS = ";16"
# One pass over a picture of a JPEG file takes a fifth of the time of decoding a file of one scan.
_SCANS_PER_PIXEL = 5
# So many times the pixels of the input are allowed between resizing and cropping, whatever the limit is: those of a
# photo, for an input that is itself as large as the limit.
_LARGEST_BETWEEN = 4


class PixelBudget:
    """The number of pixels that may still be decoded. Each request has one budget for all its pictures.

    Args:
        limit: largest number of pixels; each pixel counts as often as `pixel_weight` says.
    """

    def __init__(self, limit: int = MAX_PIXELS) -> None:
        self._limit = limit
        self._left = limit
        self._weighted = False

    def take(
        self,
        kind: str,
        size: tuple[int, int],
        result: tuple[int, int],
        weight: tuple[int, str] = (1, ""),
        resized: tuple[int, int] | None = None,
    ) -> None:
        """Count a picture before it is decoded.

        Args:
            kind: kind of the file, for the message.
            size: width and height, in pixels.
            result: width and height of the input, in pixels; a tiny picture can become a large input.
            weight: how often each pixel counts, and why.
            resized: width and height after resizing, of which the input is the centre; None for those of the input.

        Raises:
            BadRequest: the picture is larger than the limit and the input, or becomes so before its centre is taken, or
                those before it left too few pixels.
        """
        width, height = size
        times, reason = weight
        counted = max(width, _SHORTEST_SIDE) * max(height, _SHORTEST_SIDE) * times
        needed = result[0] * result[1]
        # The model is made for pictures of the input's own size, so such a picture is taken however its pixels count.
        if counted > self._limit and (width * height > needed or max(size) > max(result)):
            thin = f", sides below {_SHORTEST_SIDE} counted as {_SHORTEST_SIDE}" * (min(size) < _SHORTEST_SIDE)
            often = f", each counted {times} times ({reason})" * (times > 1)
            raise BadRequest(
                f"picture too large ({kind})",
                expected=f"at most {self._limit} pixels",
                found=f"{width} x {height}{thin}{often}",
                status=413,
            )
        # A long and thin picture becomes far larger than the input, of which then only the centre is kept.
        between = result if resized is None else resized
        if between[0] * between[1] > max(self._limit, _LARGEST_BETWEEN * needed):
            raise BadRequest(
                f"picture too long and thin ({kind})",
                expected=f"at most {max(self._limit, _LARGEST_BETWEEN * needed)} pixels after resizing",
                found=f"{width} x {height}, which becomes {between[0]} x {between[1]} before its centre is taken",
                status=413,
            )
        needed = max(needed, between[0] * between[1])
        first = self._left == self._limit
        self._left -= max(counted, needed)
        self._weighted |= counted > width * height
        if self._left < 0 and not first:  # a single picture is never refused for what the model itself asks for
            why = ", small or costly ones counted several times" * self._weighted
            raise self._too_large(f"{self._limit - self._left} up to a picture of {width} x {height}{why}")

    def require(self, pictures: int, result: int) -> None:
        """Count pictures before the first of them is opened.

        Args:
            pictures: number of pictures.
            result: number of pixels of each picture after resizing.

        Raises:
            BadRequest: the pictures will be too large together.
        """
        if pictures > 1 and pictures * result > self._left:
            raise self._too_large(f"{pictures} pictures that become {result} pixels each")

    def _too_large(self, pixels: str) -> BadRequest:
        return BadRequest(
            "pictures of one request too large together",
            expected=f"at most {self._limit} pixels, before or after resizing",
            found=pixels,
            status=413,
        )


def pixel_weight(picture: ImageFile, scans: int) -> tuple[int, str]:
    """Tell how often each pixel of a picture counts, by the time that decoding it takes, and why.

    To decode a pixel to RGB takes 12 to 35 ns in a plain file (PNG of 1 to 24 bits, JPEG), 37 to 41 ns with an alpha
    channel or 16 bits, 67 to 70 ns with both, and 50 ns in a progressive JPEG file of ten scans.

    Args:
        picture: picture that is opened, but not loaded.
        scans: number of scans of a JPEG file; 1 for any other file.
    """
    times, reasons = 1, []
    if scans > _SCANS_PER_PIXEL:
        times *= -(-scans // _SCANS_PER_PIXEL)
        reasons.append(f"{scans} scans")
    if picture.mode == "CMYK":
        times *= 2
        reasons.append("CMYK")
    if picture.has_transparency_data:
        times *= 2
        reasons.append("transparency")
    # A WebP file, always of 8 bits, has no tile before it is decoded.
    if picture.tile and _SIXTEEN_BITS in str(picture.tile[0].args):
        times *= 2
        reasons.append("16 bits")
    if picture.info.get("interlace"):
        times *= 2
        reasons.append("interlaced")
    return times, ", ".join(reasons)
