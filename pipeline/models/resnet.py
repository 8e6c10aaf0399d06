"""The ResNet-18 of torchvision, for pictures of any number of channels."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet18


def build_resnet18(*, channels: int, classes: int) -> nn.Module:
    """Build a freshly initialised network; for 3 channels and 1000 classes it is torchvision's own.

    He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv:1512.03385.

    Args:
        channels: number of channels of the picture.
        classes: number of classes K; the network has 11,175,370 parameters for 10 classes and 1 channel.
    """
    network: nn.Module = resnet18(num_classes=classes)
    if channels != 3:
        stem = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
        network.set_submodule("conv1", stem)
    return network
