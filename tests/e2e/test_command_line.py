"""The command line as a person uses it: from another directory, with mistakes, and a real server at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from pipeline.archive.mar import read_archive
from pipeline.data.dataset import read_split
from pipeline.serving.front.plan import LISTENER, Plan
from pipeline.serving.state import read_states
from tests.command_line import error_line, free_port, run
from tests.example_build import Built
from tests.served_models import GREY, build_archive


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CI", "ORT_DISABLE_TELEMETRY"):  # either would keep ONNX Runtime from reporting home
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        yield
        run("stop")
    assert not (home / ".cache" / "Microsoft").exists(), "a command, its children, or the server reports to a vendor"


def test_help_lists_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in (
        "build",
        "train",
        "report",
        "bench",
        "clean",
        "init",
        "inspect",
        "diff",
        "doctor",
        "serve",
        "status",
        "stop",
        "predict",
    ):
        assert f"  {command} " in done.stdout


def test_build_from_another_directory_is_up_to_date_and_prints_the_table(built: Built, tmp_path: Path) -> None:
    sets = [part for one in built.overrides for part in ("--set", one)]
    where = ["--run-dir", built.run_dir, "--model-store", built.model_store]
    done = run("build", built.recipe, *where, *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("up to date") == 6
    assert f"Selected {built.result.selected}: " in done.stdout
    for row in built.result.candidates:
        assert row.report.name in done.stdout
    table, _, _ = done.stdout.partition("pruned30, magnitude-pruning")
    assert max(map(len, table.splitlines())) <= 130
    assert "worst class" in table
    as_json = run("build", built.recipe, *where, *sets, "--json", cwd=tmp_path)
    document = json.loads(as_json.stdout)
    assert document["selected"] == built.result.selected
    for row in document["candidates"]:
        assert row["parity"]["cosine"] > 0.999
        assert row["parity"]["runs"][0] == "as served"
        assert row["quality"]["worst_class_name"] in "0123456789"
        if row["lossy"]:
            assert row["adjusted_drop_upper"] > row["quality"]["drop_upper"], "adjusted for the candidates compared"


@pytest.mark.slow
def test_strict_fails_where_the_test_set_cannot_confirm_the_budget(built: Built, tmp_path: Path) -> None:
    folder, store = tmp_path / "example", tmp_path / "store"
    shutil.copytree(built.recipe.parent, folder)
    data = folder / "my_data.py"
    # 17 pictures of test: even without a single flip they prove no drop under 13 points
    data.write_text(data.read_text().replace("test=0.2", "test=0.01"))
    sets = [*built.overrides, 'candidates.variants=[{name="float", passes=[{kind="dynamic-int8"}]}]']
    sets += ['candidates.formats=["onnx"]', "select.candidate=float.onnx.int8-dynamic"]
    sets += ["budget.max_accuracy_drop=0.1", "budget.max_confident_flips=1", "candidates.allow_batch_variant=true"]
    command = ["build", folder / "recipe.toml", "--run-dir", tmp_path / "run", "--model-store", store]
    command += [part for one in sets for part in ("--set", one)]
    done = run(*command, "--strict")
    assert done.returncode == 5, done.stderr
    said = error_line(done)
    assert "test set: float.onnx.int8-dynamic: not provable with 17 examples: expected a drop provably under" in said
    assert said.endswith("--strict: the archive was not put into the model store")
    assert not store.exists()
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("up to date") == 6
    assert "The test set does not confirm the budget: not provable with 17 examples" in done.stdout
    assert "served in batches all the same: the recipe allows it" in done.stdout
    runtime = read_archive(store / "digits.mar").serving.runtime
    assert (runtime.batch_invariant, runtime.allow_batch_variant, runtime.one_by_one) == (False, True, False)


def test_mistakes_are_one_line_with_an_exit_code(built: Built, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mar"
    broken.write_bytes(built.result.archive.read_bytes()[:-200])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(built.recipe.read_text().replace("my_data:load", "no_data:load"))
    weights = built.recipe.read_text().replace("# weights =", "weights =")
    (built.recipe.parent / "weights.toml").write_text(weights)
    cases: list[tuple[int, str, list[object]]] = [
        (2, "expected a built-in name", ["build", "nothing"]),
        (2, "No such option: --frob", ["build", "--frob"]),
        (2, "train.epochs: Input should be a valid integer", ["build", "--set", "train.epochs=many", "--plan"]),
        (2, "select.candidate: expected one of", ["build", "--set", "select.candidate=best", "--plan"]),
        (2, "expected a module my_nets", ["build", recipe, "--run-dir", tmp_path / "run"]),
        (7, "weights.safetensors", ["build", built.recipe.parent / "weights.toml", "--run-dir", tmp_path / "run"]),
        (3, "expected a finished build", ["report", tmp_path]),
        (3, "expected a run directory of pipeline build", ["bench", tmp_path]),
        (2, "--threads 4096: expected at most", ["bench", built.run_dir, "--threads", 4096]),
        (2, "--rounds", ["bench", built.run_dir, "--rounds", 2]),
        (3, "none.onnx", ["inspect", tmp_path / "none.onnx"]),
        (3, "none.mar", ["diff", tmp_path / "none.mar", built.result.archive]),
        (2, "--samples", ["diff", built.result.archive, built.result.archive, "--samples", broken, "--no-run"]),
        (3, "broken.mar", ["serve", broken]),
        (3, "expected an archive (.mar), found none", ["serve", "--model-store", tmp_path / "empty"]),
        (6, "127.0.0.1", ["predict", built.recipe, "--url", f"http://127.0.0.1:{free_port()}/predictions/digits"]),
        (6, "expected a server started by", ["stop", "--port", free_port()]),
    ]
    for code, text, arguments in cases:
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, text in error_line(done)) == (code, True), (arguments, done.stderr)


def test_debug_shows_the_traceback() -> None:
    done = run("build", "nothing", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("error: recipe nothing")


def test_a_used_port_is_named_at_once(built: Built) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", built.result.archive, "--port", port)
    assert done.returncode == 6
    assert str(port) in error_line(done)


def test_inspect_reads_what_a_build_made(built: Built) -> None:
    candidates = built.run_dir / "candidates"
    for file in (
        candidates / "float.onnx.fp32" / "model.onnx",
        candidates / "float.torchscript.fp32" / "model.pt",
        built.result.archive,
    ):
        done = run("inspect", file, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["sha256"]
        assert run("inspect", file).stdout.startswith(file.name)


def assert_predicts(picture: Path, *, label: str, url: str) -> None:
    """Predictions of a picture are the label's, whoever asks; what is no picture is refused beside it."""
    [asked] = json.loads(run("predict", picture, "--json").stdout)
    assert asked["file"] == str(picture)
    [answer] = asked["predictions"]
    assert answer["label"] == label
    shown = run("predict", picture, picture).stdout.splitlines()
    assert len(shown) == 2
    assert shown[0].startswith(f"{picture}: {answer['label']} 0.")
    bad = picture.with_name("bad.txt")
    bad.write_text("no picture")
    mixed = run("predict", bad, picture, picture.with_name("none.png"))
    assert (mixed.returncode, mixed.stdout) == (2, shown[0] + "\n")
    errors = mixed.stderr.splitlines()
    assert errors[0].startswith(f"error: {picture.parent}/none.png: expected a readable file")
    assert errors[1].startswith(f"error: {bad}: refused with 400: ")
    as_json = run("predict", picture, bad, "--json")
    first, second = json.loads(as_json.stdout)
    assert (as_json.returncode, first, second["file"]) == (2, asked, str(bad))
    assert second["error"].startswith(f"{bad}: refused with 400: ")
    posted = httpx.post(
        url, content=picture.read_bytes(), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert posted.json()["label"] == answer["label"]
    assert httpx.post(url, content=b"no picture").status_code in range(400, 500)


def test_serve_predict_stop(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SETTING", "passed on")
    monkeypatch.setenv("MY_TOKEN", "not passed on")
    test = read_split(built.run_dir / "data" / "test.safetensors")
    assert test.labels is not None
    picture = tmp_path / "digit.png"
    Image.fromarray(test.inputs["image"][0, 0]).save(picture)
    port = free_port()
    done = run(
        "serve",
        built.result.archive,
        "--port",
        port,
        "--workers",
        2,
        "--detach",
        "--batch-size",
        4,
        "--pass-env",
        "MY_SETTING",
    )
    assert done.returncode == 0, done.stderr
    [state] = read_states()
    front = Plan.read(Path(state.folder)).children[0]
    assert front.command[-2:] == ("4", LISTENER)  # most requests together
    url = f"http://127.0.0.1:{port}/predictions/digits"
    assert url in done.stderr
    [server] = json.loads(run("status", "--json").stdout)
    assert server["ready"] is True
    assert len(server["workers"]) == 2
    assert "MY_TOKEN" not in psutil.Process(server["pid"]).environ()
    processes = [psutil.Process(worker["pid"]) for worker in server["workers"]]
    for process in processes:
        environment = process.environ()
        assert (environment["MY_SETTING"], environment.get("MY_TOKEN")) == ("passed on", None)

    assert_predicts(picture, label=str(test.labels[0]), url=url)

    assert run("stop").stdout == f"stopped http://127.0.0.1:{port}\n"
    assert not [process for process in processes if process.is_running()]
    assert run("status").stdout == "no server is running\n"


def test_a_host_whose_answers_differ_can_be_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_ACCEPT_HOST", "1")  # of no effect: the option alone counts
    wrong = build_archive(tmp_path, [GREY], name="wrong", golden_shift=0.01).path
    port = free_port()
    refused = run("serve", wrong, "--port", port, "--detach")
    assert refused.returncode == 6
    assert " refuses to serve: candidate float.onnx.fp32: golden answers differ at batch size 1: " in error_line(
        refused
    )

    done = run("serve", wrong, "--port", port, "--detach", "--accept-host")
    assert done.returncode == 0, done.stderr
    says = "accepted host: golden answers differ by 0.01 at batch size "
    assert says in done.stderr
    shown = run("status").stdout
    assert f"http://127.0.0.1:{port}/predictions/wrong: ready, 1 of 1 worker(s), " in shown
    assert says in shown
    [server] = json.loads(run("status", "--json").stdout)
    assert server["accepted"].startswith("golden answers differ by 0.01 at batch size ")
    assert run("stop").stdout == f"stopped http://127.0.0.1:{port}\n"


def test_a_reader_that_goes_away_is_no_error(built: Built) -> None:
    command = f"{sys.executable} -m pipeline report {built.run_dir} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_with_130_and_continues(number: signal.Signals, built: Built, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "build", str(built.recipe), "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("train: epoch"):
            break
    process.send_signal(number)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 130
    assert "error: interrupted; it goes on from here when it is run again" in rest
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("train: epoch"):
            break
    process.kill()
    process.wait()
    process.stderr.close()
    assert any("train: continues after epoch" in line for line in lines), lines
