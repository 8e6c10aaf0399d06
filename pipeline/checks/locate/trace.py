"""What a network computes, operator by operator, with the module that each operator belongs to.

The same recorder listens to a module that runs eagerly and to a loaded TorchScript file: both reach torch's dispatcher
with the same operators, though a frozen file has lost its modules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operator.

    Args:
        module: dotted name of the innermost module it belongs to; empty for the whole network, or where it is unknown.
        kind: class name of that module; empty where it is unknown.
        operator: its name, such as `conv2d`.
        shape: of its first result; empty where it is unknown before it runs.
        dtype: of its first result; empty where it is unknown before it runs.
    """

    module: str
    kind: str
    operator: str
    shape: tuple[int, ...] = ()
    dtype: str = ""

    @property
    def bytes(self) -> int:
        """Bytes of its first result, roughly."""
        return int(np.prod(self.shape, dtype=np.int64)) * 4


class Trace(Protocol):
    """Something whose steps are known and whose values can be had, a few at a time."""

    @property
    def steps(self) -> Sequence[Step]:
        """In the order in which they ran."""

    def outputs(self, wanted: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the first results of some steps, by position."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A tensor or number that a step was given.

    Args:
        place: among the operator's arguments; two numbers in a list among them.
        name: the module's own name of it, if it is a parameter or buffer of a module that is known; else empty.
        value: a copy.
    """

    place: tuple[int, ...]
    name: str
    value: NDArray[Any]


class TorchTrace:
    """Operators that torch runs during a call.

    Args:
        call: what to listen to; the same on every call.
        module: the module that is called, so that operators get its names; none for a TorchScript file.
        warm_up: calls before anything is recorded.
    """

    def __init__(self, call: Callable[[], object], *, module: nn.Module | None = None, warm_up: int = 0) -> None:
        self._call = call
        self._modules = {} if module is None else {one: name for name, one in module.named_modules()}
        for _ in range(warm_up):
            call()
        self._steps = tuple(self._run(frozenset(), None).steps)

    @property
    def steps(self) -> Sequence[Step]:
        """In the order in which they ran."""
        return self._steps

    def outputs(self, wanted: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the first results of some steps, by position."""
        return self._run(frozenset(wanted), None).outputs

    def given(self, step: int) -> list[Given]:
        """Run again and keep what one step was given: its weights among it."""
        return self._run(frozenset(), step).given

    def _run(self, wanted: frozenset[int], given_to: int | None) -> _Recorder:
        names: dict[tuple[int, tuple[int, ...]], str] = {}
        for module in self._modules:
            for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                names.setdefault(_identity(tensor), name)
        recorder = _Recorder(wanted=wanted, given_to=given_to, names=names, modules=bool(self._modules))
        with _modules_told(self._modules, recorder.inside), recorder:
            self._call()
        return recorder


class ByModule:
    """A trace in which neighbouring operators of one module are one step; its result is that of the last of them.

    Args:
        trace: with the names of modules.
    """

    def __init__(self, trace: TorchTrace) -> None:
        self._trace = trace
        self._last: list[int] = []
        for place, step in enumerate(trace.steps):
            if self._last and trace.steps[self._last[-1]].module == step.module:
                self._last[-1] = place
            else:
                self._last.append(place)

    @property
    def steps(self) -> Sequence[Step]:
        """In the order in which they ran."""
        return [self._trace.steps[place] for place in self._last]

    def outputs(self, wanted: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the results of some steps, by position."""
        found = self._trace.outputs({self._last[step] for step in wanted})
        return {step: found[self._last[step]] for step in wanted}


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Listens to torch's dispatcher."""

    def __init__(
        self,
        *,
        wanted: frozenset[int],
        given_to: int | None,
        names: Mapping[tuple[int, tuple[int, ...]], str],
        modules: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside: list[tuple[str, str]] = [("", "")]
        self.steps: list[Step] = []
        self.outputs: dict[int, NDArray[Any]] = {}
        self.given: list[Given] = []
        self._wanted = wanted
        self._given_to = given_to
        self._names = names
        self._modules = modules

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._outside():
            return operator(*args, **(kwargs or {}))
        place = len(self.steps)
        # Before it runs: an operator that works in place overwrites what it is given.
        given = list(self._copies(args)) if place == self._given_to else []
        result = operator(*args, **(kwargs or {}))
        output = result[0] if isinstance(result, tuple | list) and result else result
        if isinstance(output, Tensor):
            module, kind = self.inside[-1]
            self.steps.append(
                Step(
                    module=module,
                    kind=kind,
                    operator=operator.overloadpacket.__name__,
                    shape=tuple(output.shape),
                    dtype=str(output.dtype).removeprefix("torch."),
                )
            )
            if place in self._wanted:
                self.outputs[place] = _copy(output)
            if place == self._given_to:
                self.given = given
        return result

    def _outside(self) -> bool:
        """Whether the module that is listened to has not begun yet, or is done."""
        return self._modules and len(self.inside) == 1

    def _copies(self, args: tuple[Any, ...]) -> Iterator[Given]:
        for place, one in _flat(args):
            if isinstance(one, Tensor):
                yield Given(place=place, name=self._names.get(_identity(one), ""), value=_copy(one))
            elif isinstance(one, float):
                yield Given(place=place, name="", value=np.array(one, dtype=np.float32))


@contextmanager
def _modules_told(names: Mapping[nn.Module, str], inside: list[tuple[str, str]]) -> Iterator[None]:
    """Keep a stack of the modules whose forward is running."""

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _arguments: Any) -> None:
            inside.append((name, type(module).__name__))

        return hook

    def leave(_module: nn.Module, _arguments: Any, _result: Any) -> None:
        inside.pop()

    handles = [one.register_forward_pre_hook(enter(name)) for one, name in names.items()]
    handles += [one.register_forward_hook(leave, always_call=True) for one in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _flat(args: tuple[Any, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    for place, one in enumerate(args):
        if isinstance(one, list | tuple):
            yield from (((place, inner), value) for inner, value in enumerate(one))
        else:
            yield (place,), one


def _identity(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    try:
        return tensor.data_ptr(), tuple(tensor.shape)
    except RuntimeError:  # a tensor without storage, such as one in a layout of oneDNN's own
        return 0, ()


def _copy(tensor: Tensor) -> NDArray[Any]:
    """As an array of its own, because later operators may work in place."""
    with _disable_current_modes():
        dense = tensor.detach()
        if dense.is_quantized:
            dense = dense.dequantize()
        if dense.layout is not torch.strided:
            dense = dense.to_dense()
        if dense.dtype is torch.bfloat16:  # numpy has none
            dense = dense.float()
        copy: NDArray[Any] = dense.clone().cpu().numpy()
    return copy
