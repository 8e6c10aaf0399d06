"""The page on capabilities names commands, keys and tests that there are, under the names that people look for."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_group

from pipeline.cli import app
from pipeline.recipe.keys import recipe_keys
from pipeline.recipe.loading import load_recipe
from tests.capability_rows import PAGE, Row, commands, rows

CHECKOUT = Path(__file__).parents[2]
# The worked example, which `pipeline init my-model --example` writes.
EXAMPLE = CHECKOUT / "pipeline" / "example"
LINE = re.compile(r"[a-z_]+(\.[a-z_]+)+ = .+")
# As the field's teaching material calls them.
USUAL_NAMES = """
Fashion-MNIST, CIFAR-10, MLP, ResNet-18, ResNet-50, transfer learning, pretrained, own model, tabular, Dataset, SGD,
Nesterov, weight decay, Adam, AdamW, RMSprop, LBFGS, step, plateau, cosine, one-cycle, warm-up, Kaiming, Xavier,
orthogonal, cross-entropy, binary cross-entropy, mean squared error, L1, smooth L1, class weights, label smoothing,
augmentation, rotation, crop, colour jitter, RandAugment, erasing, mixup, cutmix, mixed precision, bf16, fp16,
gradient scaling, gradient accumulation, gradient clipping, activation checkpointing, freezing, early stopping, EMA,
torch.compile, ensemble, progress bar, TensorBoard, checkpoint, resume, activations, learning curves, accuracy,
precision, recall, F1, top-5, confusion matrix, magnitude pruning, global, structured, channel, dynamic quantization,
static quantization, calibration, int8, bfloat16, TorchScript, trace, ONNX, parity, latency, .mar, TorchServe, HTTP,
model card, CUDA, MPS
"""


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_row_names_a_test_and_keys_that_there_are(row: Row) -> None:
    assert row.spans, "expected a command, lines of a recipe, or a file"
    assert re.fullmatch(r"\[[^]]+\]\([\w-]+\.md(#[\w-]+)?\)", row.page)
    test = re.fullmatch(r"\[`(test_\w+\.py)`\]\(\.\./(tests/\S+)\)", row.test)
    assert test is not None
    assert Path(test[2]).name == test[1]
    assert (CHECKOUT / test[2]).is_file()
    keys = {key.name for group in recipe_keys() for key in group.keys}
    for span in row.spans:
        if LINE.fullmatch(span):
            tomllib.loads(span)
            assert span.partition(" = ")[0] in keys


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("pipeline ")])
def test_a_command_and_its_recipe_are_ones(command: str) -> None:
    _, verb, *arguments = shlex.split(command.replace("my-model/", f"{EXAMPLE}/"))
    parsed = get_group(app).commands[verb].make_context(verb, arguments).params
    if parsed.get("recipe") is not None:
        load_recipe(parsed["recipe"], parsed["overrides"] or ())


def test_who_looks_for_a_usual_name_finds_it() -> None:
    page = re.sub(r"\]\([^)]*\)", "]", PAGE.read_text(encoding="utf-8")).lower()
    assert [name for name in re.split(r",\s*", USUAL_NAMES.strip()) if name.lower() not in page] == []
