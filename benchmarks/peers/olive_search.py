"""Olive: its search over ONNX Runtime's quantizers, for latency, accuracy held on the validation split."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from olive.workflows import run

from benchmarks.contender import CALIBRATION_EXAMPLES, Contender, Task
from benchmarks.peers import olive_data
from pipeline._handlers.description import RuntimeSpec

_TIMED_EXAMPLES = 64


def make(task: Task) -> list[Contender]:
    """Return the best that its search finds in its time."""
    started = time.perf_counter()
    best = run(_workflow(task)).get_best_candidate()
    seconds = time.perf_counter() - started
    file = Path(best.model_path)
    return [
        Contender(
            name="Olive search",
            engine="handlers",
            file=file,
            seconds=seconds,
            size=file.stat().st_size,
            note=f"OnnxQuantization, every setting it knows; {CALIBRATION_EXAMPLES} training examples",
            # The answer of a dynamic candidate depends on its batch; it is taken in batches all the same.
            runtime=RuntimeSpec(kind="onnxruntime", file=file.name, batch_invariant=False, allow_batch_variant=True),
        )
    ]


def _workflow(task: Task) -> dict[str, Any]:
    accuracy = {
        "name": "accuracy_score",
        "priority": 2,
        "metric_config": {"task": "multiclass", "num_classes": task.classes},
        "goal": {"type": "max-degradation", "value": task.max_drop},
    }
    latency = {"name": "avg", "priority": 1, "metric_config": {"warmup_num": 20, "repeat_test_num": 50}}
    evaluator = {
        # Olive 0.13 fails without it: it looks for a file behind every `type` that is not given.
        "type": "OnnxEvaluator",
        "metrics": [
            {
                "name": "accuracy",
                "type": "accuracy",
                "backend": "torch_metrics",
                "data_config": "validation",
                "sub_types": [accuracy],
            },
            {"name": "latency", "type": "latency", "data_config": "timed", "sub_types": [latency]},
        ],
    }
    accelerator = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(task.model)},
        "systems": {"local": {"type": "LocalSystem", "accelerators": [accelerator]}},
        "data_configs": [
            _data(task, "calibration", task.train, count=CALIBRATION_EXAMPLES, batch_size=1),
            _data(task, "validation", task.validation, count=None, batch_size=128),
            _data(task, "timed", task.validation, count=_TIMED_EXAMPLES, batch_size=1),
        ],
        "evaluators": {"both": evaluator},
        "evaluator": "both",
        "passes": {"quantization": {"type": "OnnxQuantization", "data_config": "calibration"}},
        "search_strategy": {"execution_order": "joint", "sampler": "tpe", "max_time": task.search_s, "seed": 0},
        "host": "local",
        "target": "local",
        "output_dir": str(task.folder / "best"),
        "cache_dir": str(task.folder / "cache"),
    }


def _data(task: Task, name: str, split: Path, *, count: int | None, batch_size: int) -> dict[str, Any]:
    params = {"file": str(split), "input_name": task.input_name, "count": count}
    return {
        "name": name,
        "user_script": str(Path(olive_data.__file__)),
        "load_dataset_config": {"type": "pipeline_examples", "params": params},
        "post_process_data_config": {"type": "pipeline_most_likely"},
        "dataloader_config": {"params": {"batch_size": batch_size}},
    }
