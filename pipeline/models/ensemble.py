"""Several networks of one architecture as one network, whose answer is the mean of theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec


class Ensemble(nn.Module):
    """The mean of what several networks of one input answer.

    Of classes it is the mean of their logits, so that the ensemble's probabilities go with the geometric mean of the
    members' (Hansen and Salamon 1990, "Neural Network Ensembles", on averaging; Hinton et al., arXiv:1503.02531).

    Args:
        members: the networks.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.share = 1.0 / len(members)

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, ...) to answers (B, K)."""
        answers = [member(values) * self.share for member in self.members]
        total: Tensor = answers[0]
        for answer in answers[1:]:
            total = total + answer
        return total


class EnsembleOfSeveral(nn.Module):
    """The same for networks of several inputs. `*values` cannot be scripted, so it is a class of its own."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.share = 1.0 / len(members)

    def forward(self, *values: Tensor) -> Tensor:
        """Map (B, ...) of each input to answers (B, K)."""
        answers = [member(*values) * self.share for member in self.members]
        total: Tensor = answers[0]
        for answer in answers[1:]:
            total = total + answer
        return total


def ensemble_spec(member: ModelSpec, *, count: int) -> ModelSpec:
    """The specification of an ensemble.

    Args:
        member: specification of a member.
        count: number of members.

    Raises:
        UsageError: a member answers with something else than one tensor.
    """
    if member.choice or member.task == "outputs":
        several = "model.output" if member.choice else "the task outputs"
        raise UsageError(
            f"model.ensemble: expected a network that answers with one tensor, of which a mean can be taken, found "
            f"{member.name} with {several}; take the mean in a network of your own"
        )
    return replace(member, build=partial(_build, member.build, count=count, several=len(member.inputs) > 1))


def assemble(members: Sequence[nn.Module], spec: ModelSpec) -> nn.Module:
    """Put trained networks together.

    Args:
        members: the networks, on the CPU in evaluation mode.
        spec: specification of a member.
    """
    return (EnsembleOfSeveral if len(spec.inputs) > 1 else Ensemble)(members).eval()


def _build(build: Callable[[], nn.Module], *, count: int, several: bool) -> nn.Module:
    return (EnsembleOfSeveral if several else Ensemble)([build() for _ in range(count)])
