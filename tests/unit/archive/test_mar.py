"""Archives: the same bytes every time, and nothing altered gets through."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import __version__
from pipeline._handlers.description import Serving
from pipeline.archive.mar import Archive, read_archive
from pipeline.archive.members import handler_sources, same_handler
from pipeline.engine.artifacts import digest_bytes
from pipeline.errors import FileError
from tests.evidence_sample import sample_evidence
from tests.faulty_archives import made_again
from tests.served_models import GREY, build_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("archive"), [GREY])


def rewritten(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as packed:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            entry.compress_type = compression
            packed.writestr(entry, members[name])
    return buffer.getvalue()


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_archive(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_same_inputs_same_bytes(archive: Archive, tmp_path: Path) -> None:
    again = build_archive(tmp_path, [GREY])
    assert again.path.read_bytes() == archive.path.read_bytes()
    assert (again.digest, again.sha256) == (archive.digest, archive.sha256)


def test_members(archive: Archive) -> None:
    assert sorted(archive.members) == [
        "MAR-INF/MANIFEST.json",
        "golden.safetensors",
        "handlers/__init__.py",
        "handlers/activation.py",
        "handlers/answer_size.py",
        "handlers/arrays.py",
        "handlers/bad_request.py",
        "handlers/batch_answering.py",
        "handlers/bmp_metadata.py",
        "handlers/body_forms.py",
        "handlers/classification_answer.py",
        "handlers/columns.py",
        "handlers/compare.py",
        "handlers/datatypes.py",
        "handlers/decode.py",
        "handlers/description.py",
        "handlers/description_checks.py",
        "handlers/domain.py",
        "handlers/effort.py",
        "handlers/exchange.py",
        "handlers/foreign_kinds.py",
        "handlers/frame.py",
        "handlers/framing.py",
        "handlers/gif_metadata.py",
        "handlers/golden.py",
        "handlers/golden_pictures.py",
        "handlers/instance_parser.py",
        "handlers/jpeg_metadata.py",
        "handlers/jpeg_scans.py",
        "handlers/json_instances.py",
        "handlers/json_text.py",
        "handlers/limits.py",
        "handlers/model_file.py",
        "handlers/multi_label_answer.py",
        "handlers/nested_lists.py",
        "handlers/onnx_runtime_import.py",
        "handlers/open_inference.py",
        "handlers/outputs.py",
        "handlers/outputs_answer.py",
        "handlers/picture_body.py",
        "handlers/picture_kinds.py",
        "handlers/picture_metadata.py",
        "handlers/picture_modes.py",
        "handlers/picture_text.py",
        "handlers/pixel_budget.py",
        "handlers/png_metadata.py",
        "handlers/predictor.py",
        "handlers/raw_body.py",
        "handlers/regression_answer.py",
        "handlers/request.py",
        "handlers/request_fields.py",
        "handlers/runtimes.py",
        "handlers/sizes.py",
        "handlers/task_answers.py",
        "handlers/tensor_answer.py",
        "handlers/tensor_body.py",
        "handlers/tensor_heads.py",
        "handlers/tensor_request.py",
        "handlers/tensor_text.py",
        "handlers/tensor_values.py",
        "handlers/tiff_directory.py",
        "handlers/tiff_metadata.py",
        "handlers/tolerance.py",
        "handlers/torchserve_reading.py",
        "handlers/webp_metadata.py",
        "model.onnx",
        "pictures.safetensors",
        "serving.json",
        "torchserve_handler.py",
    ]
    assert set(archive.serving.files) == set(archive.members) - {"serving.json"}
    for name, content in handler_sources().items():
        assert archive.members[name] == content


def test_torchserves_own_description(archive: Archive) -> None:
    document = json.loads(archive.members["MAR-INF/MANIFEST.json"])
    assert document["createdOn"] == "01/01/1980 00:00:00"
    assert document["model"] == {
        "modelName": "tiny",
        "serializedFile": "model.onnx",
        "handler": "torchserve_handler.py",
        "modelVersion": "1.0",
    }


def test_digest_is_that_of_the_description(archive: Archive) -> None:
    assert archive.digest == digest_bytes(archive.members["serving.json"])
    assert archive.sha256 == digest_bytes(archive.path.read_bytes())
    assert archive.to_bytes() == archive.path.read_bytes()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.mar: expected a readable \.mar archive, found: No such file"):
        read_archive(tmp_path / "none.mar")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_not_an_archive(content: bytes, tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", content)
    assert message.startswith(
        ("expected a whole .mar archive (a zip), found:", "expected a member serving.json, found")
    )


def test_truncated_anywhere(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    for cut in np.linspace(1, len(content) - 1, 25).astype(int):
        message = refusal(tmp_path / "a.mar", content[:cut])
        assert message.startswith("expected a whole .mar archive (a zip), found:")


def test_flipped_bits_anywhere(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        refusal(tmp_path / "a.mar", bytes(flipped))


def test_swapped_member(archive: Archive, tmp_path: Path) -> None:
    members = {**archive.members, "model.onnx": b"another model"}
    message = refusal(tmp_path / "a.mar", rewritten(members))
    assert message.startswith("model.onnx: expected SHA-256 ")
    assert message.endswith("it was altered after packing")


def test_removed_member(archive: Archive, tmp_path: Path) -> None:
    members = {name: content for name, content in archive.members.items() if name != "handlers/decode.py"}
    assert refusal(tmp_path / "a.mar", rewritten(members)) == "expected a member handlers/decode.py, found none"


def test_added_member(archive: Archive, tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", rewritten({**archive.members, "numpy.py": b"import os"}))
    assert message == "numpy.py: expected only members listed in serving.json, found one more"


def test_member_outside(archive: Archive, tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", rewritten({**archive.members, "../evil.py": b""}))
    assert message == "'../evil.py': expected a relative member name"


def test_compressed_members(archive: Archive, tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", rewritten(dict(archive.members), zipfile.ZIP_DEFLATED))
    assert message.endswith("expected a stored member, found a compressed one")


def test_bytes_between_members(archive: Archive, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive.path.read_bytes())) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    assert rewritten(members) == archive.path.read_bytes()
    message = refusal(tmp_path / "a.mar", b"#!/bin/sh\n" + archive.path.read_bytes())
    assert message.startswith("expected the canonical form of its members")


def test_foreign_archive(tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", rewritten({"MAR-INF/MANIFEST.json": b"{}"}))
    assert message == "expected a member serving.json, found none; was it made by `pipeline build`?"


def test_description_that_is_not_one(archive: Archive, tmp_path: Path) -> None:
    members = {**archive.members, "serving.json": b'{"schema": 9}'}
    message = refusal(tmp_path / "a.mar", rewritten(members))
    assert message == (
        f"serving.json: expected schema 1, which pipeline {__version__} reads, found schema 9 of "
        "another release; use that release, or build the archive anew"
    )


def test_description_nested_beyond_any_parser(archive: Archive, tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", rewritten({**archive.members, "serving.json": b"[" * 200_000}))
    assert message.startswith("serving.json: expected a valid description, found: maximum recursion depth exceeded")


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile's own, for the file made here
def test_a_member_that_is_there_twice(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for number in range(10_000):
            packed.writestr(f"{number}", b"")
        packed.writestr("7", b"")
    assert refusal(tmp_path / "a.mar", buffer.getvalue()) == "7: expected each member once, found 2"


def test_description_that_leaves_out_the_handler(archive: Archive, tmp_path: Path) -> None:
    serving: Serving = archive.serving
    files = {name: digest for name, digest in serving.files.items() if name != "torchserve_handler.py"}
    members = {name: content for name, content in archive.members.items() if name != "torchserve_handler.py"}
    members["serving.json"] = json.dumps(replace(serving, files=files).to_json()).encode()
    message = refusal(tmp_path / "a.mar", rewritten(members))
    assert message == "expected a member torchserve_handler.py, found none"


def test_what_is_served_is_the_data_and_this_installations_handler(archive: Archive, tmp_path: Path) -> None:
    theirs = b"raise SystemExit('not ours')"
    path = tmp_path / "a.mar"
    foreign = made_again(archive, path, members={"torchserve_handler.py": theirs, "handlers/decode.py": theirs})
    assert not same_handler(foreign.members)
    assert theirs in foreign.to_bytes()
    with zipfile.ZipFile(io.BytesIO(foreign.to_served_bytes())) as packed:
        served = {name: packed.read(name) for name in packed.namelist()}
    data = {"serving.json", "model.onnx", "golden.safetensors", "pictures.safetensors"}
    assert set(served) == {*data, *handler_sources(), "handler.json", "MAR-INF/MANIFEST.json"}
    assert {name: served[name] for name in data} == {name: foreign.members[name] for name in data}
    assert {name: served[name] for name in handler_sources()} == handler_sources()
    assert json.loads(served["MAR-INF/MANIFEST.json"])["model"]["handler"] == "torchserve_handler.py"


def test_an_archive_of_a_later_release_is_refused_with_both_versions(tmp_path: Path) -> None:
    later = build_archive(tmp_path / "made", [GREY], evidence=sample_evidence())
    evidence = json.loads(later.members["evidence.json"])
    evidence["code"]["version"] = "9.1.0"
    described = {**json.loads(later.members["serving.json"]), "schema": 2}
    members = {
        **later.members,
        "evidence.json": json.dumps(evidence).encode(),
        "serving.json": json.dumps(described).encode(),
    }
    ours = __version__
    assert refusal(tmp_path / "a.mar", rewritten(members)) == (
        f"serving.json: expected schema 1, which pipeline {ours} reads, found schema 2 of pipeline 9.1.0; "
        "use that release, or build the archive anew"
    )
    described = {**described, "schema": 1, "runtime": {**described["runtime"], "device": "npu"}}
    message = refusal(tmp_path / "a.mar", rewritten({**members, "serving.json": json.dumps(described).encode()}))
    assert message.startswith("serving.json: expected a valid description, found: runtime: ")
    assert message.endswith(f"; it was made by pipeline 9.1.0, and this is pipeline {ours}")
