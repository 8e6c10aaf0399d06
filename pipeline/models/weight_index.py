"""Finds the files that `model.weights` names: one file, the shards of an index, or those in a folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import DataError
from pipeline.models.weight_files import LARGEST_INDEX, some, weights_kind

# Names of the files of weights that Hugging Face's libraries write into a folder.
_USUAL = re.compile(r"(\w+_)?model\.(safetensors|bin)(\.index\.json)?")


@dataclass(frozen=True, kw_only=True)
class WeightFiles:
    """The files that weights come from.

    Args:
        shards: files of tensors, in the order in which they are read.
        index: JSON file that lists the shards, if there is one.
        places: name of the shard in which the index places each tensor, by the tensor's key.
    """

    shards: tuple[Path, ...]
    index: Path | None = None
    places: Mapping[str, str] = field(default_factory=dict)

    def by_name(self, weights: Path) -> dict[str, Path]:
        """Every file that is read, by its path below the path in the recipe; that path itself has an empty name.

        Args:
            weights: path in the recipe.
        """
        files = (*((self.index,) if self.index is not None else ()), *self.shards)
        folder = weights if weights.is_dir() else weights.parent
        return {"" if file == weights else file.relative_to(folder).as_posix(): file for file in files}


def find_weights(path: Path) -> WeightFiles:
    """Find the files of weights behind a path in a recipe.

    Args:
        path: a file of weights, an index of several (`model.safetensors.index.json`), or a folder that holds one of
            these.

    Raises:
        DataError: there is none, several may be meant, a file is of another kind, or an index is not whole.
    """
    try:
        is_folder = path.is_dir()
    except OSError:  # its name is too long; the next check says so
        is_folder = False
    file = _in_folder(path) if is_folder else path
    if weights_kind(file) != "index":
        return WeightFiles(shards=(file,))
    places = _read_index(file)
    names = sorted(set(places.values()))
    strange = [name for name in names if name != Path(name).name or name in ("", "..") or "\0" in name]
    if strange:
        raise DataError(
            f"weights {file}: expected names of files in the same folder, found {some(strange)}; "
            "put the files beside the index, and name them without a folder"
        )
    missing = [name for name in names if not (file.parent / name).is_file()]
    if missing:
        raise DataError(
            f"weights {file}: expected its {len(names)} files in the same folder, found no {some(missing)}; download "
            "or copy all of them"
        )
    shards = tuple(file.parent / name for name in names)
    for shard in shards:
        if weights_kind(shard) == "index":
            raise DataError(f"weights {file}: expected files of tensors in its list, found the index {shard.name}")
    return WeightFiles(shards=shards, index=file, places=places)


def _in_folder(folder: Path) -> Path:
    """The file of weights, or the index, in a folder."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise DataError(f"weights {folder}: expected a folder that can be read, found: {error.strerror}") from error
    usual = [name for name in names if _USUAL.fullmatch(name)]
    likely = usual or [name for name in names if name.endswith((".safetensors", ".index.json"))]
    if len(likely) == 1:
        return folder / likely[0]
    if likely:
        raise DataError(
            f"weights {folder}: expected one file of weights in the folder, found {some(likely)}; name "
            f'one: model.weights = "{folder.name}/{likely[-1]}"'
        )
    if any(name.endswith(".distcp") for name in names):
        raise DataError(
            f"weights {folder}: expected a file of weights, found a distributed checkpoint; make one file of it: "
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pth"
        )
    raise DataError(
        f"weights {folder}: expected a folder with model.safetensors, pytorch_model.bin or an index of several files, "
        f"found {some(names) or 'no file'}; name the file itself"
    )


def _read_index(path: Path) -> dict[str, str]:
    """Name of the file that holds each tensor, by the tensor's key."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if twice := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
            raise DataError(f"weights {path}: expected each tensor once, found twice: {some(twice)}")
        return dict(pairs)

    if path.stat().st_size > LARGEST_INDEX:
        raise DataError(f"weights {path}: expected an index of at most {LARGEST_INDEX:,} bytes, found more")
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"weights {path}: expected a whole index in JSON, found: {error}; download it again") from error
    places = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise DataError(
            f"weights {path}: expected an index with the name of a file for each tensor in weight_map, found "
            f"{'another form' if places else 'none'}; download it again"
        )
    return places
