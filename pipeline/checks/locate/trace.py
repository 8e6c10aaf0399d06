"""Record what a network computes, operator by operator, with the module that each operator belongs to.

The same recorder works for a module that runs eagerly and for a loaded TorchScript file: both reach torch's dispatcher
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
    """One operator in a run of a network.

    Args:
        module: dotted name of the innermost module it belongs to; empty for the whole network, or where it is unknown.
        kind: class name of that module; empty where it is unknown.
        operator: name of the operator, such as `conv2d`.
        shape: shape of its first result; empty where it is unknown before it runs.
        dtype: dtype of its first result; empty where it is unknown before it runs.
    """

    module: str
    kind: str
    operator: str
    shape: tuple[int, ...] = ()
    dtype: str = ""

    @property
    def bytes(self) -> int:
        """The size of its first result in bytes, roughly."""
        return int(np.prod(self.shape, dtype=np.int64)) * 4


class Trace(Protocol):
    """A run of a network: its steps are known, and its values can be read a few at a time."""

    @property
    def steps(self) -> Sequence[Step]:
        """The steps in the order in which they ran."""

    def outputs(self, positions: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the first results of some steps, by position."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A tensor or number that is an argument of a step.

    Args:
        place: position among the operator's arguments; two numbers for a position in a list among them.
        name: name that its module has for it, if it is a parameter or buffer of a known module; else empty.
        value: copy of its value.
    """

    place: tuple[int, ...]
    name: str
    value: NDArray[Any]


class TorchTrace:
    """The operators that torch runs during a call.

    Args:
        call: call to record; it does the same every time.
        module: called module, which gives the operators their module names; None for a TorchScript file.
        warm_up: number of calls before anything is recorded.
    """

    def __init__(self, call: Callable[[], object], *, module: nn.Module | None = None, warm_up: int = 0) -> None:
        self._call = call
        self._modules = {} if module is None else {submodule: name for name, submodule in module.named_modules()}
        for _ in range(warm_up):
            call()
        self._steps = tuple(self._run(frozenset(), None).steps)

    @property
    def steps(self) -> Sequence[Step]:
        """The steps in the order in which they ran."""
        return self._steps

    def outputs(self, positions: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the first results of some steps, by position."""
        return self._run(frozenset(positions), None).outputs

    def given(self, step: int) -> list[Given]:
        """Run again and keep the arguments of one step, which include its weights."""
        return self._run(frozenset(), step).arguments

    def _run(self, positions: frozenset[int], given_to: int | None) -> _Recorder:
        names: dict[tuple[int, tuple[int, ...]], str] = {}
        for module in self._modules:
            for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                names.setdefault(_identity(tensor), name)
        recorder = _Recorder(positions=positions, given_to=given_to, names=names, modules=bool(self._modules))
        with _track_modules(self._modules, recorder.inside), recorder:
            self._call()
        return recorder


class ByModule:
    """A trace in which neighbouring operators of one module are one step; the last operator gives its result.

    Args:
        trace: trace of a module, whose steps have module names.
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
        """The steps in the order in which they ran."""
        return [self._trace.steps[place] for place in self._last]

    def outputs(self, positions: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the results of some steps, by position."""
        outputs = self._trace.outputs({self._last[step] for step in positions})
        return {step: outputs[self._last[step]] for step in positions}


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that records the operators that reach torch's dispatcher."""

    def __init__(
        self,
        *,
        positions: frozenset[int],
        given_to: int | None,
        names: Mapping[tuple[int, tuple[int, ...]], str],
        modules: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside: list[tuple[str, str]] = [("", "")]
        self.steps: list[Step] = []
        self.outputs: dict[int, NDArray[Any]] = {}
        self.arguments: list[Given] = []
        self._positions = positions
        self._given_to = given_to
        self._names = names
        self._modules = modules

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._outside():
            return operator(*args, **(kwargs or {}))
        place = len(self.steps)
        # Copies come before the run: an operator that works in place overwrites its arguments.
        arguments = list(self._copies(args)) if place == self._given_to else []
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
            if place in self._positions:
                self.outputs[place] = _copy(output)
            if place == self._given_to:
                self.arguments = arguments
        return result

    def _outside(self) -> bool:
        """Whether the recorded module has not begun yet, or has finished."""
        return self._modules and len(self.inside) == 1

    def _copies(self, args: tuple[Any, ...]) -> Iterator[Given]:
        for place, argument in _flat(args):
            if isinstance(argument, Tensor):
                yield Given(place=place, name=self._names.get(_identity(argument), ""), value=_copy(argument))
            elif isinstance(argument, float):
                yield Given(place=place, name="", value=np.array(argument, dtype=np.float32))


@contextmanager
def _track_modules(names: Mapping[nn.Module, str], inside: list[tuple[str, str]]) -> Iterator[None]:
    """Keep a stack of the modules whose forward is running."""

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _arguments: Any) -> None:
            inside.append((name, type(module).__name__))

        return hook

    def leave(_module: nn.Module, _arguments: Any, _result: Any) -> None:
        inside.pop()

    handles = [module.register_forward_pre_hook(enter(name)) for module, name in names.items()]
    handles += [module.register_forward_hook(leave, always_call=True) for module in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _flat(args: tuple[Any, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    for place, argument in enumerate(args):
        if isinstance(argument, list | tuple):
            yield from (((place, inner), value) for inner, value in enumerate(argument))
        else:
            yield (place,), argument


def _identity(tensor: Tensor) -> tuple[int, tuple[int, ...]]:
    try:
        return tensor.data_ptr(), tuple(tensor.shape)
    except RuntimeError:  # the tensor has no storage, as in a layout of oneDNN's own
        return 0, ()


def _copy(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor into an array of its own, because later operators may work in place."""
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
