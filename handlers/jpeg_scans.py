"""The number of scans in a JPEG file: each is a pass over the whole picture, and may be only a dozen bytes long."""

from __future__ import annotations

import re

from .bad_request import BadRequest

# Encoders write 1 to 18 scans (18 in libjpeg's own list for a progressive CMYK picture).
MAX_SCANS = 64

_SCAN = b"\xff\xda"
# This is a marker in or behind compressed data, but not a stuffed byte, a restart, or a fill byte in front of a marker.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START, _END, _OF_SCAN = 0xD8, 0xD9, 0xDA
# From this marker on, markers have a length. At a smaller one libjpeg ends, or steps over its two bytes alone.
_FIRST_WITH_LENGTH = 0xC0


def count_scans(body: bytes) -> int:
    """Count the scans of a JPEG file, up to its end marker; nothing is decoded.

    Args:
        body: bytes of the file, with or without its metadata.

    Returns:
        The number of scans, at least 1.

    Raises:
        BadRequest: there are more than `MAX_SCANS`.
    """
    # Every scan begins with these two bytes. They may occur elsewhere too: a phone may append a whole film to the file.
    if body.count(_SCAN) <= 1:
        return 1
    scans, match = 0, _MARKER.search(body, 2)
    while match is not None:
        marker, end = match.group()[1], match.end()
        if marker == _END:
            break
        if marker == _OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise BadRequest("too many scans (JPEG)", expected=f"at most {MAX_SCANS}", found="more", status=413)
        if marker >= _FIRST_WITH_LENGTH and marker != _START:
            end += int.from_bytes(body[end : end + 2], "big")
        match = _MARKER.search(body, end)
    return max(1, scans)
