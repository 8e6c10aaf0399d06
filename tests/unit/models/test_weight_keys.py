"""Keys of a file become the network's own by exactly one prefix; where several fit, they are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from pipeline.errors import DataError
from pipeline.models.weights import load_weights


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def state(seed: int, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{key}": value for key, value in network(seed).state_dict().items()}


def is_seed(seed: int, net: nn.Module) -> bool:
    return all(torch.equal(value, net.state_dict()[key]) for key, value in state(seed).items())


@pytest.mark.parametrize("prefix", ["model.", "net.", "_orig_mod.", "model._orig_mod.", "module.model.encoder.0."])
@pytest.mark.parametrize("beside", [{}, {"loss.weight": torch.ones(3)}, {"ema.0.weight": torch.ones(4, 3), "seen": 3}])
def test_one_prefix_of_all_wanted_keys_is_dropped(tmp_path: Path, prefix: str, beside: dict[str, Any]) -> None:
    path, net = tmp_path / "w.ckpt", network(0)
    torch.save({"state_dict": {**state(1, prefix), **beside}}, path)
    lines = load_weights(path, net)
    assert is_seed(1, net)
    if beside:
        rest = f"; left out: {', '.join(beside)}"
        assert lines == (f"weights w.ckpt: took the tensors behind state_dict.{prefix}{rest}",)
    torch.save({"state_dict": {**state(2, prefix), **beside}}, path)
    load_weights(path, net, key=f"state_dict.{prefix}".removesuffix("."))
    assert is_seed(2, net)
    load_weights(path, net, key="state_dict")
    assert is_seed(2, net)


def test_several_prefixes_are_named_unless_they_hold_the_same(tmp_path: Path) -> None:
    path, net = tmp_path / "w.pth", network(0)
    torch.save({"state_dict": state(1, "student.backbone.") | state(2, "teacher.backbone.")}, path)
    names = r"state_dict\.student\.backbone, state_dict\.teacher\.backbone"
    with pytest.raises(DataError, match=rf"found 2: {names}; say which with model\.weights_key") as caught:
        load_weights(path, net)
    assert "\n" not in str(caught.value)
    assert is_seed(0, net)
    load_weights(path, net, key="state_dict.teacher.backbone")
    assert is_seed(2, net)
    load_weights(path, net, key="state_dict.student")
    assert is_seed(1, net)
    torch.save(state(1, "student.") | state(1, "teacher."), path)
    load_weights(path, net)
    assert is_seed(1, net)


def test_a_part_behind_a_prefix_must_be_the_network_and_nothing_more(tmp_path: Path) -> None:
    path, net = tmp_path / "w.pth", network(0)
    torch.save({**state(1, "net."), "net.3.weight": torch.ones(1)}, path)
    with pytest.raises(DataError, match=r"found in net: unexpected 3\.weight; give the network"):
        load_weights(path, net)
    torch.save({**state(1, "net."), "net.2.weight": torch.ones(5, 4), "net.2.bias": torch.ones(5), "loss.w": 1}, path)
    shapes = r"2\.weight \(5, 4\), expected \(2, 4\), 2\.bias \(5,\), expected \(2,\)"
    with pytest.raises(DataError, match=rf"found in net: of another shape: {shapes}; give the network"):
        load_weights(path, net)
    part = {key: value for key, value in state(1, "net.").items() if key != "net.0.bias"}
    torch.save(part, path)
    with pytest.raises(DataError, match=r"found in net: missing 0\.bias; give the network"):
        load_weights(path, net)
    torch.save({"net.2.weight": torch.ones(2, 4), "other.weight": torch.ones(1)}, path)
    with pytest.raises(DataError, match=r"missing 0\.bias, .*; unexpected net\.2\.weight, other\.weight; give the net"):
        load_weights(path, net)
    assert is_seed(0, net)


def test_keys_without_a_prefix_are_not_passed_over_for_others(tmp_path: Path) -> None:
    path, net = tmp_path / "w.pth", network(0)
    torch.save({**state(1), **state(2, "ema.")}, path)
    with pytest.raises(DataError, match=r"unexpected ema\.0\.bias, .* behind ema\.: give model\.weights_key = 'ema'"):
        load_weights(path, net)
    load_weights(path, net, key="ema")
    assert is_seed(2, net)


def test_keys_that_hold_no_tensor_count_only_where_the_network_lies(tmp_path: Path) -> None:
    path, net = tmp_path / "w.pth", network(0)
    torch.save({**state(1, "net."), "metric.seen": [1]}, path)
    assert load_weights(path, net) == ("weights w.pth: took the tensors behind net.; left out: metric.seen",)
    assert is_seed(1, net)
    torch.save({**state(1, "net."), "net.0._extra_state": {}}, path)
    with pytest.raises(DataError, match=r"beside tensors, keys that hold no tensor: 0\._extra_state; save"):
        load_weights(path, net)


def test_two_prefixes_that_almost_fit_are_named(tmp_path: Path) -> None:
    path, net = tmp_path / "w.pth", network(0)
    torch.save({**state(1, "a."), "a.more": torch.ones(1), **state(2, "b."), "b.more": torch.ones(1)}, path)
    with pytest.raises(
        DataError, match=r"behind a\. and b\.: give model\.weights_key = 'a' or model\.weights_key = 'b'"
    ):
        load_weights(path, net)


def test_a_prefix_of_the_networks_own_is_told_and_kept_where_both_have_it(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    outer = nn.ModuleDict({"module": network(0)})
    torch.save(state(1), path)
    with pytest.raises(DataError, match=r"the network's own keys begin with module\. and the file's do not"):
        load_weights(path, outer)
    torch.save(state(1, "module."), path)
    load_weights(path, outer)
    assert is_seed(1, outer["module"])


def test_parts_that_were_wrapped_are_recognised(tmp_path: Path) -> None:
    path, net = tmp_path / "w.pth", nn.ModuleDict({"trunk": network(0), "head": nn.Linear(2, 2)})
    head = {f"head.{key}": value for key, value in nn.Linear(2, 2).state_dict().items()}
    for wrapper in ("_orig_mod.", "module.", "module._orig_mod."):
        for prefix, beside in (("", {}), ("net.", {"loss.weight": torch.ones(1)})):
            inner = {f"{prefix}{key}": value for key, value in (state(3, f"trunk.{wrapper}") | head).items()}
            torch.save({**inner, **beside}, path)
            load_weights(path, net)
            assert is_seed(3, net["trunk"])
        load_weights(path, network(1), key="net.trunk")


class Tied(nn.Module):
    """A network whose last layer is its first, as language models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last.weight = self.embed.weight

    def forward(self, values: Tensor) -> Tensor:
        logits: Tensor = self.last(self.embed(values))
        return logits


@pytest.mark.parametrize("prefix", ["", "net."])
def test_a_tensor_under_two_keys_may_lie_in_the_file_once(tmp_path: Path, prefix: str) -> None:
    source, target = Tied(), Tied()
    save_model(source, str(tmp_path / "w.safetensors"))
    load_weights(tmp_path / "w.safetensors", target)
    assert torch.equal(source.last.weight, target.last.weight)
    for left_out in ("embed.weight", "last.weight"):
        source = Tied()
        tensors = {f"{prefix}{key}": value for key, value in source.state_dict().items() if key != left_out}
        torch.save({**tensors, "more.loss": torch.ones(1)} if prefix else tensors, tmp_path / "w.pth")
        load_weights(tmp_path / "w.pth", target)
        assert torch.equal(source.last.weight, target.last.weight)
        assert target.last.weight is target.embed.weight


def test_two_tensors_for_one_are_refused(tmp_path: Path) -> None:
    torch.save({**Tied().state_dict(), "last.weight": torch.ones(4, 4)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"the same numbers in embed\.weight and last\.weight, .* found different ones"):
        load_weights(tmp_path / "w.pth", Tied())
