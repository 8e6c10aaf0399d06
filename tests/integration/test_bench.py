"""`pipeline bench` on the worked example: what is timed and what is claimed, never how long it takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.bench.result import BenchResult, BenchRow
from pipeline.commands.bench.run import bench
from pipeline.engine.artifacts import digest_file
from pipeline.errors import FileError, UsageError
from tests.example_build import Built
from tests.reporters import Lines

QUICK: dict[str, Any] = {"threads": [1], "batch_sizes": [8, 1], "rounds": 6, "block_ms": 5}


@pytest.fixture(scope="module", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def of_run(built: Built) -> BenchResult:
    return bench(built.run_dir, served=False, **QUICK)


def by_name(result: BenchResult) -> dict[str, BenchRow]:
    return {row.name: row for row in result.rows}


def test_eager_every_candidate_and_a_copy_are_timed(built: Built, of_run: BenchResult) -> None:
    names = [row.report.name for row in built.result.candidates]
    assert [row.name for row in of_run.rows] == ["eager", *names, "float.onnx.fp32, its copy"]
    assert [row.role for row in of_run.rows] == ["eager", *["candidate"] * len(names), "copy"]
    assert of_run.selected == built.result.selected
    assert (of_run.threads, of_run.batch_sizes) == ((1,), (1, 8))
    for row in of_run.rows:
        assert [(one.threads, one.timing.batch_size) for one in row.figures] == [(1, 1), (1, 8)]
        assert all(len(one.timing.rounds_s) == 6 for one in row.figures)
        assert row.peak_bytes > 1_000_000
        assert row.load_ms > 0
        assert 0 < row.compressed < row.size * 1.01
        assert (row.figures[0].over_eager is None) is (row.role == "eager")
        assert (row.figures[0].over_float is None) is (row.name == "float.onnx.fp32")
        assert (row.figures[0].layout is None) is (row.role != "eager")
        assert row.one_by_one is row.name.endswith("int8-dynamic")


def test_the_share_of_the_machines_rate_follows_from_the_multiply_accumulates(of_run: BenchResult) -> None:
    rows = by_name(of_run)
    macs = {row.macs for row in of_run.rows}
    assert len(macs) == 1, "pruning with zeros and int8 weights leave as many"
    assert None not in macs
    assert of_run.gflops[1].value > 0
    for size in (1, 8):
        share = rows["float.onnx.fp32"].figure(1, size).share
        assert share is not None
        assert 0 < share.low <= share.value <= share.high


def test_it_is_kept_in_the_run_directory_with_facts_of_the_host(built: Built, of_run: BenchResult) -> None:
    document = json.loads((built.run_dir / "bench.json").read_text())
    assert document == json.loads(json.dumps(of_run.to_json()))
    assert set(document["host"]) == {"cpu", "cores", "system", "python", "libraries", "date"}
    assert {"onnxruntime", "torch"} <= set(document["host"]["libraries"])
    assert document["left_out"] == {"served": "left out as asked"}
    assert [(one["threads"], one["batch_size"]) for one in document["noise"]] == [(1, 1), (1, 8)]
    [copy] = [row for row in document["rows"] if row["role"] == "copy"]
    assert [one["over_float"]["claim"] for one in copy["figures"]] == ["none", "none"]
    assert [row["name"] for row in document["rows"] if row["selected"]] == [built.result.selected]


def test_an_archive_is_timed_without_its_sources_and_over_http(built: Built) -> None:
    archive = built.result.archive
    before = digest_file(archive)
    said = Lines()
    result = bench(archive, reporter=said, **QUICK)
    assert digest_file(archive) == before
    assert [row.role for row in result.rows] == ["candidate", "copy"]
    assert result.selected == result.baseline == built.result.selected
    assert result.left_out["eager"].startswith("an archive holds neither the network's source nor its weights")
    served = result.served
    assert served is not None
    assert (served.candidate, served.form) == (built.result.selected, "image/png")
    assert served.requests > 0
    assert served.p50_ms.low <= served.p50_ms.value <= served.p50_ms.high
    assert served.p99_ms > 0
    assert served.per_second > 0
    assert served.bare_ms.value > 0
    assert said.said[-1] == "bench: over HTTP, through TorchServe"


@pytest.mark.parametrize("name", ["float.onnx.fp32/model.onnx", "float.torchscript.fp32/model.pt"])
def test_an_altered_file_is_not_loaded(built: Built, tmp_path: Path, name: str) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(built.run_dir, run_dir)
    file = run_dir / "candidates" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(FileError, match=rf"{name}: expected the file that the build recorded, found another; run pip"):
        bench(run_dir, **QUICK)


def test_more_threads_than_cores_are_refused(built: Built) -> None:
    with pytest.raises(UsageError, match=r"--threads 4096: expected at most the \d+ core\(s\)"):
        bench(built.run_dir, threads=[4096])
