"""A fault of one output is caught by its name, however small it is beside the others; a file without passes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.determinism import require_determinism
from pipeline.checks.locate.first_difference import locate
from pipeline.checks.parity import check_parity
from pipeline.checks.parity_report import failure
from pipeline.errors import ProofError
from tests.several_outputs import PICTURES, SMALL, SPECS, Held, Several, network, pictures, reference, several, written

# A fault of half a percent of the embedding, which is a ten-millionth of the logits.
FAULT = 0.005


def damaged(file: Path) -> Held:
    """The network's file with another bias of the smallest output."""
    if file.suffix == ".pt":
        other = network()
        with torch.no_grad():
            other.small.bias[1] += FAULT
        return written(file, several(other))
    held = written(file, several())
    model = onnx.load(file)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "network.small.bias")
    values = numpy_helper.to_array(bias).copy()
    values[1] += FAULT
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, file)
    return held


@pytest.mark.parametrize("name", ["model.onnx", "model.pt"])
def test_a_fault_of_the_smallest_output_is_caught_by_name(tmp_path: Path, name: str) -> None:
    held, source = damaged(tmp_path / name), reference()
    report = held.parity(source, tmp_path)
    assert not report.passed
    assert report.worst is not None
    worst = report.worst.comparison
    assert worst.output == "embedding"
    assert abs(worst.found - worst.expected) == pytest.approx(100 * SMALL * FAULT, rel=0.1)
    assert report.max_absolute > 10 * abs(worst.found - worst.expected), "rounding alone moves the logits further"
    assert ": output embedding at [" in failure(report)
    finding = locate(
        report,
        file=held.file,
        runtime=held.runtime,
        reference=source,
        inputs=(PICTURES,),
        samples=tmp_path / "samples.safetensors",
    )
    assert finding.layer == "small (Linear)"
    assert finding.constants == ("bias",)


def test_one_limit_for_all_outputs_would_let_it_pass(tmp_path: Path) -> None:
    held = damaged(tmp_path / "model.onnx")
    held.parity(reference(), tmp_path)  # it writes the samples
    report = check_parity(
        candidate="model",
        file=held.file,
        runtime=held.runtime,
        reference=reference(),
        inputs=(PICTURES,),
        samples=tmp_path / "samples.safetensors",
        tolerance=FLOAT32,
        batch_sizes=(1,),
        scratch=tmp_path,
    )
    assert report.passed


@pytest.mark.parametrize("name", ["model.onnx", "model.pt"])
def test_its_twin_without_the_fault_passes(tmp_path: Path, name: str) -> None:
    report = written(tmp_path / name, several()).parity(reference(), tmp_path)
    assert report.passed, failure(report)
    assert report.batch_invariant
    assert [limit.name for limit in report.tolerance.outputs] == [spec.name for spec in SPECS]
    spreads = {limit.name: limit.usual_spread for limit in report.tolerance.outputs}
    assert spreads["logits"] > 1e5 * spreads["embedding"]


class Mixing(Several):
    """One output of which depends on the rest of the batch, by a little of its own scale."""

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        answers = super().forward(pictures)
        embedding = answers["embedding"]
        return {**answers, "embedding": embedding + 0.01 * embedding.mean(0, keepdim=True)}


def test_an_output_that_mixes_a_batch_is_caught_by_name() -> None:
    arrays = {"pictures": pictures(8)}
    require_determinism(several(), (PICTURES,), arrays, outputs=SPECS)
    mixing: nn.Module = several(Mixing())
    with pytest.raises(ProofError, match=r"alone than in a batch of 8: output embedding at \[\d, \d\]: expected"):
        require_determinism(mixing, (PICTURES,), arrays, outputs=SPECS)
