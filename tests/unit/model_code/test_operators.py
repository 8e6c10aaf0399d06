"""Every operator that torch registers is classified, and none that is refused slips into the list."""

from __future__ import annotations

import pytest
import torch
import torchvision  # noqa: F401 - it registers operators of its own

from pipeline.model_code.operators import ALLOWED, ALLOWED_CLASSES, UNKNOWN, refusal

# Operators of other libraries are not on the list, because a server imports none of these libraries.
_OTHERS = ("torchvision::", "streams::", "_inductor_test::")


def registered() -> set[str]:
    return {schema.name for schema in torch._C._jit_get_all_schemas()}


def test_every_operator_of_torch_is_allowed_or_refused_for_a_reason() -> None:
    names = {name for name in registered() if not name.startswith(_OTHERS)}
    assert {name for name in names if refusal(name) == UNKNOWN} == set()


def test_every_allowed_operator_exists() -> None:
    assert ALLOWED - registered() == set()


@pytest.mark.parametrize(
    ("operator", "reason"),
    {
        "aten::from_file": "it reads and writes files",
        "aten::save": "it reads and writes files",
        "debugprims::load_tensor": "it reads and writes files",
        "image::write_file": "it reads and writes files",
        "prim::PythonOp": "it runs Python",
        "prim::rpc_sync": "it talks to other processes",
        "c10d::send": "it talks to other processes",
        "prim::Print": "it writes into a server's own output, which TorchServe reads",
        "aten::set_": "it reads or writes memory without checking bounds",
        "aten::_sparse_coo_tensor_unsafe": "the indices of sparse tensors are not always checked",
        "torchvision::nms": UNKNOWN,
        "aten::of_tomorrow": UNKNOWN,
    }.items(),
)
def test_what_touches_more_than_numbers_is_refused(operator: str, reason: str) -> None:
    assert refusal(operator) == reason
    assert refusal(operator, [operator]) == ""


def test_classes_that_a_file_may_hold_exist() -> None:
    for name in ALLOWED_CLASSES:
        space, kind = name.removeprefix("__torch__.torch.classes.").split(".")
        assert torch._C._get_custom_class_python_wrapper(space, kind) is not None
