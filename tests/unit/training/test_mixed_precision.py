"""The number format of the forward pass is chosen by name and device, and refused where it means nothing."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.measure import host
from pipeline.recipe.names import MixedPrecision
from pipeline.training import mixed_precision
from pipeline.training.mixed_precision import Precision, choose_precision
from tests.reporters import Lines

CPU = torch.device("cpu")


def chosen(name: MixedPrecision, *, computes: bool = True) -> tuple[Precision, list[str]]:
    said = Lines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixed_precision, "computes_bfloat16", lambda: computes)
        return choose_precision(name, CPU, reporter=said, purpose="train"), said.said


def test_each_name_on_a_processor() -> None:
    assert chosen("off") == (Precision(device=CPU), [])
    assert chosen("bf16") == (Precision(device=CPU, dtype=torch.bfloat16), [])
    precision, said = chosen("bf16", computes=False)
    assert precision.dtype == torch.bfloat16
    assert said[0].startswith("train: this cpu device does not compute in bf16 itself, so that it is slower than")
    assert chosen("auto")[0].dtype == torch.bfloat16
    assert chosen("auto", computes=False) == (
        Precision(device=CPU),
        ["train: mixed precision auto is off on this cpu device"],
    )


def test_fp16_is_refused_on_a_processor_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"train\.mixed_precision fp16: expected a CUDA device, found cpu: processors"):
        chosen("fp16")


def test_auto_asks_this_processor() -> None:
    precision = choose_precision("auto", CPU, reporter=Lines(), purpose="train")
    assert (precision.dtype is not None) == host.computes_bfloat16()
