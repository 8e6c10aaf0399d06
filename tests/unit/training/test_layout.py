"""Pictures lie channels last where the network can take that, else as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.training.examples import Examples
from pipeline.training.layout import set_layout

PICTURES = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)


class Viewed(nn.Module):
    """A network that flattens as most small networks of tutorials do."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 4, 3)
        self.head = nn.Linear(4 * 36, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(self.convolution(pictures).view(-1, 4 * 36))
        return logits


def test_a_network_that_views_its_values_in_one_piece() -> None:
    network = Viewed()
    assert set_layout(network, (PICTURES,)) is torch.contiguous_format
    assert network.training
    assert network.convolution.weight.is_contiguous()
    assert network(PICTURES.contiguous()).shape == (2, 2)


def test_any_other_network() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    assert set_layout(network, (PICTURES,)) is torch.channels_last
    assert not network.training
    assert network.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)


def test_moved_pictures_of_one_channel_are_in_one_piece_too() -> None:
    layout = torch.contiguous_format
    examples = Examples(
        inputs=(torch.rand(4, 1, 8, 8),),
        labels=torch.zeros(4),
        pictures=(True,),
        device=torch.device("cpu"),
        layout=layout,
    )
    network = Viewed(channels=1)
    assert set_layout(network, (PICTURES[:, :1].contiguous(memory_format=torch.channels_last),)) is layout
    for moves in (None, torch.zeros(4, 3, dtype=torch.int64)):
        assert network(*examples.take(torch.arange(4), moves)).shape == (4, 2)
