"""The choice among the sets in a file of weights; no set is passed over silently."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.errors import DataError, UsageError
from pipeline.models.weights import load_weights


def network(seed: int, inputs: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def state(seed: int, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{key}": value for key, value in network(seed).state_dict().items()}


def averaged(seed: int) -> Mapping[str, Tensor]:
    average = AveragedModel(network(seed), use_buffers=True)
    average.update_parameters(network(seed))
    return average.state_dict()


def is_seed(seed: int, net: nn.Module) -> bool:
    return all(torch.equal(value, net.state_dict()[key]) for key, value in state(seed).items())


def optimizer() -> dict[str, Any]:
    parameters = list(network(0).parameters())
    rule = torch.optim.Adam(parameters)
    sum(value.sum() for value in parameters).backward()  # type: ignore[union-attr]
    rule.step()
    return rule.state_dict()


PARAMETERS = [value.detach() for value in network(2).parameters()]
PAIRS: dict[str, tuple[dict[str, Any], str, str]] = {
    "timm": ({"state_dict": state(1), "state_dict_ema": state(2)}, "state_dict, state_dict_ema", "state_dict_ema"),
    "torchvision": (
        {"model": state(1), "model_ema": averaged(2), "optimizer": optimizer(), "epoch": 3},
        r"model, model_ema \(averaged over 1 updates\)",
        "model_ema",
    ),
    "nested": ({"model": state(1), "ema": {"shadow": state(2), "decay": 0.9}}, r"model, ema\.shadow", "ema.shadow"),
    "teacher": ({"student": state(1, "module."), "teacher": state(2, "module.")}, "student, teacher", "teacher"),
    "callback": (
        {"state_dict": state(1), "callbacks": {"EMA": {"ema_state_dict": state(2)}}},
        r"state_dict, callbacks\.EMA\.ema_state_dict",
        "callbacks.EMA",
    ),
    "params_ema": ({"params": state(1), "params_ema": state(2)}, "params, params_ema", "params_ema"),
    "swa": ({**state(1), "swa_model": state(2)}, "the whole file, swa_model", "swa_model"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_two_sets_are_named_and_the_key_takes_one(tmp_path: Path, kind: str) -> None:
    document, names, key = PAIRS[kind]
    path, net = tmp_path / "w.pth", network(0)
    torch.save(document, path)
    with pytest.raises(DataError, match=rf"found 2: {names}; say which with model\.weights_key") as caught:
        load_weights(path, net)
    assert "\n" not in str(caught.value)
    assert is_seed(0, net)
    load_weights(path, net, key=key)
    assert is_seed(2, net)


def test_averaged_weights_without_names_or_buffers_are_told_too(tmp_path: Path) -> None:
    for inner, advice in (
        ({"shadow_params": PARAMETERS}, "they are a list without names"),
        ({"shadow_params": dict(network(2).named_parameters())}, "these are its parameters without its buffers"),
        ({"shadow_params": {key.replace(".", ""): value for key, value in state(2).items()}}, "give the network"),
    ):
        torch.save({"model": state(1), "ema": inner}, tmp_path / "w.pth")
        net = network(0)
        with pytest.raises(DataError, match=r"found 2: model, ema\.shadow_params; say which"):
            load_weights(tmp_path / "w.pth", net)
        with pytest.raises(DataError, match=rf"found in ema\.shadow_params: missing .*; {advice}"):
            load_weights(tmp_path / "w.pth", net, key="ema.shadow_params")
        load_weights(tmp_path / "w.pth", net, key="model")
        assert is_seed(1, net)


def test_what_cannot_be_meant_does_not_ask(tmp_path: Path) -> None:
    for document in (
        {"discriminator": network(5, inputs=9).state_dict(), "generator": state(1)},
        {"net": state(1), "optimizer": optimizer(), "random": {"cpu": torch.get_rng_state()}},
        {"state_dict": state(1), "current_model_state": state(1), "loss": torch.tensor(0.5)},
        [state(1)],
    ):
        torch.save(document, tmp_path / "w.pth")
        net = network(0)
        load_weights(tmp_path / "w.pth", net)
        assert is_seed(1, net)


def test_a_number_and_its_digits_are_two_keys(tmp_path: Path) -> None:
    torch.save({1: state(1), "1": state(2)}, tmp_path / "w.pth")
    net = network(0)
    with pytest.raises(DataError, match="found 2: 1, '1'; say which"):
        load_weights(tmp_path / "w.pth", net)
    load_weights(tmp_path / "w.pth", net, key="'1'")
    assert is_seed(2, net)


def test_the_counter_of_averaged_weights_is_dropped_and_of_nothing_else(tmp_path: Path) -> None:
    torch.save(averaged(2), tmp_path / "w.pth")
    net = network(0)
    load_weights(tmp_path / "w.pth", net)
    assert is_seed(2, net)
    torch.save({**state(1), "n_averaged": torch.tensor(3)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="unexpected n_averaged"):
        load_weights(tmp_path / "w.pth", net)


@pytest.mark.parametrize("key", ["emma", "model.ema", "optimizer", "0"])
def test_a_wrong_key_lists_what_is_there(tmp_path: Path, key: str) -> None:
    torch.save({"model": state(1), "model_ema": averaged(2), "optimizer": optimizer()}, tmp_path / "w.pth")
    with pytest.raises(
        UsageError,
        match=rf"model\.weights_key: expected a set of tensors in .*, found no {key}; there are model, model_",
    ):
        load_weights(tmp_path / "w.pth", network(0), key=key)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (optimizer(), "an optimizer's state alone"),
        ({"optimizer": optimizer(), "epoch": 3}, "keys that hold no tensor: optimizer, epoch"),
        (torch.ones(3), r"one tensor of shape \(3,\)"),
        ({}, "found dict of nothing"),
        ([], "found list of nothing"),
        (3, "found int"),
        ({**state(1), "epoch": 3}, "beside tensors, keys that hold no tensor: epoch"),
    ],
)
def test_what_holds_no_weights_is_named(tmp_path: Path, document: object, text: str) -> None:
    torch.save(document, tmp_path / "w.pth")
    with pytest.raises(DataError, match=rf"{text}.*; save network\.state_dict\(\)"):
        load_weights(tmp_path / "w.pth", network(0))
