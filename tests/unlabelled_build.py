"""The worked example's network, with its trained weights, on pictures without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pipeline
from pipeline.commands.init import init_project
from tests.example_build import Built
from tests.reporters import Lines

PAGE = (Path(__file__).parents[1] / "docs" / "own-model.md").read_text(encoding="utf-8")
# The data set of the page on data without labels, as it stands there.
PHOTOS = PAGE.partition("cat > my-model/photos.py <<'EOF'\n")[2].partition("EOF\n")[0]
RECIPE = """
name = "photos"
[model]
factory = "my_nets:build"
weights = "WEIGHTS"
preprocessing = { scale = 0.00392156862745098, mean = [0.3], std = [0.37] }
[data]
factory = "photos:load"
[train]
epochs = 0
[budget]
max_accuracy_drop = 0.1
max_confident_flips = 0.05
[verify]
samples = 32
batch_sizes = [1, 7]
[measure]
rounds = 6
block_ms = 5
[smoke]
pictures = 20
"""


@dataclass(frozen=True, kw_only=True)
class Unlabelled:
    """A finished build on data without labels.

    Args:
        recipe: its TOML file.
        run_dir: its run directory.
        result: what `pipeline.build` returned.
        said: what was logged.
    """

    recipe: Path
    run_dir: Path
    result: pipeline.BuildResult
    said: tuple[str, ...]

    @property
    def float_model(self) -> Path:
        """File of the float network."""
        return self.run_dir / "candidates" / "float.onnx.fp32" / "model.onnx"


def write_unlabelled(folder: Path, built: Built, *, more: str) -> Path:
    """Write recipe and data set of pictures without labels, and return the recipe's path.

    Args:
        folder: folder to write into.
        built: build that trained the network.
        more: further sections of the recipe.
    """
    recipe = folder / "photos" / "recipe.toml"
    init_project(recipe.parent)
    (recipe.parent / "photos.py").write_text(PHOTOS)
    weights = built.run_dir / "train" / "weights.safetensors"
    recipe.write_text(RECIPE.replace("WEIGHTS", str(weights)) + more)
    return recipe


def build_unlabelled(folder: Path, built: Built, *, more: str) -> Unlabelled:
    """Build a network on pictures without labels; the arguments are as for `write_unlabelled`."""
    recipe, said = write_unlabelled(folder, built, more=more), Lines()
    result = pipeline.build(recipe, run_dir=folder / "run", model_store=folder / "store", reporter=said)
    return Unlabelled(recipe=recipe, run_dir=folder / "run", result=result, said=tuple(said.said))
