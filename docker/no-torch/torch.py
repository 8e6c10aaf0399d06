"""Stands in for torch in the image that serves ONNX archives only.

TorchServe 0.12 imports torch in every worker for one question: is this value of an answer a tensor? Our
handler answers with bytes, so it never is. Without this file the image would carry several GB for that line.
It can go when TorchServe asks lazily, which it will not (archived upstream), or when another server is used.
"""

from __future__ import annotations

from typing import NoReturn


class Tensor:
    """No value is an instance of it."""


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):  # because the import system itself asks for these
        raise AttributeError(name)
    raise ImportError(
        f"torch.{name}: this image serves ONNX archives only; for TorchScript build it with --build-arg RUNTIME=torch"
    )
