"""Archives whose model file would do harm when it is loaded or run: consistent, every digest right.

Each is a good archive's model file, changed in one place. The code of a TorchScript file is written by hand, in the
form in which torch prints it; where the harm is a call, its twin makes a harmless call in the same place.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from pipeline.model_code.torchscript import write_torchscript

# What a harmful call writes, and where; the other one gives as many zeros.
_HARM = 'torch.from_file("{canary}", True, 4, dtype=0)'
_HARMLESS = "torch.zeros([4], dtype=0)"
_MODULE = "__torch__.net"
_FILE = "archive/code/__torch__/net.py"

# A class of one linear layer, whose forward adds nothing, or what a call writes.
_LINEAR = """class Linear(Module):
  __parameters__ = []
  __buffers__ = []
  def forward(self: __torch__.net.Linear,
    values: Tensor) -> Tensor:
    _0 = torch.matmul(torch.flatten(torch.to(values, 6), 1), CONSTANTS.c0)
{body}
"""
_ADDED = "return torch.add(_0, torch.mul(torch.sum(torch.fill_({value}, 65)), 0))"
_FUNCTION = """def write(x: Tensor) -> Tensor:
  return torch.fill_({call}, 65)
"""
_INNER = """class Inner(Module):
  __parameters__ = []
  __buffers__ = []
  def forward(self: __torch__.deep.Inner,
    x: Tensor) -> Tensor:
    return torch.fill_({call}, 65)
"""
_STATE = """class Linear(Module):
  __parameters__ = []
  __buffers__ = []
  size : int
  def forward(self: __torch__.net.Linear,
    values: Tensor) -> Tensor:
    return torch.matmul(torch.flatten(torch.to(values, 6), 1), CONSTANTS.c0)
  def __getstate__(self: __torch__.net.Linear) -> int:
    return 4
  def __setstate__(self: __torch__.net.Linear,
    state: int) -> NoneType:
    _0 = torch.fill_({call}, 65)
    self.size = int(torch.select(_0, 0, 0))
    return None
"""
_OUTER = _LINEAR.replace("  def forward", "  inner : __torch__.deep.Inner\n  def forward", 1)
_OTHER_CLASS = """class Inner(Module):
  size : Tensor
class Other(Module):
  pass
"""

_EMPTY_RECORD = b"\x80\x02c__torch__.net\nLinear\nq\x00)\x81}(ub."
_STATE_RECORD = b"\x80\x02c__torch__.net\nLinear\nq\x00)\x81K\x04b."
_NESTED_RECORD = (
    b"\x80\x02c__torch__.net\nLinear\nq\x00)\x81}(X\x05\x00\x00\x00innerq\x01c__torch__.deep\nInner\nq\x02)\x81}(ubub."
)

Members = dict[str, bytes]
Attack = Callable[[Members], Members]


@dataclass(frozen=True, kw_only=True)
class Script:
    """A TorchScript file that calls something, harmful or not.

    Args:
        files: source by member name; `{call}` stands for the call, `{name}` and `{arguments}` for its two parts.
        says: what the refusal says of the harmful one.
        record: the content of `data.pkl`.
    """

    files: Mapping[str, str]
    says: str
    record: bytes = _EMPTY_RECORD

    def members(self, good: Members, call: str) -> Members:
        """The file's members with a call in place.

        Args:
            good: members of a good file of the same network.
            call: source of the call.
        """
        kept = {name: content for name, content in good.items() if "/code/" not in name}
        name, _, arguments = call.partition("(")
        for member, text in self.files.items():
            called = text.replace("{call}", call).replace("{name}", name).replace("{arguments}", arguments)
            kept[member] = called.encode()
        return kept | {"archive/data.pkl": self.record}


def _body(*lines: str, of: str = _LINEAR) -> str:
    return of.replace("{body}", "\n".join(f"    {line}" for line in lines))


def _added(value: str) -> str:
    return _ADDED.replace("{value}", value)


SCRIPTS = {
    "a call": Script(files={_FILE: _body(_added("{call}"))}, says="found aten::from_file (__torch__.net, line 7)"),
    "while it is loaded, by __setstate__": Script(
        files={_FILE: _STATE}, record=_STATE_RECORD, says="found aten::from_file (__torch__.net, line 12)"
    ),
    "in a layer of a layer": Script(
        files={
            _FILE: _body("inner = self.inner", _added("(inner).forward(_0, )"), of=_OUTER),
            "archive/code/__torch__/deep.py": _INNER,
        },
        record=_NESTED_RECORD,
        says="found aten::from_file (__torch__.deep, line 6)",
    ),
    "in a function": Script(
        files={
            _FILE: _body(_added("__torch__.harm.write(_0, )")),
            "archive/code/__torch__/harm.py": _FUNCTION,
        },
        says="found aten::from_file (__torch__.harm, line 2)",
    ),
    "in another thread": Script(
        files={
            _FILE: _body("_1 = fork(__torch__.harm.write, _0)", _added("torch.wait(_1)")),
            "archive/code/__torch__/harm.py": _FUNCTION,
        },
        says="found aten::from_file (__torch__.harm, line 2)",
    ),
    "under another name": Script(
        files={_FILE: _body("another = {name}", _added("another({arguments}"))},
        says="found aten::from_file (__torch__.net, line 7)",
    ),
    "in a branch that is never taken when it is checked": Script(
        files={
            _FILE: _body(
                "if torch.gt(torch.size(values, 0), 1):", "  _1 = {call}", "else:", "  _1 = " + _HARMLESS, _added("_1")
            )
        },
        says="found aten::from_file (__torch__.net, line 8)",
    ),
    "in a class with a mangled name": Script(
        files={
            _FILE: _body(_added("__torch__.harm.___torch_mangle_7.write(_0, )")),
            "archive/code/__torch__/harm/___torch_mangle_7.py": _FUNCTION,
        },
        says="found aten::from_file (__torch__.harm.___torch_mangle_7, line 2)",
    ),
}


def script(name: str, good: Members, *, canary: Path | None) -> bytes:
    """A file of `SCRIPTS`: one that writes a canary, or its harmless twin."""
    call = _HARMLESS if canary is None else _HARM.replace("{canary}", str(canary))
    return write_torchscript(sorted(SCRIPTS[name].members(good, call).items()))


def _source(*lines: str, behind: str = "") -> Attack:
    text = _body(*lines) + behind
    return lambda good: Script(files={_FILE: text}, says="").members(good, "")


def _with(name: str, content: bytes) -> Attack:
    return lambda good: good | {f"archive/{name}": content}


def _without_code(good: Members) -> Members:
    kept = {name: content for name, content in good.items() if "/code/" not in name}
    return kept | {"archive/bytecode.pkl": b"\x80\x02)."}


def _lying_storage(good: Members) -> Members:
    record = good["archive/constants.pkl"]
    assert record.count(b"K\xf0t") == 1  # 240 elements
    return good | {"archive/constants.pkl": record.replace(b"K\xf0t", b"J" + struct.pack("<i", 1 << 28) + b"t")}


def _tensor_beyond(good: Members) -> Members:
    record = good["archive/constants.pkl"]
    assert record.count(b"K\x30K\x05t") == 1
    return good | {"archive/constants.pkl": record.replace(b"K\x30K\x05t", b"K\x31K\x05t")}


_SYSTEM = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."
FORMS: dict[str, tuple[Attack, str]] = {
    "aten::save": (
        _source('torch.save(1, "/tmp/x")', "return _0"),
        "found aten::save (__torch__.net, line 7): it reads and writes files",
    ),
    "ops.aten.from_file": (
        _source('_1 = ops.aten.from_file("/tmp/x", True, 4)', _added("_1")),
        "found aten::from_file (__torch__.net, line 7)",
    ),
    "torch as a value": (
        _source("t = torch", '_1 = t.from_file("/tmp/x", True, 4)', _added("_1")),
        "__torch__.net, line 7: expected names of values, operators or classes of the file, found torch",
    ),
    "getattr of torch": (
        _source('_1 = getattr(torch, "from_file")("/tmp/x", True, 4)', _added("_1")),
        "line 7: expected names of values, operators or classes of the file, found torch",
    ),
    "print behind a branch that binds the name": (
        _source("if True:", '  print = "x"', "else:", "  pass", 'print("[METRICS]...")', "return _0"),
        "__torch__.net, line 8: expected names of its own for values, found print",
    ),
    "print": (
        _source('print("[METRICS]...")', "return _0"),
        "found prim::Print (__torch__.net, line 7): it writes into a server's own output",
    ),
    "getattr under another name": (
        _source("another = getattr", '_1 = another("/tmp/x", "from_file")(True, 4)', _added("_1")),
        "line 7: expected names of values, operators or classes of the file, found getattr",
    ),
    "print that is forgotten": (
        _source('print = "x"', "del print", 'print("[METRICS]...")', "return _0"),
        "__torch__.net, line 7: expected names of its own for values, found print",
    ),
    "an object of another class than its source declares": (
        lambda good: Script(
            files={
                _FILE: _body("inner = self.inner", _added("inner.size"), of=_OUTER).replace("deep", "net")
                + _OTHER_CLASS
            },
            record=_NESTED_RECORD.replace(b"deep\nInner", b"net\nOther"),
            says="",
        ).members(good, ""),
        "data.pkl: expected inner of __torch__.net.Linear to be __torch__.net.Inner, found another value",
    ),
    "a mark that is taken for a value": (
        _with("constants.pkl", b"\x80\x02](q\x00K\x01h\x00K\x02t\x85."),
        "constants.pkl: expected a value above the last mark, found none",
    ),
    "an operator with a member's name": (
        _source(
            "return torch.add(_0, _0._reshape_alias([9, 5], [5, 1]))",
            behind="class Names(NamedTuple):\n  _reshape_alias : Tensor\n",
        ),
        "found aten::_reshape_alias (__torch__.net, line 7): it reads or writes memory without checking bounds",
    ),
    "a remote call": (
        _source('_1 = rpc_async("other", __torch__.net.Linear, (_0, ))', "return _0"),
        "found prim::rpc_async (__torch__.net, line 7): it talks to other processes",
    ),
    "an operator of another library": (
        _source("return ops.mine.harm(_0)"),
        "found mine::harm (__torch__.net, line 7): nothing is known of it",
    ),
    "a comment": (
        _source("_1 = 1 # type: (Tensor) -> Tensor", "return _0"),
        "__torch__.net: expected source without comments, found one",
    ),
    "a class of torch that talks": (
        _source("_1 = __torch__.torch.classes.c10d.ProcessGroup(0, 1)", "return _0"),
        "expected classes and functions that the file holds, found __torch__.torch.classes.c10d.ProcessGroup",
    ),
    "an object of such a class": (
        _with("data.pkl", b"\x80\x02c__torch__.torch.classes.c10d\nProcessGroup\nq\x00)\x81}(ub."),
        "data.pkl: expected classes of the file's own code and torch's tensors, found '__torch__.torch.classes.c10d",
    ),
    "os.system in data.pkl": (
        _with("data.pkl", _SYSTEM),
        "data.pkl: expected classes of the file's own code and torch's tensors, found 'posix system'",
    ),
    "os.system in constants.pkl": (
        _with("constants.pkl", _SYSTEM),
        "constants.pkl: expected classes of the file's own code and torch's tensors, found 'posix system'",
    ),
    "an operation that only Python knows": (
        _with("data.pkl", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."),
        "data.pkl: expected only operations that torch writes, found PROTO 4",
    ),
    "a storage that claims more than its record": (
        _lying_storage,
        "constants.pkl: stored tensor 0: expected at most its 960 bytes, found a claim of 268435456 elements",
    ),
    "a tensor beyond its storage": (
        _tensor_beyond,
        "constants.pkl: expected a tensor inside its 240 stored elements, found one beyond",
    ),
    "bytecode and no source": (_without_code, "found the member 'bytecode.pkl'"),
    "the legacy format": (_with("model.json", b"{}"), "found the member 'model.json'"),
    "records for debugging": (_with("data.debug_pkl", b"\x80\x02)."), "found the member 'data.debug_pkl'"),
    "a second data.pkl in capitals": (
        _with("DATA.PKL", _SYSTEM),
        "expected each member once, found archive/data.pkl 2 times",
    ),
}


def form(name: str, good: Members) -> bytes:
    """A file of `FORMS`."""
    return write_torchscript(sorted(FORMS[name][0](good).items()))


def _compressed(good: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return packed.getvalue()


_ONE_FORM = "expected the one form in which a build writes the members of a TorchScript file"
_NO_ZIP = "expected a TorchScript file (a zip), found: File is not a zip file"
# Files that are no zip of the one form.
CONTENTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "something in front of the zip": (lambda good: b"PTMF" * 16 + good, _ONE_FORM),
    "compressed members": (_compressed, _ONE_FORM),
    "a flatbuffer": (lambda _: b"\x18\x00\x00\x00PTMF" + bytes(64), _NO_ZIP),
    "a pickle of weights": (lambda _: _SYSTEM, _NO_ZIP),
}


def _external(location: str, *, place: Callable[[onnx.ModelProto], TensorProto]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        model = onnx.load_model_from_string(content)
        tensor = place(model)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "960")):
            tensor.external_data.add(key=key, value=value)
        return bytes(model.SerializeToString())

    return change


def _weight(model: onnx.ModelProto) -> TensorProto:
    tensor: TensorProto = model.graph.initializer[0]
    return tensor


def _constant_in_a_branch(model: onnx.ModelProto) -> TensorProto:
    """A constant of a branch that is never taken."""
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.FLOAT, [1], [0.0]))],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
    )
    node = helper.make_node("If", ["never"], ["unused"], then_branch=branch, else_branch=branch)
    model.graph.initializer.append(helper.make_tensor("never", TensorProto.BOOL, [], [False]))
    model.graph.node.append(node)
    value: TensorProto = model.graph.node[-1].attribute[0].g.node[0].attribute[0].t
    return value


def _node(operator: str, domain: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        model = onnx.load_model_from_string(content)
        model.graph.node.append(helper.make_node(operator, ["logits"], ["more"], domain=domain))
        model.opset_import.append(helper.make_opsetid(domain, 1))
        return bytes(model.SerializeToString())

    return change


_ELSEWHERE = "expected its values in the file itself, found them in another place: "
ONNX: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "weights from /etc/passwd": (_external("/etc/passwd", place=_weight), f"{_ELSEWHERE}'/etc/passwd'"),
    "weights from outside": (_external("../../x", place=_weight), f"{_ELSEWHERE}'../../x'"),
    "weights from a device": (_external("/dev/zero", place=_weight), f"{_ELSEWHERE}'/dev/zero'"),
    "weights from an address in memory": (
        _external("*/_ORT_MEM_ADDR_/*", place=_weight),
        f"{_ELSEWHERE}'*/_ORT_MEM_ADDR_/*'",
    ),
    "a branch's constant from another member": (
        _external("serving.json", place=_constant_in_a_branch),
        f"{_ELSEWHERE}'serving.json'",
    ),
    "an operator of another library, in ONNX": (
        _node("Harm", "mine"),
        "expected operators of ONNX and ONNX Runtime, found mine::Harm: it needs a library of its own",
    ),
    "an operator that runs Python": (
        _node("PythonOp", "com.microsoft"),
        "found com.microsoft::PythonOp: it runs Python",
    ),
    "no ONNX": (lambda _: b"no model", "expected an ONNX model, found another kind of file"),
}
