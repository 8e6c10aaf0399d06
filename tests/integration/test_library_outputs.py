"""Networks of torchvision that return several outputs: GoogLeNet in training, and a segmentation network always."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from pipeline._handlers.compare import compare, fitted, in_outputs
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.reference import module_reference
from pipeline.data.dataset import Split
from pipeline.export.onnx import export_onnx
from pipeline.models.first_call import check_first_call, check_first_step, check_training_mode
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.table import task_named

pytestmark = pytest.mark.slow
SIZE = 64
PICTURES = InputSpec(name="pictures", dtype="float32", shape=(3, SIZE, SIZE), low=-3, high=3)
EXAMPLES = Split(
    inputs={"pictures": np.random.default_rng(0).normal(0, 1, (8, 3, SIZE, SIZE)).astype(np.float32)},
    labels=np.arange(8) % 4,
)


def spec(network: nn.Module, **settings: object) -> ModelSpec:
    labels = tuple("abcd")
    model = ModelSpec(name="it", build=lambda: network, preprocess=ToFloat, inputs=(PICTURES,), labels=labels)
    return replace(model, **settings)  # type: ignore[arg-type]


def test_googlenet_is_trained_by_its_logits_alone() -> None:
    network = torchvision.models.googlenet(num_classes=4, aux_logits=True, init_weights=False)
    task = task_named("classification")
    model = spec(network, choice=("logits",))
    model = check_first_call(model, network, task=task, examples=EXAMPLES, source="it")
    check_training_mode(model, network, task=task, examples=EXAMPLES, source="it")
    check_first_step(
        model,
        network,
        nn.functional.cross_entropy,
        task=task,
        examples=EXAMPLES,
        batch_size=4,
        source="it",
        loss="cross-entropy",
    )


def test_a_segmentation_network_is_exported_with_both_of_its_heads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(
        num_classes=4, aux_loss=True, weights_backbone=None
    ).eval()
    task = task_named("outputs")
    model = check_first_call(spec(network, task="outputs"), network, task=task, examples=EXAMPLES, source="it")
    assert model.outputs == tuple(OutputSpec(name=name, shape=(4, SIZE, SIZE)) for name in ("out", "aux"))
    module = model.deployable(network)
    example = (torch.from_numpy(EXAMPLES.inputs["pictures"][:2]),)
    export_onnx(module, tmp_path / "it.onnx", inputs=(PICTURES,), outputs=model.outputs, example=example, opset=18)
    runtime = RuntimeSpec(kind="onnxruntime", file="it.onnx", outputs=model.outputs)
    answers = load_model(tmp_path, runtime, (PICTURES,))(EXAMPLES.inputs)
    expected = module_reference(module, (PICTURES,)).answer(EXAMPLES.inputs)
    assert compare(expected, answers, fitted(in_outputs(FLOAT32, model.outputs), expected)).passed
