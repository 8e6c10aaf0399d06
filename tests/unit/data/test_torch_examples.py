"""What a torch data set gives for an index becomes arrays of few dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.data.torch_examples import digest_of, read_example
from pipeline.errors import DataError

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
COLOUR = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (Image.fromarray(GREY), "uint8", (1, 2, 3)),
        (Image.fromarray(COLOUR), "uint8", (3, 2, 3)),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), "uint8", (3, 2, 2)),
        (torch.zeros(3, 2, 2), "float32", (3, 2, 2)),
        (torch.zeros(4, dtype=torch.float64), "float32", (4,)),
        (torch.zeros(4, dtype=torch.bfloat16), "float32", (4,)),
        (torch.zeros(4, dtype=torch.int32), "int64", (4,)),
        (np.zeros(4, dtype=np.uint16), "int64", (4,)),
        ([1.0, 2.0], "float32", (2,)),
        (3.5, "float32", ()),
    ],
)
def test_an_input_has_one_of_three_dtypes(value: Any, dtype: str, shape: tuple[int, ...]) -> None:
    example = read_example((value, 1), "example 0")
    [(name, array)] = example.inputs.items()
    assert (array.dtype.name, array.shape) == (dtype, shape)
    assert name == ("image" if isinstance(value, Image.Image) else "input")
    assert example.target == 1


def test_pixels_stay_as_they_are() -> None:
    grey, colour = (read_example(Image.fromarray(pixels), "example 0") for pixels in (GREY, COLOUR))
    np.testing.assert_array_equal(grey.inputs["image"], GREY[np.newaxis])
    np.testing.assert_array_equal(colour.inputs["image"], COLOUR.transpose(2, 0, 1))
    assert (grey.pictures, colour.pictures) == ({"image": "L"}, {"image": "RGB"})


@pytest.mark.parametrize("item", [(torch.zeros(2),), torch.zeros(2), (torch.zeros(2), None), [torch.zeros(2), None]])
def test_an_example_may_have_no_target(item: object) -> None:
    assert read_example(item, "example 0").target is None


def test_inputs_may_have_names() -> None:
    item = {"ids": torch.tensor([1, 2]), "mask": torch.tensor([1.0, 0.0])}, torch.tensor([0, 1, 1])
    example = read_example(item, "example 0")
    assert {name: array.dtype.name for name, array in example.inputs.items()} == {"ids": "int64", "mask": "float32"}
    assert example.in_words() == "ids int64 (2,), mask float32 (2,) and a target of shape (3,)"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((1.0, 2, 3), r"example 7: expected \(input, target\), found 3 values"),
        (("text", 1), "example 7, input input: expected a tensor, an array or a PIL picture, found str"),
        ((torch.zeros(2, dtype=torch.bool), 1), "expected numbers, found bool; give uint8, int64 or float32"),
        ((torch.zeros(2, dtype=torch.complex64), 1), "expected numbers, found complex64"),
        ((Image.fromarray(COLOUR).convert("RGBA"), 1), r"mode L or RGB, found RGBA; call \.convert\('RGB'\)"),
        ((torch.zeros(2), "cat"), "example 7: target: expected a class index, a list of numbers or none, found str"),
        ((torch.zeros(2), {"boxes": 1}), "found dict"),
        (({}, 1), "expected an input, found an empty dict"),
    ],
)
def test_what_is_no_example(item: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_example(item, "example 7")


def test_the_digest_is_of_the_inputs_alone() -> None:
    first, second = (digest_of(read_example((torch.ones(3), target), "example 0")) for target in (0, 1))
    assert first == second
    assert digest_of(read_example((torch.ones(3, dtype=torch.int64), 0), "example 0")) != first
