"""Weights of other classes, frozen modules and augmented pictures, from the recipe of the page to a run's files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import mobilenet_v2

import pipeline
from pipeline.errors import UsageError
from pipeline.recipe.loading import load_recipe
from tests.picture_folders import two_classes
from tests.reporters import Lines

DOCS = Path(__file__).parents[2] / "docs"
# Batch norms learn from batches, so that frozen ones would show it.
UNFREEZE = 'train.unfreeze_after={"features.18"=1, "features.17.conv.1"=2}'
SMALL = ('data.folder="pictures"', "data.size=[32,32]", "train.batch_size=8", "train.epochs=3", UNFREEZE)


def block(page: str, title: str) -> str:
    """The recipe of a page that begins with a title."""
    text = (DOCS / page).read_text(encoding="utf-8")
    parts: list[str] = re.findall(r"^```toml(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return next(part for part in parts if title in part)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe of the page beside photographs of two classes, and weights of a thousand classes."""
    text = block("own-model.md", " transfer.toml\n").removeprefix(" transfer.toml\n")
    (tmp_path / "transfer.toml").write_text(text.replace("torchvision:MobileNet_V2_Weights.IMAGENET1K_V1", "w.pth", 1))
    two_classes(tmp_path)
    torch.manual_seed(0)
    torch.save(mobilenet_v2().state_dict(), tmp_path / "w.pth")
    return tmp_path / "transfer.toml"


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """First two parts of the names of those tensors that are other ones."""
    return {
        ".".join(key.split(".")[:2])
        for key, value in after.items()
        if value.shape != before[key].shape or not torch.equal(value, before[key])
    }


def test_only_what_is_not_frozen_changes(recipe: Path) -> None:
    told, folder = Lines(), recipe.parent / "run"
    overrides = (*SMALL, 'train.unfreeze_after={"features.18"=1, "features.17.conv.1"=2}')
    result = pipeline.train(recipe, run_dir=folder, overrides=overrides, reporter=told)
    assert (
        "train: weights w.pth: classifier.1 is made anew (2,562 values), and the other 312 tensors are the file's"
        in (told.said)
    )
    before = torch.load(recipe.parent / "w.pth", weights_only=True)
    after = load_file(result.weights)
    assert changed(before, after) == {"classifier.1", "features.17", "features.18"}
    inside = {key for key in after if key.startswith("features.17.") and not torch.equal(after[key], before[key])}
    assert {key.rpartition(".")[0] for key in inside} == {"features.17.conv.1.0", "features.17.conv.1.1"}


def test_the_same_recipe_gives_the_same_weights_with_all_kinds_of_augmentation(recipe: Path) -> None:
    text = block("pictures.md", "[train.augmentation]").strip()
    augmented = recipe.read_text().replace("[train]\n", f"{text.partition('[train.augmentation]')[0]}\n")
    recipe.write_text(f"{augmented}\n[train.augmentation]\n{text.partition('[train.augmentation]')[2]}mixup = 0.2\n")
    runs = [recipe.parent / name for name in ("one", "two")]
    overrides = (*SMALL, "train.epochs=1", "train.unfreeze_after={}")
    files = [pipeline.train(recipe, run_dir=run, overrides=overrides).weights for run in runs]
    assert files[0].read_bytes() == files[1].read_bytes()
    sheets = [(run / "train" / "augmentation.png").read_bytes() for run in runs]
    assert sheets[0] == sheets[1]
    assert sheets[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (('train.freeze=["feature"]',), "train.freeze: expected names .* found feature; did you mean features"),
        (("train.unfreeze_after={head=1}",), "train.unfreeze_after: expected names of modules .* found head"),
        (
            ('train.freeze=["features", "classifier"]', "train.unfreeze_after={}"),
            r"train.freeze: expected classifier.1 to be trained, because model.head = .replace. makes it anew",
        ),
        (("model.head=keep",), r"of another shape: classifier.1.weight .* or set model.head = .replace."),
    ],
)
def test_what_a_recipe_gets_wrong(recipe: Path, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises((UsageError, pipeline.DataError), match=said):
        pipeline.train(recipe, run_dir=recipe.parent / "run", overrides=(*SMALL, *overrides))


def test_the_recipes_of_the_pages_are_ones(tmp_path: Path) -> None:
    for page, title in (("own-model.md", " transfer.toml\n"), ("own-model.md", " ensemble.toml\n")):
        path = tmp_path / title.strip()
        path.write_text(block(page, title).removeprefix(title))
        load_recipe(path)


@pytest.mark.slow
def test_fine_tuning_reaches_what_training_froze(recipe: Path) -> None:
    passes = '{ kind = "channel-pruning", keep = 0.75 }, { kind = "fine-tune", epochs = 1, batch_size = 8 }'
    overrides = (
        *SMALL,
        "train.unfreeze_after={}",
        f'candidates.variants=[{{ name = "slim", passes = [{passes}] }}]',
        'candidates.formats=["onnx"]',
        "measure.rounds=6",
        "measure.block_ms=5",
        "verify.samples=32",
        "verify.batch_sizes=[1, 2]",
        "smoke.pictures=2",
    )
    folder = recipe.parent
    built = pipeline.build(recipe, run_dir=folder / "run", model_store=folder / "store", overrides=overrides)
    whole = load_file(built.run_dir / "train" / "weights.safetensors")
    tuned = load_file(next((built.run_dir / "candidates").glob("slim.*/*.safetensors")))
    for key in ("features.1.conv.0.0.weight", "features.1.conv.0.1.running_mean"):
        # Pruning alone leaves the numbers of those channels that stay.
        assert not set(tuned[key].flatten().tolist()) <= set(whole[key].flatten().tolist()), key
