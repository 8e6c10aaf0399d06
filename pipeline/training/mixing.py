"""Mix the pictures of a batch and their losses: mixup and cutmix.

A loss is mixed instead of its labels: share * loss(first) + (1 - share) * loss(second). That is the same for the
cross-entropies, which are linear in the label, and it works with a loss of the user's own. torchvision's transforms
make shares of classes instead, which such a loss need not take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Beta

from pipeline.tasks.loss import Loss
from pipeline.training.transforms import boxes


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How each example of a batch was mixed with another one.

    Args:
        partner: place in the batch of the other one, (B,) int64 on the CPU.
        share: share of the example itself; the rest is the other one's.
    """

    partner: Tensor
    share: float


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Whether and how batches are mixed. A batch draws one share, as in torchvision; with both, it draws one way.

    Args:
        mixup: alpha of mixup's Beta distribution (Zhang et al., arXiv:1710.09412); 0 for none.
        cutmix: alpha of cutmix's (Yun et al., arXiv:1905.04899); 0 for none.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def keys(self) -> tuple[Literal["mixup", "cutmix"], ...]:
        """The settings that mix pictures."""
        names: tuple[Literal["mixup", "cutmix"], ...] = ("mixup", "cutmix")
        return tuple(name for name in names if getattr(self, name))

    def apply(self, inputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Mix | None]:
        """Mix a batch with itself, moved on by one place.

        Args:
            inputs: raw pictures (B, C, H, W) of each input.

        Returns:
            The mixed pictures in the same types and memory layouts, and how they were mixed; None if nothing was.
        """
        keys = self.keys
        if not keys:
            return tuple(inputs), None
        key = keys[int(torch.randint(len(keys), ()))] if len(keys) > 1 else keys[0]
        alpha: float = getattr(self, key)
        share = float(Beta(torch.tensor(alpha), torch.tensor(alpha)).sample())
        partner_B = torch.arange(len(inputs[0])).roll(1)
        if key == "mixup":
            return tuple(_mixed(values, share) for values in inputs), Mix(partner=partner_B, share=share)
        centre_2 = torch.rand(2)
        half_2 = torch.full((2,), (1 - share) ** 0.5 / 2)
        box_14 = torch.cat([centre_2 - half_2, centre_2 + half_2]).clamp(0, 1)[None]
        cut = tuple(_pasted(values, box_14) for values in inputs)
        # At the edge a part of the rectangle lies outside, and pixels are whole: what was really put in counts.
        inside = boxes(box_14, inputs[0].shape[-2:]).float().mean()
        return cut, Mix(partner=partner_B, share=1 - float(inside))


def mixed_loss(loss: Loss, mix: Mix | None) -> Loss:
    """The loss of a mixed batch.

    Args:
        loss: loss of a batch that is not mixed.
        mix: how the batch was mixed; None if it was not.
    """
    if mix is None:
        return loss

    def mixed(outputs_BK: Tensor, labels_B: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        partner_B = mix.partner.to(labels_B.device)
        own = loss(outputs_BK, labels_B, indices_B, copy_B)
        others = loss(outputs_BK, labels_B[partner_B], indices_B[partner_B], copy_B)
        return mix.share * own + (1 - mix.share) * others

    return mixed


def main_labels(labels_B: Tensor, mix: Mix | None) -> Tensor:
    """The labels of a batch; of mixed examples those of the one with the larger share, by which scores are counted."""
    return labels_B if mix is None or mix.share >= 0.5 else labels_B[mix.partner.to(labels_B.device)]


def _mixed(pictures_BCHW: Tensor, share: float) -> Tensor:
    values_BCHW = pictures_BCHW.float()
    mixed_BCHW = share * values_BCHW + (1 - share) * values_BCHW.roll(1, dims=0)
    if not pictures_BCHW.is_floating_point():
        mixed_BCHW = mixed_BCHW.round()
    return torch.empty_like(pictures_BCHW).copy_(mixed_BCHW)


def _pasted(pictures_BCHW: Tensor, box_14: Tensor) -> Tensor:
    inside_11HW = boxes(box_14.to(pictures_BCHW.device), pictures_BCHW.shape[-2:])
    return torch.empty_like(pictures_BCHW).copy_(torch.where(inside_11HW, pictures_BCHW.roll(1, dims=0), pictures_BCHW))
