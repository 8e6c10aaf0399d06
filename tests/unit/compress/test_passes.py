from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.compress.passes import apply_passes
from pipeline.errors import DataError, UsageError
from pipeline.models.weights import save_weights
from pipeline.recipe.passes import Bfloat16, ChannelPruning, DynamicInt8, FineTune, MagnitudePruning, Pass, StaticInt8

SLIM = ChannelPruning(round_to=2)
EVERY_PASS: list[tuple[Pass, ...]] = [
    (),
    (MagnitudePruning(amount=0.3, scope="layer"),),
    (MagnitudePruning(amount=0.6, scope="global"),),
    (DynamicInt8(),),
    (MagnitudePruning(), DynamicInt8()),
    (MagnitudePruning(), Bfloat16()),
    (SLIM,),
    (ChannelPruning(round_to=1, scope="global", importance="l1", layers={"0": 0.25}),),
    (SLIM, FineTune()),
    (SLIM, FineTune(), MagnitudePruning(), DynamicInt8()),
]
PRUNED_THEN_INT8: tuple[Pass, ...] = (MagnitudePruning(), DynamicInt8())
EXAMPLE = (torch.zeros(2, 1, 8, 8),)


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 5))


def test_a_network_whose_call_left_a_tensor_with_its_history_can_be_copied() -> None:
    with pytest.warns(FutureWarning, match="weight_norm.*is deprecated"):
        network = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)))
    network.eval()
    values = torch.randn(2, 4)
    network(values)
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(network)
    copied, _ = apply_passes(network, (), example=(values,))
    assert torch.equal(copied(values), network(values))


def bits(network: nn.Module) -> dict[str, Tensor]:
    """Everything a network holds, int8 weights and their scales included, as tensors."""
    tensors: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if isinstance(value, tuple):
            for part, tensor in zip(("weight", "bias"), value, strict=True):
                tensors[f"{name}.{part}"] = tensor.int_repr() if tensor.is_quantized else tensor
                if tensor.is_quantized:
                    tensors[f"{name}.scale"] = torch.tensor(tensor.q_scale())
        elif isinstance(value, Tensor):
            tensors[name] = value
    return tensors


@pytest.mark.parametrize("passes", EVERY_PASS, ids=lambda passes: "+".join(step.kind for step in passes) or "none")
def test_float_weights_and_the_same_passes_give_the_same_bits(passes: tuple[Pass, ...], tmp_path: Path) -> None:
    torch.manual_seed(3)
    tuned = tmp_path / "tuned.safetensors"
    save_weights(tuned, apply_passes(small_network(), (SLIM,), example=EXAMPLE)[0])
    torch.manual_seed(0)
    first, _ = apply_passes(small_network(), passes, example=EXAMPLE, weights=tuned)
    torch.manual_seed(0)
    weights = copy.deepcopy(small_network().state_dict())
    torch.manual_seed(1)
    rebuilt = small_network()
    rebuilt.load_state_dict(weights, strict=True)
    second, _ = apply_passes(rebuilt, passes, example=EXAMPLE, weights=tuned)
    first_bits, second_bits = bits(first), bits(second)
    assert list(first_bits) == list(second_bits)
    assert all(torch.equal(first_bits[name], second_bits[name]) for name in first_bits)
    pictures = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(first(pictures), second(pictures))


def test_the_network_is_left_as_it_was() -> None:
    network = small_network().train()
    before = copy.deepcopy(network.state_dict())
    compressed, reports = apply_passes(network, PRUNED_THEN_INT8, example=EXAMPLE)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
    assert not compressed.training
    assert [report.kind for report in reports] == ["magnitude-pruning", "dynamic-int8"]


def test_the_second_report_still_sees_the_zeros_of_the_first() -> None:
    _, reports = apply_passes(small_network(), PRUNED_THEN_INT8, example=EXAMPLE)
    assert reports[1].touched_sparsity == pytest.approx(0.3, abs=1e-3)


def test_pruning_after_quantization_is_refused() -> None:
    with pytest.raises(UsageError, match="magnitude-pruning after quantization"):
        apply_passes(small_network(), (DynamicInt8(), MagnitudePruning()), example=EXAMPLE)


def test_tuned_weights_are_loaded_strictly(tmp_path: Path) -> None:
    tuned = tmp_path / "tuned.safetensors"
    slim, _ = apply_passes(small_network(), (SLIM,), example=EXAMPLE)
    with torch.no_grad():
        slim.get_parameter("0.weight").fill_(0.5)
    save_weights(tuned, slim)
    network, reports = apply_passes(small_network(), (SLIM, FineTune(epochs=2)), example=EXAMPLE, weights=tuned)
    assert network.get_parameter("0.weight").shape == (2, 1, 3, 3)
    assert bool((network.get_parameter("0.weight") == 0.5).all())
    assert reports[1].detail == "2 epochs of distillation from float on training data"
    with pytest.raises(DataError, match=r"of another shape: 0\.weight"):
        apply_passes(small_network(), (FineTune(),), example=EXAMPLE, weights=tuned)
    with pytest.raises(UsageError, match="fine-tune: expected the weights that it made, found none"):
        apply_passes(small_network(), (SLIM, FineTune()), example=EXAMPLE)


def test_static_int8_is_for_files() -> None:
    with pytest.raises(UsageError, match="static-int8 of a torch module: expected an ONNX file"):
        apply_passes(small_network(), (StaticInt8(),), example=EXAMPLE)
