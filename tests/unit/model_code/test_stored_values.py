"""A record has to store values of the types that the source declares, because torch trusts these types."""

from __future__ import annotations

import ast

import pytest

from pipeline.model_code.pickled import PickleError, check_pickle
from pipeline.model_code.script_source import read_source

_A, _B = b"c__torch__.m\nA\n)\x81}(ub", b"c__torch__.m\nB\n)\x81}(ub"
_SOURCE = """class A(Module):
  pass
class B(Module):
  pass
class Pair(NamedTuple):
  first : __torch__.m.A
  second : int
class Face(ModuleInterface):
  def forward(self, x: Tensor) -> Tensor:
    pass
class Colour(Enum):
  RED = 1
class State(Module):
  def __getstate__(self: __torch__.m.State) -> Tuple[int, __torch__.m.A]:
    return (1, self.a)
  def __setstate__(self: __torch__.m.State, state: Tuple[int, __torch__.m.A]) -> NoneType:
    return None
class Net(Module):
  a : {type}
"""


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def typed(value: bytes, kind: str) -> bytes:
    """A list or dictionary with its type, as torch writes it."""
    return b"ctorch.jit._pickle\nrestore_type_tag\n" + value + text(kind) + b"\x86R"


def check(declared: str, value: bytes) -> None:
    source = read_source({"__torch__.m": _SOURCE.replace("{type}", declared)})
    record = b"\x80\x02c__torch__.m\nNet\n)\x81}(" + text("a") + value + b"ub."
    check_pickle(record, {}, source.types, source.classes)


_LIST_OF_A = "List[__torch__.m.A]"
_STATE = b"c__torch__.m\nState\n)\x81"


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("__torch__.m.A", _A),
        ("Optional[__torch__.m.A]", b"N"),
        ("__torch__.m.Face", _B),
        ("__torch__.m.Colour", b"c__torch__.m\nColour\nK\x01R"),
        ("__torch__.m.Pair", _A + b"K\x01\x86"),
        ("Tuple[int, float]", b"K\x01G\x3f\xf0\x00\x00\x00\x00\x00\x00\x86"),
        ("List[int]", b"ctorch.jit._pickle\nbuild_intlist\n(](K\x01etR"),
        (_LIST_OF_A, typed(b"](" + _A + b"e", _LIST_OF_A)),
        ("Dict[str, int]", typed(b"}(" + text("k") + b"K\x01u", "Dict[str, int]")),
        ("__torch__.m.State", _STATE + b"K\x01" + _A + b"\x86b"),
    ],
)
def test_values_of_their_types(declared: str, value: bytes) -> None:
    check(declared, value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("__torch__.m.A", _B),
        ("__torch__.m.A", b"K\x01"),
        ("Optional[__torch__.m.A]", _B),
        ("__torch__.m.Face", b"K\x01"),
        ("__torch__.m.Pair", _B + b"K\x01\x86"),
        ("Tuple[int, int]", b"K\x01\x85"),
        ("Tuple[int, int]", b"K\x01K\x02K\x03\x87"),
        ("Tensor", b"K\x01"),
        ("Tensor", _A),
        ("int", b"\x88"),
        ("Future[int]", b"K\x01"),
        (_LIST_OF_A, b"](" + _A + b"e"),
        (_LIST_OF_A, typed(b"](" + _B + b"e", "List[__torch__.m.B]")),
        ("Tuple[int]", typed(b"](K\x01e", "List[int]")),
    ],
)
def test_a_value_of_another_type(declared: str, value: bytes) -> None:
    with pytest.raises(PickleError) as caught:
        check(declared, value)
    kind = ast.unparse(ast.parse(declared))
    assert str(caught.value) == f"expected a of __torch__.m.Net to be {kind}, found another value"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (typed(b"](" + _B + b"e", _LIST_OF_A), f"expected values of {_LIST_OF_A} that have no type yet, found others"),
        (typed(typed(b"](e", "List[int]"), _LIST_OF_A), f"expected values of {_LIST_OF_A} that have no type yet"),
        (typed(b"](K\x01e", "Dict[int, int]"), "expected values of Dict[int, int] that have no type yet, found others"),
        (typed(b"](e", "List["), "expected a type, found 'List['"),
        (typed(b"K\x01", "List[int]"), "expected a list or a dictionary to give a type, found another value"),
        (
            b"ctorch.jit._pickle\nbuild_intlist\n(](" + _A + b"etR",
            "expected values of List[int] that have no type yet, found others",
        ),
        (_STATE + b"K\x01" + _B + b"\x86b", "expected a state of __torch__.m.State as its source declares"),
    ],
)
def test_a_type_that_does_not_hold(value: bytes, says: str) -> None:
    with pytest.raises(PickleError) as caught:
        check("Any", value)
    assert says in str(caught.value)


def test_an_attribute_that_is_missing() -> None:
    source = read_source({"__torch__.m": _SOURCE.replace("{type}", "int")})
    with pytest.raises(PickleError, match=r"expected a of __torch__\.m\.Net to be int, found another value"):
        check_pickle(b"\x80\x02c__torch__.m\nNet\n)\x81}(ub.", {}, source.types, source.classes)
