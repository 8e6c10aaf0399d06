"""A network of two convolutions and two or three linear layers for 1x28x28 pictures.

Letters in names: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

IMAGE_SHAPE = (1, 28, 28)
_FLAT = 64 * 7 * 7


class FashionCNN(nn.Module):
    """Convolution 3x3 1->32 and 32->64, each with ReLU and 2x2 max pooling; linear 3136->512, ReLU, 512->K.

    Args:
        classes: number of classes K; the network has 1,630,090 parameters for 10.
        wide: whether one more linear layer of 256 stands between the two; 1,758,858 parameters for 10 classes.
        dropout: probability in front of each linear layer, while training.
    """

    def __init__(self, *, classes: int = 10, wide: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        layers: list[nn.Module] = []
        for before, after in pairwise([_FLAT, 512, 256] if wide else [_FLAT, 512]):
            layers += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
        self.classifier = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(256 if wide else 512, classes))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Map (B, 1, 28, 28) float32 to logits (B, K)."""
        features_BCHW: Tensor = self.features(images_BCHW)
        logits_BK: Tensor = self.classifier(features_BCHW.flatten(1))
        return logits_BK
