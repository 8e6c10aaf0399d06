"""No altered archive is read: every byte outside member data, bits inside it, cuts, and members moved about."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.archive.mar import Archive, read_archive
from pipeline.engine.artifacts import digest_bytes
from pipeline.errors import FileError
from tests.evidence_sample import sample_evidence
from tests.faulty_archives import zipped
from tests.served_models import GREY, build_archive

LOCAL_HEADER = 30


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("archive"), [GREY], evidence=sample_evidence())


def inside(content: bytes) -> dict[str, range]:
    """Where each member's data lies."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        places = {}
        for entry in packed.infolist():
            start = entry.header_offset + LOCAL_HEADER + len(entry.filename.encode())
            places[entry.filename] = range(start, start + entry.file_size)
        return places


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_archive(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_unfaulted_twin(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    assert zipped(iter(sorted(archive.members.items()))) == content
    (tmp_path / "twin.mar").write_bytes(content)
    assert read_archive(tmp_path / "twin.mar").digest == archive.digest


def test_every_byte_outside_member_data(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    covered = {place for places in inside(content).values() for place in places}
    outside = [place for place in range(len(content)) if place not in covered]
    # Headers, names and the directory of every member, and its end.
    assert len(outside) == sum(LOCAL_HEADER + 46 + 2 * len(name) for name in archive.members) + 22
    path = tmp_path / "a.mar"
    for place in outside:
        altered = bytearray(content)
        altered[place] ^= 0xFF
        refusal(path, bytes(altered))


def test_every_bit_of_one_members_headers(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    start = inside(content)["handlers/decode.py"].start
    for place in range(start - LOCAL_HEADER - len("handlers/decode.py"), start):
        for bit in range(8):
            altered = bytearray(content)
            altered[place] ^= 1 << bit
            refusal(tmp_path / "a.mar", bytes(altered))


def test_random_bits_inside_member_data_name_the_member(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    places = [(name, place) for name, where in inside(content).items() for place in where]
    generator = np.random.default_rng(0)
    for index in generator.integers(0, len(places), 200):
        name, place = places[index]
        altered = bytearray(content)
        altered[place] ^= 1 << int(generator.integers(8))
        assert name in refusal(tmp_path / "a.mar", bytes(altered))


def test_random_cuts(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    for length in np.random.default_rng(0).integers(0, len(content), 100):
        message = refusal(tmp_path / "a.mar", content[:length])
        assert message.startswith("expected a whole .mar archive (a zip), found:")


def test_bytes_appended_or_put_between(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    for altered in (content + b"\0", b"\0" + content, content[:100] + b"\0" + content[100:]):
        refusal(tmp_path / "a.mar", altered)


@pytest.mark.parametrize("name", ["model.onnx", "golden.safetensors", "evidence.json", "handlers/predictor.py"])
def test_member_with_another_content_and_checksum(archive: Archive, name: str, tmp_path: Path) -> None:
    members = {**archive.members, name: b"{}"}
    message = refusal(tmp_path / "a.mar", zipped(sorted(members.items())))
    assert message.startswith(f"{name}: expected SHA-256 {digest_bytes(archive.members[name])}, found")


def test_two_members_swapped(archive: Archive, tmp_path: Path) -> None:
    one, other = "handlers/compare.py", "handlers/decode.py"
    members = {**archive.members, one: archive.members[other], other: archive.members[one]}
    message = refusal(tmp_path / "a.mar", zipped(sorted(members.items())))
    assert message.startswith((f"{one}: expected SHA-256", f"{other}: expected SHA-256"))


def test_added_member(archive: Archive, tmp_path: Path) -> None:
    members = {**archive.members, "torch.py": b"import os"}
    message = refusal(tmp_path / "a.mar", zipped(sorted(members.items())))
    assert message == "torch.py: expected only members listed in serving.json, found one more"


@pytest.mark.parametrize("name", ["evidence.json", "handlers/decode.py", "model.onnx"])
def test_removed_member(archive: Archive, name: str, tmp_path: Path) -> None:
    kept = ((one, content) for one, content in sorted(archive.members.items()) if one != name)
    assert refusal(tmp_path / "a.mar", zipped(kept)) == f"expected a member {name}, found none"


def test_renamed_member(archive: Archive, tmp_path: Path) -> None:
    members = {("network.onnx" if name == "model.onnx" else name): data for name, data in archive.members.items()}
    assert refusal(tmp_path / "a.mar", zipped(sorted(members.items()))) == "expected a member model.onnx, found none"


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # of the library that writes the fault
def test_member_twice(archive: Archive, tmp_path: Path) -> None:
    twice = [*sorted(archive.members.items()), ("model.onnx", b"another")]
    assert refusal(tmp_path / "a.mar", zipped(iter(twice))) == "model.onnx: expected each member once, found 2"


def test_members_in_another_order(archive: Archive, tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.mar", zipped(iter(sorted(archive.members.items(), reverse=True))))
    assert message.startswith(
        "expected the canonical form of its members, found altered bytes in the header of MAR-INF/"
    )


def test_where_the_bytes_between_members_differ(archive: Archive, tmp_path: Path) -> None:
    content = bytearray(archive.path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        entry, directory = packed.getinfo("model.onnx"), packed.start_dir
    altered = bytearray(content)
    altered[entry.header_offset + 10] ^= 1  # the time in the local header, which no reader of zips compares
    expected = f"found altered bytes in the header of model.onnx (byte {entry.header_offset + 10})"
    assert refusal(tmp_path / "a.mar", bytes(altered)).endswith(expected)
    altered = bytearray(content)
    altered[directory + 12] ^= 1  # the time in the first entry of the directory
    expected = f"in the directory entry of MAR-INF/MANIFEST.json (byte {directory + 12})"
    assert refusal(tmp_path / "a.mar", bytes(altered)).endswith(expected)


def test_evidence_of_another_archive(archive: Archive, tmp_path: Path) -> None:
    other = build_archive(tmp_path, [GREY], name="other", evidence=sample_evidence())
    members = {**other.members, "evidence.json": archive.members["evidence.json"]}
    listed = members["serving.json"].replace(
        digest_bytes(other.members["evidence.json"]).encode(), digest_bytes(members["evidence.json"]).encode()
    )
    message = refusal(tmp_path / "a.mar", zipped(iter(sorted({**members, "serving.json": listed}.items()))))
    assert message == (
        "evidence.json: expected the digests of the members packed with it, found another one, or none, of "
        "MAR-INF/MANIFEST.json; it belongs to another archive"
    )
