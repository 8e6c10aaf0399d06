"""`pipeline verify ARCHIVE --url`: a real server that runs the archive, another one, or is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.archive.mar import Archive
from pipeline.data.dataset import Split, write_split
from pipeline.data.synthetic import synthetic_inputs
from pipeline.engine.artifacts import digest_file
from pipeline.errors import ProofError, ServerError
from pipeline.serving import lifecycle
from pipeline.serving.address import endpoint_of
from pipeline.serving.check import AT_ONCE, verify_served
from pipeline.serving.client import predict_logits
from pipeline.serving.encoding import encode_instances
from pipeline.serving.server import ServerState
from tests import served_models
from tests.command_line import run
from tests.evidence_sample import sample_evidence
from tests.served_models import GREY, SEQUENCE, build_archive, linear_onnx, weights

EXAMPLES = 30
PICTURE_FORMS = ["image/png", "application/octet-stream", "application/json"]


@pytest.fixture(scope="module")
def server(archive: Archive) -> Iterator[ServerState]:
    with lifecycle.running_server(archive.path, workers=2, batch_size=4) as state:
        yield state


@pytest.fixture(scope="module")
def split() -> Split:
    inputs = synthetic_inputs([GREY], EXAMPLES)
    logits = inputs["image"].reshape(EXAMPLES, -1).astype(np.float32) @ weights(48)
    labels = logits.argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 5
    return Split(inputs=inputs, labels=labels)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The same but for one weight, and answers to match: nothing is wrong with it, only it is not what is served."""
    model = onnx.load_from_string(linear_onnx([GREY]))
    changed = weights(48)
    changed[20, 1] += np.float32(0.01)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(changed, "weight"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served_models, "linear_onnx", lambda *_, **__: model.SerializeToString())
        return build_archive(tmp_path_factory.mktemp("other"), [GREY])


def test_the_served_model_is_the_archives(archive: Archive, server: ServerState, split: Split, tmp_path: Path) -> None:
    write_split(tmp_path / "test.safetensors", split)
    ended = run("verify", archive.path, "--url", server.url, "--data", tmp_path, "--json")
    assert ended.returncode == 0, ended.stderr
    served = json.loads(ended.stdout)["served"]
    assert served["url"] == f"{server.url}/predictions/tiny"
    assert served["digest"] == archive.digest
    assert served["workers"] == 2
    assert served["pictures"] == 2
    assert [(one["form"], one["at_once"]) for one in served["forms"]] == [
        (form, at_once) for form in PICTURE_FORMS for at_once in (1, AT_ONCE)
    ]
    assert all(one["posted"] == 9 and one["max_absolute"] <= one["limit"] for one in served["forms"])
    [quality] = served["quality"]
    assert (quality["name"], quality["examples"], quality["correct"]) == ("test.safetensors", EXAMPLES, EXAMPLES - 3)
    assert quality["flips"] == 0


def test_labels_of_the_served_model_are_held_against_floats(split: Split, archive: Archive, tmp_path: Path) -> None:
    evidence = sample_evidence()
    model = onnx.load_from_string(linear_onnx([GREY]))
    changed = weights(48)
    changed[:, 0] += np.float32(1)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(changed, "weight"))
    other_float, stranger = tmp_path / "float.onnx", tmp_path / "stranger.onnx"
    onnx.save(model, other_float)
    stranger.write_bytes(archive.members["model.onnx"])
    [row] = evidence["candidates"]
    evidence["candidates"] = [{**row, "sha256": digest_file(other_float)}, {**row, "name": "slim.onnx.fp32"}]
    evidence["candidate"] = "slim.onnx.fp32"
    lossy = build_archive(tmp_path / "packed", [GREY], candidate="slim.onnx.fp32", evidence=evidence)
    write_split(tmp_path / "test.safetensors", split)
    pixels = split.inputs["image"].reshape(EXAMPLES, -1).astype(np.float32)
    flips = int(((pixels @ changed).argmax(axis=1) != (pixels @ weights(48)).argmax(axis=1)).sum())
    with lifecycle.running_server(lossy.path) as state:
        asked = (lossy.path, "--url", state.url, "--data", tmp_path / "test.safetensors", "--float-model")
        ended = run("verify", *asked, other_float)
        refused = run("verify", *asked, stranger)
    assert ended.returncode == 0, ended.stderr
    assert flips > 0
    assert f"0 flips against the in-process answers, {flips} against float (accuracy " in ended.stdout
    assert refused.returncode == 3
    assert f"{stranger}: expected float.onnx.fp32 of the build, SHA-256 {digest_file(other_float)}" in refused.stderr
    alone = run("verify", lossy.path, "--float-model", other_float)
    assert alone.returncode == 2
    assert "--float-model: expected --url and --data as well" in alone.stderr


def test_a_person_is_told(archive: Archive, server: ServerState) -> None:
    ended = run("verify", archive.path, "--url", f"{server.url}/predictions/tiny")
    assert ended.returncode == 0, ended.stderr
    assert f"served     {server.url}/predictions/tiny: 54 golden requests (image/png, " in ended.stdout


def test_only_so_many_examples_are_posted(archive: Archive, server: ServerState, split: Split) -> None:
    [quality] = verify_served(archive, server.url, data={"mine": split}, max_examples=7).quality
    assert (quality.examples, quality.available) == (7, EXAMPLES)


def test_a_server_that_runs_another_archive(other: Archive, archive: Archive, server: ServerState) -> None:
    ended = run("verify", other.path, "--url", server.url)
    assert ended.returncode == 5
    [line] = ended.stderr.strip().splitlines()[-1:]
    assert "image/png, alone, example " in line
    assert ": the server's logits differ from the in-process ones: at [" in line
    assert ", difference 2.31, limit 4.21e-05" in line
    assert line.endswith(f"expected digest {other.digest}, found {archive.digest}")


def test_a_server_that_answers_alike_under_another_digest(
    archive: Archive, server: ServerState, tmp_path: Path
) -> None:
    twin = build_archive(tmp_path, [GREY], evidence={"note": "the same weights, packed otherwise"})
    with pytest.raises(ProofError, match=rf"expected answers of archive {twin.digest}, found {archive.digest}"):
        verify_served(twin, server.url)


def test_a_server_that_has_no_such_model(server: ServerState, tmp_path: Path) -> None:
    elsewhere = build_archive(tmp_path, [GREY], name="elsewhere")
    with pytest.raises(ServerError, match="example 0: refused with 404"):
        verify_served(elsewhere, server.url)


def test_several_sizes_of_a_free_axis_are_posted_as_json_then_the_server_is_gone(tmp_path: Path) -> None:
    sequence = build_archive(tmp_path, [SEQUENCE], sizes=(2, 13))
    with lifecycle.running_server(sequence.path) as state:
        served = verify_served(sequence, state.url)
        too_short = encode_instances([SEQUENCE], {"tokens": np.zeros((1, 1), np.int64)})
        with pytest.raises(ServerError, match=r"refused with 400: .*no answer for an example of this size"):
            predict_logits(endpoint_of(state), too_short, "application/json")
    assert served.pictures == 0
    assert [(one.sizes, one.at_once) for one in served.forms] == [
        (sizes, at_once) for sizes in ("", "tokens of 2", "tokens of 13") for at_once in (1, AT_ONCE)
    ]
    assert {one.form for one in served.forms} == {"application/json"}
    ended = run("verify", sequence.path, "--url", state.url)
    assert ended.returncode == 6
    assert "expected an answer, found: " in ended.stderr
