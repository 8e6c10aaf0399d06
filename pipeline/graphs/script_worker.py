"""Record what a TorchScript file computes for one example: `python -m pipeline.graphs.script_worker JOB.json`.

It runs as a program in a confined process. `pipeline.graphs.script_layers` writes the job and reads what it recorded.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_INPUT = "input."
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is deprecated since torch 2.11
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    stored = {name.removeprefix(_INPUT): array for name, array in load_file(data).items() if name.startswith(_INPUT)}
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    if set(names) != set(stored):
        if len(names) != 1 or len(stored) != 1:
            raise ValueError(f"expected the inputs {', '.join(names)}, found {', '.join(stored)}")
        names = list(stored)
    examples = [stored[name][:1].clone() for name in names]
    recorder = _Recorder(examples)
    with torch.inference_mode(mode=False), torch.no_grad(), recorder:
        module(*examples)
    return recorder.steps


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that records operators that take what was computed of the inputs, with the constants beside that."""

    def __init__(self, examples: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[dict[str, Any]] = []
        # They are kept, so that no other tensor gets their numbers.
        self._computed = {id(example): example for example in examples}

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [*_flat(args), *_flat(tuple((kwargs or {}).values()))]
        constants = [tensor for value in given if id(value) not in self._computed for tensor in _constants(value)]
        result = operator(*args, **(kwargs or {}))
        outputs = [value for value in _flat((result,)) if isinstance(value, Tensor)]
        if outputs and any(id(value) in self._computed for value in given):
            self._computed |= {id(output): output for output in outputs}
            name = operator.overloadpacket.__name__.rstrip("_")
            if name not in _IDENTITIES:
                self.steps.append(
                    {
                        "operator": name,
                        "shape": list(outputs[0].shape),
                        "dtype": str(outputs[0].dtype).removeprefix("torch."),
                        "constants": [
                            {"shape": list(constant.shape), "dtype": str(constant.dtype).removeprefix("torch.")}
                            for constant in constants
                        ],
                    }
                )
        return result


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
