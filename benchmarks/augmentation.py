"""Times the augmentation of a batch against torchvision, picture by picture, and kornia, where that is installed.

python benchmarks/augmentation.py
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from pipeline.training.transforms import Transforms

_ROUNDS = 5
# Number of pictures, and their height and width.
_BATCHES = ((128, 32), (64, 224))


def _ours(settings: dict[str, Any]) -> Callable[[Tensor], object]:
    transforms = Transforms(**settings)
    return lambda pictures_BCHW: transforms.apply((pictures_BCHW,), (True,))


def _picture_by_picture(transform: Callable[[Tensor], Tensor]) -> Callable[[Tensor], object]:
    return lambda pictures_BCHW: [transform(picture_CHW) for picture_CHW in pictures_BCHW]


def _torchvision(size: int) -> dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]]:
    """Settings of ours, and torchvision's transform of one picture."""
    turn = v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR)
    colours = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    return {
        "turn and crop": (
            {"rotation": 15.0, "crop": (0.5, 1.0)},
            v2.Compose([turn, v2.RandomResizedCrop(size, (0.5, 1.0))]),
        ),
        "colours": (colours, v2.ColorJitter(**colours)),
        "erasing": ({"erasing": 0.5}, v2.RandomErasing(0.5)),
        "RandAugment": ({"rand_augment": 2}, v2.RandAugment(2, 9)),
    }


def _kornia(size: int) -> dict[str, nn.Module]:
    if importlib.util.find_spec("kornia") is None:
        return {}
    augmentation: Any = importlib.import_module("kornia.augmentation")
    return {
        "turn and crop": nn.Sequential(
            augmentation.RandomRotation(15.0, p=1.0),
            augmentation.RandomResizedCrop((size, size), scale=(0.5, 1.0), p=1.0),
        ),
        "colours": augmentation.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0),
        "erasing": augmentation.RandomErasing(p=0.5),
        "RandAugment": augmentation.auto.RandAugment(n=2, m=9),
    }


def _milliseconds(work: Callable[[Tensor], object], pictures_BCHW: Tensor) -> float:
    work(pictures_BCHW)
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.process_time()
        work(pictures_BCHW)
        best = min(best, time.process_time() - started)
    return best * 1e3


def main() -> None:
    """Print a table of milliseconds a batch, each the least processor time of some rounds on one thread."""
    torch.set_num_threads(1)
    print(f"{'batch':>16} {'augmentation':>14} {'ours':>8} {'torchvision':>12} {'kornia':>8}")
    for count, size in _BATCHES:
        pictures_BCHW = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
        kornia = _kornia(size)
        for name, (settings, transform) in _torchvision(size).items():
            own = _milliseconds(_ours(settings), pictures_BCHW)
            single = _milliseconds(_picture_by_picture(transform), pictures_BCHW)
            peer = f"{_milliseconds(kornia[name], pictures_BCHW.float() / 255):8.1f}" if name in kornia else f"{'-':>8}"
            shape = f"{count} x 3 x {size}²"
            print(f"{shape:>16} {name:>14} {own:8.1f} {single:12.1f} {peer}")


if __name__ == "__main__":
    main()
