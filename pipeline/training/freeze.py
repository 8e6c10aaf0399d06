"""Keep modules of a network as they are while the others are trained, for good or for the first epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pipeline.errors import UsageError
from pipeline.recipe.names import meant


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """The modules that are frozen, by name; a module's parts are frozen and trained with it.

    Args:
        names: modules that are frozen.
        unfreeze_after: number of epochs after which modules are trained, by name. They may be parts of frozen ones, or
            what the network's own code froze.
    """

    names: Sequence[str] = ()
    unfreeze_after: Mapping[str, int] = field(default_factory=dict)

    def check(self, network: nn.Module) -> None:
        """Check the names before anything is trained.

        Raises:
            UsageError: there is no such module, it has no parameters, or what is to be trained later is not frozen.
        """
        modules = dict(network.named_modules())
        for key, names in (("freeze", self.names), ("unfreeze_after", self.unfreeze_after)):
            for name in names:
                if name not in modules or not name:
                    top = ", ".join(child for child, _ in network.named_children())
                    raise UsageError(
                        f"train.{key}: expected names of modules of the network (such as {top}), found {name}"
                        f"{meant(name, [module for module in modules if module])}"
                    )
                if next(modules[name].parameters(), None) is None:
                    raise UsageError(
                        f"train.{key}: expected a module with parameters, found {name} without; leave it out"
                    )
        for name in self.unfreeze_after:
            trained = [
                parameter
                for parameter, value in modules[name].named_parameters()
                if value.requires_grad and not self._covers(f"{name}.{parameter}")
            ]
            if trained:
                raise UsageError(
                    f"train.unfreeze_after.{name}: expected a frozen module, found {name}.{trained[0]} trained from "
                    "the start; add it to train.freeze, or leave it out"
                )

    def require_trained(self, network: nn.Module, name: str, *, why: str) -> None:
        """Check that a module whose values are drawn at random is trained in some epoch.

        Args:
            network: network with that module.
            name: name of the module.
            why: reason for its values, for the message.

        Raises:
            UsageError: it stays frozen.
        """
        parameters = [f"{name}.{parameter}" for parameter, _ in network.get_submodule(name).named_parameters()]
        frozen = [parameter for parameter in parameters if self._covers(parameter) and self._after(parameter) is None]
        if frozen:
            raise UsageError(
                f"train.freeze: expected {name} to be trained, because {why}, found {frozen[0]} frozen at its random "
                "values; leave it out, or add it to train.unfreeze_after"
            )

    def prepare(self, network: nn.Module) -> None:
        """Let those parameters take a gradient that are trained in any epoch, so that an optimizer takes them all."""
        for name, parameter in network.named_parameters():
            if self._after(name) is not None or self._covers(name):
                parameter.requires_grad_(self._after(name) is not None)

    def start_epoch(self, network: nn.Module, epoch: int) -> None:
        """Set what is trained in an epoch. It is called after the network's own `train()`.

        Batch norms of a frozen module use the averages that they have, and do not change them.

        Args:
            network: network in training mode; it is changed in place.
            epoch: number of the epoch, counted from 1.
        """
        if not self.names and not self.unfreeze_after:
            return
        for name, parameter in network.named_parameters():
            after = self._after(name)
            if after is not None or self._covers(name):
                parameter.requires_grad_(after is not None and epoch > after)
        for name, module in network.named_modules():
            if isinstance(module, _NormBase) and self._covers(name):
                after = self._after(name)
                module.train(after is not None and epoch > after)

    def _covers(self, name: str) -> bool:
        """Whether a module or parameter is frozen at the start."""
        return any(f"{name}.".startswith(f"{frozen}.") for frozen in self.names)

    def _after(self, name: str) -> int | None:
        """Number of epochs after which a module or parameter is trained; None where it is not set."""
        parts = [part for part in self.unfreeze_after if f"{name}.".startswith(f"{part}.")]
        return self.unfreeze_after[max(parts, key=len)] if parts else None
