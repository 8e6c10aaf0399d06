"""The last layer of a network, which is made anew where weights of other classes are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from pipeline.data.dataset import Split
from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec, joined
from pipeline.models.weight_files import some
from pipeline.models.weight_sets import WeightSet


def find_head(spec: ModelSpec, network: nn.Module, examples: Split, *, source: str) -> str:
    """The name of the module that a network calls last among those with parameters of their own.

    Args:
        spec: specification of the model.
        network: network as built; its mode is restored.
        examples: real examples, one or more.
        source: source of the network, for messages: the key of the recipe and its value.

    Raises:
        UsageError: the call raises, or that module does not answer with a value for each output.
    """
    names = {module: name for name, module in network.named_modules()}
    calls: list[tuple[str, tuple[int, ...]]] = []

    def note(module: nn.Module, _inputs: object, answer: object) -> None:
        calls.append((names[module], tuple(answer.shape) if isinstance(answer, Tensor) else ()))

    layers = [module for module in names if any(True for _ in module.parameters(recurse=False))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    training = network.training
    rows = examples.take(slice(2))
    try:
        with torch.no_grad():
            model = spec.deployable(network.eval())
            columns = joined(model(*(torch.from_numpy(rows.inputs[one.name].copy()) for one in spec.inputs))).shape[1]
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise UsageError(
            f"model.head replace: expected an answer of {source}, by which its last layer is found; found "
            f"{type(error).__name__}: {text}"
        ) from error
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    name, shape = calls[-1] if calls else ("", ())
    if not name or len(shape) < 2 or columns not in shape[1:]:
        last = f"{name} with {shape}" if name else "none"
        raise UsageError(
            f"model.head replace: expected that the layer that {source} calls last answers with a value for each of "
            f"{columns} outputs, found {last}; load the weights of the other layers in a factory instead"
        )
    return name


def with_new_head(weights: WeightSet, network: nn.Module, head: str) -> tuple[WeightSet, str]:
    """Weights whose last layer is the network's own, as it was initialised.

    Args:
        weights: weights of a file under the network's own keys.
        network: network as built.
        head: name of its last layer.

    Returns:
        The weights, and a line about what was taken from where.
    """
    state = network.state_dict()
    own = [key for key in state if key.startswith(f"{head}.")]
    left_out = _others_head(weights, state, head)
    tensors = {key: value for key, value in weights.tensors.items() if key not in left_out}
    taken = len([key for key in tensors if key not in own])
    values = sum(state[key].numel() for key in own)
    rest = f"; left out: {some(left_out)}" if left_out else ""
    line = f"{head} is made anew ({values:,} values), and the other {taken} tensors are the file's{rest}"
    return replace(weights, tensors={**tensors, **{key: state[key] for key in own}}), line


def _others_head(weights: WeightSet, state: Mapping[str, Tensor], head: str) -> list[str]:
    """The keys of a file's own last layer, where that is another module than the network's.

    It lies at the same place, or at the top level under another name, as `fc` in one library is `head` in another.
    There it counts as the last layer if it is the only module that the network does not have, and takes as many
    features as the network's last layer does.

    Args:
        weights: weights of a file under the network's own keys.
        state: state dict of the network.
        head: name of the network's last layer.
    """
    others = [key for key in weights.tensors if key not in state]
    parent = head.rpartition(".")[0]
    same = any(key.startswith(f"{head}.") and key in state for key in weights.tensors)
    place = f"{head}." if same or not parent else f"{parent}."
    at_its_place = [key for key in others if key.startswith((f"{head}.", place))]
    if same or parent or at_its_place or len({key.partition(".")[0] for key in others}) != 1:
        return at_its_place
    features = {value.shape[1:] for key, value in state.items() if key.startswith(f"{head}.") and value.ndim > 1}
    alike = any(
        value.ndim > 1 and value.shape[1:] in features for key, value in weights.tensors.items() if key in others
    )
    return others if alike else []


def head_advice(weights: WeightSet, network: nn.Module, head: str) -> str:
    """Advice where a file has more than the network, beside its last layer; empty where it lacks something too.

    Args:
        weights: weights, as `with_new_head` returns them.
        network: network as built.
        head: name of its last layer.
    """
    expected = network.state_dict()
    others = sorted({key.partition(".")[0] for key in weights.tensors if key not in expected})
    if not others or expected.keys() - weights.tensors.keys():
        return ""
    prefixes = ", ".join(f"{name!r}" for name in others)
    return (
        f"the last layer of this network is {head}: if {some(others)} in the file belong to another one, save it "
        f"without: {{key: value for key, value in state.items() if key.partition('.')[0] not in ({prefixes},)}}"
    )
