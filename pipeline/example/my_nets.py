"""Your network: any function that returns a torch.nn.Module. The recipe names it as `my_nets:build`."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions with a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        activated: Tensor = self.activation(images + self.inner(images))
        return activated


class DigitNet(nn.Module):
    """A small residual network for 8x8 grey pictures."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, channels, kernel_size=3, padding=1), nn.ReLU())
        self.body = Residual(channels)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(channels * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 1, 8, 8) preprocessed pictures to logits (B, 10)."""
        features: Tensor = self.pool(self.body(self.stem(images)))
        logits: Tensor = self.head(features.flatten(1))
        return logits


def build(channels: int = 32) -> nn.Module:
    """The network alone, freshly initialised; preprocessing comes from the recipe.

    Args:
        channels: width of the network, from `model.arguments` in the recipe.
    """
    return DigitNet(channels)
