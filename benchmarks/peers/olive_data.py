"""How Olive reads our splits: a script that it imports by path; the names are those it looks up."""

from __future__ import annotations

from typing import Any

import torch
from olive.data.registry import Registry
from safetensors.numpy import load_file


class _Examples(torch.utils.data.Dataset[tuple[dict[str, torch.Tensor], torch.Tensor]]):
    def __init__(self, file: str, input_name: str, count: int | None) -> None:
        arrays = load_file(file)
        self._name = input_name
        self._images = torch.from_numpy(arrays[f"input.{input_name}"][:count])
        self._labels = torch.from_numpy(arrays["labels"][:count])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return {self._name: self._images[index]}, self._labels[index]


@Registry.register_dataset("pipeline_examples")  # type: ignore[untyped-decorator]
def examples(file: str, input_name: str, count: int | None, **_others: Any) -> _Examples:
    """Return the first examples of a split, or all; Olive adds arguments of its own."""
    return _Examples(file, input_name, count)


@Registry.register_post_process("pipeline_most_likely")  # type: ignore[untyped-decorator]
def most_likely(logits_BK: torch.Tensor) -> torch.Tensor:
    """Return the class (B,) that the accuracy is counted on."""
    return logits_BK.argmax(dim=-1)
