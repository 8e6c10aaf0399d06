"""The recipe's table of augmentation, and what of it means nothing."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.recipe.loading import load_recipe


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("crop=[0.9, 0.5]", "crop: expected the smaller number first, found 0.9 and 0.5"),
        ("crop=[0.0, 0.5]", "train.augmentation.crop.0: Input should be greater than 0"),
        ("crop_ratio=[0.5, 2.0]", "crop_ratio without crop: expected both or neither; give crop too"),
        ("magnitude=5", "magnitude without rand_augment: expected both or neither; give rand_augment too"),
        ("rotaton=5", r"train.augmentation.rotaton: unknown key; did you mean train.augmentation.rotation\?"),
        ("hue=0.7", "train.augmentation.hue: Input should be less than or equal to 0.5"),
    ],
)
def test_what_means_nothing_is_refused_by_name(override: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("fashion-cnn", [f"train.augmentation.{override}"])


def test_all_of_it_goes_together() -> None:
    augmentation = load_recipe(
        "fashion-cnn",
        [
            "train.augmentation={rotation=5, crop=[0.5, 1], crop_ratio=[1, 1], rand_augment=1, magnitude=3}",
            "train.augmentation.mixup=0.1",
            "train.augmentation.cutmix=1",
        ],
    ).train.augmentation
    assert augmentation.mixing == ("mixup", "cutmix")
    assert augmentation.crop == (0.5, 1.0)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("train.augmentation.cutmix=1", 'task={kind="regression", tolerance=1.0}'),
            "train.augmentation.cutmix: expected none in the task regression, because the right values of two mixed",
        ),
        (('train.freeze=["features"]',), "train.freeze features without model.weights: expected weights, because"),
        (("train.unfreeze_after={features=1}",), "train.freeze features without model.weights"),
        (
            ('model={name="fashion-cnn", weights="w.pt"}', "train.unfreeze_after={features=12}"),
            "unfreeze_after.features = 12: expected fewer than epochs = 12, or it would never be trained",
        ),
        (("model.head=replace",), "head = replace without weights: expected the weights of the other layers"),
        (
            ('model.weights="w.pt"', "model.initialisation=xavier"),
            "initialisation xavier with weights: expected one of them",
        ),
        (
            ('model.weights="w.pt"', "model.head=replace", "train.epochs=0"),
            "model.head = replace with train.epochs = 0: expected training",
        ),
        (
            ('model.weights="w.pt"', 'model.ensemble={weights=["a", "b"]}'),
            "weights with ensemble.weights: expected one of them",
        ),
        (("model.name=torchvision.resnet18",), "torchvision:NAME, timm:NAME, or your own in model.factory"),
    ],
)
def test_networks_that_cannot_be_meant_so(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("fashion-cnn", overrides)


def test_a_new_last_layer_may_be_initialised() -> None:
    recipe = load_recipe(
        "fashion-cnn", ['model.weights="w.pt"', "model.head=replace", "model.initialisation=orthogonal"]
    )
    assert recipe.model.initialisation == "orthogonal"


def test_a_recipe_that_uses_none_of_it_is_written_as_before() -> None:
    written = load_recipe("fashion-cnn").model_dump(mode="json")
    assert not {"augmentation", "freeze", "unfreeze_after"} & written["train"].keys()
    assert not {"head", "initialisation", "ensemble"} & written["model"].keys()
