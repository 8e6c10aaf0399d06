"""Candidates that are pruned, fine-tuned and quantized on scales: made one at a time, proven, and proven again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pipeline
from pipeline.archive.evidence.document import read_evidence
from pipeline.archive.mar import read_archive
from pipeline.candidates.evaluate import TUNED_FILE, evaluate, evaluate_once, float_logits
from pipeline.candidates.recheck import recheck
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import CandidateSpec, candidate_specs
from pipeline.candidates.tune import forget_others, training_inputs, tuned_weights
from pipeline.commands.verify_run import verify_run
from pipeline.data.dataset import read_split, write_split
from pipeline.engine.artifacts import digest_file
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.limits import Measure
from pipeline.recipe.passes import ChannelPruning, FineTune, Pass, StaticInt8, Variant
from pipeline.search.calibration import best_static_int8
from pipeline.search.comparison import SpeedComparison
from tests.damage import flip
from tests.example_build import QUICK, Built, record_anew
from tests.example_candidates import context_of
from tests.reporters import Lines

SLIM: tuple[Pass, ...] = (ChannelPruning(), FineTune(epochs=2, batch_size=64))


def specs() -> dict[str, CandidateSpec]:
    variants = (Variant(name="slim", passes=SLIM), Variant(name="slim", passes=(*SLIM, StaticInt8(examples=64))))
    return {one.name: one for one in candidate_specs(Candidates(variants=variants))}


def test_one_tuned_network_is_shared_and_rebuilt_from_its_weights(built: Built, tmp_path: Path) -> None:
    said = Lines()
    context = context_of(built, tmp_path / "scratch", said)
    logits = float_logits(context.model, context.weights, context.validation)
    names = ("slim.onnx.fp32", "slim.onnx.int8-static", "slim.torchscript.fp32")
    reports: dict[str, CandidateReport] = {}
    for name in names:
        (tmp_path / name).mkdir()
        report = evaluate(specs()[name], context, tmp_path / name, float_logits=logits)
        assert isinstance(report, CandidateReport)
        reports[name] = report
    epochs = [line for line in said.said if line.startswith("fine-tune slim: epoch")]
    assert len(epochs) == 2, "trained once for all three"
    assert len({digest_file(tmp_path / name / TUNED_FILE) for name in names}) == 1
    assert {one.tuned_sha256 for one in reports.values()} == {digest_file(tmp_path / names[0] / TUNED_FILE)}

    plain, int8 = reports["slim.onnx.fp32"], reports["slim.onnx.int8-static"]
    assert plain.lossy
    assert plain.passes[0].removed_weight_share > 0.6
    assert plain.passes[1].settings["epochs"] == 2
    assert int8.passes[2].settings["examples"] == 64
    assert "minmax over 64 training examples" in int8.passes[2].detail
    assert int8.parity.batch_invariant
    assert int8.parity.reference == "the same file with graph optimizations off"
    float_size = (built.run_dir / "candidates" / "float.onnx.fp32" / "model.onnx").stat().st_size
    assert float_size > 2 * plain.size > 2 * int8.size

    for name in names:
        file = tmp_path / name / reports[name].runtime.file
        parity, _ = recheck(specs()[name], context, file, tuned=tmp_path / name / TUNED_FILE)
        assert parity.passed, name
    other = load_file(tmp_path / names[0] / TUNED_FILE)
    other["head.bias"] = other["head.bias"] + 0.5
    save_file(other, tmp_path / "other.safetensors")
    file = tmp_path / "slim.onnx.fp32" / "model.onnx"
    parity, finding = recheck(specs()["slim.onnx.fp32"], context, file, tuned=tmp_path / "other.safetensors")
    assert not parity.passed
    assert finding.text.startswith("head (Linear): ")


def test_tuned_weights_depend_on_what_made_them_and_on_nothing_else(built: Built, tmp_path: Path) -> None:
    one, two = (context_of(built, tmp_path / name, Lines()) for name in ("one", "two"))
    assert tuned_weights((ChannelPruning(),), one, name="slim") is None
    first = tuned_weights(SLIM, one, name="slim")
    second = tuned_weights((*SLIM, StaticInt8()), two, name="another")
    assert first is not None
    assert second is not None
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    other = tuned_weights((ChannelPruning(), FineTune(epochs=1, batch_size=64)), one, name="slim")
    assert other is not None
    assert other.name != first.name


def test_the_cache_keeps_what_was_used_and_what_is_half_done(built: Built, tmp_path: Path) -> None:
    said = Lines()
    context = context_of(built, tmp_path / "scratch", said)
    forget_others(context, [SLIM])
    used, other = (tuned_weights((ChannelPruning(keep=keep), *SLIM[1:]), context, name="slim") for keep in (0.5, 0.25))
    assert used is not None
    assert other is not None
    shifted = tuned_weights((SLIM[0], FineTune(epochs=1, batch_size=64, shift=1)), context, name="slim")
    assert shifted is not None
    teacher, _ = teachers = sorted(context.cache.glob("teacher*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
    assert len(teachers) == 2, "other pictures, other answers"
    (context.cache / "half").mkdir()
    forget_others(context, [(), (*SLIM, StaticInt8())])
    assert {path.name for path in context.cache.iterdir()} == {
        "half",
        *(f"{name}{end}" for name in (used.name, teacher.name) for end in ("", ".sha256")),
    }
    whole = {file: file.read_bytes() for file in (teacher, used)}
    for file in whole:
        flip(file, 8 * file.stat().st_size - 5)
    again = tuned_weights((ChannelPruning(keep=0.5), *SLIM[1:]), context, name="slim")
    assert again == used
    assert {file: file.read_bytes() for file in whole} == whole, "answered and trained anew, to the same bytes"
    damaged = [line for line in said.said if line.endswith("found other bytes; it is made again")]
    assert [line.partition(":")[0] for line in damaged] == [str(used), str(teacher)]
    another = replace(context, model_key="another activation")
    fresh = tuned_weights(SLIM, another, name="slim")
    assert fresh is not None
    assert fresh.name != used.name, "other source of the same weights is another network"


def test_calibration_takes_training_examples_from_all_over_the_split(built: Built, tmp_path: Path) -> None:
    context = context_of(built, tmp_path / "scratch", Lines())
    train = read_split(context.train).inputs["image"]
    drawn = training_inputs(context, 100)["image"]
    assert np.array_equal(drawn, training_inputs(context, 100)["image"])
    assert len(drawn) == 100
    assert not np.array_equal(drawn, train[:100])
    assert {one.tobytes() for one in drawn} <= {one.tobytes() for one in train}
    assert len(training_inputs(context, 10**6)["image"]) == len(train)


@pytest.mark.slow
def test_int8_says_on_how_many_examples_its_settings_were_compared(built: Built, tmp_path: Path) -> None:
    said = Lines()
    context = context_of(built, tmp_path / "scratch", said)
    few = read_split(context.train).take(slice(0, 70))
    write_split(tmp_path / "few.safetensors", few)
    context = replace(context, train=tmp_path / "few.safetensors")
    logits = float_logits(context.model, context.weights, context.validation)
    network = next(spec for spec in candidate_specs(Candidates(variants=())) if spec.format == "onnx")
    evaluate_once(network, context, float_logits=logits)
    comparison = SpeedComparison(context=context, goal="latency", measure=Measure(rounds=6, block_ms=5))
    best_static_int8(network, context, comparison)
    (line,) = [line for line in said.said if line.startswith("int8 of float")]
    assert line.endswith("of its decisions change on 70 training examples")


@pytest.mark.slow
def test_a_build_packs_one_and_its_run_is_verified_with_layers_ranked(built: Built, tmp_path: Path) -> None:
    slim = '{kind="channel-pruning"}, {kind="fine-tune", epochs=2, batch_size=64}'
    variants = [
        f'{{name="slim", passes=[{slim}]}}',
        f'{{name="slim", passes=[{slim}, {{kind="static-int8"}}]}}',
        '{name="cut", passes=[{kind="channel-pruning"}]}',
    ]
    overrides = [
        *QUICK,
        'candidates.formats=["onnx"]',
        f"candidates.variants=[{', '.join(variants)}]",
        "select.candidate=slim.onnx.int8-static",
        "budget.max_accuracy_drop=0.9",
        "budget.max_confident_flips=1",
    ]
    run_dir = tmp_path / "run"
    result = pipeline.build(built.recipe, run_dir=run_dir, model_store=tmp_path / "store", overrides=overrides)
    archive = read_archive(result.archive)
    assert archive.serving.precision == "int8-static"
    packed = read_evidence("archive", archive.evidence).packed
    tuned = digest_file(run_dir / "candidates" / "slim.onnx.int8-static" / TUNED_FILE)
    assert packed.model_dump()["tuned_sha256"] == tuned
    assert [step.kind for step in packed.passes] == ["channel-pruning", "fine-tune", "static-int8"]
    assert packed.passes[2].model_dump()["settings"]["method"] == "minmax"

    for file in (run_dir / "candidates").glob("*/report.json"):
        document = json.loads(file.read_text())
        document["quality"] |= {"lost": 539, "gained": 0, "drop": 1.0}
        file.write_text(json.dumps(document))
        record_anew(run_dir, file)
    found = verify_run(run_dir, rank=True, ranking_examples=64)
    found.require()
    ranked = {
        one.candidate: {(gain.kind, gain.layer) for gain in one.ranking.gains}
        for one in found.candidates
        if one.ranking
    }
    assert ranked["slim.onnx.fp32"] == set(), "with one layer left as it was, it would have to be fine-tuned again"
    convolutions = {"stem.0", "body.inner.0", "body.inner.3"}
    assert ranked["slim.onnx.int8-static"] == {("static-int8", name) for name in (*convolutions, "head")}
    assert ranked["cut.onnx.fp32"] == {("channel-pruning", name) for name in convolutions}
