"""A compiled network learns, repeats itself bit by bit, goes on after a cut, and says in one line what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.training.compiled import Compiled
from tests.tiny_training import Interrupted, same, settings, train

# Torch's compiler itself imports what torch no longer recommends (torch 2.13, torch/utils/mkldnn.py).
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")


@pytest.mark.slow
def test_it_learns_and_goes_on_after_a_cut(tmp_path: Path) -> None:
    training = settings({"learning_rate": 0.1}, epochs=3, batch_size=128, compile=True)
    whole, trained = train(tmp_path / "whole", training)
    for completed in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", training, reporter=Interrupted(completed))
    parts, resumed = train(tmp_path / "parts", training)
    assert same(whole, parts)
    assert trained == resumed
    assert trained.final.score > 0.6
    assert not next(iter(whole.state_dict())).startswith("_orig_mod")


def test_a_fault_of_the_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: torch.nn.Module, **_: Any) -> Any:
        return torch.compile(model, backend=_no_backend)

    def _no_backend(*_: Any) -> Any:
        raise RuntimeError("no compiler here\nand much more")

    compiled = Compiled(torch.nn.Linear(2, 2))
    monkeypatch.setattr(compiled, "model", broken(torch.nn.Linear(2, 2)))
    with pytest.raises(UsageError, match=r"train\.compile: .* found BackendCompilerFailed: .*; leave compile out"):
        compiled(torch.zeros(3, 2))
