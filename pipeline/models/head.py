"""The last layer of a network, which is made anew where weights of other classes are taken."""

from __future__ import annotations

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
    # In the file, the head may be another module at the same place: what lies there is left out then.
    parent = head.rpartition(".")[0]
    same = any(key.startswith(f"{head}.") and key in state for key in weights.tensors)
    place = f"{head}." if same or not parent else f"{parent}."
    left_out = [key for key in weights.tensors if key not in state and key.startswith((f"{head}.", place))]
    tensors = {key: value for key, value in weights.tensors.items() if key not in left_out}
    taken = len([key for key in tensors if key not in own])
    values = sum(state[key].numel() for key in own)
    rest = f"; left out: {some(left_out)}" if left_out else ""
    line = f"{head} is made anew ({values:,} values), and the other {taken} tensors are the file's{rest}"
    return replace(weights, tensors={**tensors, **{key: state[key] for key in own}}), line
