"""A new last layer on the weights of other classes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.errors import DataError, UsageError
from pipeline.models.head import find_head
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.models.weights import load_weights


class Declared(nn.Module):
    """Its layers are declared in another order than they are called in."""

    def __init__(self, classes: int, *, hidden: int = 4, wrapped: bool = False) -> None:
        super().__init__()
        self.fc: nn.Module = nn.Linear(hidden, classes)
        if wrapped:
            self.fc = nn.Sequential(nn.Dropout(0.1), nn.Linear(hidden, classes))
        self.trunk = nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, 3) to (B, K)."""
        answers: Tensor = self.fc(self.trunk(values))
        return answers


def spec(classes: int) -> ModelSpec:
    return ModelSpec(
        name="m",
        build=lambda: Declared(classes),
        preprocess=ToFloat,
        inputs=(InputSpec(name="x", dtype="float32", shape=(3,), low=-9, high=9),),
        labels=tuple(map(str, range(classes))),
    )


EXAMPLES = Split(inputs={"x": np.zeros((3, 3), np.float32)}, labels=np.array([0, 1, 0]))


def saved(tmp_path: Path, network: nn.Module, **changes: Tensor) -> Path:
    path = tmp_path / "w.pt"
    torch.save({**network.state_dict(), **changes}, path)
    return path


def test_the_head_is_the_layer_that_is_called_last() -> None:
    network = Declared(5).train()
    assert find_head(spec(5), network, EXAMPLES, source="model.name m") == "fc"
    assert find_head(spec(5), Declared(5, wrapped=True), EXAMPLES, source="model.name m") == "fc.1"
    assert network.training
    assert int(network.state_dict()["trunk.1.num_batches_tracked"]) == 0


def test_a_last_layer_of_other_outputs_is_refused() -> None:
    network = nn.Sequential(OrderedDict(a=nn.Linear(3, 5), b=nn.Unflatten(1, (5, 1)), c=nn.Flatten(), d=nn.PReLU()))
    with pytest.raises(UsageError, match=r"model.head replace: expected an answer of model.name m, .* RuntimeError"):
        find_head(spec(5), nn.Linear(4, 5), EXAMPLES, source="model.name m")
    network.append(nn.Flatten(0))
    with pytest.raises(UsageError, match=r"expected that the layer that model.name m calls last answers with a value"):
        find_head(spec(5), nn.Sequential(nn.Linear(3, 7), nn.AdaptiveAvgPool1d(5)), EXAMPLES, source="model.name m")


@pytest.mark.parametrize("classes", [5, 9])
def test_all_but_the_head_is_the_files(tmp_path: Path, classes: int) -> None:
    source, target = Declared(9), Declared(classes)
    head = target.state_dict()["fc.weight"].clone()
    (line,) = load_weights(saved(tmp_path, source), target, new_head="fc")
    assert line == f"weights w.pt: fc is made anew ({5 * classes} values), and the other 7 tensors are the file's"
    assert torch.equal(target.state_dict()["fc.weight"], head)
    assert torch.equal(target.state_dict()["trunk.0.weight"], source.state_dict()["trunk.0.weight"])
    assert torch.equal(target.state_dict()["trunk.1.running_var"], source.state_dict()["trunk.1.running_var"])


def test_the_file_may_have_another_head_or_none(tmp_path: Path) -> None:
    plain, wrapped = Declared(9), Declared(5, wrapped=True)
    (line,) = load_weights(saved(tmp_path, plain), wrapped, new_head="fc.1")
    assert line.endswith("7 tensors are the file's; left out: fc.weight, fc.bias")
    assert torch.equal(wrapped.state_dict()["trunk.0.bias"], plain.state_dict()["trunk.0.bias"])
    path = tmp_path / "trunk.pt"
    torch.save({key: value for key, value in plain.state_dict().items() if key.startswith("trunk")}, path)
    load_weights(path, wrapped, new_head="fc.1")
    torch.save({f"module.{key}": value for key, value in plain.state_dict().items()}, path)
    load_weights(path, Declared(2), new_head="fc")


def test_other_differences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"of another shape: trunk.0.weight \(6, 3\), expected \(4, 3\)"):
        load_weights(saved(tmp_path, Declared(9, hidden=6)), Declared(5), new_head="fc")
    with pytest.raises(DataError, match=r"unexpected extra.weight"):
        load_weights(saved(tmp_path, Declared(9), **{"extra.weight": torch.ones(2)}), Declared(5), new_head="fc")
    with pytest.raises(DataError, match=r"of another shape: fc.weight .* set model.head = .replace."):
        load_weights(saved(tmp_path, Declared(9)), Declared(5))


def test_several_sets_are_told_apart_though_none_has_the_networks_head(tmp_path: Path) -> None:
    path = tmp_path / "two.pt"
    torch.save({"model": Declared(9).state_dict(), "ema": Declared(9).state_dict()}, path)
    with pytest.raises(DataError, match=r"expected one set of weights for Declared, found 2: model, ema"):
        load_weights(path, Declared(5), new_head="fc")
    load_weights(path, Declared(5), key="ema", new_head="fc")


def renamed(network: nn.Module, name: str) -> dict[str, Tensor]:
    """The tensors of a network under another name of its last layer."""
    return {key.replace("fc.", f"{name}.", 1): value for key, value in network.state_dict().items()}


def test_at_the_top_level_the_files_head_may_have_another_name(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    source, target = Declared(9), Declared(5)
    torch.save(renamed(source, "head"), path)
    (line,) = load_weights(path, target, new_head="fc")
    assert line.endswith("7 tensors are the file's; left out: head.weight, head.bias")
    assert torch.equal(target.state_dict()["trunk.0.weight"], source.state_dict()["trunk.0.weight"])


def test_what_is_no_other_head_is_refused_with_advice_that_helps(tmp_path: Path) -> None:
    path, source = tmp_path / "w.pt", Declared(9)
    beside = {"projection.weight": torch.ones(3, 8), "aux.weight": torch.ones(2, 4)}
    others = {"one of other features": {"projection.weight": torch.ones(3, 8)}, "two modules": beside}
    for tensors in others.values():
        trunk = {key: value for key, value in source.state_dict().items() if key.startswith("trunk")}
        torch.save(trunk | tensors, path)
        with pytest.raises(DataError, match=r"the last layer of this network is fc: if .* save it without") as caught:
            load_weights(path, Declared(5), new_head="fc")
        # The advice as it stands makes a file that is taken.
        state = torch.load(path)
        torch.save(eval(str(caught.value).partition("without: ")[2], {"state": state}), path)  # noqa: S307
        load_weights(path, Declared(5), new_head="fc")
