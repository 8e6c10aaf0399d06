"""The stages `package` and `smoke`, on a small model, through a real server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.sizes import SizeGroup, pack_size_groups, size_groups
from pipeline.archive.evidence.code import portable_settings
from pipeline.archive.mar import read_archive
from pipeline.candidates.choose import judge
from pipeline.candidates.selection import Selection
from pipeline.candidates.unproven import CandidateList
from pipeline.data.dataset import DataSet, Split, describe, write_info, write_split
from pipeline.data.synthetic import synthetic_inputs
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import write_document
from pipeline.engine.stage import Inputs
from pipeline.errors import ProofError, UsageError
from pipeline.recipe.limits import Budget
from pipeline.serving.state import read_states
from pipeline.stages.package import PackageSettings, outside
from pipeline.stages.package import run as run_package
from pipeline.stages.smoke import SmokeSettings
from pipeline.stages.smoke import run as run_smoke
from tests.evidence_sample import MEASURED, PARITY, sample_recipe, sample_report
from tests.served_models import GREY, LABELS, SEQUENCE, TABLE, linear_onnx, mean_onnx, weights
from tests.stage_outputs import outputs

CANDIDATE = "float.onnx.fp32"
SAMPLES = 24


def made(folder: Path, spec: InputSpec, *, model: bytes | None = None) -> dict[tuple[Kind, str | None], Path]:
    """What the stages before these would have left."""
    (folder / "model.onnx").write_bytes(model or linear_onnx([spec]))
    budget = Budget()
    verdict = judge(MEASURED, budget, lossy=False, compared=0)
    selection = Selection(
        selected=CANDIDATE,
        why="named by the recipe",
        verdicts={CANDIDATE: verdict},
        goal="latency",
        limits=budget,
        test=MEASURED,
        test_verdict=verdict,
    )
    write_document(folder / "selection.json", selection)
    info = {
        "name": "linear",
        "task": {"kind": "classification"},
        "inputs": [spec.to_json()],
        "labels": list(LABELS),
        "activation": "none",
        "parameters": 240,
    }
    (folder / "model.json").write_text(json.dumps(info))
    arrays = synthetic_inputs([spec], 40)
    logits = arrays[spec.name].reshape(40, -1).astype(np.float32) @ weights(int(np.prod(spec.shape)))
    split = Split(inputs=arrays, labels=logits.argmax(axis=1))
    write_split(folder / "validation.safetensors", split)
    save_file({"logits": logits[:SAMPLES]}, folder / "samples.safetensors")
    data = DataSet(name="noise", train=split, validation=split, test=split, classes=LABELS, inputs=(spec,), sources={})
    write_info(folder / "data.json", describe(data))
    (folder / "weights.safetensors").write_bytes(b"weights")
    write_document(folder / "order.json", CandidateList(order=(CANDIDATE,), compared=0))
    write_document(folder / "report.json", sample_report())
    return {
        (Kind.SELECTION, None): folder / "selection.json",
        (Kind.MODEL_INFO, None): folder / "model.json",
        (Kind.CANDIDATE_MODEL, CANDIDATE): folder / "model.onnx",
        (Kind.VALIDATION_DATA, None): folder / "validation.safetensors",
        (Kind.SAMPLES, None): folder / "samples.safetensors",
        (Kind.DATA_INFO, None): folder / "data.json",
        (Kind.WEIGHTS, None): folder / "weights.safetensors",
        (Kind.CANDIDATE_ORDER, None): folder / "order.json",
        (Kind.CANDIDATE_REPORT, CANDIDATE): folder / "report.json",
    }


def settings(**changes: Any) -> PackageSettings:
    fields = {"name": "tiny", "version": "2.1", "golden": "validation", "golden_size": 8, "batch_sizes": (1, 3)}
    fields |= {"max_pixels": None, "deadline_s": 10.0}
    recipe = sample_recipe()
    fields |= {"recipe": portable_settings(recipe), "factories": (), "seeds": {"data": 3, "train": 5}}
    return PackageSettings(**{**fields, **changes})


def pack(place: Path, files: dict[tuple[Kind, str | None], Path], **changes: Any) -> Path:
    out = outputs(place, "package")
    run_package(settings(**changes), Inputs(stage="package", files=files), out)
    assert set(out.declared) == {(Kind.ARCHIVE, None)}
    return out.declared[Kind.ARCHIVE, None]


def check(folder: Path, files: dict[tuple[Kind, str | None], Path], archive: Path) -> dict[str, Any]:
    out = outputs(folder, "smoke")
    given = Inputs(stage="smoke", files={**files, (Kind.ARCHIVE, None): archive})
    run_smoke(SmokeSettings(pictures=6, timeout_s=120), given, out)
    report: dict[str, Any] = json.loads(out.declared[Kind.SMOKE_REPORT, None].read_text())
    return report


@pytest.mark.parametrize(("spec", "content_type"), [(GREY, "image/png"), (TABLE, "application/json")])
def test_packed_and_looked_at_through_a_server(spec: InputSpec, content_type: str, tmp_path: Path) -> None:
    files = made(tmp_path, spec)
    path = pack(tmp_path, files)
    assert path.name == "tiny.mar"
    serving = read_archive(path).serving
    assert (serving.name, serving.version, serving.candidate, serving.top) == ("tiny", "2.1", CANDIDATE, 5)
    assert serving.golden.batch_sizes == (1, 3)
    report = check(tmp_path, files, path)
    assert (report["posted"], report["correct"], report["content_type"]) == (6, 6, content_type)
    assert report["comparison"]["passed"]
    assert read_states() == []


@pytest.mark.parametrize(("size", "ties", "extremes"), [(3, 0, 0), (8, 2, 2), (32, 8, 3)])
def test_golden_inputs_are_easy_ones_near_ties_and_extremes(
    size: int, ties: int, extremes: int, tmp_path: Path
) -> None:
    files = made(tmp_path, GREY)
    archive = read_archive(pack(tmp_path, files, golden_size=size, batch_sizes=(1, 7, 32)))
    assert archive.serving.golden.batch_sizes == {3: (1, 3), 8: (1, 7, 8), 32: (1, 7, 32)}[size], "as many as there are"
    golden = load(archive.members["golden.safetensors"])["input.image"]
    pictures = load_file(files[Kind.VALIDATION_DATA, None])["input.image"]
    logits = np.sort(load_file(files[Kind.SAMPLES, None])["logits"], axis=1)
    closest = np.argsort(logits[:, -1] - logits[:, -2], kind="stable")[:ties]
    assert len(golden) == size
    easy = size - ties - extremes
    np.testing.assert_array_equal(golden[easy : easy + ties], pictures[closest])
    np.testing.assert_array_equal(golden[easy + ties :][:1], np.zeros((min(extremes, 1), 1, 8, 6), np.uint8))
    np.testing.assert_array_equal(golden[easy + ties :][1:2], np.full((min(extremes, 1), 1, 8, 6), 255, np.uint8))
    real = {picture.tobytes() for picture in pictures}
    assert all(picture.tobytes() in real for picture in golden[:easy])
    assert len({picture.tobytes() for picture in golden[: easy + ties]}) == easy + ties


def test_same_inputs_same_archive(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        contents.append(pack(tmp_path / name, made(tmp_path / name, GREY)).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("golden", ["synthetic", "golden.npy"])
def test_golden_inputs_need_not_be_the_users_data(golden: str, tmp_path: Path) -> None:
    own = np.full((3, 1, 8, 6), 7, dtype=np.uint8)
    np.save(tmp_path / "golden.npy", own)
    asked = settings(golden=golden, folder=tmp_path)
    assert set(outside(asked)) == ({"code", "golden"} if golden == "golden.npy" else {"code"})
    assert "folder" not in asked.model_dump()
    archive = read_archive(pack(tmp_path, made(tmp_path, GREY), golden=golden, folder=tmp_path))
    held = archive.members["golden.safetensors"]
    assert (own.tobytes() in held) is (golden == "golden.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 6), np.uint8), "expected uint8 of shape (N, 1, 8, 6), found uint8 of shape (3, 8, 6)"),
        (np.zeros((3, 1, 8, 6)), "expected uint8 of shape (N, 1, 8, 6), found float64 of shape (3, 1, 8, 6)"),
        (np.zeros((0, 1, 8, 6), np.uint8), "expected uint8 of shape (N, 1, 8, 6), found uint8 of shape (0, 1, 8, 6)"),
    ],
)
def test_golden_inputs_that_do_not_fit(array: Any, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "golden.npy", array)
    with pytest.raises(UsageError) as caught:
        pack(tmp_path, made(tmp_path, GREY), golden="golden.npy", folder=tmp_path)
    assert str(caught.value) == f"package.golden: {tmp_path}/golden.npy: {message}"


def test_no_golden_input_is_one_that_the_server_refuses(tmp_path: Path) -> None:
    np.save(tmp_path / "golden.npy", np.array([[1, 2, 0, 0], [0, 0, 0, 0]], dtype=np.float32))
    files = made(tmp_path, replace(TABLE, occurs=("noise",)))
    with pytest.raises(UsageError, match=r"golden\.npy: input features: one value everywhere.* found 0 alone"):
        pack(tmp_path, files, golden="golden.npy", folder=tmp_path)


def test_a_model_that_answers_nan_is_not_packed(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(linear_onnx([GREY]))
    broken = weights(48)
    broken[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(broken, "weight"))
    files = made(tmp_path, GREY, model=model.SerializeToString())
    with pytest.raises(
        ProofError, match=r"model\.onnx: expected finite logits, found NaN or infinity at \[0, 0\], batch"
    ):
        pack(tmp_path, files)


def test_a_size_at_which_the_candidate_has_no_steady_answer_is_none_of_the_golden_ones(tmp_path: Path) -> None:
    files = made(tmp_path, SEQUENCE, model=mean_onnx(SEQUENCE))
    arrays = load_file(files[Kind.VALIDATION_DATA, None])
    groups = [
        SizeGroup(sizes="", inputs={"tokens": arrays["input.tokens"][:4, :1].repeat(length, axis=1)})
        for length in (1, 13)
    ]
    samples = files[Kind.SAMPLES, None]
    save_file({**load_file(samples), **pack_size_groups(groups)}, samples)
    left_out = {"real (tokens of 1)": "the network itself answers NaN or infinity to 4 of 4"}
    parity = PARITY.model_copy(update={"left_out": left_out})
    report = sample_report().model_copy(update={"parity": parity})
    write_document(files[Kind.CANDIDATE_REPORT, CANDIDATE], report)
    archive = read_archive(pack(tmp_path, files))
    golden = size_groups(load(archive.members[archive.serving.golden.file]), [SEQUENCE])
    assert [group.sizes for group in golden] == ["tokens of 13"]
