"""Archives whose bytes are in order and that are not what was meant, on the command line; and their unfaulted twin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.archive.mar import Archive, read_archive
from pipeline.engine.runner import run_stages
from pipeline.engine.stage import Silent
from pipeline.recipe.loading import load_recipe
from pipeline.stages import BUILD
from tests.command_line import error_line, run
from tests.example_build import Built
from tests.faulty_archives import judged_anew, made_again


@pytest.fixture(scope="module")
def archive(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The example's archive, of the same candidate whichever was fastest."""
    run_dir = tmp_path_factory.mktemp("named") / "run"
    shutil.copytree(built.run_dir, run_dir)
    recipe = load_recipe(built.recipe, [*built.overrides, "select.candidate=float.onnx.fp32"])
    run_stages(BUILD[:-1], recipe, run_dir, Silent())  # all but the try through a server
    return read_archive(run_dir / "package" / "digits.mar")


def other_labels(document: dict[str, Any]) -> None:
    labels = document["labels"]
    document["labels"] = [*labels[:3], labels[4], labels[3], *labels[5:]]


def other_filter(document: dict[str, Any]) -> None:
    document["inputs"][0]["decoding"]["resize"] = "nearest"


def other_activation(document: dict[str, Any]) -> None:
    document["activation"] = "softmax"


def other_bound(document: dict[str, Any]) -> None:
    document["inputs"][0]["high"] = 127.0


def with_constant(model: onnx.ModelProto, suffix: str, change: Callable[[Any], Any]) -> None:
    tensor = next(one for one in model.graph.initializer if one.name.endswith(suffix))
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(values).astype(values.dtype), tensor.name))


def other_mean(model: onnx.ModelProto) -> None:
    with_constant(model, "preprocess.offset", lambda values: np.array(values + 0.2))


def frozen_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def other_bias(model: onnx.ModelProto) -> None:
    with_constant(model, "head.bias", lambda values: values + np.eye(1, len(values))[0])


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is changed, and what is said of it.

    Args:
        says: what follows the candidate in the error.
        serving: change of `serving.json`.
        evidence: change of `evidence.json`.
        model: change of the model file.
        judged: whether the evidence names the changed file as the one that was judged.
        data: whether the reviewer has the data.
    """

    says: str
    serving: Callable[[dict[str, Any]], None] | None = None
    evidence: Callable[[dict[str, Any]], None] | None = None
    model: Callable[[onnx.ModelProto], None] | None = field(default=None)
    judged: bool = True
    data: bool = False


FAULTS = {
    "labels in another order": Fault(
        serving=other_labels, says="serving.json: labels: expected 3 for class 3, as evidence.json says, found 4; "
    ),
    "labels in another order, in the evidence too": Fault(
        serving=other_labels,
        evidence=other_labels,
        data=True,
        says="data.json says, found 4; answers would be named wrongly: build the archive again",
    ),
    "another resize filter": Fault(
        serving=other_filter,
        says="serving.json: input image: decoding: expected {'mode': 'L', 'resize': 'bilinear'}, as evidence.json says",
    ),
    "another resize filter, in the evidence too": Fault(
        serving=other_filter,
        evidence=lambda document: document["inputs"][0]["decoding"].update(resize="nearest"),
        says="input image, picture 0: expected the pixels packed with it, found ",
    ),
    "another bound": Fault(
        serving=other_bound,
        says="serving.json: input image: high: expected 255.0, as evidence.json says, found 127.0; ",
    ),
    "another activation": Fault(
        serving=other_activation,
        says="serving.json: activation: expected none, as evidence.json says, found softmax; its probabilities would",
    ),
    "another file than was judged": Fault(
        model=other_bias,
        judged=False,
        says="model.onnx: expected the file of candidate float.onnx.fp32 that was judged",
    ),
    "a changed bias": Fault(model=other_bias, says="golden answers differ at batch size 1: at ["),
    "another normalisation constant": Fault(model=other_mean, says="golden answers differ at batch size 1: at ["),
    "a batch axis frozen at 1": Fault(model=frozen_batch, says="the golden batch cannot be replayed: "),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_fits_every_digest_ends_with_5(built: Built, archive: Archive, name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    members: dict[str, bytes] = {}
    evidence = fault.evidence
    if fault.model is not None:
        file = archive.serving.runtime.file
        model = onnx.load_from_string(archive.members[file])
        fault.model(model)
        members[file] = model.SerializeToString()
        evidence = judged_anew(archive, members[file]) if fault.judged else None
    path = tmp_path / "digits.mar"
    made_again(archive, path, members=members, serving=fault.serving, evidence=evidence)
    done = run("verify", path, *(("--data", built.run_dir / "data") if fault.data else ()))
    assert done.returncode == 5, done.stderr
    assert fault.says in error_line(done)


def test_the_digest_that_was_meant_tells_every_fault(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "digits.mar"
    made_again(archive, path, serving=other_labels)
    done = run("verify", path, "--digest", archive.digest)
    assert done.returncode == 3
    assert f"expected digest {archive.digest}, found " in error_line(done)


def test_the_unfaulted_twin_passes(built: Built, archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "digits.mar"
    twin = made_again(archive, path)
    done = run("verify", path, "--digest", twin.digest, "--data", built.run_dir / "data", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["golden"]["passed"] is True
    assert found["golden"]["pictures"] == ""
    assert [one["split"] for one in found["quality"]] == ["test", "validation"]
    assert all(one["accuracy"] == one["recorded"] for one in found["quality"])
