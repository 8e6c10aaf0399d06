"""What TorchScript source calls, and what of it is refused without being understood."""

from __future__ import annotations

import io
import warnings
from enum import Enum
from typing import NamedTuple, Optional

import pytest
import torch
from torch import Tensor, nn

from pipeline.export.torchscript import canonical_torchscript
from pipeline.model_code.script_source import SourceError, read_source
from pipeline.model_code.torchscript import check_torchscript


def refused(body: str, *, arguments: str = "x: Tensor", also: str = "") -> dict[str, tuple[str, str]]:
    lines = "".join(f"  {line}\n" for line in body.splitlines())
    return read_source({"__torch__.m": f"def f({arguments}) -> Tensor:\n{lines}{also}"}).refused(())


@pytest.mark.parametrize(
    "body",
    [
        "return torch.relu(x)",
        "return x.relu()",
        "y = annotate(Optional[Tensor], None)\nreturn unchecked_cast(Tensor, y)",
        "y = uninitialized(Dict[str, Tensor])\nreturn y['a']",
        "if torch.gt(torch.size(x, 0), 1):\n  y = x\nelse:\n  y = ops.aten.relu(x)\nreturn y",
        "y = [i for i in range(3)]\nfor i in y:\n  x = torch.add(x, i)\nreturn x",
        "def g(y: Tensor) -> Tensor:\n  return y\nz = fork(g, x)\nreturn torch.wait(z)",
        "if isinstance(x, List[Tensor]):\n  pass\nelse:\n  pass\nreturn x",
        'ops.prim.RaiseException("no, # no comment", "builtins.ValueError")\nreturn x',
        "return torch.mul(CONSTANTS.c0, -inf)",
        "id = x\nreturn id",
    ],
)
def test_what_only_computes(body: str) -> None:
    assert refused(body) == {}


@pytest.mark.parametrize(
    ("body", "operators"),
    {
        'return torch.from_file("a")': ["aten::from_file"],
        'f = torch.from_file\nreturn f("a")': ["aten::from_file"],
        "return x.set_(x)": ["aten::set_"],
        'return getattr(x, "set_")(x)': ["aten::set_"],
        "return ops.mine.op(ops.mine.other(x))": ["mine::op", "mine::other"],
        "print(x)\nreturn x": ["prim::Print"],
        "if True:\n  print = 1\nelse:\n  pass\nprint(x)\nreturn x": ["prim::Print"],
        "while True:\n  print = 1\nprint(x)\nreturn x": ["prim::Print"],
        "for print in range(2):\n  pass\nprint(x)\nreturn x": ["prim::Print"],
        "rpc_sync = rpc_sync\nreturn rpc_sync(x)": ["prim::rpc_sync"],
        "return torch.autograd.grad([x], [x])": ["aten::autograd"],
        "return [torch.from_file(y) for y in x]": ["aten::from_file"],
        "return torch.relu(x, out=torch.from_file(y))": ["aten::from_file"],
        "x[torch.from_file(x)] = 1\nreturn x": ["aten::from_file"],
    }.items(),
)
def test_what_does_more(body: str, operators: list[str]) -> None:
    assert list(refused(body, arguments="x: Tensor, y: str")) == operators


def test_a_default_value_and_a_constant_of_a_class_are_code_too() -> None:
    assert list(refused("return x", arguments='x: Tensor=torch.from_file("a")')) == ["aten::from_file"]
    constant = 'class C(Module):\n  a : Final[Tensor] = torch.from_file("a")\n'
    assert list(read_source({"__torch__.m": constant}).refused(())) == ["aten::from_file"]


@pytest.mark.parametrize(
    ("body", "says"),
    {
        "t = torch\nreturn x": "line 2: expected names of values, operators or classes of the file, found torch",
        "return ops.aten": "line 2: expected names of values, operators or classes of the file, found ops",
        "torch = x\nreturn torch": "line 2: expected names of its own for values, found torch",
        "return eval(x)": "found eval",
        "return __torch__.other.g(x)": "expected classes and functions that the file holds, found __torch__.other.g",
        "y = annotate(__torch__.torch.classes.c10d.Work, None)\nreturn x": "found __torch__.torch.classes.c10d.Work",
        "y = annotate(f(x), None)\nreturn x": "expected a type, found f(x)",
        "return CONSTANTS.data_ptr": "expected a constant by its number, found CONSTANTS.data_ptr",
        "return getattr(x, y)": "expected getattr of a value and a name in quotes, found another form",
        'return f"{torch.from_file(x)}"': "expected expressions of TorchScript, found JoinedStr",
        "return (lambda: x)()": "expected expressions of TorchScript, found Lambda",
        "return torch.relu(*x)": "expected expressions of TorchScript, found Starred",
        "return torch.relu(**x)": "expected arguments one by one, found **",
        'return torch.relu(b"a")': "expected text and numbers, found bytes",
        "import os\nreturn x": "expected statements of TorchScript, found Import",
        "return x # torch.relu": "expected source without comments, found one",
        "return 'ä'": "line 2: expected printable ASCII, found 'ä'",
        "\treturn x": "expected printable ASCII, found '\\t'",
        "return x\x7f": "expected printable ASCII, found '\\x7f'",
        "return (": "expected TorchScript source, found: ",
        f"return {'(' * 300}x{')' * 300}": "expected TorchScript source, found: ",
        f"return {'-' * 5000}x": "__torch__.m",
    }.items(),
)
def test_what_torch_does_not_print(body: str, says: str) -> None:
    with pytest.raises(SourceError) as caught:
        refused(body, arguments="x: Tensor, y: str")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "also", ["import os\n", "x = 1\n", "class C(Base):\n  pass\n", "@a\ndef g() -> int:\n  return 1\n"]
)
def test_a_file_holds_classes_and_functions(also: str) -> None:
    with pytest.raises(SourceError, match=r"__torch__\.m, line "):
        refused("return x", also=also)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


# Written as a call: torch does not read a class's annotations as text.
Pair = NamedTuple("Pair", [("first", Tensor), ("second", Optional[Tensor])])  # noqa: UP014, UP045


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.ones(3)
        self.training = False

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.weight = state[0]
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.sum()


def _counted(x: Tensor, times: int = 2) -> Tensor:
    for number in range(times):
        if bool(x.sum() > 0):
            x = x + number
        elif number == 1:
            break
    return x


class Varied(nn.Module):
    """What the language offers, in one network."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = Colour.RED
        self.state = Stateful()
        self.layers = nn.ModuleDict({"a": nn.Linear(3, 3), "b-c": nn.Linear(3, 3)})
        self.register_buffer("sparse_embedding", torch.ones(3))
        self.lstm = nn.LSTM(3, 3, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def pair(self, x: Tensor) -> Pair:
        return Pair(x, None)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x + 1
        waiting = torch.jit.fork(_counted, y, 3)  # type: ignore[no-untyped-call]
        z = torch.jit.wait(waiting)  # type: ignore[no-untyped-call]
        if self.colour == Colour.RED:
            z = z + len(Colour.RED.value)
        pair = self.pair(z)
        second = pair.second
        if second is not None:
            z = z + second
        for layer in self.layers.values():
            z = layer(z)
        by_name = {"a": z, "b": x}
        numbers = [number * 2 for number in range(3)]
        numbers.append(4)
        text = f"{numbers[0]}-{x.dtype}"
        assert len(text) > 0, "no " + text
        z = by_name["a"]
        while bool(z.sum() > 1e9):
            z = z / 2
        sequence, _ = self.lstm(z.unsqueeze(1))
        z = self.state(sequence[:, 0]) + self.sparse_embedding + torch.tensor(float("inf")).clamp(max=1)
        logits: Tensor = self.attention(z.mean(1, keepdim=True).unsqueeze(1).expand(-1, 2, 4)).mean(1)
        return logits


def test_what_torch_prints_of_a_varied_network_is_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.script(Varied().eval())
        for form in (module, torch.jit.freeze(module)):
            content = io.BytesIO()
            torch.jit.save(form, content)
            check_torchscript("varied.pt", canonical_torchscript(content.getvalue()))
