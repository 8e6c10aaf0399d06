"""What candidates need of training data: tuned weights, made once per network, and examples to calibrate int8 on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.candidates.context import Context
from pipeline.compress.passes import apply_passes
from pipeline.data.dataset import Split, read_split
from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.engine.kept import digest_beside, is_kept, keep_file
from pipeline.engine.source import collect, library_versions
from pipeline.engine.stage import report_status
from pipeline.models.spec import inner_network
from pipeline.models.weights import save_weights
from pipeline.recipe.passes import FineTune, Pass
from pipeline.training.augment import Augmentation
from pipeline.training.distill import Teaching, distill, fine_tuning, read_teacher_logits, write_teacher_logits
from pipeline.training.settings import Session, TrainingData

_KEY_DIGITS = 16
_ROOT = Path(__file__).resolve().parents[2]


def tuned_weights(passes: Sequence[Pass], context: Context, *, name: str) -> Path | None:
    """Return the weights that the fine-tune pass among some passes makes. They are trained now unless they exist.

    The same passes, float weights and training data give the same file, whatever the format and precision of the
    candidate. An interrupted training goes on after its last finished epoch.

    Args:
        passes: passes of one candidate.
        context: what it is made from; the weights stay in its cache.
        name: name of the network, for messages.

    Returns:
        The file; None without a fine-tune pass.

    Raises:
        UsageError: a pass cannot act on this network, or the loss of its training is no longer finite.
    """
    tuning = _tuning(passes)
    if tuning is None:
        return None
    before, fine_tune = tuning
    file = _tuned_file(before, fine_tune, context)
    if is_kept(file, context.reporter.log):
        return file
    folder = file.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    compressed, _ = apply_passes(context.deployable(), before, example=context.example())
    network = inner_network(compressed)
    train, validation = read_split(context.train), read_split(context.validation)
    augmentation = augmentation_of(fine_tune, context)
    teacher_VNK = _teacher(context, train, augmentation)
    distill(
        context.model,
        network,
        data=TrainingData(
            task=context.task,
            train=replace(
                train, labels=train.targets(context.task, teacher_VNK[0].numpy(), activation=context.model.outputs_are)
            ),
            validation=validation if context.decisions is None else replace(validation, labels=context.decisions),
        ),
        teaching=Teaching(
            answers=teacher_VNK,
            temperature=fine_tune.temperature,
            label_weight=fine_tune.label_weight,
            criterion=context.criterion
            or context.task.criterion(activation=context.model.outputs_are, label_smoothing=0.0),
            metric=train.metric(context.task),
        ),
        settings=fine_tuning(
            epochs=fine_tune.epochs,
            batch_size=fine_tune.batch_size,
            learning_rate=fine_tune.learning_rate,
            augmentation=augmentation,
            seed=fine_tune.seed,
            device=context.device,
            mixed_precision=context.mixed_precision,
            sampling=context.sampling,
        ),
        session=Session(scratch=folder, reporter=context.reporter, limit=context.limit, purpose=f"fine-tune {name}"),
    )
    save_weights(folder / file.name, network)
    keep_file(folder / file.name, file)
    shutil.rmtree(folder)
    return file


def forget_others(context: Context, used: Sequence[Sequence[Pass]]) -> None:
    """Remove from the cache the files that no candidate was made from. Unfinished training stays, to be continued.

    Args:
        context: the context whose cache it is. The cache need not exist.
        used: passes of each candidate.
    """
    keep = set()
    for passes in used:
        tuning = _tuning(passes)
        if tuning is not None:
            before, fine_tune = tuning
            keep |= {
                _tuned_file(before, fine_tune, context),
                _teacher_file(context, augmentation_of(fine_tune, context)),
            }
    keep |= {digest_beside(file) for file in keep}
    for file in context.cache.glob("*.safetensors*"):
        if file not in keep:
            file.unlink()


def _tuning(passes: Sequence[Pass]) -> tuple[Sequence[Pass], FineTune] | None:
    """Return the passes before the fine-tune pass among some passes, and that pass; None without one."""
    for place, step in enumerate(passes):
        if isinstance(step, FineTune):
            return passes[:place], step
    return None


def _tuned_file(before: Sequence[Pass], fine_tune: FineTune, context: Context) -> Path:
    """Return the file of the weights that a fine-tune pass makes after some passes."""
    settings = [
        asdict(augmentation_of(fine_tune, context)),
        *(step.model_dump(mode="json") for step in (*before, fine_tune)),
        *([] if context.mixed_precision == "off" else [context.mixed_precision]),
        *([] if context.sampling == "shuffled" else [context.sampling]),
    ]
    return context.cache / f"{_key(context, *settings)}.safetensors"


def _teacher_file(context: Context, augmentation: Augmentation) -> Path:
    return context.cache / f"teacher-{_key(context, asdict(augmentation))}.safetensors"


def augmentation_of(fine_tune: FineTune, context: Context) -> Augmentation:
    """Return how training pictures are moved in a fine-tune pass: as in training, except for what the pass itself sets.

    Args:
        fine_tune: the fine-tune pass.
        context: holds how they are moved in training.
    """
    return context.augmentation if fine_tune.shift is None else replace(context.augmentation, shift=fine_tune.shift)


def training_inputs(context: Context, count: int, *, skip: int = 0) -> Mapping[str, NDArray[Any]]:
    """Return some training inputs, drawn from the whole split. They are the same on every call.

    Args:
        context: the context whose training data they are.
        count: largest number of inputs; at least one.
        skip: number of inputs to leave out: those that a call with this number as `count` returns. Fewer are left out
            where the split is too small.

    Returns:
        Raw inputs (N, *shape) by name.
    """
    split = read_split(context.train)
    skip = min(skip, max(len(split) - count, 0))
    drawn = np.sort(np.random.default_rng(0).permutation(len(split))[skip : skip + count])
    return split.take(drawn).inputs


def _teacher(context: Context, train: Split, augmentation: Augmentation) -> torch.Tensor:
    """Return the float network's answers on copies of the training inputs, (V, N, K). The next network reuses them."""
    file = _teacher_file(context, augmentation)
    if not is_kept(file, context.reporter.log):
        report_status(context.reporter, "step", "fine-tune: the float network answers the training inputs")
        written = file.with_name(f"{file.name}.part")
        write_teacher_logits(
            written,
            context.model,
            context.network(),
            train,
            augmentation=augmentation,
            device=context.device,
        )
        keep_file(written, file)
    return read_teacher_logits(file)


def _key(context: Context, *settings: Any) -> str:
    document = {
        "code": _code(),
        "model": context.model_key,
        "weights": digest_file(context.weights),
        "train": digest_file(context.train),
        "device": context.device,
        "settings": settings,
    }
    return digest_bytes(json.dumps(document, sort_keys=True).encode())[:_KEY_DIGITS]


@lru_cache(maxsize=1)
def _code() -> dict[str, str]:
    """Return digests of the code and versions of the libraries that train. Others may make other weights."""
    digests: dict[str, str] = {}
    for module in (__name__, "pipeline.models.load"):  # the built-in networks are named there
        sources = collect(module, _ROOT, within=("pipeline",))
        digests |= {**sources.files, **library_versions(sources.libraries)}
    return digests
