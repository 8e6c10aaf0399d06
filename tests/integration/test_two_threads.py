"""One loaded file, asked by two threads at once with batches of mixed sizes, answers as it does alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline._handlers.model_file import Model, load_model
from pipeline.candidates.report import CandidateReport
from pipeline.data.dataset import read_info
from pipeline.engine.documents import read_document
from tests.example_build import Built

SIZES = (1, 2, 7, 32)
CALLS = 60


def ask(
    model: Model, batches: list[dict[str, NDArray[Any]]], together: Barrier, seed: int
) -> list[tuple[int, NDArray[np.float32]]]:
    places = np.random.default_rng(seed).integers(len(batches), size=CALLS).tolist()
    together.wait()
    # Every answer is kept until the end: one that a later call of either thread overwrites is found.
    return [(place, model(batches[place])) for place in places]


def test_every_file_of_a_build_answers_two_threads_as_it_answers_one(built: Built) -> None:
    candidates = built.run_dir / "candidates"
    specs = read_info(built.run_dir / "data" / "data.json").inputs
    samples = load_file(candidates / "samples.safetensors")
    batches = [{spec.name: samples[f"input.{spec.name}"][:size] for spec in specs} for size in SIZES]
    reports = [read_document(file, CandidateReport) for file in sorted(candidates.glob("*/report.json"))]
    assert {report.format for report in reports} == {"onnx", "torchscript"}
    for report in reports:
        model = load_model(candidates / report.name, report.runtime, specs)
        alone = [model(batch) for batch in batches]
        together = Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            threads = [pool.submit(ask, model, batches, together, seed) for seed in (0, 1)]
        for place, logits in [answer for thread in threads for answer in thread.result()]:
            np.testing.assert_array_equal(logits, alone[place], err_msg=f"{report.name}, batch of {SIZES[place]}")
