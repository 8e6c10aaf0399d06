"""The training loop of textbooks: a DataLoader in which torchvision transforms one picture after another, and Adam."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from pipeline.data.fashion_mnist_files import ensure
from pipeline.models.fashion import FashionCNN

BATCH_SIZE = 64
_LEARNING_RATE = 1e-3
# Mean and deviation of the training pictures, from 0 to 1.
_MEAN, _STD = 0.2860, 0.3530
_VALIDATION = 10_000

Batches = DataLoader[tuple[Tensor, Tensor]]


def unpack(folder: Path) -> None:
    """Put the four files where torchvision looks for them, and unpack them."""
    raw = folder / FashionMNIST.__name__ / "raw"
    raw.mkdir(parents=True)
    for file in ensure().glob("*.gz"):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))


def load(folder: Path, *, workers: int) -> tuple[Batches, Batches]:
    """Batches to train on, in a new order and mirrored anew in each epoch, and batches to validate on.

    Args:
        folder: folder in which `unpack` has put the files.
        workers: number of processes that read and transform pictures; 0 for none beside this one.
    """
    seen = [transforms.ToTensor(), transforms.Normalize((_MEAN,), (_STD,))]
    mirrored = transforms.Compose([transforms.RandomHorizontalFlip(), *seen])
    order = torch.randperm(60_000, generator=torch.Generator().manual_seed(0)).tolist()
    train = Subset(FashionMNIST(str(folder), train=True, transform=mirrored), order[_VALIDATION:])
    validation = Subset(FashionMNIST(str(folder), train=True, transform=transforms.Compose(seen)), order[:_VALIDATION])
    return (
        DataLoader(train, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers),
        DataLoader(validation, batch_size=BATCH_SIZE, num_workers=workers),
    )


def build() -> nn.Module:
    """The network of the recipe fashion-cnn: 1,630,090 parameters, for pictures (B, 1, 28, 28)."""
    return FashionCNN(dropout=0.25)


def adam(network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer, with its usual learning rate."""
    return torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)


def train_epoch(network: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer) -> Iterator[int]:
    """Pass once over the training pictures; after each step the number of its pictures is given."""
    criterion = nn.CrossEntropyLoss()
    network.train()
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        yield len(labels)


def accuracy(network: nn.Module, batches: Batches) -> float:
    """The share of the pictures that the network names rightly."""
    network.eval()
    right = total = 0
    with torch.no_grad():
        for images, labels in batches:
            right += int((network(images).argmax(dim=1) == labels).sum())
            total += len(labels)
    return right / total
