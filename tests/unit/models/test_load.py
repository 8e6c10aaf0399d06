"""From a recipe's model section to a specification."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.dataset import DataInfo
from pipeline.data.fashion_mnist_files import SOURCES
from pipeline.data.training_statistics import Statistics
from pipeline.errors import DataError, UsageError
from pipeline.models.load import load_model_spec
from pipeline.models.outside import outside_digests
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import count_parameters
from pipeline.presets import read_preset
from pipeline.recipe.model import Model, Preprocessing
from pipeline.tasks.classification.member import ClassificationTask

PICTURE = InputSpec(name="image", dtype="uint8", shape=(1, 28, 28), low=0, high=255, decoding=ImageDecoding(mode="L"))
TABLE = InputSpec(name="features", dtype="float32", shape=(50,), low=-9, high=9)


def _info(*inputs: InputSpec, name: str = "fashion-mnist", classes: int = 10) -> DataInfo:
    return DataInfo(
        name=name,
        classes=tuple(str(label) for label in range(classes)),
        inputs=inputs,
        sizes={},
        digests={},
        sources={},
    )


FASHION_MNIST = _info(PICTURE).model_copy(update={"sources": SOURCES})


def _model(**fields: Any) -> Model:
    return Model.model_validate(fields)


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("fashion-cnn", {"dropout": 0.3}, 1_630_090),
        ("fashion-cnn-wide", {}, 1_758_858),
        ("resnet18", {}, 11_175_370),
        ("mlp", {"hidden": [256, 128]}, 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10),
    ],
)
def test_built_in_architectures(tmp_path: Path, name: str, arguments: dict[str, Any], parameters: int) -> None:
    spec = load_model_spec(_model(name=name, arguments=arguments), tmp_path, _info(PICTURE))
    network = spec.build()
    assert count_parameters(network) == parameters
    assert spec.to_info(network, task=ClassificationTask(), files={}).parameters == parameters
    logits = spec.deployable(network.eval())(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    assert logits.shape == (2, 10)


def test_fashion_mnist_is_standardized_by_its_own_statistics(tmp_path: Path) -> None:
    spec = load_model_spec(_model(name="fashion-cnn"), tmp_path, FASHION_MNIST)
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    seen = spec.preprocess()(black_and_white).flatten()
    assert seen.tolist() == pytest.approx([-0.2860 / 0.3530, (1 - 0.2860) / 0.3530], rel=1e-6)


def test_a_perceptron_for_a_table(tmp_path: Path) -> None:
    spec = load_model_spec(
        _model(name="mlp", arguments={"hidden": [30, 20]}), tmp_path, _info(TABLE, name="t", classes=3)
    )
    assert count_parameters(spec.build()) == 2_213
    assert isinstance(spec.preprocess(), ToFloat)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "mlp"}, r"model\.arguments: expected hidden, dropout; found: missing hidden"),
        ({"name": "fashion-cnn", "arguments": {"drop": 1}}, r"model\.arguments: expected dropout; found: unknown drop"),
        ({"name": "fashion-cnn", "arguments": {"dropout": 1}}, "dropout: expected a number from 0 to below 1, found 1"),
        ({"name": "mlp", "arguments": {"hidden": [3, 0]}}, "hidden: expected a list of whole numbers of at least 1"),
        (
            {"name": "mlp", "arguments": {"hidden": 3}},
            "hidden: expected a list of whole numbers of at least 1, found 3",
        ),
    ],
)
def test_what_a_recipe_gets_wrong(tmp_path: Path, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        load_model_spec(_model(**fields), tmp_path, _info(PICTURE))


def test_a_picture_network_refuses_a_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected data of one input of shape \(C, H, W\), found features \(50,\)"):
        load_model_spec(_model(name="resnet18"), tmp_path, _info(TABLE, name="t"))
    with pytest.raises(UsageError, match=r"expected data of one input of shape \(1, 28, 28\), found features \(50,\)"):
        load_model_spec(_model(name="fashion-cnn"), tmp_path, _info(TABLE, name="t"))


MOBILENET = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V1"


def test_a_published_networks_preprocessing_goes_into_the_graph(tmp_path: Path) -> None:
    model = _model(name="resnet18", preprocessing=MOBILENET)
    spec = load_model_spec(model, tmp_path, _info(read_preset(MOBILENET).input_spec("photo"), name="photos"))
    white = spec.preprocess()(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))[0, :, 0, 0]
    expected = [(1 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    assert white.tolist() == pytest.approx(expected, rel=1e-6)
    assert "resize_to" in outside_digests(model, {}, tmp_path)["model.preprocessing"]
    tensor = InputSpec(name="x", dtype="uint8", shape=(3, 64, 64), low=0, high=255)  # nobody decodes these
    assert load_model_spec(model, tmp_path, _info(tensor, name="tensors")).inputs == (tensor,)


def test_data_that_a_published_network_would_see_otherwise_are_refused(tmp_path: Path) -> None:
    squeezed = replace(read_preset(MOBILENET).input_spec(), decoding=ImageDecoding(mode="RGB"))
    for inputs in ((squeezed,), (PICTURE,), (squeezed, TABLE)):
        with pytest.raises(UsageError, match=r"model\.preprocessing torchvision:Mobile.*expected data of one input"):
            load_model_spec(_model(name="resnet18", preprocessing=MOBILENET), tmp_path, _info(*inputs, name="t"))


NETS = """
from torch import nn
from pipeline import ModelSpec
from pipeline.models.preprocess import ToFloat
from pipeline._handlers.decode import InputSpec

def build(width=2):
    return nn.Linear(50, width)

def spec(labels="012"):
    inputs = (InputSpec(name="features", dtype="float32", shape=(50,), low=-9, high=9),)
    return ModelSpec(name="mine", build=build, preprocess=ToFloat, inputs=inputs, labels=tuple(labels))

def nothing():
    return None
"""


def test_the_users_bare_network_takes_inputs_labels_and_preprocessing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    data = _info(TABLE, name="t", classes=3)
    model = _model(factory="nets:build", arguments={"width": 3}, preprocessing=Preprocessing(scale=2.0))
    spec = load_model_spec(model, tmp_path, data)
    assert (spec.inputs, spec.labels) == (data.inputs, data.classes)
    assert torch.equal(spec.preprocess()(torch.ones(1, 50)), torch.full((1, 50), 2.0))
    assert spec.build() is not spec.build()
    assert spec.deployable(spec.build())(torch.ones(4, 50)).shape == (4, 3)


def test_the_users_whole_specification_must_fit_the_data(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    data = _info(TABLE, name="t", classes=3)
    assert load_model_spec(_model(factory="nets:spec"), tmp_path, data).name == "mine"
    with pytest.raises(UsageError, match="expected the classes of data set t"):
        load_model_spec(_model(factory="nets:spec", arguments={"labels": "01"}), tmp_path, data)
    with pytest.raises(UsageError, match="expected the inputs of data set t"):
        load_model_spec(_model(factory="nets:spec"), tmp_path, _info(PICTURE, name="t", classes=3))
    with pytest.raises(
        UsageError, match=r"model\.preprocessing: expected it only for a factory that returns a network"
    ):
        load_model_spec(_model(factory="nets:spec", preprocessing=Preprocessing()), tmp_path, data)
    with pytest.raises(
        UsageError, match=r"factory nets:nothing: expected a torch\.nn\.Module or a ModelSpec, found NoneType"
    ):
        load_model_spec(_model(factory="nets:nothing"), tmp_path, data)


def test_several_inputs_are_cast_each_on_its_own(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    word = InputSpec(name="word", dtype="int64", shape=(4,), low=0, high=99)
    data = _info(PICTURE, word, name="t", classes=3)
    preprocess = load_model_spec(_model(factory="nets:build"), tmp_path, data).preprocess()
    picture, index = preprocess(torch.ones(1, 1, 28, 28, dtype=torch.uint8), torch.ones(1, 4, dtype=torch.int64))
    assert (picture.dtype, index.dtype) == (torch.float32, torch.int64)
    model = _model(factory="nets:build", preprocessing=Preprocessing(scale=2.0))
    with pytest.raises(UsageError, match=r"model\.preprocessing: expected a data set of one input, found 2"):
        load_model_spec(model, tmp_path, data).preprocess()


def test_source_and_weights_are_watched(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("import layers\n")
    (tmp_path / "layers.py").write_text("")
    (tmp_path / "w.pth").write_bytes(b"\x80\x02N.")
    model = _model(factory="nets:build", weights="w.pth")
    before = outside_digests(model, {"model.factory": "nets:build"}, tmp_path)
    assert set(before) == {"model.factory nets.py", "model.factory layers.py", "model.weights"}
    (tmp_path / "layers.py").write_text("# edited\n")
    (tmp_path / "w.pth").write_bytes(b"\x80\x03N.")
    after = outside_digests(model, {"model.factory": "nets:build"}, tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["model.factory layers.py", "model.weights"]
    (tmp_path / "w.pth").unlink()
    with pytest.raises(DataError, match=r"w\.pth: expected a file, found none"):
        outside_digests(model, {"model.factory": "nets:build"}, tmp_path)


def test_an_activation_is_declared_by_the_recipe_or_by_the_specification(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        NETS.replace("labels=tuple(labels))", "labels=tuple(labels), activation=activation)").replace(
            'labels="012"', 'labels="012", activation=None'
        )
    )
    data = _info(TABLE, name="t", classes=3)

    def declared(in_recipe: str | None, in_specification: str | None) -> str:
        arguments = {} if in_specification is None else {"activation": in_specification}
        model = _model(factory="nets:spec", arguments=arguments, activation=in_recipe)
        spec = load_model_spec(model, tmp_path, data)
        assert spec.to_info(spec.build(), task=ClassificationTask(), files={}).activation == spec.outputs_are
        return spec.outputs_are

    assert declared(None, None) == "none"
    assert declared("softmax", None) == declared(None, "softmax") == declared("softmax", "softmax") == "softmax"
    with pytest.raises(UsageError, match=r"model\.activation: expected softmax, as the ModelSpec of nets:spec says"):
        declared("sigmoid", "softmax")
    bare = load_model_spec(_model(factory="nets:build", activation="sigmoid"), tmp_path, data)
    assert bare.activation == "sigmoid"
    assert load_model_spec(_model(name="mlp", arguments={"hidden": [3]}), tmp_path, data).activation is None


LAZY = """
from torch import nn

def build():
    return nn.Sequential(nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))
"""


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")  # said by torch where they are made
def test_lazy_layers_have_their_sizes_when_built(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text(LAZY)
    spec = load_model_spec(_model(factory="lazy:build"), tmp_path, _info(TABLE, name="t", classes=3))
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(spec.build())
    assert [count_parameters(network) for network in networks] == [50 * 16 + 16 + 32 + 16 * 3 + 3] * 2
    assert networks[0].training
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


ROWS = InputSpec(
    name="features",
    dtype="float32",
    shape=(3,),
    low=-9,
    high=9,
    columns=(Column(name="a"), Column(name="b", categories=("x", "y")), Column(name="c")),
)
FITTED = Statistics(mean=(1.0, 2.0), std=(2.0, 4.0))


def _rows(statistics: Statistics | None = None) -> DataInfo:
    return _info(ROWS, name="t", classes=3).model_copy(update={"statistics": statistics})


def test_a_network_for_a_table_sees_standardized_numbers_and_a_value_for_each_category(tmp_path: Path) -> None:
    spec = load_model_spec(_model(name="mlp", arguments={"hidden": [8]}), tmp_path, _rows(FITTED))
    assert count_parameters(spec.build()) == 4 * 8 + 8 + 8 * 3 + 3
    assert spec.preprocess()(torch.tensor([[3.0, 1.0, -2.0]])).tolist() == [[1.0, -1.0, 0.0, 1.0]]
    assert spec.assumed == "mean and std of each column of numbers, fitted on the training split"


@pytest.mark.parametrize(
    ("fields", "seen", "assumed"),
    [
        ({}, [[3.0, -2.0, 0.0, 1.0]], "numbers as they are, and a 0 or 1 for each category"),
        ({"preprocessing": Preprocessing(scale=2, mean=(1, 0), std=(1, 2))}, [[5.0, -2.0, 0.0, 1.0]], ""),
    ],
)
def test_what_a_network_for_a_table_sees_where_nothing_is_fitted(
    tmp_path: Path, fields: dict[str, Any], seen: list[list[float]], assumed: str
) -> None:
    spec = load_model_spec(_model(name="mlp", arguments={"hidden": [8]}, **fields), tmp_path, _rows())
    assert spec.preprocess()(torch.tensor([[3.0, 1.0, -2.0]])).tolist() == seen
    assert spec.assumed == assumed


@pytest.mark.parametrize(
    ("data", "seen", "assumed"),
    [
        (_info(PICTURE), 51.0, "pixels as they are, from 0 to 255"),
        (
            _info(PICTURE).model_copy(update={"statistics": Statistics(mean=(1.0,), std=(5.0,))}),
            10.0,
            "mean and std of",
        ),
    ],
)
def test_what_a_bare_network_of_the_users_sees(tmp_path: Path, data: DataInfo, seen: float, assumed: str) -> None:
    (tmp_path / "seen.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(2, 2)\n")
    spec = load_model_spec(_model(factory="seen:build"), tmp_path, data)
    pixels = torch.full((1, *PICTURE.shape), 51, dtype=torch.uint8)
    torch.testing.assert_close(spec.preprocess()(pixels), torch.full((1, *PICTURE.shape), seen))
    assert spec.assumed.startswith(assumed)


def test_built_in_statistics_are_nothing_assumed(tmp_path: Path) -> None:
    assert load_model_spec(_model(name="fashion-cnn"), tmp_path, FASHION_MNIST).assumed == ""
    own = load_model_spec(_model(name="fashion-cnn"), tmp_path, _info(PICTURE, name="fashion-mnist"))
    assert own.assumed == "pixels from 0 to 1", "a folder may have that name"
