"""Files of networks with several outputs have real ones, with names and shapes that a stranger can use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pipeline._handlers.model_file import load_model
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline._handlers.outputs import split_outputs
from pipeline.export.onnx import export_onnx
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import DeployableOfOutputs, joined
from tests.several_outputs import PICTURES, SPECS, Several, pictures, several, written


def test_an_onnx_file_has_the_outputs_by_name(tmp_path: Path) -> None:
    written(tmp_path / "model.onnx", several())
    graph = onnx.load(tmp_path / "model.onnx").graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in graph.output
    }
    assert shapes == {spec.name: ["batch", *spec.shape] for spec in SPECS}
    session = import_onnx_runtime().InferenceSession(str(tmp_path / "model.onnx"))
    [mask] = session.run(["mask"], {"pictures": pictures(3)})
    with torch.no_grad():
        expected = several()(torch.from_numpy(pictures(3)))[3].numpy()
    assert np.allclose(mask, expected, atol=1e-5)


def test_a_torchscript_file_returns_them_in_their_order(tmp_path: Path) -> None:
    written(tmp_path / "model.pt", several())
    with pytest.warns(DeprecationWarning, match=r"torch\.jit\.load"):
        loaded = torch.jit.load(str(tmp_path / "model.pt"))  # type: ignore[no-untyped-call]
    tensors = loaded(torch.from_numpy(pictures(3)))
    assert [tuple(tensor.shape) for tensor in tensors] == [(3, *spec.shape) for spec in SPECS]


@pytest.mark.parametrize("name", ["model.onnx", "model.pt"])
def test_the_runtime_puts_them_side_by_side(tmp_path: Path, name: str) -> None:
    held = written(tmp_path / name, several())
    answers = load_model(tmp_path, held.runtime, (PICTURES,))({"pictures": pictures(3)})
    with torch.no_grad():
        expected = joined(several()(torch.from_numpy(pictures(3)))).numpy()
    assert answers.shape == (3, 5 + 3 + 8 * 36 + 2 * 36)
    assert np.allclose(answers, expected, atol=1e-4)
    assert np.allclose(split_outputs(answers, SPECS)["embedding"], expected[:, 5:8], rtol=1e-3, atol=1e-9)


def test_a_file_with_other_outputs_than_described_is_not_loaded(tmp_path: Path) -> None:
    held = written(tmp_path / "model.onnx", several())
    graph = onnx.load(held.file)
    last = graph.graph.output[-1]
    graph.graph.output.remove(last)
    graph.graph.output.insert(0, last)
    onnx.save(graph, held.file)
    with pytest.raises(ValueError, match="expected outputs logits, embedding, trunk, mask, found mask, logits, emb"):
        load_model(tmp_path, held.runtime, (PICTURES,))


def test_one_chosen_output_leaves_nothing_of_the_others_in_the_file(tmp_path: Path) -> None:
    module = DeployableOfOutputs(preprocess=ToFloat(), network=Several(), choice=("logits",)).eval()
    example = (torch.from_numpy(pictures(2)),)
    export_onnx(module, tmp_path / "logits.onnx", inputs=(PICTURES,), example=example, opset=18)
    graph = onnx.load(tmp_path / "logits.onnx").graph
    assert [value.name for value in graph.output] == ["logits"]
    assert not [
        tensor.name for tensor in graph.initializer if tensor.name.startswith(("network.mask", "network.small"))
    ]


@pytest.mark.parametrize("name", ["model.onnx", "model.pt"])
def test_two_threads_get_their_own_outputs(tmp_path: Path, name: str) -> None:
    model = load_model(tmp_path, written(tmp_path / name, several()).runtime, (PICTURES,))
    batches = [{"pictures": pictures(8)[row : row + 1]} for row in range(8)] * 4
    alone = [model(batch) for batch in batches]
    with ThreadPoolExecutor(max_workers=2) as pool:
        together = list(pool.map(model, batches))
    assert all(np.array_equal(first, second) for first, second in zip(alone, together, strict=True))
