"""A folder of picture files as a data set: found, split, decoded once, and written as splits, never all in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline._handlers.decode import InputSpec, decode_image
from pipeline.data.dataset import SPLITS, DataSet, Split, SplitName, read_split
from pipeline.data.picture_classes import with_classes
from pipeline.data.picture_files import Pictures, find_pictures, walk
from pipeline.data.picture_input import picture_input, resize_stored
from pipeline.data.picture_report import copies, imbalance, require_readable
from pipeline.data.picture_splits import choose_splits, hash_place
from pipeline.data.picture_store import Store, store_pictures
from pipeline.engine.array_files import Shape, create_arrays, pieces
from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.engine.content_digests import content_digests
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError
from pipeline.presets import in_size
from pipeline.recipe.data import Data
from pipeline.recipe.task import TaskSettings
from pipeline.tasks.table import task_of

# Pictures of a pair that show how far one resizing is from two.
_COMPARED = 16


def load_pictures(
    data: Data,
    folder: Path,
    *,
    task: TaskSettings,
    preset: str | None = None,
    scratch: Path,
    cache: Path,
    reporter: Reporter,
) -> DataSet:
    """Return the pictures of a folder as a data set, whose splits lie in files.

    Args:
        data: section of the recipe.
        folder: folder of the recipe.
        task: settings of the task, which say how labels are read.
        preset: a published network that says how pictures are decoded; None where the recipe names none.
        scratch: folder for the files of the splits.
        cache: folder for the decoded pictures.
        reporter: receives what is found, what is left out, and how far the decoding is.

    Raises:
        UsageError: a key is missing.
        DataError: there are no pictures, labels do not fit, or files cannot be decoded.
        FileError: there is no room on the disk.
    """
    assert data.folder is not None
    place, shown = folder / data.folder, f"data.folder {data.folder}"
    spec = picture_input(data, preset)
    pictures = find_pictures(place, data.labels, task, targets=data.targets, shown=shown)
    pictures = with_classes(pictures, data, folder, preset, task=task)
    for remark in pictures.remarks:
        reporter.log(f"data: {remark}")
    by_file, unreadable = content_digests(place, pictures.files)
    contents = {digest: place / file for file, digest in by_file.items()}
    stored_spec = in_size(spec, data.stored_size)
    store = store_pictures(
        contents,
        stored_spec,
        cache=cache,
        workers=data.workers or os.cpu_count() or 1,
        beside=len(pictures.files) * math.prod(spec.shape),
        reporter=reporter,
    )
    unreadable |= {file: store.unreadable[digest] for file, digest in by_file.items() if digest in store.unreadable}
    require_readable(unreadable, place, skip=data.skip_unreadable, reporter=reporter)
    pictures = pictures.take([index for index, file in enumerate(pictures.files) if file not in unreadable])
    digests = [by_file[file] for file in pictures.files]
    shares: dict[SplitName, float] = {"validation": data.validation_share, "test": data.test_share}
    splits = choose_splits(pictures, digests, seed=data.seed, shares=shares, shown=shown, reporter=reporter)
    for line in (*copies(pictures, digests, splits), *imbalance(pictures)):
        reporter.log(f"data: {line}")
    if not pictures.files:
        raise DataError(f"{shown}: expected at least one picture that can be read, found none")
    if stored_spec.shape != spec.shape:
        reporter.log(f"data: {_difference(contents, store, stored_spec, spec)}")
    written: dict[SplitName, Split] = {}
    for name in SPLITS:
        rows = [index for index, split in enumerate(splits) if split == name]
        # A split that is sorted by class would begin with its first class.
        order = sorted(rows, key=lambda index: (hash_place(digests[index], data.seed), pictures.files[index]))
        if not order:
            raise DataError(f"{shown}: expected at least one picture in the {name} split, found none")
        written[name] = _write(scratch / f"{name}.safetensors", order, pictures, digests, store, spec)
    return DataSet(
        name=place.resolve().name,
        classes=pictures.outputs,
        inputs=(spec,),
        sources=folder_digests(data, folder),
        task=task_of(task).name,
        **written,
    )


def folder_digests(data: Data, folder: Path) -> dict[str, str]:
    """Digests of the content of a folder of pictures, and of the files that say what they show.

    Args:
        data: section of the recipe.
        folder: folder of the recipe.

    Returns:
        SHA-256 by name: all pictures together, and each other file.

    Raises:
        DataError, FileError: the folder or a file of labels cannot be read.
    """
    assert data.folder is not None
    place = folder / data.folder
    if not place.is_dir():
        raise DataError(f"data.folder {place}: expected a folder, found none; it is relative to the recipe")
    names, others = walk(place)
    # A file of labels may name files of any ending.
    files = names if data.labels is None else sorted({*names, *others} - {data.labels})
    digests, unreadable = content_digests(place, files)
    lines = [f"{file}\0{digests.get(file, unreadable.get(file))}" for file in files]
    documents = {f"data.folder {data.folder}": digest_bytes("\n".join(lines).encode(errors="surrogateescape"))}
    if data.labels is not None:
        documents[f"data.labels {data.labels}"] = digest_file(place / data.labels)
    if isinstance(data.classes, str):
        documents[f"data.classes {data.classes}"] = digest_file(folder / data.classes)
    return documents


def _write(
    path: Path, order: Sequence[int], pictures: Pictures, digests: Sequence[str], store: Store, spec: InputSpec
) -> Split:
    """Write a split in pieces; what an interrupted run left there is replaced."""
    key = f"input.{spec.name}"
    shapes: dict[str, Shape] = {key: (np.dtype(spec.dtype), (len(order), *spec.shape))}
    targets = None if pictures.targets is None else pictures.targets[np.array(order)]
    if targets is not None:
        shapes["labels"] = (targets.dtype, targets.shape)
    path.unlink(missing_ok=True)
    arrays = create_arrays(path, shapes)
    rows = np.array([store.rows[digests[index]] for index in order])
    for piece in pieces(arrays[key]):
        arrays[key][piece] = resize_stored(store.pictures[rows[piece]], spec)
    if targets is not None:
        arrays["labels"][...] = targets
    del arrays
    return replace(read_split(path), file=path)


def _difference(contents: Mapping[str, Path], store: Store, stored: InputSpec, spec: InputSpec) -> str:
    """Say how far pictures that are resized twice are from those that the server resizes once."""
    rows = {digest: row for digest, row in store.rows.items() if digest not in store.unreadable}
    chosen = sorted(rows)[:_COMPARED]
    once = np.stack([decode_image(contents[digest].read_bytes(), spec) for digest in chosen]).astype(np.int16)
    twice = resize_stored(store.pictures[[rows[digest] for digest in chosen]], spec)
    apart = np.abs(once - twice)
    sizes = " and ".join(f"{height} x {width}" for height, width in (stored.shape[1:], spec.shape[1:]))
    return (
        f"pictures are resized twice, to {sizes}, and the server resizes once: values of {len(chosen)} pictures differ "
        f"by {apart.mean():.2f} of 255 on average, {apart.max()} at most; without data.stored_size they do not"
    )
