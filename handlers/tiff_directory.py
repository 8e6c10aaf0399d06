"""The directory of a TIFF file: its fields, by number. It is read in one pass; nothing is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .bad_request import BadRequest

# Largest number of fields in a directory. A camera's or a scanner's file has tens of them.
_MOST_FIELDS = 1024
# Largest number of values of a field that is read: a strip of a picture takes one, and more blocks are refused anyway.
_MOST_VALUES = 16_384
# Number of bytes of a value, by the number of its type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
# Letter of `struct` for the types that are whole numbers without a sign.
_WHOLE = {1: "B", 3: "H", 4: "I"}


@dataclass(frozen=True, kw_only=True)
class TiffDirectory:
    """One directory of a TIFF file: it describes one picture.

    Args:
        body: bytes of the file.
        order: order of bytes in numbers, `<` or `>`.
        entries: the 12 bytes of each field, by its number; of a number that comes twice, the first.
        following: place of the next directory; 0 for none.
    """

    body: bytes
    order: str
    entries: dict[int, bytes]
    following: int

    def numbers(self, field: int) -> tuple[int, ...]:
        """Return the whole numbers of a field; empty where the directory has no such field.

        Raises:
            ValueError: the values are no whole numbers, or lie outside the file.
            BadRequest: there are too many of them.
        """
        entry = self.entries.get(field)
        if entry is None:
            return ()
        _, kind, count = struct.unpack_from(f"{self.order}HHI", entry)
        if kind not in _WHOLE:
            raise ValueError(f"field {field} of type {kind}, which is no whole number")
        if count > _MOST_VALUES:
            raise BadRequest(
                "too many values in a field of a TIFF file",
                expected=f"at most {_MOST_VALUES}",
                found=str(count),
                status=413,
            )
        content = self._content(field)
        return struct.unpack(f"{self.order}{count}{_WHOLE[kind]}", content)

    def number(self, field: int, default: int) -> int:
        """Return the only number of a field, or the first one; the default where there is none."""
        return next(iter(self.numbers(field)), default)

    def text(self, field: int) -> bytes:
        """Return the bytes of a field; empty where the directory has no such field, or they lie outside the file."""
        try:
            return self._content(field) if field in self.entries else b""
        except ValueError:
            return b""

    def _content(self, field: int) -> bytes:
        entry = self.entries[field]
        _, kind, count = struct.unpack_from(f"{self.order}HHI", entry)
        length = count * _SIZES.get(kind, 0)
        place = 8 if length <= 4 else struct.unpack_from(f"{self.order}I", entry, 8)[0]
        source = entry if length <= 4 else self.body
        if length == 0 or place + length > len(source):
            raise ValueError(f"field {field} lies outside the file")
        return source[place : place + length]

    def write(self, fields: tuple[int, ...]) -> bytes:
        """Return the file with this directory alone, and of it only some fields.

        The new directory comes behind the file's bytes, so that everything that it points to stays where it is.
        """
        kept = [self.entries[field] for field in sorted(fields) if field in self.entries]
        odd = len(self.body) % 2
        directory = struct.pack(f"{self.order}H", len(kept)) + b"".join(kept) + bytes(4)
        place = struct.pack(f"{self.order}I", len(self.body) + odd)
        return b"".join((self.body[:4], place, memoryview(self.body)[8:], bytes(odd), directory))


def read_directory(body: bytes, place: int | None = None) -> TiffDirectory:
    """Read a directory of a TIFF file.

    Args:
        body: bytes of the file.
        place: place of the directory in it; None for the first one.

    Raises:
        BadRequest: the directory has too many fields.
        ValueError: it lies outside the file.
    """
    order = {b"II": "<", b"MM": ">"}[body[:2]]
    try:
        if place is None:
            (place,) = struct.unpack_from(f"{order}I", body, 4)
        (count,) = struct.unpack_from(f"{order}H", body, place)
        end = place + 2 + 12 * count
        if count > _MOST_FIELDS:
            raise BadRequest(
                "too many fields in a TIFF file", expected=f"at most {_MOST_FIELDS}", found=f"{count}", status=413
            )
        (following,) = struct.unpack_from(f"{order}I", body, end)
    except struct.error as error:
        raise ValueError("its directory lies outside the file") from error
    entries: dict[int, bytes] = {}
    for start in range(place + 2, end, 12):
        entries.setdefault(struct.unpack_from(f"{order}H", body, start)[0], body[start : start + 12])
    return TiffDirectory(body=body, order=order, entries=entries, following=following)
