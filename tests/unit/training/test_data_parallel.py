"""What several processes cannot train; what they learn is in `tests/integration/test_several_processes.py`."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.training.data_parallel import DataParallel
from pipeline.training.processes import Processes


def test_a_scripted_part_is_named() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.BatchNorm1d(2))
    model = nn.Sequential(nn.Linear(2, 2), scripted)
    with pytest.raises(UsageError, match=r"^model\.factory: .* found 1 as TorchScript, whose batch norms see "):
        DataParallel(model, Processes(count=2), device=torch.device("cpu"))
    DataParallel(model[:1], Processes(count=2), device=torch.device("cpu"))
