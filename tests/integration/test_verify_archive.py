"""`pipeline verify ARCHIVE`: what is proven offline, and that nothing is loaded before every byte was checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from pipeline import cli
from pipeline._handlers.model_file import load_model, run_chunks
from pipeline.archive.mar import Archive, read_archive
from pipeline.commands.evidence import evidence
from pipeline.commands.sign import sign
from pipeline.commands.verify_archive import verify_archive
from pipeline.data.dataset import Split, write_split
from pipeline.data.synthetic import synthetic_inputs
from pipeline.errors import DataError, FileError, PipelineError, ProofError, UsageError
from pipeline.serving.state import read_states
from tests.command_line import run
from tests.evidence_sample import QUALITY, sample_evidence
from tests.faulty_archives import judged_anew, made_again, zipped
from tests.served_models import GREY, build_archive
from tests.signing_keys import make_keys

EXAMPLES = 100


@pytest.fixture(scope="module")
def split() -> Split:
    labels = np.random.default_rng(3).integers(0, 5, EXAMPLES)
    return Split(inputs=synthetic_inputs([GREY], EXAMPLES), labels=labels)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Archive:
    """Its evidence records what the model really gets right on the split."""
    folder = tmp_path_factory.mktemp("archive")
    plain = build_archive(folder / "plain", [GREY])
    plain.unpack(folder / "unpacked")
    model = load_model(folder / "unpacked", plain.serving.runtime, plain.serving.inputs)
    right = run_chunks(model, split.inputs, 32).argmax(axis=1) == split.labels
    quality: dict[str, Any] = {**QUALITY, "examples": EXAMPLES, "accuracy": int(right.sum()) / EXAMPLES}
    digests = {"train": "4" * 64, "validation": split.digest(), "test": "6" * 64}
    return build_archive(folder / "evident", [GREY], evidence=sample_evidence(digests=digests, validation=quality))


def test_command_line(archive: Archive, split: Split, tmp_path: Path) -> None:
    write_split(tmp_path / "validation.safetensors", split)
    ended = run("verify", archive.path, "--digest", archive.digest, "--data", tmp_path, "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["digest"] == archive.digest
    assert found["vouched"] is found["pinned"] is found["same_handler"] is found["evidence"] is True
    assert found["signature"] == "none"
    assert found["golden"]["passed"] is True
    assert [one["batch_size"] for one in found["golden"]["checks"]] == [1, 2, 7]
    [quality] = found["quality"]
    assert (quality["split"], quality["examples"]) == ("validation", EXAMPLES)
    assert quality["accuracy"] == quality["recorded"]
    assert quality["lower"] < quality["accuracy"] < quality["upper"]


def test_a_person_is_told_that_nobody_vouches(archive: Archive) -> None:
    ended = run("verify", archive.path)
    assert ended.returncode == 0, ended.stderr
    assert "vouched    by nobody: whoever altered a member and the list of digests alike" in ended.stdout
    assert f"digest     {archive.digest}" in ended.stdout
    assert "golden     same answers in batches of 1, 2, 7: largest difference" in ended.stdout


def test_torchscript(tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [GREY], kind="torchscript")
    found = verify_archive(archive.path, digest=archive.sha256)
    assert found.golden.passed
    assert found.pinned
    assert not found.evidence


# Says what was refused, then what was started or loaded all the same.
PROBE = """
import sys
from pathlib import Path
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in ("subprocess.Popen", "os.posix_spawn") else None)
from pipeline.errors import FileError
from pipeline.commands.verify_archive import verify_archive
for path in sys.argv[1:]:
    try:
        verify_archive(Path(path))
    except FileError as error:
        print(error)
print(*started, *[name for name in ("torch", "onnxruntime", "onnx") if name in sys.modules], sep=",")
"""


def test_nothing_is_loaded_of_an_altered_archive(archive: Archive, tmp_path: Path) -> None:
    content = archive.path.read_bytes()
    model = archive.members["model.onnx"]
    flipped, header = bytearray(content), bytearray(content)
    flipped[content.index(model) + len(model) // 2] ^= 1
    header[content.index(b"PK\x01\x02") + 12] ^= 1
    faults = {
        "data": bytes(flipped),
        "header": bytes(header),
        "cut": content[:-1],
        "swapped": zipped(sorted({**archive.members, "model.onnx": model[:-1]}.items())),
        "added": zipped(sorted({**archive.members, "x.py": b""}.items())),
    }
    paths = [tmp_path / f"{name}.mar" for name in faults]
    for path, altered in zip(paths, faults.values(), strict=True):
        path.write_bytes(altered)
    ended = subprocess.run([sys.executable, "-c", PROBE, *map(str, paths)], capture_output=True, text=True, check=True)
    *messages, loaded = ended.stdout.splitlines()
    assert len(messages) == len(faults)
    assert loaded == "", "neither a process nor a runtime"
    assert "model.onnx" in messages[0]
    assert messages[3].split(": ")[1] == "model.onnx"


def test_an_altered_archive_ends_the_command_with_3(archive: Archive, tmp_path: Path) -> None:
    altered = bytearray(archive.path.read_bytes())
    altered[altered.index(archive.members["model.onnx"])] ^= 1
    (tmp_path / "a.mar").write_bytes(altered)
    for command in ("verify", "evidence"):
        ended = run(command, tmp_path / "a.mar")
        assert ended.returncode == 3
        assert "model.onnx" in ended.stderr
        assert ended.stdout == ""


def test_what_only_a_digest_or_a_signature_finds(archive: Archive, tmp_path: Path) -> None:
    # One class renamed wherever it stands, and every digest made to fit: consistent, and another archive.
    labels = ["boat" if one == "coat" else one for one in archive.serving.labels]
    forged = tmp_path / "forged.mar"
    made_again(
        archive, forged, serving=lambda one: one.update(labels=labels), evidence=lambda one: one.update(labels=labels)
    )
    assert not verify_archive(forged).vouched
    with pytest.raises(FileError, match=rf"expected digest {archive.digest}, found .*; it is another archive"):
        verify_archive(forged, digest=archive.digest.upper())
    keys = make_keys(tmp_path, "key")
    twin = tmp_path / "twin.mar"
    twin.write_bytes(archive.path.read_bytes())
    sign(twin, keys.private).rename(tmp_path / "forged.mar.sig")
    with pytest.raises(FileError, match=r"forged\.mar\.sig: expected the signature of forged\.mar by the key key\.pub"):
        verify_archive(forged, public_key=keys.public)


def test_signature_on_the_command_line(archive: Archive, tmp_path: Path) -> None:
    keys = make_keys(tmp_path, "key")
    path = tmp_path / "a.mar"
    path.write_bytes(archive.path.read_bytes())
    insist = ("verify", path, "--public-key", keys.public, "--require-signature")
    ended = run(*insist)
    assert ended.returncode == 3
    assert f"a.mar.sig: expected a signature to check with {keys.public}, found none, as where" in ended.stderr
    ended = run("sign", path, "--key", keys.private)
    assert (ended.returncode, ended.stdout) == (0, f"{path}.sig\n"), ended.stderr
    ended = run("verify", path)
    assert ended.returncode == 2
    assert "expected the signer's public key to check this signature with; give --public-key FILE" in ended.stderr
    ended = run(*insist, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["signature"] == "valid"


@pytest.mark.parametrize("command", [("serve", "--timeout", "1"), ("bench", "--no-served")], ids=["serve", "bench"])
def test_serve_and_bench_hold_an_archive_against_who_vouches_for_it(
    command: tuple[str, ...],
    archive: Archive,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    keys, others = make_keys(tmp_path, "key"), make_keys(tmp_path, "other")
    path, signature = tmp_path / "a.mar", tmp_path / "a.mar.sig"
    path.write_bytes(archive.path.read_bytes())

    def refused(*options: str | Path) -> str:
        code = cli._run([command[0], str(path), *command[1:], *map(str, options)])
        return f"{code} {capfd.readouterr().err}"

    assert refused("--digest", "0" * 64).startswith(f"3 error: {path}: expected digest {'0' * 64}, found ")
    assert "3 error: " + str(signature) in refused("--public-key", keys.public, "--require-signature")
    missing = f"3 error: {signature}: expected a signature to check with {keys.public}, found none"
    assert refused("--public-key", keys.public).startswith(missing), "whoever takes the signature away gains nothing"
    assert refused("--require-signature").startswith("2 error: --require-signature: expected the signer's public key")
    sign(path, others.private)
    assert refused().startswith(f"2 error: {signature}: expected the signer's public key to check this signature with")
    assert "expected the signature of a.mar by the key key.pub" in refused("--public-key", keys.public)
    signature.write_bytes(b"{}")
    assert "expected the signature of a.mar by the key key.pub" in refused("--public-key", keys.public)
    signature.unlink()
    signature.symlink_to("nowhere")
    assert refused().startswith(f"2 error: {signature}: expected the signer's public key")
    assert read_states() == []


def test_golden_answers_that_prove_nothing_are_told(tmp_path: Path) -> None:
    plain = build_archive(tmp_path, [GREY])
    assert "they prove nothing" not in run("verify", plain.path).stdout
    answers = load(plain.members["golden.safetensors"])["logits.1"]
    wide = float(answers.max() - answers.min())
    made_again(plain, plain.path, serving=lambda one: one["golden"]["tolerance"].update(absolute=wide))
    ended = run("verify", plain.path)
    assert ended.returncode == 0, ended.stderr
    assert "they prove nothing: one and the same answer to all of them would be inside the limit" in ended.stdout
    assert json.loads(run("verify", plain.path, "--json").stdout)["golden"]["empty"] is True


def test_nothing_altered_is_signed(archive: Archive, tmp_path: Path) -> None:
    keys = make_keys(tmp_path, "key")
    path = tmp_path / "a.mar"
    path.write_bytes(archive.path.read_bytes()[:-1])
    with pytest.raises(FileError, match="the file is damaged or truncated"):
        sign(path, keys.private)
    assert not (tmp_path / "a.mar.sig").exists()


def test_golden_answers_that_differ(tmp_path: Path) -> None:
    shifted = build_archive(tmp_path, [GREY], golden_shift=0.5)
    with pytest.raises(ProofError, match=r"candidate float\.onnx\.fp32: golden answers differ at batch size 1: at \["):
        verify_archive(shifted.path)


def test_model_that_cannot_be_loaded(archive: Archive, tmp_path: Path) -> None:
    unknown = archive.members["model.onnx"].replace(b"MatMul", b"Nothin")
    path, judged = tmp_path / "a.mar", judged_anew(archive, unknown)
    made_again(archive, path, members={"model.onnx": unknown}, evidence=judged)
    with pytest.raises(ProofError, match=r"the golden batch cannot be replayed: .*model\.onnx cannot be loaded"):
        verify_archive(path)


def test_another_handler_is_said_and_not_run(archive: Archive, tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n".encode() + archive.members["handlers/predictor.py"]
    path = tmp_path / "a.mar"
    made_again(archive, path, members={"handlers/predictor.py": trap})
    assert read_archive(path).members["handlers/predictor.py"] == trap
    found = verify_archive(path)
    assert not found.same_handler
    assert not (tmp_path / "ran").exists()


def test_quality_that_is_not_the_recorded_one(archive: Archive, split: Split, tmp_path: Path) -> None:
    write_split(tmp_path / "split.safetensors", split)
    # Evidence that claims two right answers more than there are; all else is in order.
    evidence = json.loads(archive.members["evidence.json"])
    del evidence["members"]
    evidence["metrics"]["validation"]["accuracy"] += 0.02
    lying = build_archive(tmp_path / "lying", [GREY], evidence=evidence)
    expected = round(evidence["metrics"]["validation"]["accuracy"] * EXAMPLES)
    message = rf"validation split: expected {expected} of 100 right within 1, as evidence\.json records, found"
    with pytest.raises(ProofError, match=message):
        verify_archive(lying.path, data=tmp_path / "split.safetensors")


def test_other_data_are_judged_without_a_claim(archive: Archive, split: Split, tmp_path: Path) -> None:
    write_split(tmp_path / "mine.safetensors", split.take(slice(0, 40)))
    [quality] = verify_archive(archive.path, data=tmp_path / "mine.safetensors").quality
    assert (quality.split, quality.examples, quality.recorded) == (None, 40, None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"digest": "abc"}, UsageError, "--digest: expected 64 hexadecimal digits"),
        ({"require_signature": True}, UsageError, "give --public-key FILE"),
        ({"data": Path("none")}, FileError, "none: expected a split"),
    ],
)
def test_requests_that_cannot_be(
    archive: Archive, options: dict[str, Any], error: type[PipelineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        verify_archive(archive.path, **options)


def test_data_that_do_not_fit(archive: Archive, split: Split, tmp_path: Path) -> None:
    write_split(tmp_path / "a.safetensors", Split(inputs={"other": split.inputs["image"]}, labels=split.labels))
    with pytest.raises(DataError, match=r"a\.safetensors: expected inputs \['image'\], found \['other'\]"):
        verify_archive(archive.path, data=tmp_path / "a.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"empty: expected a split such as test\.safetensors, found 0"):
        verify_archive(archive.path, data=tmp_path / "empty")


def test_folder_on_the_command_line(tmp_path: Path) -> None:
    ended = run("verify", tmp_path)
    assert ended.returncode == 3
    assert "expected a run directory of pipeline build, found no manifest.json in it" in ended.stderr


def test_forms_of_evidence_on_the_command_line(archive: Archive) -> None:
    ended = run("evidence", archive.path, "--format", "json")
    assert json.loads(ended.stdout) == json.loads(archive.members["evidence.json"])
    ended = run("evidence", archive.path)
    assert ended.stdout == evidence(archive.path, form="markdown")


def test_archive_without_evidence(tmp_path: Path) -> None:
    plain = build_archive(tmp_path, [GREY])
    with pytest.raises(FileError, match=r"tiny\.mar: expected a member evidence\.json, found none"):
        evidence(plain.path, form="slsa")
