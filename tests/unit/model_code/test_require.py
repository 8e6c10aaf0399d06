"""The check of a model file depends on the library that would load it, which decides by the file's ending."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline._handlers.description import RuntimeSpec
from pipeline.errors import FileError
from pipeline.model_code.require import require_safe_model, unlisted_operators
from pipeline.model_code.torchscript import write_torchscript

_FILE = {
    "archive/data.pkl": b"\x80\x02c__torch__.net\nNet\nq\x00)\x81}(ub.",
    "archive/constants.pkl": b"\x80\x02).",
    "archive/version": b"3\n",
}


def torchscript(returned: str) -> bytes:
    method = f"  def forward(self: __torch__.net.Net,\n    x: Tensor) -> Tensor:\n    return {returned}\n"
    source = f"class Net(Module):\n{method}"
    return write_torchscript((_FILE | {"archive/code/__torch__/net.py": source.encode()}).items())


@pytest.mark.parametrize(
    ("kind", "file"), [("onnxruntime", "model.ort"), ("onnxruntime", "model.pt"), ("torchscript", "model.ptl")]
)
def test_a_file_that_its_runtime_would_read_in_another_way(kind: str, file: str) -> None:
    runtime = RuntimeSpec(kind="onnxruntime" if kind == "onnxruntime" else "torchscript", file=file)
    with pytest.raises(FileError, match=rf"^a\.mar: expected a model file ending in \.\w+ for {kind}, found '{file}'$"):
        require_safe_model(Path("a.mar"), runtime, {file: b""})


def test_what_a_build_says_of_its_own_file(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(torchscript("torch.relu(x)"))
    assert unlisted_operators(file, "torchscript") == ()
    file.write_bytes(torchscript("torch.grad(ops.mine.op(x))"))
    assert unlisted_operators(file, "torchscript") == ("aten::grad", "mine::op")
    # The file may be large, so it is not read where no question has to be answered.
    assert unlisted_operators(tmp_path / "absent.onnx", "onnxruntime") == ()


def test_several_operators_are_named_together_and_allowed_one_by_one() -> None:
    runtime, members = (
        RuntimeSpec(kind="torchscript", file="model.pt"),
        {"model.pt": torchscript("torch.grad(ops.mine.op(x))")},
    )
    with pytest.raises(FileError) as caught:
        require_safe_model(Path("a.mar"), runtime, members)
    assert str(caught.value) == (
        "a.mar: model.pt: expected operators that only compute, found aten::grad (__torch__.net, line 4): it is a step "
        "of training; nothing of it was loaded; give --allow-operator aten::grad --allow-operator "
        "mine::op if you know who made it and why it needs that"
    )
    with pytest.raises(
        FileError, match=r"found mine::op \(__torch__\.net, line 4\): nothing is known of it; nothing of"
    ):
        require_safe_model(Path("a.mar"), runtime, members, allowed_operators=["aten::grad"])
    require_safe_model(Path("a.mar"), runtime, members, allowed_operators=["aten::grad", "mine::op"])
