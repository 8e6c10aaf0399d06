"""Recipes accept settings that fit together, and refuse others with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.recipe.limits import Budget
from pipeline.recipe.loading import load_recipe
from pipeline.recipe.passes import ChannelPruning, DynamicInt8, FineTune, MagnitudePruning, StaticInt8
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.task import Classification, MultiLabel, Regression
from pipeline.stages import package
from tests.recipe_files import MINIMAL, write


@pytest.mark.parametrize("override", ["name=a..b", "package.name=a.", 'package.version="1..0"', "name=../a"])
def test_a_name_that_no_server_loads_is_refused(override: str) -> None:
    with pytest.raises(UsageError, match="String should match pattern"):
        load_recipe("fashion-cnn", [override])


def test_pruning_after_quantization_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = MINIMAL + (
        '[[candidates.variants]]\nname = "wrong"\n'
        'passes = [{ kind = "dynamic-int8" }, { kind = "magnitude-pruning" }]\n'
    )
    with pytest.raises(UsageError, match="quantized layers no longer hold float weights and pruning them silently"):
        load_recipe(write(tmp_path, text))


def test_pruning_before_quantization_is_accepted(tmp_path: Path) -> None:
    text = MINIMAL + (
        '[[candidates.variants]]\nname = "right"\n'
        'passes = [{ kind = "magnitude-pruning", amount = 0.5 }, { kind = "dynamic-int8" }]\n'
    )
    variants = load_recipe(write(tmp_path, text)).candidates.variants
    assert variants is not None
    assert variants[0].passes == (MagnitudePruning(amount=0.5), DynamicInt8())


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            '[[candidates.variants]]\nname = "float"\npasses = [{ kind = "magnitude-pruning" }]\n',
            "variant 'float' names two different networks",
        ),
        (
            '[[candidates.variants]]\nname = "a"\npasses = [{ kind = "magnitude-pruning" }]\n' * 2,
            "variant 'a' at fp32 is given twice",
        ),
        (
            '[[candidates.variants]]\nname = "a"\npasses = [{ kind = "dynamic-int8" }, { kind = "dynamic-int8" }]\n',
            "pass dynamic-int8 given 2 times",
        ),
    ],
)
def test_two_different_candidates_never_share_a_name(tmp_path: Path, variants: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(write(tmp_path, MINIMAL + variants))


CUT, TUNE, ZERO = '{ kind = "channel-pruning" }', '{ kind = "fine-tune" }', '{ kind = "magnitude-pruning" }'
DYNAMIC, STATIC, HALF = '{ kind = "dynamic-int8" }', '{ kind = "static-int8" }', '{ kind = "bfloat16" }'


@pytest.mark.parametrize(
    ("passes", "reason"),
    [
        ((STATIC, CUT), "pruning after quantization: expected channel-pruning before static-int8"),
        ((CUT, STATIC, TUNE), "fine-tune after quantization: .* training them silently does nothing"),
        ((DYNAMIC, ZERO), "expected magnitude-pruning before dynamic-int8"),
        ((TUNE, CUT), "the channels that go take the training with them"),
        ((ZERO, CUT), "the channels that go take zeros with them"),
        ((CUT, ZERO, TUNE), "training fills the zeros again"),
        ((TUNE,), "expected channel-pruning before fine-tune, found none"),
        ((DYNAMIC, STATIC), "expected one of dynamic-int8 and static-int8, found both"),
        ((STATIC, HALF), "expected one of static-int8 and bfloat16, found both"),
        ((HALF, ZERO), "expected magnitude-pruning before bfloat16, because what the network computes in comes last"),
    ],
)
def test_passes_in_a_wrong_order_are_refused_with_the_reason(
    tmp_path: Path, passes: tuple[str, ...], reason: str
) -> None:
    text = f'[[candidates.variants]]\nname = "a"\npasses = [{", ".join(passes)}]\n'
    with pytest.raises(UsageError, match=reason):
        load_recipe(write(tmp_path, MINIMAL + text))


def test_one_network_at_every_precision(tmp_path: Path) -> None:
    variants = [
        f'[[candidates.variants]]\nname = "slim"\npasses = [{", ".join((CUT, TUNE, *last))}]\n'
        for last in ((), (STATIC,), (DYNAMIC,), (HALF,))
    ]
    loaded_variants = load_recipe(write(tmp_path, MINIMAL + "".join(variants))).candidates.variants
    assert loaded_variants is not None
    assert [variant.precision for variant in loaded_variants] == ["fp32", "int8-static", "int8-dynamic", "bf16"]
    assert all(variant.float_passes == (ChannelPruning(), FineTune()) for variant in loaded_variants)
    assert loaded_variants[1].passes[-1] == StaticInt8()


@pytest.mark.parametrize(
    ("last", "formats", "reason"),
    [
        (STATIC, "torchscript", "int8-static: expected onnx among formats, found torchscript; add it"),
        (HALF, "onnx", "bf16: expected torchscript among formats, found onnx; add it"),
    ],
)
def test_a_number_format_that_no_format_has_is_refused(tmp_path: Path, last: str, formats: str, reason: str) -> None:
    text = f'[candidates]\nformats = ["{formats}"]\n[[candidates.variants]]\nname = "float"\npasses = [{last}]\n'
    with pytest.raises(UsageError, match=f"variant 'float' at {reason}"):
        load_recipe(write(tmp_path, MINIMAL + text))


def test_no_training_without_weights_is_refused(tmp_path: Path) -> None:
    text = MINIMAL + "[train]\nepochs = 0\n"
    with pytest.raises(UsageError, match=r"train.epochs = 0 without model.weights: .*fashion-cnn is made at random"):
        load_recipe(write(tmp_path, text))
    own = load_recipe(write(tmp_path, text.replace('name = "fashion-cnn"', 'factory = "nets:build"')))
    assert own.model.weights is None, "a factory may bring its own"


def test_a_key_of_no_file_is_refused(tmp_path: Path) -> None:
    text = MINIMAL.replace('name = "fashion-cnn"', 'name = "fashion-cnn"\nweights_key = "model_ema"')
    with pytest.raises(UsageError, match=r"model: weights_key without weights: .*give model\.weights"):
        load_recipe(write(tmp_path, text))


def test_name_and_factory_together_are_refused(tmp_path: Path) -> None:
    text = MINIMAL.replace('name = "fashion-cnn"', 'name = "fashion-cnn"\nfactory = "nets:build"')
    with pytest.raises(UsageError, match="model: expected exactly one of name, factory"):
        load_recipe(write(tmp_path, text))


def test_a_search_is_quick_unless_the_networks_are_named() -> None:
    assert load_recipe("fashion-cnn").search_effort == "quick"
    assert load_recipe("fashion-cnn").search_limit_s == 300
    named = ["candidates.variants=[]"]
    assert load_recipe("fashion-cnn", named).search_effort == "off"
    deep = load_recipe("fashion-cnn", [*named, "search.effort=deep"])
    assert (deep.search_effort, deep.search_limit_s) == ("deep", 5400)


def test_what_is_searched_is_what_is_selected() -> None:
    assert load_recipe("fashion-cnn", ["search.goal=size"]).goal == "size"
    assert load_recipe("fashion-cnn", ["select.goal=size"]).goal == "size"
    with pytest.raises(UsageError, match=r"search\.goal size and select\.goal latency: expected the same"):
        load_recipe("fashion-cnn", ["search.goal=size", "select.goal=latency"])


def test_limits_of_requests_go_with_the_archive(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    usual = package.settings(load_recipe(path, []))
    assert (usual.max_pixels, usual.deadline_s) == (None, 10.0)
    chosen = package.settings(load_recipe(path, ["package.max_pixels=50000000", "package.deadline_s=2.5"]))
    assert (chosen.max_pixels, chosen.deadline_s) == (50_000_000, 2.5)
    for wrong in ("package.max_pixels=0", "package.max_pixels=4095", "package.deadline_s=0.5", "package.deadline_s=60"):
        with pytest.raises(UsageError, match=wrong.partition("=")[0]):
            load_recipe(path, [wrong])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.kind=regression"], r"task\.tolerance: expected how far an answer may be from its target"),
        (["task.kind=regression", "task.tolerance=[5, -1]"], r"task\.regression\.tolerance\.1: .* greater than 0"),
        (["task.kind=multilabel"], "task: kind: expected .*, found 'multilabel'; did you mean multi-label"),
        (["task.threshold=0.3"], "task: kind: expected classification, .*, found none"),
        (["task.kind=multi-label", "task.treshold=0.3"], r"unknown key; did you mean task\.multi-label\.threshold"),
        (
            ["task.kind=regression", "task.tolerance=5", "budget.max_confident_flips=0.1"],
            r"budget\.max_confident_flips: expected none, because a regression answers with values, which have no conf",
        ),
        (
            ["task.kind=regression", "task.tolerance=5", "train.label_smoothing=0.1"],
            r"train\.label_smoothing: expected none, because the targets of a regression are values",
        ),
        (
            ["budget.max_score_drop=0.02", "budget.max_accuracy_drop=0.02"],
            "budget: expected one of max_accuracy_drop and max_score_drop, found both",
        ),
    ],
)
def test_settings_of_a_task_that_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe(write(tmp_path, MINIMAL), overrides)


def test_settings_of_a_task_are_lists_and_one_value_counts_for_all(tmp_path: Path) -> None:
    recipe = write(tmp_path, MINIMAL)
    assert load_recipe(recipe).task == Classification()
    assert load_recipe(recipe, ["task.kind=multi-label"]).task == MultiLabel(threshold=(0.5,))
    regression = load_recipe(recipe, ["task.kind=regression", "task.tolerance=5", 'task.units="kg"']).task
    assert regression == Regression(tolerance=(5.0,), units=("kg",))


def test_a_drop_of_the_score_is_the_same_limit_under_another_name(tmp_path: Path) -> None:
    budget = load_recipe(write(tmp_path, MINIMAL), ["budget.max_score_drop=0.02"]).budget
    assert budget == Budget(max_accuracy_drop=0.02)
    assert set(budget.model_dump()) == {"max_accuracy_drop", "max_confident_flips"}


MLP = {"name": "mlp", "arguments": {"hidden": [8]}}
TABLE = {"table": "t.csv", "targets": ["y"]}


@pytest.mark.parametrize(
    ("model", "data", "train", "fits"),
    [
        (MLP, TABLE, {}, True),
        ({"factory": "nets:build"}, {"folder": "p"}, {}, True),
        ({"factory": "nets:build"}, TABLE, {"epochs": 0}, False),
        (MLP | {"weights": "w.pth"}, TABLE, {}, False),
        (MLP | {"preprocessing": {}}, TABLE, {}, False),
        (MLP, {"factory": "mine:load"}, {}, False),
        (MLP, {"name": "fashion-mnist"}, {}, False),
    ],
)
def test_mean_and_scale_are_fitted_where_a_network_is_trained_from_the_start_and_nothing_is_given(
    model: dict[str, Any], data: dict[str, Any], train: dict[str, Any], fits: bool
) -> None:
    recipe = Recipe.model_validate({"name": "r", "model": model, "data": data, "train": train})
    assert recipe.fits_statistics is fits


def test_a_table_needs_no_targets_where_the_network_names_its_outputs() -> None:
    document = {"name": "r", "model": {"factory": "mine:net"}, "data": {"table": "t.csv"}, "train": {"epochs": 0}}
    with pytest.raises(ValidationError, match=r"data\.targets: expected the columns of the table .*, found none"):
        Recipe.model_validate(document)
    assert Recipe.model_validate({**document, "task": {"kind": "outputs"}}).data.targets == ()


@pytest.mark.parametrize(
    ("package", "report", "examples"),
    [
        ({}, {}, "disagreeing"),
        ({"golden": "synthetic"}, {}, "none"),
        ({"golden": "mine.npy"}, {}, "none"),
        ({"golden": "synthetic"}, {"examples": "disagreeing"}, "disagreeing"),
        ({}, {"examples": "none"}, "none"),
    ],
)
def test_who_keeps_examples_out_of_the_archive_keeps_them_out_of_the_report(
    package: dict[str, Any], report: dict[str, Any], examples: str
) -> None:
    document = {"name": "r", "model": MLP, "data": TABLE, "package": package, "report": report}
    recipe = Recipe.model_validate(document)
    assert recipe.reported_examples == examples
    # A recipe that leaves it to the default keeps the bytes that it had before.
    assert ("report" in recipe.model_dump(mode="json")) is bool(report)


@pytest.mark.parametrize(
    "sections",
    [
        {"task": {"kind": "regression", "tolerance": 1}, "budget": {"max_score_drop": 0.02}},
        {"task": Regression(tolerance=1)},
        {"search": {"goal": "throughput"}},
        {"train": {"optimizer": "lbfgs", "learning_rate": 2e-3}},
        {"model": {"name": "resnet18", "preprocessing": "torchvision:ResNet18_Weights.IMAGENET1K_V1"}},
        {"candidates": {"formats": ["onnx"], "variants": [{"name": "s", "passes": [StaticInt8()]}]}},
    ],
    ids=["regression", "a task as a value", "search", "lbfgs", "preset", "formats"],
)
def test_what_was_given_makes_the_same_recipe_again(sections: dict[str, Any]) -> None:
    given = {"name": "r", "model": {"name": "mlp"}, "data": {"name": "fashion-mnist"}} | sections
    recipe = Recipe.model_validate(given)
    again = Recipe.model_validate(recipe.given())
    assert again == recipe
    assert again.model_dump(mode="json") == recipe.model_dump(mode="json")
    for name in sections:
        assert getattr(again, name).model_fields_set == getattr(recipe, name).model_fields_set
