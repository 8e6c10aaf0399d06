"""The float network run by torch itself, as fairly as possible. Speed-ups are over it; it is never a candidate.

The network runs in evaluation and inference mode, behind the same preprocessing as every candidate (raw values in,
logits out). Its input is allocated as a tensor beforehand, and it gets as many threads as the others. It is timed in
both memory formats that torch has for pictures, and the faster one counts. Run as a program, this module times one
format: `python -m pipeline.candidates.eager JOB`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.numpy import load_file

from pipeline.candidates.report import EagerReport, EagerTiming
from pipeline.data.dataset import read_info
from pipeline.engine.documents import read_document
from pipeline.measure.latency import Measurement, Subject
from pipeline.measure.rounds import Timing
from pipeline.measure.worker import Call, Prepare, read_job, serve, take_batch
from pipeline.models.info import ModelInfo
from pipeline.models.load import load_model_spec
from pipeline.models.spec import ModelSpec
from pipeline.models.weights import load_network
from pipeline.recipe.model import Model
from pipeline.training.layout import set_layout, to_layout

Layout = Literal["NCHW", "channels-last", "as given"]
_PICTURES: tuple[Layout, ...] = ("NCHW", "channels-last")


@dataclass(frozen=True, kw_only=True)
class EagerSource:
    """What the network is made from.

    Args:
        settings: the recipe's `[model]` section.
        folder: folder of the recipe; the user's factories are imported from there.
        data_info: file with the facts of the data set.
        model_info: file with the facts of the model.
        weights: file with the weights of the float network.
        samples: a samples file; the network is timed on its first inputs.
    """

    settings: Model
    folder: Path
    data_info: Path
    model_info: Path
    weights: Path
    samples: Path


def eager_subjects(
    source: EagerSource, model: ModelSpec, *, batch_sizes: Sequence[int], threads: int
) -> tuple[Subject, ...]:
    """Return a subject per memory format: two where an input is a picture (C, H, W), else one.

    A network that cannot take pictures in the channels-last format has one, too.

    Args:
        source: what the network is made from.
        model: its specification.
        batch_sizes: examples per call.
        threads: number of threads that it computes with.
    """
    job = {
        # What was not set stays out: beside a published network's preprocessing, numbers of its own are refused.
        "model": source.settings.model_dump(mode="json", exclude_unset=True),
        "folder": str(source.folder),
        "data_info": str(source.data_info),
        "model_info": str(source.model_info),
        "weights": str(source.weights),
        "samples": str(source.samples),
        "threads": threads,
    }
    return tuple(
        Subject(
            name=subject_name(layout),
            worker=__name__,
            job={**job, "layout": layout},
            batch_sizes=tuple(batch_sizes),
            threads=threads,
            own_code=True,
        )
        for layout in _layouts(model, source)
    )


def fastest_eager(measured: Mapping[str, Measurement]) -> EagerReport:
    """Report the memory format with the lower median at each batch size.

    Args:
        measured: measurements by subject name; those of the run's other subjects may be among them.
    """
    by_batch_size: dict[int, list[tuple[Timing, Layout]]] = {}
    for layout in (*_PICTURES, "as given"):
        for timing in measured[subject_name(layout)].timings if subject_name(layout) in measured else ():
            by_batch_size.setdefault(timing.batch_size, []).append((timing, layout))
    best = [min(timings, key=lambda pair: pair[0].median_s) for timings in by_batch_size.values()]
    return EagerReport(
        timings=tuple(EagerTiming.model_validate({**timing.to_json(), "layout": layout}) for timing, layout in best)
    )


def subject_name(layout: str) -> str:
    """Return the name of the subject in one memory format."""
    return f"eager, {layout}"


def main() -> None:
    """Time the network in one memory format."""
    job = read_job()
    torch.set_num_threads(job["threads"])

    def load() -> Prepare:
        settings = Model.model_validate(job["model"])
        model = load_model_spec(settings, Path(job["folder"]), read_info(Path(job["data_info"])))
        model = model.as_called(read_document(Path(job["model_info"]), ModelInfo))
        module = model.deployable(load_network(model, Path(job["weights"])))
        if job["layout"] == "channels-last":
            to_layout(module, torch.channels_last)
        samples = load_file(job["samples"])

        def prepare(size: int) -> Call:
            batch = take_batch(samples, list(model.inputs), size)
            tensors = [_allocate(torch.from_numpy(batch[spec.name]), job["layout"]) for spec in model.inputs]
            return lambda: module(*tensors)

        return prepare

    with torch.inference_mode():
        serve(job, load)


def _allocate(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    if layout == "channels-last" and values.dim() == 4:
        return values.contiguous(memory_format=torch.channels_last)
    return values


def _layouts(model: ModelSpec, source: EagerSource) -> tuple[Layout, ...]:
    if not any(len(spec.shape) == 3 for spec in model.inputs):
        return ("as given",)
    batch = take_batch(load_file(source.samples), list(model.inputs), 2)
    example = tuple(_allocate(torch.from_numpy(batch[spec.name]), "channels-last") for spec in model.inputs)
    possible = set_layout(model.deployable(load_network(model, source.weights)), example)
    return _PICTURES if possible is torch.channels_last else _PICTURES[:1]


if __name__ == "__main__":
    main()
