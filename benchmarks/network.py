"""The float network of a run directory as a torch module: raw pixels in, logits out."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from pipeline.commands.opened import open_run
from pipeline.data.dataset import read_info
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import read_document
from pipeline.models.info import ModelInfo
from pipeline.models.load import load_model_spec
from pipeline.models.weights import load_weights


def float_module(run_dir: Path) -> nn.Module:
    """Return preprocessing and network, with the trained weights loaded, in evaluation mode.

    Args:
        run_dir: run directory of a finished build.
    """
    run = open_run(run_dir)
    model = load_model_spec(run.recipe.model, run.recipe.folder, read_info(run.files[Kind.DATA_INFO, None]))
    model = model.as_called(read_document(run.files[Kind.MODEL_INFO, None], ModelInfo))
    network = model.build()
    load_weights(run.files[Kind.WEIGHTS, None], network)
    return model.deployable(network.eval())
