"""Every form of checkpoint in the documentation's table is taken or refused as the table says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipeline.errors import DataError
from pipeline.models.weights import load_weights
from tests.checkpoints import FORMS, build

PAGE = (Path(__file__).parents[3] / "docs" / "own-model.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (.+?) \| (taken|refused).* \|$", PAGE, re.MULTILINE))


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = build()
    net(torch.randn(5, 8))  # it counts batches
    return net


def same(first: nn.Module, second: nn.Module, *, tolerance: float = 0.0) -> bool:
    state = second.state_dict()
    return all(torch.allclose(value, state[key], rtol=tolerance, atol=0) for key, value in first.state_dict().items())


def test_the_page_names_these_forms_and_no_other() -> None:
    assert {name: "taken" if form.refusal is None else "refused" for name, form in FORMS.items()} == ROWS


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.refusal is None])
def test_it_is_taken(tmp_path: Path, name: str) -> None:
    form, source, target = FORMS[name], network(1), network(2)
    path = form.write(tmp_path, source)
    allowed = set(torch.serialization.get_safe_globals())
    lines = load_weights(path, target, key=form.key)
    assert set(torch.serialization.get_safe_globals()) == allowed
    assert same(source, target, tolerance=2**-8 if "became" in form.lines else 0.0)
    assert re.fullmatch(form.lines and f"weights {re.escape(path.name)}: {form.lines}", "\n".join(lines))
    if form.key is not None:
        with pytest.raises(DataError, match=rf"found 2: .*{form.key}.*; say which with model\.weights_key"):
            load_weights(path, network(3))


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.refusal is not None])
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:DeprecationWarning")
def test_it_is_refused_and_the_command_makes_safetensors_of_it(tmp_path: Path, name: str) -> None:
    form, source, target = FORMS[name], network(1), network(2)
    path = form.write(tmp_path, source)
    with pytest.raises(DataError, match=form.refusal) as caught:
        load_weights(path, target)
    command = str(caught.value).partition("of a file that you trust, ")[2].partition(": ")[2]
    python, option, code = shlex.split(command)
    assert (python, option) == ("python", "-c")
    exec(code, {})  # noqa: S102 - the message's own words
    assert load_file(path.with_suffix(".safetensors")).keys() == source.state_dict().keys()
    load_weights(path.with_suffix(".safetensors"), target)
    assert same(source, target)
