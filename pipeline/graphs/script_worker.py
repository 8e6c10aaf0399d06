"""Record what a TorchScript file computes for one example: `python -m pipeline.graphs.script_worker JOB.json`.

It runs as a program in a confined process. `pipeline.graphs.script_layers` writes the job and reads what it recorded.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline._handlers.decode import DType, InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model

_INPUT = "input."
# Namespace of torch's usual operators; those of others are told with theirs.
_OWN = "aten"
# These change nothing that a file of another format would show.
_IDENTITIES = ("alias", "clone", "contiguous", "detach", "dropout", "lift_fresh")


def main(arguments: Sequence[str]) -> int:
    """Run one job.

    Args:
        arguments: path of the job, a JSON file with `path`, `data` and `found`.

    Returns:
        0, or 1 where something went wrong; the last line on standard error then says what it was.
    """
    job: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        found = _record(Path(job["path"]), Path(job["data"]))
    except Exception as error:  # noqa: BLE001 - whatever torch raises, it is this file's failure
        traceback.print_exc()
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    Path(job["found"]).write_text(json.dumps(found), encoding="utf-8")
    return 0


def _record(path: Path, data: Path) -> list[dict[str, Any]]:
    """Run the file on the first example, and return its operators."""
    stored = load_file(data)
    examples = {
        name.removeprefix(_INPUT): array[:1].copy() for name, array in stored.items() if name.startswith(_INPUT)
    }
    specs = [
        InputSpec(name=name, dtype=cast("DType", str(array.dtype)), shape=array.shape[1:], low=-np.inf, high=np.inf)
        for name, array in examples.items()
    ]
    runtime = RuntimeSpec(kind="torchscript", file=path.name, optimization="none")
    model = load_model(path.parent, runtime, specs)
    recorder = _Recorder([array.ctypes.data for array in examples.values()])
    with recorder, contextlib.suppress(AttributeError):  # several outputs are a tuple, once all of it is recorded
        model(examples)
    return recorder.steps


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that records operators that take what was computed of the inputs, with the constants beside that.

    Args:
        inputs: addresses of the inputs' values.
    """

    def __init__(self, inputs: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[dict[str, Any]] = []
        self._inputs = frozenset(inputs)
        self._computed: dict[int, Tensor] = {}  # they are kept, so that no other tensor gets their numbers

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [*_flat(args), *_flat(tuple((kwargs or {}).values()))]
        constants = [tensor for value in given if not self._is_computed(value) for tensor in _constants(value)]
        result = operator(*args, **(kwargs or {}))
        outputs = [value for value in _flat((result,)) if isinstance(value, Tensor)]
        if outputs and any(map(self._is_computed, given)):
            name = operator.overloadpacket.__name__
            in_place = name.endswith("_") and not name.endswith("__")
            # What gives back the very tensor, and does not work in place, changed nothing.
            changes = in_place or id(outputs[0]) not in self._computed
            self._computed |= {id(output): output for output in outputs}
            if changes and name not in _IDENTITIES:
                name = name.rstrip("_")
                self.steps.append(
                    {
                        "operator": name if operator.namespace == _OWN else f"{operator.namespace}.{name}",
                        "shape": list(outputs[0].shape),
                        "dtype": _dtype(outputs[0]),
                        "constants": [
                            {"shape": list(constant.shape), "dtype": _dtype(constant)} for constant in constants
                        ],
                    }
                )
        return result

    def _is_computed(self, value: Any) -> bool:
        if id(value) in self._computed:
            return True
        plain = isinstance(value, Tensor) and value.layout is torch.strided
        return plain and value.data_ptr() in self._inputs


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _constants(value: Any) -> Iterator[Tensor]:
    """Constants among the arguments; a quantized layer packs its weight and its bias into an object of its own."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, torch.ScriptObject):
        for unpack in (torch.ops.quantized.linear_unpack, torch.ops.quantized.conv2d_unpack):
            try:
                yield from (part for part in unpack(value) if part is not None)
                return
            except RuntimeError:  # it is of the other kind
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
