"""Intel Neural Compressor: static int8 of the torch module, run through torch.compile as its documentation says."""

from __future__ import annotations

import time

import torch
from neural_compressor.torch.export import export
from neural_compressor.torch.quantization import convert, get_default_static_config, prepare
from safetensors.numpy import load_file

from benchmarks.contender import BATCH_SIZES, CALIBRATION_EXAMPLES, Contender, Task
from benchmarks.engines import engine_mode, load_engine
from benchmarks.network import float_module

_BATCH = 30


def make(task: Task) -> list[Contender]:
    """Make static int8 with the default configuration."""
    images = load_file(task.train)[f"input.{task.input_name}"][:CALIBRATION_EXAMPLES]
    started = time.perf_counter()
    chunks = torch.split(torch.from_numpy(images), _BATCH)
    with torch.no_grad():
        batch = torch.export.Dim("batch", min=1, max=4096)
        program = export(float_module(task.run_dir), example_inputs=(chunks[0],), dynamic_shapes=({0: batch},))
        prepared = prepare(program, get_default_static_config())
        for chunk in chunks:
            prepared(chunk)
        convert(prepared).save(example_inputs=(chunks[0],), output_dir=str(task.folder))
    file = task.folder / "quantized_weight.pt"
    with engine_mode("inductor-exported"):
        prepare_batch = load_engine("inductor-exported", file)
        for size in BATCH_SIZES:
            prepare_batch(images[:size].copy())
    return [
        Contender(
            name="Neural Compressor static int8",
            engine="inductor-exported",
            file=file,
            seconds=time.perf_counter() - started,
            size=file.stat().st_size,
            note=f"default configuration, {CALIBRATION_EXAMPLES} training examples; torch.compile, needs torch there",
        )
    ]
