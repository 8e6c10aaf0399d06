"""`pipeline.capture`: it writes what modules inside the trained network give for an input, as arrays and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.finished import change_since, require_unaltered
from pipeline.commands.output_file import require_own_file
from pipeline.commands.preflight import resolve, run_folder
from pipeline.engine.artifacts import Kind
from pipeline.engine.manifest import read_manifest, write_atomically
from pipeline.engine.places import no_room, os_error_text
from pipeline.engine.user_code import user_modules
from pipeline.errors import DataError, FileError, UsageError
from pipeline.recipe.loading import DEFAULT_RECIPE
from pipeline.recipe.recipe import Recipe
from pipeline.stages import TRAINING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline._handlers.decode import InputSpec

DEFAULT_OUT = Path("capture.npz")
_ENDINGS = (".npz", ".safetensors")
# What is a folder, a table or arrays by its ending; every other file is a picture.
_DATA = (".csv", ".tsv", ".parquet", ".pq", ".npy", ".npz", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class CaptureResult:
    """What was captured.

    Args:
        file: file of the arrays.
        pictures: a picture for each array, of the first example.
        shapes: shape of each array, by name.
    """

    file: Path
    pictures: tuple[Path, ...]
    shapes: Mapping[str, tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "file": str(self.file),
            "pictures": [str(path) for path in self.pictures],
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }


def capture(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    modules: Sequence[str],
    file: Path | str,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
    examples: int = 1,
    out: Path | str = DEFAULT_OUT,
) -> CaptureResult:
    """Run the trained float network once, and write what some of its modules give.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe; its training is finished.
        modules: names of modules of the network, as PyTorch's `named_modules` has them.
        file: input: a picture, a folder of pictures, a CSV or TSV file, or arrays (.npy, .npz, .safetensors) such as a
            split of a build.
        run_dir: run directory of the training; `runs/<recipe>` by default.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        examples: number of examples of the input that are taken, from the first on.
        out: file of the arrays, .npz or .safetensors; pictures are written beside it.

    Returns:
        The files, and the shape of each array.

    Raises:
        UsageError: there is no such module, the network takes no such input, or the output is no file of its own.
        DataError: the input does not hold what it should.
        FileError: the network is not trained, the input cannot be read, or the output cannot be written.
    """
    import torch

    from pipeline.data.dataset import read_info
    from pipeline.models.capture import capture_activations
    from pipeline.models.load import load_model_spec
    from pipeline.models.weights import load_network

    source, target = Path(file), Path(out)
    if target.suffix not in _ENDINGS:
        raise UsageError(f"--out {target}: expected a file ending in {' or '.join(_ENDINGS)}, found {target.suffix!r}")
    if not modules:
        raise UsageError("--module: expected the name of a module of the network, found none; give one or more")
    require_own_file(target, {"the input": source})
    loaded = resolve(recipe, overrides)
    folder = run_folder(loaded, run_dir)
    with user_modules(loaded.folder), torch.random.fork_rng(devices=[]):
        data, weights = _trained(loaded, folder)
        spec = load_model_spec(loaded.model, loaded.folder, read_info(data))
        network = load_network(spec, weights)
        arrays = capture_activations(spec, network, modules, _inputs(source, spec.inputs, examples))
    pictures = _write(target, arrays, source)
    return CaptureResult(file=target, pictures=pictures, shapes={name: array.shape for name, array in arrays.items()})


def _trained(recipe: Recipe, folder: Path) -> tuple[Path, Path]:
    """Return the files of the data's facts and of the weights, where the training is finished and of this recipe."""
    manifest = read_manifest(folder)
    problems = ["none"] if manifest is None else [change_since(stage, recipe, manifest) for stage in TRAINING]
    problem = next(filter(None, problems), "")
    if manifest is None or problem:
        raise FileError(f"{folder}: expected a finished training of this recipe, found {problem}; run pipeline train")
    return require_unaltered(folder, manifest, Kind.DATA_INFO), require_unaltered(folder, manifest, Kind.WEIGHTS)


def _inputs(file: Path, inputs: Sequence[InputSpec], examples: int) -> dict[str, NDArray[Any]]:
    """Read the first examples of a file, (N, *shape) by input."""
    import numpy as np

    from pipeline._handlers.bad_request import BadRequest
    from pipeline.scoring.examples import reader_of
    from pipeline.scoring.opening import open_source

    if file.is_file() and file.suffix.lower() not in _DATA:
        if len(inputs) != 1 or inputs[0].decoding is None:
            raise UsageError(f"--input {file}: expected arrays, because this network takes no picture files")
        job: Mapping[str, Any] = {"kind": "files", "root": str(file.parent)}
        documents: list[Mapping[str, Any]] = [{"files": [file.name]}]
    else:
        source = open_source(file, inputs)
        job = source.job
        documents = [request.document for request in islice(source.requests(size=examples), 1)]
    read = reader_of(job, inputs)
    instances = []
    for name, example in (pair for document in documents for pair in read(document)):
        if isinstance(example, BadRequest):
            raise DataError(f"--input {file}: {name}: {example}")
        instances.append(example)
    if not instances:
        raise DataError(f"--input {file}: expected at least one example, found none")
    try:
        return {each.name: np.stack([instance[each.name] for instance in instances]) for each in inputs}
    except ValueError as error:
        raise UsageError(f"--input {file}: expected examples of one size, found several; take --examples 1") from error


def _write(file: Path, arrays: Mapping[str, NDArray[Any]], source: Path) -> tuple[Path, ...]:
    """Write the arrays, and a picture of the first example of each; return the paths of the pictures.

    Raises:
        UsageError: a picture would be written over the input.
        FileError: there is no room, or the place may not be written to.
    """
    from pipeline.pages.activations import draw_activation

    pictures = {}
    for name, array in arrays.items():
        ending = "" if len(arrays) == 1 else f"-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"
        first = array[0] if array.ndim else array
        place = file.with_name(f"{file.stem}{ending}.png")
        require_own_file(place, {"the input": source, "a picture of the input": source / place.name})
        pictures[place] = draw_activation(first, title=name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, _packed(file, arrays))
        for path, picture in pictures.items():
            write_atomically(path, picture)
    except OSError as error:
        message = f"{file}: expected to write the arrays there, found: {os_error_text(error)}"
        raise FileError(no_room(error, file.parent) or message) from error
    return tuple(pictures)


def _packed(file: Path, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    if file.suffix == ".safetensors":
        from safetensors.numpy import save

        return save(dict(arrays))
    import io
    import zipfile

    import numpy as np

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # as `np.savez`, for which no array may be called `file`
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return content.getvalue()
