"""Packed models, loaded and asked as a worker does it, without a server."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as loaded
from safetensors.numpy import save

from pipeline._handlers.activation import ACTIVATIONS
from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import encode_response
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec, Serving
from pipeline._handlers.predictor import Predictor, Refusal
from pipeline._handlers.request import Request
from pipeline.archive.mar import Archive
from pipeline.errors import FileError
from tests.faulty_archives import made_again
from tests.served_models import COLOUR, GREY, LABELS, SEQUENCE, TABLE, build_archive, weights


def load(archive: Archive, folder: Path) -> Predictor:
    archive.unpack(folder)
    return Predictor.load(folder)


def expected_logits(*flat: NDArray[Any]) -> NDArray[np.float32]:
    values = np.concatenate([array.reshape(-1) for array in flat]).astype(np.float32)
    return values @ weights(len(values))


@pytest.mark.parametrize("kind", ["onnxruntime", "torchscript"])
def test_answers_are_the_models(kind: Literal["onnxruntime", "torchscript"], tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [GREY], kind=kind), tmp_path / "unpacked")
    pixels = np.arange(48, dtype=np.uint8).reshape(1, 8, 6)
    pixels.flags.writeable = False  # as the bytes of a request are
    logits = predictor.predict([{"image": pixels}])
    expected = expected_logits(pixels)
    np.testing.assert_allclose(logits, expected[np.newaxis], rtol=1e-5)
    request = Request(instances=({"image": pixels},), form="raw", listed=False)
    answer = json.loads(encode_response(predictor, request, logits, Extras()))
    assert answer["label"] == LABELS[int(expected.argmax())]
    assert answer["class_id"] == int(expected.argmax())
    assert answer["probability"] == pytest.approx(np.exp(expected).max() / np.exp(expected).sum(), rel=1e-4)
    assert [one["class_id"] for one in answer["top"]] == np.argsort(-expected)[:3].tolist()
    assert (answer["version"], answer["digest"]) == ("1.0", predictor.digest)
    assert "logits" not in answer


def test_probabilities_of_a_network_are_answered_as_they_are(tmp_path: Path) -> None:
    outputs = np.array([0.001, 0.998, 0.001, *[0] * (len(LABELS) - 3)], np.float32)
    told = {}
    for activation in ACTIVATIONS:
        archive = build_archive(tmp_path / activation, [TABLE], activation=activation)
        predictor = load(archive, tmp_path / f"{activation}-unpacked")
        assert predictor.serving.activation == activation
        answer = predictor.answer(outputs)
        assert (answer["class_id"], answer["probability"]) == (1, answer["top"][0]["probability"])
        told[activation] = answer["probability"]
    assert told["softmax"] == told["sigmoid"] == np.float32(0.998)
    assert told["none"] == pytest.approx(np.exp(0.998) / np.exp(outputs.astype(float)).sum())


def test_an_archive_from_before_activations_were_declared_answers_with_softmax(tmp_path: Path) -> None:
    document = build_archive(tmp_path, [TABLE]).serving.to_json()
    assert document.pop("activation") == "none"
    assert Serving.from_json(document).activation == "none"
    with pytest.raises(ValueError, match="activation: expected none, softmax, sigmoid, found 'tanh'"):
        Serving.from_json({**document, "activation": "tanh"})


@pytest.mark.parametrize("kind", ["onnxruntime", "torchscript"])
def test_self_test_passes_in_every_batch_size(kind: Literal["onnxruntime", "torchscript"], tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [COLOUR], kind=kind), tmp_path / "unpacked")
    report = predictor.self_test()
    assert list(report) == [(1, ""), (2, ""), (7, "")]
    assert all(comparison.passed for comparison in report.values())
    predictor.require_self_test()


def test_wrong_golden_answers_are_refused_in_one_line(tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [GREY], golden_shift=0.01), tmp_path / "unpacked")
    with pytest.raises(Refusal) as caught:
        predictor.require_self_test()
    line = str(caught.value)
    assert line.startswith("candidate float.onnx.fp32: golden answers differ at batch size 1: at [0, 0]: expected 0.01")
    for part in ("difference 0.01", "limit ", "CPU ", "onnxruntime ", "numpy "):
        assert part in line
    assert "\n" not in line


def test_golden_answers_of_other_sizes_are_replayed(tmp_path: Path) -> None:
    right = load(build_archive(tmp_path / "right", [SEQUENCE], sizes=(2, 13)), tmp_path / "a")
    assert list(right.self_test())[3:] == [(batch, f"tokens of {size}") for size in (2, 13) for batch in (1, 3)]
    right.require_self_test()
    wrong = load(build_archive(tmp_path / "wrong", [SEQUENCE], sizes=(2, 13), size_shift=0.01), tmp_path / "b")
    with pytest.raises(
        Refusal, match=r"golden answers differ at batch size 1, tokens of 2: at \[0, 0\]: .*difference 0\.01"
    ):
        wrong.require_self_test()


def test_a_size_that_the_model_cannot_take_is_the_clients_fault(tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [SEQUENCE], sizes=(2, 13)), tmp_path / "unpacked")
    instances = [{"tokens": np.arange(size)} for size in (6, 40, 3)]
    assert predictor.predict(instances).shape == (3, 5)
    with pytest.raises(BadRequest) as caught:
        predictor.predict([*instances, {"tokens": np.arange(1)}])
    assert caught.value.status == 400
    assert caught.value.expected == "sizes that it takes; proven: tokens of 6; tokens of 2; tokens of 13"
    assert caught.value.found.startswith("tokens of 1 ([ONNXRuntimeError]")


def test_a_failure_at_a_proven_size_stays_ours(tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [SEQUENCE], sizes=(2, 13)), tmp_path / "unpacked")
    predictor._model = lambda inputs: np.full((len(inputs["tokens"]), 5), np.nan, np.float32)
    with pytest.raises(FloatingPointError):
        predictor.predict([{"tokens": np.arange(13)}])


@pytest.mark.parametrize("member", ["model.onnx", "golden.safetensors", "handlers/decode.py", "MAR-INF/MANIFEST.json"])
def test_altered_and_missing_members_are_refused(member: str, tmp_path: Path) -> None:
    archive = build_archive(tmp_path / "made", [GREY])
    archive.unpack(tmp_path)
    (tmp_path / member).write_bytes(archive.members[member] + b" ")
    with pytest.raises(Refusal, match=f"{member}: expected SHA-256 .*, found "):
        Predictor.load(tmp_path)
    (tmp_path / member).unlink()
    with pytest.raises(Refusal, match=f"{member}: expected the file listed in serving.json, found: No such file"):
        Predictor.load(tmp_path)


def test_sources_put_beside_the_data_of_an_archive_are_checked_by_their_own_list(tmp_path: Path) -> None:
    archive = build_archive(tmp_path / "made", [GREY])
    with zipfile.ZipFile(io.BytesIO(archive.to_served_bytes())) as packed:
        packed.extractall(tmp_path)
    assert Predictor.load(tmp_path).digest == archive.digest
    for member in ("handlers/decode.py", "torchserve_handler.py", "model.onnx", "golden.safetensors"):
        content = (tmp_path / member).read_bytes()
        (tmp_path / member).write_bytes(content + b" ")
        with pytest.raises(Refusal, match=f"{member}: expected SHA-256 .*, found "):
            Predictor.load(tmp_path)
        (tmp_path / member).write_bytes(content)
    digest = "0" * 64
    for text in (
        "[",
        "5",
        f'[["a.py", "{digest}"]]',
        f'{{"a\\u0000b.py": "{digest}"}}',
        f'{{"../a.py": "{digest}"}}',
        '{"a.py": 5}',
        "[" * 100_000,
    ):
        (tmp_path / "handler.json").write_text(text)
        with pytest.raises(Refusal, match=r"handler\.json: expected a readable list, found: "):
            Predictor.load(tmp_path)


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def of_another_type(content: bytes) -> bytes:
    """The same file, whose first array of bytes has a type that numpy does not have."""
    header, values = header_of(content)
    next(entry for name, entry in header.items() if entry.get("dtype") == "U8")["dtype"] = "F8_E4M3"
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def changed(arrays: Mapping[str, NDArray[Any] | None]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        return save({name: array for name, array in {**loaded(content), **arrays}.items() if array is not None})

    return change


@pytest.mark.parametrize(
    ("member", "inputs", "change", "found"),
    [
        ("golden.safetensors", [GREY], of_another_type, "golden.safetensors: expected arrays that numpy has, found: "),
        (
            "golden.safetensors",
            [SEQUENCE],
            changed({"size.0.input.tokens": np.zeros(4, np.int64)}),
            "golden.safetensors: size.0.input.tokens: expected 2 axes, found 1",
        ),
        (
            "golden.safetensors",
            [GREY, TABLE],
            changed({"input.features": np.array(1, np.float32)}),
            "golden.safetensors: input.features: expected float32 of shape [9, 4], as",
        ),
        ("pictures.safetensors", [GREY], of_another_type, "pictures.safetensors: expected arrays that numpy has"),
        (
            "pictures.safetensors",
            [GREY],
            changed({"pixels.image.0": None}),
            "pictures.safetensors: expected an array 'pixels.image.0', found none",
        ),
        (
            "pictures.safetensors",
            [GREY],
            changed({"file.image.1": np.zeros(4, np.float32)}),
            "pictures.safetensors: file.image.1: expected uint8 of 1 axes, found float32 of shape [4]",
        ),
    ],
)
def test_arrays_that_are_not_what_they_should_be_are_refused(
    member: str, inputs: list[InputSpec], change: Callable[[bytes], bytes], found: str, tmp_path: Path
) -> None:
    archive = build_archive(tmp_path / "made", inputs)
    content = change(archive.members[member])
    archive.unpack(tmp_path / "unpacked")
    (tmp_path / "unpacked" / member).write_bytes(content)
    document = archive.serving.to_json()
    document["files"][member] = hashlib.sha256(content).hexdigest()
    (tmp_path / "unpacked" / "serving.json").write_text(json.dumps(document))
    with pytest.raises(Refusal, match=re.escape(f"candidate float.onnx.fp32: {found}")):
        Predictor.load(tmp_path / "unpacked")
    with pytest.raises(FileError, match=re.escape(f"belong to the model, found: {found}")):
        made_again(archive, tmp_path / "again.mar", members={member: content})


def test_instances_are_answered_in_batches_and_in_order(tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [GREY, TABLE]), tmp_path / "unpacked")
    generator = np.random.default_rng(1)
    instances: list[dict[str, NDArray[Any]]] = [
        {
            "image": generator.integers(0, 256, (1, 8, 6), dtype=np.uint8),
            "features": generator.uniform(-2, 2, 4).astype(np.float32),
        }
        for _ in range(17)  # more than twice the largest golden batch
    ]
    expected = np.stack([expected_logits(one["image"], one["features"]) for one in instances])
    np.testing.assert_allclose(predictor.predict(instances), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("allowed", "expected"), [(False, [1, 1, 1]), (True, [3])])
def test_a_model_that_depends_on_its_batch_sees_one_example_at_a_time_unless_that_is_allowed(
    tmp_path: Path, *, allowed: bool, expected: list[int]
) -> None:
    archive = build_archive(tmp_path / "made", [TABLE], batch_invariant=False, allow_batch_variant=allowed)
    predictor = load(archive, tmp_path / "unpacked")
    sizes = []
    model = predictor._model

    def watched(inputs: Any) -> NDArray[np.float32]:
        sizes.append(len(inputs["features"]))
        return model(inputs)

    predictor._model = watched
    predictor.predict([{"features": np.zeros(4, np.float32)}] * 3)
    assert sizes == expected


def test_logits_on_demand_are_exact(tmp_path: Path) -> None:
    predictor = load(build_archive(tmp_path / "made", [TABLE]), tmp_path / "unpacked")
    instance = {"features": np.array([0.1, 0.2, 0.3, 1.7], np.float32)}
    request = Request(instances=(instance, instance), form="instances", listed=True)
    logits = predictor.predict(request.instances)
    answer = json.loads(encode_response(predictor, request, logits, Extras(logits=True)))
    found = np.array([one["logits"] for one in answer["predictions"]], dtype=np.float32)
    np.testing.assert_array_equal(found, logits)


def test_no_torch_for_onnx(tmp_path: Path) -> None:
    build_archive(tmp_path / "made", [GREY]).unpack(tmp_path / "unpacked")
    program = (
        "import sys; from pathlib import Path; from handlers.predictor import Predictor; "
        "Predictor.load(Path(sys.argv[1])).require_self_test(); "
        "assert 'torch' not in sys.modules and 'pipeline' not in sys.modules; print('fine')"
    )
    # The unpacked archive alone: its own sources come from there.
    done = subprocess.run(
        [sys.executable, "-c", program, "."], cwd=tmp_path / "unpacked", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_descriptions_survive_json(tmp_path: Path) -> None:
    serving = build_archive(tmp_path, [GREY, TABLE]).serving
    assert Serving.from_json(json.loads(json.dumps(serving.to_json()))) == serving


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema: expected 1, found 2"),
        ({"task": "ranking"}, "task: expected classification or multi-label or regression or outputs, found 'ranking'"),
        ({"labels": None}, "serving.json: TypeError"),
        ({"golden": {}}, "serving.json: KeyError: 'file'"),
        ({"runtime": {"kind": "pickle", "file": "model.pkl"}}, "runtime: unknown kind"),
        ({"runtime": {"kind": "onnxruntime", "file": "../model.onnx"}}, "runtime: file: expected a plain file name"),
        ({"runtime": {"kind": "onnxruntime", "file": ".."}}, "runtime: file: expected a plain file name"),
        ({"runtime": {"kind": "onnxruntime", "file": "a.onnx", "threads": True}}, "runtime: threads: expected a whole"),
        ({"model": {"name": 7, "version": "1"}}, "model.name: expected a name of at most 100"),
        ({"labels": ["a", 1]}, "labels: expected text, found 1"),
        ({"files": {"model.onnx": "0" * 63}}, "files: model.onnx: expected a SHA-256 in 64 hexadecimal digits"),
    ],
)
def test_descriptions_are_checked(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    document = build_archive(tmp_path, [GREY]).serving.to_json()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        Serving.from_json({**document, **changes})
    assert str(caught.value).startswith(message)


def test_runtime_survives_json() -> None:
    spec = RuntimeSpec(kind="torchscript", file="model.pt", optimization="none", threads=2, batch_invariant=False)
    assert RuntimeSpec.from_json(spec.to_json()) == spec
