"""The inputs of a model, and how a picture becomes one. The training side decodes with the same function as the server.

These rules hold for pictures, in this order; each of them is deterministic:

1. The file is of one of the kinds in `handlers.picture_kinds`, which its first bytes tell, and has no more pixels than
   `handlers.pixel_budget` allows. Of an animated file, the first frame is taken.
2. 16 bits a channel become 8 by keeping the high byte: Pillow does so for colour, and this module for grey.
3. The EXIF orientation is applied (`handlers.picture_metadata`). All other metadata is left out, however large it is.
4. Transparency (alpha channel, palette, or colour key) is composited on black.
5. Palette, CMYK and two-level pictures become RGB or grey; colour becomes grey by ITU-R 601-2 luma, in integers.
6. The result is resized to the input's height and width with the declared filter: without keeping the aspect ratio, or
   as `handlers.framing` says, which also takes the centre of the resized picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .bad_request import BadRequest
from .columns import Column, check_columns
from .description_checks import MOST_SIZE, checked_counts, checked_flag, checked_line, checked_number
from .framing import Fit, Resize, frame_picture, resized_size
from .picture_kinds import PICTURE_FILE, PICTURE_KINDS, PictureKindName, describe_bytes, picture_kind
from .picture_modes import Mode, convert_in_strips
from .pixel_budget import PixelBudget, pixel_weight

DType = Literal["uint8", "float32", "int64"]
# Kinds of inputs that are not data: the value nearest to zero everywhere, the largest value everywhere, or values drawn
# evenly.
MadeUp = Literal["zeros", "maximum", "noise"]

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Orientations of a picture whose height and width are exchanged.
_TURNED = (5, 6, 7, 8)
_BLACK = (0,)


@dataclass(frozen=True, kw_only=True)
class ImageDecoding:
    """How a picture becomes an input, in the size that the input has.

    Args:
        mode: one grey channel, or red, green, blue.
        resize: name of Pillow's filter. All but `nearest` average over the pixels that become one.
        fit: how a picture is resized before its centre is taken. `squeeze` gives it the size `resize_to` without
            keeping its aspect ratio; `crop` keeps the ratio, so that the picture covers `resize_to`; `letterbox` keeps
            the ratio, so that the picture lies within it.
        resize_to: height and width that the picture is resized to, in pixels; None for those of the input. Two equal
            numbers with `crop` are the length of the shorter side: (256, 256), and an input of 224 x 224, are
            torchvision's `Resize(256)` and `CenterCrop(224)`.
        fill: colour of the border where the resized picture is smaller than the input, 0 to 255: one value, or one for
            each channel.

    Raises:
        ValueError: a field has a wrong value.
    """

    mode: Mode
    resize: Resize = "bilinear"
    fit: Fit = "squeeze"
    resize_to: tuple[int, int] | None = None
    fill: tuple[int, ...] = _BLACK

    def __post_init__(self) -> None:
        for field, values in (("mode", Mode), ("resize", Resize), ("fit", Fit)):
            value = getattr(self, field)
            if value not in get_args(values):
                raise ValueError(f"decoding: {field}: expected one of {get_args(values)}, found {value!a}")
        if self.resize_to is not None and len(_counts(self.resize_to, "resize_to", least=1, most=MOST_SIZE)) != 2:
            raise ValueError(f"decoding: resize_to: expected height and width, found {self.resize_to!a}")
        fill = _counts(self.fill, "fill", least=0, most=255)
        if len(fill) not in (1, 1 if self.mode == "L" else 3):
            raise ValueError(f"decoding: fill: expected a value, or one per channel of {self.mode}, found {fill}")
        # A list is as good as a tuple, but equal to none.
        object.__setattr__(self, "fill", fill)
        object.__setattr__(self, "resize_to", None if self.resize_to is None else tuple(self.resize_to))

    def resized(self, size: tuple[int, int], result: tuple[int, int]) -> tuple[int, int]:
        """Compute the size of a picture after resizing and before its centre is taken.

        Args:
            size: width and height of the picture, in pixels.
            result: width and height of the input, in pixels.
        """
        return resized_size(size, self.fit, result if self.resize_to is None else self.resize_to[::-1])

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; those that older archives do not have are left out with usual values."""
        return {
            "mode": self.mode,
            "resize": self.resize,
            **({} if self.fit == "squeeze" else {"fit": self.fit}),
            **({} if self.resize_to is None else {"resize_to": list(self.resize_to)}),
            **({} if self.fill == _BLACK else {"fill": list(self.fill)}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ImageDecoding:
        """Read what `to_json` wrote.

        Raises:
            TypeError: this is no object, or a field is missing or unknown.
            ValueError: a field has a wrong value.
        """
        return cls(**document)


def _counts(value: object, field: str, *, least: int, most: int) -> tuple[int, ...]:
    return checked_counts(value, f"decoding: {field}", most=most, least=least)


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One input of a model.

    Args:
        name: the input's name in the graph and in requests.
        dtype: dtype of the array that the model takes.
        shape: shape of one example, without the batch axis; pictures are (C, H, W).
        low: smallest allowed value; -inf for none.
        high: largest allowed value; inf for none.
        decoding: how a picture becomes this input; None for a table or tensor.
        dynamic_axes: indices into `shape` whose size a request may choose; `shape` then holds a typical size.
        dynamic_sizes: for each of `dynamic_axes`, the smallest and the largest size that a request may choose, or None
            for any; empty where nothing is declared.
        dynamic_names: for each of `dynamic_axes`, a name; axes of the same name, in any input, have the same size in
            each example. Empty where nothing is declared.
        missing: whether values may be missing. A missing value is NaN, and null in JSON; float32 only.
        occurs: which made-up inputs may occur in requests. Exports are proven on them. An input of zeros alone, or of
            the largest value alone, is refused where it is not among them: a text of nothing but padding, for example.
        columns: columns of the table whose rows this input takes, one for each value, by which a request may name
            them; empty where the input is no row of a table.

    Raises:
        ValueError: the fields contradict each other.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    low: float
    high: float
    decoding: ImageDecoding | None = None
    dynamic_axes: tuple[int, ...] = ()
    dynamic_sizes: tuple[tuple[int, int] | None, ...] = ()
    dynamic_names: tuple[str, ...] = ()
    missing: bool = False
    occurs: tuple[MadeUp, ...] = get_args(MadeUp)
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.name, *filter(None, self.dynamic_names)):
            checked_line(name, f"input {self.name!a}: name")
        if self.dtype not in get_args(DType):
            raise ValueError(f"input {self.name}: dtype: expected one of {get_args(DType)}, found {self.dtype!r}")
        if any(size < 1 for size in self.shape):
            raise ValueError(f"input {self.name}: shape: expected positive sizes, found {self.shape}")
        if math.isnan(self.low) or math.isnan(self.high):
            raise ValueError(
                f"input {self.name}: expected bounds that are numbers, -inf and inf for none, found {self.low} and "
                f"{self.high}; that values may be missing (NaN) is declared by missing=True"
            )
        if self.missing and self.dtype != "float32":
            raise ValueError(f"input {self.name}: missing: expected dtype float32, which has NaN, found {self.dtype}")
        if not self.low <= self.high:
            raise ValueError(f"input {self.name}: expected low <= high, found {self.low} and {self.high}")
        if any(not 0 <= axis < len(self.shape) for axis in self.dynamic_axes):
            raise ValueError(
                f"input {self.name}: dynamic_axes: expected axes of {self.shape}, found {self.dynamic_axes}"
            )
        self._check_free_axes()
        if any(kind not in get_args(MadeUp) for kind in self.occurs):
            raise ValueError(f"input {self.name}: occurs: expected some of {get_args(MadeUp)}, found {self.occurs}")
        check_columns(f"input {self.name}", self.columns, dtype=self.dtype, shape=self.shape)
        if self.decoding is not None:
            channels = 1 if self.decoding.mode == "L" else 3
            if self.dtype != "uint8" or len(self.shape) != 3 or self.shape[0] != channels:
                raise ValueError(
                    f"input {self.name}: a picture of mode {self.decoding.mode} is uint8 ({channels}, height, width), "
                    f"found {self.dtype} {self.shape}"
                )

    def _check_free_axes(self) -> None:
        where, free = f"input {self.name}", self.dynamic_axes
        if len(set(free)) != len(free):
            raise ValueError(f"{where}: dynamic_axes: expected each axis once, found {free}")
        for field in ("dynamic_sizes", "dynamic_names"):
            values: tuple[object, ...] = getattr(self, field)
            if values and len(values) != len(free):
                raise ValueError(f"{where}: {field}: expected one for each of dynamic_axes {free}, found {values}")
        if not all(self.dynamic_names):
            raise ValueError(f"{where}: dynamic_names: expected names, found {self.dynamic_names}")
        for axis, sizes in zip(free, self.dynamic_sizes, strict=False):
            pair: object = sizes  # a user may have written anything
            whole = isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(size, int) for size in pair)
            if sizes is not None and not (whole and 1 <= sizes[0] <= self.shape[axis] <= sizes[1]):
                raise ValueError(
                    f"{where}: dynamic_sizes of axis {axis}: expected (smallest, largest) from 1 on with the typical "
                    f"size {self.shape[axis]} between them, found {sizes}"
                )
        if self.decoding is not None and 0 in free:
            raise ValueError(f"{where}: dynamic_axes: expected height and width at most of a picture, found {free}")

    def size_range(self, axis: int) -> tuple[int, int | None]:
        """Return the smallest and largest size that a request may choose for an axis; None where there is no largest.

        Args:
            axis: index into `shape`; an axis that is not free has its own size as both.
        """
        if axis not in self.dynamic_axes:
            return self.shape[axis], self.shape[axis]
        declared = self.dynamic_sizes[self.dynamic_axes.index(axis)] if self.dynamic_sizes else None
        return (1, None) if declared is None else declared

    def size_name(self, axis: int) -> str:
        """Return the declared name of a free axis, else the input's name, with the axis number where several are free.

        Args:
            axis: one of `dynamic_axes`.
        """
        if self.dynamic_names:
            return self.dynamic_names[self.dynamic_axes.index(axis)]
        return self.name if len(self.dynamic_axes) == 1 else f"{self.name} axis {axis}"

    @cached_property
    def byte_size(self) -> int:
        """Return the number of bytes of one example in the typical size."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def nearest_to_zero(self) -> float:
        """Return the value of the domain that is nearest to zero."""
        return min(max(0.0, self.low), self.high)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; an absent bound is null, undeclared fields of free axes are left out."""
        declared = {
            "dynamic_sizes": [None if sizes is None else list(sizes) for sizes in self.dynamic_sizes],
            "dynamic_names": list(self.dynamic_names),
        }
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "decoding": None if self.decoding is None else self.decoding.to_json(),
            "dynamic_axes": list(self.dynamic_axes),
            **{field: values for field, values in declared.items() if values},
            # These are left out where they have their usual values: older archives do not have these fields.
            **({"missing": True} if self.missing else {}),
            **({} if self.occurs == get_args(MadeUp) else {"occurs": list(self.occurs)}),
            **({"columns": [column.to_json() for column in self.columns]} if self.columns else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> InputSpec:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing, is unknown or contradicts another.
        """
        try:
            fields = dict(document)
            name = checked_line(fields.pop("name"), "inputs: name")
            where = f"input {name}"
            decoding = fields.pop("decoding")
            low, high = fields.pop("low"), fields.pop("high")
            return cls(
                name=name,
                dtype=fields.pop("dtype"),
                shape=checked_counts(fields.pop("shape"), f"{where}: shape", most=MOST_SIZE),
                low=-math.inf if low is None else checked_number(low, f"{where}: low"),
                high=math.inf if high is None else checked_number(high, f"{where}: high"),
                decoding=None if decoding is None else ImageDecoding.from_json(decoding),
                dynamic_axes=checked_counts(
                    fields.pop("dynamic_axes"), f"{where}: dynamic_axes", most=MOST_SIZE, least=0
                ),
                dynamic_sizes=tuple(
                    None if sizes is None else _checked_pair(sizes, f"{where}: dynamic_sizes")
                    for sizes in fields.pop("dynamic_sizes", ())
                ),
                dynamic_names=tuple(fields.pop("dynamic_names", ())),
                missing=checked_flag(fields.pop("missing", False), f"{where}: missing"),
                occurs=tuple(fields.pop("occurs", get_args(MadeUp))),
                columns=tuple(Column.from_json(column) for column in fields.pop("columns", ())),
                **fields,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"input specification: {type(error).__name__}: {error}") from error


def _checked_pair(sizes: object, where: str) -> tuple[int, int]:
    """Check and return the smallest and the largest size."""
    pair = checked_counts(sizes, where, most=MOST_SIZE)
    if len(pair) != 2:
        raise ValueError(f"{where}: expected the smallest and the largest size, found {len(pair)} numbers")
    return pair[0], pair[1]


def decode_image(body: bytes, spec: InputSpec, budget: PixelBudget | None = None) -> NDArray[np.uint8]:
    """Decode a picture file by the rules at the top of this module.

    Args:
        body: the file's bytes.
        spec: an input with `decoding`.
        budget: pixel budget of the request to which the picture belongs; by default, the picture has its own.

    Returns:
        uint8 array of `spec.shape`, (C, H, W).

    Raises:
        BadRequest: this is not a picture file, it is damaged, or it has too many pixels, scans or blocks.
        ValueError: the input has no `decoding`.
    """
    if spec.decoding is None:
        raise ValueError(f"input {spec.name} is not a picture")
    name = picture_kind(body)
    if name is None:
        raise BadRequest(f"input {spec.name}: not a picture", expected=PICTURE_FILE, found=describe_bytes(body))
    kind, decoding = PICTURE_KINDS[name], spec.decoding
    size = (spec.shape[2], spec.shape[1])
    try:
        bare, orientation = kind.without_metadata(body)
        scans = kind.count_scans(bare)
        opened = kind.open(io.BytesIO(bare))
        weight = pixel_weight(opened, scans)
    except BadRequest:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadRequest(
            f"picture too large ({name})", expected="fewer pixels", found=str(error), status=413
        ) from error
    except Exception as error:
        raise _damage_error(name, error) from error
    method = _TRANSPOSE.get(orientation)
    resized = size  # that of the usual decoding, for which no more calls are made than needed
    if decoding.fit != "squeeze" or decoding.resize_to is not None:
        resized = decoding.resized(opened.size[::-1] if orientation in _TURNED else opened.size, size)
    (budget or PixelBudget()).take(name, opened.size, size, weight, resized)
    picture: Image.Image | None = opened
    del opened
    assert picture is not None
    try:
        pixels = convert_in_strips(picture, decoding.mode)
        picture = None  # frees its memory
        # The picture is turned after the change of mode to save memory. The order does not change the result, for the
        # mode changes pixel by pixel.
        if method is not None:
            pixels = pixels.transpose(method)
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged files
        raise _damage_error(name, error) from error
    if pixels.size != size or resized != size:
        pixels = frame_picture(pixels, resized, size, resize=decoding.resize, fill=decoding.fill)
    array = np.frombuffer(pixels.tobytes(), dtype=np.uint8)
    if decoding.mode == "L":
        return array.reshape(spec.shape)
    return np.ascontiguousarray(array.reshape(*spec.shape[1:], 3).transpose(2, 0, 1))


def _damage_error(kind: PictureKindName, error: Exception) -> BadRequest:
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadRequest(f"{kind} file cannot be decoded", expected=f"a whole {kind} file", found=reason)
