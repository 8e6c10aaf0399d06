"""Follows the pickle records of a TorchScript file, without building the values that they describe.

torch reads the records with its own unpickler (torch/csrc/jit/serialization/unpickler.cpp), which knows a few
operations. It trusts the sizes of stored tensors (seen in 2.13: a storage that claims more elements than its record
holds is read beyond its end), so this module compares the sizes with the records.
"""

from __future__ import annotations

import ast
import pickletools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

from pipeline.model_code.operators import cut
from pipeline.model_code.stored_values import Container, DeclaredClass, Object, Plain, Tensor, fits, fits_container

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
_ORDERED = "collections OrderedDict"
# torch's unpickler reads its other names as numbers, and a call of a number calls the function that has this number.
_FUNCTIONS = frozenset(
    name for name in _GLOBALS if name.startswith(("torch.", "builtins ", "collections ")) or name == "torch device"
)
_KEY = re.compile(r"\d+", re.ASCII)
_DEVICE = "cpu"
_NO_CLASSES: Mapping[str, DeclaredClass] = MappingProxyType({})
# Types of the lists for which torch has a function.
_LISTS = {
    "torch.jit._pickle build_intlist": "List[int]",
    "torch.jit._pickle build_doublelist": "List[float]",
    "torch.jit._pickle build_boollist": "List[bool]",
    "torch.jit._pickle build_tensorlist": "List[Tensor]",
}
_TYPED = "torch.jit._pickle restore_type_tag"


class PickleError(ValueError):
    """A record that is refused. The message says what was expected and found in it."""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    elements: int


@dataclass(frozen=True)
class _New:
    """A new object of a class, which waits for its state."""

    name: str


def check_pickle(
    pickled: bytes,
    storages: Mapping[str, int],
    classes: Collection[str],
    declared: Mapping[str, DeclaredClass] = _NO_CLASSES,
) -> None:
    """Follow a record to its end.

    Args:
        pickled: bytes of the record.
        storages: sizes of the stored tensors in bytes, by key.
        classes: qualified names of the classes whose objects it may hold.
        declared: classes among them that the file's source declares, by qualified name.

    Raises:
        PickleError: the record has an operation, a name or a size that torch does not write.
    """
    machine = _Machine(storages, classes, declared)
    end = 0
    try:
        for opcode, argument, place in pickletools.genops(pickled):
            machine.step(opcode.name, argument)
            end = (place or 0) + 1
    except PickleError:
        raise
    except RecursionError as error:
        raise PickleError("expected values of usual depth, found more") from error
    except ValueError as error:
        raise PickleError(f"expected a whole record, found: {error}") from error
    if end != len(pickled):
        raise PickleError(f"expected its end at byte {end}, found {len(pickled) - end} bytes more")


def _by_name(state: object) -> dict[str, Any]:
    """Attributes of an object by name; empty where its state is not a dictionary."""
    if not isinstance(state, Container) or state.kind != "Dict":
        return {}
    return {name: value for name, value in state.parts or () if isinstance(name, str)}


class _Machine:
    """A stack and a memo like the unpickler's. They keep values only as far as sizes and types depend on them."""

    def __init__(
        self, storages: Mapping[str, int], classes: Collection[str], declared: Mapping[str, DeclaredClass]
    ) -> None:
        self._storages, self._classes, self._declared = storages, classes, declared
        self._enums = frozenset(name for name, declaration in declared.items() if declaration.base == "Enum")
        self._stack: list[Any] = []
        # Height of the stack at each open mark. Values below it belong to what began before the mark.
        self._marks: list[int] = []
        self._memo: list[Any] = []

    def step(self, name: str, argument: Any) -> None:  # noqa: C901, PLR0912 - one branch for each operation
        """Follow one operation."""
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
                stack.append(Container("List" if name == "EMPTY_LIST" else "Dict"))
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE":
                stack.append(self._to_mark())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(reversed([self._pop() for _ in range(int(name[-1]))])))
            case "APPENDS" | "SETITEMS":
                self._fill("List" if name == "APPENDS" else "Dict")
            case "BINPUT" | "LONG_BINPUT":
                if argument != len(self._memo):
                    raise PickleError(f"expected memo numbers to count up, {len(self._memo)} next, found {argument}")
                if isinstance(self._top(), _New) or (isinstance(self._top(), Container) and self._top().parts is None):
                    raise PickleError("expected a finished value to give a number, found another")
                self._memo.append(self._top())
            case "BINGET" | "LONG_BINGET":
                if argument >= len(self._memo):
                    raise PickleError(f"expected a memo number below {len(self._memo)}, found {argument}")
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(self._global(argument))
            case "BINPERSID":
                stack.append(self._storage(self._pop()))
            case "NEWOBJ":
                stack.append(self._new())
            case "BUILD":
                self._build()
            case "REDUCE":
                self._call()
            case "STOP":
                if any(isinstance(value, _New) for value in stack):
                    raise PickleError("expected objects with their state, found one without")
                if len(stack) != 1 or self._marks:
                    raise PickleError(
                        f"expected one value and no open mark at its end, found {len(stack)} and {len(self._marks)}"
                    )
            case _:
                raise PickleError(f"expected only operations that torch writes, found {cut(f'{name} {argument}')}")

    def _top(self) -> Any:
        """The last value, which has to lie above the last mark."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise PickleError("expected a value above the last mark, found none")
        return self._stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _fill(self, kind: str) -> None:
        """Fill a list or a dictionary once, so that none changes after it was compared with its type."""
        values = self._to_mark()
        container = self._top()
        if not isinstance(container, Container) or container.kind != kind or container.parts is not None:
            raise PickleError(f"expected an empty {kind} below what goes into it, found another value")
        if kind == "Dict" and len(values) % 2:
            raise PickleError("expected a value for each key of a dictionary, found a key without")
        container.parts = values if kind == "List" else tuple(zip(values[::2], values[1::2], strict=True))

    def _to_mark(self) -> tuple[Any, ...]:
        """Remove the last mark and all values above it, and return the values."""
        if not self._marks:
            raise PickleError("expected a mark below the values, found none")
        place = self._marks.pop()
        values = tuple(self._stack[place:])
        del self._stack[place:]
        return values

    def _new(self) -> _New:
        arguments, owner = self._pop(), self._pop()
        if arguments != () or not isinstance(owner, _Global) or owner.name in _GLOBALS | self._enums:
            raise PickleError("expected a class of the file and no arguments for an object, found others")
        return _New(owner.name)

    def _build(self) -> None:
        """Give a new object its state. The state has to be what its class declares, because torch trusts that."""
        state, new = self._pop(), self._pop()
        if not isinstance(new, _New):
            raise PickleError("expected a new object below its state, found another value")
        declaration = self._declared.get(new.name)
        if declaration is not None and declaration.state is not None:
            if not fits(state, declaration.state, self._declared):
                raise PickleError(f"expected a state of {cut(new.name)} as its source declares, found another")
        elif declaration is not None:
            parts = _by_name(state)
            for name, declared in declaration.attributes.items():
                if name not in parts or not fits(parts[name], declared, self._declared):
                    kind = cut(ast.unparse(declared))
                    raise PickleError(f"expected {cut(name)} of {cut(new.name)} to be {kind}, found another value")
        self._stack.append(Object(new.name))

    def _global(self, name: str) -> _Global:
        if name in _GLOBALS:
            return _Global(name)
        if name.count(" ") != 1 or name.replace(" ", ".") not in self._classes:
            raise PickleError(f"expected classes of the file's own code and torch's tensors, found {cut(name)!r}")
        return _Global(name.replace(" ", "."))

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
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Global) or function.name not in _FUNCTIONS | self._enums:
            raise PickleError("expected an enumeration or a function of torch to call, found another value")
        # For any other value torch leaves nothing on the stack, so all that follows would mean something else.
        if function.name in self._enums and not any(
            type(value) is type(arguments) and value == arguments for value in self._declared[function.name].values
        ):
            raise PickleError(f"expected a value of the enumeration {cut(function.name)}, found another")
        if function.name == _ORDERED and arguments != ():
            raise PickleError("expected an ordered dictionary of nothing, found one of arguments")
        self._stack.append(self._result(function.name, arguments))

    def _result(self, function: str, arguments: Any) -> Any:
        if function in self._enums:
            return Object(function)
        if function in _TENSORS:
            self._require_inside(arguments)
            return Tensor()
        match arguments:
            case (Container() as container,) if function in _LISTS:
                self._give_type(container, _LISTS[function])
                return container
            case (Container() as container, str() as text) if function == _TYPED:
                self._give_type(container, text)
                return container
            case _ if function in _LISTS or function == _TYPED:
                raise PickleError("expected a list or a dictionary to give a type, found another value")
            case _:
                return Plain()

    def _give_type(self, container: Container, text: str) -> None:
        try:
            declared = ast.parse(text, mode="eval").body
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise PickleError(f"expected a type, found {cut(text)!r}") from error
        if container.type or container.parts is None or not fits_container(container, declared, self._declared):
            raise PickleError(f"expected values of {cut(text)} that have no type yet, found others")
        container.type = ast.unparse(declared)

    @staticmethod
    def _require_inside(arguments: Any) -> None:
        """Check that a tensor lies inside its storage."""
        match arguments:
            case (_Storage(elements=elements), int() as offset, tuple() as sizes, tuple() as strides, *_) if len(
                sizes
            ) == len(strides) and all(isinstance(number, int) and number >= 0 for number in sizes + strides):
                last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
                if offset < 0 or (prod(sizes) and last >= elements):
                    raise PickleError(f"expected a tensor inside its {elements} stored elements, found one beyond")
            case _:
                raise PickleError("expected a tensor's storage, offset, sizes and strides, found others")
