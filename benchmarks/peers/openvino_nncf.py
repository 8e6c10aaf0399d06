"""OpenVINO as it comes, and what NNCF makes for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.contender import CALIBRATION_EXAMPLES, Contender, Engine, Task

# A pair of images and labels of one batch.
_Batch = tuple[NDArray[Any], NDArray[np.int64]]
_VALIDATION_BATCH = 100


def make(task: Task) -> list[Contender]:
    """Make float in both precisions, weights only, and int8 with and without a hold on accuracy."""
    training = load_file(task.train)[f"input.{task.input_name}"][:CALIBRATION_EXAMPLES]
    validation = load_file(task.validation)
    batches = list(_batches(validation[f"input.{task.input_name}"], validation["labels"]))

    def calibration() -> nncf.Dataset:
        return nncf.Dataset([image[None] for image in training])

    def within_budget() -> Any:
        return nncf.quantize_with_accuracy_control(
            openvino.convert_model(task.model),
            calibration_dataset=calibration(),
            validation_dataset=nncf.Dataset(batches, lambda batch: batch[0]),
            validation_fn=_accuracy,
            max_drop=task.max_drop,
        )

    def float_model() -> Any:
        return openvino.convert_model(task.model)

    examples = f"{CALIBRATION_EXAMPLES} training examples"
    return [
        _contender(task, "OpenVINO", float_model, note="float as it comes: on this CPU it may choose bfloat16"),
        _contender(task, "OpenVINO, f32", float_model, engine="openvino-f32", note="held to float32"),
        _contender(
            task,
            "NNCF compress_weights",
            lambda: nncf.compress_weights(float_model()),
            note="int8 weights, float arithmetic",
        ),
        _contender(
            task, "NNCF quantize", lambda: nncf.quantize(float_model(), calibration()), note=f"defaults, {examples}"
        ),
        _contender(
            task,
            "NNCF quantize_with_accuracy_control",
            within_budget,
            note=f"{examples}; accuracy held on the validation split",
        ),
    ]


def _contender(task: Task, name: str, work: Callable[[], Any], *, engine: Engine = "openvino", note: str) -> Contender:
    started = time.perf_counter()
    file = task.folder / f"{name.replace(' ', '-').replace(',', '')}.xml"
    openvino.save_model(work(), file, compress_to_fp16=engine == "openvino")
    return Contender(
        name=name,
        engine=engine,
        file=file,
        seconds=time.perf_counter() - started,
        size=sum(path.stat().st_size for path in (file, Path(file).with_suffix(".bin"))),
        note=note,
    )


def _batches(images: NDArray[Any], labels: NDArray[np.int64]) -> Iterable[_Batch]:
    for start in range(0, len(labels), _VALIDATION_BATCH):
        stop = start + _VALIDATION_BATCH
        yield images[start:stop], labels[start:stop]


def _accuracy(model: Any, batches: Iterable[_Batch]) -> float:
    right = [model(images)[0].argmax(axis=1) == labels for images, labels in batches]
    return float(np.concatenate(right).mean())
