"""RandAugment's operations, held against torchvision's own."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from pipeline.training.rand_augment import OPERATIONS, STRONGEST, Operation, operate, rand_augment

# The same operations by torchvision's names.
NAMES: dict[Operation, str] = {
    "identity": "Identity",
    "shear-x": "ShearX",
    "shear-y": "ShearY",
    "translate-x": "TranslateX",
    "translate-y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "colour": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "auto-contrast": "AutoContrast",
    "equalize": "Equalize",
}
PICTURES = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_operations_are_torchvisions() -> None:
    assert set(NAMES.values()) == set(v2.RandAugment._AUGMENTATION_SPACE)
    assert set(NAMES) == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_operation_does_what_torchvisions_does(operation: Operation, channels: int) -> None:
    reference, name, pictures = v2.RandAugment(), NAMES[operation], PICTURES[:, :channels]
    magnitudes, signed = reference._AUGMENTATION_SPACE[name]
    strengths = magnitudes(STRONGEST + 1, 20, 30)
    for magnitude in (0, 9, STRONGEST):
        for sign in (1, -1) if signed else (1,):
            strength = 0.0 if strengths is None else sign * float(strengths[magnitude])
            expected = reference._apply_image_or_video_transform(
                pictures, name, strength, interpolation=reference.interpolation, fill=reference._fill
            )
            result = operate(pictures, operation, magnitude=magnitude, sign=sign)
            assert (result.int() - expected.int()).abs().max() <= 1


def test_pictures_of_a_batch_get_operations_of_their_own() -> None:
    same = PICTURES[:1].repeat(200, 1, 1, 1)
    changed = rand_augment(same, operations=1, magnitude=20, generator=torch.Generator().manual_seed(1))
    looks = {tuple(picture.flatten().tolist()) for picture in changed}
    assert len(looks) > 15, "14 operations, many of them in two directions"
    assert torch.equal(same, PICTURES[:1].repeat(200, 1, 1, 1)), "the pictures themselves stay"
