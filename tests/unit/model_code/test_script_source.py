"""TorchScript source names its operators; source that this package does not understand is refused."""

from __future__ import annotations

import io
import warnings
from enum import Enum
from typing import Any, NamedTuple, Optional

import pytest
import torch
from torch import Tensor, nn

from pipeline.export.torchscript import canonical_torchscript
from pipeline.model_code.script_source import read_source
from pipeline.model_code.source_text import SourceError
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
        'y = uninitialized(Dict[str, Tensor])\nreturn y["a"]',
        "if torch.gt(torch.size(x, 0), 1):\n  y = x\nelse:\n  y = ops.aten.relu(x)\nreturn y",
        "y = [i for i in range(3)]\nfor i in y:\n  x = torch.add(x, i)\nreturn x",
        "def g(y: Tensor) -> Tensor:\n  return y\nz = fork(g, x)\nreturn torch.wait(z)",
        "if isinstance(x, List[Tensor]):\n  pass\nelse:\n  pass\nreturn x",
        'ops.prim.RaiseException("no, # no comment", "builtins.ValueError")\nreturn x',
        "return torch.mul(CONSTANTS.c0, -inf)",
        "max = x\nreturn max",
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
        "return rpc_sync(x)": ["prim::rpc_sync"],
        "return torch.autograd.grad([x], [x])": ["aten::autograd"],
        "return [torch.from_file(y) for y in x]": ["aten::from_file"],
        "return torch.relu(x, out=torch.from_file(y))": ["aten::from_file"],
        "x[torch.from_file(x)] = 1\nreturn x": ["aten::from_file"],
    }.items(),
)
def test_what_does_more(body: str, operators: list[str]) -> None:
    assert list(refused(body, arguments="x: Tensor, y: str")) == operators


_OBJECTS = """class C(Module):
  d : __torch__.m.D
  both : Tuple[Tensor, __torch__.m.D]
  many : List[__torch__.m.D]
  def encode(self: __torch__.m.C, x: Tensor) -> __torch__.m.D:
    return self.d
class D(Module):
  later : Tensor
def g(x: Tensor) -> __torch__.m.D:
  return __torch__.m.D.__new__(__torch__.m.D)
"""


@pytest.mark.parametrize(
    "body",
    [
        "return c.d.later",
        "d = (c).encode(x, )\nreturn d.later",
        'd = getattr(c, "d")\nreturn d.later',
        "y, d, = c.both\nreturn d.later",
        "return (c.many)[0].later",
        "h = __torch__.m.g\nreturn (h(x, )).later",
        "if True:\n  d = c.d\nelse:\n  d = __torch__.m.g(x)\nreturn d.later",
        "d : __torch__.m.D = c.d\nfor i in range(2):\n  x = d.later\nreturn x",
        "d = unchecked_cast(__torch__.m.D, e)\nreturn d.later",
    ],
)
def test_members_of_objects(body: str) -> None:
    arguments = "x: Tensor, c: __torch__.m.C, e: Optional[__torch__.m.D]"
    assert refused(body, arguments=arguments, also=_OBJECTS) == {}


@pytest.mark.parametrize(
    "body",
    [
        "return x.later(x)",
        'return getattr(x, "later")(x)',
        "return c.later",
        "y, d, = c.both\nreturn y.later",
        "if True:\n  d = c.d\nelse:\n  d = x\nreturn d.later",
        "d = c.d\nfor i in range(2):\n  x = d.later\n  d = x\nreturn x",
        "d = c.d\nd = x\nreturn d.later",
        "z = [d.later for d in c.many]\nreturn x",
    ],
)
def test_a_member_of_another_value_is_an_operator(body: str) -> None:
    """A later torch may have an operator of that name."""
    assert list(refused(body, arguments="x: Tensor, c: __torch__.m.C", also=_OBJECTS)) == ["aten::later"]


@pytest.mark.parametrize("cast", ["__torch__.m.C, c.d", "Tuple[int, int], x", "List[__torch__.m.D], c.many2"])
def test_an_object_that_is_taken_for_one_of_another_class(cast: str) -> None:
    """torch reads members of an object by their numbers, which may lie beyond its end."""
    also = _OBJECTS.replace("  def encode", "  many2 : List[__torch__.m.C]\n  def encode", 1)
    with pytest.raises(SourceError) as caught:
        refused(f"d = unchecked_cast({cast})\nreturn x", arguments="x: Tensor, c: __torch__.m.C", also=also)
    kind, value = cast.rsplit(", ", 1)
    assert f"line 2: expected {kind} or None to cast, found {value}" in str(caught.value)


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
        # Python and torch read the escape differently.
        r'return getattr(x, "\162elu")()': "expected getattr of a value and a name in quotes, found another form",
        'return getattr(x, "relu", "save")': "2 unnamed arguments of getattr, found getattr(x, 'relu', 'save')",
        'return getattr(x, name="save")': "expected 2 unnamed arguments of getattr, found getattr(x, name='save')",
        'return getattr(*[x, "save"])("a")': "expected 2 unnamed arguments of getattr",
        "return annotate(x=Tensor, y=torch.save(x, y))": "expected 2 unnamed arguments of annotate",
        "return isinstance(x, Tensor, x.save(y))": "expected 2 unnamed arguments of isinstance",
        # Calls under another name would not be noticed.
        'g = getattr\nreturn g(x, "save")(y)': "line 2: expected names of values, operators or classes",
        'return (getattr if x else getattr)(x, "save")(y)': "operators or classes of the file, found getattr",
        'for g in [hasattr]:\n  g(x, "save")\nreturn x': "operators or classes of the file, found hasattr",
        "g, h = (isinstance, 1)\nreturn x": "operators or classes of the file, found isinstance",
        "return torch.relu(x, out=uninitialized)": "operators or classes of the file, found uninitialized",
        "getattr += 1\nreturn x": "operators or classes of the file, found getattr",
        # torch forgets these values, and then the names are operators.
        "print = 1\ndel print\nprint(x)\nreturn x": "expected names of its own for values, found print",
        "z = 1\ndel z\nreturn x": "expected statements of TorchScript, found Delete",
        'if x:\n  id = 1\nelse:\n  id = "a"\nreturn id(x)': "expected names of its own for values, found id",
        "while True:\n  print = 1\nreturn x": "expected names of its own for values, found print",
        "for print in range(2):\n  pass\nreturn x": "expected names of its own for values, found print",
        "z = [print for print in [1]]\nreturn x": "expected names of its own for values, found print",
        "z = {1: id for id in [1]}\nreturn x": "expected names of its own for values, found id",
        "with x as print:\n  pass\nreturn x": "expected names of its own for values, found print",
        "print : int = 1\nreturn x": "expected names of its own for values, found print",
        "(z, [print, w]) = x\nreturn x": "expected names of its own for values, found print",
        "def print(z: Tensor) -> Tensor:\n  return z\nreturn x": "expected names of its own for values, found print",
        "def g(id: Tensor) -> Tensor:\n  return id\nreturn x": "expected names of its own for values, found id",
        "rpc_sync = x\nreturn rpc_sync": "expected names of its own for values, found rpc_sync",
        "fork = x\nreturn fork": "expected names of its own for values, found fork",
        "return torch.relu((print := 1))": "expected expressions of TorchScript, found NamedExpr",
        "global print\nreturn x": "expected statements of TorchScript, found Global",
        "try:\n  pass\nexcept x as print:\n  pass\nreturn x": "expected statements of TorchScript, found Try",
        # Python and torch could disagree on where the text ends.
        "return x['a']": "expected text in one pair of double quotes, found 'a'",
        'return x["""a"""]': 'expected text in one pair of double quotes, found """a"""',
        'return x["""a\nb"""]': 'expected text in one pair of double quotes, found """a',
        'return x["a" "b"]': 'expected text in one pair of double quotes, found "a" "b"',
        'return x[r"a"]': 'expected text in one pair of double quotes, found r"a"',
        "return \\\n  x": "expected printable ASCII, found '\\\\\\n'",
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
    "also",
    [
        "import os\n",
        "def print() -> int:\n  return 1\n",
        "def f() -> int:\n  return 1\n",
        "x = 1\n",
        "class C(Base):\n  pass\n",
        "@a\ndef g() -> int:\n  return 1\n",
    ],
)
def test_a_file_holds_classes_and_functions(also: str) -> None:
    with pytest.raises(SourceError, match=r"__torch__\.m, line "):
        refused("return x", also=also)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


# Written as a call: torch does not read a class's annotations as text.
Pair = NamedTuple("Pair", [("first", Tensor), ("second", Optional[Tensor])])  # noqa: UP014, UP045


class Counter:
    def __init__(self, start: int) -> None:
        self.count = start


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
    """A network that uses many features of the language."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = Colour.RED
        self.counter = Counter(3)
        self.sizes, self.factors, self.flags, self.words = [1, 2], [0.5], [True], ["a"]
        self.parts = torch.jit.Attribute([torch.ones(3)], list[Tensor])
        self.counts = {"a": 1}
        self.nothing = torch.jit.Attribute(None, Optional[Tensor])  # noqa: UP045
        self.nested = torch.jit.Attribute({1: [(1.5, torch.ones(3))]}, dict[int, list[tuple[float, Tensor]]])
        self.pair_stored: Any = torch.jit.Attribute(Pair(torch.ones(3), None), Pair)
        self.place, self.turn, self.three = torch.device("cpu"), 1j, (1, "a", 2.0)
        self.state = Stateful()
        self.layers = nn.ModuleDict({"a": nn.Linear(3, 3), "b-c": nn.Linear(3, 3)})
        self.register_buffer("sparse_embedding", torch.ones(3))
        self.lstm = nn.LSTM(3, 3, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def pair(self, x: Tensor) -> Pair:
        return Pair(x, None)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x + 1 + self.pair_stored.first.to(self.place) + self.nested[1][0][1] + self.parts[0]
        y = y + self.counter.count + self.sizes[0] + self.factors[0] + self.counts["a"] + self.three[0]
        y = y + int(self.flags[0]) + len(self.words[0]) + abs(self.turn)
        if self.nothing is not None:
            y = y + 1
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
        torch.jit.script(Counter)
        module = torch.jit.script(Varied().eval())
        for form in (module, torch.jit.freeze(module)):
            content = io.BytesIO()
            torch.jit.save(form, content)
            check_torchscript("varied.pt", canonical_torchscript(content.getvalue()))
