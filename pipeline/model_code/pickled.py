"""What the pickle records of a TorchScript file would build, followed without building it.

torch reads them with its own unpickler (torch/csrc/jit/serialization/unpickler.cpp), which knows a few operations. It
trusts the sizes of stored tensors (seen in 2.13: a storage that claims more elements than its record holds is read
beyond its end), so they are held against the records here.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from pipeline.model_code.operators import cut

# Bytes of an element, by torch's name of the storage.
_ITEM_BYTES = {
    "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "QInt8Storage": 1, "QUInt8Storage": 1, "HalfStorage": 2,
    "BFloat16Storage": 2, "ShortStorage": 2, "FloatStorage": 4, "IntStorage": 4, "QInt32Storage": 4,
    "ComplexHalfStorage": 4, "DoubleStorage": 8, "LongStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
_GLOBALS = frozenset(
    {f"torch {name}" for name in _ITEM_BYTES}
    | {f"torch.jit._pickle {name}" for name in ("build_intlist", "build_doublelist", "build_boollist")}
    | {"torch.jit._pickle build_tensorlist", "torch.jit._pickle restore_type_tag"}
    | {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_qtensor"}
    | {"torch device", "torch per_tensor_affine", "torch per_channel_affine", "torch per_channel_affine_float_qparams"}
    | {"collections OrderedDict", "builtins complex"}
)
_TENSORS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_qtensor")
_KEY = re.compile(r"\d+")
_DEVICE = "cpu"


class PickleError(ValueError):
    """A record that is refused: what was expected and found in it."""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    elements: int


class _Built:
    """An object, or whatever else a call gives."""


class _Mark:
    """Where a tuple, or what goes into a list or dictionary, begins on the stack."""


_MARK = _Mark()


def check_pickle(pickled: bytes, storages: Mapping[str, int], classes: Collection[str]) -> None:
    """Follow a record to its end.

    Args:
        pickled: the record.
        storages: bytes of the stored tensors by key.
        classes: qualified names of classes whose objects it may hold.

    Raises:
        PickleError: an operation, a name or a size in it that torch does not write.
    """
    machine = _Machine(storages, classes)
    end = 0
    try:
        for opcode, argument, place in pickletools.genops(pickled):
            machine.step(opcode.name, argument)
            end = (place or 0) + 1
    except (IndexError, KeyError, ValueError, TypeError) as error:
        reason = str(error) if isinstance(error, PickleError) else f"{type(error).__name__}: {error}"
        raise PickleError(reason) from error
    if end != len(pickled):
        raise PickleError(f"expected its end at byte {end}, found {len(pickled) - end} bytes more")


class _Machine:
    """A stack and a memo, as the unpickler has them; values are kept only as far as sizes depend on them."""

    def __init__(self, storages: Mapping[str, int], classes: Collection[str]) -> None:
        self._storages, self._classes = storages, classes
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:  # noqa: C901, PLR0912 - one branch an operation
        """Do one operation."""
        stack = self._stack
        match name:
            case "PROTO" if argument == 2:
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append(None if name == "NONE" else name == "NEWTRUE")
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST" | "EMPTY_DICT":
                stack.append(_Built())
            case "MARK":
                stack.append(_MARK)
            case "TUPLE":
                stack.append(self._to_mark())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                values = tuple(stack[-count:])
                if len(values) != count or _MARK in values:
                    raise PickleError(f"expected {count} values for a tuple, found fewer")
                stack[-count:] = [values]
            case "APPENDS" | "SETITEMS":
                self._to_mark()
            case "APPEND":
                stack.pop()
            case "SETITEM":
                del stack[-2:]
            case "BINPUT" | "LONG_BINPUT":
                if argument > len(self._memo):
                    raise PickleError(f"expected memo numbers to count up from 0, found {argument}")
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                self._require_known(argument)
                stack.append(_Global(argument))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "NEWOBJ":
                # The arguments are empty, and the class stays in place of its object until BUILD.
                if stack.pop() != () or not isinstance(stack[-1], _Global):
                    raise PickleError("expected a class and no arguments for an object, found others")
            case "REDUCE" | "BUILD":
                self._call()
            case "STOP":
                if len(stack) != 1:
                    raise PickleError(f"expected one value at its end, found {len(stack)}")
            case _:
                raise PickleError(f"expected only operations that torch writes, found {cut(f'{name} {argument}')}")

    def _to_mark(self) -> tuple[Any, ...]:
        """Take all values above the last mark, and the mark."""
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise PickleError("expected a mark below the values, found none")
        values = tuple(self._stack[place + 1 :])
        del self._stack[place:]
        return values

    def _require_known(self, name: str) -> None:
        if name not in _GLOBALS and name.replace(" ", ".") not in self._classes:
            raise PickleError(f"expected classes of the file's own code and torch's tensors, found {cut(name)!r}")

    def _storage(self, identity: Any) -> _Storage:
        match identity:
            case ("storage", _Global(name=kind), str() as key, str() as device, int() as elements):
                pass
            case _:
                raise PickleError("expected a stored tensor's kind, key, device and size, found another tuple")
        size = _ITEM_BYTES.get(kind.removeprefix("torch "))
        if size is None or not _KEY.fullmatch(key) or device != _DEVICE:
            raise PickleError(
                f"expected a stored tensor of a known kind on {_DEVICE}, found {kind!r}, {key!r}, {device!r}"
            )
        if not 0 <= elements * size <= self._storages.get(key, 0):
            raise PickleError(
                f"stored tensor {key}: expected at most its {self._storages.get(key, 0)} bytes, found a claim of "
                f"{elements} elements of {size} bytes"
            )
        return _Storage(elements)

    def _call(self) -> None:
        arguments = self._stack.pop()
        function = self._stack.pop()
        if not isinstance(function, _Global):
            raise PickleError("expected a class or a function of torch to call, found another value")
        if function.name in _TENSORS:
            self._require_inside(arguments)
        self._stack.append(_Built())

    @staticmethod
    def _require_inside(arguments: Any) -> None:
        """A tensor has to lie inside its storage."""
        match arguments:
            case (_Storage(elements=elements), int() as offset, tuple() as sizes, tuple() as strides, *_) if len(
                sizes
            ) == len(strides) and all(isinstance(number, int) and number >= 0 for number in sizes + strides):
                last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
                if offset < 0 or (prod(sizes) and last >= elements):
                    raise PickleError(f"expected a tensor inside its {elements} stored elements, found one beyond")
            case _:
                raise PickleError("expected a tensor's storage, offset, sizes and strides, found others")
