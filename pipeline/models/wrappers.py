"""Removes the wrappers that training puts around networks: torch.compile, DataParallel, averaging."""

from __future__ import annotations

import sys

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

# The modules of these wrappers take seconds to import. Where such a module is not imported, nothing is wrapped in it.
_LATE = (
    ("torch._dynamo.eval_frame", "OptimizedModule", "_orig_mod"),
    ("torch.distributed.fsdp", "FullyShardedDataParallel", "module"),
)


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside wrappers that compute the same; wrapped parts of it are unwrapped too.

    Keys of its state dict, messages and exported files then name its modules as the user does, and no exporter meets a
    compiled module.

    Args:
        network: network that a user's factory returned; wrapped parts are replaced in place.
    """
    network = _inside(network)
    for module in list(network.modules()):
        if module._compiled_call_impl is not None:  # noqa: SLF001  # what `module.compile()` leaves: a call, no wrapper
            module._compiled_call_impl = None  # noqa: SLF001
        for name, child in module.named_children():
            inner = _inside(child)
            if inner is not child:
                setattr(module, name, unwrapped(inner))
    return network


def _inside(network: nn.Module) -> nn.Module:
    kinds: list[tuple[type[nn.Module], str]] = [
        (kind, "module") for kind in (DataParallel, DistributedDataParallel, AveragedModel)
    ]
    kinds += [(getattr(sys.modules[home], name), inner) for home, name, inner in _LATE if home in sys.modules]
    attribute = next((inner for kind, inner in kinds if isinstance(network, kind)), None)
    if attribute is None:
        return network
    inside: nn.Module = getattr(network, attribute)
    return _inside(inside)
