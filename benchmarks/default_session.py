"""Is an archive's file as fast, and does it answer the same, in a session with defaults as in ours?

`python -m benchmarks.default_session ARCHIVE...` takes the model file out of each archive and runs it in
`onnxruntime.InferenceSession(path)` with one thread beside the session that serves it: same rounds, a process each, and
a copy of the first as a measure of noise.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks import default_worker
from pipeline._handlers.model_file import load_model
from pipeline.archive.mar import read_archive
from pipeline.engine.stage import Silent
from pipeline.measure.gain import Ratio, estimate, speed_up
from pipeline.measure.latency import Subject, file_subject, measure_latency

BATCH_SIZES = (1, 32)
OURS, COPY, DEFAULT = "ours", "its copy", "default"


def main() -> None:
    """Compare the two sessions for each archive, and print a row for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help="a .mar whose model file is ONNX")
    parser.add_argument("--rounds", type=int, default=60, help="paired rounds of timing [default: 60]")
    arguments = parser.parse_args()
    print("| archive | candidate | batch | same answers | ours, us | default session, us | default / ours | noise |")
    print("|---|---|---|---|---|---|---|---|")
    for path in arguments.archives:
        for row in _rows(path, arguments.rounds):
            print(f"| {path.name} | {' | '.join(row)} |")


def _rows(path: Path, rounds: int) -> list[tuple[str, ...]]:
    archive = read_archive(path)
    serving = archive.serving
    if serving.runtime.kind != "onnxruntime":
        raise SystemExit(f"{path}: expected an archive with an ONNX file, found {serving.runtime.file}")
    with tempfile.TemporaryDirectory(prefix="default-session-") as name:
        folder = Path(name)
        archive.unpack(folder)
        samples, file = folder / serving.golden.file, str(folder / serving.runtime.file)
        runtime = replace(serving.runtime, threads=1)
        ours = [
            file_subject(name, folder, runtime, inputs=serving.inputs, samples=samples, batch_sizes=BATCH_SIZES)
            for name in (OURS, COPY)
        ]
        default = Subject(
            name=DEFAULT,
            worker=default_worker.__name__,
            job={"file": file, "inputs": [spec.to_json() for spec in serving.inputs], "samples": str(samples)},
            batch_sizes=BATCH_SIZES,
            threads=1,
        )
        measured = measure_latency([*ours, default], rounds=rounds, block_s=0.02, reporter=Silent())
        stored = load_file(samples)
        inputs = {spec.name: stored[f"input.{spec.name}"] for spec in serving.inputs}
        model = load_model(folder, runtime, serving.inputs)
        same = np.array_equal(model(inputs), default_worker.default_answers(file, inputs))
        seconds = {
            (subject, timing.batch_size): timing.rounds_s
            for subject, measurement in measured.items()
            for timing in measurement.timings
        }
    rows = []
    for size in BATCH_SIZES:
        times = [f"{estimate(seconds[name, size]).value * 1e6:,.1f}" for name in (OURS, DEFAULT)]
        ratio = speed_up(seconds[DEFAULT, size], seconds[OURS, size])
        noise = speed_up(seconds[COPY, size], seconds[OURS, size])
        rows.append(
            (serving.candidate, str(size), "yes" if same else "NO", *times, _ratio_text(ratio), _ratio_text(noise))
        )
    return rows


def _ratio_text(ratio: Ratio) -> str:
    return f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


if __name__ == "__main__":
    main()
