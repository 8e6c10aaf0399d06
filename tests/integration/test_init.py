"""`pipeline init` writes recipes that build: from options, and from what somebody types at a terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pipeline
from pipeline.commands.init import FILES
from pipeline.recipe.loading import load_recipe
from tests.command_line import run_here
from tests.example_build import QUICK
from tests.terminals import END, run_in_terminal

MODULE = """
from torch import nn

def table():
    return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 1))

def pictures():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )

def broken():
    raise RuntimeError("no network today")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a module, its weights, pictures of two classes, and a table."""
    (tmp_path / "mine.py").write_text(MODULE)
    draw = np.random.default_rng(0)
    for name, colour in (("green", (40, 200, 40)), ("red", (200, 40, 40))):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(np.array(colour) + draw.normal(0, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pics" / name / f"{number}.png")
    rows = [
        f"{area},{rooms},{'flat' if rooms < 4 else 'house'},{3 * area + 20 * rooms}"
        for area in range(30, 90)
        for rooms in range(1, 6)
    ]
    (tmp_path / "houses.csv").write_text("\n".join(["area,rooms,kind,price", *rows]) + "\n")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    return tmp_path


def written(project: Path, *options: str) -> Path:
    done = run_here("init", ".", *options, cwd=project)
    assert (done.returncode, done.stdout) == (0, "recipe.toml\n"), done.stderr
    return project / "recipe.toml"


def build(project: Path, *overrides: str) -> pipeline.BuildResult:
    quick = [override for override in QUICK if not override.startswith("train.")]
    return pipeline.build(
        project / "recipe.toml",
        run_dir=project / "run",
        model_store=project / "store",
        overrides=[*quick, *overrides],
    )


TABLE = ("--model", "mine:table", "--table", "houses.csv", "--target", "price", "--epochs", "1", "--budget", "20")
PICTURES = ("--model", "mine:pictures", "--weights", "w.pth", "--data", "pics", "--preprocessing", "0-1")
PUBLISHED = ("--from-torchvision", "squeezenet1_1", "--weights", "none", "--data", "pics", "--size", "32x32")


def test_a_recipe_for_a_table_and_a_network_of_ones_own_trains(project: Path) -> None:
    recipe = load_recipe(written(project, *TABLE))
    assert recipe.model.factory == "mine:table"
    assert recipe.data.targets == ("price",)
    assert recipe.task.model_dump()["tolerance"] == (30.0,)
    assert recipe.budget.max_accuracy_drop == 0.2
    trained = pipeline.train(project / "recipe.toml", run_dir=project / "run")
    assert trained.weights.is_file()


def test_a_recipe_for_pictures_and_weights_of_ones_own_takes_them(project: Path) -> None:
    recipe = load_recipe(written(project, *PICTURES))
    assert (recipe.model.weights, recipe.train.epochs) == ("w.pth", 0)
    assert recipe.data.size == (16, 16)
    # 16 examples of validation: one flip of a confident answer is a sixteenth, and no smaller loss can be proven.
    assert recipe.budget.max_confident_flips > 0.05
    assert recipe.budget.max_accuracy_drop > 0.1
    assert "validation examples prove no loss below" in (project / "recipe.toml").read_text()
    pipeline.train(project / "recipe.toml", run_dir=project / "run")


@pytest.mark.slow
def test_a_recipe_from_a_published_network(project: Path) -> None:
    recipe = load_recipe(written(project, *PUBLISHED, "--epochs", "1"))
    assert (recipe.model.name, recipe.model.weights) == ("torchvision:squeezenet1_1", None)


@pytest.mark.slow
def test_a_recipe_from_a_published_network_with_its_weights(project: Path) -> None:
    """The weights are left to a build: nothing is fetched here."""
    recipe = load_recipe(written(project, "--from-torchvision", "squeezenet1_1", "--data", "pics"))
    assert recipe.model.weights == "torchvision:SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert (recipe.model.head, recipe.train.epochs) == ("replace", 6)
    assert recipe.model.preprocessing is not None
    assert recipe.model.preprocessing.preset == recipe.model.weights


@pytest.mark.slow
@pytest.mark.parametrize("options", [TABLE, PICTURES, (*PUBLISHED, "--epochs", "1")])
def test_what_is_written_builds(project: Path, options: tuple[str, ...]) -> None:
    written(project, *options)
    assert build(project).archive.is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "mine:broken", "--data", "pics"), "factory mine:broken: RuntimeError: no network today"),
        (
            ("--model", "mine:table", "--data", "nowhere"),
            "--data nowhere: expected a folder, a file or module:function",
        ),
        (("--model", "mine:pictures"), "--data: expected your data"),
        (("--model", "mine:pictures", "--weights", "w.pth", "--data", "pics"), "--preprocessing: expected how it sees"),
        (("--data", "houses.csv", "--target", "prise"), "found 'prise'; did you mean price?"),
        (("--data", "pics", "--table", "houses.csv"), "--data, --table: expected one of them"),
        (("--from-torchvision", "resnet19", "--data", "pics"), "found 'resnet19'; did you mean resnet"),
        (("--data", "houses.csv", "--name", "my house"), "recipe: name: String should match pattern"),
        (("--data", "pics", "--example"), "--example: expected no answers beside it"),
        (("--data", "pics", "--file", "recipe.txt"), "--file recipe.txt: expected a name that ends in .toml"),
    ],
)
def test_a_wrong_or_missing_answer_is_one_line(project: Path, options: tuple[str, ...], words: str) -> None:
    done = run_here("init", ".", *options, cwd=project)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert not (project / "recipe.toml").exists()


def test_nothing_is_overwritten(project: Path) -> None:
    (project / "recipe.toml").write_text("mine")
    done = run_here("init", ".", *TABLE, cwd=project)
    assert done.returncode == 2
    assert "recipe.toml: expected no such file, for nothing is overwritten; give another name: --file" in done.stderr
    assert (project / "recipe.toml").read_text() == "mine"


def test_a_person_is_asked_and_asked_again(project: Path) -> None:
    answers = [
        ("worked example of one (example) [own]: ", ""),
        ("Your network", "mine:broken"),
        ("Your network", "mine:pictures"),
        ("Its weights", "w.pth"),
        ("Your data", "pics"),
        ("How it sees pixels", "0-1"),
        ("Height and width of its input, in pixels [16x16]: ", ""),
        ("RGB or L [RGB]: ", ""),
        ("Epochs of training [0]: ", ""),
        ("What a smaller network may lose, in points", "30"),
    ]
    seen = run_in_terminal(["init", "."], cwd=project, answers=answers)
    text = " ".join(seen.screen.text.split())
    assert seen.code == 0, seen.screen.text
    assert "factory mine:broken: RuntimeError: no network today" in text
    assert "Sequential: 146 parameters" in text
    assert "80 pictures of 2 classes: green 40, red 40" in text
    assert "it answers two examples with float32 (2, 2), which suggests 2 classes" in text
    assert seen.screen.text.splitlines()[-1] == "Written, and checked: pipeline build recipe.toml"
    assert load_recipe(project / "recipe.toml").budget.max_accuracy_drop == 0.3


@pytest.mark.slow
def test_what_does_not_fit_together_is_asked_again_from_the_beginning(project: Path) -> None:
    """The table's network has one output, and the pictures two classes."""
    answers = [
        ("Your network", "mine:table"),
        ("Its weights", ""),
        ("Height and width", ""),
        ("RGB or L", ""),
        ("Epochs", "1"),
        ("Your network", "mine:pictures"),
        ("Its weights: a file, or none to train it from the start [none]: ", ""),
        ("DataSet [pics]: ", ""),
        ("Height and width", ""),
        ("RGB or L", ""),
        ("Epochs of training [1]: ", ""),
        ("What a smaller", ""),
    ]
    seen = run_in_terminal(["init", ".", "--data", "pics"], cwd=project, answers=answers)
    assert seen.code == 0, seen.screen.text
    assert "Once more; Enter keeps an answer." in seen.screen.text
    assert load_recipe(project / "recipe.toml").model.factory == "mine:pictures"


def test_the_worked_example_at_a_terminal_and_the_end_of_the_input(tmp_path: Path) -> None:
    seen = run_in_terminal(["init", "new"], cwd=tmp_path, answers=[("[own]: ", "example")])
    assert seen.code == 0, seen.screen.text
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES)
    seen = run_in_terminal(["init", "second", "--example"], cwd=tmp_path)
    assert seen.screen.text.splitlines()[0] == "second/recipe.toml"
    ended = run_in_terminal(["init", "other"], cwd=tmp_path, answers=[("[own]: ", ""), ("Your network", END)])
    assert ended.code == 2
    assert "error: init: expected an answer, found the end of the input; nothing was written" in ended.screen.text
    stopped = run_in_terminal(["init", "other"], cwd=tmp_path, interrupt_at=lambda raw: "[own]: " in raw)
    assert stopped.code == 130
    assert stopped.screen.text.splitlines()[-1] == "error: interrupted"
    assert not (tmp_path / "other").exists()
